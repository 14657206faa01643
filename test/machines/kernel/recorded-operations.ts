/**
 * Whether what a recording shows of a task is what the model's operations can do: each event of the
 * operations' alphabet belongs to one of them, and in its place.
 */

import type { EventFact } from '../../../events/event.js';
import { InternedMachine } from '../../../machines/intern.js';
import {
  iommu_group_claim_dma_owner,
  iommu_group_release_dma_owner,
} from '../../../machines/kernel/dma-owner.js';
import {
  device_add,
  device_del,
  device_release_driver,
  driver_probe_device,
  ENODEV,
  EPROBE_DEFER,
} from '../../../machines/kernel/driver-core.js';
import { IOMMU_CORE, IDA, LOG } from '../../../machines/kernel/entity-names.js';
import { iommu_attach_group, iommu_detach_group } from '../../../machines/kernel/iommu-domain.js';
import { iommu_group_put } from '../../../machines/kernel/iommu-group.js';
import { iommu_probe_device } from '../../../machines/kernel/iommu-probe.js';
import { Kernel } from '../../../machines/kernel/kernel.js';
import type {
  DeviceSetup,
  DriverSetup,
  GroupSetup,
  KernelSetup,
} from '../../../machines/kernel/kernel.js';
import type { FixedBlock, NotifierCall } from '../../../machines/kernel/notifier-chain.js';
import type { KernelProfile } from '../../../machines/profiles/profile.js';
import { busActionValue, GROUP_ACTIONS } from '../../../events/actions.js';
import type { BusAction, GroupAction } from '../../../events/actions.js';
import { choose, SELF, trace } from '../../../machines/step.js';
import type { Thread } from '../../../machines/step.js';
import { FUNCTIONS, GROUP_LISTENER, LISTENERS } from './recorded-events.js';
import type { Recording, Shown, TaskEvents } from './recorded-events.js';

/** What is known of a kernel that was recorded, beside its generation. */
export interface RecordedKernel {
  readonly profile: KernelProfile;
  /** Functions whose entries its probes show: of others the compiler made a part of all callers. */
  readonly probed: ReadonlySet<string>;
  /** Functions that the compiler made a part of some caller: by the operation that it serves. */
  readonly inlined: Readonly<Record<string, readonly string[]>>;
  /** Functions that have a return probe. */
  readonly returns: ReadonlySet<string>;
  /** In which order the callbacks on the PCI bus's chain are called. */
  readonly order: readonly string[];
}

/** Drivers that say driver_managed_dma. */
const MANAGES_DMA: ReadonlySet<string> = new Set(['vfio-pci', 'pcieport', 'pci-stub']);

/** Entries that begin an operation, wherever one may begin. */
const OPERATIONS: ReadonlySet<string> = new Set([
  'device_add',
  'device_del',
  'really_probe',
  'device_release_driver_internal',
  '__device_release_driver',
  'iommu_probe_device',
  'iommu_attach_group',
  'iommu_detach_group',
  'iommu_group_claim_dma_owner',
  'iommu_group_release_dma_owner',
  'iommu_group_release',
]);

const OF_DEVICES: ReadonlySet<string> = new Set([
  'device_add',
  'device_del',
  'really_probe',
  'device_release_driver_internal',
  '__device_release_driver',
]);

/** Calls of others that do nothing which a trace shows. */
const LEAVES: ReadonlySet<string> = new Set([
  'iommu_group_register_notifier',
  'iommu_group_unregister_notifier',
  'iommu_domain_alloc',
  'iommu_paging_domain_alloc_flags',
  'iommu_domain_free',
  'iommu_get_domain_for_dev',
]);

/** Machines that judge and do not act: what they say is not asked here. */
const JUDGES = /^(BUS events of|memberships of|probes of|default domain of) /;

/** One after the other. */
const ALLOWED = [
  { needs: 'nothing', faults: 0, others: false },
  { needs: 'another task', faults: 0, others: true },
  { needs: 'a fault', faults: 1, others: false },
] as const;

const NESTED = 'what a callback calls';

/** A kernel whose callbacks may do what the recording shows there. */
class OpenKernel extends Kernel {
  faultsLeft = 0;
  /** VFIO listens on the group's chain. */
  vfio = false;
  /** Other tasks may act meanwhile. */
  others = false;
  /** The drivers of which another task may bind one while the operation waits for a device's lock. */
  meanwhile: readonly (string | null)[] = [];

  override *lock(dev: string): Thread<void> {
    yield* super.lock(dev);
    if (this.meanwhile.length === 0) return;
    const bound = yield* choose([undefined, ...this.meanwhile], 'another task binds');
    if (bound === undefined) return;
    const old = yield* this.driverOf(dev);
    if (old !== null) yield* this.setBound(dev, old, false);
    yield* this.setDriver(dev, bound);
    if (bound !== null) yield* this.setBound(dev, bound, true);
  }

  override *callChain(
    chain: string,
    action: string,
    payload: { readonly dev: string },
  ): Thread<number> {
    if (chain.endsWith('->bus_notifier')) return yield* super.callChain(chain, action, payload);
    if (!this.vfio) return 0;
    const call = listener(GROUP_LISTENER, this.profile);
    return yield* call({ chain, block: GROUP_LISTENER, action, payload });
  }

  override *fails(what: string): Thread<boolean> {
    // dpm_sysfs_add makes the device of a wakeup source.
    if (what === 'dpm_sysfs_add()') yield* nested();
    if (this.faultsLeft === 0) return false;
    const fails = yield* choose([false, true], what);
    if (fails) this.faultsLeft--;
    return fails;
  }

  /** Another device of the group is bound to VFIO meanwhile, or VFIO's worker gives the group up. */
  private *mayListen(): Thread<void> {
    if (!this.others || !this.profile.groupNotifier) return;
    if (yield* choose([false, true], 'VFIO comes or leaves')) this.vfio = !this.vfio;
  }

  override *probe(_dev: string, _driver: string): Thread<number> {
    yield* nested();
    yield* this.mayListen();
    return yield* choose([0, -ENODEV, -EPROBE_DEFER], 'probe() returns');
  }

  override *remove(_dev: string, _driver: string): Thread<void> {
    yield* nested();
    yield* this.mayListen();
  }

  override *releaseResources(_dev: string): Thread<void> {
    yield* nested();
  }
}

/** Where anything may be called: any operations, as the recording has them. */
function* nested(): Thread<void> {
  yield* choose([], NESTED);
}

/** A kernel that an operation may have begun on, and the operation. */
interface Start {
  readonly setup: Omit<KernelSetup, 'profile'>;
  /** Names the operation and what it is called with. */
  readonly call: string;
  readonly run: (k: Kernel) => Thread;
  readonly vfio?: boolean;
  /** Drivers that another task may bind meanwhile; null: unbinds. */
  readonly meanwhile?: readonly (string | null)[];
}

/** Where an operation that begins somewhere may end. */
interface Ends {
  /** Positions after the operation, relative to its beginning. */
  readonly ends: readonly number[];
  /** How many events were looked at; nothing else was asked of the recording. */
  readonly looked: number;
  /** How many events the run that came furthest explains. */
  readonly furthest: number;
  /** What that run would have shown next. */
  readonly expected?: string;
  /** Beside the operation's own steps; undefined where it cannot end. */
  readonly needs?: Needs;
  /** Which events are the operation's own and not of what its callbacks call. */
  readonly own: readonly number[];
}

/** What is taken for the reason of what is recorded. */
export type Needs = 'nothing' | 'another task' | 'a fault';

/** An operation that was accepted, one for all that are the same. */
export interface Accepted {
  readonly file: string;
  readonly pid: number;
  /** The line of the task's next event. */
  readonly before: number;
  readonly events: readonly Shown[];
  readonly own: readonly number[];
  readonly needs: Needs;
}

/** One way that an operation may go. */
interface Run {
  /** Where it ends, if it explains all until there. */
  readonly end?: number;
  readonly reached: number;
  readonly expected?: string;
  readonly own: readonly number[];
}

interface Node {
  readonly next: Map<string, Node>;
  known?: Ends;
}

export interface Failure {
  readonly operation: string;
  readonly file: string;
  readonly line: number;
  /** The events of the operation and after; those up to `furthest` the model explains. */
  readonly events: readonly Shown[];
  readonly furthest: number;
  readonly expected?: string;
}

const starts = new Map<string, Prepared>();
const interned = new WeakMap<object, InternedMachine>();

interface Prepared {
  readonly k: OpenKernel;
  readonly index: ReadonlyMap<string, number>;
  readonly machines: readonly InternedMachine[];
  readonly first: readonly number[];
}

/** Judges recordings of one kernel. */
export class Acceptor {
  /** Distinct operations that were accepted. */
  readonly accepted: Accepted[] = [];
  /** Whose events these are. */
  task: Pick<TaskEvents, 'file' | 'pid'> = { file: '', pid: 0 };
  private readonly roots = new Map<string, Node>();

  constructor(
    private readonly kernel: RecordedKernel,
    private readonly recording: Pick<Recording, 'listeners' | 'iommuBuses'>,
    private readonly name = '',
  ) {}

  /** One for recordings like these of another kernel. */
  as(kernel: RecordedKernel): Acceptor {
    return new Acceptor(kernel, this.recording, this.name);
  }

  /** Of operations that are looked up in one tree. */
  private key(event: Shown): string {
    return `${event.fn} ${event.bus ?? ''}`;
  }

  /** Where the operation at `from` may end. */
  operationEnds(events: readonly Shown[], from: number, memo: Map<number, StreamEnds>): Ends {
    const key = this.key(events[from]);
    let node = this.roots.get(key);
    if (node === undefined) this.roots.set(key, (node = { next: new Map() }));
    const names = new Names();
    const path: Node[] = [];
    let at = from;
    for (;;) {
      path.push(node);
      if (node.known !== undefined) return node.known;
      const token = at < events.length ? names.token(events[at]) : 'end';
      const next = node.next.get(token);
      if (next === undefined || at >= events.length) {
        if (next?.known !== undefined) return next.known;
        break;
      }
      node = next;
      at++;
    }
    const found = this.search(events, from, memo);
    // Remember it by exactly what was looked at.
    const again = new Names();
    let leaf = this.roots.get(key)!;
    for (let i = from; i < from + found.looked; i++) {
      const token = i < events.length ? again.token(events[i]) : 'end';
      let next = leaf.next.get(token);
      if (next === undefined) leaf.next.set(token, (next = { next: new Map() }));
      leaf = next;
      if (i >= events.length) break;
    }
    leaf.known = found;
    return found;
  }

  private search(events: readonly Shown[], from: number, memo: Map<number, StreamEnds>): Ends {
    const view = new View(events, from);
    const ends = new Set<number>();
    let furthest = 0;
    let expected: string | undefined;
    let needed: Needs | undefined;
    let own: readonly number[] = [];
    const { fn = '' } = events[from];
    if (LEAVES.has(fn)) return { ends: [1], looked: 1, furthest: 1, own: [0], needs: 'nothing' };
    const returns = this.kernel.returns.has(fn);
    for (const { needs, faults, others } of ALLOWED) {
      for (const start of this.startsOf(view, others)) {
        const prepared = this.prepare(start);
        prepared.k.meanwhile = others ? (start.meanwhile ?? []) : [];
        prepared.k.others = others;
        for (const run of this.runs(prepared, start, view, faults, memo)) {
          if (run.end !== undefined) {
            if (run.end > Math.max(0, ...ends)) own = run.own;
            ends.add(run.end);
            needed = needs;
          }
          if (run.reached > furthest) {
            furthest = run.reached;
            expected = run.expected;
          }
          // An operation whose return is seen ends there and nowhere else.
          if (returns && ends.size > 0) break;
        }
        if (returns && ends.size > 0) break;
      }
      if (ends.size > 0) break;
    }
    if (needed !== undefined) {
      const end = from + Math.max(...ends);
      this.accepted.push({
        ...this.task,
        before: events.at(end)?.line ?? Infinity,
        events: events.slice(from, end),
        own,
        needs: needed,
      });
    }
    return {
      ends: [...ends].sort((a, b) => b - a),
      looked: Math.max(view.looked, 1),
      furthest,
      own,
      ...(needed === undefined ? {} : { needs: needed }),
      ...(expected === undefined ? {} : { expected }),
    };
  }

  private *runs(
    prepared: Prepared,
    start: Start,
    view: View,
    faults: number,
    memo: Map<number, StreamEnds>,
  ): Generator<Run> {
    /** Which option is taken at each choice, and how many there are. */
    let choices: { taken: number; of: number }[] = [];
    for (;;) {
      prepared.k.faultsLeft = faults;
      prepared.k.vfio = start.vfio === true;
      const run = this.run(prepared, start, view, choices, memo);
      yield run;
      choices = run.choices;
      while (choices.length > 0 && choices.at(-1)!.taken + 1 >= choices.at(-1)!.of) choices.pop();
      if (choices.length === 0) return;
      choices.at(-1)!.taken++;
    }
  }

  private run(
    { k, index, machines, first }: Prepared,
    start: Start,
    view: View,
    given: readonly { taken: number; of: number }[],
    memo: Map<number, StreamEnds>,
  ): Run & { choices: { taken: number; of: number }[] } {
    const states = [...first];
    const choices: { taken: number; of: number }[] = [];
    const matched = new Bijections();
    let at = 0;
    let serves = '';
    const own: number[] = [];
    const dead = (expected: string) => ({ reached: at, expected, own, choices });
    const show = (facts: readonly EventFact[]): string | undefined => {
      for (const fact of facts) {
        const fn = 'fn' in fact ? fact.fn : undefined;
        if (fact.type === 'function_call' && fn !== undefined && SERVED.has(fn)) serves = fn;
        if (!this.visible(fact, serves)) continue;
        const event = view.at(at);
        if (event === undefined || !matched.same(fact, event)) return said(fact);
        const wrong = this.misses(event, matched, (dev) => {
          const i = index.get(dev);
          return i === undefined ? undefined : (machines[i].context(states[i]) as DeviceMemory);
        });
        if (wrong !== undefined) return `${said(fact)} with ${wrong}`;
        own.push(at++);
      }
      return undefined;
    };
    const pick = (of: number): number => {
      const taken = given[choices.length]?.taken ?? 0;
      choices.push({ taken, of });
      return taken;
    };
    const thread = start.run(k);
    let result = thread.next();
    while (result.done !== true) {
      const step = result.value;
      if (step.type === 'trace') {
        const missing = show(step.facts);
        if (missing !== undefined) return dead(missing);
        result = thread.next();
      } else if (step.type === 'choose') {
        if (step.label === NESTED) {
          const inside = this.streamEnds(view.events, view.from + at, memo);
          view.saw(inside.looked - view.from);
          const before = at;
          const bound = view.ownAgain(at);
          const ends = inside.ends.filter((end) => end - view.from <= bound);
          at = ends[pick(ends.length)] - view.from;
          for (let i = before; i < at; i++) {
            const { fn } = view.events[view.from + i];
            if (fn === 'iommu_group_register_notifier') k.vfio = true;
            if (fn === 'iommu_group_unregister_notifier') k.vfio = false;
          }
          result = thread.next();
        } else {
          result = thread.next(step.options[pick(step.options.length)]);
        }
      } else if (step.type === 'send') {
        const i = index.get(step.entity);
        if (i === undefined) {
          if (!JUDGES.test(step.entity)) throw new Error(`there is no ${step.entity}`);
          const missing = show(step.facts ?? []);
          if (missing !== undefined) return dead(missing);
          result = thread.next();
          continue;
        }
        const machine = machines[i];
        const { event } = step;
        const id = machine.event(
          'by' in event && event.by === SELF ? { ...event, by: 'T' } : event,
        );
        if (!machine.accepts(states[i], id)) return dead(`it waits at ${step.label}`);
        const reply = machine.replies(states[i], id).at(-1);
        states[i] = machine.next(states[i], id);
        if (machine.broken(states[i]) !== undefined && !judges(step.entity)) {
          return dead(`${step.label} breaks ${machine.broken(states[i])}`);
        }
        const missing = show(step.facts ?? []);
        if (missing !== undefined) return dead(missing);
        result = thread.next(reply);
      } else if (step.type === 'spawn') {
        result = thread.next('another');
      } else if (step.type === 'join') {
        return dead('it joins');
      } else {
        result = thread.next();
      }
    }
    return { end: at, reached: at, own, choices };
  }

  /** What a probe read of the device and what the model has there are not the same: what that is. */
  private misses(
    { type, fn, dev, drv, devGroup }: Shown,
    matched: Bijections,
    memory: (dev: string) => DeviceMemory | undefined,
  ): string | undefined {
    if (typeof dev !== 'string' || (type !== 'function_call' && type !== 'bus_notify')) return;
    const fields = memory(dev)?.fields;
    if (fields === undefined) return undefined;
    const { iommu_group: group, driver } = fields;
    if (devGroup !== undefined && !matched.group(group, devGroup))
      return `dev->iommu_group ${group}`;
    // Of really_probe it is the driver that is to be bound.
    if (drv !== undefined && fn !== 'really_probe' && drv !== driver)
      return `dev->driver ${driver}`;
    return undefined;
  }

  private visible(fact: EventFact, serves: string): boolean {
    switch (fact.type) {
      case 'function_call':
        if (!FUNCTIONS.has(fact.fn)) throw new Error(`${fact.fn} is not among the functions`);
        return (
          this.kernel.probed.has(fact.fn) && this.kernel.inlined[fact.fn]?.includes(serves) !== true
        );
      case 'function_return':
        return this.kernel.returns.has(fact.fn);
      case 'callback_return':
        return fact.fn === 'iommu_bus_notifier' || fact.fn === 'dmar_pci_bus_notifier';
      case 'callback_call':
      case 'bus_notify':
      case 'chain_call':
      case 'chain_return':
      case 'add_device_to_group':
      case 'remove_device_from_group':
      case 'attach_device_to_domain':
        return true;
      // The one never fires (formats.md), the others are for udev's monitor.
      case 'detach_device_from_domain':
      case 'uevent':
        return false;
      default:
        throw new Error(`nothing is known of ${fact.type}`);
    }
  }

  /** Where operations one after another may end that begin at `from`, the furthest first. */
  streamEnds(events: readonly Shown[], from: number, memo: Map<number, StreamEnds>): StreamEnds {
    const known = memo.get(from);
    if (known !== undefined) return known;
    const ends = new Set([from]);
    let looked = from + 1;
    const open = [from];
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      looked = Math.max(looked, at + 1);
      if (at >= events.length || !begins(events[at])) continue;
      const found = this.operationEnds(events, at, memo);
      looked = Math.max(looked, at + found.looked);
      for (const end of found.ends) {
        if (ends.has(at + end)) continue;
        ends.add(at + end);
        open.push(at + end);
      }
    }
    const result = { ends: [...ends].sort((a, b) => b - a), looked };
    memo.set(from, result);
    return result;
  }

  private prepare(start: Start): Prepared {
    const key = `${this.name} ${this.kernel.profile.name} ${start.call} ${JSON.stringify(start.setup)}`;
    const known = starts.get(key);
    if (known !== undefined) return known;
    const k = new OpenKernel({ ...start.setup, profile: this.kernel.profile });
    const index = new Map<string, number>();
    const machines: InternedMachine[] = [];
    const first: number[] = [];
    for (const [name, entity] of Object.entries(k.entities)) {
      if (JUDGES.test(name)) continue;
      const { machine, input } =
        'machine' in entity ? entity : { machine: entity, input: undefined };
      const own = interned.get(machine) ?? new InternedMachine(machine);
      interned.set(machine, own);
      index.set(name, machines.length);
      machines.push(own);
      first.push(own.start(input));
    }
    const prepared = { k, index, machines, first };
    starts.set(key, prepared);
    return prepared;
  }

  /** The kernels that the operation at the beginning of `view` may have begun on. */
  private *startsOf(view: View, others: boolean): Generator<Start> {
    const event = view.at(0)!;
    const { fn = '' } = event;
    const dev = 'd0';
    const { profile } = this.kernel;
    switch (fn) {
      case 'device_add':
        for (const start of this.joining(view, event)) {
          yield { ...start, call: fn, run: (k) => device_add(k, dev) };
        }
        return;
      case 'iommu_probe_device':
        for (const start of this.joining(view, event)) {
          yield { ...start, call: fn, run: (k) => iommu_probe_device(k, dev) };
        }
        return;
      case 'device_del': {
        const drivers = new Set([event.drv ?? null, null, ...view.driversUntilRemoved()]);
        for (const driver of drivers) {
          for (const start of this.member(event, driver, event.devGroup, [...drivers])) {
            yield { ...start, call: fn, run: (k) => device_del(k, dev), meanwhile: [...drivers] };
          }
        }
        return;
      }
      case 'device_release_driver_internal':
      case '__device_release_driver': {
        const meanwhile = others ? view.driversAhead() : [];
        for (const start of this.member(event, event.drv ?? null, undefined, meanwhile)) {
          const run = (k: Kernel) => device_release_driver(k, dev);
          yield { ...start, call: fn, run, meanwhile };
        }
        return;
      }
      case 'really_probe': {
        const driver = event.drv ?? 'driver';
        for (const start of this.member(event, null, undefined, [driver])) {
          yield { ...start, call: fn, run: (k) => driver_probe_device(k, dev, driver) };
        }
        return;
      }
      case 'iommu_attach_group':
        for (const setup of groups(view.attached(), 'attaching', profile)) {
          yield { setup, call: fn, run: (k) => iommu_attach_group(k, 'U', 'g0') };
        }
        return;
      case 'iommu_detach_group':
        for (const setup of groups(view.attached(), 'attached', profile)) {
          yield { setup, call: fn, run: (k) => iommu_detach_group(k, 'U', 'g0') };
        }
        return;
      case 'iommu_group_claim_dma_owner':
        for (const setup of groups(view.attached(), 'claiming', profile)) {
          yield { setup, call: fn, run: (k) => iommu_group_claim_dma_owner(k, 'g0', 'vfio') };
        }
        return;
      case 'iommu_group_release_dma_owner':
        for (const setup of groups(view.attached(), 'claimed', profile)) {
          yield { setup, call: fn, run: (k) => iommu_group_release_dma_owner(k, 'g0') };
        }
        return;
      case 'iommu_group_release':
        for (const setup of groups([], 'left', profile)) {
          yield { setup, call: fn, run: (k) => iommu_group_put(k, 'g0') };
        }
    }
  }

  /** A device that is new, and the group that it may find. */
  private *joining(view: View, event: Shown): Generator<Pick<Start, 'setup' | 'vfio'>> {
    const bus = event.bus ?? null;
    const drivers = this.drivers(view.driversUntilReturn(), bus);
    const device: DeviceSetup = { bus, alias: 'a' };
    const chains = this.chains(bus);
    if (bus === null || !this.recording.iommuBuses.has(bus)) {
      yield { setup: { devices: { d0: device }, drivers, ...chains, spareGroups: 0 } };
      return;
    }
    for (const deferred of [false, true]) {
      const d0 = { ...device, deferred };
      yield { setup: { devices: { d0 }, drivers, ...chains } };
      // Another device's group: on its default domain, on another, on none.
      const found: readonly GroupSetup[] = [
        { default_domain: 'D0', domain: 'D0' },
        { default_domain: 'D0', domain: 'U' },
        { default_domain: null, domain: null },
      ];
      for (const g0 of found) {
        const peer = { bus, alias: 'a', group: 'g0' };
        const setup = { devices: { peer, d0 }, drivers, groups: { g0 }, ...chains };
        for (const vfio of this.groupChains()) yield { setup, vfio };
      }
    }
  }

  /** A device that is there, in a group or in none. */
  private *member(
    event: Shown,
    driver: string | null,
    devGroup: number | null | undefined,
    others: readonly (string | null)[] = [],
  ): Generator<Pick<Start, 'setup' | 'vfio'>> {
    const bus = event.bus ?? null;
    const names = [...new Set([driver, ...others])].filter((name) => name !== null);
    const drivers = this.drivers(names, bus, []);
    const d0: DeviceSetup = { bus, present: bus !== null, ...(driver === null ? {} : { driver }) };
    const alone = { devices: { d0 }, drivers, spareGroups: 0 };
    const iommu = bus !== null && this.recording.iommuBuses.has(bus);
    if (!iommu || devGroup === null || devGroup === undefined) {
      yield { setup: { ...alone, ...this.chains(bus) } };
    }
    if (!iommu || devGroup === null) return;
    const there = { ...alone, devices: { d0: { ...d0, group: 'g0' } } };
    const groups: readonly GroupSetup[] = [
      {},
      { held: 1 },
      { blocking_domain: 'B' },
      { blocking_domain: 'B', held: 1 },
      { owner: 'vfio', owner_cnt: 1 },
      { owner_cnt: 0, held: 1 },
      { default_domain: null, domain: null },
    ];
    const peer: DeviceSetup = { bus, group: 'g0' };
    for (const vfio of this.groupChains()) {
      for (const g0 of groups) {
        const setup = { ...there, groups: { g0 }, ...this.chains(bus) };
        yield { setup, vfio };
        yield { setup: { ...setup, devices: { ...there.devices, peer } }, vfio };
      }
    }
  }

  /** Whether VFIO listens on the group's chain. */
  private groupChains(): readonly boolean[] {
    return this.kernel.profile.groupNotifier ? [false, true] : [false];
  }

  private drivers(
    names: readonly string[],
    bus: string | null,
    matches: readonly string[] = ['d0'],
  ): Readonly<Record<string, DriverSetup>> {
    return Object.fromEntries(
      names.map((name) => [
        name,
        { bus: bus ?? 'pci', matches, managesDma: MANAGES_DMA.has(name) },
      ]),
    );
  }

  /** The buses and who listens on their chains. */
  private chains(bus: string | null): Pick<KernelSetup, 'buses' | 'blocks' | 'earlyBlocks'> {
    const { listeners, iommuBuses } = this.recording;
    const { order, profile } = this.kernel;
    const name = bus ?? 'pci';
    const heard = order.filter((fn) => listeners.has(fn));
    const own = order.indexOf('iommu_bus_notifier');
    const block = (fn: string): FixedBlock => ({ block: fn, call: listener(fn, profile) });
    const chain = `${name}->bus_notifier`;
    const others = name === 'pci' ? heard.filter((fn) => fn !== 'iommu_bus_notifier') : [];
    return {
      buses: { [name]: { iommu: bus !== null && iommuBuses.has(name) } },
      earlyBlocks: {
        [chain]: others.filter((fn) => order.indexOf(fn) < own && iommuBuses.has(name)).map(block),
      },
      blocks: {
        [chain]: others.filter((fn) => order.indexOf(fn) > own || !iommuBuses.has(name)).map(block),
      },
    };
  }
}

export interface StreamEnds {
  readonly ends: readonly number[];
  /** Everything before was looked at. */
  readonly looked: number;
}

/** The functions by which one knows for whom a part of the compiler's making works. */
const SERVED: ReadonlySet<string> = new Set([
  'iommu_probe_device',
  'iommu_setup_default_domain',
  'iommu_attach_group',
  'iommu_detach_group',
  'iommu_group_claim_dma_owner',
  'iommu_group_release_dma_owner',
]);

function judges(entity: string): boolean {
  return JUDGES.test(entity) || entity === LOG || entity === IDA || entity === IOMMU_CORE;
}

export function begins(event: Shown): boolean {
  const { type, fn = '' } = event;
  return type === 'function_call' && (OPERATIONS.has(fn) || LEAVES.has(fn));
}

/** A callback on a chain that does nothing which is seen but what the recording shows in it. */
function listener(fn: string, profile: KernelProfile): NotifierCall {
  return function* ({ action, payload }) {
    const dev = String(payload.dev);
    const value =
      fn === GROUP_LISTENER
        ? GROUP_ACTIONS.indexOf(action as GroupAction) + 1
        : busActionValue(profile.numbering, action as BusAction);
    yield* trace({
      type: 'callback_call',
      fn,
      dev,
      ...(value === undefined ? {} : { action: value }),
    });
    const ret = fn === 'pci_notify' ? 0 : yield* choose([0, 1], `${fn} returns`);
    yield* trace({ type: 'callback_return', fn, ret });
    return ret;
  };
}

/** Groups whose members are known by the order in which they are attached. */
function* groups(
  attached: readonly string[],
  how: 'attaching' | 'attached' | 'claiming' | 'claimed' | 'left',
  profile: KernelProfile,
): Generator<Start['setup']> {
  const members = attached.length === 0 && how !== 'left' ? ['d0'] : attached;
  const devices: Record<string, DeviceSetup> = Object.fromEntries(
    members.map((dev) => [dev, { group: 'g0' }]),
  );
  const owned = profile.dmaOwnership ? { owner: 'vfio', owner_cnt: 1 } : {};
  const blocked = { ...owned, blocking_domain: 'B' };
  const base = { default_domain: 'D0' };
  const found: Record<typeof how, readonly GroupSetup[]> = {
    attaching: [
      { ...base, domain: 'D0' },
      { ...base, ...blocked, domain: 'B' },
      { default_domain: null, domain: null },
      { ...base, domain: 'X' },
    ],
    attached: [
      { ...base, domain: 'U' },
      { ...base, ...blocked, domain: 'U' },
      { default_domain: null, domain: 'U' },
    ],
    claiming: [
      { ...base, domain: 'D0', owner_cnt: 0 },
      { ...base, domain: 'D0', owner_cnt: 0, blocking_domain: 'B' },
      { ...base, domain: 'D0', owner_cnt: 1 },
      { ...base, domain: 'X', owner_cnt: 0 },
    ],
    claimed: [
      { ...base, ...blocked, domain: 'B' },
      { ...base, ...blocked, domain: 'D0' },
    ],
    left: [
      { default_domain: null, domain: null, held: 1 },
      { ...base, domain: 'D0', held: 1 },
    ],
  };
  for (const g0 of found[how]) {
    yield { devices, groups: { g0 }, domains: ['U', 'X', 'B', 'D0'], spareGroups: 0 };
  }
}

/** Events from one on, with devices by the order in which they come: `d0`, `d1`, … */
class View {
  looked = 0;
  private readonly names = new Names();
  private readonly named: Shown[] = [];

  constructor(
    readonly events: readonly Shown[],
    readonly from: number,
  ) {}

  at(i: number): Shown | undefined {
    this.saw(i + 1);
    while (this.named.length <= i && this.from + this.named.length < this.events.length) {
      this.named.push(this.names.named(this.events[this.from + this.named.length]));
    }
    return this.named[i];
  }

  saw(looked: number): void {
    this.looked = Math.max(this.looked, looked);
  }

  /** Drivers that probe the device until the operation returns. */
  driversUntilReturn(): string[] {
    const { fn } = this.at(0)!;
    const drivers = new Set<string>();
    let depth = 0;
    for (let i = 0; ; i++) {
      const event = this.at(i);
      if (event === undefined) break;
      if (event.fn === 'really_probe' && event.dev === 'd0' && event.drv) drivers.add(event.drv);
      if (event.fn !== fn) continue;
      if (event.type === 'function_call') depth++;
      else if (--depth === 0) break;
    }
    return [...drivers];
  }

  /** Drivers that are unbound while the device is deleted. */
  driversUntilRemoved(): string[] {
    const drivers = new Set<string>();
    for (let i = 1; ; i++) {
      const event = this.at(i);
      if (event === undefined) break;
      const releases = event.fn?.includes('release_driver') === true;
      if (!releases && event.type === 'function_call' && !inNotification(event)) break;
      if (event.dev !== 'd0' && event.dev !== undefined) break;
      if (releases) {
        if (event.drv) drivers.add(event.drv);
        break;
      }
    }
    return [...drivers];
  }

  /**
   * Where, from `at` on, an operation of the driver core begins on the very device: a callback does
   * not call one, since its caller holds the device's lock or has let it go.
   */
  ownAgain(at: number): number {
    const { dev } = this.events[this.from];
    if (typeof dev !== 'string') return Infinity;
    for (let i = this.from + at; i < this.events.length; i++) {
      const event = this.events[i];
      if (event.dev !== dev || event.type !== 'function_call') continue;
      if (event.fn !== undefined && OF_DEVICES.has(event.fn)) return i - this.from;
    }
    return Infinity;
  }

  /** Drivers of the device by what follows, null for none among them. */
  driversAhead(): (string | null)[] {
    const drivers = new Set<string | null>([null]);
    for (let i = 1; i < 300; i++) {
      const event = this.at(i);
      if (event === undefined) break;
      if (event.dev !== 'd0' || event.drv === undefined) continue;
      drivers.add(event.drv);
      if (event.type === 'function_call') break;
    }
    return [...drivers];
  }

  /** The devices that are attached one after another, by nothing but the operation. */
  attached(): string[] {
    const devices = new Set<string>();
    for (let i = 1; ; i++) {
      const event = this.at(i);
      if (event === undefined) break;
      if (event.type === 'attach_device_to_domain' && event.dev) devices.add(event.dev);
      const own = event.fn?.startsWith('__iommu') === true;
      if (!own && event.type !== 'attach_device_to_domain') break;
      if (event.fn === '__iommu_attach_device' && event.dev) devices.add(event.dev);
    }
    return [...devices];
  }
}

function inNotification({ fn = '' }: Shown): boolean {
  return LISTENERS.includes(fn) || fn === GROUP_LISTENER;
}

/** Names by the order in which they come. */
class Names {
  private readonly devices = new Map<string, string>();
  private readonly others = new Map<string, string>();

  named(event: Shown): Shown {
    const { dev, group, devGroup, domain } = event;
    return {
      ...event,
      ...(dev ? { dev: numbered(this.devices, dev, 'd') } : {}),
      ...(group === undefined ? {} : { group: this.groupOf(group) }),
      ...(typeof devGroup === 'number' ? { devGroup: this.groupOf(devGroup) } : {}),
      ...(domain === undefined ? {} : { domain: numbered(this.others, domain, 'x') }),
    };
  }

  token(event: Shown): string {
    return JSON.stringify({ ...this.named(event), line: 0 });
  }

  private groupOf(id: number): number {
    return Number(numbered(this.others, `group ${id}`, '').slice(0));
  }
}

function numbered(names: Map<string, string>, name: string, prefix: string): string {
  const known = names.get(name);
  if (known !== undefined) return known;
  const given = `${prefix}${names.size}`;
  names.set(name, given);
  return given;
}

/** What a probe reads of a struct device. */
interface DeviceMemory {
  readonly fields: { readonly iommu_group: string | null; readonly driver: string | null };
}

type Name = string | number | undefined;

/** What stands for what, of groups and domains. */
class Bijections {
  private readonly to = new Map<string, string>();
  private readonly from = new Map<string, string>();

  same(fact: EventFact, event: Shown): boolean {
    if (fact.type !== event.type) return false;
    const told = fact as Partial<Omit<Shown, 'chain'>> & { readonly chain?: string };
    if (told.fn !== event.fn) return false;
    // The peer that a device finds is not said by name.
    if (told.dev !== undefined && event.dev !== undefined && told.dev !== event.dev) return false;
    if (told.drv !== undefined && event.drv !== undefined && told.drv !== event.drv) return false;
    if (told.action !== undefined && event.action !== undefined && told.action !== event.action) {
      return false;
    }
    if (event.chain !== undefined) {
      if ((told.chain?.endsWith('->bus_notifier') === true ? 'bus' : 'group') !== event.chain) {
        return false;
      }
    }
    if (!sameReturn(event.fn, told.ret, event.ret)) return false;
    return (
      this.pair('group', told.group, event.group) && this.pair('domain', told.domain, event.domain)
    );
  }

  /** dev->iommu_group, by name and by id. */
  group(name: string | null, id: number | null): boolean {
    if (name === null || id === null) return name === id;
    return this.pair('group', Number(name.slice(1)), id);
  }

  private pair(kind: string, told: Name, shown: Name): boolean {
    if (told === undefined || shown === undefined) return true;
    const [a, b] = [`${kind} ${told}`, `${kind} ${shown}`];
    if ((this.to.get(a) ?? b) !== b || (this.from.get(b) ?? a) !== a) return false;
    this.to.set(a, b);
    this.from.set(b, a);
    return true;
  }
}

/** Which errno it is, the driver says; of a pointer nothing is said. */
function sameReturn(fn: string | undefined, told: unknown, shown: number | undefined): boolean {
  if (shown === undefined || typeof told !== 'number' || fn === 'iommu_group_alloc_device') {
    return true;
  }
  return told < 0 ? shown < 0 : told > 1 ? shown > 1 : told === shown;
}

function said(fact: EventFact): string {
  const { type, ...rest } = fact;
  return `${type} ${JSON.stringify(rest)}`;
}

export interface Judged {
  /** Entries of functions that are part of an operation that was accepted. */
  readonly counts: Map<string, number>;
  readonly failures: Failure[];
  /** Events of operations that had begun before the recording did. */
  before: number;
  /** Operations that the recording cuts off. */
  cut: number;
  /** Events that no operation explains. */
  unexplained: number;
}

export function nothingJudged(): Judged {
  return { counts: new Map(), failures: [], before: 0, cut: 0, unexplained: 0 };
}

/** Whether the events, all of them, are those of operations one after another. */
export function explains(acceptor: Acceptor, events: readonly Shown[]): boolean {
  return acceptor.streamEnds(events, 0, new Map()).ends[0] === events.length;
}

/** Judges everything that a task does. */
export function judgeTask(
  acceptor: Acceptor,
  { file, pid, events, opensInside }: TaskEvents,
  into: Judged,
): void {
  acceptor.task = { file, pid };
  const memo = new Map<number, StreamEnds>();
  let at = opensInside ? insideUntil(events) : 0;
  into.before += at;
  while (at < events.length) {
    const { ends } = acceptor.streamEnds(events, at, memo);
    for (let i = at; i < ends[0]; i++) count(into.counts, events[i]);
    at = ends[0];
    if (at >= events.length) return;
    const event = events[at];
    const found = begins(event) ? acceptor.operationEnds(events, at, memo) : undefined;
    if (found !== undefined && at + found.furthest >= events.length) {
      into.cut++;
      return;
    }
    into.failures.push({
      operation: event.fn ?? event.type,
      file,
      line: event.line,
      events: events.slice(at, at + (found?.furthest ?? 0) + 12),
      furthest: found?.furthest ?? 0,
      ...(found?.expected === undefined ? {} : { expected: found.expected }),
    });
    const failed = at++;
    while (at < events.length && !begins(events[at])) at++;
    into.unexplained += at - failed;
  }
}

/** Where what a task began before the recording did is over: after its last return without a call. */
function insideUntil(events: readonly Shown[]): number {
  const calls: string[] = [];
  let until = 0;
  for (const [i, { type, fn = '' }] of events.entries()) {
    const name = type.startsWith('chain') ? 'chain' : fn;
    if (type.endsWith('_call')) calls.push(name);
    if (!type.endsWith('_return')) continue;
    const call = calls.lastIndexOf(name);
    if (call < 0) {
      until = i + 1;
      calls.length = 0;
    } else calls.length = call;
  }
  return until;
}

function count(counts: Map<string, number>, { type, fn }: Shown): void {
  const name = type === 'function_call' || type === 'callback_call' ? fn : undefined;
  if (name !== undefined) counts.set(name, (counts.get(name) ?? 0) + 1);
}
