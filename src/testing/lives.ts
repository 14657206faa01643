/**
 * Life cycles: what threads call of what there is. Source: B.2, A1.2, A1.3, C.1 for which calls
 * belong together, and who may make them.
 */

import type { KernelProfile } from '../../machines/profiles/profile.js';
import type { HotplugProgram } from './hotplug-program.js';
import { hasOperation, OPERATION_NAMES, rolesOf } from './operations.js';
import type { Operation } from './operations.js';

/** What is there to call something of. */
export type Things = Omit<HotplugProgram, 'threads' | 'faults' | 'kernel'>;

/** Indexes, each taken modulo what there is: so every pick means something, and smaller ones less. */
export interface Pick {
  readonly what: number;
  readonly of: number;
  readonly with: number;
  /** Both calls of a life cycle, and not the first alone. */
  readonly whole: boolean;
}

/** One life cycle that a thread may run. */
interface Life {
  readonly calls: readonly Operation[];
  /** What it says what becomes of: nobody else may, and not twice. */
  readonly owns: readonly string[];
}

/**
 * What any caller may do: devices are added and deleted by who owns them, drivers, groups, owners
 * and listeners likewise; binding, unbinding and looking are anybody's. A thread for which nothing
 * is left has no calls.
 */
export function validCalls(
  things: Things,
  profile: KernelProfile,
  picks: readonly (readonly Pick[])[],
): HotplugProgram['threads'] {
  const owned = new Set<string>();
  return named(
    picks.map((thread) =>
      thread.flatMap((pick) => {
        const all = livesOf(things, profile, pick).filter(({ owns }) =>
          owns.every((name) => !owned.has(name)),
        );
        if (all.length === 0) return [];
        const { calls, owns } = all[pick.what % all.length];
        for (const name of owns) owned.add(name);
        return pick.whole ? calls : calls.slice(0, 1);
      }),
    ),
  );
}

/** Whatever there is to call, by whomever, also what no caller may do. */
export function anyCalls(
  things: Things,
  profile: KernelProfile,
  picks: readonly (readonly Pick[])[],
): HotplugProgram['threads'] {
  return named(
    picks.map((thread) =>
      thread.flatMap((pick) => {
        const all = OPERATION_NAMES.filter(
          (name) => hasOperation(name, profile) && callOf(things, name, pick) !== undefined,
        );
        const name = all[pick.what % all.length];
        return all.length === 0 ? [] : [callOf(things, name, pick)!];
      }),
    ),
  );
}

function named(threads: readonly (readonly Operation[])[]): HotplugProgram['threads'] {
  return Object.fromEntries(
    threads.filter((calls) => calls.length > 0).map((calls, i) => [`T${i}`, calls]),
  );
}

/** One that is not there is undefined. */
function at<T>(all: readonly T[], index: number): T | undefined {
  return all[index % Math.max(1, all.length)];
}

/** The call with arguments of what there is; undefined where something is not there. */
function callOf(
  things: Things,
  name: Operation[0],
  { of, with: other }: Pick,
): Operation | undefined {
  const { devices, drivers, groups, domains, listeners } = things;
  const onGroup = name.startsWith('iommu_group_');
  // Only blocks that the set-up says come or go are on a chain that can be changed.
  const blocks = Object.entries(listeners).filter(
    ([, { on, registered, unregisters }]) =>
      (on === 'pci->bus_notifier') !== onGroup && (registered === false || unregisters === true),
  );
  const block = at(blocks, of);
  const args = rolesOf(name).map((role) => {
    switch (role) {
      case 'dev':
        return at(Object.keys(devices), of);
      case 'driver':
        return at(Object.keys(drivers), name === 'device_driver_attach' ? other : of);
      case 'group':
        // A block is registered on the chain that it is made for.
        if (!rolesOf(name).includes('block')) return at(groups, other);
        return block?.[1].on.replace('->notifier', '');
      case 'domain':
        return at(domains, of);
      case 'bus':
        return 'pci';
      case 'block':
        return block?.[0];
      case 'owner':
        return 'vfio';
    }
  });
  return args.includes(undefined) ? undefined : ([name, ...args] as unknown as Operation);
}

/** The life cycles that can be of the things that a pick names. */
function livesOf(things: Things, profile: KernelProfile, pick: Pick): readonly Life[] {
  const { devices, drivers, groups, domains, listeners, iommu = true } = things;
  const lives: Life[] = [];
  const dev = at(Object.keys(devices), pick.of);
  const driver = at(Object.keys(drivers), pick.with);
  const group = at(groups, pick.with);
  const domain = at(domains, pick.of);
  const live = (owns: readonly string[], ...calls: readonly Operation[]) => {
    if (calls.every(([name]) => hasOperation(name, profile))) lives.push({ calls, owns });
  };

  if (dev !== undefined) {
    const { present, group: joined, driver: bound } = devices[dev];
    const there = present ?? (joined !== undefined || bound !== undefined);
    if (there) live([dev], ['device_del', dev]);
    else live([dev], ['device_add', dev], ['device_del', dev]);
    if (driver !== undefined) {
      live([], ['device_driver_attach', dev, driver], ['device_release_driver', dev]);
    }
    live([], ['device_release_driver', dev], ['device_attach', dev]);
    live([], ['device_attach', dev]);
    // The IOMMU driver of a bus without an IOMMU core does it itself.
    if (!iommu && there && group !== undefined) {
      const add: Operation = ['iommu_group_add_device', joined ?? group, dev];
      const remove: Operation = ['iommu_group_remove_device', dev];
      if (joined === undefined) live([dev], add, remove);
      else live([dev], remove, add);
    }
    if (iommu && there && joined === undefined) {
      live([dev], ['iommu_probe_device', dev], ['iommu_release_device', dev]);
    }
    // Who is deleted meanwhile is not asked: its caller has a reference, its group has none.
    if (joined !== undefined) live([], ['iommu_group_get', dev]);
  }
  if (driver !== undefined) {
    const { registered = true } = drivers[driver];
    if (registered) live([driver], ['driver_unregister', driver]);
    else live([driver], ['driver_register', driver], ['driver_unregister', driver]);
  }
  if (group !== undefined) {
    live([], ['iommu_group_for_each_dev', group]);
    if (iommu) {
      live(
        [group],
        ['iommu_group_claim_dma_owner', group, 'vfio'],
        ['iommu_group_release_dma_owner', group],
      );
    }
    // Since v5.19 who attaches must own the group first.
    if (iommu && domain !== undefined && profile.groupDomain && !profile.dmaOwnership) {
      live([group], ['iommu_attach_group', domain, group], ['iommu_detach_group', domain, group]);
    }
  }
  for (const [block, { on, registered = true, unregisters = false }] of Object.entries(listeners)) {
    const onBus = on === 'pci->bus_notifier';
    const where = onBus ? 'pci' : on.replace('->notifier', '');
    const register: Operation = onBus
      ? ['bus_register_notifier', where, block]
      : ['iommu_group_register_notifier', where, block];
    const unregister: Operation = onBus
      ? ['bus_unregister_notifier', where, block]
      : ['iommu_group_unregister_notifier', where, block];
    if (!registered) live([block], register, unregister);
    else if (unregisters) live([block], unregister);
  }
  return lives;
}
