/**
 * Classes of interleavings by inclusion and exclusion over what comes first: from a state there are
 * N(s) = sum over the sets C of steps, not empty, any two of which may be exchanged, of
 * (-1)^(|C| + 1) N(s after C), because a class is counted once for every C among its first steps.
 * Source: Cartier and Foata, Problèmes combinatoires de commutation et réarrangements (1969). Only
 * steps of a persistent set are tried: every class has one of them among its first.
 */

import { PersistentSets } from './persistent-sets.js';
import { checkThreads } from './program.js';
import type { Program } from './program.js';
import { endlessLoop } from './scenario-error.js';
import { SentEvents } from './sent.js';
import type { IndependentEvents } from './sent.js';
import { StateTable } from './state-table.js';
import { doubled } from './doubled.js';

/**
 * Counts classes of interleavings (Mazurkiewicz traces), threads that are left waiting included. What
 * the machines tell of each state is no relation of events: there, class-counts.ts counts.
 *
 * @param independent whether two events of one entity may be exchanged wherever one follows the
 *   other: the literature counts by footprint
 * @param limit states; more end the count
 * @returns the number, exact below 2^53, or undefined where `limit` was reached
 * @throws ScenarioError where the scenario itself is at fault, and where interleavings are endless
 */
export function countClasses(
  program: Program,
  independent: IndependentEvents,
  limit = Infinity,
): number | undefined {
  for (let t = 0; t < program.declaredThreads; t++) program.trie.root(t);
  const sent = new SentEvents(program, independent);
  const persistent = new PersistentSets(program, sent);
  for (;;) {
    checkThreads(program.trie.threads.length);
    persistent.begin();
    try {
      const count = new TraceCount(program, sent, persistent, limit).run();
      if (count === undefined || persistent.hold()) return count;
    } catch (error) {
      if (!(error instanceof Restart)) throw error;
    }
  }
}

class Restart extends Error {}

/** In `counts`: on the way to it. Where too little was learned yet, any number can come out. */
const OPEN = NaN;

class TraceCount {
  private readonly threads: number;
  private readonly entities: number;
  private readonly table: StateTable;
  private readonly row: Int32Array;
  /** By state. */
  private counts = new Float64Array(1024);

  // The frames of the depth-first search, as columns.
  private depth = 0;
  private state = new Int32Array(64);
  private sum = new Float64Array(64);
  /** Steps of the set that is being tried, less 1. */
  private last = new Int32Array(64);
  // By frame and step of its set: whose it is, its outcome, and which threads are still to be tried.
  private thread: Int32Array;
  private outcome: Int32Array;
  private todo: Int32Array;

  constructor(
    private readonly program: Program,
    private readonly sent: SentEvents,
    private readonly persistent: PersistentSets,
    private readonly limit: number,
  ) {
    this.threads = program.trie.threads.length;
    this.entities = program.entities;
    this.table = new StateTable(this.entities + this.threads);
    this.row = program.start(this.threads);
    this.thread = new Int32Array(64 * this.threads);
    this.outcome = new Int32Array(64 * this.threads);
    this.todo = new Int32Array(64 * this.threads);
  }

  run(): number | undefined {
    const { program, table, row, threads } = this;
    const { trie } = program;
    let nodes = trie.size;
    this.arrive();
    while (this.depth > 0) {
      const top = this.depth - 1;
      const state = this.state[top];
      table.load(state, row);
      if (!this.nextSet(top)) {
        const count = (this.counts[state] = this.sum[top]);
        this.depth--;
        this.add(count);
        continue;
      }
      const base = top * threads;
      for (let i = 0; i <= this.last[top]; i++) {
        // A step that is exchanged with those before it is enabled after them, and to be looked up.
        program.enabled(row, this.thread[base + i]);
        program.step(row, this.thread[base + i], this.outcome[base + i]);
      }
      if (trie.size !== nodes) {
        if (trie.threads.length !== threads) throw new Restart();
        this.persistent.meetNodes();
        nodes = trie.size;
      }
      this.arrive();
      if (table.count > this.limit) return undefined;
    }
    return this.counts[0];
  }

  /** Comes to `row`. */
  private arrive(): void {
    const { program, threads, table, row } = this;
    const state = table.add(row);
    if (!table.added) {
      if (Number.isNaN(this.counts[state])) throw endlessLoop(program.scenario.name);
      this.add(this.counts[state]);
      return;
    }
    if (state >= this.counts.length) this.counts = doubled(this.counts);
    let enabled = 0;
    for (let t = 0; t < threads; t++) if (program.enabled(row, t)) enabled |= 1 << t;
    if (enabled === 0 && this.depth > 0) {
      this.counts[state] = 1;
      this.add(1);
      return;
    }
    this.counts[state] = OPEN;
    const at = this.depth++;
    if (at === this.state.length) this.grow();
    this.state[at] = state;
    this.sum[at] = enabled === 0 ? 1 : 0;
    this.last[at] = -1;
    this.todo[at * threads] = enabled === 0 ? 0 : this.persistent.of(row, enabled);
  }

  /** Adds the classes after the set that is being tried. */
  private add(count: number): void {
    const top = this.depth - 1;
    if (top >= 0) this.sum[top] += this.last[top] % 2 === 0 ? count : -count;
  }

  /** Comes to the next set of steps from the state in `row`. Returns whether there is one. */
  private nextSet(top: number): boolean {
    const { last, todo, outcome, thread, program, row } = this;
    const base = top * this.threads;
    if (last[top] < 0) {
      if (todo[base] === 0) return false;
      last[top] = 0;
      this.take(base);
      return true;
    }
    let at = base + last[top];
    const further = todo[at] === 0 ? 0 : this.exchangedWith(thread[at], todo[at]);
    if (further !== 0) {
      last[top]++;
      todo[++at] = further;
      this.take(at);
      return true;
    }
    for (; at >= base; at--) {
      last[top] = at - base;
      if (++outcome[at] < program.outcomes(row, thread[at])) return true;
      if (todo[at] === 0) continue;
      this.take(at);
      return true;
    }
    return false;
  }

  private take(at: number): void {
    const rest = this.todo[at];
    this.thread[at] = 31 - Math.clz32(rest & -rest);
    this.outcome[at] = 0;
    this.todo[at] = rest & (rest - 1);
  }

  /** Those of `others` whose step may be exchanged with that of `t`. */
  private exchangedWith(t: number, others: number): number {
    const { row, entities, sent } = this;
    const step = sent.at(row, row[entities + t]);
    let exchanged = 0;
    for (let rest = others; rest !== 0; rest &= rest - 1) {
      const other = row[entities + 31 - Math.clz32(rest & -rest)];
      if (sent.independent(step, sent.at(row, other))) exchanged |= rest & -rest;
    }
    return exchanged;
  }

  private grow(): void {
    this.state = doubled(this.state);
    this.sum = doubled(this.sum);
    this.last = doubled(this.last);
    this.thread = doubled(this.thread);
    this.outcome = doubled(this.outcome);
    this.todo = doubled(this.todo);
  }
}
