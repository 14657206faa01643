/**
 * Uevents: INV-46, and driver and presence of a device where no trace shows them. Source: B.2.
 */

import { BUS_ACTIONS } from '../../events/actions.js';
import { UEVENT_EVENTS } from '../../machines/uevents.js';
import type { Context } from './context.js';
import { UEVENT_AFTER } from './notifications.js';
import type { Device } from './world.js';

/** How long a uevent may take from the kernel to the monitor. ns. */
const IN_FLIGHT = 1e9;

/** Devices outside buses whose automata are kept; the oldest make room. */
const MAX_PATHS = 65536;

export class UeventTracker {
  kernel = 0;
  udev = 0;
  private early: {
    device: Device;
    kind: number;
    count: number;
    time: number;
    settle: () => void;
  }[] = [];

  constructor(private readonly ctx: Context) {}

  uevent(
    action: string,
    devpath: string,
    name: string,
    subsystem: string,
    driver: string | undefined,
    from: 'kernel' | 'udev',
  ): void {
    const { ctx } = this;
    if (from === 'udev') {
      this.udev++;
      // udev repeats each kernel event after its rules; alone it is all there is.
      if (this.kernel > 0) return;
    } else this.kernel++;
    const kind = UEVENT_EVENTS.indexOf(action as never);
    if (kind < 0 || kind > 3) return;
    const { world, machines, verdicts } = ctx;
    const before = world.uevents.get(devpath) ?? machines.uevents.initial;
    const after = machines.uevents.next(before, kind);
    if (world.uevents.size > MAX_PATHS) {
      for (const oldest of world.uevents.keys()) {
        world.uevents.delete(oldest);
        break;
      }
    }
    world.uevents.set(devpath, after);
    verdicts.check('INV-46');
    const known = world.devices.get(name);
    const device =
      known?.bus === subsystem || known?.bus === undefined
        ? known
        : world.devices.get(`${subsystem}/${name}`);
    if (machines.uevents.broken(after) !== undefined) {
      ctx.violate(
        'INV-46',
        `${name}: uevent "${action}" not expected in the state ${machines.uevents.stateName(before)}`,
        device === undefined ? {} : { dev: device },
      );
    }
    if (device !== undefined) this.afterNotification(device, kind);
    this.state(device, kind, name, subsystem, driver);
  }

  /**
   * A uevent is sent after its notification and stamped at receipt. With both in the log it must
   * not be earlier than the notification by more than the clocks may differ.
   */
  private afterNotification(device: Device, kind: number): void {
    const { ctx } = this;
    // A uevent right at the start may belong to a notification before the trace began.
    if (ctx.world.authority.driver < 3 || !(ctx.time - ctx.traceStart > IN_FLIGHT)) return;
    const seen = device.ueventCounts;
    seen[kind]++;
    if (device.busCounts[0] === 0) return;
    if (device.busCounts[kind] >= seen[kind]) {
      ctx.verdicts.check('INV-46');
      return;
    }
    const time = ctx.time;
    const { action } = UEVENT_AFTER[kind];
    if (this.early.length > 1024) this.early.shift();
    const related = device.notified.ref();
    const event = ctx.batch.event(ctx.i);
    const at = ctx.ref();
    this.early.push({
      device,
      kind,
      count: seen[kind],
      time,
      settle: () =>
        ctx.verdicts.violate({
          rule: 'INV-46',
          message: `${device.name}: uevent "${UEVENT_AFTER[kind].uevent}" came before the bus notification ${BUS_ACTIONS[action]}`,
          at,
          event,
          related: related.seq < 0 ? [] : [related],
          dev: device.name,
        }),
    });
  }

  /** Settles the uevents that came before their notification, as far as time allows by now. */
  settle(now: number): void {
    if (this.early.length === 0) return;
    this.early = this.early.filter(({ device, kind, count, time, settle }) => {
      if (device.busCounts[kind] >= count) {
        if (device.busTimes[kind] - time > this.ctx.tolerance.uevents) settle();
        else this.ctx.verdicts.check('INV-46');
        return false;
      }
      if (now - time > this.ctx.tolerance.uevents) {
        settle();
        return false;
      }
      return true;
    });
  }

  forget(): void {
    this.early = [];
    for (const device of this.ctx.world.devices.values()) {
      device.busCounts.fill(0);
      device.ueventCounts.fill(0);
    }
  }

  /** Presence and driver of devices that no trace follows. */
  private state(
    known: Device | undefined,
    kind: number,
    name: string,
    subsystem: string,
    driver: string | undefined,
  ): void {
    const { ctx } = this;
    const { world } = ctx;
    if (world.authority.driver >= 3) return;
    if (known === undefined && subsystem !== 'pci' && driver === undefined) return;
    world.authority.driver = 2;
    const device = known ?? world.device(name, subsystem);
    switch (kind) {
      case 0:
        if (!device.present || device.driver === undefined) device.driver = null;
        if (!device.present) device.group = undefined;
        device.present = true;
        this.printedGroup(device);
        break;
      case 1:
        device.present = true;
        device.driver = driver;
        device.driverSince.set(ctx.batch, ctx.i);
        break;
      case 2:
        device.driver = null;
        device.driverSince.set(ctx.batch, ctx.i);
        break;
      default:
        world.remove(device);
    }
    world.touch(device);
  }

  /** A kernel message may have named the group before the uevent arrived. */
  private printedGroup(device: Device): void {
    const { ctx } = this;
    if (ctx.world.authority.membership >= 3 || device.group !== undefined) return;
    if (device.printedGroup >= 0 && ctx.time - device.printedAt < PRINTED_AHEAD) {
      ctx.world.move(device, device.printedGroup);
    }
  }
}

/** A message may stand in the log this much before the uevent of the same device. ns. */
const PRINTED_AHEAD = 1e9;
