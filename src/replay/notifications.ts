/**
 * Bus and group notifications, as the levels of a trace show them.
 *
 * One notification may be seen three times: in bus_notify, in the chain's call, and in each
 * callback. It is told once, at the outermost level that the input records; the inner levels are
 * held against it. Source: B.1.3, B.2, A1.3 BN1–BN7.
 */

import { BUS_ACTIONS, busAction, groupAction } from '../../events/actions.js';
import type { ActionNumbering, BusAction } from '../../events/actions.js';
import { NULL_POINTER } from '../../events/intern.js';
import { DEVICE_EVENTS, lifeText, RULES_TESTED_BY } from '../../machines/device.js';
import { stops } from '../../machines/notifier-chain.js';
import { DEVICE_LOCK_EVENTS } from '../../machines/device-lock.js';
import { DRIVER_BINDING_EVENTS } from '../../machines/driver-binding.js';
import { isMember } from '../../machines/membership.js';
import { GROUP_LISTENER_EVENTS } from '../../machines/group-listener.js';
import { CHAIN_CALL_EVENTS } from '../../machines/chain-call.js';
import type { Context } from './context.js';
import type { CallTracker } from './calls.js';
import { Role } from './roles.js';
import type { CheckCounter } from './verdicts.js';
import type { Chain, Device, Frame, FunctionInfo, Place, Task } from './world.js';
import type { HotplugEvent } from '../../events/event.js';

const A = Object.fromEntries(BUS_ACTIONS.map((name, i) => [name, i])) as Record<BusAction, number>;
const L = indexOf(DEVICE_LOCK_EVENTS);
const LISTENER = indexOf(GROUP_LISTENER_EVENTS);
const C = indexOf(CHAIN_CALL_EVENTS);
const BINDING = indexOf(DRIVER_BINDING_EVENTS);
const DEVICE_ADD = DEVICE_EVENTS.indexOf('device_add');
const LOST = DEVICE_EVENTS.indexOf('lost');

const BINDING_OF: readonly number[] = BUS_ACTIONS.map((action) => {
  switch (action) {
    case 'BIND_DRIVER':
      return BINDING.bind;
    case 'BOUND_DRIVER':
      return BINDING.bound;
    case 'UNBIND_DRIVER':
      return BINDING.unbind;
    case 'UNBOUND_DRIVER':
      return BINDING.unbound;
    case 'DRIVER_NOT_BOUND':
      return BINDING.failed;
    case 'REMOVED_DEVICE':
      return BINDING.removed;
    default:
      return -1;
  }
});

/** Uevents by their place in a device's counters, and the bus action each one follows. */
export const UEVENT_AFTER: readonly { readonly uevent: string; readonly action: number }[] = [
  { uevent: 'add', action: A.ADD_DEVICE },
  { uevent: 'bind', action: A.BOUND_DRIVER },
  { uevent: 'unbind', action: A.UNBOUND_DRIVER },
  { uevent: 'remove', action: A.REMOVED_DEVICE },
];
const UEVENT_INDEX = BUS_ACTIONS.map((_, action) =>
  UEVENT_AFTER.findIndex((u) => u.action === action),
);

function indexOf<T extends string>(names: readonly T[]): Record<T, number> {
  return Object.fromEntries(names.map((name, i) => [name, i])) as Record<T, number>;
}

/** A call for a device on a chain that may be its bus's or its group's. */
interface UndecidedCall {
  readonly address: string;
  readonly bus: string;
  readonly device: Device;
  readonly value: number;
  readonly task: Task;
  readonly at: Place;
  readonly event: HotplugEvent;
}

export class NotificationTracker {
  /** Bus action by number, -1 for a number that the generation lacks. */
  private readonly actions: Int8Array;
  /** Called when a device begins its life. */
  onBorn: (device: Device) => void = () => {};
  /** Called when the notification at which a device leaves its group has been handled. */
  onRemovalHandled: (device: Device) => void = () => {};
  /** Buses whose chain was seen to be called by bus_notify. */
  private readonly chained = new Set<string>();
  /** Address of each bus's chain, where no bus_notify tells it. */
  private readonly chainOf = new Map<string, string>();
  /** Names of buses whose notifications were seen. */
  readonly buses = new Set<string>();
  /** Calls of chains of which it is not known whose they are, in their order. */
  private undecided: UndecidedCall[] = [];
  notifications = 0;
  readonly byAction = new Float64Array(BUS_ACTIONS.length);
  /** Action numbers that the profile does not have, with where. */
  readonly strangers = new Map<number, { line: number; file: string; count: number }>();

  private readonly counts: Record<'inv13' | 'b1' | 'b3' | 'inv47' | 'inv42', CheckCounter>;

  constructor(
    private readonly ctx: Context,
    private readonly calls: CallTracker,
  ) {
    const { verdicts } = ctx;
    this.counts = {
      inv13: verdicts.counter('INV-13'),
      b1: verdicts.counter('B.1'),
      b3: verdicts.counter('B.3'),
      inv47: verdicts.counter('INV-47'),
      inv42: verdicts.counter('INV-42'),
    };
    this.actions = new Int8Array(16).fill(-1);
    for (let value = 0; value < 16; value++) {
      const action = busAction(ctx.profile.numbering, value);
      if (action !== undefined) this.actions[value] = A[action];
    }
  }

  private decode(value: number): number {
    const action = value >= 0 && value < 16 ? this.actions[value] : -1;
    if (action < 0) {
      const { line, file } = this.ctx.batch.origin(this.ctx.i);
      const known = this.strangers.get(value);
      if (known === undefined) this.strangers.set(value, { line, file, count: 1 });
      else known.count++;
    }
    return action;
  }

  /** bus_notify(dev, value). */
  busNotify(task: Task): void {
    const { ctx } = this;
    const { batch, i } = ctx;
    if (batch.bus[i] <= NULL_POINTER) return; // a device without a bus has no chain
    const device = ctx.device();
    if (device === undefined) return;
    const action = this.decode(batch.a[i]);
    if (action < 0) return;
    task.notifying = task.pid < 0 ? undefined : device;
    task.notifyingAction = action;
    task.notifyingPlace.set(batch, i);
    this.notify(device, action, task);
  }

  /** Entry of a notifier_call_chain. */
  chainCall(task: Task, fn: FunctionInfo): void {
    const { ctx } = this;
    const { batch, i, world } = ctx;
    const value = batch.a[i];
    const notifying = task.notifying;
    task.notifying = undefined;
    const address = ctx.text(batch.ptr[i]);
    let chain = address === undefined ? undefined : world.chains.get(address);
    // Only chains of buses and groups carry a struct device; other payloads print as anything.
    const caller = task.top();
    const busText = batch.bus[i] > NULL_POINTER ? ctx.text(batch.bus[i]) : undefined;
    let device: Device | undefined;
    if (notifying !== undefined) {
      device = ctx.text(batch.dev[i]) === notifying.name ? notifying : undefined;
      if (device !== undefined && address !== undefined) {
        chain = world.chain(address);
        chain.kind = 'bus';
        chain.bus = device.bus;
        if (device.bus !== undefined) this.chained.add(device.bus);
        const action = this.decode(value);
        if (action !== task.notifyingAction && action >= 0) {
          ctx.violate(
            'B.2',
            `${device.name}: bus_notify was entered with ${BUS_ACTIONS[task.notifyingAction]} and calls its chain with ${BUS_ACTIONS[action]}`,
            { dev: device, related: [task.notifyingPlace] },
          );
          this.notify(device, action, task);
        }
      }
    } else if (batch.dev[i] > NULL_POINTER && busText !== undefined && address !== undefined) {
      const whose = this.whoseChain(task, fn, busText, address, value);
      if (whose !== 'nobody') device = ctx.device()!;
      if (device !== undefined) {
        chain = world.chain(address);
        if (whose === 'group') {
          chain.kind = 'group';
          this.groupNotify(device, value, task, caller);
        } else if (whose === 'bus') {
          this.busChainCall(task, device, chain, busText, value);
        } else {
          const pending = { address, bus: busText, device, value, task, at: ctx.place() };
          if (this.undecided.length < MAX_UNDECIDED) {
            this.undecided.push({ ...pending, event: batch.event(i) });
          }
        }
      }
    }
    task.chainSeq = ctx.seq;
    task.chainDevice = device;
    task.chainAddress = address;
    task.chainValue = value;
    if (!this.calls.tracked(task, fn)) return;
    const frame = this.calls.push(task, fn);
    frame.chain = chain;
    frame.dev = device;
    frame.action = value;
    frame.call = ctx.machines.chainCall.initial;
  }

  /** A call of a bus's chain that no bus_notify announced. */
  private busChainCall(task: Task, device: Device, chain: Chain, bus: string, value: number): void {
    const { ctx } = this;
    if (ctx.recorded.busNotify) {
      // Since v6.3 all of them come from bus_notify. What the task did right before is known only
      // if its previous event was seen; a chain never called by bus_notify is of something else.
      if (chain.kind !== 'bus') return;
      if (task.lastSeq > ctx.lossSeq) {
        ctx.violate(
          'B.2',
          `${device.name}: the chain of bus ${bus} is called without bus_notify, which every other call of it came from`,
          { dev: device },
        );
      }
    }
    chain.kind = 'bus';
    chain.bus = bus;
    this.learnBusChain(bus, chain.address);
    const action = this.decode(value);
    if (action >= 0) this.notify(device, action, task);
  }

  /**
   * Whose chain a call for a device goes to. Up to v5.18 a bus and a group send the same kind of
   * call, and the group's is made inside the bus's (BN6, AD9, RM2). Where the trace does not show
   * the caller, the call stays undecided until the address is known.
   */
  private whoseChain(
    task: Task,
    fn: FunctionInfo,
    bus: string,
    address: string,
    value: number,
  ): 'bus' | 'group' | 'undecided' | 'nobody' {
    const { ctx } = this;
    const known = ctx.world.chains.get(address)?.kind;
    if (known === 'bus') return 'bus';
    if (!ctx.profile.groupNotifier) return this.looksLikeBus(bus, value) ? 'bus' : 'nobody';
    const own = this.chainOf.get(bus);
    if (groupAction(value) === undefined) {
      return own === undefined && this.looksLikeBus(bus, value) ? 'bus' : 'nobody';
    }
    if (known === 'group') return 'group';
    if (own !== undefined) return 'group';
    if (!this.looksLikeBus(bus, value)) return 'nobody';
    const name = ctx.text(ctx.batch.dev[ctx.i]);
    for (let depth = task.depth - 1; depth >= 0; depth--) {
      const { fn: open, dev, chain } = task.frames[depth];
      switch (open.role) {
        case Role.GroupAddDevice:
        case Role.GroupRemoveDevice:
        case Role.IommuBusNotifier:
          if (dev === undefined || dev.name === name) return 'group';
          break;
        case Role.Chain:
          if (dev?.name === name && chain?.address !== address) return 'group';
          break;
        case Role.DeviceAdd:
        case Role.ReallyProbe:
          // Called from the driver core, with nothing of the IOMMU core in between.
          if (dev?.name === name && depth === task.depth - 1) return 'bus';
      }
    }
    if (
      task.chainSeq === task.lastSeq &&
      task.chainSeq >= 0 &&
      task.chainAddress !== undefined &&
      task.chainAddress !== address &&
      task.chainDevice?.name === name &&
      republishedAs(ctx.profile.numbering, task.chainValue) === value
    ) {
      this.learnBusChain(bus, task.chainAddress);
      return 'group';
    }
    // Outside any call that the trace shows the whole of, it can only be the bus.
    return task.atRoot && fn.hasReturn ? 'bus' : 'undecided';
  }

  /** The address of a bus's chain is known: what waited for that is told now. */
  private learnBusChain(bus: string, address: string): void {
    if (this.chainOf.has(bus)) return;
    this.chainOf.set(bus, address);
    const chain = this.ctx.world.chain(address);
    chain.kind = 'bus';
    chain.bus = bus;
    const waiting = this.undecided.filter((call) => call.bus === bus);
    this.undecided = this.undecided.filter((call) => call.bus !== bus);
    // No notification of this bus was judged before: its devices' lives are told from the start,
    // with device_add, which is known by itself, in its place.
    const { device: machine } = this.ctx.machines;
    const added = new Map<Device, boolean>();
    const add = (device: Device, before: number) => {
      if (added.get(device) === true) return;
      if (device.addSeq <= this.ctx.lossSeq || device.addSeq > before) return;
      added.set(device, true);
      device.life = machine.next(device.life, DEVICE_ADD);
    };
    for (const call of waiting) {
      const { device, at } = call;
      if (call.address !== address || device.notified.seq > at.seq) continue;
      if (!added.has(device)) {
        added.set(device, false);
        device.life = machine.initial;
      }
      add(device, at.seq);
      const action = this.actions[call.value] ?? -1;
      if (action >= 0) this.notify(device, action, call.task, call);
    }
    for (const device of added.keys()) add(device, Infinity);
  }

  /** The log has ended: a bus whose devices' calls all went to one chain has that one. */
  finish(): void {
    for (const bus of new Set(this.undecided.map((call) => call.bus))) {
      const addresses = new Set(
        this.undecided.filter((call) => call.bus === bus).map((call) => call.address),
      );
      if (addresses.size === 1) this.learnBusChain(bus, [...addresses][0]);
    }
  }

  /** Events were lost: what was undecided before cannot be put in order with what follows. */
  forget(): void {
    this.undecided = [];
  }

  private looksLikeBus(bus: string, value: number): boolean {
    if (!/^[\w.-]{1,40}$/.test(bus)) return false;
    return value >= 0 && value < 16 && (this.actions[value] >= 0 || this.buses.has(bus));
  }

  /** A callback of some chain was entered. */
  callbackCall(task: Task, fn: FunctionInfo): void {
    const { ctx } = this;
    const { batch, i } = ctx;
    const frame = task.top();
    const value = batch.a[i];
    const inChain = frame !== undefined && frame.fn.role === Role.Chain;
    let device: Device | undefined;
    if (inChain) {
      const { chain } = frame;
      device = frame.dev;
      if (
        chain?.kind === 'other' &&
        device?.bus !== undefined &&
        frame.action === value &&
        fn.name !== 'vfio_iommu_group_notifier'
      ) {
        // A callback of the bus: that is whose chain it is.
        this.learnBusChain(device.bus, chain.address);
      }
      frame.calls.push(fn.name);
      if (!ctx.recorded.notifierRuns) this.ranUnregistered(chain, fn.name, frame);
      this.counts.inv13.checks++;
      if (frame.action !== value && !Number.isNaN(value)) {
        ctx.violate(
          'INV-13',
          `${fn.name} was called with action ${value} by a chain that was called with ${frame.action}`,
          { dev: device, related: [frame.place] },
        );
      } else if (
        device !== undefined &&
        batch.dev[i] > NULL_POINTER &&
        ctx.text(batch.dev[i]) !== device.name
      ) {
        ctx.violate(
          'INV-13',
          `${fn.name} was called for ${ctx.text(batch.dev[i])} by a chain that was called for ${device.name}`,
          { dev: device, related: [frame.place] },
        );
      }
      const priority = batch.b[i];
      const step = frame.lastPriority < priority ? C['enter.higher'] : C['enter.ordered'];
      this.stepChainCall(frame, step, () =>
        frame.lastPriority < priority
          ? `${fn.name} with priority ${priority} ran after a callback with priority ${frame.lastPriority}`
          : `${fn.name} ran although the callback before it returned NOTIFY_STOP (0x${(frame.lastReturn >>> 0).toString(16)})`,
      );
      if (!Number.isNaN(priority)) frame.lastPriority = priority;
    } else if (
      fn.name === ctx.recorded.primaryCallback &&
      !ctx.recorded.busNotify &&
      !ctx.recorded.chainCalls &&
      batch.bus[i] !== NULL_POINTER
    ) {
      device = ctx.device();
      const action = this.decode(value);
      if (device !== undefined && action >= 0) this.notify(device, action, task);
    } else if (batch.dev[i] > NULL_POINTER && batch.bus[i] !== NULL_POINTER) {
      device = ctx.device();
    }
    if (!this.calls.tracked(task, fn)) return;
    const pushed = this.calls.push(task, fn);
    pushed.dev = device;
    pushed.action = Number.isNaN(value) ? (frame?.action ?? -1) : value;
  }

  /** A callback returned `ret` to the chain that called it. `frame` is the callback's own. */
  callbackReturn(task: Task, frame: Frame, ret: number): void {
    const chain = task.top();
    if (chain !== undefined && chain.fn.role === Role.Chain) {
      chain.lastReturn = ret;
      const stop = stops(ret);
      this.stepChainCall(chain, stop ? C.stop : C.go, () => '');
    }
    if (frame.fn.role === Role.IommuBusNotifier) this.checkRepublished(frame);
  }

  /** A chain call returned `ret`. */
  chainReturn(frame: Frame, ret: number): void {
    const { ctx } = this;
    const last = frame.calls.at(-1);
    // The value is the last callback's, if that one's return is probed and no other ran after it.
    const sure =
      last !== undefined &&
      !Number.isNaN(frame.lastReturn) &&
      ctx.world.functions.get(last)?.hasReturn === true &&
      (!ctx.recorded.notifierRuns || frame.runs.at(-1) === last) &&
      ctx.recorded.notifierRuns;
    this.counts.b1.checks++;
    this.stepChainCall(
      frame,
      sure
        ? frame.lastReturn === ret
          ? C['return.same']
          : C['return.other']
        : C['return.unknown'],
      () => `the chain returned ${ret}, its last callback ${last} returned ${frame.lastReturn}`,
    );
    const chain = frame.chain;
    if (chain === undefined || chain.kind === 'other') return;
    if (
      chain.kind === 'bus' &&
      frame.dev !== undefined &&
      frame.calls.includes('iommu_bus_notifier') &&
      busAction(ctx.profile.numbering, frame.action) === ctx.profile.groupLeftAt
    ) {
      this.onRemovalHandled(frame.dev);
    }
    const stopped = stops(ret) || stops(frame.lastReturn);
    this.compareDelivery(chain, 'runs', frame, stopped);
    this.compareDelivery(chain, 'calls', frame, stopped);
    // A registration shows in the first complete call that began behind it.
    if (!stopped && frame.place.seq > chain.changedAt) chain.changed.clear();
  }

  private stepChainCall(frame: Frame, event: number, message: () => string): void {
    const { ctx } = this;
    const machine = ctx.machines.chainCall;
    const rule = machine.breaks(frame.call, event);
    frame.call = machine.next(frame.call, event);
    if (rule !== undefined) {
      ctx.violate(rule, message(), { dev: frame.dev, related: [frame.place] });
    }
  }

  /** notifier:notifier_run inside a chain call that is being tracked. */
  notifierRun(task: Task, fn: string): void {
    const frame = task.top();
    if (frame === undefined || frame.fn.role !== Role.Chain) return;
    frame.runs.push(fn);
    // trace-cmd takes the symbol of a callback (%ps) from its own table and may name a neighbour.
    if (!this.ctx.recorded.doubtfulSymbols) this.ranUnregistered(frame.chain, fn, frame);
  }

  /**
   * INV-13: holds this call's callbacks against those of the call before. A callback that is
   * missing once and back in the next call was not delivered; one that stays away (or stays) was
   * registered or removed where nothing recorded it.
   */
  private compareDelivery(
    chain: Chain,
    by: 'runs' | 'calls',
    frame: Frame,
    stopped: boolean,
  ): void {
    const { ctx } = this;
    const seen = frame[by];
    const known = chain[by];
    if (known === undefined) {
      if (!stopped) chain[by] = seen.slice();
      return;
    }
    this.counts.inv13.checks++;
    const suspicion = chain.suspicion;
    const same = sameOrder(known, seen, stopped);
    if (same) {
      if (suspicion?.by === by) {
        suspicion.violation();
        chain.suspicion = undefined;
      }
      return;
    }
    if (stopped) return;
    if (excused(chain.changed, known, seen)) {
      chain[by] = seen.slice();
      return;
    }
    if (suspicion?.by === by && sameOrder(suspicion.seen, seen, false)) {
      chain[by] = seen.slice();
      chain.suspicion = undefined;
      return;
    }
    // The verdict waits for the next call, the evidence must not.
    const message = describeDelivery(chain, known, seen, frame);
    const violation = {
      rule: 'INV-13',
      message,
      at: ctx.ref(),
      event: ctx.batch.event(ctx.i),
      related: [frame.place.ref()],
      ...(frame.dev === undefined ? {} : { dev: frame.dev.name }),
    };
    suspicion?.violation();
    chain.suspicion = { by, seen: seen.slice(), violation: () => ctx.verdicts.violate(violation) };
  }

  /** INV-17: `fn` runs on `chain` in a call that began after its unregistration had returned. */
  private ranUnregistered(chain: Chain | undefined, fn: string, frame: Frame): void {
    const gone = chain?.removed.get(fn);
    if (gone === undefined) return;
    const { ctx } = this;
    ctx.verdicts.check('INV-17');
    if (gone.returnedAt >= 0 && frame.place.seq > gone.returnedAt) {
      ctx.violate('INV-17', `${fn} runs although its unregistration had returned`, {
        dev: frame.dev,
        related: [gone.ref, frame.place],
      });
    }
  }

  /** chain_register / chain_unregister, by kprobe (with the chain) or tracepoint (symbol only). */
  registration(task: Task, fn: string | undefined, removed: boolean): void {
    const { ctx } = this;
    const { batch, i } = ctx;
    const address = ctx.text(batch.ptr[i]);
    const chains =
      address !== undefined
        ? [ctx.world.chain(address)]
        : [...ctx.world.chains.values()].filter((c) => fn !== undefined && c.runs?.includes(fn));
    for (const chain of chains) {
      this.change(chain, fn);
      if (fn === undefined) continue;
      if (removed && address !== undefined) {
        chain.removed.set(fn, { task, at: ctx.seq, returnedAt: -1, ref: ctx.ref() });
        task.unregistering = { chain, fn };
        ctx.verdicts.check('INV-17');
      } else if (!removed) chain.removed.delete(fn);
    }
    // The tracepoint does not say which chain: any may have one callback more or less now.
    if (address === undefined) {
      for (const chain of ctx.world.chains.values()) this.change(chain, fn);
    }
  }

  private change(chain: Chain, fn: string | undefined): void {
    chain.changed.add(fn === undefined || this.ctx.recorded.doubtfulSymbols ? ANY : fn);
    chain.changedAt = this.ctx.seq;
  }

  /** The task does something else: an unregistration that it was in has returned. */
  unregistered(task: Task): void {
    const { chain, fn } = task.unregistering!;
    task.unregistering = undefined;
    const gone = chain?.removed.get(fn);
    if (gone !== undefined && gone.task.key === task.key) gone.returnedAt = this.ctx.seq;
  }

  /** bus_notify was entered and the task went on without calling the chain. */
  chainNotCalled(task: Task): void {
    const { ctx } = this;
    const device = task.notifying!;
    task.notifying = undefined;
    // A probe with a filter shows no call at all; one call of this bus proves that they are shown.
    if (device.bus === undefined || !this.chained.has(device.bus)) return;
    ctx.verdicts.check('B.2');
    ctx.violate(
      'B.2',
      `${device.name}: bus_notify(${BUS_ACTIONS[task.notifyingAction]}) did not call the chain of bus ${device.bus}`,
      { dev: device, related: [task.notifyingPlace] },
    );
  }

  /** device_add was entered: a new device may begin here, and is one when ADD_DEVICE is sent. */
  deviceAdded(device: Device): void {
    device.addSeq = this.ctx.seq;
    device.life = this.ctx.machines.device.next(device.life, DEVICE_ADD);
  }

  /** device_add returned an error: there is no new device, whatever there was before goes on. */
  addFailed(device: Device): void {
    const { machines } = this.ctx;
    if (machines.device.stateName(device.life) === 'adding') {
      device.life = machines.device.next(device.life, LOST);
    }
  }

  /** ADD_DEVICE begins a life: nothing of an older device of this name counts any more. */
  private born(device: Device): void {
    const { ctx } = this;
    device.lockHolder = undefined;
    device.lock = ctx.machines.deviceLock.initial;
    device.listener = ctx.machines.groupListener.next(device.listener, LISTENER.born);
    device.present = true;
    device.uncertain = false;
    device.usesDefaultSince = -1;
    this.setDriver(device, null);
    this.onBorn(device);
  }

  /** One bus notification, told once. */
  private notify(device: Device, action: number, task: Task, late?: UndecidedCall): void {
    const { ctx } = this;
    const { batch, i, machines, world } = ctx;
    this.notifications++;
    this.byAction[action]++;
    if (device.bus !== undefined) this.buses.add(device.bus);
    const before = device.life;
    device.life = machines.device.next(before, action);
    this.counts.b3.checks++;
    const tested = RULES_TESTED_BY[BUS_ACTIONS[action]];
    if (tested !== undefined) {
      for (const rule of tested) if (world.rulesInForce.has(rule)) ctx.verdicts.check(rule);
    }
    const rule = machines.device.broken(device.life);
    if (rule !== undefined) {
      const was = lifeText(machines.device.stateName(before));
      ctx.violate(
        rule,
        `${device.name}: ${BUS_ACTIONS[action]} not expected in the state "${was}"`,
        {
          dev: device,
          related: [device.notified],
          ...(late === undefined ? {} : { at: late.at.ref(), event: late.event }),
        },
      );
    }
    this.stepLock(device, action, task, rule !== undefined);
    if (BINDING_OF[action] >= 0) {
      device.binding = machines.binding.next(device.binding, BINDING_OF[action]);
    }
    const uevent = UEVENT_INDEX[action];
    if (uevent >= 0) {
      device.busTimes[uevent] = batch.time[i];
      device.busCounts[uevent]++;
    }
    if (batch.obj[i] > NULL_POINTER) device.object = ctx.text(batch.obj[i]);
    switch (action) {
      case A.ADD_DEVICE:
        if (late === undefined) this.born(device);
        break;
      case A.BOUND_DRIVER: {
        const named =
          late === undefined && batch.drv[i] > NULL_POINTER
            ? ctx.text(batch.drv[i])
            : device.probedBy;
        this.setDriver(device, named);
        break;
      }
      case A.UNBOUND_DRIVER:
      case A.DRIVER_NOT_BOUND:
        // dma_cleanup came before: the driver's claim on the default domain is over.
        device.usesDefaultSince = -1;
        this.setDriver(device, null);
        break;
      case A.REMOVED_DEVICE:
        world.remove(device);
        break;
    }
    world.touch(device);
    if (late === undefined) device.notified.set(batch, i);
    else device.notified.copy(late.at);
    world.authority.driver = 3;
    if (ctx.buses.observed) this.publish(device, 'bus', action, task);
  }

  private setDriver(device: Device, driver: string | null | undefined): void {
    device.driver = driver;
    device.driverSince.set(this.ctx.batch, this.ctx.i);
  }

  private publish(device: Device, chain: 'bus' | 'group', action: number, task: Task): void {
    const { ctx } = this;
    const { batch, i } = ctx;
    ctx.buses.notify(ctx.profile, {
      chain,
      action: BUS_ACTIONS[action],
      dev: device.name,
      bus: device.bus,
      driver: batch.drv[i] > NULL_POINTER ? ctx.text(batch.drv[i]) : device.driver,
      group: device.group,
      seq: ctx.seq,
      time: batch.time[i],
      task: task.pid < 0 ? undefined : { comm: task.comm, pid: task.pid },
      origin: batch.origin(i),
    });
  }

  /** INV-47, told from who sends what between BIND and BOUND, UNBIND and UNBOUND. */
  private stepLock(device: Device, action: number, task: Task, broken: boolean): void {
    const { ctx } = this;
    if (task.pid < 0) return; // the input does not say who sent it
    const machine = ctx.machines.deviceLock;
    if (broken) {
      // The automaton was left: which section this is can no longer be told.
      device.lock = machine.next(device.lock, L.resync);
      device.lockHolder = undefined;
      if (action !== A.BIND_DRIVER && action !== A.UNBIND_DRIVER) return;
    }
    const holder = device.lockHolder;
    let event: number;
    switch (action) {
      case A.BIND_DRIVER:
      case A.UNBIND_DRIVER:
        event =
          holder?.key === task.key || holder === undefined
            ? L['locked.open.holder']
            : L['locked.open.other'];
        device.lockHolder = task;
        break;
      case A.BOUND_DRIVER:
      case A.UNBOUND_DRIVER:
      case A.DRIVER_NOT_BOUND:
        event =
          holder?.key === task.key || holder === undefined
            ? L['locked.close.holder']
            : L['locked.close.other'];
        device.lockHolder = undefined;
        break;
      default:
        event = holder?.key === task.key ? L['bare.holder'] : L['bare.other'];
    }
    // A failed probe was silent once, so the section of the one before may still seem open.
    if (!ctx.profile.notBound && event === L['locked.open.other']) event = L['locked.open.holder'];
    this.counts.inv47.checks++;
    const rule = machine.breaks(device.lock, event);
    device.lock = machine.next(device.lock, event);
    if (rule !== undefined) {
      const name = BUS_ACTIONS[action];
      ctx.violate(
        'INV-47',
        event === L['bare.holder']
          ? `${device.name}: ${name} sent by ${task.name}, which is between its notifications under device_lock`
          : `${device.name}: ${name} sent by ${task.name} while ${holder?.name} holds device_lock`,
        { dev: device, related: [device.notified] },
      );
      if (event === L['bare.holder']) device.lock = machine.next(device.lock, L.resync);
    }
  }

  /** A call of a group's own chain (v3.6 – v5.18). */
  private groupNotify(device: Device, value: number, task: Task, caller: Frame | undefined): void {
    const { ctx } = this;
    const { machines, verdicts } = ctx;
    const action = groupAction(value);
    if (action === undefined) {
      ctx.violate('INV-42', `${device.name}: the group chain has no action ${value}`, {
        dev: device,
      });
      return;
    }
    verdicts.check('INV-01');
    if (action === 'ADD_DEVICE' || action === 'DEL_DEVICE') {
      const rule = machines.groupListener.breaks(device.listener, LISTENER[action]);
      device.listener = machines.groupListener.next(device.listener, LISTENER[action]);
      if (rule !== undefined) {
        ctx.violate(
          rule,
          action === 'DEL_DEVICE'
            ? `${device.name}: the group's listeners hear DEL_DEVICE before ADD_DEVICE`
            : `${device.name}: the group's listeners hear ADD_DEVICE twice in one membership`,
          { dev: device, related: [device.groupNotified] },
        );
      }
      if (action === 'DEL_DEVICE') {
        const member = isMember(machines.membership.stateName(device.membership));
        // While an add is in flight the tracepoint that tells of it is still to come.
        if (member !== undefined && device.probing === 0) {
          verdicts.check('INV-05');
          if (!member) {
            ctx.violate(
              'INV-05',
              `${device.name}: DEL_DEVICE on the group chain after the device left the group`,
              { dev: device, related: [device.moved] },
            );
          }
        }
      }
    } else if (caller?.fn.role === Role.IommuBusNotifier) {
      caller.republished++;
      const sent = busAction(ctx.profile.numbering, caller.action);
      this.counts.inv42.checks++;
      // A number that this kernel does not have: the wrong profile is told elsewhere.
      if (sent === undefined) this.decode(caller.action);
      else if (sent !== action || (caller.dev !== undefined && caller.dev !== device)) {
        ctx.violate('INV-42', `${device.name}: ${sent} was republished to the group as ${action}`, {
          dev: device,
          related: [caller.place],
        });
      }
    }
    device.groupNotified.set(ctx.batch, ctx.i);
    if (ctx.buses.observed) this.publish(device, 'group', A[action], task);
  }

  /** INV-42 at the return of iommu_bus_notifier. */
  private checkRepublished(frame: Frame): void {
    const { ctx } = this;
    const device = frame.dev;
    if (device === undefined || !ctx.profile.groupNotifier || !ctx.recorded.chainCalls) return;
    const action = busAction(ctx.profile.numbering, frame.action);
    if (action === undefined || !REPUBLISHED.has(action)) return;
    const member = isMember(ctx.machines.membership.stateName(device.membership));
    if (member === undefined) return;
    this.counts.inv42.checks++;
    if (member !== frame.republished > 0 || frame.republished > 1) {
      ctx.violate(
        'INV-42',
        member
          ? `${device.name} is in a group and ${action} was republished ${frame.republished} times`
          : `${device.name} is in no group and ${action} was republished`,
        { dev: device, related: [frame.place] },
      );
    }
  }
}

const MAX_UNDECIDED = 4096;

const REPUBLISHED = new Set<BusAction>([
  'BIND_DRIVER',
  'BOUND_DRIVER',
  'UNBIND_DRIVER',
  'UNBOUND_DRIVER',
]);

/** The group action (BN5) that a bus action with this number is republished or answered as. */
function republishedAs(numbering: ActionNumbering, value: number): number | undefined {
  switch (busAction(numbering, value)) {
    case 'ADD_DEVICE':
      return 1;
    case 'REMOVED_DEVICE':
      return 2;
    case 'DEL_DEVICE':
      return numbering === 'v3.6' ? 2 : undefined;
    case 'BIND_DRIVER':
      return 3;
    case 'BOUND_DRIVER':
      return 4;
    case 'UNBIND_DRIVER':
      return 5;
    case 'UNBOUND_DRIVER':
      return 6;
    default:
      return undefined;
  }
}

function sameOrder(known: readonly string[], seen: readonly string[], prefix: boolean): boolean {
  if (prefix ? seen.length > known.length : seen.length !== known.length) return false;
  for (let k = 0; k < seen.length; k++) if (known[k] !== seen[k]) return false;
  return true;
}

/** In a chain's `changed`: some callback, its name not known. */
const ANY = '*';

/** Whether what differs between two calls is what was registered or removed in between. */
function excused(
  changed: ReadonlySet<string>,
  known: readonly string[],
  seen: readonly string[],
): boolean {
  if (changed.size === 0) return false;
  if (changed.has(ANY)) return true;
  const keep = (fns: readonly string[]) => fns.filter((fn) => !changed.has(fn));
  return sameOrder(keep(known), keep(seen), false);
}

function describeDelivery(
  chain: Chain,
  known: readonly string[],
  seen: readonly string[],
  frame: Frame,
): string {
  const of = chain.kind === 'bus' ? `bus ${chain.bus}` : 'the group';
  const dev = frame.dev === undefined ? '' : `${frame.dev.name}: `;
  const missing = known.filter((fn) => !seen.includes(fn));
  const extra = seen.filter((fn, k) => !known.includes(fn) || seen.indexOf(fn) !== k);
  if (missing.length > 0) return `${dev}the chain of ${of} did not run ${missing.join(', ')}`;
  if (extra.length > 0) return `${dev}the chain of ${of} ran ${extra.join(', ')} once too often`;
  return `${dev}the chain of ${of} ran ${seen.join(', ')} instead of ${known.join(', ')}`;
}
