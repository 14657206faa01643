/**
 * How many classes of interleavings (Mazurkiewicz traces) a bound on preemptions reaches. A class
 * is reached with k where one of its interleavings has at most k: the context bound of GenMC
 * (src/ContextBoundDecider.cpp; Marmanis, Kokologiannakis, Vafeiadis, Reconciling preemption
 * bounding with DPOR, TACAS 2023).
 */

import { checkThreads } from './program.js';
import type { Program } from './program.js';
import { endlessLoop } from './scenario-error.js';
import { SentEvents } from './sent.js';
import type { IndependentEvents } from './sent.js';
import { Kind } from './thread-trie.js';
import { doubled } from './doubled.js';

export interface HistogramOptions {
  /**
   * Whether two events of one entity may be exchanged, wherever one follows the other. Where left
   * out, those that leave the machine as it is: reads.
   */
  readonly independent?: IndependentEvents;
  /** Only classes at whose end nobody is left waiting, as GenMC counts. */
  readonly completeOnly?: boolean;
  /** Prefixes of classes that are looked at, of all together; more end the count. */
  readonly limit?: number;
}

const reads: IndependentEvents = (a, b) => !a.changes && !b.changes;

/**
 * Counts classes by the fewest preemptions (switches away from a thread that could go on) of their
 * interleavings. The classes are the complete paths of the sleep-set tree; the fewest preemptions
 * of one is a shortest path over its prefixes, with the thread that ran last. A prefix that several
 * classes share is looked at once on the way down: for n classes of s steps, of T threads that make
 * at most m steps each, O(n · s · (m + 1)^(T - 1) · T) at worst.
 *
 * @returns at k, the number of classes with an interleaving of at most k preemptions; the last one
 *   is all. Empty where there is no class, undefined where `limit` was reached
 * @throws ScenarioError where the scenario itself is at fault, and where interleavings are endless;
 *   Error where `independent` exchanges two events of which one enables the other
 */
export function preemptionHistogram(
  program: Program,
  options: HistogramOptions = {},
): number[] | undefined {
  for (let t = 0; t < program.declaredThreads; t++) program.trie.root(t);
  for (;;) {
    checkThreads(program.trie.threads.length);
    try {
      return new Histogram(program, options).run();
    } catch (error) {
      if (!(error instanceof Restart)) throw error;
    }
  }
}

class Restart extends Error {}

/** Of a prefix that no interleaving ends with the thread in question. */
const NEVER = 0x3fffffff;

/** The prefixes of one class, or of what its interleavings begin with; added and taken back. */
class Prefixes {
  count = 0;
  private rows: Int32Array;
  private enabledAt: Int32Array;
  /** By prefix and thread: the prefix with the next event of the thread, 0 for none. */
  private next: Int32Array;
  /** By prefix and thread that ran last: preemptions. */
  private cost: Int32Array;
  /** The prefix without the event that it was added for. */
  private origin: Int32Array;
  private readonly width: number;

  constructor(
    private readonly program: Program,
    private readonly threads: number,
  ) {
    this.width = program.entities + threads;
    const capacity = 64;
    this.rows = new Int32Array(capacity * this.width);
    this.enabledAt = new Int32Array(capacity);
    this.next = new Int32Array(capacity * threads);
    this.cost = new Int32Array(capacity * threads);
    this.origin = new Int32Array(capacity);
    this.rows.set(program.start(threads));
    this.enabledAt[0] = this.enabledIn(this.row(0));
    this.count = 1;
  }

  /** A view, good until the next prefix is added. */
  row(prefix: number): Int32Array {
    return this.rows.subarray(prefix * this.width, (prefix + 1) * this.width);
  }

  /** Threads that can go on after a prefix, as bits. */
  enabled(prefix: number): number {
    return this.enabledAt[prefix];
  }

  /** The prefix with the next event of a thread. */
  after(prefix: number, thread: number): number {
    return this.next[prefix * this.threads + thread];
  }

  /** The fewest preemptions of its interleavings. */
  cheapest(prefix: number): number {
    if (prefix === 0) return 0;
    const { threads, cost } = this;
    let least = NEVER;
    for (let t = 0; t < threads; t++) least = Math.min(least, cost[prefix * threads + t]);
    return least;
  }

  /**
   * Adds an event of thread `t` behind `past`, what must happen before it, and behind everything
   * that `past` may go on with.
   */
  add(past: number, t: number, outcome: number): void {
    const { threads } = this;
    const first = this.count;
    this.make(past, t, outcome);
    // Shorter ones first: the cost of one is known when it is gone on from.
    for (let prefix = first; prefix < this.count; prefix++) {
      const without = this.origin[prefix];
      this.arrive(prefix, without, t);
      for (let u = 0; u < threads; u++) {
        const longer = this.next[without * threads + u];
        if (u === t || longer === 0) continue;
        let to = this.next[longer * threads + t];
        if (to === 0) to = this.make(longer, t, outcome);
        this.next[prefix * threads + u] = to;
      }
      for (let u = 0; u < threads; u++) {
        const to = this.next[prefix * threads + u];
        if (to !== 0) this.arrive(to, prefix, u);
      }
    }
  }

  /** Takes back what was added for an event of `t` since there were `count`. */
  takeBack(count: number, t: number): void {
    for (let prefix = count; prefix < this.count; prefix++) {
      this.next[this.origin[prefix] * this.threads + t] = 0;
    }
    this.count = count;
  }

  /** `to` is `from` with an event of `t`. */
  private arrive(to: number, from: number, t: number): void {
    const { threads, cost } = this;
    const enabled = this.enabledAt[from];
    let least = from === 0 ? 0 : cost[from * threads + t];
    for (let last = 0; last < threads; last++) {
      const preempted = cost[from * threads + last] + ((enabled >>> last) & 1);
      if (preempted < least) least = preempted;
    }
    if (least < cost[to * threads + t]) cost[to * threads + t] = least;
  }

  private make(origin: number, t: number, outcome: number): number {
    const { program, threads, width } = this;
    if (((this.enabledAt[origin] >>> t) & 1) === 0) {
      throw new Error('`independent` exchanges two events of which one must come first');
    }
    const prefix = this.count++;
    if (prefix === this.origin.length) this.grow();
    const row = this.row(prefix);
    row.set(this.rows.subarray(origin * width, (origin + 1) * width));
    program.step(row, t, outcome);
    if (program.trie.threads.length !== threads) throw new Restart();
    this.enabledAt[prefix] = this.enabledIn(row);
    this.origin[prefix] = origin;
    this.next.fill(0, prefix * threads, (prefix + 1) * threads);
    this.cost.fill(NEVER, prefix * threads, (prefix + 1) * threads);
    this.next[origin * threads + t] = prefix;
    return prefix;
  }

  private enabledIn(row: Int32Array): number {
    let enabled = 0;
    for (let t = 0; t < this.threads; t++) if (this.program.enabled(row, t)) enabled |= 1 << t;
    return enabled;
  }

  private grow(): void {
    this.rows = doubled(this.rows);
    this.enabledAt = doubled(this.enabledAt);
    this.next = doubled(this.next);
    this.cost = doubled(this.cost);
    this.origin = doubled(this.origin);
  }
}

/** A state of the tree, and the event that is being tried from it. */
interface Level {
  /** All that was done so far. */
  readonly prefix: number;
  /** Threads that are still to be tried. */
  todo: number;
  asleep: number;
  /** Whose event it is, -1 for none. */
  thread: number;
  outcome: number;
  /** The node that it was sent at, and what it was. */
  node: number;
  sent: number;
  /** Number of prefixes before it. */
  mark: number;
  /** By thread: how many of its events come to pass with it at the latest. */
  readonly clock: Int32Array;
}

class Histogram {
  private readonly threads: number;
  private readonly prefixes: Prefixes;
  private readonly sent: SentEvents;
  private readonly levels: Level[] = [];
  /** By the fewest preemptions. */
  private readonly classes: number[] = [];
  private looked = 0;

  constructor(
    private readonly program: Program,
    private readonly options: HistogramOptions,
  ) {
    this.threads = program.trie.threads.length;
    this.prefixes = new Prefixes(program, this.threads);
    this.sent = new SentEvents(program, options.independent ?? reads);
  }

  run(): number[] | undefined {
    const { program, levels, prefixes, classes } = this;
    const limit = this.options.limit ?? Infinity;
    this.open(0, 0);
    for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
      const { thread } = level;
      if (thread >= 0) {
        prefixes.takeBack(level.mark, thread);
        if (++level.outcome === program.outcomes(prefixes.row(level.prefix), thread)) {
          level.asleep |= 1 << thread;
          level.thread = -1;
        }
      }
      if (level.thread < 0) {
        if (level.todo === 0) {
          levels.pop();
          continue;
        }
        level.thread = 31 - Math.clz32(level.todo & -level.todo);
        level.todo &= level.todo - 1;
        level.outcome = 0;
      }
      this.goOn(level);
      if (this.looked > limit) return undefined;
    }
    let all = 0;
    return Array.from(classes, (count: number | undefined) => (all += count ?? 0));
  }

  /** Makes the event that `level` has come to. */
  private goOn(level: Level): void {
    const { prefixes, sent, program } = this;
    const { entities, trie } = program;
    const { thread, prefix } = level;
    const row = prefixes.row(prefix);
    level.mark = prefixes.count;
    level.node = row[entities + thread];
    level.sent = sent.at(row, level.node);
    let asleep = 0;
    for (let rest = level.asleep; rest !== 0; rest &= rest - 1) {
      const z = 31 - Math.clz32(rest & -rest);
      if (sent.independent(sent.at(row, row[entities + z]), level.sent)) asleep |= 1 << z;
    }
    prefixes.add(this.past(level), thread, level.outcome);
    this.looked += prefixes.count - level.mark;
    const to = prefixes.after(prefix, thread);
    if (trie.loopHead[prefixes.row(to)[entities + thread]]) this.refuseRepeated(to);
    this.open(to, asleep);
  }

  private open(prefix: number, asleep: number): void {
    const { prefixes, program, classes, threads } = this;
    const enabled = prefixes.enabled(prefix);
    if (enabled === 0) {
      const { completeOnly } = this.options;
      if (completeOnly === true && program.stuck(prefixes.row(prefix)).length > 0) return;
      const k = prefixes.cheapest(prefix);
      classes[k] = (classes[k] ?? 0) + 1;
      return;
    }
    const todo = enabled & ~asleep;
    if (todo === 0) return;
    const clock = new Int32Array(threads);
    const event = { thread: -1, outcome: 0, node: 0, sent: -1, mark: 0, clock };
    this.levels.push({ prefix, todo, asleep, ...event });
  }

  /** What must have happened before the event of the last level, as a prefix; sets its clock. */
  private past(last: Level): number {
    const { levels, prefixes, threads } = this;
    const { clock, thread } = last;
    clock.fill(0);
    for (let i = levels.length - 2; i >= 0; i--) {
      const before = levels[i];
      if (!this.mustPrecede(before, last)) continue;
      for (let t = 0; t < threads; t++) clock[t] = Math.max(clock[t], before.clock[t]);
    }
    let prefix = 0;
    for (let i = 0; i < levels.length - 1; i++) {
      const { thread: t, clock: done } = levels[i];
      if (done[t] <= clock[t]) prefix = prefixes.after(prefix, t);
    }
    clock[thread]++;
    return prefix;
  }

  private mustPrecede(before: Level, event: Level): boolean {
    if (before.thread === event.thread) return true;
    if (!this.sent.independent(before.sent, event.sent)) return true;
    const { kind, other, parent } = this.program.trie;
    const spawned = kind[before.node] === Kind.Spawn ? other[before.node] : -1;
    if (parent[event.node] === 0 && spawned === event.thread) return true;
    if (kind[event.node] !== Kind.Join) return false;
    const joined = other[event.node];
    return before.thread === joined || spawned === joined;
  }

  /** Throws where the state after `prefix` is one that its way comes by. */
  private refuseRepeated(prefix: number): void {
    const { prefixes, levels } = this;
    const row = prefixes.row(prefix);
    if (levels.some((level) => prefixes.row(level.prefix).every((value, i) => value === row[i]))) {
      throw endlessLoop(this.program.scenario.name);
    }
  }
}
