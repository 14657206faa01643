/** What a kernel consists of when its threads begin, as the entities of a scenario. Source: A1.1. */

import type { AnyStateMachine } from 'xstate';
import { deviceMachine } from '../device.js';
import type { DeviceLife } from '../device.js';
import { faultBudgetMachine } from '../fault-budget.js';
import { idaMachine } from '../ida.js';
import { kernelLogMachine } from '../kernel-log.js';
import { membershipFrom } from '../membership.js';
import { mutexMachine } from '../mutex.js';
import { struct } from '../object.js';
import { onceMachine } from '../once.js';
import type { KernelProfile } from '../profiles/profile.js';
import type { Entity } from '../scenario.js';
import {
  BUDGET,
  DRIVERS_BASE,
  IDA,
  IOMMU_CORE,
  KSET,
  LOG,
  NULL,
  PROBE_LOCK,
  SECOND_MUTEX,
} from './entity-names.js';
import { groupId, NEW_GROUP } from './iommu-group.js';
import type { Kernel } from './kernel.js';

/** The rules that a line of the kernel's log can break. */
const LOGGED = ['INV-06', 'INV-22', 'INV-25', 'INV-30', 'INV-33', 'INV-35'];

/** A struct device as device_initialize leaves it. */
export const NEW_DEVICE = {
  driver: null,
  dead: false,
  // kobject_add is over before anybody can find the device.
  state_in_sysfs: true,
  ready_to_probe: false,
  iommu_group: null,
  link: null,
  iommu: null,
  domain: null,
};

/** Every entity that the operations on this kernel may touch, by name. */
export function kernelEntities(k: Kernel): Readonly<Record<string, Entity>> {
  const { profile, setup } = k;
  const judged = setup.judgedAs ?? profile;
  const entities: Record<string, Entity> = {};
  const params: Record<string, readonly string[]> = {};
  const present = (dev: string) => isPresent(k, dev);
  const nameOf = (dev: string) => k.devices[dev].named;

  for (const dev of Object.keys(k.devices)) {
    const { group = null, driver = null, held = 0 } = k.devices[dev];
    const own = `iommu(${dev})`;
    const spares = Array.from(
      { length: setup.spareParams ?? 1 },
      (_, i) => own + "'".repeat(i + 1),
    );
    const known = group !== null && profile.probeDevice;
    params[k.sparesOf(dev)] = known ? spares : [own, ...spares];
    entities[dev] = struct({
      refs: 1 + held,
      fields: {
        ...NEW_DEVICE,
        driver,
        ready_to_probe: present(dev),
        iommu_group: group,
        link: group,
        iommu: known ? own : null,
        domain: group === null ? null : (k.startOf(group).domain ?? null),
      },
    });
    entities[own] = struct(
      known ? { fields: { fwspec: 'fwspec', priv: 'priv' } } : undefined,
      'INV-21',
    );
    for (const spare of spares) entities[spare] = struct(undefined, 'INV-21');
    entities[`${dev}->mutex`] = mutexMachine;
    entities[k.lifeOf(dev)] = lifeMachine(
      judged,
      driver !== null ? 'bound' : present(dev) ? 'idle' : 'adding',
    );
    entities[k.membershipOf(dev)] = membershipFrom(group === null ? 'none' : 'member');
    entities[k.probesOf(dev)] = onceMachine(
      'INV-02',
      `the IOMMU driver is asked to take ${dev}`,
      group === null ? 'undone' : 'done',
      {
        rule: 'INV-24',
        what: `the IOMMU driver is asked to release ${dev}, which it does not have`,
      },
    );
  }

  for (const group of k.groups) {
    const start = k.startsWith(group) ? k.startOf(group) : undefined;
    const members = Object.keys(k.devices).filter((dev) => k.devices[dev].group === group);
    entities[group] = struct(
      start === undefined
        ? undefined
        : {
            refs: members.length + (start.held ?? 0),
            fields: {
              ...NEW_GROUP,
              id: groupId(group),
              devices: members,
              links: members,
              default_domain: start.default_domain ?? null,
              domain: start.domain ?? null,
              blocking_domain: start.blocking_domain ?? null,
              owner: start.owner ?? null,
              owner_cnt: start.owner_cnt ?? usersOf(k, members),
            },
          },
    );
    entities[k.mutexOf(group)] = mutexMachine;
    entities[k.initOf(group)] = onceMachine(
      'INV-10',
      `${group}->default_domain is initialised`,
      (start?.default_domain ?? null) === null ? 'undone' : 'done',
    );
  }

  for (const domain of k.allDomains) {
    const spare = k.spareDomains.includes(domain);
    entities[domain] = struct(spare ? undefined : { fields: { type: 'paging' } }, 'INV-20');
  }

  for (const bus of Object.keys(k.buses)) {
    const on = (dev: string) => k.busOf(dev) === bus;
    const names = Object.keys(k.devices).filter((dev) => on(dev) && nameOf(dev) !== undefined);
    const registered = (driver: string) =>
      (k.drivers[driver].bus ?? 'pci') === bus && (k.drivers[driver].registered ?? true);
    entities[bus] = struct({
      fields: {
        devices: Object.keys(k.devices).filter((dev) => on(dev) && present(dev)),
        drivers: Object.keys(k.drivers).filter(registered),
        ...(names.length === 0 ? {} : { names: names.filter((dev) => present(dev)).map(nameOf) }),
        ...(setup.driversLeave === true ? { walked: [] } : {}),
        iommu_ops: k.hasIommuAtStart(bus) ? 'ops' : null,
        ...Object.fromEntries(
          setup.countsMemberships === true
            ? Object.keys(k.devices)
                .filter(on)
                .map((dev) => [k.membershipsOf(dev), k.devices[dev].group === undefined ? 0 : 1])
            : [],
        ),
      },
    });
  }
  for (const driver of Object.keys(k.drivers)) {
    const bound = Object.keys(k.devices).filter((dev) => k.devices[dev].driver === driver);
    entities[driver] = struct({ fields: { bound } });
  }
  const started = k.groups.filter((group) => k.startsWith(group));
  const ids = started.map(groupId);
  return {
    ...entities,
    [DRIVERS_BASE]: struct({ fields: { deferred: setup.deferred ?? [] } }),
    [IOMMU_CORE]: struct({
      fields: {
        'spare groups': k.groups.filter((group) => !k.startsWith(group)),
        'spare domains': k.spareDomains,
        ...params,
      },
    }),
    ...(setup.foundById === true
      ? { [KSET]: struct({ fields: Object.fromEntries(started.map((group) => [group, 1])) }) }
      : {}),
    [IDA]: { machine: idaMachine, input: { ids } },
    [PROBE_LOCK]: mutexMachine,
    [SECOND_MUTEX]: mutexMachine,
    [NULL]: struct(),
    [LOG]: kernelLogMachine(LOGGED),
    ...(k.budget === undefined ? {} : { [BUDGET]: faultBudgetMachine }),
  };
}

const LIVES = new WeakMap<KernelProfile, Map<DeviceLife, AnyStateMachine>>();

/** deviceMachine, which takes a while to make, one for all devices alike. */
function lifeMachine(profile: KernelProfile, life: DeviceLife): AnyStateMachine {
  const made = LIVES.get(profile) ?? new Map<DeviceLife, AnyStateMachine>();
  LIVES.set(profile, made);
  const machine = made.get(life) ?? deviceMachine(profile, life);
  made.set(life, machine);
  return machine;
}

/** Drivers that use the DMA API and are bound to members: each is counted since v5.19. */
function usersOf(k: Kernel, members: readonly string[]): number {
  if (!k.profile.dmaOwnership) return 0;
  const drivers = members.flatMap((dev) => k.devices[dev].driver ?? []);
  return drivers.filter((driver) => k.drivers[driver]?.managesDma !== true).length;
}

/** Who is bound or in a group is on its bus. */
function isPresent(k: Kernel, dev: string): boolean {
  const { present, driver, group } = k.devices[dev];
  return present ?? (driver !== undefined || group !== undefined);
}
