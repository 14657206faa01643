/**
 * The exact number of classes of interleavings (Mazurkiewicz traces): the complete paths of the
 * sleep-set graph, counted once per state and sleep set. Source: exploration.md section 4.
 */

import { Independence } from './independence.js';
import { checkThreads } from './program.js';
import type { Program } from './program.js';
import type { Sent } from './sent.js';
import { StateTable } from './state-table.js';

export interface CountOptions {
  /**
   * Whether two events may be exchanged. Where left out, the machines tell: both orders give the same
   * snapshot and the same replies. The literature counts by footprint.
   */
  readonly independent?: (a: Sent, b: Sent) => boolean;
  /** Pairs of a state and a sleep set; more end the count. */
  readonly limit?: number;
}

class Restart extends Error {}

/**
 * Counts classes, threads that are left waiting included.
 *
 * @returns the number, or undefined where `limit` was reached
 */
export function countClasses(program: Program, options: CountOptions = {}): number | undefined {
  for (let t = 0; t < program.declaredThreads; t++) program.trie.root(t);
  for (;;) {
    checkThreads(program.trie.threads.length);
    try {
      return new Count(program, options).run();
    } catch (error) {
      if (!(error instanceof Restart)) throw error;
    }
  }
}

class Count {
  private readonly threads: number;
  private readonly table: StateTable;
  private readonly counts: number[] = [];
  private readonly independence: readonly Independence[];

  constructor(
    private readonly program: Program,
    private readonly options: CountOptions,
  ) {
    this.threads = program.trie.threads.length;
    this.table = new StateTable(program.entities + this.threads + 1);
    this.independence = program.tables.map((table) => new Independence(table));
  }

  run(): number | undefined {
    const { program, threads, table, counts } = this;
    const width = program.entities + threads;
    const limit = this.options.limit ?? Infinity;
    const start = new Int32Array(width + 1);
    start.set(program.start(threads));
    const stack: Frame[] = [this.open(start)];
    while (stack.length > 0) {
      if (table.count > limit) return undefined;
      const frame = stack[stack.length - 1];
      if (frame.todo === 0) {
        counts[frame.state] = frame.count;
        stack.pop();
        if (stack.length > 0) stack[stack.length - 1].count += frame.count;
        continue;
      }
      const { row } = frame;
      const t = 31 - Math.clz32(frame.todo & -frame.todo);
      if (frame.outcome === 0) frame.still = this.stillAsleep(row, frame.asleep, t);
      const outcome = frame.outcome++;
      if (frame.outcome >= program.outcomes(row, t)) {
        frame.outcome = 0;
        frame.todo &= frame.todo - 1;
        frame.asleep |= 1 << t;
      }
      const next = row.slice();
      program.step(next, t, outcome);
      if (program.trie.threads.length !== threads) throw new Restart();
      next[width] = frame.still;
      const state = table.add(next);
      if (table.added) stack.push(this.frame(state, next));
      else frame.count += counts[state];
    }
    return counts[0];
  }

  private open(row: Int32Array): Frame {
    return this.frame(this.table.add(row), row);
  }

  private frame(state: number, row: Int32Array): Frame {
    const { program, threads } = this;
    let enabled = 0;
    for (let t = 0; t < threads; t++) if (program.enabled(row, t)) enabled |= 1 << t;
    const asleep = row[program.entities + threads];
    const count = enabled === 0 ? 1 : 0;
    return { state, row, todo: enabled & ~asleep, asleep, outcome: 0, still: 0, count };
  }

  private stillAsleep(row: Int32Array, asleep: number, t: number): number {
    let still = 0;
    for (let rest = asleep; rest !== 0; rest &= rest - 1) {
      const z = 31 - Math.clz32(rest & -rest);
      if (this.independent(row, z, t)) still |= 1 << z;
    }
    return still;
  }

  private independent(row: Int32Array, z: number, t: number): boolean {
    const { trie, entities } = this.program;
    const a = row[entities + z];
    const b = row[entities + t];
    const entity = trie.entity[a];
    if (entity < 0 || entity !== trie.entity[b]) return true;
    const { independent } = this.options;
    if (independent === undefined) {
      return this.independence[entity].commute(row[entity], trie.event[a], trie.event[b]);
    }
    return independent(this.sent(row, a), this.sent(row, b));
  }

  private sent(row: Int32Array, node: number): Sent {
    const { trie, tables, entityNames } = this.program;
    const entity = trie.entity[node];
    const table = tables[entity];
    return {
      entity: entityNames[entity],
      event: table.interned.eventOf(trie.event[node]),
      changes: table.step(row[entity], trie.event[node]) !== row[entity],
    };
  }
}

interface Frame {
  readonly state: number;
  readonly row: Int32Array;
  todo: number;
  asleep: number;
  outcome: number;
  /** Those asleep that the present thread lets sleep. */
  still: number;
  count: number;
}
