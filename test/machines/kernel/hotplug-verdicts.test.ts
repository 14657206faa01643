/** What scenarios of one's own come to, where a set-up or a model could lead astray. */

import { describe, expect, test } from 'vitest';
import { createMachine } from 'xstate';
import { dma_map } from '../../../machines/kernel/dma-map.js';
import {
  iommu_group_claim_dma_owner,
  iommu_group_release_dma_owner,
} from '../../../machines/kernel/dma-owner.js';
import {
  device_add,
  device_del,
  device_driver_attach,
  driver_register,
} from '../../../machines/kernel/driver-core.js';
import { hotplug } from '../../../machines/kernel/hotplug.js';
import type { Hotplug } from '../../../machines/kernel/hotplug.js';
import {
  bus_iommu_probe,
  iommu_probe_device,
  iommu_release_device,
} from '../../../machines/kernel/iommu-probe.js';
import { load } from '../../../machines/kernel/memory.js';
import {
  bus_unregister_notifier,
  iommu_group_register_notifier,
} from '../../../machines/kernel/register.js';
import { iommu_group_store_type } from '../../../machines/kernel/store-type.js';
import { profileByName } from '../../../machines/profiles/timeline.js';
import { explore } from '../../../src/explore/explore.js';

function said(told: Hotplug, kernel: string): readonly string[] {
  const { counterexamples, cut } = explore(hotplug(told)(profileByName(kernel)!));
  expect(cut).toBeUndefined();
  return counterexamples.map(({ rule, says, confirmed }) => {
    expect(confirmed).toBe(true);
    return `${rule}: ${says}`;
  });
}

const ears = createMachine({ on: { '*': { actions: () => {} } } });
const ALL = ['v3.6', 'v4.4', 'v5.10', 'v6.1', 'v6.12', 'v7.2'];

describe('a device that comes and goes several times', () => {
  const told: Hotplug = {
    name: 'again',
    devices: { d0: {} },
    run: {
      twice: function* (k) {
        for (let i = 0; i < 2; i++) {
          yield* device_add(k, 'd0');
          yield* device_del(k, 'd0');
        }
      },
    },
  };

  test.each(ALL)('has a group each time on %s', (kernel) => {
    expect(said(told, kernel)).toEqual([]);
  });

  test('says what to add where the groups are too few', () => {
    expect(() => said({ ...told, spareGroups: 1 }, 'v6.12')).toThrow(
      'the set-up has too few spare groups; give it more: spareGroups',
    );
  });
});

test('what devices and drivers of a second bus do, they do there', () => {
  const told: Hotplug = {
    name: 'two buses',
    buses: { pci: {}, platform: {} },
    devices: { p0: { bus: 'platform' }, p1: { bus: 'platform' } },
    drivers: {
      old: { bus: 'platform', matches: ['p0'] },
      late: { bus: 'platform', registered: false },
    },
    run: {
      in_turn: function* (k) {
        yield* device_add(k, 'p0');
        yield* device_add(k, 'p1');
        yield* driver_register(k, 'late');
        const drivers = [yield* load('p0', 'driver'), yield* load('p1', 'driver')];
        if (drivers.join() !== 'old,late') throw new Error(drivers.join());
      },
    },
  };
  expect(said(told, 'v6.12')).toEqual([]);
});

test.each(['v6.12', 'v7.2'])(
  'who finds a group whose last device has left makes a default domain anew on %s',
  (kernel) => {
    const told: Hotplug = {
      name: 'the last leaves while a peer comes',
      devices: { d0: { group: 'g0', alias: 'x' }, d1: { alias: 'x' } },
      groups: { g0: { held: 1 } },
      run: { del: (k) => device_del(k, 'd0'), add: (k) => device_add(k, 'd1') },
    };
    expect(said(told, kernel)).toEqual([]);
    // Nothing holds the group but its devices: iommu_group_get of the peer comes too late (D-A1-7).
    expect(said({ ...told, groups: {} }, kernel)).toEqual(['INV-24: get of g0 after it was freed']);
  },
);

test.each(['v6.1', 'v6.12'])(
  'who joins a group that is claimed stays off its default domain on %s',
  (kernel) => {
    const told: Hotplug = {
      name: 'a peer comes to a group that is claimed',
      groups: { g0: { held: 1 } },
      devices: { d0: { group: 'g0', driver: 'vfio', alias: 'x' }, d1: { alias: 'x' } },
      drivers: { vfio: { managesDma: true } },
      run: {
        claim: (k) => iommu_group_claim_dma_owner(k, 'g0', 'container'),
        add: (k) => device_add(k, 'd1'),
      },
    };
    expect(said(told, kernel)).toEqual([]);
  },
);

test('who releases a group that it did not get to claim is warned', () => {
  const told: Hotplug = {
    name: 'claimed in vain',
    devices: { d0: { group: 'g0', driver: 'nvme' } },
    drivers: { nvme: {} },
    run: {
      user: function* (k) {
        yield* iommu_group_claim_dma_owner(k, 'g0', 'container');
        yield* iommu_group_release_dma_owner(k, 'g0');
      },
    },
  };
  expect(said(told, 'v6.12')).toEqual(['INV-35: g0, which nobody has claimed, is released']);
});

describe('what callers owe each other', () => {
  test('a device that is released twice is a finding and no deadlock', () => {
    const told: Hotplug = {
      name: 'released twice',
      devices: { d0: { group: 'g0' } },
      run: {
        A: (k) => iommu_release_device(k, 'd0'),
        B: (k) => iommu_release_device(k, 'd0'),
      },
    };
    const rules = said(told, 'v5.10');
    expect(rules).toContain(
      'INV-24: the IOMMU driver is asked to release d0, which it does not have',
    );
    expect(rules.join()).not.toContain('deadlock');
  });

  test.each(ALL)('a device that is deleted twice is told of twice on %s', (kernel) => {
    const told: Hotplug = {
      name: 'deleted twice',
      devices: { d0: { group: 'g0' } },
      run: { A: (k) => device_del(k, 'd0'), B: (k) => device_del(k, 'd0') },
    };
    expect(said(told, kernel)[0]).toMatch(
      /^B\.3: BUS events of d0: DEL_DEVICE of a device that is idle, DEL sent|^B\.3: .*removed/,
    );
  });
});

test.each([
  ['v5.10', ['INV-06', 'INV-22']],
  ['v6.14', ['INV-06', 'INV-22']],
])('a driver that maps DMA while the bus is scanned breaks rules on %s: %j', (kernel, rules) => {
  const told: Hotplug = {
    name: 'scan',
    devices: { d0: { present: true } },
    drivers: {
      nvme: {
        probe: function* (dev, k) {
          yield* dma_map(k, dev);
          return 0;
        },
      },
    },
    run: {
      scan: (k) => bus_iommu_probe(k, 'pci'),
      bind: (k) => device_driver_attach(k, 'd0', 'nvme'),
    },
  };
  expect(said(told, kernel).map((each) => each.split(':')[0])).toEqual(rules);
});

describe('what a kernel does not have is said', () => {
  const told: Hotplug = {
    name: 'lacks',
    devices: { d0: { group: 'g0' } },
    drivers: { nvme: { async: true } },
    run: {},
  };

  test.each([
    ['v3.6', 'iommu_probe_device', { A: (k) => iommu_probe_device(k, 'd0') }],
    ['v4.4', 'bus_iommu_probe', { A: (k) => bus_iommu_probe(k, 'pci') }],
    ['v4.4', 'iommu_release_device', { A: (k) => iommu_release_device(k, 'd0') }],
    ['v5.10', 'iommu_group_store_type', { A: (k) => iommu_group_store_type(k, 'g0') }],
    [
      'v6.1',
      'iommu_group_register_notifier',
      { A: (k) => iommu_group_register_notifier(k, 'g0', 'l') },
    ],
    ['v3.6', 'PROBE_PREFER_ASYNCHRONOUS', { A: (k) => device_add(k, 'd0') }],
  ] satisfies [string, string, Hotplug['run']][])('%s: %s', (kernel, symbol, run) => {
    expect(() => said({ ...told, run }, kernel)).toThrow(`${kernel} has no ${symbol}`);
  });
});

test('a listener that is given as steps may act on the kernel: one that leaves its own chain', () => {
  const told: Hotplug = {
    name: 'K03 on a bus',
    devices: { d0: {} },
    listeners: {
      once: {
        on: 'pci->bus_notifier',
        unregisters: true,
        is: function* (_called, k) {
          return yield* bus_unregister_notifier(k, 'pci', 'once');
        },
      },
    },
    run: { add: (k) => device_add(k, 'd0') },
  };
  expect(said(told, 'v6.12').map((each) => each.split(':')[0])).toEqual(['deadlock']);
});

describe('a set-up that names what is not there', () => {
  const add = { A: (k: Parameters<Hotplug['run'][string]>[0]) => device_add(k, 'd0') };
  const told: Hotplug = { name: 'typo', devices: { d0: {} }, run: add };

  test.each<[string, Partial<Hotplug>, string]>([
    [
      'a chain',
      { listeners: { l: { on: 'pci->bus_notifer', is: ears } } },
      'listener l: there is no chain pci->bus_notifer; there are pci->bus_notifier',
    ],
    [
      'a device that a driver matches',
      { drivers: { nvme: { matches: ['dO'] } } },
      'driver nvme: there is no device dO; there are d0',
    ],
    [
      'a driver that a device is bound to',
      { devices: { d0: { driver: 'nvme' } } },
      'device d0: there is no driver nvme; there is none',
    ],
    ['a bus', { devices: { d0: { bus: 'usb' } } }, 'there is no bus usb; there are pci'],
    ['a deferred device', { deferred: ['d1'] }, 'deferred: there is no device d1'],
    ['one thing twice', { drivers: { g0: {} } }, 'g0 is a group and a driver'],
    ['faults that cannot come', { faults: 2 }, 'nothing may fail; say what: mayFail: true'],
    [
      'an option',
      { devices: { d0: JSON.parse('{ "drivers": "nvme" }') as object } },
      'device d0 says drivers, which is no option; there are bus, named',
    ],
    [
      'no step',
      {
        run: {
          // eslint-disable-next-line require-yield
          A: function* (k) {
            device_add(k, 'd0');
          },
        },
      },
      'thread A makes no step; write yield* before what it calls',
    ],
  ])('%s', (_what, typo, text) => {
    expect(() => said({ ...told, ...typo }, 'v6.12')).toThrow(text);
  });
});
