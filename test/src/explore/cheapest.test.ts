/** The cost of a counterexample is the true minimum, and what is shown of it is what happens. */

import { describe, expect, test } from 'vitest';
import { explore } from '../../../src/explore/explore.js';
import { confirm } from '../../../src/explore/confirm.js';
import { naive } from './naive.js';
import { randomScenario } from './random-scenario.js';
import type { Shape } from './random-scenario.js';

const COUNT = Number(process.env.HOTRACE_SCENARIOS ?? 5000) / 10;
const LIMIT = 300;

describe.each<[string, Shape]>([
  ['acyclic', {}],
  ['with invariants', { invariants: true }],
  ['symmetric', { symmetric: true }],
  ['cyclic', { loops: true }],
])('%s', (name, shape) => {
  test('counterexamples cost what the naive search finds', { timeout: 600_000 }, () => {
    let compared = 0;
    for (let seed = 0; seed < COUNT; seed++) {
      const scenario = randomScenario(seed * 104_729 + name.length, shape);
      const reference = naive(scenario, LIMIT);
      if (reference === undefined || reference.violated.size === 0) continue;
      const expected = reference.cheapest();
      for (const strategy of ['exhaustive', 'bounded'] as const) {
        const result = explore(scenario, { strategy });
        const where = `${scenario.name}, ${strategy}`;
        expect(result.verdict, where).toBe('violated');
        // What is told of endless runs, the naive search does not tell.
        const ofStates = result.counterexamples.filter(({ rule }) => rule !== 'partial-deadlock');
        const costs = ofStates.map((c) => [c.rule, [c.preemptions, c.steps.length + c.leftOut]]);
        expect(new Map(costs as [string, readonly [number, number]][]), where).toEqual(expected);
        for (const found of result.counterexamples) {
          expect(found.confirmed, `${where}, ${found.rule}`).toBe(true);
          expect(confirm(scenario, found.steps).diverged, where).toBeUndefined();
        }
      }
      compared += expected.size;
    }
    console.log(`${name}: ${compared} counterexamples`);
    expect(compared).toBeGreaterThan(COUNT / 20);
  });
});

test('a schedule is held against an edited scenario: the first step that diverges is told', () => {
  const scenario = randomScenario(3, {});
  const found = [3, 4, 5, 6, 7, 8, 9].flatMap((seed) => {
    const each = randomScenario(seed, {});
    return explore(each).counterexamples.map((c) => ({ each, c }));
  })[0];
  expect(scenario).toBeDefined();
  const { each, c } = found;
  const [first, ...rest] = Object.entries(each.threads);
  const edited = { ...each, threads: Object.fromEntries([[first[0], function* () {}], ...rest]) };
  const at = c.steps.findIndex(({ thread }) => thread === first[0]);
  const { diverged } = confirm(edited, c.steps);
  if (at < 0) expect(diverged).toBeUndefined();
  else expect(diverged?.step).toBe(at);
});
