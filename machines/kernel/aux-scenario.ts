/** A scenario of groups of mediated devices, their parents, and domains. Source: A4. */

import { faultBudgetMachine } from '../fault-budget.js';
import { kernelLogMachine } from '../kernel-log.js';
import { linkedListMachine } from '../linked-list.js';
import type { LinkedListOptions } from '../linked-list.js';
import { mutexMachine } from '../mutex.js';
import { struct } from '../object.js';
import type { ObjectMemory } from '../object.js';
import { pasidAllocatorMachine } from '../pasid-allocator.js';
import type { PasidMemory } from '../pasid-allocator.js';
import type { Entity, EntityView, Invariant, Scenario } from '../scenario.js';
import type { Thread } from '../step.js';
import { gdevOf, mutexOf } from './aux-domain.js';
import type { AuxApi, AuxCore } from './aux-domain.js';
import {
  AUX_IOASIDS,
  AUX_LISTS,
  AUX_LOG,
  auxEntryOf,
  DEVICE_DOMAIN_LOCK,
  VTD,
  VTD_5_11,
} from './vtd-aux.js';
import type { VtdCode } from './vtd-aux.js';

const BUDGET = 'faults';
/** The greatest PASID. */
const LAST = 2;
/** As many pairs of domain and parent as may be linked in a run. */
const SINFOS = ['sinfo0', 'sinfo1', 'sinfo2', 'sinfo3'];

export interface MemberSetup {
  readonly group: string;
  /** mdev_set_iommu_device was called with it; null: it was not. */
  readonly parent: string | null;
  /** It is behind an IOMMU itself, as other derivatives of a device than mdevs may be. */
  readonly iommu?: boolean;
}

export interface AuxSetup {
  readonly name: string;
  readonly story?: string;
  readonly api: AuxApi;
  /** v5.11 where left out. */
  readonly vtd?: VtdCode;
  readonly members: Readonly<Record<string, MemberSetup>>;
  /** Parents by whether IOMMU_DEV_FEAT_AUX is enabled. */
  readonly parents: Readonly<Record<string, boolean>>;
  /** What is attached when the threads begin: a domain to the parent of the members of a group. */
  readonly attached?: Readonly<Record<string, { readonly group: string; readonly parent: string }>>;
  /** `D1` and `D2` where left out. */
  readonly domains?: readonly string[];
  readonly faults?: number;
  readonly breaks?: LinkedListOptions['breaks'];
  readonly invariants?: readonly Invariant[];
  /** What callers keep what they are told in: an entity of its own. */
  readonly caller?: Readonly<Record<string, unknown>>;
  readonly run: Readonly<Record<string, (core: AuxCore) => Thread>>;
}

/** What callers keep what they are told in. */
export const CALLER = 'caller';

/** The scenario, for the explorer. */
export function auxScenario(told: AuxSetup): Scenario {
  const { name, story, api, vtd = VTD_5_11, members, parents, domains = ['D1', 'D2'] } = told;
  const { attached = {}, faults, run, invariants = [] } = told;
  const before = Object.keys(attached).map((domain, i) => ({
    domain,
    ...attached[domain],
    pasid: i + 1,
    sinfo: `sinfo(${domain})`,
  }));
  const counted = vtd.links === 'counted';
  const onList = (dev: string, of: keyof (typeof before)[number], node: string) =>
    before.filter((each) => each.parent === dev).map((each) => `${each[of]}->${node}`);
  const groups = [...new Set(Object.values(members).map(({ group }) => group))];
  const core: AuxCore = {
    vtd: { code: vtd, ...(faults === undefined ? {} : { budget: BUDGET }) },
    guardsGroup: api.guardsGroup,
  };
  const entities: Record<string, Entity> = {
    [DEVICE_DOMAIN_LOCK]: mutexMachine,
    [AUX_LOG]: kernelLogMachine(['INV-30']),
    [AUX_IOASIDS]: {
      machine: pasidAllocatorMachine(LAST),
      input: { owners: Object.fromEntries(before.map(({ pasid, domain }) => [pasid, domain])) },
    },
    [AUX_LISTS]: {
      machine: linkedListMachine({ rule: 'INV-30', breaks: told.breaks ?? 'when met' }),
      input: {
        ...Object.fromEntries(
          Object.keys(parents).flatMap((dev) => [
            [`${dev}->auxiliary_domains`, counted ? [] : onList(dev, 'domain', 'auxd')],
            [`${dev}->subdevices`, counted ? onList(dev, 'sinfo', 'link_phys') : []],
          ]),
        ),
        ...Object.fromEntries(
          domains.map((domain) => [
            `${domain}->subdevices`,
            counted && domain in attached ? [`sinfo(${domain})->link_domain`] : [],
          ]),
        ),
      },
    },
    [VTD]: struct({ fields: { 'spare sinfo': SINFOS } }),
    ...Object.fromEntries(SINFOS.map((sinfo) => [sinfo, struct()])),
    ...Object.fromEntries(
      before.map(({ sinfo, parent }) => [
        sinfo,
        struct(counted ? { fields: { pdev: parent, users: 1 } } : undefined),
      ]),
    ),
    [CALLER]: struct({ fields: told.caller ?? {} }),
    ...(faults === undefined ? {} : { [BUDGET]: faultBudgetMachine }),
  };
  for (const domain of domains) {
    const own = before.find((each) => each.domain === domain);
    entities[domain] = struct({
      fields: {
        type: 'unmanaged',
        default_pasid: own?.pasid ?? 0,
        auxd_refcnt: own === undefined ? 0 : 1,
      },
    });
  }
  for (const [dev, aux] of Object.entries(parents)) {
    const table = before
      .filter((each) => each.parent === dev)
      .map(({ pasid, domain }): [string, string] => [auxEntryOf(pasid), domain]);
    entities[dev] = struct({
      fields: {
        auxd_enabled: aux,
        iommu: 'iommu0',
        domain: null,
        ...Object.fromEntries(table),
      },
    });
  }
  for (const [dev, { group, parent, iommu = false }] of Object.entries(members)) {
    entities[dev] = struct({
      fields: {
        iommu_group: group,
        iommu_device: parent,
        auxd_enabled: false,
        iommu: iommu ? 'iommu0' : null,
        domain: null,
      },
    });
    entities[gdevOf(dev)] = struct({ fields: { dev, dma_alias: parent } });
  }
  for (const group of groups) {
    const devices = Object.keys(members).filter((dev) => members[dev].group === group);
    entities[group] = struct({
      fields: {
        devices,
        default_domain: null,
        domain: before.find((each) => each.group === group)?.domain ?? null,
        aux_domain_attached: before.some((each) => each.group === group),
        iommu_device: members[devices[0]].parent,
        dma_alias: null,
      },
    });
    entities[mutexOf(group)] = mutexMachine;
  }
  return {
    name,
    ...(story === undefined ? {} : { story }),
    entities,
    threads: Object.fromEntries(
      Object.entries(run).map(([thread, body]) => [thread, () => body(core)]),
    ),
    invariants,
    ...(faults === undefined ? {} : { faults }),
  };
}

type View = Readonly<Record<string, EntityView>>;

/** A field of a struct, null where it was never written. */
export function fieldOf(view: View, entity: string, field: string): unknown {
  return (view[entity].context as ObjectMemory).fields[field] ?? null;
}

/** The domains that the PASID table of a parent leads to, by PASID. */
export function tableOf(view: View, parent: string): Readonly<Record<number, string>> {
  const entries = PASIDS.map((pasid) => [pasid, fieldOf(view, parent, auxEntryOf(pasid))] as const);
  return Object.fromEntries(entries.filter(([, domain]) => domain !== null)) as Record<
    number,
    string
  >;
}

/** How often a domain is attached to a parent, as the driver of v5.11 counts it. */
export function usersOf(view: View, parent: string): number {
  return SINFOS.filter((sinfo) => fieldOf(view, sinfo, 'pdev') === parent)
    .map((sinfo) => Number(fieldOf(view, sinfo, 'users')))
    .reduce((sum, users) => sum + users, 0);
}

/** What `usersOf` looks at. */
export const USERS: readonly string[] = SINFOS;

/**
 * INV-31: no table leads to a domain by a PASID that is another's, or nobody's.
 *
 * @param strict nobody's either; else only that it is not another's
 */
export function pasidsOwned(parents: readonly string[], strict: boolean): Invariant {
  const wrong = (view: View) => {
    const { owners } = view[AUX_IOASIDS].context as PasidMemory;
    for (const parent of parents) {
      for (const [pasid, domain] of Object.entries(tableOf(view, parent))) {
        const owner = owners[Number(pasid)];
        if (owner === domain || (owner === undefined && !strict)) continue;
        const whose = owner === undefined ? "nobody's" : `that of ${owner}`;
        return `PASID ${pasid} of ${parent} leads to ${domain}, and is ${whose}`;
      }
    }
    return undefined;
  };
  return {
    id: 'INV-31',
    entities: [AUX_IOASIDS, ...parents],
    says: (view) => wrong(view) ?? '',
    holds: (view) => wrong(view) === undefined,
  };
}

const PASIDS = Array.from({ length: LAST }, (_, i) => i + 1);
