/**
 * The fold: one pass over the batches of a log, from events to machines, verdicts and state.
 */

import type { EventBatch } from '../../events/batch.js';
import { EVENT_TYPES, TypeCode } from '../../events/event.js';
import type {
  Lost,
  PciHpEvent,
  Printk,
  SysfsDevice,
  SysfsGroup,
  Uevent,
  Unparsed,
} from '../../events/event.js';
import { NULL_POINTER } from '../../events/intern.js';
import { DEVICE_EVENTS } from '../../machines/device.js';
import { DRIVER_BINDING_EVENTS } from '../../machines/driver-binding.js';
import { DMA_OWNERSHIP_EVENTS } from '../../machines/dma-ownership.js';
import { GROUP_EVENTS } from '../../machines/group.js';
import { GROUP_LISTENER_EVENTS } from '../../machines/group-listener.js';
import { HOTPLUG_SLOT_EVENTS } from '../../machines/hotplug-slot.js';
import { MEMBERSHIP_EVENTS } from '../../machines/membership.js';
import { REPLAY_RULES } from '../../machines/rules.js';
import { CallTracker } from './calls.js';
import type { Context } from './context.js';
import { GroupTracker } from './groups.js';
import { IovaTracker } from './iova.js';
import { NotificationTracker } from './notifications.js';
import { Role } from './roles.js';
import { UeventTracker } from './uevents.js';
import type { Frame, FunctionInfo, Task } from './world.js';

/** Rules that read udev's monitor only; the others read traces. */
const UEVENT_RULES = ['INV-46'];
const TRACE_RULES = REPLAY_RULES.map((r) => r.id).filter((id) => id !== 'SYSFS');

const LOST_DEVICE = DEVICE_EVENTS.indexOf('lost');
const LOST_MEMBERSHIP = MEMBERSHIP_EVENTS.indexOf('lost');
const LOST_LISTENER = GROUP_LISTENER_EVENTS.indexOf('lost');
const LOST_BINDING = DRIVER_BINDING_EVENTS.indexOf('lost');
const LOST_GROUP = GROUP_EVENTS.indexOf('lost');
const LOST_OWNERSHIP = DMA_OWNERSHIP_EVENTS.indexOf('lost');
const PROBE = DRIVER_BINDING_EVENTS.indexOf('probe');

/** How far dmesg's clock was measured from the trace's. ns. traces/README.md */
const DMESG_TOLERANCE = 200e6;

/** A gap in the input. */
export interface LossNote {
  readonly file: string;
  readonly line: number;
  readonly cpu: number | undefined;
  readonly count: number | undefined;
  /** ns; NaN: from the beginning. */
  readonly since: number;
  readonly until: number;
  readonly text: string;
}

export interface UnparsedNote {
  readonly file: string;
  readonly line: number;
  readonly text: string;
  readonly reason: string;
}

/** Unread lines kept for a listing; all of them are counted. */
const KEPT_UNPARSED = 1000;
const KEPT_LOSSES = 1000;

export class Fold {
  readonly calls: CallTracker;
  readonly notifications: NotificationTracker;
  readonly groups: GroupTracker;
  readonly iova: IovaTracker;
  readonly uevents: UeventTracker;

  events = 0;
  readonly byType = new Float64Array(EVENT_TYPES.length);
  unparsedCount = 0;
  readonly unparsed: UnparsedNote[] = [];
  lossCount = 0;
  readonly losses: LossNote[] = [];
  firstTime = NaN;
  /** Steps back of a source's clock. */
  clockSteps = 0;
  readonly complaints: {
    readonly what: string;
    readonly file: string;
    readonly line: number;
    readonly text: string;
  }[] = [];
  private readonly newestOf: number[] = [];
  private lastTask: Task | undefined;
  /** Task of the row, when the row is one of its calls. */
  private acting: Task | undefined;
  private lastPid = -2;
  private lastCpu = -2;

  constructor(readonly ctx: Context) {
    this.calls = new CallTracker(ctx);
    this.notifications = new NotificationTracker(ctx, this.calls);
    this.groups = new GroupTracker(ctx);
    this.iova = new IovaTracker(ctx);
    this.uevents = new UeventTracker(ctx);
    this.notifications.onBorn = (device) => this.groups.born(device);
    this.notifications.onRemovalHandled = (device) => this.groups.passedRemoval(device);
    this.calls.onEnd = (task, frame, ret) => this.ended(task, frame, ret);
  }

  /** Folds a batch; `after` is called behind each event when given (for a history). */
  fold(batch: EventBatch, after?: (seq: number) => void): void {
    const { ctx } = this;
    ctx.open(batch);
    this.lastPid = -2;
    const { type, time } = batch;
    this.events += batch.length;
    for (let i = 0; i < batch.length; i++) {
      ctx.i = i;
      const code = type[i];
      this.byType[code]++;
      const now = time[i];
      if (now === now) {
        if (!(now <= ctx.newest)) ctx.newest = now;
        if (this.firstTime !== this.firstTime) this.firstTime = now;
        const source = batch.source[i];
        const newest = this.newestOf[source];
        if (newest !== undefined && now < newest) this.clockSteps++;
        this.newestOf[source] = now;
      }
      this.event(code);
      if (this.acting !== undefined) {
        this.acting.lastSeq = batch.firstSeq + i;
        this.acting = undefined;
      }
      after?.(batch.firstSeq + i);
    }
    this.uevents.settle(ctx.newest);
    ctx.world.tidy();
  }

  /** The log has ended. */
  finish(): void {
    this.notifications.finish();
    this.groups.finish();
    this.uevents.settle(Infinity);
    for (const chain of this.ctx.world.chains.values()) {
      if (chain.suspicion === undefined) continue;
      if (this.ctx.recorded.registrations) chain.suspicion.violation();
      else {
        this.ctx.verdicts.doubt(
          'INV-13',
          'starts in the middle',
          'the last call of a chain ran other callbacks than those before, and no probe records registrations',
        );
      }
      chain.suspicion = undefined;
    }
  }

  private event(code: number): void {
    const { ctx } = this;
    const { batch, i } = ctx;
    switch (code) {
      case TypeCode.notifier_run: {
        const task = this.task();
        if (task.depth > 0) this.notifications.notifierRun(task, ctx.text(batch.fn[i]) ?? '');
        return;
      }
      case TypeCode.bus_notify: {
        const task = this.goesOn();
        this.notifications.busNotify(task);
        if (batch.bus[i] > NULL_POINTER) {
          const device = ctx.device();
          if (device !== undefined) this.groups.pointer(device);
        }
        return;
      }
      case TypeCode.chain_call: {
        const task = this.task();
        if (task.settling !== undefined || task.unregistering !== undefined) this.goesOn();
        this.notifications.chainCall(task, ctx.function('blocking_notifier_call_chain'));
        return;
      }
      case TypeCode.chain_return: {
        const task = this.goesOn();
        const frame = this.calls.pop(task, ctx.function('blocking_notifier_call_chain'));
        if (frame !== undefined) this.ended(task, frame, batch.a[i]);
        return;
      }
      case TypeCode.callback_call:
        this.notifications.callbackCall(this.goesOn(), ctx.function(''));
        return;
      case TypeCode.callback_return:
      case TypeCode.function_return: {
        const task = this.goesOn();
        const frame = this.calls.pop(task, ctx.function(''));
        if (frame !== undefined) this.ended(task, frame, batch.a[i]);
        return;
      }
      case TypeCode.function_call:
        this.functionCall(this.goesOn(), ctx.function(''));
        return;
      case TypeCode.add_device_to_group:
        this.groups.added(ctx.device()!, batch.group[i]);
        return;
      case TypeCode.remove_device_from_group:
        this.groups.removed(ctx.device()!, batch.group[i]);
        return;
      case TypeCode.attach_device_to_domain:
        this.groups.attached(this.task(), ctx.device()!);
        return;
      case TypeCode.detach_device_from_domain:
        this.groups.detached(ctx.device()!);
        return;
      case TypeCode.map:
        this.iova.map(batch.a[i], batch.b[i], ctx.text(batch.dev[i]));
        return;
      case TypeCode.unmap: {
        const unmapped = batch.c[i];
        const size = batch.b[i];
        this.iova.unmap(
          batch.a[i],
          size,
          unmapped === unmapped ? unmapped : size,
          ctx.text(batch.dev[i]),
        );
        return;
      }
      case TypeCode.io_page_fault:
        this.iova.fault(ctx.text(batch.dev[i]) ?? '?', batch.a[i], faultAccess(batch.c[i]), 0);
        return;
      case TypeCode.chain_register:
      case TypeCode.chain_unregister:
        this.notifications.registration(
          this.goesOn(),
          ctx.text(batch.fn[i]),
          code === TypeCode.chain_unregister,
        );
        return;
      case TypeCode.mark: {
        const task = this.goesOn();
        if (task.depth > 0 || !task.atRoot) {
          this.calls.root(
            task,
            `the task wrote to the trace from user mode at line ${batch.line[i]}`,
          );
        }
        return;
      }
      case TypeCode.trace_event:
      case TypeCode.model_step:
        return;
      default:
        this.rare(code);
    }
  }

  /** Types of which there are few: they are looked at as objects. */
  private rare(code: number): void {
    const { ctx } = this;
    const event = ctx.batch.event(ctx.i);
    switch (code) {
      case TypeCode.uevent: {
        const u = event as Uevent;
        this.uevents.settle(ctx.newest);
        this.uevents.uevent(u.action, u.devpath, u.dev, u.subsystem, u.drv, u.from);
        return;
      }
      case TypeCode.printk:
        this.printk(event as Printk);
        return;
      case TypeCode.sysfs_device:
        this.sysfsDevice(event as SysfsDevice);
        return;
      case TypeCode.sysfs_group:
        this.sysfsGroup(event as SysfsGroup);
        return;
      case TypeCode.pci_hp_event: {
        const { slot, event: name } = event as PciHpEvent;
        this.slot(slot, name);
        return;
      }
      case TypeCode.lost:
        this.lost(event as Lost);
        return;
      case TypeCode.unparsed:
        this.unread(event as Unparsed);
        return;
    }
  }

  private unread({ text, reason, origin }: Unparsed): void {
    this.unparsedCount++;
    if (this.unparsed.length < KEPT_UNPARSED) {
      this.unparsed.push({ file: origin.file, line: origin.line, text, reason });
    }
    // The rest of a garbled payload is no loss; a line that begins like an event was one.
    if (TASK_LINE.test(text) && TASK_FORMATS.has(origin.format)) {
      const { seq, newest } = this.ctx;
      this.lost({
        type: 'lost',
        seq,
        origin,
        time: newest,
        since: newest,
        count: 1,
        text: 'a line that looks like an event could not be read',
      });
    }
  }

  /** The task of the row. */
  private task(): Task {
    const { ctx } = this;
    const { batch, i } = ctx;
    const pid = batch.pid[i];
    const cpu = batch.cpu[i];
    if (
      this.lastTask !== undefined &&
      pid === this.lastPid &&
      (pid !== 0 || cpu === this.lastCpu)
    ) {
      return (this.acting = this.lastTask);
    }
    const task = ctx.world.task(pid, cpu);
    task.comm = ctx.text(batch.comm[i]) ?? '';
    this.lastTask = task;
    this.lastPid = pid;
    this.lastCpu = cpu;
    if (ctx.traceStart !== ctx.traceStart) ctx.traceStart = batch.time[i];
    return (this.acting = task);
  }

  /** The task of the row, with whatever waited for its next event settled. */
  private goesOn(): Task {
    const task = this.task();
    if (task.notifying !== undefined) this.notifications.chainNotCalled(task);
    if (task.settling !== undefined && !this.stillSetting(task)) this.groups.settled(task);
    if (task.unregistering !== undefined) this.notifications.unregistered(task);
    return task;
  }

  /** The row still belongs to a domain change whose end no probe shows. */
  private stillSetting(task: Task): boolean {
    const { ctx } = this;
    const code = ctx.batch.type[ctx.i];
    if (code !== TypeCode.function_call && code !== TypeCode.function_return) return false;
    const { role } = ctx.function('');
    return (
      task.settling !== undefined &&
      (role === Role.SetDomain || role === Role.AttachDevice || role === Role.Other)
    );
  }

  private functionCall(task: Task, fn: FunctionInfo): void {
    const { ctx } = this;
    const { batch, i, world } = ctx;
    fn.calls++;
    const { role } = fn;
    if (role === Role.Root) {
      this.calls.root(task, `${fn.name} at line ${batch.line[i]} begins a new piece of work`);
    }
    const hasBus = batch.bus[i] > NULL_POINTER;
    const named = batch.dev[i] > NULL_POINTER;
    let frame: Frame | undefined;
    if (this.calls.tracked(task, fn)) frame = this.calls.push(task, fn);
    switch (role) {
      case Role.DeviceAdd:
        if (hasBus && named) {
          const device = ctx.device()!;
          if (frame !== undefined) frame.dev = device;
          this.notifications.deviceAdded(device);
        }
        return;
      case Role.ReallyProbe:
      case Role.DriverBound:
        if (hasBus && named) {
          const device = ctx.device()!;
          if (frame !== undefined) frame.dev = device;
          if (batch.drv[i] > NULL_POINTER) device.probedBy = ctx.text(batch.drv[i]);
          if (role === Role.ReallyProbe) {
            device.binding = ctx.machines.binding.next(device.binding, PROBE);
          }
        }
        return;
      case Role.IommuProbeDevice:
      case Role.GroupAddDevice:
        if (named) {
          const device = ctx.device()!;
          device.probing++;
          if (frame !== undefined) frame.dev = device;
          else device.probing = 0;
        }
        return;
      case Role.GroupRelease:
        this.groups.released(ctx.text(batch.dev[i]));
        return;
      case Role.AttachDevice:
        if (named) this.groups.attaching(task, ctx.device()!);
        return;
      case Role.AttachGroup:
      case Role.ClaimDmaOwner:
      case Role.DetachGroup:
      case Role.ReleaseDmaOwner: {
        const group = batch.group[i] >= 0 ? world.group(batch.group[i]) : undefined;
        this.groups.entered(task, role, group, frame);
        if (role === Role.ReleaseDmaOwner && group !== undefined) this.groups.releasing(group);
        return;
      }
      case Role.UseDefaultDomain:
        if (named && frame !== undefined) {
          frame.dev = ctx.device()!;
          this.groups.using(frame, frame.dev);
        }
        return;
      case Role.UnuseDefaultDomain:
        if (named) this.groups.unused(ctx.device()!);
        return;
      case Role.DomainFree:
        this.groups.domainFreed(ctx.text(batch.ptr[i]));
        return;
      default:
        if (frame !== undefined && hasBus && named) frame.dev = ctx.device();
    }
  }

  /** A tracked call is over; `ret` NaN when its return was not seen. */
  private ended(task: Task, frame: Frame, ret: number): void {
    const { role } = frame.fn;
    switch (role) {
      case Role.DeviceAdd:
        if (ret < 0 && frame.dev !== undefined) this.notifications.addFailed(frame.dev);
        return;
      case Role.Chain:
        if (ret === ret) this.notifications.chainReturn(frame, ret);
        return;
      case Role.IommuProbeDevice:
      case Role.GroupAddDevice:
        if (frame.dev !== undefined) frame.dev.probing = Math.max(0, frame.dev.probing - 1);
        return;
      case Role.ClaimDmaOwner:
        this.groups.claimed(frame, ret);
        this.groups.left(frame);
        return;
      case Role.AttachGroup:
      case Role.DetachGroup:
      case Role.ReleaseDmaOwner:
        this.groups.left(frame);
        return;
      case Role.UseDefaultDomain:
        this.groups.used(frame, ret);
        return;
      default:
        if (ret === ret && CALLBACK_RETURN === this.ctx.batch.type[this.ctx.i]) {
          this.notifications.callbackReturn(task, frame, ret);
        }
    }
  }

  private printk(event: Printk): void {
    const { ctx } = this;
    const { world } = ctx;
    const { fact } = event;
    if (fact === undefined) return;
    switch (fact.kind) {
      case 'group-add':
      case 'group-remove': {
        if (world.authority.membership >= 3) return;
        // What was printed before the snapshot was taken, the snapshot knows better.
        if (event.time < ctx.startsAt) return;
        world.authority.membership = Math.max(world.authority.membership, 1);
        const device = world.device(fact.dev, undefined);
        if (device.bus === undefined && PCI_ADDRESS.test(fact.dev)) device.bus = 'pci';
        if (fact.kind === 'group-add') {
          device.printedGroup = fact.group;
          device.printedAt = event.time;
          // Where uevents tell who exists, a message alone does not bring a device back; where they
          // do not, it is a new device under that name and no message says what binds to it.
          if (world.authority.driver < 2) {
            device.present = true;
            device.driver = undefined;
          }
          if (device.present) world.move(device, fact.group);
        } else {
          device.printedGroup = -1;
          world.move(device, null);
          if (world.authority.driver < 2) world.remove(device);
        }
        device.groupSince.set(ctx.batch, ctx.i);
        return;
      }
      case 'slot':
        this.slot(fact.slot === '' ? (fact.dev ?? '?') : fact.slot, fact.event);
        return;
      case 'iommu-fault':
        this.iova.fault(fact.dev, fact.iova, fact.access, DMESG_TOLERANCE);
        return;
      case 'complaint':
        if (fact.what === 'Oops' || fact.what === 'BUG') this.oops(event);
        if (this.complaints.length < KEPT_LOSSES) {
          const { file, line } = event.origin;
          this.complaints.push({ what: fact.what, file, line, text: event.text });
        }
    }
  }

  /**
   * An oops switches tracing off (oops_enter, kernel/panic.c): what follows is in no trace, and the
   * lesser sources are the best that there are from here on.
   */
  private oops(event: Printk): void {
    const { ctx } = this;
    if (ctx.traceStart !== ctx.traceStart) return;
    const { world } = ctx;
    if (world.authority.driver < 3 && world.authority.membership < 3) return;
    world.authority.driver = 0;
    world.authority.membership = 0;
    const { file, line } = event.origin;
    const text = 'an oops switches tracing off: what follows is in no trace';
    if (this.losses.length < KEPT_LOSSES) {
      this.losses.push({
        file,
        line,
        cpu: undefined,
        count: undefined,
        since: event.time,
        until: NaN,
        text,
      });
    }
    for (const id of TRACE_RULES) ctx.verdicts.doubt(id, 'lost events', `${file}:${line}: ${text}`);
  }

  private slot(name: string, event: string): void {
    const { ctx } = this;
    const kind = HOTPLUG_SLOT_EVENTS.indexOf(event as never);
    if (kind < 0) return;
    const slot = ctx.world.slot(name);
    slot.state = ctx.machines.slot.next(slot.state, kind);
    slot.since.set(ctx.batch, ctx.i);
    ctx.world.touchSlot(slot);
  }

  private sysfsDevice(event: SysfsDevice): void {
    const { world } = this.ctx;
    const device = world.device(event.dev, event.bus);
    if (event.drv !== undefined && device.driver === undefined) {
      device.driver = event.drv;
      device.driverSince.set(this.ctx.batch, this.ctx.i);
    }
    if (event.group !== undefined && device.group === undefined) world.move(device, event.group);
    world.touch(device);
  }

  private sysfsGroup(event: SysfsGroup): void {
    const { world } = this.ctx;
    const group = world.group(event.group);
    group.type ??= event.domainType;
    for (const name of event.devices) {
      const device = world.device(name, undefined);
      if (device.group === undefined) world.move(device, event.group);
    }
    world.touchGroup(group);
  }

  /** Something is missing: what the machines knew they no longer know. */
  private lost(event: Lost): void {
    const { ctx } = this;
    const { world, verdicts, machines } = ctx;
    const { format, file, line } = event.origin;
    const since = event.since ?? NaN;
    const text = event.text ?? event.inferred ?? 'events lost';
    this.lossCount += event.count ?? 0;
    if (this.losses.length < KEPT_LOSSES) {
      this.losses.push({
        file,
        line,
        cpu: event.cpu,
        count: event.count,
        since,
        until: event.time,
        text,
      });
    }
    if (format === 'dmesg' || format === 'journal' || format === 'dmesg-json') return;
    const rules = format === 'udevadm' ? UEVENT_RULES : TRACE_RULES;
    verdicts.lose(rules, since, event.time, `${file}:${line}: ${text}`);
    this.uevents.forget();
    if (format === 'udevadm') {
      world.uevents.clear();
      return;
    }
    ctx.lossSeq = ctx.seq;
    this.calls.forget();
    this.notifications.forget();
    this.iova.forget();
    this.lastTask = undefined;
    for (const device of world.devices.values()) {
      device.life = machines.device.next(device.life, LOST_DEVICE);
      device.membership = machines.membership.next(device.membership, LOST_MEMBERSHIP);
      device.listener = machines.groupListener.next(device.listener, LOST_LISTENER);
      device.binding = machines.binding.next(device.binding, LOST_BINDING);
      device.lock = machines.deviceLock.initial;
      device.lockHolder = undefined;
      device.usesDefaultSince = -1;
      device.domain = undefined;
      device.domainType = undefined;
      if (!device.uncertain) {
        device.uncertain = true;
        world.touch(device);
      }
    }
    for (const group of world.groups.values()) {
      group.life = machines.group.next(group.life, LOST_GROUP);
      group.ownership = machines.ownership.next(group.ownership, LOST_OWNERSHIP);
      group.ownershipEpoch++;
      group.inFlight = 0;
      group.settling = undefined;
      group.detaching = undefined;
      if (!group.uncertain) {
        group.uncertain = true;
        world.touchGroup(group);
      }
    }
    for (const chain of world.chains.values()) {
      chain.suspicion = undefined;
      chain.runs = undefined;
      chain.calls = undefined;
      chain.removed.clear();
    }
    world.domains.clear();
  }
}

/** IOMMU_FAULT_READ 0x0, IOMMU_FAULT_WRITE 0x1 of include/linux/iommu.h. */
function faultAccess(flags: number): 'read' | 'write' | 'unknown' {
  if (flags !== flags) return 'unknown';
  return (flags & 1) !== 0 ? 'write' : 'read';
}

/** `comm-pid … [cpu]`, the beginning of a trace line. */
const TASK_LINE = /^.{1,40}-\d{1,10} {1,20}.{0,20}\[\d{1,4}\]/;
const TASK_FORMATS = new Set(['ftrace', 'trace-cmd', 'perf-script']);
const CALLBACK_RETURN = TypeCode.callback_return;
const PCI_ADDRESS = /^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/;
