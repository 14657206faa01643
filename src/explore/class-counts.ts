/**
 * How many classes of interleavings begin with each state and sleep set, and the class of each rank:
 * to draw classes uniformly. Source: exploration.md section 4.
 */

import { memoryExceeded } from './memory.js';
import type { Program } from './program.js';
import type { Move } from './schedule.js';
import { onSleepGraph } from './sleep-graph.js';
import type { SleepGraph } from './sleep-graph.js';
import { StateTable } from './state-table.js';
import { Kind } from './thread-trie.js';
import { doubled } from './doubled.js';

export interface ClassCountLimits {
  /** Pairs of a state and a sleep set; DEFAULT_PAIRS where left out. */
  readonly pairs?: number;
  /** ms */
  readonly time?: number;
  /** Bytes of the process, as in Bounds. */
  readonly memory?: number;
}

/** Why there is no count. `endless`: some interleaving never ends. */
export type Uncounted = 'pairs' | 'time' | 'memory' | 'endless';

/** Some seconds. */
export const DEFAULT_PAIRS = 1_000_000;
/** Steps between two glances at clock and memory. */
const GLANCE = 4096;
/** Of a pair whose paths are being counted. */
const OPEN = -1;

/**
 * Counts. Which pairs there are does not depend on the machine, so with `pairs` alone the answer is
 * the same everywhere. Throws ScenarioError where the scenario itself is at fault.
 */
export function classCounts(
  program: Program,
  limits: ClassCountLimits = {},
): ClassCounts | Uncounted {
  const deadline = performance.now() + (limits.time ?? Infinity);
  return onSleepGraph(program, (graph) => {
    const counts = new ClassCounts(graph);
    return counts.fill(limits, deadline) ?? counts;
  });
}

export class ClassCounts {
  private readonly table: StateTable;
  /** By pair; exact up to 2^53 - 1, and beyond it in `large`. */
  private counts = new Float64Array(1024);
  private readonly large = new Map<number, bigint>();

  constructor(readonly graph: SleepGraph) {
    this.table = new StateTable(graph.width);
  }

  /** All classes, those with threads that are left waiting included. */
  get total(): bigint {
    return this.count(0);
  }

  /** States with their sleep sets. */
  get pairs(): number {
    return this.table.count;
  }

  /** Some thread makes more steps than are looked at: what follows them is not counted. */
  get truncated(): boolean {
    return this.graph.program.trie.kind.includes(Kind.Cut);
  }

  /** The class of a rank, from 0 to `total` - 1, by the path that stands for it. */
  path(rank: bigint): Move[] {
    const { graph, table } = this;
    const { program } = graph;
    const moves: Move[] = [];
    const row = graph.start();
    const next = graph.start();
    let left = rank;
    for (;;) {
      let asleep = graph.asleep(row);
      let found = false;
      const enabled = graph.enabled(row);
      if (enabled === 0) return moves;
      for (let todo = enabled & ~asleep; todo !== 0 && !found; todo &= todo - 1) {
        const thread = 31 - Math.clz32(todo & -todo);
        const still = graph.still(row, asleep, thread);
        const outcomes = program.outcomes(row, thread);
        for (let outcome = 0; outcome < outcomes && !found; outcome++) {
          next.set(row);
          graph.step(next, thread, outcome, still);
          const count = this.count(table.add(next));
          if (left < count) {
            moves.push({ thread, outcome });
            row.set(next);
            found = true;
          } else {
            left -= count;
          }
        }
        asleep |= 1 << thread;
      }
      if (!found) throw new RangeError(`there is no class of rank ${rank}`);
    }
  }

  /** Counts all pairs. Returns why it could not. */
  fill(limits: ClassCountLimits, deadline: number): Uncounted | undefined {
    const { graph, table } = this;
    const { program } = graph;
    const most = limits.pairs ?? DEFAULT_PAIRS;
    const frames = new Frames();
    const row = graph.start();
    let glance = GLANCE;
    const enter = (pair: number) => {
      if (pair >= this.counts.length) this.counts = doubled(this.counts);
      this.counts[pair] = OPEN;
      const enabled = graph.enabled(row);
      frames.push(pair, enabled & ~graph.asleep(row), graph.asleep(row), enabled === 0 ? 1 : 0);
    };
    enter(table.add(row));
    while (frames.depth > 0) {
      const top = frames.depth - 1;
      const todo = frames.todo[top];
      if (todo === 0) {
        this.set(frames.pair[top], frames.sum(top));
        frames.depth--;
        if (top > 0)
          frames.add(top - 1, this.counts[frames.pair[top]], this.large, frames.pair[top]);
        continue;
      }
      table.load(frames.pair[top], row);
      const t = 31 - Math.clz32(todo & -todo);
      const outcome = frames.outcome[top]++;
      if (outcome === 0) frames.still[top] = graph.still(row, frames.asleep[top], t);
      if (frames.outcome[top] >= program.outcomes(row, t)) {
        frames.outcome[top] = 0;
        frames.todo[top] = todo & (todo - 1);
        frames.asleep[top] |= 1 << t;
      }
      graph.step(row, t, outcome, frames.still[top]);
      const pair = table.add(row);
      if (table.added) {
        if (table.count > most) return 'pairs';
        enter(pair);
      } else if (this.counts[pair] === OPEN) {
        return 'endless';
      } else {
        frames.add(top, this.counts[pair], this.large, pair);
      }
      if (--glance > 0) continue;
      glance = GLANCE;
      if (performance.now() > deadline) return 'time';
      if (memoryExceeded(limits.memory)) return 'memory';
    }
    return undefined;
  }

  private count(pair: number): bigint {
    return this.large.get(pair) ?? BigInt(this.counts[pair]);
  }

  private set(pair: number, sum: number | bigint): void {
    this.counts[pair] = Number(sum);
    if (typeof sum === 'bigint') this.large.set(pair, sum);
  }
}

/** The frames of the depth-first count, as columns. */
class Frames {
  depth = 0;
  pair: Int32Array = new Int32Array(256);
  /** Threads that are to be run from here. */
  todo: Int32Array = new Int32Array(256);
  /** Threads asleep, with those that were run already. */
  asleep: Int32Array = new Int32Array(256);
  /** Of the thread that is being run. */
  outcome: Int32Array = new Int32Array(256);
  /** Those asleep that the thread that is being run lets sleep. */
  still: Int32Array = new Int32Array(256);
  private small = new Float64Array(256);
  /** Where the sum is no safe integer. */
  private readonly large: (bigint | undefined)[] = [];

  push(pair: number, todo: number, asleep: number, count: number): void {
    const at = this.depth++;
    if (at === this.pair.length) this.grow();
    this.pair[at] = pair;
    this.todo[at] = todo;
    this.asleep[at] = asleep;
    this.outcome[at] = 0;
    this.small[at] = count;
    this.large[at] = undefined;
  }

  sum(at: number): number | bigint {
    return this.large[at] ?? this.small[at];
  }

  /** Adds the count of a pair. */
  add(at: number, count: number, larger: ReadonlyMap<number, bigint>, pair: number): void {
    const sum = this.large[at] === undefined ? this.small[at] + count : Infinity;
    if (sum <= Number.MAX_SAFE_INTEGER) this.small[at] = sum;
    else this.large[at] = BigInt(this.sum(at)) + (larger.get(pair) ?? BigInt(count));
  }

  private grow(): void {
    this.pair = doubled(this.pair);
    this.todo = doubled(this.todo);
    this.asleep = doubled(this.asleep);
    this.outcome = doubled(this.outcome);
    this.still = doubled(this.still);
    this.small = doubled(this.small);
  }
}
