/** Scenarios that the tests of this folder share. */

import { createMachine } from 'xstate';
import { hotplug } from '../../../machines/kernel/hotplug.js';
import {
  iommu_group_add_device,
  iommu_group_remove_device,
} from '../../../machines/kernel/iommu-group.js';
import type { GroupVariant } from '../../../machines/kernel/iommu-group.js';
import { load } from '../../../machines/kernel/memory.js';
import { scenario } from '../../../machines/scenario.js';
import type { Scenario, ScenarioFor } from '../../../machines/scenario.js';
import { send } from '../../../machines/step.js';
import { variableMachine } from '../../../machines/variable.js';
import type { VariableReply } from '../../../machines/variable.js';
import type { HotplugProgram } from '../../../src/testing/hotplug-program.js';

/** The patch of 2012, with one of the orders that were discussed. */
export function patch(order: GroupVariant): ScenarioFor {
  return hotplug({
    name: `add beside remove, ${order}`,
    order,
    groups: { g0: { held: 1 } },
    devices: { d0: { present: true } },
    listeners: { vfio: { on: 'g0->notifier', is: createMachine({}) } },
    run: {
      add: (k) => iommu_group_add_device(k, 'g0', 'd0'),
      *remove(k) {
        if (yield* load('d0', 'iommu_group')) yield* iommu_group_remove_device(k, 'd0');
      },
    },
  });
}

/** Threads that count to as many as they are; one update may be lost, unless it is one step. */
export function counting(threads: number, steps: 'two' | 'one'): Scenario {
  function* increment() {
    if (steps === 'one') {
      yield* send('n', { type: 'add', value: 1 });
      return;
    }
    const { value } = yield* send<VariableReply>('n', { type: 'read' });
    yield* send('n', { type: 'write', value: Number(value) + 1 });
  }
  return scenario({
    name: `${threads} threads count in ${steps}`,
    entities: { n: variableMachine(0) },
    threads: Object.fromEntries(Array.from({ length: threads }, (_, i) => [`T${i}`, increment])),
    invariants: [
      {
        id: 'count',
        entities: ['n'],
        when: 'end',
        holds: ({ n }) => (n.context as { value: number }).value === threads,
      },
    ],
  });
}

/** A device comes while its driver is loaded (K10), with much beside it that has no part in it. */
export const LATE_DRIVER: HotplugProgram = {
  kernel: 'v6.12',
  devices: { d0: {}, d1: { present: true, alias: 'b0' } },
  drivers: { r0: { registered: false }, r1: { matches: ['d1'] } },
  groups: ['g0'],
  domains: ['E0'],
  listeners: { l0: { on: 'pci->bus_notifier', priority: 2 } },
  threads: {
    T0: [
      ['device_add', 'd0'],
      ['device_release_driver', 'd0'],
    ],
    T1: [
      ['iommu_group_for_each_dev', 'g0'],
      ['driver_register', 'r0'],
    ],
  },
  faults: 0,
};
