/**
 * Schedules by cost: fewest preemptions first, then fewest steps. Every interleaving with k
 * preemptions is looked at before any with k + 1, so what is found first is the cheapest there is,
 * and what is not found with k is impossible with k. Source: exploration.md section 3; CHESS
 * (Musuvathi and Qadeer, PLDI 2007) for the bound.
 */

import type { Bounds, Cut } from './search-options.js';
import { memoryExceeded } from './memory.js';
import { waitForEver } from './partial-deadlock.js';
import { checkThreads } from './program.js';
import type { Program } from './program.js';
import type { Move } from './schedule.js';
import { StateTable } from './state-table.js';
import { SymmetryGroup } from './symmetry.js';
import { Kind } from './thread-trie.js';
import { brokenRules, PARTIAL_DEADLOCK } from './verdict-rules.js';

export interface BoundedOptions {
  /** Most preemptions; all where left out. */
  readonly preemptions?: number;
  readonly bounds?: Bounds;
  /** Ends when each of these rules has been found broken. */
  readonly until?: readonly string[];
  /** One representative of what the scenario declares interchangeable. */
  readonly symmetry?: boolean;
}

/** The cheapest schedule that breaks a rule. */
export interface Cheapest {
  readonly preemptions: number;
  readonly moves: readonly Move[];
}

export interface BoundedResult {
  readonly violated: ReadonlyMap<string, Cheapest>;
  /** Undefined: every interleaving was covered, or what was looked for was found. */
  readonly cut: Cut | 'preemptions' | undefined;
  /** All interleavings with fewer preemptions than this were covered. */
  readonly exhausted: number;
  readonly states: number;
  readonly transitions: number;
  readonly bytes: number;
}

/** A thread was met that the columns have no place for. */
class Restart extends Error {}

/** States between two glances at clock and memory. */
const GLANCE = 1024;

/** Searches by cost. Throws ScenarioError where the scenario itself is at fault. */
export function searchBounded(program: Program, options: BoundedOptions = {}): BoundedResult {
  const declared = program.scenario.symmetry ?? [];
  for (let t = 0; t < program.declaredThreads; t++) program.trie.root(t);
  const group =
    options.symmetry !== false && declared.length > 0
      ? new SymmetryGroup(program, declared)
      : undefined;
  for (;;) {
    checkThreads(program.trie.threads.length);
    try {
      return new BoundedSearch(program, group, options).run();
    } catch (error) {
      if (!(error instanceof Restart)) throw error;
      group?.layOut();
    }
  }
}

class BoundedSearch {
  private readonly threads: number;
  private readonly entities: number;
  /** States with the thread that ran last, in the last column, plus 1. */
  private readonly table: StateTable;
  private readonly row: Int32Array;
  /** By state: preemptions and steps of the cheapest way that is known, and that way. */
  private preemptions = new Columns();
  private steps = new Columns();
  private parent = new Columns();
  private thread = new Columns();
  private outcome = new Columns();
  private settled = new Columns();
  /** Waiting states by preemptions, then steps. */
  private readonly queues: number[][][] = [];
  private transitions = 0;
  private visits = 0;
  private cut: Cut | 'preemptions' | undefined;

  constructor(
    private readonly program: Program,
    private readonly group: SymmetryGroup | undefined,
    private readonly options: BoundedOptions,
  ) {
    this.threads = program.trie.threads.length;
    this.entities = program.entities;
    const width = this.entities + this.threads + 1;
    this.table = new StateTable(width);
    this.row = new Int32Array(width);
  }

  run(): BoundedResult {
    const { program, options, queues, row, entities, threads } = this;
    const limit = options.preemptions ?? Infinity;
    const deadline = performance.now() + (options.bounds?.time ?? Infinity);
    const violated = new Map<string, Cheapest>();
    const wanted = new Set(options.until);
    const view = row.subarray(0, entities + threads);
    row.set(program.start(threads));
    this.arrive(-1, -1, 0, 0, 0);
    let exhausted = 0;
    search: for (let k = 0; k < queues.length; k++) {
      if (k > limit) {
        this.cut = 'preemptions';
        break;
      }
      const queue = queues[k];
      for (let length = 0; length < queue.length; length++) {
        for (const state of queue[length] ?? []) {
          if (this.settled.get(state) === 1) continue;
          this.settled.set(state, 1);
          this.cut = this.exceeded(length, deadline);
          if (this.cut !== undefined) break search;
          this.table.load(state, row);
          const last = row[entities + threads] - 1;
          let final = true;
          for (let t = 0; t < threads; t++) if (program.enabled(row, t)) final = false;
          for (const rule of brokenRules(program, view, final)) {
            if (violated.has(rule)) continue;
            violated.set(rule, { preemptions: k, moves: this.moves(state) });
            wanted.delete(rule);
          }
          if (
            wanted.has(PARTIAL_DEADLOCK) &&
            !final &&
            waitForEver(program, view.slice()).length > 0
          ) {
            violated.set(PARTIAL_DEADLOCK, { preemptions: k, moves: this.moves(state) });
            wanted.delete(PARTIAL_DEADLOCK);
          }
          if (options.until !== undefined && wanted.size === 0) break search;
          if (!final) this.expand(state, last, k, length);
        }
        queue[length] = [];
      }
      exhausted = k + 1;
    }
    return {
      violated,
      cut: this.cut,
      exhausted: queues.length === exhausted ? Infinity : exhausted,
      states: this.table.count,
      transitions: this.transitions,
      bytes: this.table.bytes,
    };
  }

  private expand(state: number, last: number, k: number, length: number): void {
    const { program, row, entities, threads } = this;
    const goesOn = last >= 0 && program.enabled(row, last);
    for (let t = 0; t < threads; t++) {
      if (!program.enabled(row, t)) continue;
      const cost = goesOn && t !== last ? k + 1 : k;
      const outcomes = program.outcomes(row, t);
      for (let outcome = 0; outcome < outcomes; outcome++) {
        const node = program.step(row, t, outcome);
        this.transitions++;
        if (program.trie.threads.length !== threads) throw new Restart();
        if (program.trie.kind[node] === Kind.Cut) this.cut ??= 'steps';
        row[entities + threads] = t + 1;
        this.arrive(state, t, outcome, cost, length + 1);
        this.table.load(state, row);
      }
    }
  }

  private arrive(from: number, t: number, outcome: number, cost: number, length: number): void {
    const { table, row, entities, threads, group, program } = this;
    if (group !== undefined) {
      const mask = group.canonicalize(row, t < 0 ? 0 : 1 << t);
      row[entities + threads] = mask === 0 ? 0 : 32 - Math.clz32(mask);
      if (program.trie.threads.length !== threads) throw new Restart();
    }
    const state = table.add(row);
    if (!table.added) {
      const was = this.preemptions.get(state);
      if (was < cost || (was === cost && this.steps.get(state) <= length)) return;
    }
    this.preemptions.set(state, cost);
    this.steps.set(state, length);
    this.parent.set(state, from + 1);
    this.thread.set(state, t + 1);
    this.outcome.set(state, outcome);
    const queue = (this.queues[cost] ??= []);
    (queue[length] ??= []).push(state);
  }

  /** The way to a state, in the names of the scenario. */
  private moves(state: number): Move[] {
    const path: Move[] = [];
    for (let at = state; this.parent.get(at) !== 0; at = this.parent.get(at) - 1) {
      path.push({ thread: this.thread.get(at) - 1, outcome: this.outcome.get(at) });
    }
    path.reverse();
    const { group, program, threads } = this;
    if (group === undefined) return path;
    // The path goes over representatives: what was exchanged on the way is taken back.
    const row = program.start(threads);
    const called = Array.from({ length: threads }, (_, t) => t);
    const exchange = () => {
      const applied: number[] = [];
      group.canonicalize(row, 0, applied);
      for (const swap of applied) {
        for (let t = 0; t < threads; t++) called[t] = group.threadAfter(swap, called[t]);
      }
    };
    exchange();
    return path.map(({ thread, outcome }) => {
      const actual = called.indexOf(thread);
      program.enabled(row, thread);
      program.step(row, thread, outcome);
      exchange();
      return { thread: actual, outcome };
    });
  }

  private exceeded(length: number, deadline: number): Cut | undefined {
    const { bounds } = this.options;
    if (this.cut === 'steps') return 'steps';
    if (this.table.count > (bounds?.states ?? Infinity)) return 'states';
    if (length > (bounds?.depth ?? Infinity)) return 'depth';
    if (++this.visits % GLANCE !== 0) return undefined;
    if (memoryExceeded(bounds?.memory)) return 'memory';
    return performance.now() > deadline ? 'time' : undefined;
  }
}

/** A growing column of integers, 0 where nothing was set. */
class Columns {
  private values: Int32Array = new Int32Array(1024);

  get(index: number): number {
    return this.values[index] ?? 0;
  }

  set(index: number, value: number): void {
    if (index >= this.values.length) {
      const larger = new Int32Array(Math.max(this.values.length * 2, index + 1));
      larger.set(this.values);
      this.values = larger;
    }
    this.values[index] = value;
  }
}
