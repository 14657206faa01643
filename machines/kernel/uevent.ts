/**
 * The uevent attribute of a device, which names its driver, beside what takes the driver away:
 * drivers/base/core.c, dd.c, bus.c, kernel/module/main.c. Source: K34, B.2.
 */

import { NULL } from '../null-pointer.js';
import { lock, rcuReadLock, rcuReadUnlock, synchronizeRcu, unlock } from '../step.js';
import type { Thread } from '../step.js';
import { kernfs_get_active, kernfs_put_active, kernfs_remove } from './kernfs.js';
import { kfree, listDel, load, store } from './memory.js';

/**
 * What keeps the driver while dev_uevent reads its name: nothing; nothing, where the compiler makes
 * one load of two; device_lock, taken in uevent_show; RCU, for which the removal of a driver waits;
 * the spinlock of the bus's klist of drivers.
 */
export type UeventGuard = 'none' | 'none, one load' | 'device_lock' | 'rcu' | 'klist_drivers lock';

/** The names of what it is about. */
export interface UeventDevice {
  readonly guard: UeventGuard;
  /** struct device: driver. */
  readonly dev: string;
  /** device_lock(dev) */
  readonly deviceLock: string;
  /** dev/uevent in sysfs: a kernfsNodeMachine. */
  readonly attribute: string;
  /** struct bus_type: klist_drivers. */
  readonly bus: string;
  /** klist_drivers.k_lock */
  readonly klistLock: string;
  /** An rcuMachine. */
  readonly rcu: string;
}

/** uevent_show: somebody reads the attribute. Its scenario has a nullPointerMachine called NULL. */
export function* uevent_show(u: UeventDevice): Thread<void> {
  if (!(yield* kernfs_get_active(u.attribute))) return;
  if (u.guard === 'device_lock') yield* lock(u.deviceLock);
  yield* dev_uevent(u);
  if (u.guard === 'device_lock') yield* unlock(u.deviceLock);
  yield* kernfs_put_active(u.attribute);
}

/** The part of dev_uevent that adds DRIVER=. */
function* dev_uevent(u: UeventDevice): Thread<void> {
  switch (u.guard) {
    case 'none':
    case 'device_lock':
      if ((yield* load(u.dev, 'driver')) !== null) {
        yield* load((yield* load<string | null>(u.dev, 'driver')) ?? NULL, 'name');
      }
      break;
    case 'none, one load':
      yield* nameOf(yield* load<string | null>(u.dev, 'driver', 'drv'));
      break;
    case 'rcu':
      yield* rcuReadLock(u.rcu);
      yield* nameOf(yield* load<string | null>(u.dev, 'driver', 'drv'));
      yield* rcuReadUnlock(u.rcu);
      break;
    case 'klist_drivers lock':
      // Who holds a spinlock is not preempted: RCU waits for it.
      yield* rcuReadLock(u.rcu);
      yield* lock(u.klistLock);
      yield* nameOf(yield* load<string | null>(u.dev, 'driver', 'drv'));
      yield* unlock(u.klistLock);
      yield* rcuReadUnlock(u.rcu);
      break;
  }
}

function* nameOf(driver: string | null): Thread<void> {
  if (driver !== null) yield* load(driver, 'name');
}

/** really_probe, RP1 and RP6, of a probe that fails. */
export function* really_probe(u: UeventDevice, driver: string): Thread<void> {
  yield* lock(u.deviceLock);
  yield* store(u.dev, 'driver', driver);
  yield* store(u.dev, 'driver', null);
  yield* unlock(u.deviceLock);
}

/** bus_remove_driver: the driver leaves the klist first, and its device afterwards. */
export function* bus_remove_driver(u: UeventDevice, driver: string): Thread<void> {
  yield* lock(u.klistLock);
  yield* listDel(u.bus, 'klist_drivers', driver);
  yield* unlock(u.klistLock);
  // driver_detach
  yield* lock(u.deviceLock);
  if ((yield* load(u.dev, 'driver')) === driver) yield* store(u.dev, 'driver', null);
  yield* unlock(u.deviceLock);
  // module_remove_driver
  if (u.guard === 'rcu') yield* synchronizeRcu(u.rcu);
}

/** free_module: a driver that is a static variable goes with the memory of its module. */
export function* free_module(u: UeventDevice, driver: string): Thread<void> {
  yield* synchronizeRcu(u.rcu);
  yield* kfree(driver);
}

/** A subsystem that removes the attributes of a device with its lock held. */
export function* device_remove_attrs_locked(u: UeventDevice): Thread<void> {
  yield* lock(u.deviceLock);
  yield* kernfs_remove(u.attribute);
  yield* unlock(u.deviceLock);
}
