import { describe, expect, it } from 'vitest';
import { device_attach } from '../../../machines/kernel/driver-core.js';
import { Kernel } from '../../../machines/kernel/kernel.js';
import type { DriverSetup } from '../../../machines/kernel/kernel.js';
import { load } from '../../../machines/kernel/memory.js';
import {
  pciehp,
  pciEntities,
  pci_remove_bus_device,
  pci_stop_and_remove_bus_device,
  pci_stop_bus_device,
} from '../../../machines/kernel/pci-remove.js';
import type { ObjectMemory } from '../../../machines/object.js';
import { listed } from '../../../machines/object.js';
import { profileByName } from '../../../machines/profiles/timeline.js';
import { Alone } from './run-alone.js';

/** A port with two devices beneath, all bound. */
function hierarchy(version: string) {
  const unbound: string[] = [];
  const nvme: DriverSetup = {
    matches: ['d1', 'd2'],
    // eslint-disable-next-line require-yield
    remove: function* (dev) {
      unbound.push(dev);
    },
  };
  const k = new Kernel({
    profile: profileByName(version)!,
    buses: { pci: { iommu: false } },
    devices: { d0: { present: true }, d1: { driver: 'nvme' }, d2: { driver: 'nvme' } },
    drivers: {
      pciehp: {
        ...pciehp,
        matches: ['d0'],
        remove: function* (dev, core) {
          unbound.push(dev);
          yield* pciehp.remove!(dev, core);
        },
      },
      nvme,
    },
  });
  const below = pciEntities({ d0: { bus: 'bus1', devices: ['d1', 'd2'] }, d1: null, d2: null });
  const alone = new Alone({ ...k.entities, ...below });
  const onBus = () => listed(alone.context('pci') as ObjectMemory, 'devices');
  const busRefs = () => (alone.context('bus1') as ObjectMemory).refs;
  return { k, alone, unbound, onBus, busRefs };
}

describe('pci_stop_bus_device', () => {
  it('unbinds the last child first and the port last, and removes nothing', () => {
    const { k, alone, unbound, onBus } = hierarchy('v6.12');
    expect(alone.run(device_attach(k, 'd0'))).toBe(1);
    alone.run(pci_stop_bus_device(k, 'd0'));
    expect(unbound).toEqual(['d2', 'd1', 'd0']);
    expect(onBus()).toEqual(['d0', 'd1', 'd2']);
  });
});

describe.each(['v6.12', 'v6.13'])('pci_stop_and_remove_bus_device in %s', (version) => {
  it('leaves no device, no driver and no bus', () => {
    const { k, alone, unbound, onBus } = hierarchy(version);
    alone.run(device_attach(k, 'd0'));
    alone.run(pci_stop_and_remove_bus_device(k, 'd0'));
    expect(unbound).toEqual(['d2', 'd1', 'd0']);
    expect(onBus()).toEqual([]);
    expect(() => alone.run(load('bus1', 'devices'))).toThrow('INV-24');
  });
});

describe('a slot', () => {
  it.each([
    ['v6.12', 1],
    ['v6.13', 2],
  ])('in %s makes %i references on its bus', (version, refs) => {
    const { k, alone, busRefs } = hierarchy(version);
    alone.run(device_attach(k, 'd0'));
    expect(busRefs()).toBe(refs);
    alone.run(pci_stop_bus_device(k, 'd0'));
    expect(busRefs()).toBe(1);
  });

  it('that is made between stop and remove outlives its bus until v6.13', () => {
    const before = hierarchy('v6.12');
    before.alone.run(pci_stop_bus_device(before.k, 'd0'));
    before.alone.run(device_attach(before.k, 'd0'));
    expect(() => before.alone.run(pci_remove_bus_device(before.k, 'd0'))).toThrow('INV-24');

    const after = hierarchy('v6.13');
    after.alone.run(pci_stop_bus_device(after.k, 'd0'));
    after.alone.run(device_attach(after.k, 'd0'));
    after.alone.run(pci_remove_bus_device(after.k, 'd0'));
    expect(() => after.alone.run(load('bus1', 'devices'))).toThrow('INV-24');
  });

  it('is not made of a port whose bus is gone', () => {
    const { k, alone } = hierarchy('v6.13');
    alone.run(pci_stop_and_remove_bus_device(k, 'd0'));
    expect(alone.run(pciehp.probe!('d0', k))).toBeLessThan(0);
  });
});
