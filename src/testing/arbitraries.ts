/**
 * fast-check arbitraries for hotplug life: what there is, who listens, and which thread calls what.
 * All of them are plain JSON and shrink to less of everything.
 */

import * as fc from 'fast-check';
import { BUS_ACTIONS, GROUP_ACTIONS } from '../../events/actions.js';
import type { KernelProfile } from '../../machines/profiles/profile.js';
import { PROFILES, profileByName } from '../../machines/profiles/timeline.js';
import type {
  HotplugProgram,
  ProgramDevice,
  ProgramDriver,
  ProgramListener,
} from './hotplug-program.js';
import { anyCalls, validCalls } from './lives.js';
import type { Pick } from './lives.js';

/** What there is when the threads begin. */
export type Topology = Omit<HotplugProgram, 'threads' | 'listeners' | 'faults' | 'kernel'>;

export interface TopologyConstraints {
  /** Devices at most; 2 where left out. Each doubles what there is to search, or worse. */
  readonly maxDevices?: number;
  /** Drivers at most; 1 where left out. */
  readonly maxDrivers?: number;
}

export interface ProgramConstraints extends TopologyConstraints {
  /** Of which one is drawn; those that hotrace names where left out. */
  readonly kernels?: readonly string[];
  /** Threads at most; 2 where left out. */
  readonly maxThreads?: number;
  /** Life cycles of a thread at most; 1 where left out. One is two calls or fewer. */
  readonly maxLives?: number;
  /** Listeners at most; 1 where left out. */
  readonly maxListeners?: number;
  /** Faults of a run at most; 0 where left out. */
  readonly maxFaults?: number;
  /**
   * `valid`: of each thing one thread at a time says what becomes of it, in the order that its life
   * has: what any caller may do. `any`: whatever call by whomever, also what no caller may do.
   */
  readonly lives?: 'valid' | 'any';
}

/** A generation of kernels by name; shrinks to the newest of those given. */
export function kernels(names?: readonly string[]): fc.Arbitrary<string> {
  const all = names ?? PROFILES.map(({ name }) => name);
  return fc.constantFrom(...all.toReversed());
}

/** How many faults a run may have, at most; shrinks to none. */
export function faultBudgets(max = 2): fc.Arbitrary<number> {
  return fc.nat({ max });
}

/**
 * One device: a function of its own, or behind a bridge that gives all its functions one requester
 * id; there when the threads begin, or not.
 */
export function devices(): fc.Arbitrary<ProgramDevice> {
  return fc.record({ present: fc.boolean(), bridge: fc.boolean() }).map(({ present, bridge }) => ({
    ...(present ? { present } : {}),
    ...(bridge ? { alias: 'b0' } : {}),
  }));
}

/** One driver. */
export function drivers(): fc.Arbitrary<ProgramDriver> {
  return fc
    .record({ waits: fc.boolean(), async: fc.boolean(), managesDma: fc.boolean() })
    .map(({ waits, async, managesDma }) => ({
      ...(waits ? { registered: false } : {}),
      ...(async ? { async } : {}),
      ...(managesDma ? { managesDma } : {}),
    }));
}

/**
 * What there is when the threads begin: functions by themselves, functions behind a bridge that
 * shares its requester id, groups that devices are in, drivers that are bound or come later.
 */
export function topologies(constraints: TopologyConstraints = {}): fc.Arbitrary<Topology> {
  const { maxDevices = 2, maxDrivers = 1 } = constraints;
  const slot = fc.record({ device: devices(), joined: fc.boolean(), bound: fc.boolean() });
  return fc
    .record({
      slots: fc.array(slot, { minLength: 1, maxLength: maxDevices }),
      drivers: fc.array(drivers(), { maxLength: maxDrivers }),
      iommu: fc.boolean(),
      oneGroup: fc.boolean(),
      domains: fc.nat({ max: 1 }),
    })
    .map(({ slots, drivers, iommu, oneGroup, domains }) => {
      const named = Object.fromEntries(drivers.map((driver, i) => [`r${i}`, driver]));
      const ready = Object.keys(named).filter((name) => named[name].registered !== false);
      const groups = new Set<string>();
      const devices = slots.map(({ device, joined, bound }, i) => {
        if (device.present !== true || !joined) return [`d${i}`, device] as const;
        // Who shares a requester id shares a group.
        const group = oneGroup || device.alias !== undefined ? 'g0' : `g${i}`;
        groups.add(group);
        const driver = bound ? ready[i % Math.max(1, ready.length)] : undefined;
        return [
          `d${i}`,
          { ...device, group, ...(driver === undefined ? {} : { driver }) },
        ] as const;
      });
      if (!iommu && groups.size === 0) groups.add('g0');
      return {
        ...(iommu ? {} : { iommu }),
        devices: Object.fromEntries(devices),
        drivers: named,
        groups: [...groups].sort(),
        domains: domains === 0 || groups.size === 0 ? [] : ['E0'],
      };
    });
}

/** NOTIFY_DONE, NOTIFY_OK, NOTIFY_STOP, NOTIFY_BAD (B.1.1). */
const RETURNS = [0, 1, 0x8001, 0x8002] as const;

/**
 * Listeners with priorities and return values, by block.
 *
 * @param chains where they may be: `pci->bus_notifier`, `g0->notifier`
 * @param max how many at most
 */
export function listenerSets(
  chains: readonly string[],
  max = 2,
): fc.Arbitrary<Readonly<Record<string, ProgramListener>>> {
  if (chains.length === 0 || max === 0) return fc.constant({});
  const listener = fc.record({
    on: fc.constantFrom(...chains),
    priority: fc.nat({ max: 2 }),
    changes: fc.constantFrom('stays', 'leaves', 'comes'),
    action: fc.nat({ max: 7 }),
    ret: fc.constantFrom(...RETURNS),
  });
  return fc.array(listener, { maxLength: max }).map((listeners) =>
    Object.fromEntries(
      listeners.map(({ on, priority, changes, action, ret }, i): [string, ProgramListener] => {
        const actions: readonly string[] = on.endsWith('->notifier') ? GROUP_ACTIONS : BUS_ACTIONS;
        return [
          `l${i}`,
          {
            on,
            ...(priority === 0 ? {} : { priority }),
            ...(changes === 'leaves' ? { unregisters: true } : {}),
            ...(changes === 'comes' ? { registered: false } : {}),
            ...(ret === 0 ? {} : { returns: { [actions[action % actions.length]]: ret } }),
          },
        ];
      }),
    ),
  );
}

/** What threads call, each for itself: indexes that a topology gives a meaning. */
function picks(constraints: ProgramConstraints): fc.Arbitrary<readonly (readonly Pick[])[]> {
  const { maxThreads = 2, maxLives = 1 } = constraints;
  const pick: fc.Arbitrary<Pick> = fc.record({
    what: fc.nat({ max: 63 }),
    of: fc.nat({ max: 7 }),
    with: fc.nat({ max: 7 }),
    whole: fc.boolean(),
  });
  const thread = fc.array(pick, { minLength: 1, maxLength: maxLives });
  return fc.array(thread, { minLength: Math.min(2, maxThreads), maxLength: maxThreads });
}

/**
 * Programs: a topology, listeners, faults, a generation, and what each thread calls. Every program
 * names what it has; all that is called is there on its generation.
 */
export function programs(constraints: ProgramConstraints = {}): fc.Arbitrary<HotplugProgram> {
  const { maxListeners = 1, maxFaults = 0, lives = 'valid' } = constraints;
  return fc
    .tuple(topologies(constraints), kernels(constraints.kernels))
    .chain(([topology, kernel]) => {
      const profile = profileOf(kernel);
      const chains = [
        'pci->bus_notifier',
        ...(profile.groupNotifier ? topology.groups.map((group) => `${group}->notifier`) : []),
      ];
      return fc
        .record({
          listeners: listenerSets(chains, maxListeners),
          picks: picks(constraints),
          faults: faultBudgets(maxFaults),
        })
        .map(({ listeners, picks, faults }): HotplugProgram => {
          const calls = lives === 'valid' ? validCalls : anyCalls;
          const threads = calls({ ...topology, listeners }, profile, picks);
          return { kernel, ...topology, listeners, threads, faults };
        });
    });
}

function profileOf(kernel: string): KernelProfile {
  const profile = profileByName(kernel);
  if (profile === undefined) throw new RangeError(`"${kernel}" is no version of a kernel`);
  return profile;
}
