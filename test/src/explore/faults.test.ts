/** Faults under a budget: none too many, none left out, whatever the search leaves out. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { faultBudgetMachine } from '../../../machines/fault-budget.js';
import { mutexMachine } from '../../../machines/mutex.js';
import type { Entity, Scenario } from '../../../machines/scenario.js';
import { choose, lock, loopHead, mayFail, send, unlock } from '../../../machines/step.js';
import type { Thread, ThreadBody } from '../../../machines/step.js';
import { variableMachine } from '../../../machines/variable.js';
import { confirm } from '../../../src/explore/confirm.js';
import { Exhaustive } from '../../../src/explore/exhaustive.js';
import { explore } from '../../../src/explore/explore.js';
import { Program } from '../../../src/explore/program.js';
import { ScenarioError } from '../../../src/explore/scenario-error.js';
import { NO_REDUCTION } from '../../../src/explore/search-options.js';
import type { Reductions } from '../../../src/explore/search-options.js';
import { shownSteps } from '../../../src/explore/schedule.js';
import { exploreText } from '../../../src/report/explore-text.js';

/** What a thread does: a number is written to the word that all share; a point may fail. */
type Op = number | 'point' | 'point with the lock held' | 'goes on only if it does not fail';
type Plan = readonly Op[];
/** Asks whether the nth point of a thread fails. */
type Fails = (point: number) => Thread<boolean>;

const variable = variableMachine(0);

/** Every fault is added to the word `self`, its own bit. */
function body(plan: Plan, fails: Fails): ThreadBody {
  return function* (self) {
    let point = 0;
    function* may(): Thread<boolean> {
      const bit = 2 ** point;
      const failed = yield* fails(point++);
      if (failed) yield* send(`faults of ${self}`, { type: 'add', value: bit });
      return failed;
    }
    for (const op of plan) {
      if (typeof op === 'number') {
        yield* send('shared', { type: 'write', value: op });
      } else if (op === 'point') {
        if (yield* may()) yield* send('shared', { type: 'add', value: 10 });
      } else if (op === 'point with the lock held') {
        yield* lock('mutex');
        if (!(yield* may())) yield* send('shared', { type: 'add', value: 100 });
        yield* unlock('mutex');
      } else if (yield* may()) {
        return;
      }
    }
  };
}

/** @param faults undefined: as many as there are points, by a choice without a budget */
function scenarioOf(plans: readonly Plan[], alike: boolean, faults: number | undefined): Scenario {
  const names = plans.map((_, i) => `T${i}`);
  const words = names.map((name) => `faults of ${name}`);
  const fails: Fails =
    faults === undefined
      ? () => choose([false, true])
      : (point) => mayFail('budget', `point ${point} fails`);
  const entities: Record<string, Entity> = {
    shared: variable,
    mutex: mutexMachine,
    ...Object.fromEntries(words.map((word) => [word, variable])),
  };
  return {
    name: JSON.stringify(plans),
    entities: faults === undefined ? entities : { ...entities, budget: faultBudgetMachine },
    threads: Object.fromEntries(
      names.map((name, i) => [name, body(plans[alike ? 0 : i], fails)] as const),
    ),
    ...(faults === undefined
      ? {}
      : {
          faults,
          invariants: [
            {
              id: 'no more than the budget',
              entities: words,
              holds: (view) => counted(words.map((word) => valueOf(view[word].context))) <= faults,
            },
          ],
        }),
    ...(alike ? { symmetry: [{ names, words }] } : {}),
  };
}

const valueOf = (context: unknown) => (context as { value: number }).value;

function counted(words: readonly number[]): number {
  return words.reduce((sum, word) => sum + word.toString(2).replaceAll('0', '').length, 0);
}

/** Every end: the shared word, and which points of which thread failed. */
function ends(scenario: Scenario, reductions: Partial<Reductions>, alike: boolean): Set<string> {
  const program = new Program(scenario);
  let found = new Set<string>();
  const { violated, cut } = new Exhaustive(program, {
    reductions,
    onRound: () => {
      found = new Set();
    },
    onFinal: (row) => {
      const of = (name: string) =>
        valueOf(program.view(name, row[program.columns.columnOf(name)!]).context);
      const faults = Object.keys(scenario.threads).map((name) => of(`faults of ${name}`));
      // Of threads that are alike, any one stands for any other.
      found.add(JSON.stringify([of('shared'), alike ? faults.sort((a, b) => a - b) : faults]));
    },
  }).run();
  expect(cut).toBeUndefined();
  expect([...violated.keys()]).toEqual([]);
  return found;
}

const REDUCTIONS: readonly (readonly [string, Partial<Reductions>])[] = [
  ['none', NO_REDUCTION],
  ['sleep', { ...NO_REDUCTION, sleep: true }],
  ['alone', { ...NO_REDUCTION, alone: true }],
  ['alone and sections', { ...NO_REDUCTION, alone: true, sections: true }],
  ['symmetry', { ...NO_REDUCTION, symmetry: true }],
  ['all', {}],
];

const op = fc.constantFrom<Op>(
  1,
  2,
  'point',
  'point',
  'point with the lock held',
  'goes on only if it does not fail',
);
const plan = fc.array(op, { minLength: 1, maxLength: 3 });

describe('a budget of k faults', () => {
  test.each(REDUCTIONS)(
    'ends as choices without a budget do, where those are k at most; reductions: %s',
    { timeout: 120_000 },
    (_, reductions) => {
      const met = new Set<number>();
      fc.assert(
        fc.property(
          fc.array(plan, { minLength: 2, maxLength: 3 }),
          fc.boolean(),
          fc.integer({ min: 0, max: 4 }),
          (plans, alike, k) => {
            const free = ends(scenarioOf(plans, alike, undefined), NO_REDUCTION, alike);
            const few = [...free].filter((end) => {
              const faults = counted((JSON.parse(end) as [number, number[]])[1]);
              met.add(faults);
              return faults <= k;
            });
            const under = ends(scenarioOf(plans, alike, k), reductions, alike);
            expect([...under].sort()).toEqual(few.sort());
          },
        ),
        { numRuns: 60, seed: 7 },
      );
      expect(met.size).toBeGreaterThan(4);
    },
  );

  test('of which none is left branches nothing', () => {
    const program = new Program(scenarioOf([['point', 'point'], ['point']], false, 0));
    new Exhaustive(program).run();
    expect(program.trie.step.filter((step) => step?.type === 'choose')).toEqual([]);
  });

  test('ends a loop that tries again', () => {
    const retry = (faults: number): Scenario => ({
      name: 'retry',
      entities: { budget: faultBudgetMachine },
      threads: {
        *T() {
          do yield* loopHead();
          while (yield* mayFail('budget', 'kmalloc() returns NULL'));
        },
      },
      faults,
    });
    for (const faults of [0, 1, 5]) expect(explore(retry(faults)).verdict).toBe('clean');
  });
});

/** Frees twice where both allocations fail. */
const probe: Scenario = {
  name: 'probe',
  entities: { budget: faultBudgetMachine, freed: variable },
  faults: 1,
  threads: {
    *probe() {
      const first = yield* mayFail('budget', 'kzalloc() returns NULL');
      const second = yield* mayFail('budget', 'ioremap() fails');
      if (first) yield* send('freed', { type: 'add', value: 1 }, 'kfree()');
      if (second) yield* send('freed', { type: 'add', value: 1 }, 'kfree()');
    },
  },
  invariants: [
    {
      id: 'once',
      entities: ['freed'],
      when: 'end',
      holds: ({ freed }) => valueOf(freed.context) < 2,
    },
  ],
};

describe('what is told', () => {
  test('clean with at most so many', () => {
    const text = exploreText(explore(probe), false).replace(/\s+/g, ' ');
    expect(text).toContain('clean. Every interleaving with at most 1 fault was covered');
    expect(exploreText(explore(probe, { bounds: { faults: 0 } }), false)).toContain(
      'most 0 faults',
    );
  });

  test.each(['exhaustive', 'bounded', 'random', 'pct', 'pos', 'surw', 'uniform'] as const)(
    'a fault by its label, and nothing of what did not fail: %s',
    (strategy) => {
      const result = explore(probe, { strategy, bounds: { faults: 2 }, runs: 300 });
      const [found] = result.counterexamples;
      expect(result.faults).toBe(2);
      expect(shownSteps(found.steps).map(({ what }) => what)).toEqual([
        'kzalloc() returns NULL',
        'ioremap() fails',
        'kfree()',
        'kfree()',
      ]);
      expect(found.confirmed).toBe(true);
      const text = exploreText(result, false);
      expect(text).toContain('kzalloc() returns NULL\n');
      expect(text).not.toContain('may fail');
      expect(text).toContain('; 4 steps');
      // Stored, it goes again under the same budget alone.
      expect(confirm({ ...probe, faults: 2 }, found.steps).diverged).toBeUndefined();
      expect(confirm(probe, found.steps).diverged).toBeDefined();
    },
  );
});

test.each<[string, Partial<Scenario>, RegExp]>([
  ['no number', { faults: undefined as never }, /nothing says how many faults/],
  ['a negative one', { faults: -1 }, /-1 faults/],
  ['half a fault', { faults: 0.5 }, /0\.5 faults/],
  ['no budget', { entities: { freed: variable } }, /nothing to count them/],
  [
    'two budgets',
    { entities: { budget: faultBudgetMachine, other: faultBudgetMachine, freed: variable } },
    /2 fault budgets: "budget", "other"/,
  ],
])('%s is refused', (_, change, says) => {
  const make = () => explore({ ...probe, ...change });
  expect(make).toThrow(ScenarioError);
  expect(make).toThrow(says);
});
