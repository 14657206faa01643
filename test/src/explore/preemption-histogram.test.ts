/** Classes by preemptions: against GenMC's published lists, and against all interleavings. */

import { existsSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { preemptionHistogram } from '../../../src/explore/preemption-histogram.js';
import { Program } from '../../../src/explore/program.js';
import { Kind } from '../../../src/explore/thread-trie.js';
import { countClasses } from '../../../src/explore/trace-count.js';
import { loopHead, send } from '../../../machines/step.js';
import { variableMachine } from '../../../machines/variable.js';
import type { VariableReply } from '../../../machines/variable.js';
import type { Sent } from '../../../src/explore/sent.js';
import { footprint } from './footprint.js';
import { PROGRAMS } from './published-programs.js';
import { randomScenario } from './random-scenario.js';

type Lists = Readonly<Record<string, Readonly<Record<string, readonly number[]>>>>;

const FILE = new URL('../../../../shared/exploration/published_counts.json', import.meta.url);
/** MPI-SWS/genmc tests/correct/synthetic/<program>/expected.cb.in; those that a clone by itself checks. */
const OWN: Lists = {
  binc: { 4: [24, 168, 432, 576] },
  casw: { 4: [24, 168, 576, 1056, 1200] },
  eratosthenes: { 5: [2, 18, 68, 156, 260, 340, 382, 396, 398] },
  szymanski: { 0: [2, 2, 6] },
  lamport: { 2: [2, 6, 10, 16] },
  'peterson-sc': { 0: [2, 2, 4] },
};
const published = existsSync(FILE)
  ? (
      JSON.parse(readFileSync(FILE, 'utf8')) as {
        readonly preemption_bound_cumulative: { readonly rows: Lists };
      }
    ).preemption_bound_cumulative.rows
  : {};

/** A failed assume ends GenMC's execution, and it is not counted: hence `completeOnly`. */
describe('published by GenMC', () => {
  const rows = [OWN, published].flatMap((lists) =>
    Object.entries(lists).flatMap(([family, byParam]) =>
      Object.entries(byParam).map(([n, list]) => [`${family}(${n})`, family, n, list] as const),
    ),
  );
  test.each(rows)('%s', { timeout: 120_000 }, (_, family, n, list) => {
    const make = PROGRAMS[family];
    expect(make, `there is no program ${family}`).toBeDefined();
    const options = { independent: footprint, completeOnly: true };
    expect(preemptionHistogram(new Program(make(Number(n))), options)).toEqual(list);
  });
});

interface Event {
  readonly thread: number;
  readonly kind: Kind;
  /** Of a send: the entity; else -1. */
  readonly entity: number;
  readonly changes: boolean;
  /** Of a choice. */
  readonly outcome: number;
  /** Of a spawn or a join. */
  readonly other: number;
}

/** At k, how many classes have at most k preemptions: all interleavings, grouped by Foata's normal form. */
function byAllInterleavings(program: Program, completeOnly: boolean, most: number) {
  for (let t = 0; t < program.declaredThreads; t++) program.trie.root(t);
  const { trie, entities } = program;
  const fewest = new Map<string, number>();
  let interleavings = 0;
  const events: Event[] = [];
  const depend = (a: Event, b: Event) =>
    a.thread === b.thread ||
    (a.entity >= 0 && a.entity === b.entity && (a.changes || b.changes)) ||
    (a.kind === Kind.Spawn &&
      (a.other === b.thread || (b.kind === Kind.Join && a.other === b.other))) ||
    (b.kind === Kind.Join && b.other === a.thread);
  const normalForm = () => {
    const levels: number[] = [];
    const steps = new Map<number, number>();
    const form = events.map((event, i) => {
      const level = events
        .slice(0, i)
        .reduce(
          (least, before, j) => (depend(before, event) ? Math.max(least, levels[j] + 1) : least),
          0,
        );
      levels.push(level);
      const step = steps.get(event.thread) ?? 0;
      steps.set(event.thread, step + 1);
      return `${level} ${event.thread} ${step} ${event.outcome}`;
    });
    return form.sort().join();
  };
  const walk = (row: Int32Array, last: number, preemptions: number): void => {
    if (interleavings > most) return;
    const threads = row.length - entities;
    const enabled = Array.from({ length: threads }, (_, t) => t).filter((t) =>
      program.enabled(row, t),
    );
    if (enabled.length === 0) {
      interleavings++;
      if (completeOnly && program.stuck(row).length > 0) return;
      const form = normalForm();
      fewest.set(form, Math.min(fewest.get(form) ?? Infinity, preemptions));
      return;
    }
    for (const t of enabled) {
      const node = row[entities + t];
      for (let outcome = 0; outcome < program.outcomes(row, t); outcome++) {
        // Room for those that are spawned.
        const next = new Int32Array(entities + trie.threads.length);
        next.set(row);
        program.step(next, t, outcome);
        const entity = trie.entity[node];
        const changes = entity >= 0 && next[entity] !== row[entity];
        const { [node]: kind } = trie.kind;
        events.push({ thread: t, kind, entity, changes, outcome, other: trie.other[node] });
        walk(next, t, preemptions + (t !== last && enabled.includes(last) ? 1 : 0));
        events.pop();
      }
    }
  };
  walk(program.start(trie.threads.length), -1, 0);
  if (interleavings > most) return undefined;
  const list: number[] = [];
  for (const k of fewest.values()) list[k] = (list[k] ?? 0) + 1;
  let all = 0;
  return Array.from(list, (n: number | undefined) => (all += n ?? 0));
}

test('agrees with all interleavings, grouped', { timeout: 120_000 }, () => {
  let compared = 0;
  let preempted = 0;
  let partly = 0;
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const make = () => new Program(randomScenario(seed));
      const lists = [false, true].map((completeOnly) => {
        const expected = byAllInterleavings(make(), completeOnly, 3000);
        if (expected === undefined) return [];
        compared++;
        expect(preemptionHistogram(make(), { completeOnly })).toEqual(expected);
        return expected;
      });
      if (lists[0].length > 1) preempted++;
      if (lists[0].at(-1) !== lists[1].at(-1)) partly++;
    }),
    { numRuns: 300 },
  );
  expect(compared).toBeGreaterThan(100);
  expect(preempted).toBeGreaterThan(10);
  expect(partly).toBeGreaterThan(10);
});

test('as many classes in all as are counted over states', { timeout: 120_000 }, () => {
  const independent = (a: Sent, b: Sent) => !a.changes && !b.changes;
  let compared = 0;
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const make = () => new Program(randomScenario(seed));
      const list = preemptionHistogram(make(), { limit: 20_000 });
      if (list === undefined) return;
      compared++;
      const all = list.at(-1)!;
      expect(countClasses(make(), independent)).toBe(all);
    }),
    // At this one a sum is -1 until enough is learned.
    { numRuns: 500, examples: [[2428]] },
  );
  expect(compared).toBeGreaterThan(200);
});

test('a relation that exchanges what must come first with what waits for it is refused', () => {
  const program = new Program({
    name: 'waits',
    entities: { x: variableMachine(0), y: variableMachine(0) },
    threads: {
      *writer() {
        yield* send('y', { type: 'write', value: 1 });
        yield* send('x', { type: 'write', value: 1 });
      },
      *waiter() {
        yield* send('x', { type: 'await', value: 1 });
      },
    },
  });
  expect(() => preemptionHistogram(program, { independent: () => true })).toThrow(/come first/);
});

test('more prefixes than are wanted end the count', () => {
  const make = () => new Program(PROGRAMS.binc(3));
  expect(preemptionHistogram(make(), { limit: 50 })).toBeUndefined();
  expect(preemptionHistogram(make(), { limit: 5000 })).toEqual([6, 24, 36]);
});

describe('a loop whose head is marked', () => {
  const looping = (goesRound: (value: number) => boolean, add: number) =>
    new Program({
      name: 'looping',
      entities: { x: variableMachine(0) },
      threads: {
        *writer() {
          yield* send('x', { type: 'add', value: 1 });
        },
        *looper() {
          let value: number;
          do {
            yield* loopHead();
            value = (yield* send<VariableReply>('x', { type: 'add', value: add })).value as number;
          } while (goesRound(value));
        },
      },
    });

  test('is gone round as often as it can be', () => {
    expect(preemptionHistogram(looping((value) => value < 2, 1))).toEqual([2, 4]);
  });

  test('is refused where it comes back to the same state', () => {
    expect(() => preemptionHistogram(looping((value) => value < 1, 0))).toThrow(/endless/);
  });
});
