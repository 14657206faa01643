/** Scenarios of one's own, on every generation. */

import { describe, expect, test } from 'vitest';
import { assign, createMachine, setup } from 'xstate';
import {
  device_add,
  device_del,
  device_driver_attach,
  driver_register,
} from '../../../machines/kernel/driver-core.js';
import { iommu_group_claim_dma_owner } from '../../../machines/kernel/dma-owner.js';
import { hotplug } from '../../../machines/kernel/hotplug.js';
import type { Hotplug } from '../../../machines/kernel/hotplug.js';
import {
  iommu_group_add_device,
  iommu_group_for_each_dev,
  iommu_group_remove_device,
} from '../../../machines/kernel/iommu-group.js';
import { iommu_probe_device } from '../../../machines/kernel/iommu-probe.js';
import {
  bus_register_notifier,
  bus_unregister_notifier,
} from '../../../machines/kernel/register.js';
import { profileByName } from '../../../machines/profiles/timeline.js';
import { deliver, lock, unlock } from '../../../machines/step.js';
import { explore } from '../../../src/explore/explore.js';

function found(told: Hotplug, kernel: string): readonly string[] {
  const { verdict, counterexamples, cut } = explore(hotplug(told)(profileByName(kernel)!));
  expect(cut).toBeUndefined();
  const rules = counterexamples.map(({ rule, confirmed }) => (confirmed ? rule : `? ${rule}`));
  expect(verdict).toBe(rules.length === 0 ? 'clean' : 'violated');
  return rules;
}

const ALL = ['v3.6', 'v4.4', 'v5.10', 'v6.1', 'v6.12', 'v7.2'];
const GROUP_NOTIFIER = ['v3.6', 'v4.4', 'v5.10'];

/** Hears everything and minds nothing. */
const ears = createMachine({ on: { '*': { actions: () => {} } } });

describe('a device comes while its driver is loaded', () => {
  const told: Hotplug = {
    name: 'K10',
    devices: { d0: {} },
    drivers: { nvme: { registered: false } },
    run: {
      add: (k) => device_add(k, 'd0'),
      register: (k) => driver_register(k, 'nvme'),
    },
  };

  test.each([...ALL.slice(0, 5), 'v7.0'])('is bound before its ADD_DEVICE on %s', (kernel) => {
    expect(found(told, kernel)).toEqual(['INV-01b']);
  });

  test.each(['v7.1', 'v7.2'])('is not on %s', (kernel) => {
    expect(found(told, kernel)).toEqual([]);
  });
});

describe('a group is claimed while a driver binds', () => {
  const told: Hotplug = {
    name: 'claim',
    devices: { d0: { group: 'g0' }, d1: { group: 'g0', driver: 'vfio-pci' } },
    drivers: { nvme: { matches: ['d0'] }, 'vfio-pci': { managesDma: true } },
    run: {
      claim: (k) => iommu_group_claim_dma_owner(k, 'g0', 'container'),
      bind: (k) => device_driver_attach(k, 'd0', 'nvme'),
    },
  };

  test.each(['v6.1', 'v6.12', 'v7.2'])('one of them wins on %s', (kernel) => {
    expect(found(told, kernel)).toEqual([]);
  });

  test('cannot be on a kernel without DMA ownership', () => {
    expect(() => found(told, 'v5.10')).toThrow('v5.10 has no iommu_group_claim_dma_owner');
  });

  test('is violated where the driver does not ask', () => {
    const asksNot = { ...told.drivers!.nvme, dmaConfigure: zero };
    const drivers = { ...told.drivers, nvme: asksNot };
    expect(found({ ...told, drivers }, 'v6.12')).toContain('INV-35');
  });
});

// eslint-disable-next-line require-yield
function* zero() {
  return 0;
}

describe('devices of one requester id come together', () => {
  const told: Hotplug = {
    name: 'K11',
    devices: { d0: { alias: 'a', present: true }, d1: { alias: 'a', present: true } },
    run: {
      d0: (k) => iommu_probe_device(k, 'd0'),
      d1: (k) => iommu_probe_device(k, 'd1'),
    },
  };

  test('make two default domains, and two groups, on v5.10', () => {
    expect(found(told, 'v5.10').toSorted()).toEqual(['INV-10', 'INV-11', 'INV-12']);
  });

  test.each(['v6.2', 'v6.12', 'v7.2'])('make one on %s', (kernel) => {
    expect(found(told, kernel)).toEqual([]);
  });
});

describe('a listener on a group', () => {
  const told: Hotplug = {
    name: 'S1',
    groups: { g0: { held: 1, domain: null, default_domain: null } },
    devices: { d0: { present: true } },
    listeners: { vfio: { on: 'g0->notifier', is: ears } },
    run: {
      add: (k) => iommu_group_add_device(k, 'g0', 'd0'),
      remove: (k) => iommu_group_remove_device(k, 'd0'),
    },
  };
  const guarded = (told: Hotplug): Hotplug => ({
    ...told,
    run: {
      twice: function* (k) {
        yield* iommu_group_add_device(k, 'g0', 'd0');
        yield* iommu_group_remove_device(k, 'd0');
        yield* iommu_group_add_device(k, 'g0', 'd0');
        yield* iommu_group_remove_device(k, 'd0');
      },
    },
  });

  test.each(['v5.10'])('hears DEL_DEVICE before ADD_DEVICE on %s', (kernel) => {
    expect(found(told, kernel)).toContain('INV-01');
  });

  test.each(['v6.1', 'v6.12'])('hears nothing on %s', (kernel) => {
    expect(found(told, kernel)).not.toContain('INV-01');
  });

  test.each(GROUP_NOTIFIER)('hears two memberships, one after the other, on %s', (kernel) => {
    expect(found(guarded(told), kernel)).toEqual([]);
  });

  test('that is given as steps takes the locks that it takes', () => {
    const walks: Hotplug = {
      ...guarded(told),
      order: 'under group->mutex',
      entities: { ears },
      listeners: {
        vfio: {
          on: 'g0->notifier',
          is: function* (called) {
            yield* deliver('ears', called);
            yield* lock('g0->mutex');
            yield* unlock('g0->mutex');
            return 1;
          },
        },
      },
    };
    expect(found(walks, 'v3.6')).toEqual(['deadlock']);
    expect(found({ ...walks, order: 'under a second mutex' }, 'v3.6')).toEqual([]);
  });
});

describe('a listener on a bus', () => {
  const counts = setup({
    types: { context: {} as { on: number } },
    actions: {
      up: assign({ on: ({ context }) => context.on + 1 }),
      down: assign({ on: ({ context }) => context.on - 1 }),
    },
  }).createMachine({
    context: { on: 0 },
    initial: 'counting',
    states: {
      counting: {
        always: { guard: ({ context }) => context.on < 0, target: 'underflow' },
        on: {
          BIND_DRIVER: { actions: 'up' },
          DRIVER_NOT_BOUND: { actions: 'down' },
          UNBOUND_DRIVER: { actions: 'down' },
          // What xstate calls forbidden: a listener lets it pass all the same.
          BOUND_DRIVER: {},
        },
      },
      underflow: { tags: ['violation'], meta: { rule: 'clocks' } },
    },
  });
  const told: Hotplug = {
    name: 'K07',
    buses: { pci: { iommu: false } },
    devices: { d0: {} },
    drivers: { nvme: {} },
    mayFail: ['dma_configure()'],
    listeners: { clocks: { on: 'pci->bus_notifier', is: counts } },
    run: {
      life: function* (k) {
        yield* device_add(k, 'd0');
        yield* device_del(k, 'd0');
      },
    },
  };

  test.each([
    ['v4.14', ['clocks']],
    ['v5.10', ['clocks']],
    ['v5.16', ['clocks']],
    ['v5.17', []],
    ['v6.12', []],
  ])('that counts BIND_DRIVER and DRIVER_NOT_BOUND, on %s: %j', (kernel, rules) => {
    expect(found(told, kernel)).toEqual(rules);
  });

  test('fails nowhere but where it may', () => {
    expect(found({ ...told, mayFail: ['nvme->probe()'] }, 'v5.10')).toEqual([]);
    expect(found({ ...told, mayFail: [] }, 'v5.10')).toEqual([]);
  });

  test('may register and unregister while a device comes', () => {
    const leaves: Hotplug = {
      ...told,
      mayFail: false,
      listeners: {
        late: { on: 'pci->bus_notifier', is: ears, registered: false, priority: 3 },
        early: { on: 'pci->bus_notifier', is: ears },
      },
      run: {
        add: (k) => device_add(k, 'd0'),
        listen: function* (k) {
          const ret = yield* bus_register_notifier(k, 'pci', 'late');
          if (ret !== 0) throw new Error(`registered: ${ret}`);
          if ((yield* bus_unregister_notifier(k, 'pci', 'late')) !== 0) throw new Error('gone');
          if ((yield* bus_unregister_notifier(k, 'pci', 'late')) === 0) throw new Error('twice');
        },
      },
    };
    expect(found(leaves, 'v6.12')).toEqual([]);
    const noChain = { ...leaves, listeners: {} };
    expect(() => found(noChain, 'v6.12')).toThrow('no listener late comes to pci->bus_notifier');
  });

  test('may not walk the group under whose mutex it is called', () => {
    const walks: Hotplug = {
      name: 'for_each',
      devices: { d0: { group: 'g0' } },
      run: {
        walk: (k) =>
          iommu_group_for_each_dev(k, 'g0', () => iommu_group_for_each_dev(k, 'g0', zero)),
      },
    };
    expect(found(walks, 'v3.6')).toEqual(['deadlock']);
  });
});
