/**
 * Every complete schedule of a program, and their classes, by the plainest means: all orders are
 * tried, and schedules are one class that exchanges of neighbours lead to from each other.
 */

import type { Program } from '../../../src/explore/program.js';
import type { Move } from '../../../src/explore/schedule.js';

export const textOf = (moves: readonly Move[]): string =>
  moves.map(({ thread, outcome }) => `${thread}.${outcome}`).join(' ');

/** Undefined: there are more than `most`, or one has more than 100 steps. */
export function allSchedules(program: Program, most: number): Move[][] | undefined {
  for (;;) {
    const threads = program.trie.threads.length;
    const schedules: Move[][] = [];
    const goOn = (row: Int32Array, moves: readonly Move[]): boolean => {
      if (schedules.length > most || moves.length > 100) return false;
      let ended = true;
      for (let thread = 0; thread < threads; thread++) {
        if (!program.enabled(row, thread)) continue;
        ended = false;
        for (let outcome = 0; outcome < program.outcomes(row, thread); outcome++) {
          const next = row.slice();
          program.step(next, thread, outcome);
          if (!goOn(next, [...moves, { thread, outcome }])) return false;
        }
      }
      if (ended) schedules.push([...moves]);
      return true;
    };
    const complete = goOn(program.start(threads), []);
    if (!complete) return undefined;
    // A thread that was met on the way had no column.
    if (program.trie.threads.length === threads) return schedules;
  }
}

/** The class of each schedule, by its text: the text of one of its members. */
export function classesOf(program: Program, schedules: readonly Move[][]): Map<string, string> {
  const leader = new Map(schedules.map((moves) => [textOf(moves), textOf(moves)]));
  const find = (text: string): string => {
    let at = text;
    while (leader.get(at) !== at) at = leader.get(at)!;
    return at;
  };
  for (const moves of schedules) {
    const row = program.start(program.trie.threads.length);
    for (let i = 0; i + 1 < moves.length; i++) {
      if (exchangeable(program, row, moves[i], moves[i + 1])) {
        const other = [...moves];
        [other[i], other[i + 1]] = [moves[i + 1], moves[i]];
        leader.set(find(textOf(moves)), find(textOf(other)));
      }
      program.step(row, moves[i].thread, moves[i].outcome);
    }
  }
  return new Map([...leader.keys()].map((text) => [text, find(text)]));
}

/** Both orders can be, end in one state, and break the same rules between the two steps. */
function exchangeable(program: Program, row: Int32Array, a: Move, b: Move): boolean {
  if (a.thread === b.thread || !program.enabled(row, b.thread)) return false;
  const between = [a, b].map(({ thread, outcome }) => {
    const next = row.slice();
    program.step(next, thread, outcome);
    return next;
  });
  if (!program.enabled(between[0], b.thread) || !program.enabled(between[1], a.thread))
    return false;
  const broken = (state: Int32Array) =>
    [
      ...Array.from({ length: program.entities }, (_, e) => program.tables[e].rule(state[e])),
      ...program.invariants.map((i) => (program.holds(i, state) ? undefined : i.invariant.id)),
    ].filter((rule) => rule !== undefined);
  const told = between.map((state) => broken(state).join());
  program.step(between[0], b.thread, b.outcome);
  program.step(between[1], a.thread, a.outcome);
  if (between[0].some((value, i) => value !== between[1][i])) return false;
  const ends = new Set([...broken(row), ...broken(between[0])]);
  return (
    told[0] === told[1] || told.every((t) => t === '' || t.split(',').every((r) => ends.has(r)))
  );
}

/**
 * The Foata normal form: the steps in layers, each step in the first layer after all those before it
 * that it depends on. One text for all schedules of a Mazurkiewicz trace. Source: Diekert, Rozenberg,
 * The Book of Traces, 1995, section 2.3.
 *
 * Steps depend by footprint: those of one thread, and those on one entity unless both read. For
 * programs that neither spawn nor join.
 */
export function foata(program: Program, schedule: readonly Move[]): string {
  const { trie, entities, tables } = program;
  const row = program.start(trie.threads.length);
  const steps: { thread: number; entity: number; reads: boolean; layer: number; text: string }[] =
    [];
  for (const { thread, outcome } of schedule) {
    const node = row[entities + thread];
    const entity = trie.entity[node];
    const reads = entity >= 0 && tables[entity].interned.eventOf(trie.event[node]).type === 'read';
    let layer = 0;
    for (const step of steps) {
      const depends =
        step.thread === thread || (entity >= 0 && step.entity === entity && !(reads && step.reads));
      if (depends) layer = Math.max(layer, step.layer + 1);
    }
    steps.push({ thread, entity, reads, layer, text: `${layer}:${thread}.${outcome}` });
    program.step(row, thread, outcome);
  }
  return steps
    .map(({ text }) => text)
    .sort()
    .join(' ');
}
