/**
 * How a part of a PCI hierarchy goes, and the slots that pciehp makes of its ports:
 * drivers/pci/remove.c, slot.c, hotplug/pciehp_core.c. Source: B.2 device_del, K32.
 */

import { ENODEV } from '../errno.js';
import { struct } from '../object.js';
import type { Entity } from '../scenario.js';
import type { Thread } from '../step.js';
import { device_del, device_release_driver } from './driver-core.js';
import type { DriverSetup, Kernel } from './kernel.js';
import {
  get,
  kfree,
  kzalloc,
  listAddTail,
  listDel,
  listLast,
  listNext,
  load,
  put,
  store,
} from './memory.js';

/** What is beneath each device: a port has a bus with devices, in the order of their coming. */
export type PciHierarchy = Readonly<Record<string, SecondaryBus | null>>;

export interface SecondaryBus {
  readonly bus: string;
  readonly devices: readonly string[];
}

/** Every struct pci_dev and struct pci_bus, and a slot that may be made of each bus. */
export function pciEntities(hierarchy: PciHierarchy): Readonly<Record<string, Entity>> {
  const entities: Record<string, Entity> = {};
  for (const [dev, below] of Object.entries(hierarchy)) {
    entities[pdev(dev)] = struct({ fields: { subordinate: below?.bus ?? null } });
    if (below === null) continue;
    entities[below.bus] = struct({ refs: 1, fields: { devices: below.devices, slots: [] } });
    entities[slotOf(below.bus)] = struct();
  }
  return entities;
}

/** to_pci_dev */
function pdev(dev: string): string {
  return `pci_dev(${dev})`;
}

function slotOf(bus: string): string {
  return `slot(${bus})`;
}

/**
 * pci_stop_and_remove_bus_device: all drivers beneath the device are unbound, then all devices go.
 * Nothing keeps a driver from binding between the two.
 */
export function* pci_stop_and_remove_bus_device(k: Kernel, dev: string): Thread<void> {
  yield* pci_stop_bus_device(k, dev);
  yield* pci_remove_bus_device(k, dev);
}

/** pci_stop_bus_device: unbinds the drivers, those of children first, the last child first. */
export function* pci_stop_bus_device(k: Kernel, dev: string): Thread<void> {
  const bus = yield* load<string | null>(pdev(dev), 'subordinate', 'bus');
  if (bus !== null) {
    const children = yield* load<readonly string[]>(bus, 'devices');
    for (const child of children.toReversed()) yield* pci_stop_bus_device(k, child);
  }
  yield* device_release_driver(k, dev);
}

/** pci_remove_bus_device: children first, then the bus that they were on, then the device. */
export function* pci_remove_bus_device(k: Kernel, dev: string): Thread<void> {
  const bus = yield* load<string | null>(pdev(dev), 'subordinate', 'bus');
  if (bus !== null) {
    let child = yield* listNext(bus, 'devices', null);
    while (child !== null) {
      yield* pci_remove_bus_device(k, child);
      yield* listDel(bus, 'devices', child);
      child = yield* listNext(bus, 'devices', null);
    }
    yield* pci_bus_put(bus);
    yield* store(pdev(dev), 'subordinate', null);
  }
  yield* device_del(k, dev);
}

/** pci_bus_put: the last one frees the bus. */
function* pci_bus_put(bus: string): Thread<void> {
  if (yield* put(bus)) yield* kfree(bus);
}

/** pciehp as the driver of a port: it makes a slot of the bus beneath. */
export const pciehp: DriverSetup = {
  probe: function* (port, k) {
    const bus = yield* load<string | null>(pdev(port), 'subordinate', 'bus');
    if (bus === null) return -ENODEV;
    yield* pci_create_slot(k, bus);
    yield* store(pdev(port), 'slot', slotOf(bus));
    return 0;
  },
  remove: function* (port, k) {
    yield* pci_destroy_slot(k, yield* load<string>(pdev(port), 'slot', 'slot'));
  },
};

/** pci_create_slot: until v6.13 the slot points to its bus and has no reference on it (K32). */
export function* pci_create_slot(k: Kernel, bus: string): Thread<void> {
  const slot = slotOf(bus);
  if (k.profile.slotHoldsBus) yield* get(bus);
  yield* kzalloc(slot, { fields: { bus } });
  yield* listAddTail(bus, 'slots', slot);
}

/** pci_destroy_slot and, as nobody else has a reference, pci_slot_release. */
export function* pci_destroy_slot(k: Kernel, slot: string): Thread<void> {
  const bus = yield* load<string>(slot, 'bus', 'bus');
  // Each device of the bus forgets that it is in the slot.
  yield* listLast(bus, 'devices');
  yield* listDel(bus, 'slots', slot);
  if (k.profile.slotHoldsBus) yield* pci_bus_put(bus);
  yield* kfree(slot);
}
