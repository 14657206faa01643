/**
 * A scenario of one's own in a few lines: which devices, drivers and groups there are, who listens,
 * and what runs beside what, on any generation.
 */

import { lettingPass } from '../listener.js';
import { membershipListenerMachine } from '../membership-listener.js';
import { notifierListMachine } from '../notifier-list.js';
import type { KernelProfile } from '../profiles/profile.js';
import { rwsemMachine } from '../rwsem.js';
import type { Entity, Monitor, Scenario, ScenarioFor } from '../scenario.js';
import { SetUpError } from '../set-up-error.js';
import type { Delivery, Thread } from '../step.js';
import { groupNames, Kernel } from './kernel.js';
import type { DeviceSetup } from './kernel.js';
import { scenarioOf } from './kernel-scenario.js';
import type { KernelScenario } from './kernel-scenario.js';
import { IOMMU_BLOCK } from './entity-names.js';
import { listenerCall } from './notifier-chain.js';
import { checkSetUp } from './set-up-check.js';
import type { Chain, FixedBlock, NotifierCall } from './notifier-chain.js';

/** What a block's owner does in its callback. Returns NOTIFY_*, or a raw negative errno. */
export type ListenerCall = (called: Delivery, k: Kernel) => Thread<number>;

/** A notifier block of one's own. */
export interface ListenerSetup {
  /** The chain: `pci->bus_notifier`, `g0->notifier`. */
  readonly on: string;
  /** Higher is called first; 0 where left out. */
  readonly priority?: number;
  /** It is on the chain when the threads begin; so it is where left out. */
  readonly registered?: boolean;
  /** It may leave the chain while they run. */
  readonly unregisters?: boolean;
  /**
   * What it is: a machine that gets `{ type: 'BIND_DRIVER', dev: 'd0' }` and the like, and may emit
   * `{ type, ret }` to say what its callback returns; a machine with what it starts from; or the
   * callback itself, as steps. One on a group hears nothing where groups have no notifier.
   */
  readonly is: Entity | ListenerCall;
}

export interface Hotplug extends Omit<KernelScenario, 'profile' | 'blocks' | 'chains'> {
  /** By the names of their blocks. */
  readonly listeners?: Readonly<Record<string, ListenerSetup>>;
}

/**
 * The scenario, for every generation: `hotrace explore FILE --kernel v5.10,v6.12` chooses. What must
 * hold are the rules that apply to every kernel, INV-01 for each listener on a group, and those that
 * the scenario says itself. Throws SetUpError where it names what is not there.
 */
export function hotplug(told: Hotplug): ScenarioFor {
  return (profile) => scenarioOn(profile, told);
}

function scenarioOn(profile: KernelProfile, told: Hotplug): Scenario {
  const { listeners = {}, ...rest } = told;
  const spares = {
    spareGroups: Object.keys(rest.devices ?? {}).length + SPARES,
    spareParams: SPARES,
  };
  checkSetUp(told, groupNames({ ...spares, ...rest, profile }));
  const all: readonly Listener[] = Object.entries(listeners).map(([block, each]) => ({
    block,
    ...each,
    call: callOf(block, each.is, () => k),
  }));
  const machines = all.flatMap(({ block, is }): [string, Entity][] =>
    typeof is === 'function' ? [] : [[block, listening(is)]],
  );
  const later = Object.entries(rest.buses ?? {})
    .filter(([, { iommu }]) => iommu === 'later')
    .map(([bus]) => `${bus}->bus_notifier`);
  const names = [...new Set([...later, ...all.map(({ on }) => on)])];
  const changed = names.filter(
    (name) => later.includes(name) || onChain(name, all).some(leavesOrComes),
  );
  const fixed = names.filter((name) => !changed.includes(name));
  const setup: KernelScenario = {
    ...spares,
    ...rest,
    profile,
    devices: returning(rest.devices ?? {}),
    blocks: Object.fromEntries(fixed.map((name) => [name, onChain(name, all).map(blockOf)])),
    countsMemberships: profile.groupNotifier && all.some(isOnGroup),
    chains: changed.map((name) => chainOf(name, profile, onChain(name, all))),
    entities: {
      ...Object.fromEntries(machines),
      ...Object.fromEntries(
        changed.flatMap((name) => chainEntities(name, profile, told, onChain(name, all))),
      ),
      ...rest.entities,
    },
    monitors: { ...membershipMonitors(profile, all), ...rest.monitors },
  };
  const k = new Kernel(setup);
  checkThreads(k, told);
  return scenarioOf(k, setup);
}

/** Devices come more than once, or are asked for twice at a time. */
const SPARES = 2;

/** Throws SetUpError for a thread that does nothing: it called what it should have yielded. */
function checkThreads(k: Kernel, { run }: Hotplug): void {
  for (const [thread, body] of Object.entries(run)) {
    if (doesNothing(() => body(k))) {
      throw new SetUpError(`thread ${thread} makes no step`, 'write yield* before what it calls');
    }
  }
}

/** What it throws, and whether it is a generator, is for the search to say. */
function doesNothing(body: () => Thread): boolean {
  try {
    return body().next().done === true;
  } catch {
    return false;
  }
}

function listening(entity: Entity): Entity {
  return 'machine' in entity
    ? { ...entity, machine: lettingPass(entity.machine) }
    : lettingPass(entity);
}

/** Who is added is a new device, also where one of its name was deleted before. */
function returning(
  devices: Readonly<Record<string, DeviceSetup>>,
): Readonly<Record<string, DeviceSetup>> {
  return Object.fromEntries(
    Object.entries(devices).map(([dev, told]) => [dev, { returns: true, ...told }]),
  );
}

type Listener = ListenerSetup & { readonly block: string; readonly call: NotifierCall };

function isOnGroup({ on }: Listener): boolean {
  return on.endsWith('->notifier');
}

function onChain(chain: string, all: readonly Listener[]): readonly Listener[] {
  return all.filter(({ on }) => on === chain);
}

function leavesOrComes({ registered = true, unregisters = false }: Listener): boolean {
  return !registered || unregisters;
}

function callOf(block: string, is: Entity | ListenerCall, kernel: () => Kernel): NotifierCall {
  return typeof is === 'function' ? (called) => is(called, kernel()) : listenerCall(block);
}

function blockOf({ block, priority = 0, call }: Listener): FixedBlock {
  return { block, priority, call };
}

/** A chain that is changed while it is called: with its lock, and blocks as memory. */
function chainOf(name: string, profile: KernelProfile, on: readonly Listener[]): Chain {
  return {
    name,
    profile,
    kind: 'blocking',
    rwsem: `${name}.rwsem`,
    list: `${name}.head`,
    callbacks: Object.fromEntries(on.map(({ block, call }) => [block, call])),
    priorities: Object.fromEntries(on.map(({ block, priority = 0 }) => [block, priority])),
  };
}

function chainEntities(
  name: string,
  profile: KernelProfile,
  { buses = { pci: {} } }: Hotplug,
  on: readonly Listener[],
): readonly (readonly [string, Entity])[] {
  const there = on.filter(({ registered = true }) => registered);
  const bus = Object.keys(buses).find((each) => `${each}->bus_notifier` === name);
  // The IOMMU core's block goes first: it was registered before drivers could.
  const core = bus !== undefined && (buses[bus].iommu ?? true) === true ? [IOMMU_BLOCK] : [];
  const input = {
    [name]: [
      ...core.map((block) => ({ block, priority: 0 })),
      ...there.map(({ block, priority = 0 }) => ({ block, priority })),
    ],
  };
  return [
    [`${name}.rwsem`, rwsemMachine],
    [`${name}.head`, { machine: notifierListMachine(profile), input }],
  ];
}

/** INV-01 of every listener on a group that is a machine: it hears what the listener hears. */
function membershipMonitors(
  profile: KernelProfile,
  all: readonly Listener[],
): Readonly<Record<string, Monitor>> {
  if (!profile.groupNotifier) return {};
  const onGroups = all.filter((each) => isOnGroup(each) && typeof each.is !== 'function');
  return Object.fromEntries(
    onGroups.map(({ block, on }) => [
      `memberships that ${block} hears of`,
      {
        machine: membershipListenerMachine,
        listeners: [block],
        hears: { chain: on, block },
      },
    ]),
  );
}
