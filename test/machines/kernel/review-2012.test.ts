/**
 * What the reviewers of 2012 said of iommu_group_add_device and iommu_group_remove_device, on the
 * whole operations: A1.4. machines/races/add-remove.ts has the same on the steps that race.
 */

import { describe, expect, it } from 'vitest';
import { device_add } from '../../../machines/kernel/driver-core.js';
import { bus_set_iommu, iommu_bus_notifier } from '../../../machines/kernel/iommu-bus.js';
import { iommu_attach_group } from '../../../machines/kernel/iommu-domain.js';
import {
  iommu_group_add_device,
  iommu_group_for_each_dev,
  iommu_group_remove_device,
} from '../../../machines/kernel/iommu-group.js';
import type { GroupVariant } from '../../../machines/kernel/iommu-group.js';
import { kernelScenario } from '../../../machines/kernel/kernel-scenario.js';
import type { KernelScenario } from '../../../machines/kernel/kernel-scenario.js';
import { Kernel } from '../../../machines/kernel/kernel.js';
import type { KernelSetup } from '../../../machines/kernel/kernel.js';
import { kfree, load, put } from '../../../machines/kernel/memory.js';
import { listenerCall } from '../../../machines/kernel/notifier-chain.js';
import type { Chain, NotifierCall } from '../../../machines/kernel/notifier-chain.js';
import { membershipListenerMachine } from '../../../machines/membership-listener.js';
import { mutexMachine } from '../../../machines/mutex.js';
import { notifierListMachine } from '../../../machines/notifier-list.js';
import { listed } from '../../../machines/object.js';
import type { ObjectMemory } from '../../../machines/object.js';
import { profileForVersion } from '../../../machines/profiles/timeline.js';
import { rwsemMachine } from '../../../machines/rwsem.js';
import type { Invariant } from '../../../machines/scenario.js';
import { lock, unlock } from '../../../machines/step.js';
import type { Thread } from '../../../machines/step.js';
import { explore } from '../../../src/explore/explore.js';

const V3_6 = profileForVersion([3, 6]);
/** v3.6 that looks whether there is a group: D-A1-5 is not what the review was about. */
const LOOKS = { ...V3_6, nullGroupChecked: true };

/** The rules that a complete search of all interleavings finds broken. */
function found(told: Omit<KernelScenario, 'name'>): readonly string[] {
  const { verdict, counterexamples } = explore(kernelScenario({ name: 'review', ...told }));
  expect(verdict).toBe(counterexamples.length === 0 ? 'clean' : 'violated');
  return counterexamples.map(({ rule }) => rule);
}

/** INV-03: a device whose DEL_DEVICE was the last that the listener heard is off the list. */
const notLost: Invariant = {
  id: 'INV-03',
  says: () => 'the removal of d0 is over and was told, and d0 is on g0->devices',
  entities: ['g0', 'l0'],
  when: 'end',
  holds: (view) => {
    const { heard } = view.l0.context as { heard: Readonly<Record<string, string>> };
    const on = listed(view.g0.context as ObjectMemory, 'devices').includes('d0');
    // What came after a DEL_DEVICE it does not remember: INV-01.
    return view.l0.state === 'violated' || !(on && heard.d0 === 'DEL_DEVICE');
  },
};

interface AddBesideRemove {
  readonly order?: GroupVariant;
  readonly profile?: KernelSetup['profile'];
  /** What the listener does before it hears. */
  readonly first?: (k: Kernel, action: string) => Thread<void>;
  /** P-A1-2 */
  readonly serialised?: boolean;
}

/** d0 joins g0, which its caller holds, beside its removal. */
function addBesideRemove({ order, profile = LOOKS, first, serialised }: AddBesideRemove) {
  const caller = (body: (k: Kernel) => Thread) =>
    serialised === true
      ? function* (k: Kernel) {
          yield* lock('callers');
          yield* body(k);
          yield* unlock('callers');
        }
      : body;
  const hears = listenerCall('l0');
  const call: NotifierCall = function* (called) {
    if (first !== undefined) yield* first(new Kernel(setup), called.action);
    return yield* hears(called);
  };
  const setup: KernelSetup = {
    profile,
    devices: { d0: { present: true }, d1: { present: true } },
    groups: { g0: { held: 1 } },
    spareGroups: 0,
    blocks: { 'g0->notifier': [{ block: 'l0', call }] },
    ...(order === undefined ? {} : { order }),
  };
  return found({
    ...setup,
    entities: { l0: membershipListenerMachine, callers: mutexMachine },
    invariants: [notLost],
    run: {
      add: caller((k) => iommu_group_add_device(k, 'g0', 'd0')),
      remove: caller((k) => iommu_group_remove_device(k, 'd0')),
    },
  });
}

describe('P-A1-1: a listener hears the removal before the add', () => {
  it('as posted: it does', () => {
    expect(addBesideRemove({})).toEqual(['INV-01']);
  });

  it('as posted, and v3.6 does not look whether there is a group (D-A1-5)', () => {
    expect(addBesideRemove({ profile: V3_6 })).toEqual(['INV-01', 'INV-24']);
  });

  it('P-A1-2: not where the callers serialise', () => {
    expect(addBesideRemove({ serialised: true })).toEqual([]);
  });
});

describe('P-A1-2b: a caller that holds the device', () => {
  const run = (held: boolean, order: GroupVariant = 'as posted') => {
    const put_device = function* (): Thread<void> {
      if (yield* put('d0')) yield* kfree('d0');
    };
    const hears = listenerCall('l0');
    return found({
      profile: LOOKS,
      devices: { d0: { present: true, held: held ? 1 : 0 } },
      groups: { g0: { held: 1 } },
      spareGroups: 0,
      order,
      blocks: {
        'g0->notifier': [
          {
            block: 'l0',
            call: function* (called) {
              yield* load('d0', 'driver');
              return yield* hears(called);
            },
          },
        ],
      },
      entities: { l0: membershipListenerMachine },
      run: {
        add: function* (k) {
          yield* iommu_group_add_device(k, 'g0', 'd0');
          if (held) yield* put_device();
        },
        remove: function* (k) {
          yield* iommu_group_remove_device(k, 'd0');
          yield* put_device();
        },
      },
    });
  };

  it('without a reference the device is freed under the add', () => {
    expect(run(false)).toContain('INV-24');
  });

  it('with one it is not, and the listener hears it the wrong way round all the same', () => {
    const rules = run(true);
    expect(rules).toContain('INV-01');
    expect(rules).not.toContain('INV-24');
  });

  it('needs it under a second mutex as well', () => {
    expect(run(false, 'under a second mutex')).toContain('INV-24');
    // A removal that comes before the add removes nothing: the device is freed in its group.
    expect(run(true, 'under a second mutex')).toEqual(['INV-03']);
  });
});

describe('ALT-A1-a: notified first', () => {
  it('loses the remove, and is in no better order: the pointer is there before either', () => {
    expect(addBesideRemove({ order: 'notify first' })).toEqual(['INV-01', 'INV-03']);
  });
});

describe('ALT-A1-b: list and notification under one lock', () => {
  const walks = (k: Kernel) =>
    // eslint-disable-next-line require-yield
    iommu_group_for_each_dev(k, 'g0', function* () {
      return 0;
    });
  const forEach = function* (k: Kernel): Thread<void> {
    yield* walks(k);
  };

  it('b1, group->mutex: in the right order, with a listener that takes no lock', () => {
    expect(addBesideRemove({ order: 'under group->mutex' })).toEqual([]);
  });

  it('b1, group->mutex: a listener that calls iommu_group_for_each_dev waits for itself', () => {
    expect(addBesideRemove({ order: 'under group->mutex', first: forEach })).toEqual(['deadlock']);
  });

  it('b2, a second mutex: in the right order, with the same listener', () => {
    expect(addBesideRemove({ order: 'under a second mutex', first: forEach })).toEqual([]);
  });

  it('b2, a second mutex: a listener that adds a device waits for itself', () => {
    const adds = function* (k: Kernel, action: string): Thread<void> {
      if (action === 'ADD_DEVICE') yield* iommu_group_add_device(k, 'g0', 'd1');
    };
    expect(addBesideRemove({ order: 'under a second mutex', first: adds })).toEqual(['deadlock']);
  });

  it('b2, a second mutex: a listener that removes the device waits for itself', () => {
    const removes = function* (k: Kernel, action: string): Thread<void> {
      if (action === 'ADD_DEVICE') yield* iommu_group_remove_device(k, 'd0');
    };
    expect(addBesideRemove({ order: 'under a second mutex', first: removes })).toEqual([
      'deadlock',
    ]);
  });
});

describe('P-A1-3: bus_set_iommu beside device_add', () => {
  const run = (checksGroupFirst: boolean, together = true) => {
    const chain: Chain = {
      kind: 'blocking',
      name: 'pci->bus_notifier',
      list: 'pci->blocks',
      rwsem: 'pci->rwsem',
      profile: LOOKS,
      callbacks: { iommu_bus_nb: (called) => iommu_bus_notifier(new Kernel(setup))(called) },
    };
    const setup: KernelSetup = {
      profile: LOOKS,
      devices: { d0: {} },
      buses: { pci: { iommu: false } },
      spareGroups: 2,
      chains: [chain],
      checksGroupFirst,
    };
    return found({
      ...setup,
      entities: {
        'pci->rwsem': rwsemMachine,
        'pci->blocks': { machine: notifierListMachine(LOOKS), input: { [chain.name]: [] } },
      },
      run: together
        ? {
            bus_set_iommu: (k) => bus_set_iommu(k, 'pci', chain),
            device_add: (k) => device_add(k, 'd0'),
          }
        : {
            'one after the other': function* (k) {
              yield* bus_set_iommu(k, 'pci', chain);
              yield* device_add(k, 'd0');
            },
          },
    });
  };

  it('the scan and the notification both add the device', () => {
    expect(run(false)).toContain('INV-02');
  });

  it('P-A1-4: a look at dev->iommu_group before is not enough', () => {
    expect(run(true)).toContain('INV-02');
  });

  it('one after the other is', () => {
    expect(run(false, false)).toEqual([]);
  });
});

describe('P-A1-5: iommu_attach_group that fails on the second device', () => {
  const run = (mayFail: boolean) =>
    found({
      profile: V3_6,
      devices: { d0: { group: 'g0' }, d1: { group: 'g0' } },
      domains: ['U'],
      mayFail,
      run: { attach: (k) => iommu_attach_group(k, 'U', 'g0') },
    });

  it('leaves the first one attached', () => {
    expect(run(true)).toEqual(['INV-11']);
  });

  it('attaches both where nothing fails', () => {
    expect(run(false)).toEqual([]);
  });
});
