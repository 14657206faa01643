/** What is said of the other order of a race is what happens when the steps are carried out. */

import { describe, expect, test } from 'vitest';
import { createMachine } from 'xstate';
import { stable } from '../../../machines/intern.js';
import { addRemove } from '../../../machines/races/add-remove.js';
import { send } from '../../../machines/step.js';
import type { Scenario } from '../../../machines/scenario.js';
import { variableMachine } from '../../../machines/variable.js';
import { confirm } from '../../../src/explore/confirm.js';
import type { Counterexample } from '../../../src/explore/counterexample.js';
import { explore } from '../../../src/explore/explore.js';
import { MAX_THREADS, Program } from '../../../src/explore/program.js';
import type { ScheduledStep } from '../../../src/explore/schedule.js';
import { statesAlong } from '../../../src/explore/states-along.js';
import { brokenAtEnd, brokenRules } from '../../../src/explore/verdict-rules.js';
import { exploreText } from '../../../src/report/explore-text.js';
import { naive } from './naive.js';
import { randomScenario } from './random-scenario.js';
import type { Shape } from './random-scenario.js';

const COUNT = Number(process.env.HOTRACE_SCENARIOS ?? 5000) / 20;
const LIMIT = 300;

const same = (a: ScheduledStep, b: ScheduledStep) =>
  a.thread === b.thread && a.entity === b.entity && stable(a.event) === stable(b.event);
/** Which time it is that the thread of a step does what it does there. */
const nth = (steps: readonly ScheduledStep[], at: number) =>
  steps.slice(0, at + 1).filter((step) => same(step, steps[at])).length;

/**
 * Every schedule that breaks no rule, one after the other: does one make the later step of the race
 * while the earlier one is not made? Undefined: there are too many.
 */
function someSchedule(scenario: Scenario, found: Counterexample): boolean | undefined {
  const [first, second] = found.race!;
  const [a, b] = [found.steps[first], found.steps[second]];
  const most = [nth(found.steps, first), nth(found.steps, second)];
  const program = new Program(scenario, 60);
  const { entities, trie } = program;
  const is = (row: Int32Array, t: number, step: ScheduledStep) => {
    const node = row[entities + t];
    return (
      trie.threads[t].name === step.thread &&
      program.entityNames[trie.entity[node]] === step.entity &&
      stable(program.tables[trie.entity[node]].interned.eventOf(trie.event[node])) ===
        stable(step.event)
    );
  };
  let left = 5_000;
  const go = (
    row: Int32Array,
    made: readonly [number, number],
    depth: number,
  ): boolean | undefined => {
    if (left-- <= 0 || depth > 500) return undefined;
    for (let t = 0; t < MAX_THREADS; t++) {
      if (!program.enabled(row, t)) continue;
      const now = [made[0] + Number(is(row, t, a)), made[1] + Number(is(row, t, b))] as const;
      if (now[0] === most[0] && now[0] > made[0]) continue;
      if (now[1] === most[1] && now[1] > made[1]) return true;
      for (let outcome = 0; outcome < program.outcomes(row, t); outcome++) {
        const next = row.slice();
        program.step(next, t, outcome);
        if (brokenRules(program, next, false).length > 0) continue;
        const found = go(next, now, depth + 1);
        if (found !== false) return found;
      }
    }
    return false;
  };
  return go(program.start(MAX_THREADS), [0, 0], 0);
}

/** Returns what was said. */
function check(scenario: Scenario, found: Counterexample): string {
  const { race, otherOrder: other } = found;
  // Of endless runs nothing is told from one way to go on.
  if (found.rule === 'partial-deadlock') {
    expect(other).toBeUndefined();
    return 'no race';
  }
  expect(other === undefined).toBe(race === undefined);
  if (race === undefined || other === undefined) return 'no race';
  const [first, second] = race.map((i) => found.steps[i]);
  expect(first.thread).not.toBe(second.thread);
  expect(first.entity).toBe(second.entity);

  expect(confirm(scenario, other.steps).diverged).toBeUndefined();
  const { program, rows } = statesAlong(scenario, other.steps);
  const last = rows.at(-1)!;
  for (const row of rows.slice(0, -1)) expect(brokenRules(program, row, false)).toEqual([]);
  const over = Array.from({ length: MAX_THREADS }, (_, t) => t).every(
    (t) => !program.enabled(last, t),
  );

  if (other.race !== undefined) {
    const [now, later] = other.race;
    expect(same(other.steps[now], second)).toBe(true);
    expect(nth(other.steps, now)).toBe(nth(found.steps, race[1]));
    if (later !== undefined) {
      expect(later).toBeGreaterThan(now);
      expect(same(other.steps[later], first)).toBe(true);
      expect(nth(other.steps, later)).toBe(nth(found.steps, race[0]));
    } else {
      const times = other.steps.filter((step) => same(step, first)).length;
      expect(times).toBeLessThan(nth(found.steps, race[0]));
    }
  }
  switch (other.outcome) {
    case 'holds':
      expect(other.race).toBeDefined();
      expect(brokenRules(program, last, over)).toEqual([]);
      expect(over).toBe(!other.endless);
      break;
    case 'broken': {
      const now = brokenRules(program, last, false);
      expect(other.broken).toEqual(now.length > 0 ? now : brokenAtEnd(program, last));
      expect(other.broken.length).toBeGreaterThan(0);
      if (now.length === 0) expect(over).toBe(true);
      break;
    }
    case 'impossible':
      expect(other.steps).toEqual([]);
      expect(other.why).toBeDefined();
      expect(someSchedule(scenario, found)).not.toBe(true);
  }
  return other.outcome;
}

const all = new Map<string, number>();
describe.each<[string, Shape]>([
  ['acyclic', {}],
  ['with invariants', { invariants: true }],
  ['symmetric', { symmetric: true }],
  ['cyclic', { loops: true, invariants: true }],
])('%s', (name, shape) => {
  test('the outcome is that of the steps', { timeout: 600_000 }, () => {
    const outcomes = new Map<string, number>();
    for (let seed = 0; seed < COUNT; seed++) {
      const scenario = randomScenario(seed * 104_729 + name.length, shape);
      // Only what is small enough to be searched whole.
      if (naive(scenario, LIMIT) === undefined) continue;
      for (const found of explore(scenario).counterexamples) {
        const outcome = check(scenario, found);
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      }
    }
    console.log(name, Object.fromEntries(outcomes));
    expect(outcomes.get('unknown') ?? 0).toBe(0);
    for (const [outcome, n] of outcomes) all.set(outcome, (all.get(outcome) ?? 0) + n);
  });
});

test('each outcome was met', () => {
  for (const outcome of ['holds', 'broken', 'impossible']) {
    expect(all.get(outcome), outcome).toBeGreaterThan(1);
  }
});

function said(scenario: Scenario, rule: string): string {
  const result = explore(scenario);
  const found = result.counterexamples.find((each) => each.rule === rule)!;
  check(scenario, found);
  const text = exploreText({ ...result, counterexamples: [found] }, false);
  return /^racing: .*?(?=\nfrom here|\n\n)/ms.exec(text)![0].replace(/\s+/g, ' ');
}

const value = (context: unknown) => (context as { value: unknown }).value;

describe('in words', () => {
  test('the race of 2012', () => {
    expect(said(addRemove(), 'INV-01')).toBe(
      'racing: notify DEL_DEVICE d0 -> listener l0 and notify ADD_DEVICE d0 -> listener l0; in the other order nothing is broken',
    );
  });

  test('under locks: the sections are exchanged', () => {
    const scenario = addRemove({ variant: 'notify first' });
    expect(said(scenario, 'INV-03')).toBe(
      'racing: list_del(d0) and list_add_tail(d0); in the other order nothing is broken',
    );
  });

  const two = (one: Scenario['threads'][string], other: Scenario['threads'][string]): Scenario => ({
    name: 'x',
    entities: { n: variableMachine(0) },
    threads: { A: one, B: other },
    invariants: [
      {
        id: 'two',
        entities: ['n'],
        holds: ({ n }) => value(n.context) !== 2,
      },
      {
        id: 'three',
        entities: ['n'],
        holds: ({ n }) => value(n.context) !== 3,
      },
    ],
  });
  const write = (n: number) => send('n', { type: 'write', value: n }, `n = ${n}`);
  const read = () => send<{ type: string; value: number }>('n', { type: 'read' }, 'read n');

  test('broken all the same', () => {
    const scenario = two(
      function* () {
        yield* write(1);
      },
      function* () {
        yield* read();
        yield* write(2);
      },
    );
    // B alone breaks it.
    expect(explore(scenario).counterexamples[0].race).toBeUndefined();
    const after = two(
      function* () {
        yield* write(1);
      },
      function* () {
        const { value } = yield* read();
        yield* write(value === 1 ? 2 : 3);
      },
    );
    expect(said(after, 'two')).toBe('racing: n = 1 and read n; in the other order three is broken');
  });

  test('not possible: it waits for the other', () => {
    const mailbox = createMachine({
      id: 'mailbox',
      initial: 'empty',
      states: { empty: { on: { post: 'full' } }, full: { on: { take: 'empty' } } },
    });
    const plain = two(
      function* () {
        yield* send('box', { type: 'post' }, 'post');
      },
      function* () {
        yield* send('box', { type: 'take' }, 'take');
        yield* write(2);
      },
    );
    expect(said({ ...plain, entities: { ...plain.entities, box: mailbox } }, 'two')).toBe(
      'racing: post and take; the other order is not possible: take has to wait',
    );
  });
});

test('a step from which a run can still go on for ever without breaking a rule is not critical', () => {
  const scenario: Scenario = {
    name: 'daemon',
    entities: { n: variableMachine(0), k: variableMachine(0) },
    threads: {
      *D() {
        for (;;) {
          yield { type: 'loop', state: null };
          yield* send('k', { type: 'read' });
        }
      },
      *A() {
        yield* send('k', { type: 'read' }, 'before');
        yield* send('n', { type: 'write', value: 1 }, 'n = 1');
      },
      *B() {
        const reply = yield* send<{ type: string; value: number }>('n', { type: 'read' });
        if (reply.value === 1) yield* send('n', { type: 'write', value: 2 });
      },
    },
    invariants: [{ id: 'I', entities: ['n'], holds: ({ n }) => value(n.context) !== 2 }],
  };
  const [found] = explore(scenario).counterexamples;
  check(scenario, found);
  expect(found.steps[found.critical!].what).toBe('n = 1');
});
