/**
 * The exact number of classes of interleavings (Mazurkiewicz traces). Source: exploration.md
 * section 4.
 */

import { Independence } from './independence.js';
import { checkThreads } from './program.js';
import type { Program } from './program.js';
import { endlessLoop } from './scenario-error.js';
import type { IndependentEvents } from './sent.js';
import { StateTable } from './state-table.js';
import { countTraces } from './trace-count.js';
import { doubled } from './doubled.js';

export interface CountOptions {
  /**
   * Whether two events of one entity may be exchanged wherever one follows the other: the literature
   * counts by footprint. Where left out, the machines tell for each state: both orders give the same
   * snapshot and the same replies.
   */
  readonly independent?: IndependentEvents;
  /** States, or pairs of a state and a sleep set where the machines tell; more end the count. */
  readonly limit?: number;
}

/**
 * Counts classes, threads that are left waiting included. By a relation of events, over states. Where
 * the machines tell, whether two steps may be exchanged can depend on a third, and classes are the
 * complete paths of the sleep-set graph, over pairs of a state and a sleep set.
 *
 * @returns the number, exact below 2^53, or undefined where `limit` was reached
 * @throws ScenarioError where the scenario itself is at fault, and where interleavings are endless
 */
export function countClasses(program: Program, options: CountOptions = {}): number | undefined {
  const { independent, limit = Infinity } = options;
  for (let t = 0; t < program.declaredThreads; t++) program.trie.root(t);
  if (independent !== undefined) return countTraces(program, independent, limit);
  for (;;) {
    checkThreads(program.trie.threads.length);
    try {
      return new SleepSetCount(program, limit).run();
    } catch (error) {
      if (!(error instanceof Restart)) throw error;
    }
  }
}

class Restart extends Error {}

/** In `counts`: on the way to it. */
const OPEN = -1;

class SleepSetCount {
  private readonly threads: number;
  private readonly entities: number;
  /** States, with the threads that sleep in the last column. */
  private readonly table: StateTable;
  private readonly row: Int32Array;
  /** By pair. */
  private counts = new Float64Array(1024);

  // The frames of the depth-first search, as columns.
  private depth = 0;
  private state = new Int32Array(256);
  private todo = new Int32Array(256);
  private asleep = new Int32Array(256);
  private thread = new Int32Array(256);
  private outcome = new Int32Array(256);
  private sum = new Float64Array(256);
  private readonly independence: readonly Independence[];

  constructor(
    private readonly program: Program,
    private readonly limit: number,
  ) {
    this.threads = program.trie.threads.length;
    this.entities = program.entities;
    const width = this.entities + this.threads;
    this.table = new StateTable(width + 1);
    this.row = new Int32Array(width + 1);
    this.row.set(program.start(this.threads));
    this.independence = program.tables.map((table) => new Independence(table));
  }

  run(): number | undefined {
    const { program, threads, table, row, entities } = this;
    this.arrive();
    while (this.depth > 0) {
      const top = this.depth - 1;
      let t = this.thread[top];
      const state = this.state[top];
      if (t >= 0) {
        table.load(state, row);
        if (++this.outcome[top] === program.outcomes(row, t)) {
          this.asleep[top] |= 1 << t;
          t = -1;
        }
      }
      if (t < 0) {
        const todo = this.todo[top];
        if (todo === 0) {
          const sum = this.sum[top];
          this.counts[state] = sum;
          this.depth--;
          if (top > 0) this.sum[top - 1] += sum;
          continue;
        }
        t = 31 - Math.clz32(todo & -todo);
        this.todo[top] = todo & (todo - 1);
        this.thread[top] = t;
        this.outcome[top] = 0;
        table.load(state, row);
      }
      const still = this.stillAsleep(this.asleep[top], t);
      program.step(row, t, this.outcome[top]);
      if (program.trie.threads.length !== threads) throw new Restart();
      row[entities + threads] = still;
      this.arrive();
      if (table.count > this.limit) return undefined;
    }
    return this.counts[0];
  }

  /** Comes to `row`. */
  private arrive(): void {
    const { program, threads, table, row, entities } = this;
    const state = table.add(row);
    if (!table.added) {
      const count = this.counts[state];
      if (count === OPEN) throw endlessLoop(program.scenario.name);
      this.sum[this.depth - 1] += count;
      return;
    }
    let enabled = 0;
    for (let t = 0; t < threads; t++) if (program.enabled(row, t)) enabled |= 1 << t;
    const asleep = row[entities + threads];
    if (state >= this.counts.length) this.counts = doubled(this.counts);
    this.counts[state] = OPEN;
    const at = this.depth++;
    if (at === this.state.length) this.grow();
    this.state[at] = state;
    this.todo[at] = enabled & ~asleep;
    this.asleep[at] = asleep;
    this.thread[at] = -1;
    this.sum[at] = enabled === 0 ? 1 : 0;
  }

  /** Those of `asleep` whose step may be exchanged with that of `t`. */
  private stillAsleep(asleep: number, t: number): number {
    const { row, entities, independence } = this;
    const { entity, event } = this.program.trie;
    const b = row[entities + t];
    const at = entity[b];
    let still = 0;
    for (let rest = asleep; rest !== 0; rest &= rest - 1) {
      const z = 31 - Math.clz32(rest & -rest);
      const a = row[entities + z];
      const apart = at < 0 || entity[a] !== at;
      if (apart || independence[at].commute(row[at], event[a], event[b])) still |= 1 << z;
    }
    return still;
  }

  private grow(): void {
    this.state = doubled(this.state);
    this.todo = doubled(this.todo);
    this.asleep = doubled(this.asleep);
    this.thread = doubled(this.thread);
    this.outcome = doubled(this.outcome);
    this.sum = doubled(this.sum);
  }
}
