/**
 * Whether what a recording shows of a task is what the model's operations can do: each event of the
 * operations' alphabet belongs to one of them, and in its place.
 */

import type { EventFact } from '../../../events/event.js';
import { InternedMachine } from '../../../machines/intern.js';
import { IOMMU_CORE, IDA, LOG } from '../../../machines/kernel/entity-names.js';
import { SELF } from '../../../machines/step.js';
import { FUNCTIONS } from './recorded-events.js';
import type { Recording, Shown, TaskEvents } from './recorded-events.js';
import { NESTED, OpenKernel, Starts } from './recorded-starts.js';
import type { RecordedKernel, Start } from './recorded-starts.js';
import { Bijections, Names, View } from './recorded-view.js';
import type { DeviceMemory } from './recorded-view.js';

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

const kernels = new Map<string, Prepared>();
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
  private readonly starts: Starts;

  constructor(
    private readonly kernel: RecordedKernel,
    private readonly recording: Pick<Recording, 'listeners' | 'iommuBuses'>,
    private readonly name = '',
  ) {
    this.starts = new Starts(kernel, recording);
  }

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
      for (const start of this.starts.of(view, others)) {
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
    const known = kernels.get(key);
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
    kernels.set(key, prepared);
    return prepared;
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
