/**
 * The sleep-set graph of a program: rows with a sleep set as their last column. Its complete paths
 * are the classes of interleavings, each once, as a class's first path in the order of threads and
 * outcomes. Source: Godefroid, LNCS 1032, chapter 5; exploration.md section 4.
 *
 * Whether two steps commute is told by the machines where they stand; and two
 * steps on entities that an invariant looks at all the time never do, as in the search: what it would
 * see between them is a class of its own.
 */

import { Independence } from './independence.js';
import type { LocalTable } from './local-table.js';
import { checkThreads } from './program.js';
import type { Program } from './program.js';

/** A thread was met that the rows have no column for. */
class ThreadMet extends Error {}

export class SleepGraph {
  readonly threads: number;
  /** Integers of a row. */
  readonly width: number;
  /** By entity; entities of one machine share one. */
  private readonly independence: readonly Independence[];

  /** Throws ScenarioError where there are too many threads. */
  constructor(
    readonly program: Program,
    known?: SleepGraph,
  ) {
    for (let t = 0; t < program.declaredThreads; t++) program.trie.root(t);
    this.threads = program.trie.threads.length;
    checkThreads(this.threads);
    this.width = program.entities + this.threads + 1;
    this.independence = known?.independence ?? independenceOf(program);
  }

  start(): Int32Array {
    const row = new Int32Array(this.width);
    row.set(this.program.start(this.threads));
    return row;
  }

  asleep(row: Int32Array): number {
    return row[this.width - 1];
  }

  /** Threads that can make their step, as bits; those asleep included. */
  enabled(row: Int32Array): number {
    let enabled = 0;
    for (let t = 0; t < this.threads; t++) if (this.program.enabled(row, t)) enabled |= 1 << t;
    return enabled;
  }

  /** Those of `asleep` that the step of thread `t` lets sleep. */
  still(row: Int32Array, asleep: number, t: number): number {
    let still = 0;
    for (let rest = asleep; rest !== 0; rest &= rest - 1) {
      const z = 31 - Math.clz32(rest & -rest);
      if (this.independent(row, z, t)) still |= 1 << z;
    }
    return still;
  }

  /** Whether the steps that threads `z` and `t`, which both can, make in `row` commute. */
  independent(row: Int32Array, z: number, t: number): boolean {
    const { trie, entities, visible } = this.program;
    const a = row[entities + z];
    const b = row[entities + t];
    const entity = trie.entity[a];
    const other = trie.entity[b];
    if (entity < 0 || other < 0) return true;
    if (visible[entity] && visible[other]) return false;
    if (entity !== other) return true;
    return this.independence[entity].commute(row[entity], trie.event[a], trie.event[b]);
  }

  /** Makes the step of thread `t` in `row`, after which the threads of `asleep` sleep. */
  step(row: Int32Array, t: number, outcome: number, asleep: number): void {
    const { program } = this;
    program.step(row, t, outcome);
    if (program.trie.threads.length !== this.threads) throw new ThreadMet();
    row[this.width - 1] = asleep;
  }
}

/**
 * What `use` makes of the graph; it is called anew, with wider rows, whenever it meets a thread that
 * was not known. Throws ScenarioError where the scenario itself is at fault.
 */
export function onSleepGraph<T>(
  program: Program,
  use: (graph: SleepGraph) => T,
  known?: SleepGraph,
): T {
  let graph = known ?? new SleepGraph(program);
  for (;;) {
    if (graph.threads !== program.trie.threads.length) graph = new SleepGraph(program, graph);
    try {
      return use(graph);
    } catch (error) {
      if (!(error instanceof ThreadMet)) throw error;
    }
  }
}

function independenceOf(program: Program): readonly Independence[] {
  const byTable = new Map<LocalTable, Independence>();
  return program.tables.map((table) => {
    let of = byTable.get(table);
    if (of === undefined) {
      of = new Independence(table);
      byTable.set(table, of);
    }
    return of;
  });
}
