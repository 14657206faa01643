/**
 * Partial deadlock: a thread waits for ever while others go on for ever. Source: exploration.md
 * section 2 "Partial deadlock", exploration/reductions.md section 2.
 */

import { Exhaustive } from './exhaustive.js';
import type { Program } from './program.js';
import type { Bounds, Cut, Reductions } from './search-options.js';
import { Kind } from './thread-trie.js';
import { brokenMachine } from './verdict-rules.js';

/** Threads that have begun and are not over, but for those that may wait, as bits. */
function unfinished(program: Program, row: Int32Array): number {
  const { entities, trie } = program;
  let mask = 0;
  for (let t = 0; t < row.length - entities; t++) {
    const node = row[entities + t];
    if (node === 0) continue;
    const kind = trie.kind[node];
    if (kind === Kind.Done || kind === Kind.Threw || kind === Kind.Cut) continue;
    if (!program.mayWaitAtEnd(t)) mask |= 1 << t;
  }
  return mask;
}

export interface PartialDeadlock {
  readonly found: boolean;
  /** Undefined: all was looked at. */
  readonly cut: Cut | undefined;
}

/**
 * Whether others can go on for ever, breaking no rule, from a state in which a thread makes no
 * further step and no end is reached, whatever happens. Where an end is reached, it is a deadlock
 * there.
 *
 * The search goes without sleep sets, whose graph lacks edges, and without symmetry, whose graph
 * forgets who is who.
 *
 * @param program fresh
 */
export function findPartialDeadlock(
  program: Program,
  reductions: Partial<Reductions>,
  bounds: Bounds = {},
): PartialDeadlock {
  let edges = new Edges();
  const { cut } = new Exhaustive(program, {
    reductions: { ...reductions, sleep: false, symmetry: false },
    bounds,
    onRound: () => {
      edges = new Edges();
    },
    onEdge: (from, to, moved, row) => {
      if (from < 0) edges.meet(to, unfinished(program, row), brokenMachine(program, row));
      else
        edges.add(from, to, moved, () => [unfinished(program, row), brokenMachine(program, row)]);
    },
    onFinal: () => edges.final(),
  }).run();
  return { found: cut === undefined && edges.stuck(), cut };
}

/** The graph of a search. */
class Edges {
  private readonly from: number[] = [];
  private readonly to: number[] = [];
  private readonly moved: number[] = [];
  /** By state: threads that are not over; 0 where a machine has broken a rule. */
  private readonly unfinished: number[] = [];
  private readonly finals: number[] = [];
  private last = 0;

  meet(state: number, unfinished: number, broken: boolean): void {
    this.last = state;
    this.unfinished[state] = broken ? 0 : unfinished;
  }

  add(from: number, to: number, moved: number, tell: () => [number, boolean]): void {
    this.from.push(from);
    this.to.push(to);
    this.moved.push(moved);
    this.last = to;
    if (!(to in this.unfinished)) this.meet(to, ...tell());
  }

  /** The state that was met last has no successor. */
  final(): void {
    this.finals.push(this.last);
  }

  /**
   * Whether a path goes on for ever through states in which no rule is broken, a thread is not over
   * and never moves again, and no end is to be seen.
   */
  stuck(): boolean {
    const { unfinished, from, moved } = this;
    const ends = this.leading(this.finals);
    const all = unfinished.reduce((mask, each) => mask | each, 0);
    for (let t = 0; all >>> t !== 0; t++) {
      if (((all >>> t) & 1) === 0) continue;
      const starts = from.filter((_, edge) => ((moved[edge] >>> t) & 1) !== 0);
      const moves = this.leading(starts);
      const waits = (state: number) =>
        ((unfinished[state] >>> t) & 1) === 1 && moves[state] === 0 && ends[state] === 0;
      if (endless(unfinished.length, from, this.to, waits).includes(1)) return true;
    }
    return false;
  }

  /** By state: 1 where a path leads to one of `goals`. */
  private leading(goals: readonly number[]): Uint8Array {
    const { from, to } = this;
    const states = this.unfinished.length;
    // Edges by where they lead: first[state] … first[state + 1].
    const first = new Int32Array(states + 2);
    for (const state of to) first[state + 2]++;
    for (let i = 2; i < first.length; i++) first[i] += first[i - 1];
    const into = new Int32Array(to.length);
    for (let edge = 0; edge < to.length; edge++) into[first[to[edge] + 1]++] = from[edge];
    const leads = new Uint8Array(states);
    const stack = [...new Set(goals)];
    for (const goal of stack) leads[goal] = 1;
    while (stack.length > 0) {
      const state = stack.pop()!;
      for (let i = first[state]; i < first[state + 1]; i++) {
        if (leads[into[i]] === 1) continue;
        leads[into[i]] = 1;
        stack.push(into[i]);
      }
    }
    return leads;
  }
}

/** By state: 1 where a path goes on for ever through states that are `among` those looked at. */
function endless(
  states: number,
  from: readonly number[],
  to: readonly number[],
  among: (state: number) => boolean,
): Uint8Array {
  const stays = Uint8Array.from({ length: states }, (_, state) => (among(state) ? 1 : 0));
  const successors = new Int32Array(states);
  const into = new Map<number, number[]>();
  from.forEach((state, edge) => {
    if (stays[state] === 0 || stays[to[edge]] === 0) return;
    successors[state]++;
    const before = into.get(to[edge]);
    if (before === undefined) into.set(to[edge], [state]);
    else before.push(state);
  });
  const ending: number[] = [];
  for (let state = 0; state < states; state++) {
    if (stays[state] === 1 && successors[state] === 0) ending.push(state);
  }
  for (const state of ending) {
    stays[state] = 0;
    for (const before of into.get(state) ?? []) if (--successors[before] === 0) ending.push(before);
  }
  return stays;
}

/** States that are looked at to tell whether a thread goes on. */
const MAX_LOOK = 50_000;

/**
 * The threads that wait in `row` and make no further step while others may go on for ever, where no
 * end is reached from there: looked for without any reduction. None where there are more states than
 * are looked at.
 */
export function waitForEver(program: Program, start: Int32Array): number[] {
  const threads = start.length - program.entities;
  let waiting = unfinished(program, start);
  const numbers = new Map<string, number>();
  const rows: Int32Array[] = [];
  const from: number[] = [];
  const to: number[] = [];
  const numberOf = (row: Int32Array): number => {
    const key = row.join(' ');
    let number = numbers.get(key);
    if (number === undefined) {
      number = rows.length;
      numbers.set(key, number);
      rows.push(row);
    }
    return number;
  };
  numberOf(start);
  for (let state = 0; state < rows.length; state++) {
    const row = rows[state];
    let final = true;
    for (let t = 0; t < threads; t++) {
      if (!program.enabled(row, t)) continue;
      final = false;
      waiting &= ~(1 << t);
      for (let outcome = program.outcomes(row, t) - 1; outcome >= 0; outcome--) {
        const next = row.slice();
        program.step(next, t, outcome);
        from.push(state);
        to.push(numberOf(next));
      }
    }
    if (final || waiting === 0 || rows.length > MAX_LOOK) return [];
  }
  const unbroken = (state: number) => !brokenMachine(program, rows[state]);
  if (endless(rows.length, from, to, unbroken)[0] === 0) return [];
  return Array.from({ length: threads }, (_, t) => t).filter((t) => ((waiting >>> t) & 1) === 1);
}
