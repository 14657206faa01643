/**
 * The driver core's operations on devices and drivers of one bus, step by step: drivers/base/core.c,
 * bus.c, dd.c. Source: B.2, B.5.
 *
 * They say what happens in which order and under which lock. What a step is, whoever runs them
 * says: src/bus does it at once or waits for it.
 */

import type { BusAction } from '../../events/actions.js';
import { EEXIST, EBUSY } from '../notifier-chain.js';
import type { KernelProfile } from '../profiles/profile.js';

export const ENODEV = 19;
export const EPROBE_DEFER = 517;

/** A part of an operation: what it yields, its runner understands. */
export type Operation<T, Step = unknown> = Generator<Step, T, unknown>;

/**
 * What the operations are made of. `Dev` is a struct device, so a device that is added again under
 * its name is another one; `Drv` is a struct device_driver.
 */
export interface DriverCore<Dev, Drv, Step = unknown> {
  readonly profile: KernelProfile;
  /** device_lock(dev) */
  lock(dev: Dev): Operation<void, Step>;
  unlock(dev: Dev): Operation<void, Step>;
  /** kobject_add, bus_add_device: klist_add_tail; false where the name is taken. */
  addToBus(dev: Dev): Operation<boolean, Step>;
  /** klist_del; false where it is not on the bus any more. */
  removeFromBus(dev: Dev): Operation<boolean, Step>;
  /** kobject_del: its name is free. */
  free(dev: Dev): Operation<void, Step>;
  /** The device after `dev` on the bus's klist as it now is, the first after null. */
  nextDevice(dev: Dev | null): Operation<Dev | null, Step>;
  /** The same of the drivers. The walk keeps the driver that it is at from being removed. */
  nextDriver(driver: Drv | null): Operation<Drv | null, Step>;
  /** klist_iter_exit: a walk ends at `driver`. */
  leaveDriver(driver: Drv): Operation<void, Step>;
  addDriver(driver: Drv): Operation<boolean, Step>;
  /** klist_remove: waits for the walks that are at it. False where it is not on the bus. */
  removeDriver(driver: Drv): Operation<boolean, Step>;
  /** The device that was bound to `driver` last. */
  lastBound(driver: Drv): Operation<Dev | null, Step>;
  /** bus->match */
  matches(dev: Dev, driver: Drv): Operation<boolean, Step>;
  /** dev->driver */
  driverOf(dev: Dev): Operation<Drv | null, Step>;
  setDriver(dev: Dev, driver: Drv | null): Operation<void, Step>;
  /** klist_add_tail of driver_bound, klist_remove of __device_release_driver. */
  setBound(dev: Dev, driver: Drv, bound: boolean): Operation<void, Step>;
  /** dev->p->dead, also for a device that is gone. */
  isDead(dev: Dev): Operation<boolean, Step>;
  kill(dev: Dev): Operation<boolean, Step>;
  isReady(dev: Dev): Operation<boolean, Step>;
  makeReady(dev: Dev): Operation<void, Step>;
  /** Calls the bus's notifier chain. */
  notify(action: BusAction, dev: Dev): Operation<void, Step>;
  /** bus->dma_configure: 0 or a negative errno. */
  dmaConfigure(dev: Dev, driver: Drv): Operation<number, Step>;
  probe(dev: Dev, driver: Drv): Operation<number, Step>;
  remove(dev: Dev, driver: Drv): Operation<void, Step>;
  /** driver_deferred_probe_add */
  defer(dev: Dev): Operation<void, Step>;
  /** driver_deferred_probe_trigger */
  triggerDeferred(): Operation<void, Step>;
}

/**
 * device_add, DA1–DA9.
 *
 * @returns 0; -EEXIST: the bus has a device of that name
 */
export function* device_add<D, R, S>(core: DriverCore<D, R, S>, dev: D): Operation<number, S> {
  if (!(yield* core.addToBus(dev))) return -EEXIST;
  yield* core.notify('ADD_DEVICE', dev);
  if (core.profile.readyFlag) {
    yield* core.lock(dev);
    yield* core.makeReady(dev);
    yield* core.unlock(dev);
  }
  yield* device_attach(core, dev);
  return 0;
}

/**
 * device_del, DD1–DD7.
 *
 * @returns 0; -ENODEV: no such device
 */
export function* device_del<D, R, S>(core: DriverCore<D, R, S>, dev: D): Operation<number, S> {
  if (core.profile.deadFlag) {
    yield* core.lock(dev);
    const alive = yield* core.kill(dev);
    yield* core.unlock(dev);
    if (!alive) return -ENODEV;
  }
  yield* core.notify('DEL_DEVICE', dev);
  if (!(yield* core.removeFromBus(dev))) return -ENODEV;
  yield* device_release_driver(core, dev);
  yield* core.notify('REMOVED_DEVICE', dev);
  yield* core.free(dev);
  return 0;
}

/**
 * device_attach: looks for a driver.
 *
 * @returns 1: bound, also before; 0: no driver took it, or the device is dead
 */
export function* device_attach<D, R, S>(core: DriverCore<D, R, S>, dev: D): Operation<number, S> {
  yield* core.lock(dev);
  const ret = yield* __device_attach(core, dev);
  yield* core.unlock(dev);
  return ret;
}

function* __device_attach<D, R, S>(core: DriverCore<D, R, S>, dev: D): Operation<number, S> {
  if (yield* core.isDead(dev)) return 0;
  if ((yield* core.driverOf(dev)) !== null) return 1;
  let driver = yield* core.nextDriver(null);
  while (driver !== null) {
    // A probe that fails leaves the next driver its luck.
    if ((yield* core.matches(dev, driver)) && (yield* driver_probe_device(core, dev, driver))) {
      yield* core.leaveDriver(driver);
      return 1;
    }
    driver = yield* core.nextDriver(driver);
  }
  return 0;
}

/** device_release_driver: unbinds what is bound. */
export function* device_release_driver<D, R, S>(
  core: DriverCore<D, R, S>,
  dev: D,
): Operation<void, S> {
  yield* core.lock(dev);
  yield* __device_release_driver(core, dev);
  yield* core.unlock(dev);
}

function* __device_release_driver<D, R, S>(core: DriverCore<D, R, S>, dev: D): Operation<void, S> {
  const driver = yield* core.driverOf(dev);
  if (driver === null) return;
  yield* core.notify('UNBIND_DRIVER', dev);
  yield* core.remove(dev, driver);
  yield* core.setDriver(dev, null);
  yield* core.setBound(dev, driver, false);
  yield* core.notify('UNBOUND_DRIVER', dev);
}

/**
 * driver_register: the new driver is offered every device of the bus.
 *
 * @returns 0; -EBUSY: the bus has a driver of that name
 */
export function* driver_register<D, R, S>(
  core: DriverCore<D, R, S>,
  driver: R,
): Operation<number, S> {
  if (!(yield* core.addDriver(driver))) return -EBUSY;
  let dev = yield* core.nextDevice(null);
  while (dev !== null) {
    if (yield* core.matches(dev, driver)) yield* __driver_attach(core, dev, driver);
    dev = yield* core.nextDevice(dev);
  }
  return 0;
}

function* __driver_attach<D, R, S>(
  core: DriverCore<D, R, S>,
  dev: D,
  driver: R,
): Operation<void, S> {
  yield* core.lock(dev);
  if (!(yield* core.isDead(dev)) && (yield* core.driverOf(dev)) === null) {
    yield* driver_probe_device(core, dev, driver);
  }
  yield* core.unlock(dev);
}

/**
 * driver_unregister: unbinds its devices, the last bound first.
 *
 * @returns 0; -ENODEV: no such driver
 */
export function* driver_unregister<D, R, S>(
  core: DriverCore<D, R, S>,
  driver: R,
): Operation<number, S> {
  if (!(yield* core.removeDriver(driver))) return -ENODEV;
  let dev = yield* core.lastBound(driver);
  while (dev !== null) {
    yield* core.lock(dev);
    if ((yield* core.driverOf(dev)) === driver) yield* __device_release_driver(core, dev);
    yield* core.unlock(dev);
    dev = yield* core.lastBound(driver);
  }
  return 0;
}

/** driver_probe_device, really_probe RP1–RP6. Whether the driver is bound now. */
function* driver_probe_device<D, R, S>(
  core: DriverCore<D, R, S>,
  dev: D,
  driver: R,
): Operation<boolean, S> {
  const { profile } = core;
  // Nor is it put on the deferred list: device_add will probe it (B.5).
  if (profile.readyFlag && !(yield* core.isReady(dev))) return false;
  yield* core.setDriver(dev, driver);
  const configured = yield* core.dmaConfigure(dev, driver);
  if (configured !== 0) {
    if (!profile.notBoundNeedsBind) yield* core.notify('DRIVER_NOT_BOUND', dev);
    yield* core.setDriver(dev, null);
    if (configured === -EPROBE_DEFER) yield* core.defer(dev);
    return false;
  }
  yield* core.notify('BIND_DRIVER', dev);
  const probed = yield* core.probe(dev, driver);
  if (probed !== 0) {
    yield* core.notify('DRIVER_NOT_BOUND', dev);
    yield* core.setDriver(dev, null);
    if (probed === -EPROBE_DEFER) yield* core.defer(dev);
    return false;
  }
  yield* core.setBound(dev, driver, true);
  yield* core.notify('BOUND_DRIVER', dev);
  yield* core.triggerDeferred();
  return true;
}
