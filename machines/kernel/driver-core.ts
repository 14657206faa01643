/**
 * The driver core's operations on devices and drivers of one bus, step by step: drivers/base/core.c,
 * bus.c, dd.c. Source: B.2, B.5.
 *
 * They say what happens in which order and under which lock. What a step is, whoever runs them
 * says: src/bus does it at once or waits for it.
 */

import { EBUSY, EEXIST, ENODEV, ENOMEM, EPROBE_DEFER } from '../errno.js';
import type { BusAction } from '../../events/actions.js';
import type { KernelProfile } from '../profiles/profile.js';

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
  /** device_is_registered: it is in sysfs, from kobject_add to kobject_del. */
  isRegistered(dev: Dev): Operation<boolean, Step>;
  /** kobject_del: its name is free. */
  free(dev: Dev): Operation<void, Step>;
  /** The device after `dev` on the klist of the bus of `driver` as it now is, the first after null. */
  nextDevice(dev: Dev | null, driver: Drv): Operation<Dev | null, Step>;
  /** The same of the drivers of the bus of `dev`. The walk keeps the driver that it is at. */
  nextDriver(driver: Drv | null, dev: Dev): Operation<Drv | null, Step>;
  /** klist_iter_exit: a walk ends at `driver`. */
  leaveDriver(driver: Drv): Operation<void, Step>;
  addDriver(driver: Drv): Operation<boolean, Step>;
  /** klist_remove: waits for the walks that are at it. False where it is not on the bus. */
  removeDriver(driver: Drv): Operation<boolean, Step>;
  /** The device that was bound to `driver` last. */
  lastBound(driver: Drv): Operation<Dev | null, Step>;
  /** dev->bus is not NULL: devices of a class alone have none, and nobody is told of them. */
  hasBus(dev: Dev): boolean;
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
  /** kobject_uevent of the device. */
  uevent(action: UeventAction, dev: Dev): Operation<void, Step>;
  /** bus->dma_configure: 0 or a negative errno. */
  dmaConfigure(dev: Dev, driver: Drv): Operation<number, Step>;
  /** bus->dma_cleanup, which undoes it. */
  dmaCleanup(dev: Dev, driver: Drv): Operation<void, Step>;
  /** driver_sysfs_add: the links between a device's directory and its driver's; 0 or an errno. */
  addDriverLinks(dev: Dev, driver: Drv): Operation<number, Step>;
  /** driver_sysfs_remove */
  removeDriverLinks(dev: Dev, driver: Drv): Operation<void, Step>;
  probe(dev: Dev, driver: Drv): Operation<number, Step>;
  remove(dev: Dev, driver: Drv): Operation<void, Step>;
  /** devres_release_all */
  releaseResources(dev: Dev): Operation<void, Step>;
  /** arch_teardown_dma_ops */
  teardownDmaOps(dev: Dev): Operation<void, Step>;
  /** Whether an allocation fails here, where faults are injected. */
  fails(what: string): Operation<boolean, Step>;
  /** Whether the driver asks to be probed beside device_add and driver_register. */
  probesAsync(driver: Drv): boolean;
  /** async_schedule: runs `work` later, or at once where there is no memory to remember it. */
  schedule(work: () => Operation<void, Step>): Operation<void, Step>;
  /** What a trace shows: that a function was entered. */
  entered(fn: string, dev: Dev, driver?: Drv): Operation<void, Step>;
  returned(fn: string, ret?: number): Operation<void, Step>;
  /** driver_deferred_probe_add */
  defer(dev: Dev): Operation<void, Step>;
  /** driver_deferred_probe_del */
  undefer(dev: Dev): Operation<void, Step>;
  /** driver_deferred_probe_trigger */
  triggerDeferred(): Operation<void, Step>;
}

/** KOBJ_ADD … of lib/kobject_uevent.c. */
export type UeventAction = 'add' | 'bind' | 'unbind' | 'remove';

/**
 * device_add, DA1–DA9.
 *
 * @returns 0; -EEXIST: the bus has a device of that name; -ENOMEM: something could not be made, and
 *   nobody was told of the device
 */
export function* device_add<D, R, S>(core: DriverCore<D, R, S>, dev: D): Operation<number, S> {
  yield* core.entered('device_add', dev);
  const ret = yield* addDevice(core, dev);
  yield* core.returned('device_add', ret);
  return ret;
}

function* addDevice<D, R, S>(core: DriverCore<D, R, S>, dev: D): Operation<number, S> {
  if (yield* core.fails('kobject_add()')) return -ENOMEM;
  if (!(yield* core.addToBus(dev))) return -EEXIST;
  if (yield* core.fails('dpm_sysfs_add()')) {
    // bus_remove_device, without DEL_DEVICE: a driver may have found the device already.
    yield* core.removeFromBus(dev);
    yield* device_release_driver(core, dev);
    yield* core.free(dev);
    return -ENOMEM;
  }
  yield* core.notify('ADD_DEVICE', dev);
  yield* core.uevent('add', dev);
  if (core.profile.readyFlag) {
    yield* core.lock(dev);
    yield* core.makeReady(dev);
    yield* core.unlock(dev);
  }
  yield* bus_probe_device(core, dev);
  return 0;
}

/**
 * device_del, DD1–DD7.
 *
 * @returns 0; -ENODEV: no such device
 */
export function* device_del<D, R, S>(core: DriverCore<D, R, S>, dev: D): Operation<number, S> {
  yield* core.entered('device_del', dev);
  const ret = yield* deleteDevice(core, dev);
  yield* core.returned('device_del', ret);
  return ret;
}

function* deleteDevice<D, R, S>(core: DriverCore<D, R, S>, dev: D): Operation<number, S> {
  if (core.profile.deadChecked !== 'nowhere') {
    yield* core.lock(dev);
    const alive = yield* core.kill(dev);
    yield* core.unlock(dev);
    if (!alive) return -ENODEV;
  }
  yield* core.notify('DEL_DEVICE', dev);
  if (!(yield* core.removeFromBus(dev))) return -ENODEV;
  // bus_remove_device does nothing without a bus.
  if (core.hasBus(dev)) yield* device_release_driver(core, dev);
  yield* core.undefer(dev);
  yield* core.releaseResources(dev);
  if (core.profile.removedDevice) yield* core.notify('REMOVED_DEVICE', dev);
  yield* core.uevent('remove', dev);
  yield* core.free(dev);
  return 0;
}

/** bus_probe_device, for a bus whose drivers are probed as its devices come (drivers_autoprobe). */
function* bus_probe_device<D, R, S>(core: DriverCore<D, R, S>, dev: D): Operation<void, S> {
  if (!core.hasBus(dev)) return;
  yield* core.lock(dev);
  const { bound, leftToAsync } = yield* __device_attach(core, dev, 'all paths', true);
  if (bound || !leftToAsync) {
    yield* core.unlock(dev);
    return;
  }
  const helper = () => __device_attach_async_helper(core, dev);
  // A schedule that runs the helper at once waits for the lock that is held here (K30).
  if (core.profile.asyncScheduledUnlocked !== 'nobody') {
    yield* core.unlock(dev);
    yield* core.schedule(helper);
  } else {
    yield* core.schedule(helper);
    yield* core.unlock(dev);
  }
}

/** Probes with the drivers that want to be probed apart from device_add. */
function* __device_attach_async_helper<D, R, S>(
  core: DriverCore<D, R, S>,
  dev: D,
): Operation<void, S> {
  yield* core.lock(dev);
  yield* __device_attach(core, dev, 'async', false);
  yield* core.unlock(dev);
}

/**
 * device_attach: looks for a driver. Also what the worker of deferred probes does.
 *
 * @returns 1: bound, also before; 0: no driver took it, or the device is dead
 */
export function* device_attach<D, R, S>(core: DriverCore<D, R, S>, dev: D): Operation<number, S> {
  yield* core.lock(dev);
  const { bound } = yield* __device_attach(core, dev, 'all paths', false);
  yield* core.unlock(dev);
  return bound ? 1 : 0;
}

/**
 * @param path which paths must check the dead flag for this one to do so (K08, K09)
 * @param leaves drivers that want it are left to the async helper
 */
function* __device_attach<D, R, S>(
  core: DriverCore<D, R, S>,
  dev: D,
  path: 'async' | 'all paths',
  leaves: boolean,
): Operation<{ readonly bound: boolean; readonly leftToAsync: boolean }, S> {
  let leftToAsync = false;
  if (checksDead(core.profile, path) && (yield* core.isDead(dev))) {
    return { bound: false, leftToAsync };
  }
  if ((yield* core.driverOf(dev)) !== null) return { bound: true, leftToAsync };
  let driver = yield* core.nextDriver(null, dev);
  while (driver !== null) {
    if (yield* core.matches(dev, driver)) {
      if (leaves && core.probesAsync(driver)) leftToAsync = true;
      // A probe that fails leaves the next driver its luck.
      else if (yield* driver_probe_device(core, dev, driver)) {
        yield* core.leaveDriver(driver);
        return { bound: true, leftToAsync };
      }
    }
    driver = yield* core.nextDriver(driver, dev);
  }
  return { bound: false, leftToAsync };
}

function checksDead({ deadChecked }: KernelProfile, path: 'async' | 'all paths'): boolean {
  return deadChecked === 'all paths' || deadChecked === path;
}

/** device_release_driver: unbinds what is bound. */
export function* device_release_driver<D, R, S>(
  core: DriverCore<D, R, S>,
  dev: D,
): Operation<void, S> {
  yield* core.entered('device_release_driver_internal', dev);
  yield* core.lock(dev);
  yield* __device_release_driver(core, dev);
  yield* core.unlock(dev);
}

/**
 * __device_release_driver, under device_lock. At UNBIND_DRIVER the links are gone and dev->driver is
 * set, at UNBOUND_DRIVER neither is there.
 */
function* __device_release_driver<D, R, S>(core: DriverCore<D, R, S>, dev: D): Operation<void, S> {
  yield* core.entered('__device_release_driver', dev);
  const driver = yield* core.driverOf(dev);
  if (driver === null) return;
  yield* core.removeDriverLinks(dev, driver);
  yield* core.notify('UNBIND_DRIVER', dev);
  yield* core.remove(dev, driver);
  if (core.profile.dmaOwnership) yield* core.dmaCleanup(dev, driver);
  yield* core.entered('device_unbind_cleanup', dev, driver);
  yield* releaseWhatItUsed(core, dev, core.profile.devresBeforeDmaTeardown !== 'nowhere');
  yield* core.setDriver(dev, null);
  yield* core.setBound(dev, driver, false);
  yield* core.notify('UNBOUND_DRIVER', dev);
  if (core.profile.bindUevents) yield* core.uevent('unbind', dev);
}

/** Managed resources may be DMA memory, which is freed with the DMA ops that it came from (K40). */
function* releaseWhatItUsed<D, R, S>(
  core: DriverCore<D, R, S>,
  dev: D,
  devresFirst: boolean,
): Operation<void, S> {
  if (!devresFirst) yield* core.teardownDmaOps(dev);
  yield* core.releaseResources(dev);
  if (devresFirst) yield* core.teardownDmaOps(dev);
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
  let dev = yield* core.nextDevice(null, driver);
  while (dev !== null) {
    if (yield* core.matches(dev, driver)) yield* __driver_attach(core, dev, driver);
    dev = yield* core.nextDevice(dev, driver);
  }
  return 0;
}

function* __driver_attach<D, R, S>(
  core: DriverCore<D, R, S>,
  dev: D,
  driver: R,
): Operation<void, S> {
  if (core.probesAsync(driver)) {
    const helper = () => device_driver_attach_async(core, dev, driver);
    yield* core.lock(dev);
    const free = (yield* core.driverOf(dev)) === null;
    const unlocked = core.profile.asyncScheduledUnlocked === 'both';
    if (free && !unlocked) yield* core.schedule(helper);
    yield* core.unlock(dev);
    if (free && unlocked) yield* core.schedule(helper);
    return;
  }
  yield* core.lock(dev);
  const dead = checksDead(core.profile, 'async') && (yield* core.isDead(dev));
  if (!dead && (yield* core.driverOf(dev)) === null) {
    yield* driver_probe_device(core, dev, driver);
  }
  yield* core.unlock(dev);
}

/** __driver_attach_async_helper */
function* device_driver_attach_async<D, R, S>(
  core: DriverCore<D, R, S>,
  dev: D,
  driver: R,
): Operation<void, S> {
  yield* device_driver_attach(core, dev, driver);
}

/**
 * device_driver_attach: `bind` of sysfs.
 *
 * @returns 0; -EBUSY: it has a driver; -ENODEV: the device is dead, or the driver did not take it
 */
export function* device_driver_attach<D, R, S>(
  core: DriverCore<D, R, S>,
  dev: D,
  driver: R,
): Operation<number, S> {
  yield* core.lock(dev);
  let ret = -ENODEV;
  if (!(checksDead(core.profile, 'async') && (yield* core.isDead(dev)))) {
    if ((yield* core.driverOf(dev)) !== null) ret = -EBUSY;
    else if (yield* driver_probe_device(core, dev, driver)) ret = 0;
  }
  yield* core.unlock(dev);
  return ret;
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

/** driver_probe_device, under device_lock. Whether the driver is bound now. */
export function* driver_probe_device<D, R, S>(
  core: DriverCore<D, R, S>,
  dev: D,
  driver: R,
): Operation<boolean, S> {
  // What a worker that comes late finds: device_del is over.
  if (!(yield* core.isRegistered(dev))) return false;
  // Nor is it put on the deferred list: device_add will probe it (B.5).
  if (core.profile.readyFlag && !(yield* core.isReady(dev))) return false;
  yield* core.entered('really_probe', dev, driver);
  const ret = yield* really_probe(core, dev, driver);
  yield* core.returned('really_probe', core.profile.probedIsOne ? probedUntilV5_13(ret) : ret);
  if (Math.abs(ret) === EPROBE_DEFER) yield* core.defer(dev);
  if (ret === 0) yield* core.triggerDeferred();
  return ret === 0;
}

/** Until v5.13 1 was success, and an error 0: the next driver may try its luck. */
function probedUntilV5_13(ret: number): number {
  if (ret === 0) return 1;
  return Math.abs(ret) === EPROBE_DEFER ? -EPROBE_DEFER : 0;
}

/**
 * really_probe, RP1–RP6, under device_lock.
 *
 * @returns 0: bound; a negative errno; a positive one: what the driver's probe() returned
 */
function* really_probe<D, R, S>(
  core: DriverCore<D, R, S>,
  dev: D,
  driver: R,
): Operation<number, S> {
  const { profile } = core;
  yield* core.setDriver(dev, driver);
  const configured = yield* core.dmaConfigure(dev, driver);
  if (configured !== 0) {
    // Since v5.17 nobody is told of a driver of which nobody was told that it binds (K07).
    if (profile.notBound && !profile.notBoundNeedsBind) {
      yield* core.notify('DRIVER_NOT_BOUND', dev);
    }
    if (profile.notBoundNeedsBind) yield* core.entered('device_unbind_cleanup', dev, driver);
    yield* releaseWhatItUsed(core, dev, profile.devresBeforeDmaTeardown === 'everywhere');
    yield* core.setDriver(dev, null);
    return configured;
  }
  yield* core.notify('BIND_DRIVER', dev);
  const linked = yield* core.addDriverLinks(dev, driver);
  const probed = linked !== 0 ? linked : yield* core.probe(dev, driver);
  if (probed !== 0) {
    yield* undoProbe(core, dev, driver, linked === 0);
    return linked === 0 ? -probed : probed;
  }
  yield* core.entered('driver_bound', dev, driver);
  yield* core.setBound(dev, driver, true);
  yield* core.notify('BOUND_DRIVER', dev);
  if (profile.bindUevents) yield* core.uevent('bind', dev);
  return 0;
}

/** RP6 fail: in which order a probe is undone, its generations differ. */
function* undoProbe<D, R, S>(
  core: DriverCore<D, R, S>,
  dev: D,
  driver: R,
  linked: boolean,
): Operation<void, S> {
  const { profile } = core;
  const last = profile.notBoundNeedsBind;
  if (last && linked) yield* core.removeDriverLinks(dev, driver);
  if (profile.notBound) yield* core.notify('DRIVER_NOT_BOUND', dev);
  if (profile.dmaOwnership) yield* core.dmaCleanup(dev, driver);
  if (last) yield* core.entered('device_unbind_cleanup', dev, driver);
  yield* releaseWhatItUsed(core, dev, profile.devresBeforeDmaTeardown === 'everywhere');
  if (!last && linked) yield* core.removeDriverLinks(dev, driver);
  yield* core.setDriver(dev, null);
}
