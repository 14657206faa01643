/** The steps of the driver core's operations, done on objects: the memory of a bus that runs. */

import { defer, map } from 'rxjs';
import type { ObservableInput } from 'rxjs';
import type { BusAction } from '../../events/actions.js';
import type { DriverCore, Operation } from '../../machines/kernel/driver-core.js';
import type { KernelProfile } from '../../machines/profiles/profile.js';
import type { BusDevice, BusDriver } from './bus-device.js';
import type { NotifierReturn } from './notifier-block.js';
import type { Request } from './operation-run.js';
import { scheduleWork } from './schedule-work.js';

/** A step that asks for nothing. */
// eslint-disable-next-line require-yield
export function* done<T>(value: T): Operation<T, never> {
  return value;
}

/** A step that the run does, and what it came to. */
function* asked<T>(request: Request): Operation<T, Request> {
  return (yield request) as T;
}

/** A klist: who is appended during a walk is met, who was deleted is skipped (B.5). */
class Klist<Item extends { order: number }> {
  private readonly items = new Map<number, Item>();
  private appended = 0;

  append(item: Item): void {
    item.order = this.appended++;
    this.items.set(item.order, item);
  }

  delete(item: Item): boolean {
    return this.items.delete(item.order);
  }

  after(item: Item | null): Item | null {
    for (const [order, next] of this.items) if (item === null || order > item.order) return next;
    return null;
  }

  all(): readonly Item[] {
    return [...this.items.values()];
  }
}

export class LiveDriverCore implements DriverCore<BusDevice, BusDriver, Request> {
  /** The bus's devices in their order. */
  readonly devices = new Klist<BusDevice>();
  /** The bus's directory: who has which name. */
  readonly named = new Map<string, BusDevice>();
  /** Registered drivers by name. */
  readonly driverNamed = new Map<string, BusDriver>();
  private readonly drivers = new Klist<BusDriver>();
  private readonly deferred = new Set<BusDevice>();

  /**
   * @param match bus->match
   * @param send calls the bus's chain
   * @param attach device_attach as a task of its own
   */
  constructor(
    readonly profile: KernelProfile,
    private readonly match: (dev: string, driver: string) => boolean,
    private readonly send: (action: BusAction, device: BusDevice) => NotifierReturn,
    private readonly attach: (device: BusDevice) => PromiseLike<unknown>,
  ) {}

  *lock(device: BusDevice): Operation<void, Request> {
    yield { pause: 'lock' };
    yield { lock: device.lock };
  }

  *unlock(device: BusDevice): Operation<void, Request> {
    yield { unlock: device.lock };
    yield { pause: 'unlock' };
  }

  addToBus(device: BusDevice) {
    if (this.named.has(device.name)) return done(false);
    this.named.set(device.name, device);
    this.devices.append(device);
    return done(true);
  }

  removeFromBus(device: BusDevice) {
    return done(this.devices.delete(device));
  }

  isRegistered(device: BusDevice) {
    return done(this.named.get(device.name) === device);
  }

  /** A bus's devices have one. */
  hasBus() {
    return true;
  }

  free(device: BusDevice) {
    this.named.delete(device.name);
    return done(undefined);
  }

  nextDevice(device: BusDevice | null) {
    return done(this.devices.after(device));
  }

  *nextDriver(driver: BusDriver | null): Operation<BusDriver | null, Request> {
    const next = this.drivers.after(driver);
    if (next !== null) yield { enter: next.walks };
    if (driver !== null) yield { leave: driver.walks };
    return next;
  }

  leaveDriver(driver: BusDriver) {
    return asked<void>({ leave: driver.walks });
  }

  addDriver(driver: BusDriver) {
    if (this.driverNamed.has(driver.name)) return done(false);
    this.driverNamed.set(driver.name, driver);
    this.drivers.append(driver);
    return done(true);
  }

  *removeDriver(driver: BusDriver): Operation<boolean, Request> {
    if (!this.drivers.delete(driver)) return false;
    yield { synchronize: driver.walks };
    this.driverNamed.delete(driver.name);
    return true;
  }

  lastBound(driver: BusDriver) {
    return done(driver.bound.at(-1) ?? null);
  }

  matches(device: BusDevice, driver: BusDriver) {
    return done(this.match(device.name, driver.name));
  }

  driverOf(device: BusDevice) {
    return done(device.driver);
  }

  setDriver(device: BusDevice, driver: BusDriver | null) {
    device.driver = driver;
    return done(undefined);
  }

  setBound(device: BusDevice, driver: BusDriver, bound: boolean) {
    if (bound) driver.bound.push(device);
    else driver.bound.splice(driver.bound.indexOf(device), 1);
    return done(undefined);
  }

  isDead(device: BusDevice) {
    return done(device.dead);
  }

  kill(device: BusDevice) {
    if (device.dead) return done(false);
    device.dead = true;
    return done(true);
  }

  isReady(device: BusDevice) {
    return done(device.ready);
  }

  makeReady(device: BusDevice) {
    device.ready = true;
    return done(undefined);
  }

  *notify(action: BusAction, device: BusDevice): Operation<void, Request> {
    yield { pause: 'notify' };
    yield { call: () => this.send(action, device) };
    yield { pause: 'notified' };
  }

  uevent() {
    return done(undefined);
  }

  dmaConfigure(device: BusDevice, { driver }: BusDriver) {
    return asked<number>({ call: () => returned(driver.dmaConfigure?.(device.name)) });
  }

  dmaCleanup() {
    return done(undefined);
  }

  addDriverLinks() {
    return done(0);
  }

  removeDriverLinks() {
    return done(undefined);
  }

  probe(device: BusDevice, { driver }: BusDriver) {
    return asked<number>({ call: () => returned(driver.probe?.(device.name)) });
  }

  remove(device: BusDevice, { driver }: BusDriver) {
    return asked<void>({ call: () => returned(driver.remove?.(device.name)) });
  }

  releaseResources() {
    return done(undefined);
  }

  teardownDmaOps() {
    return done(undefined);
  }

  fails() {
    return done(false);
  }

  probesAsync() {
    return false;
  }

  schedule(work: () => Operation<void, Request>) {
    return work();
  }

  entered() {
    return done(undefined);
  }

  returned() {
    return done(undefined);
  }

  defer(device: BusDevice) {
    this.deferred.add(device);
    return done(undefined);
  }

  undefer(device: BusDevice) {
    this.deferred.delete(device);
    return done(undefined);
  }

  triggerDeferred() {
    for (const device of this.deferred) {
      this.deferred.delete(device);
      // What fails there is nobody's, and must not be lost.
      scheduleWork(async () => {
        await this.attach(device);
      });
    }
    return done(undefined);
  }
}

/** What a driver's function returned, as a number now or later; nothing is 0. */
function returned(value: number | void | ObservableInput<unknown>): NotifierReturn {
  if (typeof value === 'number') return value;
  if (value === undefined) return 0;
  return defer(() => value).pipe(map((ret) => (typeof ret === 'number' ? ret : 0)));
}
