/**
 * The kernel objects that a log speaks of, as mutable entities.
 *
 * A fold touches an entity per event; making an immutable copy each time would cost more than the
 * whole check. So entities are mutable, and where a history is kept an event's changes are taken as
 * immutable states of the entities that it touched; `history.ts` makes states of the world of them.
 */

import type { EventBatch, Source } from '../../events/batch.js';
import type { Origin } from '../../events/event.js';
import { DEVICE_EVENTS, deviceMachine, lifeText } from '../../machines/device.js';
import { DEVICE_LOCK_EVENTS, deviceLockMachine } from '../../machines/device-lock.js';
import { DMA_OWNERSHIP_EVENTS, dmaOwnershipMachine } from '../../machines/dma-ownership.js';
import { DOMAIN_EVENTS, domainMachine } from '../../machines/domain.js';
import { CHAIN_CALL_EVENTS, chainCallMachine } from '../../machines/chain-call.js';
import { DRIVER_BINDING_EVENTS, driverBindingMachine } from '../../machines/driver-binding.js';
import { GROUP_EVENTS, groupMachine } from '../../machines/group.js';
import { GROUP_LISTENER_EVENTS, groupListenerMachine } from '../../machines/group-listener.js';
import { HOTPLUG_SLOT_EVENTS, hotplugSlotMachine } from '../../machines/hotplug-slot.js';
import { InternedMachine } from '../../machines/intern.js';
import { MEMBERSHIP_EVENTS, membershipMachine } from '../../machines/membership.js';
import { UEVENT_EVENTS, ueventsMachine } from '../../machines/uevents.js';
import type { KernelProfile } from '../../machines/profiles/profile.js';
import { REPLAY_RULES } from '../../machines/rules.js';
import { domainTypeName } from './domain-type.js';
import { Role } from './roles.js';
import type { Change, DeviceState, GroupState, SlotState } from './state.js';
import type { EventRef } from './verdicts.js';

/** The machines of one profile, interned. */
export class Machines {
  readonly device: InternedMachine;
  readonly deviceLock = new InternedMachine(deviceLockMachine, DEVICE_LOCK_EVENTS);
  readonly membership = new InternedMachine(membershipMachine, MEMBERSHIP_EVENTS);
  readonly groupListener = new InternedMachine(groupListenerMachine, GROUP_LISTENER_EVENTS);
  readonly group = new InternedMachine(groupMachine, GROUP_EVENTS);
  readonly ownership = new InternedMachine(dmaOwnershipMachine, DMA_OWNERSHIP_EVENTS);
  readonly domain = new InternedMachine(domainMachine, DOMAIN_EVENTS);
  readonly binding = new InternedMachine(driverBindingMachine, DRIVER_BINDING_EVENTS);
  readonly chainCall = new InternedMachine(chainCallMachine, CHAIN_CALL_EVENTS);
  readonly uevents = new InternedMachine(ueventsMachine, UEVENT_EVENTS);
  readonly slot = new InternedMachine(hotplugSlotMachine, HOTPLUG_SLOT_EVENTS);

  constructor(profile: KernelProfile) {
    this.device = new InternedMachine(deviceMachine(profile), DEVICE_EVENTS);
  }
}

const NOWHERE: Origin = { format: '', file: '', line: 0 };

/** A place in the log, kept without an object per event. */
export class Place {
  seq = -1;
  time = NaN;
  private line = 0;
  /** Where the batch came from, or the event's own origin. */
  private source: Source = NOWHERE;

  set(batch: EventBatch, i: number): void {
    this.seq = batch.firstSeq + i;
    this.time = batch.time[i];
    this.line = batch.line[i];
    this.source = batch.sources[batch.source[i]] ?? NOWHERE;
    if (batch.extra.size > 0 && batch.extra.has(i)) {
      const origin = batch.origin(i);
      this.line = origin.line;
      this.source = origin;
    }
  }

  copy(from: Place): void {
    this.seq = from.seq;
    this.time = from.time;
    this.line = from.line;
    this.source = from.source;
  }

  get known(): boolean {
    return this.seq >= 0;
  }

  ref(): EventRef {
    const { format, file } = this.source;
    return { seq: this.seq, time: this.time, origin: { format, file, line: this.line } };
  }
}

export class Device {
  dirty = false;
  present = true;
  life = 0;
  lock = 0;
  membership = 0;
  listener = 0;
  binding = 0;
  driver: string | null | undefined = undefined;
  /** Driver of the newest really_probe or driver_bound. */
  probedBy: string | undefined = undefined;
  readonly driverSince = new Place();
  group: number | null | undefined = undefined;
  readonly groupSince = new Place();
  domain: string | undefined = undefined;
  domainType: number | undefined = undefined;
  /** Address of the struct device, where a probe shows it. */
  object: string | undefined = undefined;
  uncertain = false;

  /** Task that holds device_lock, as far as the notifications show. */
  lockHolder: Task | undefined = undefined;
  /** Newest entry of device_add. */
  addSeq = -1;
  /** Newest bus notification. */
  readonly notified = new Place();
  /** Newest group notification. */
  readonly groupNotified = new Place();
  /** Newest add to or removal from a group. */
  readonly moved = new Place();
  /** Open calls of iommu_probe_device and its like. */
  probing = 0;
  /** iommu_device_use_default_domain returned 0 and was not undone; since which event. */
  usesDefaultSince = -1;
  /** Group of the newest "Adding to iommu group" message and its time, ns. */
  printedGroup = -1;
  printedAt = NaN;
  /** Times of the newest bus notification by uevent kind (add, bind, unbind, remove), ns. */
  readonly busTimes = [NaN, NaN, NaN, NaN];
  /** How many of each kind the bus and the uevents have shown. */
  readonly busCounts = [0, 0, 0, 0];
  readonly ueventCounts = [0, 0, 0, 0];

  constructor(
    readonly key: string,
    readonly name: string,
    public bus: string | undefined,
  ) {}
}

export class Group {
  dirty = false;
  life = 0;
  ownership = 0;
  readonly members = new Set<Device>();
  type: number | string | undefined = undefined;
  readonly ownedSince = new Place();
  /** A VFIO container is attached (before DMA ownership). */
  uncertain = false;
  /** Counts claims and releases, to tell whether one happened during a call. */
  ownershipEpoch = 0;
  /** Open calls that may change the group's domain and whose return will be seen. */
  inFlight = 0;
  /** Tasks inside a call that changes the domain and whose return no probe shows. */
  settling: Task | undefined = undefined;
  detaching: string | undefined = undefined;
  readonly detachedAt = new Place();
  address: string | undefined = undefined;

  constructor(readonly id: number) {}
}

export class Domain {
  life = 0;
  attached = 0;
  constructor(readonly address: string) {}
}

/** A notifier chain by the address of its head. */
export class Chain {
  /** `other`: neither a bus's nor a group's. */
  kind: 'bus' | 'group' | 'other' = 'other';
  bus: string | undefined = undefined;
  /** Callbacks in the order in which the newest complete call ran them, by way of showing. */
  runs: string[] | undefined = undefined;
  calls: string[] | undefined = undefined;
  /** A callback that the newest call lacked or had too much, until the next call tells which. */
  suspicion: Suspicion | undefined = undefined;
  /**
   * Callbacks registered or removed since the newest complete call: they may be in the next one or
   * not. `'*'` stands for one whose name is not known.
   */
  readonly changed = new Set<string>();
  /** Event of the newest registration or removal. */
  changedAt = -1;
  readonly removed = new Map<
    string,
    { task: Task; at: number; returnedAt: number; ref: EventRef }
  >();
  constructor(readonly address: string) {}
}

export interface Suspicion {
  readonly by: 'runs' | 'calls';
  /** What the deviating call ran. */
  readonly seen: readonly string[];
  /** Tells it as a violation. */
  readonly violation: () => void;
}

/** One open call of a task. Reused: a frame is valid while it is on the stack. */
export class Frame {
  fn: FunctionInfo = NO_FUNCTION;
  dev: Device | undefined = undefined;
  group: Group | undefined = undefined;
  action = -1;
  chain: Chain | undefined = undefined;
  call = 0;
  lastReturn = NaN;
  lastPriority = NaN;
  domain: string | undefined = undefined;
  epoch = 0;
  ownedAtEntry = false;
  republished = 0;
  readonly runs: string[] = [];
  readonly calls: string[] = [];
  readonly place = new Place();
}

export class FunctionInfo {
  calls = 0;
  returns = 0;
  /** Its return probe fires in this input. */
  hasReturn = false;
  constructor(
    readonly name: string,
    readonly role: Role,
  ) {}
}

const NO_FUNCTION = new FunctionInfo('', Role.Other);

export class Task {
  readonly frames: Frame[] = [];
  depth = 0;
  comm = '';
  /** The task was seen in user mode or at the start of a work item: outside any call. */
  atRoot = false;
  /** bus_notify was entered and its chain call has to follow. */
  notifying: Device | undefined = undefined;
  notifyingAction = -1;
  readonly notifyingPlace = new Place();
  attaching: Device | undefined = undefined;
  attachDomain: string | undefined = undefined;
  attachType: number | undefined = undefined;
  /** Groups and unregistrations that wait for this task to go on. */
  settling: Group | undefined = undefined;
  unregistering: { chain: Chain | undefined; fn: string } | undefined = undefined;
  lastSeq = -1;
  /** The newest chain call. */
  chainSeq = -1;
  chainDevice: Device | undefined = undefined;
  chainAddress: string | undefined = undefined;
  chainValue = -1;

  constructor(
    readonly pid: number,
    readonly key: number,
  ) {}

  /** `comm-pid`, as traces print it. */
  get name(): string {
    return this.pid < 0 ? 'a task that the input does not name' : `${this.comm}-${this.pid}`;
  }

  push(): Frame {
    let frame = this.frames[this.depth];
    if (frame === undefined) {
      if (this.depth >= MAX_DEPTH) {
        // A stack that only grows has lost its returns; the oldest call is of no use any more.
        const oldest = this.frames.shift()!;
        this.frames.push(oldest);
        frame = oldest;
        this.depth--;
      } else {
        frame = new Frame();
        this.frames.push(frame);
      }
    }
    this.depth++;
    frame.dev = undefined;
    frame.group = undefined;
    frame.chain = undefined;
    frame.action = -1;
    frame.call = 0;
    frame.lastReturn = NaN;
    frame.lastPriority = NaN;
    frame.domain = undefined;
    frame.republished = 0;
    // Most frames are not of a chain; setting the length of an empty array is not free.
    if (frame.runs.length > 0) frame.runs.length = 0;
    if (frame.calls.length > 0) frame.calls.length = 0;
    return frame;
  }

  top(): Frame | undefined {
    return this.depth > 0 ? this.frames[this.depth - 1] : undefined;
  }
}

const MAX_DEPTH = 64;
/** Tasks without an open call are forgotten beyond this many. */
const MAX_IDLE_TASKS = 1024;
/** Devices that are gone but still remembered, for uevents that arrive late. */
const MAX_GONE = 512;

export class Slot {
  state = 0;
  dirty = false;
  readonly since = new Place();
  constructor(readonly name: string) {}
}

export class World {
  readonly devices = new Map<string, Device>();
  readonly groups = new Map<number, Group>();
  readonly domains = new Map<string, Domain>();
  readonly chains = new Map<string, Chain>();
  readonly tasks = new Map<number, Task>();
  readonly slots = new Map<string, Slot>();
  readonly functions = new Map<string, FunctionInfo>();
  /** Uevent automaton by devpath. */
  readonly uevents = new Map<string, number>();
  /** Rules that mean something under the profile. */
  readonly rulesInForce: ReadonlySet<string>;
  /**
   * The best source so far for a kind of fact: 0 none, 1 kernel messages, 2 uevents, 3 the trace.
   * A lesser source does not overwrite a better one.
   */
  readonly authority = { driver: 0, membership: 0 };

  private readonly dirtyDevices: Device[] = [];
  private readonly dirtyGroups: Group[] = [];
  private readonly dirtySlots: Slot[] = [];
  private readonly goneGroups: number[] = [];
  private readonly forgotten: string[] = [];
  private readonly gone: Device[] = [];

  /** @param recording whether changes are kept for `takeChanges`; without it touching is free */
  constructor(
    readonly machines: Machines,
    private readonly roleOf: (fn: string) => Role,
    readonly recording: boolean,
    profile: KernelProfile,
  ) {
    this.rulesInForce = new Set(
      REPLAY_RULES.filter((r) => r.under(profile) !== undefined).map((r) => r.id),
    );
  }

  /**
   * The device `name` on `bus`. One name may exist on two buses; the first bus keeps the plain
   * name as its key.
   */
  device(name: string, bus: string | undefined): Device {
    const known = this.devices.get(name);
    if (known === undefined) return this.addDevice(name, name, bus);
    if (bus === undefined || known.bus === undefined || known.bus === bus) {
      if (known.bus === undefined && bus !== undefined) {
        known.bus = bus;
        this.touch(known);
      }
      return known;
    }
    const key = `${bus}/${name}`;
    return this.devices.get(key) ?? this.addDevice(key, name, bus);
  }

  private addDevice(key: string, name: string, bus: string | undefined): Device {
    const device = new Device(key, name, bus);
    this.devices.set(key, device);
    this.touch(device);
    return device;
  }

  group(id: number): Group {
    let group = this.groups.get(id);
    if (group === undefined) {
      group = new Group(id);
      this.groups.set(id, group);
      this.touchGroup(group);
    }
    return group;
  }

  dropGroup(group: Group): void {
    for (const device of group.members) {
      device.group = undefined;
      this.touch(device);
    }
    this.groups.delete(group.id);
    if (this.recording) this.goneGroups.push(group.id);
  }

  slot(name: string): Slot {
    let slot = this.slots.get(name);
    if (slot === undefined) {
      slot = new Slot(name);
      this.slots.set(name, slot);
    }
    return slot;
  }

  touchSlot(slot: Slot): void {
    if (this.recording && !slot.dirty) {
      slot.dirty = true;
      this.dirtySlots.push(slot);
    }
  }

  chain(address: string): Chain {
    let chain = this.chains.get(address);
    if (chain === undefined) {
      chain = new Chain(address);
      this.chains.set(address, chain);
    }
    return chain;
  }

  domain(address: string): Domain {
    let domain = this.domains.get(address);
    if (domain === undefined) {
      domain = new Domain(address);
      this.domains.set(address, domain);
    }
    return domain;
  }

  task(pid: number, cpu: number): Task {
    // Each CPU has an idle task of its own, all of them with pid 0.
    const key = pid === 0 ? -1 - cpu : pid;
    let task = this.tasks.get(key);
    if (task === undefined) {
      task = new Task(pid, key);
      this.tasks.set(key, task);
    }
    return task;
  }

  function(name: string): FunctionInfo {
    let info = this.functions.get(name);
    if (info === undefined) {
      info = new FunctionInfo(name, this.roleOf(name));
      this.functions.set(name, info);
    }
    return info;
  }

  touch(device: Device): void {
    if (this.recording && !device.dirty) {
      device.dirty = true;
      this.dirtyDevices.push(device);
    }
  }

  touchGroup(group: Group): void {
    if (this.recording && !group.dirty) {
      group.dirty = true;
      this.dirtyGroups.push(group);
    }
  }

  /** Puts `device` into group `id`, or into none (null), or says that it is not known (undefined). */
  move(device: Device, id: number | null | undefined): void {
    if (typeof device.group === 'number') {
      const old = this.groups.get(device.group);
      if (old !== undefined && old.members.delete(device)) this.touchGroup(old);
    }
    device.group = id;
    this.touch(device);
    if (typeof id === 'number') {
      const group = this.group(id);
      group.members.add(device);
      this.touchGroup(group);
    }
  }

  /** The device no longer exists. It is remembered for a while, because uevents come later. */
  remove(device: Device): void {
    device.present = false;
    device.driver = null;
    device.usesDefaultSince = -1;
    // The trace shows the way out of the group by itself; no other source does.
    if (this.authority.membership < 3) this.move(device, null);
    this.touch(device);
    this.gone.push(device);
    if (this.gone.length > MAX_GONE) {
      const oldest = this.gone.shift()!;
      if (!oldest.present && this.devices.get(oldest.key) === oldest) {
        this.devices.delete(oldest.key);
        if (this.recording) this.forgotten.push(oldest.key);
      }
    }
  }

  /** Forgets what only grows: idle tasks, and the functions' and chains' leftovers stay bounded. */
  tidy(): void {
    if (this.tasks.size <= MAX_IDLE_TASKS) return;
    for (const [key, task] of this.tasks) {
      if (task.depth === 0 && task.settling === undefined && task.unregistering === undefined) {
        this.tasks.delete(key);
      }
    }
  }

  /** Whether something changed since the last `takeChanges`. */
  get changed(): boolean {
    return (
      this.dirtyDevices.length +
        this.dirtyGroups.length +
        this.dirtySlots.length +
        this.goneGroups.length +
        this.forgotten.length >
      0
    );
  }

  /** What changed since the last call, as of event `seq`: the new state of each entity touched. */
  takeChanges(seq: number, into: Change[]): void {
    for (const key of this.forgotten) into.push({ seq, kind: 'device', key, state: undefined });
    for (const device of this.dirtyDevices) {
      device.dirty = false;
      const state = device.present ? this.deviceState(device) : undefined;
      into.push({ seq, kind: 'device', key: device.key, state });
    }
    for (const id of this.goneGroups) into.push({ seq, kind: 'group', key: id, state: undefined });
    for (const group of this.dirtyGroups) {
      group.dirty = false;
      if (this.groups.get(group.id) !== group) continue;
      into.push({ seq, kind: 'group', key: group.id, state: this.groupState(group) });
    }
    for (const slot of this.dirtySlots) {
      slot.dirty = false;
      into.push({ seq, kind: 'slot', key: slot.name, state: this.slotState(slot) });
    }
    this.forgotten.length = 0;
    this.dirtyDevices.length = 0;
    this.goneGroups.length = 0;
    this.dirtyGroups.length = 0;
    this.dirtySlots.length = 0;
  }

  private deviceState(device: Device): DeviceState {
    return {
      name: device.name,
      bus: device.bus,
      life: lifeText(this.machines.device.stateName(device.life)),
      driver: device.driver,
      driverSince: device.driverSince.known ? device.driverSince.ref() : undefined,
      group: device.group,
      groupSince: device.groupSince.known ? device.groupSince.ref() : undefined,
      domain: device.domain,
      domainType: device.domainType === undefined ? undefined : domainTypeName(device.domainType),
      uncertain: device.uncertain,
    };
  }

  private groupState(group: Group): GroupState {
    const ownership = this.machines.ownership.stateName(group.ownership);
    return {
      id: group.id,
      members: [...group.members].map((d) => d.name),
      type: typeof group.type === 'number' ? domainTypeName(group.type) : group.type,
      owned: ownership === 'unknown' ? undefined : ownership === 'owned',
      ownedSince:
        group.ownedSince.known && ownership === 'owned' ? group.ownedSince.ref() : undefined,
      uncertain: group.uncertain,
    };
  }

  private slotState(slot: Slot): SlotState {
    return {
      name: slot.name,
      state: this.machines.slot.stateName(slot.state),
      since: slot.since.known ? slot.since.ref() : undefined,
    };
  }
}
