/** Which classes of interleavings a set of schedules has been in. */

import type { Program } from './program.js';
import type { Move } from './schedule.js';
import { onSleepGraph } from './sleep-graph.js';
import type { SleepGraph } from './sleep-graph.js';

/**
 * The path of the sleep-set graph that stands for the class of a complete schedule: at every place
 * the first thread whose step can be moved there by exchanging neighbours that commute. For events
 * that commute in every state or in none it is the lexicographic normal form of the trace, which
 * equivalent schedules share. The schedule must have been carried out on `program`.
 */
export function firstOfClass(graph: SleepGraph, schedule: readonly Move[]): Move[] {
  const { program } = graph;
  const moves = [...schedule];
  const rows = [graph.start()];
  const carryOut = (from: number, to: number) => {
    for (let i = from; i < to; i++) {
      const row = (rows[i + 1] ??= graph.start());
      row.set(rows[i]);
      graph.step(row, moves[i].thread, moves[i].outcome, 0);
    }
  };
  carryOut(0, moves.length);
  // A step that was moved may let another be moved further than before; every move comes nearer to
  // the first of all orders, so there is an end.
  for (let moved = true; moved;) {
    moved = false;
    for (let at = 0; at < moves.length; at++) {
      for (let z = 0; z < moves[at].thread; z++) {
        if (!program.enabled(rows[at], z)) continue;
        const from = movable(graph, moves, rows, at, z);
        if (from < 0) continue;
        moves.splice(at, 0, ...moves.splice(from, 1));
        carryOut(at, from);
        moved = true;
        break;
      }
    }
  }
  return moves;
}

/** Where the next step of thread `z` stands, if it can be moved to `at`; else -1. */
function movable(
  graph: SleepGraph,
  moves: readonly Move[],
  rows: readonly Int32Array[],
  at: number,
  z: number,
): number {
  for (let i = at; i < moves.length; i++) {
    if (moves[i].thread === z) return i;
    if (!graph.independent(rows[i], z, moves[i].thread)) return -1;
  }
  return -1;
}

export class ClassCoverage {
  private readonly met = new Set<string>();
  private graph: SleepGraph | undefined;

  constructor(private readonly program: Program) {}

  /** Different classes so far. */
  get drawn(): number {
    return this.met.size;
  }

  /** Takes a complete schedule in; the work grows with the square of its length. */
  add(schedule: readonly Move[]): void {
    this.addFirst(this.first(schedule));
  }

  /** Takes in a schedule that is the first of its class, as all of ClassCounts are. */
  addFirst(schedule: readonly Move[]): void {
    this.met.add(schedule.map(({ thread, outcome }) => `${thread}.${outcome}`).join(' '));
  }

  private first(schedule: readonly Move[]): readonly Move[] {
    return onSleepGraph(
      this.program,
      (graph) => {
        this.graph = graph;
        return firstOfClass(graph, schedule);
      },
      this.graph,
    );
  }
}

/** How many of `classes` are expected to be met by `runs` uniform draws, as a share. */
export function expectedShare(classes: number, runs: number): number {
  if (classes <= 1) return classes === 1 && runs > 0 ? 1 : 0;
  return -Math.expm1(runs * Math.log1p(-1 / classes));
}
