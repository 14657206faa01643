/**
 * PCI devices that go while others reset them or take their virtual functions away, and the locks
 * that it takes: drivers/pci/remove.c, pci.c, iov.c. Source: K33, B.2 (PCI).
 */

import { downRead, downWrite, lock, unlock, upRead, upWrite } from '../step.js';
import type { Thread } from '../step.js';
import { get, kfree, listDel, listNext, load, put, store } from './memory.js';

/**
 * Where the removal of virtual functions takes pci_rescan_remove_lock: nowhere; in sriov_del_vfs
 * (05703271c3cd); in sriov_numvfs_store (a5338e365c45).
 */
export type SriovLocking = 'none' | 'sriov_del_vfs' | 'sriov_numvfs_store';

/** In which order pci_dev_lock takes what it takes; device_lock first since a91ee0e9fca9. */
export type PciDevLockOrder = 'config access first' | 'device_lock first';

/** The names of what it is about. */
export interface Pci {
  /** pci_rescan_remove_lock */
  readonly rescanRemove: string;
  /** pci_bus_sem */
  readonly busSem: string;
  readonly devLockOrder: PciDevLockOrder;
  readonly sriov: SriovLocking;
  /** device_lock of a device. */
  deviceLock(dev: string): string;
  /** dev->block_cfg_access, as pci_cfg_access_lock waits for it. */
  cfgAccess(dev: string): string;
  /** What has a list `devices` with the device: its bus. */
  bus(dev: string): string;
  /** remove() of the device's driver. */
  remove(dev: string): Thread<void>;
}

/** pci_stop_bus_device of one device: its driver is unbound, under device_lock. */
export function* pci_stop_bus_device(pci: Pci, dev: string): Thread<void> {
  yield* lock(pci.deviceLock(dev));
  yield* pci.remove(dev);
  yield* unlock(pci.deviceLock(dev));
}

/** pci_destroy_dev: what it looks at first keeps nobody out who is in it. */
function* pci_destroy_dev(pci: Pci, dev: string): Thread<void> {
  if ((yield* load(dev, 'parent')) === null) return;
  yield* store(dev, 'parent', null);
  yield* downWrite(pci.busSem);
  yield* listDel(pci.bus(dev), 'devices', dev);
  yield* upWrite(pci.busSem);
  yield* pci_dev_put(dev);
}

/** pci_stop_and_remove_bus_device, whose callers hold pci_rescan_remove_lock. */
export function* pci_stop_and_remove_bus_device(pci: Pci, dev: string): Thread<void> {
  yield* pci_stop_bus_device(pci, dev);
  yield* pci_destroy_dev(pci, dev);
}

/** remove_store of sysfs: pci_stop_and_remove_bus_device_locked. */
export function* remove_store(pci: Pci, dev: string): Thread<void> {
  yield* lock(pci.rescanRemove);
  yield* pci_stop_and_remove_bus_device(pci, dev);
  yield* unlock(pci.rescanRemove);
}

/** pci_get_slot, pci_get_domain_bus_and_slot: false where the device is not on its bus. */
function* pci_get_slot(pci: Pci, dev: string): Thread<boolean> {
  yield* downRead(pci.busSem);
  let entry = yield* listNext(pci.bus(dev), 'devices', null);
  while (entry !== null && entry !== dev) entry = yield* listNext(pci.bus(dev), 'devices', entry);
  if (entry !== null) yield* get(dev);
  yield* upRead(pci.busSem);
  return entry !== null;
}

function* pci_dev_put(dev: string): Thread<void> {
  if (yield* put(dev)) yield* kfree(dev);
}

/** zpci_iov_remove_virtfn of s390: the platform says that a virtual function is gone. */
export function* zpci_iov_remove_virtfn(pci: Pci, vf: string): Thread<void> {
  yield* lock(pci.rescanRemove);
  yield* pci_iov_remove_virtfn(pci, vf);
  yield* unlock(pci.rescanRemove);
}

function* pci_iov_remove_virtfn(pci: Pci, vf: string): Thread<void> {
  if (!(yield* pci_get_slot(pci, vf))) return;
  yield* pci_stop_and_remove_bus_device(pci, vf);
  yield* pci_dev_put(vf);
}

/** pci_dev_lock, pci_reset_function and pci_dev_unlock. */
export function* pci_reset_function(
  pci: Pci,
  dev: string,
  reset: () => Thread<void>,
): Thread<void> {
  const locks = [pci.cfgAccess(dev), pci.deviceLock(dev)];
  if (pci.devLockOrder === 'device_lock first') locks.reverse();
  for (const each of locks) yield* lock(each);
  yield* reset();
  for (const each of locks.reverse()) yield* unlock(each);
}

/** sriov_numvfs_store of 0: the driver of the physical function is asked to disable SR-IOV. */
export function* sriov_numvfs_store(pci: Pci, pf: string, vf: string | null): Thread<void> {
  yield* lock(pci.deviceLock(pf));
  if (pci.sriov === 'sriov_numvfs_store') yield* lock(pci.rescanRemove);
  yield* sriov_disable(pci, pf, vf);
  if (pci.sriov === 'sriov_numvfs_store') yield* unlock(pci.rescanRemove);
  yield* unlock(pci.deviceLock(pf));
}

/**
 * sriov_disable, which sriov_configure() and remove() of drivers call.
 *
 * @param vf its virtual function, null where it has none
 */
export function* sriov_disable(pci: Pci, pf: string, vf: string | null): Thread<void> {
  if (vf !== null) yield* sriov_del_vfs(pci, vf);
  yield* lock(pci.cfgAccess(pf));
  yield* unlock(pci.cfgAccess(pf));
}

function* sriov_del_vfs(pci: Pci, vf: string): Thread<void> {
  if (pci.sriov === 'sriov_del_vfs') yield* lock(pci.rescanRemove);
  yield* pci_iov_remove_virtfn(pci, vf);
  if (pci.sriov === 'sriov_del_vfs') yield* unlock(pci.rescanRemove);
}

/** device_driver_detach: unbind in sysfs, or an rmmod. */
export function* device_driver_detach(pci: Pci, dev: string): Thread<void> {
  yield* pci_stop_bus_device(pci, dev);
}
