/**
 * A bus of the driver core that runs: devices and drivers come and go, its notifier chain is called
 * as the kernel of the profile calls it. Source: B.2–B.5; the operations stand in
 * machines/kernel/driver-core.ts.
 */

import { EBUSY, ENODEV } from '../../machines/errno.js';
import { concat, defer, EMPTY, from, Subject } from 'rxjs';
import type { Observable } from 'rxjs';
import { busAction, busActionValue } from '../../events/actions.js';
import type { BusAction, GroupAction } from '../../events/actions.js';
import {
  device_add,
  device_attach,
  device_del,
  device_release_driver,
  driver_register,
  driver_unregister,
} from '../../machines/kernel/driver-core.js';
import type { Operation } from '../../machines/kernel/driver-core.js';
import type { KernelProfile } from '../../machines/profiles/profile.js';
import { BusDevice, BusDriver } from './bus-device.js';
import type { Driver } from './bus-device.js';
import type { Delivery } from './chain-call.js';
import type { HotplugNotification } from './hotplug-notification.js';
import { IommuCore } from './iommu-core.js';
import type { IommuOps } from './iommu-core.js';
import { IommuGroup } from './iommu-group.js';
import { done, LiveDriverCore } from './live-driver-core.js';
import { NotifiedChain } from './notified-chain.js';
import type { NotifierBlock } from './notifier-block.js';
import { OperationRun } from './operation-run.js';
import type { Pause, Request } from './operation-run.js';
import type { WriteResult } from './write-result.js';

export interface BusOptions {
  /** For people and in every notification: `pci`. */
  readonly name: string;
  readonly profile: KernelProfile;
  /** bus->match; every driver takes every device where left out. */
  readonly match?: (dev: string, driver: string) => boolean;
  /** Time of notifications in ns; the process's monotonic clock where left out. */
  readonly clock?: () => number;
  /**
   * Holds an operation where others may overtake it, until what it returns is over: for a controlled
   * scheduler. Operations are numbered from 0 in the order in which they begin.
   */
  readonly pause?: Pause;
}

export class Bus {
  readonly name: string;
  readonly profile: KernelProfile;
  /**
   * Every call of the bus's chain, hot, before its first callback. What the callbacks returned is on
   * `deliveries$`.
   */
  readonly notifications$: Observable<HotplugNotification>;
  /** The groups that there are, then each as it is made. */
  readonly groups$: Observable<IommuGroup>;

  private readonly clock: () => number;
  private readonly notified: NotifiedChain<BusAction>;
  private readonly core: LiveDriverCore;
  private readonly groups = new Map<number, IommuGroup>();
  private readonly made = new Subject<IommuGroup>();
  private iommu: IommuCore | undefined;
  private readonly pause: Pause | undefined;
  private seq = 0;
  private operations = 0;

  constructor({ name, profile, match, clock, pause }: BusOptions) {
    this.name = name;
    this.pause = pause;
    this.profile = profile;
    this.clock = clock ?? (() => Number(process.hrtime.bigint()));
    this.notified = new NotifiedChain(name, profile);
    this.notifications$ = this.notified.notifications$;
    this.groups$ = defer(() => concat(from([...this.groups.values()]), this.made));
    this.core = new LiveDriverCore(
      profile,
      match ?? (() => true),
      (action, device) => this.send(action, device),
      (device) => this.run('device_attach', device.name, device_attach(this.core, device)),
    );
  }

  /** Every delivery of every call, hot, with what the callback returned. */
  get deliveries$(): Observable<Delivery<HotplugNotification, BusAction>> {
    return this.notified.chain.notifications$;
  }

  /** Ends the streams of the bus and of its groups. */
  complete(): void {
    this.notified.complete();
    for (const group of this.groups.values()) group.complete();
    this.made.complete();
  }

  /** The number of BUS_NOTIFY_<action> in this generation, undefined where it has none (B.4). */
  actionValue(action: BusAction): number | undefined {
    return busActionValue(this.profile.numbering, action);
  }

  /** The action with that number in this generation, undefined where there is none (B.4). */
  action(value: number): BusAction | undefined {
    return busAction(this.profile.numbering, value);
  }

  /** bus_register_notifier; as NotifierChain.register. */
  register(block: NotifierBlock<HotplugNotification, BusAction>): WriteResult {
    return this.notified.chain.register(block);
  }

  /** bus_unregister_notifier; as NotifierChain.unregister. */
  unregister(block: NotifierBlock<HotplugNotification, BusAction>): WriteResult {
    return this.notified.chain.unregister(block);
  }

  /**
   * Calls the bus's chain, or a group's, with a notification that somebody else made: a replay.
   *
   * @returns cold: emits 0 when all callbacks have returned. Errors: those of NotifierChain.call.
   */
  notify(notification: HotplugNotification): Observable<number> {
    const { chain, group } = notification;
    if (chain === 'bus') return this.notified.notify(notification);
    return typeof group === 'number' ? this.group(group).call(notification) : EMPTY;
  }

  /**
   * bus_set_iommu: from now on devices get groups, those that are there first.
   *
   * @returns 0; -EBUSY: the bus has an IOMMU; what stopped the scan, in generations that report it
   */
  setIommu(ops: IommuOps): WriteResult {
    return this.run('bus_set_iommu', this.name, this.bus_set_iommu(ops));
  }

  /** The group of that id, as iommu_group_alloc makes it where there is none yet. */
  group(id: number): IommuGroup {
    let group = this.groups.get(id);
    if (group === undefined) {
      group = new IommuGroup(id, this.profile, (action, device) =>
        this.describe('group', action, device),
      );
      this.groups.set(id, group);
      this.made.next(group);
    }
    return group;
  }

  /** Names of the blocks on the bus's chain, in the order in which a call comes to them. */
  get blocks(): readonly string[] {
    return this.notified.chain.blocks;
  }

  /** Names of the devices on the bus, in the order in which they came. */
  get devices(): readonly string[] {
    return this.core.devices.all().map(({ name }) => name);
  }

  /** Name of the device's driver, null for none, undefined where there is no such device. */
  driverOf(dev: string): string | null | undefined {
    const device = this.core.named.get(dev);
    return device === undefined ? undefined : (device.driver?.name ?? null);
  }

  /** Id of the device's group, null for none, undefined where there is no such device. */
  groupOf(dev: string): number | null | undefined {
    const device = this.core.named.get(dev);
    return device === undefined ? undefined : (device.group?.id ?? null);
  }

  /**
   * device_add: ADD_DEVICE, and a driver that fits is probed.
   *
   * @returns 0; -EEXIST: a device of that name is there
   */
  deviceAdd(dev: string): WriteResult {
    return this.run('device_add', dev, device_add(this.core, new BusDevice(dev)));
  }

  /**
   * device_del: DEL_DEVICE, the driver is unbound, REMOVED_DEVICE.
   *
   * @returns 0; -ENODEV: no such device
   */
  deviceDel(dev: string): WriteResult {
    return this.onDevice('device_del', dev, (device) => device_del(this.core, device));
  }

  /**
   * device_attach: looks for a driver.
   *
   * @returns 1: bound, also before; 0: no driver took it, or the device is dead; -ENODEV: no such device
   */
  deviceAttach(dev: string): WriteResult {
    return this.onDevice('device_attach', dev, (device) => device_attach(this.core, device));
  }

  /**
   * device_release_driver.
   *
   * @returns 0, also where no driver was bound; -ENODEV: no such device
   */
  deviceReleaseDriver(dev: string): WriteResult {
    const { core } = this;
    return this.onDevice('device_release_driver', dev, function* (device) {
      yield* device_release_driver(core, device);
      return 0;
    });
  }

  /**
   * driver_register: every device without a driver is offered to it.
   *
   * @returns 0; -EBUSY: a driver of that name is there
   */
  driverRegister(driver: Driver): WriteResult {
    return this.run(
      'driver_register',
      driver.name,
      driver_register(this.core, new BusDriver(driver)),
    );
  }

  /**
   * driver_unregister: its devices are unbound, the last bound first.
   *
   * @returns 0; -ENODEV: no such driver
   */
  driverUnregister(name: string): WriteResult {
    const { core } = this;
    const driver = core.driverNamed.get(name);
    const operation = driver === undefined ? done(-ENODEV) : driver_unregister(core, driver);
    return this.run('driver_unregister', name, operation);
  }

  private onDevice(
    what: string,
    dev: string,
    operation: (device: BusDevice) => Operation<number, Request>,
  ): WriteResult {
    const device = this.core.named.get(dev);
    return this.run(what, dev, device === undefined ? done(-ENODEV) : operation(device));
  }

  private run(what: string, about: string, operation: Operation<number, Request>): WriteResult {
    const who = `${what}("${about}") on "${this.name}"`;
    return new OperationRun(who, operation, this.operations++, this.pause).result;
  }

  private *bus_set_iommu(ops: IommuOps): Operation<number, Request> {
    if (this.iommu !== undefined) return -EBUSY;
    const device = (name: string) => this.core.named.get(name);
    const iommu = new IommuCore(this.profile, ops, device, (id) => this.group(id));
    this.iommu = iommu;
    yield { call: () => now(this.notified.chain.register(iommu.block)) };
    const { devices } = this.core;
    for (let at = devices.after(null); at !== null; at = devices.after(at)) {
      const present = at;
      const ret = (yield { call: () => iommu.scan(present) }) as number;
      if (ret !== 0) {
        yield* this.withdraw(iommu);
        return ret;
      }
    }
    return 0;
  }

  /** A scan that failed leaves no group and no listener. */
  private *withdraw(iommu: IommuCore): Operation<void, Request> {
    for (const device of this.core.devices.all()) {
      const { group } = device;
      if (group !== null) yield { call: () => group.removeDevice(device) };
    }
    yield { call: () => now(this.notified.chain.unregister(iommu.block)) };
    this.iommu = undefined;
  }

  /** The bus's own notification; 0 for an action that the generation does not have. */
  private send(action: BusAction, device: BusDevice): Observable<number> | number {
    if (this.actionValue(action) === undefined) return 0;
    return this.notified.notify(this.describe('bus', action, device));
  }

  private describe(
    chain: 'bus' | 'group',
    action: BusAction | GroupAction,
    device: BusDevice,
  ): HotplugNotification {
    return {
      chain,
      action,
      dev: device.name,
      bus: this.name,
      driver: device.driver?.name ?? null,
      group: device.group?.id ?? null,
      seq: this.seq++,
      time: this.clock(),
      task: undefined,
      origin: undefined,
    };
  }
}

/** What came to its end at once is not waited for. */
function now(result: WriteResult): number | WriteResult {
  return result.ret ?? result;
}
