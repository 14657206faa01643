/**
 * Hotplug ports of PCI Express and their interrupt threads: drivers/pci/hotplug/pciehp_*.c,
 * kernel/irq/manage.c. Source: K33.
 */

import { downRead, downWrite, join, lock, unlock, upRead, upWrite } from '../step.js';
import type { Thread } from '../step.js';
import { load, store, waitFor } from './memory.js';
import { pci_stop_bus_device } from './pci.js';
import type { Pci } from './pci.js';

/** A port with one device below it, and what its driver has. */
export interface HotplugPort {
  readonly pci: Pci;
  /** struct pci_dev of the port: disconnected. */
  readonly port: string;
  /** ctrl->reset_lock */
  readonly resetLock: string;
  /** The device in its slot. */
  readonly child: string;
  /** Its interrupt: pending, awake. */
  readonly irq: string;
  /** The thread of its interrupt, which runs irq_thread. */
  readonly thread: string;
  /** reset_lock is released while drivers are bound and unbound (f5eff5591b8f). */
  readonly releases: boolean;
  /** A port that is gone does not look whether its device was replaced (e3260237aaad). */
  readonly looksWhetherGone: boolean;
}

/** The thread of the interrupt: it handles what is pending, also where it is told to stop. */
export function* irq_thread(p: HotplugPort): Thread<void> {
  yield* waitFor(p.irq, 'awake', true);
  if (yield* load<boolean>(p.irq, 'pending')) yield* pciehp_ist(p);
}

/** pciehp_request: the interrupt thread is to handle an event. */
export function* pciehp_request(p: HotplugPort): Thread<void> {
  yield* store(p.irq, 'pending', true);
  yield* store(p.irq, 'awake', true);
}

/** pciehp_ist, pciehp_disable_slot: the device in the slot is gone. */
export function* pciehp_ist(p: HotplugPort): Thread<void> {
  yield* downRead(p.resetLock);
  yield* pciehp_unconfigure_device(p);
  yield* upRead(p.resetLock);
}

function* pciehp_unconfigure_device(p: HotplugPort): Thread<void> {
  yield* store(p.child, 'disconnected', true);
  yield* lock(p.pci.rescanRemove);
  if (p.releases) yield* upRead(p.resetLock);
  yield* pci_stop_bus_device(p.pci, p.child);
  if (p.releases) yield* downRead(p.resetLock);
  yield* unlock(p.pci.rescanRemove);
}

/** pciehp_remove, free_irq: waits for the interrupt thread. Called with device_lock of the port. */
export function* pciehp_remove(p: HotplugPort): Thread<void> {
  yield* store(p.irq, 'awake', true);
  yield* join(p.thread, `free_irq(${p.irq})`);
}

/** pciehp_reset_slot: a reset of the device, with its device_lock held. */
export function* pciehp_reset_slot(p: HotplugPort): Thread<void> {
  yield* downWrite(p.resetLock);
  yield* upWrite(p.resetLock);
}

/**
 * pciehp_resume_noirq, after a sleep in which everything below a port was unplugged: what cannot be
 * read any more counts as replaced.
 */
export function* pciehp_resume_noirq(p: HotplugPort): Thread<void> {
  if (p.looksWhetherGone && (yield* load<boolean>(p.port, 'disconnected'))) return;
  // pciehp_device_replaced
  yield* store(p.child, 'disconnected', true);
  yield* pciehp_request(p);
}
