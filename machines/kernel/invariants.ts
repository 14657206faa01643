/**
 * What must hold of a kernel, over its structs: the rules of kernel-semantics.md E that are no
 * machine of their own.
 */

import type { ObjectMemory } from '../object.js';
import { listed } from '../object.js';
import type { EntityView, Invariant } from '../scenario.js';
import { IOMMU_CORE } from './entity-names.js';
import { memberOf } from './group-members.js';
import type { Kernel } from './kernel.js';

type View = Readonly<Record<string, EntityView>>;

/** All that apply to a kernel that is set up so. */
export function kernelInvariants(k: Kernel): readonly Invariant[] {
  const devices = Object.keys(k.devices);
  if (devices.length === 0 || k.groups.length === 0) return [];
  return [
    singleMembership(k),
    listLinkAgreement(k),
    uniformDomain(k),
    oneGroupPerAlias(k),
    groupLifetime(k),
    ...(k.budget === undefined ? [] : [noLeakedName()]),
    noFreedDomain(k),
    ...(k.profile.dmaOwnership ? [exclusiveOwner(k)] : []),
  ];
}

/**
 * @param finds what is wrong, as a sentence; undefined: nothing
 */
function invariant(
  { id, entities, when }: Pick<Invariant, 'id' | 'entities' | 'when'>,
  finds: (view: View) => string | undefined,
): Invariant {
  return {
    id,
    entities,
    ...(when === undefined ? {} : { when }),
    holds: (view) => finds(view) === undefined,
    says: (view) => finds(view) ?? '',
  };
}

/** The first that is found of some. */
function first<T>(of: readonly T[], finds: (each: T) => string | undefined): string | undefined {
  for (const each of of) {
    const found = finds(each);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** INV-02: a device is on at most one list, at most once. */
function singleMembership(k: Kernel): Invariant {
  return invariant({ id: 'INV-02', entities: k.groups }, (view) => {
    const lists = k.groups.flatMap((group) =>
      membersOf(view, group).map((dev) => ({ dev, group })),
    );
    return first(Object.keys(k.devices), (dev) => {
      const on = lists.filter((member) => member.dev === dev).map(({ group }) => group);
      return on.length <= 1 ? undefined : `${dev} is on the device lists of ${on.join(' and ')}`;
    });
  });
}

/** INV-03, at rest: the list, dev->iommu_group and both links say the same. */
function listLinkAgreement(k: Kernel): Invariant {
  const devices = Object.keys(k.devices);
  const entities = [...k.groups, ...devices];
  return invariant({ id: 'INV-03', entities, when: 'end' }, (view) =>
    first(devices, (dev) => {
      const { iommu_group, link } = fieldsOf(view, dev);
      if (link !== iommu_group) {
        return `${dev}->iommu_group is ${shown(iommu_group)}, and its link is ${shown(link)}`;
      }
      return first(k.groups, (group) => {
        const links = linksOf(view, group).filter((name) => isLinkOf(name, dev));
        const isMember = membersOf(view, group).includes(dev);
        if (isMember !== (iommu_group === group)) {
          return `${dev} is ${isMember ? '' : 'not '}on ${group}->devices, and ${dev}->iommu_group is ${shown(iommu_group)}`;
        }
        if (links.length === (isMember ? 1 : 0)) return undefined;
        const left = links.length === 0 ? 'no link' : `the link ${links.join(' and ')}`;
        return `${group} has ${left} of ${dev}, which is ${isMember ? '' : 'not '}on its list`;
      });
    }),
  );
}

/**
 * INV-11, at rest: the devices of a group are on its domain, until v4.1 on that of the first of them;
 * deferred ones are left out.
 */
function uniformDomain(k: Kernel): Invariant {
  const devices = Object.keys(k.devices).filter((dev) => k.devices[dev].deferred !== true);
  const entities = [...k.groups, ...devices];
  return invariant({ id: 'INV-11', entities, when: 'end' }, (view) =>
    first(k.groups, (group) => {
      const members = membersOf(view, group).filter((dev) => devices.includes(dev));
      const [leader = group] = k.profile.groupDomain ? [] : members;
      const { domain = null } = fieldsOf(view, leader);
      const whose = leader === group ? `its group ${group}` : `${leader} of its group`;
      return first(members, (dev) => {
        const attached = fieldsOf(view, dev).domain ?? null;
        return attached === domain
          ? undefined
          : `${dev} is attached to ${shown(attached)}, and ${whose} to ${shown(domain)}`;
      });
    }),
  );
}

/** INV-12, at rest: devices with the same requester id are in the same group. */
function oneGroupPerAlias(k: Kernel): Invariant {
  const devices = Object.keys(k.devices);
  return invariant({ id: 'INV-12', entities: devices, when: 'end' }, (view) => {
    const groupOf = (dev: string) => fieldsOf(view, dev).iommu_group ?? null;
    const joined = devices.filter((dev) => groupOf(dev) !== null);
    return first(joined, (dev) =>
      first(
        k.aliasesOf(dev).filter((peer) => joined.includes(peer)),
        (peer) =>
          groupOf(dev) === groupOf(peer)
            ? undefined
            : `${dev} and ${peer} have the same requester id and are in ${shown(groupOf(dev))} and ${shown(groupOf(peer))}`,
      ),
    );
  });
}

/** INV-19, at rest: a group has a reference of each of its devices and of those that hold it. */
function groupLifetime(k: Kernel): Invariant {
  return invariant({ id: 'INV-19', entities: k.groups, when: 'end' }, (view) =>
    first(k.groups, (group) => {
      if (view[group].state !== 'live') return undefined;
      const { refs } = view[group].context as ObjectMemory;
      const members = membersOf(view, group).length;
      const held = k.startsWith(group) ? (k.startOf(group).held ?? 0) : 0;
      if (refs === members + held) return undefined;
      const by = `${members} devices and ${held} others`;
      return `${group} has ${refs} references, of ${by}: ${refs > members + held ? 'it leaks' : 'it can be freed under them'}`;
    }),
  );
}

/** INV-19, at rest: a group that could not be made leaves no memory behind. */
function noLeakedName(): Invariant {
  return invariant({ id: 'INV-19', entities: [IOMMU_CORE], when: 'end' }, (view) => {
    const [group] = listed(view[IOMMU_CORE].context as ObjectMemory, 'kobject names');
    return group === undefined ? undefined : `the name of the kobject of ${group} leaks`;
  });
}

/**
 * INV-04, at rest: an add that failed leaves the device as it was, and nobody believes that it came;
 * a probe that fails after the add, v5.8 to v5.18, tells ADD_DEVICE and takes it back. References to
 * groups are INV-19.
 *
 * @param ret a struct whose field `ret` has what the add returned
 * @param listener what hears the group's notifications of the device, if anybody
 */
export function failedAddIsNeutral(
  k: Kernel,
  {
    dev,
    ret,
    listener,
  }: { readonly dev: string; readonly ret: string; readonly listener?: string },
): Invariant {
  const entities = [dev, ret, ...(listener === undefined ? [] : [listener]), ...k.groups];
  return invariant({ id: 'INV-04', entities, when: 'end' }, (view) => {
    if ((fieldsOf(view, ret).ret ?? 0) === 0) return undefined;
    const { iommu_group = null, link = null } = fieldsOf(view, dev);
    if (iommu_group !== null) {
      return `the add failed, and ${dev}->iommu_group is ${shown(iommu_group)}`;
    }
    if (link !== null) return `the add failed, and ${dev} has a link to ${shown(link)}`;
    if (listener !== undefined) {
      const { heard } = view[listener].context as { heard: Readonly<Record<string, string>> };
      if (heard[dev] === 'ADD_DEVICE') return `the add failed, and ${listener} heard ADD_DEVICE`;
    }
    return first(k.groups, (group) => {
      if (membersOf(view, group).includes(dev)) return `the add failed, and ${dev} is in ${group}`;
      const left = linksOf(view, group).find((name) => isLinkOf(name, dev));
      return left === undefined ? undefined : `the add failed, and ${group} has the link ${left}`;
    });
  });
}

/** INV-20: no device is attached to a domain that is freed. */
function noFreedDomain(k: Kernel): Invariant {
  const devices = Object.keys(k.devices);
  const entities = [...devices, ...k.allDomains];
  return invariant({ id: 'INV-20', entities }, (view) =>
    first(devices, (dev) => {
      const { domain } = fieldsOf(view, dev);
      return typeof domain === 'string' && view[domain].state === 'freed'
        ? `${dev} is attached to ${domain}, which is freed`
        : undefined;
    }),
  );
}

/** INV-35: while a group is owned no driver that uses the DMA API is bound in it. */
function exclusiveOwner(k: Kernel): Invariant {
  const devices = Object.keys(k.devices);
  const entities = [...k.groups, ...devices, ...devices.map((dev) => k.lifeOf(dev))];
  return invariant({ id: 'INV-35', entities }, (view) =>
    first(devices, (dev) => {
      const { driver, iommu_group } = fieldsOf(view, dev);
      if (typeof driver !== 'string' || typeof iommu_group !== 'string') return undefined;
      if (k.drivers[driver]?.managesDma === true) return undefined;
      const { owner = null } = fieldsOf(view, iommu_group);
      return owner !== null && view[k.lifeOf(dev)].state.startsWith('bound')
        ? `${dev} is bound to ${driver}, and ${shown(owner)} owns its group ${iommu_group}`
        : undefined;
    }),
  );
}

function shown(value: unknown): string {
  return typeof value === 'string' ? value : 'NULL';
}

function fieldsOf(view: View, name: string): Readonly<Record<string, unknown>> {
  return (view[name].context as ObjectMemory).fields;
}

function membersOf(view: View, group: string): string[] {
  return listed(view[group].context as ObjectMemory, 'devices').map((entry) => memberOf(entry).dev);
}

function linksOf(view: View, group: string): string[] {
  return listed(view[group].context as ObjectMemory, 'links');
}

/** `d0`, `d0.0`, …: AD5. */
function isLinkOf(name: string, dev: string): boolean {
  return name === dev || (name.startsWith(`${dev}.`) && /^\d+$/.test(name.slice(dev.length + 1)));
}
