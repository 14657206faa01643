/**
 * The race of the 2012 review: a device is added to a group and removed from it at the same time.
 * "The client might end up getting the remove notification before it gets the add." Source: P-A1-1,
 * P-A1-2, ALT-A1-a, ALT-A1-b.
 */

import type { AnyStateMachine } from 'xstate';
import { deviceListMachine } from '../device-list.js';
import {
  deviceAdded,
  iommu_group_add_device,
  iommu_group_remove_device,
} from './add-remove-steps.js';
import type { GroupEntities, GroupVariant } from './add-remove-steps.js';
import { membershipListenerMachine } from '../membership-listener.js';
import { mutexMachine } from '../mutex.js';
import type { EntityView, Scenario } from '../scenario.js';
import { lock, unlock } from '../step.js';
import type { ThreadBody } from '../step.js';
import { variableMachine } from '../variable.js';

export interface AddRemoveOptions {
  /** Each has a thread that adds it and one that removes it. */
  readonly devices?: number;
  readonly listeners?: number;
  /** What a listener is; one that remembers where left out. */
  readonly listener?: AnyStateMachine;
  readonly variant?: GroupVariant;
  /** Callers serialise adding and removing a device (P-A1-2). */
  readonly serialised?: boolean;
  /** Listeners take group->mutex, as iommu_group_for_each_dev does. */
  readonly walks?: boolean;
}

/** The scenario, for the explorer. */
export function addRemove(options: AddRemoveOptions = {}): Scenario {
  const { variant = 'as posted', serialised = false, walks = false } = options;
  const devices = names('d', options.devices ?? 1);
  const listeners = names('l', options.listeners ?? 1);
  const listener = options.listener ?? membershipListenerMachine;
  const pointer = variableMachine(null);
  const pointerOf = (dev: string) => `${dev}->iommu_group`;
  const g: GroupEntities = {
    group: 'g0',
    bus: 'pci',
    mutex: 'group->mutex',
    list: 'group->devices',
    second: 'second mutex',
    listeners,
    walks,
    pointer: pointerOf,
  };
  const held = (dev: string, body: () => ReturnType<ThreadBody>): ThreadBody =>
    serialised
      ? function* () {
          yield* lock(`caller(${dev})`);
          yield* body();
          yield* unlock(`caller(${dev})`);
        }
      : body;
  const adds = devices.map((dev) => `iommu_group_add_device(g0, ${dev})`);
  const removes = devices.map((dev) => `iommu_group_remove_device(${dev})`);
  return {
    name: 'add-remove',
    story: 'A device is added to a group and removed from it at the same time (P-A1-1).',
    entities: {
      ...Object.fromEntries(devices.map((dev) => [pointerOf(dev), pointer])),
      ...(serialised
        ? Object.fromEntries(devices.map((dev) => [`caller(${dev})`, mutexMachine]))
        : {}),
      [g.mutex]: mutexMachine,
      ...(variant === 'under a second mutex' ? { [g.second]: mutexMachine } : {}),
      [g.list]: deviceListMachine,
      ...Object.fromEntries(listeners.map((name) => [name, listener])),
    },
    threads: Object.fromEntries(
      devices.flatMap((dev, i): [string, ThreadBody][] => [
        [adds[i], held(dev, () => iommu_group_add_device(g, dev, variant))],
        [removes[i], held(dev, () => iommu_group_remove_device(g, dev, variant))],
      ]),
    ),
    invariants:
      listener === membershipListenerMachine
        ? [
            {
              id: 'INV-03',
              says: 'a device is on group->devices though its removal is over, or off it though not',
              entities: [g.list, listeners[0], ...devices.map(pointerOf)],
              when: 'end',
              holds: (view) => devices.every((dev) => agrees(view, g, dev, listeners[0])),
            },
          ]
        : [],
    log: { kernel: 'v3.6', before: devices.flatMap((dev) => deviceAdded(g, dev)) },
    symmetry:
      devices.length < 2
        ? []
        : [
            {
              devices,
              pointers: devices.map(pointerOf),
              adds,
              removes,
              ...(serialised ? { callers: devices.map((dev) => `caller(${dev})`) } : {}),
            },
          ],
  };
}

/** On the list, as dev->iommu_group says, and not after its DEL_DEVICE. */
function agrees(
  view: Readonly<Record<string, EntityView>>,
  g: GroupEntities,
  dev: string,
  listener: string,
): boolean {
  const { devices } = view[g.list].context as { devices: Readonly<Record<string, true>> };
  const { value } = view[g.pointer(dev)].context as { value: unknown };
  const { heard } = view[listener].context as { heard: Readonly<Record<string, string>> };
  const listed = dev in devices;
  return listed === (value !== null) && !(listed && heard[dev] === 'DEL_DEVICE');
}

function names(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${prefix}${i}`);
}
