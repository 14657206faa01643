/**
 * A program of hotplug as plain JSON: what there is, who listens, and which thread calls what. It
 * can be generated, printed, written to a file, made smaller, and explored on any generation.
 */

import { createMachine, emit } from 'xstate';
import type { AnyStateMachine } from 'xstate';
import { hotplug } from '../../machines/kernel/hotplug.js';
import type { Hotplug, ListenerSetup } from '../../machines/kernel/hotplug.js';
import type { GroupVariant } from '../../machines/kernel/iommu-group.js';
import { membershipListenerMachine } from '../../machines/membership-listener.js';
import type { Monitor, ScenarioFor } from '../../machines/scenario.js';
import { namesIn, operationText, runOperations } from './operations.js';
import type { Operation } from './operations.js';

/** A device of a program; as DeviceSetup. */
export interface ProgramDevice {
  readonly present?: boolean;
  readonly driver?: string;
  readonly group?: string;
  readonly alias?: string;
  readonly deferred?: boolean;
}

/** A driver of a program; as DriverSetup. */
export interface ProgramDriver {
  readonly registered?: boolean;
  readonly matches?: readonly string[];
  readonly async?: boolean;
  readonly managesDma?: boolean;
}

/** A notifier block of a program. It hears everything, and returns what it is told to. */
export interface ProgramListener {
  /** The chain: `pci->bus_notifier`, `g0->notifier`. */
  readonly on: string;
  readonly priority?: number;
  readonly registered?: boolean;
  readonly unregisters?: boolean;
  /** What its callback returns, by action; NOTIFY_DONE where left out. */
  readonly returns?: Readonly<Record<string, number>>;
}

/** Plain JSON: what is generated, printed and saved. */
export interface HotplugProgram {
  /** The generation that it is of, `v5.10`; every one where left out. */
  readonly kernel?: string;
  /** Whether the bus `pci` has an IOMMU; so it has where left out. */
  readonly iommu?: boolean;
  readonly devices: Readonly<Record<string, ProgramDevice>>;
  readonly drivers: Readonly<Record<string, ProgramDriver>>;
  /** Groups that are there when the threads begin, each with a reference of somebody. */
  readonly groups: readonly string[];
  /** Domains that somebody has made. */
  readonly domains: readonly string[];
  readonly listeners: Readonly<Record<string, ProgramListener>>;
  /** By the name of the thread. */
  readonly threads: Readonly<Record<string, readonly Operation[]>>;
  /** Allocations, attaches and probes that may fail in a run, at most. */
  readonly faults: number;
  /** As KernelSetup.order. */
  readonly order?: GroupVariant;
}

/**
 * What of a program is no plain data: the code that is under test. Its listeners are beside those of
 * the program, or in the place of one that has the same name.
 */
export type ProgramCode = Pick<Hotplug, 'listeners' | 'invariants' | 'monitors' | 'entities'>;

/** Whether a value is a program, by what every program has. */
export function isProgram(value: unknown): value is HotplugProgram {
  if (value === null || typeof value !== 'object') return false;
  const { devices, drivers, groups, threads, listeners } = value as Record<string, unknown>;
  return (
    isRecord(devices) &&
    isRecord(drivers) &&
    Array.isArray(groups) &&
    isRecord(listeners) &&
    isRecord(threads) &&
    Object.values(threads).every(Array.isArray)
  );
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

/** The program as the scenario that it is on every generation. */
export function programScenario(program: HotplugProgram, code: ProgramCode = {}): ScenarioFor {
  return hotplug(programSetup(program, code));
}

/** What hotplug() is told of the program. */
export function programSetup(program: HotplugProgram, code: ProgramCode = {}): Hotplug {
  const { devices, drivers, domains, listeners, threads, faults, iommu, order } = program;
  const operations = Object.values(threads).flat();
  const count = (...names: readonly string[]) =>
    operations.filter(([name]) => names.includes(name)).length;
  const { listeners: own, monitors, ...rest } = code;
  const all: Readonly<Record<string, ListenerSetup>> = {
    ...Object.fromEntries(
      Object.entries(listeners).map(([block, { returns = {}, ...setup }]) => [
        block,
        { ...setup, is: earsReturning(returns) },
      ]),
    ),
    ...own,
  };
  // Every call may make a group, and a device that comes again another one.
  const spareGroups = count('device_add', 'iommu_probe_device');
  return {
    name: threadsText(threads),
    buses: { pci: { iommu: iommu ?? true } },
    devices,
    drivers,
    groups: groupSetups(program),
    domains,
    listeners: all,
    monitors: { ...membershipMonitors(all), ...monitors },
    ...(faults > 0 ? { mayFail: true, faults } : {}),
    ...(order === undefined ? {} : { order }),
    driversLeave: count('driver_unregister') > 0,
    spareGroups,
    spareDomains: 2 * (spareGroups + program.groups.length) + count('iommu_group_claim_dma_owner'),
    run: Object.fromEntries(
      Object.entries(threads).map(([thread, calls]) => [thread, (k) => runOperations(k, calls)]),
    ),
    ...rest,
  };
}

/** INV-01 of each listener on a group by itself: others may be on the same chain. */
export function membershipMonitors(
  listeners: Readonly<Record<string, ListenerSetup>>,
): Readonly<Record<string, Monitor>> {
  return Object.fromEntries(
    Object.entries(listeners)
      .filter(([, { on, is }]) => on.endsWith('->notifier') && typeof is !== 'function')
      .map(([block, { on }]) => [
        `memberships that ${block} hears of`,
        {
          machine: membershipListenerMachine,
          listeners: [block],
          hears: { chain: on, block },
        },
      ]),
  );
}

/**
 * The groups that are there, each held by somebody. New ones are numbered from how many there are,
 * so those that a smaller number would have are there as well, and empty.
 */
function groupSetups({ iommu, devices, groups }: HotplugProgram): NonNullable<Hotplug['groups']> {
  const joined = Object.values(devices).flatMap(({ group }) => group ?? []);
  const known = [...new Set([...groups, ...joined])];
  const last = Math.max(-1, ...known.map((name) => Number(/^g(\d+)$/.exec(name)?.[1] ?? -1)));
  const below = Array.from({ length: last + 1 }, (_, n) => `g${n}`);
  // Without an IOMMU there is no domain to attach to.
  const setup = iommu === false ? { domain: null, default_domain: null } : {};
  return Object.fromEntries(
    [...new Set([...below, ...known])].map((group) => [
      group,
      { ...setup, held: groups.includes(group) ? 1 : 0 },
    ]),
  );
}

const EARS = new Map<string, AnyStateMachine>();

/** A listener that hears everything: one machine for those that return the same. */
function earsReturning(returns: Readonly<Record<string, number>>): AnyStateMachine {
  const key = JSON.stringify(Object.entries(returns).sort());
  let machine = EARS.get(key);
  if (machine === undefined) {
    const answers = Object.entries(returns).map(
      ([action, ret]) => [action, { actions: emit({ type: 'returns', ret }) }] as const,
    );
    machine = createMachine({ on: { ...Object.fromEntries(answers), '*': { actions: () => {} } } });
    EARS.set(key, machine);
  }
  return machine;
}

/** `device_add(d0) | driver_register(r0)` */
function threadsText(threads: HotplugProgram['threads']): string {
  return Object.values(threads)
    .map((calls) => calls.map(operationText).join('; '))
    .join(' | ');
}

/**
 * The program for people, as it is written in a test: a call of `check` with it runs it again.
 */
export function programText(program: HotplugProgram): string {
  const { kernel, iommu = true, devices, drivers, groups, domains } = program;
  const { listeners, threads, faults, order } = program;
  const out: string[] = [];
  const told = (what: string, names: readonly string[]) => {
    if (names.length > 0) out.push(`${what.padEnd(9)} ${names.join(', ')}`);
  };
  if (kernel !== undefined) told('kernel', [kernel]);
  if (!iommu) told('bus', ['pci without IOMMU']);
  if (order !== undefined) told('order', [order]);
  told('devices', Object.entries(devices).map(named));
  told('drivers', Object.entries(drivers).map(named));
  told('groups', groups);
  told('domains', domains);
  told('listeners', Object.entries(listeners).map(named));
  if (faults > 0) told('faults', [String(faults)]);
  for (const [thread, calls] of Object.entries(threads)) {
    told(thread, [calls.map(operationText).join('; ')]);
  }
  return out.join('\n');
}

/** `d0 { group: g0 }` */
function named([name, fields]: readonly [string, object]): string {
  const told = Object.entries(fields).map(([field, value]) => {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    return `${field}: ${text}`;
  });
  return told.length === 0 ? name : `${name} { ${told.join(', ')} }`;
}

/**
 * What a program names and does not have, as a sentence: a program may be written by hand.
 *
 * @param code may have listeners of its own
 * @returns undefined where nothing is wrong
 */
export function programProblem(
  program: HotplugProgram,
  code: ProgramCode = {},
): string | undefined {
  const { devices, drivers, groups, domains, listeners, threads } = program;
  const blocks = { ...listeners, ...code.listeners };
  for (const [thread, calls] of Object.entries(threads)) {
    for (const call of calls) {
      const missing = [
        ...namesIn(call, 'dev').filter((dev) => !Object.hasOwn(devices, dev)),
        ...namesIn(call, 'driver').filter((driver) => !Object.hasOwn(drivers, driver)),
        ...namesIn(call, 'group').filter((group) => !groups.includes(group)),
        ...namesIn(call, 'domain').filter((domain) => !domains.includes(domain)),
        ...namesIn(call, 'block').filter((block) => !Object.hasOwn(blocks, block)),
      ];
      if (missing.length > 0) {
        return `${thread} calls ${operationText(call)}, and there is no ${missing.join(', ')}`;
      }
    }
  }
  return undefined;
}
