/** Random schedules: seeds reproduce, violations are real, and PCT keeps its promise. */

import { describe, expect, test } from 'vitest';
import { addRemove } from '../../../machines/races/add-remove.js';
import { ClassCounts, classCounts } from '../../../src/explore/class-counts.js';
import { explore } from '../../../src/explore/explore.js';
import { Program } from '../../../src/explore/program.js';
import { sample } from '../../../src/explore/sample.js';
import { pct, pctBound } from '../../../src/explore/samplers/pct.js';
import { pos } from '../../../src/explore/samplers/pos.js';
import { randomWalk } from '../../../src/explore/samplers/random-walk.js';
import type { MakeSampler } from '../../../src/explore/samplers/sampler.js';
import { surw } from '../../../src/explore/samplers/surw.js';
import { uniform } from '../../../src/explore/samplers/uniform.js';
import { naive } from './naive.js';
import { randomScenario } from './random-scenario.js';

const counted: MakeSampler = (program, random) => {
  const counts = classCounts(program, { pairs: 20_000 });
  return uniform(counts instanceof ClassCounts ? counts : undefined)(program, random);
};
const SAMPLERS = { random: randomWalk, pct: pct(3), pos, surw, uniform: counted } as const;

describe.each(Object.entries(SAMPLERS))('%s', (name, sampler) => {
  test('breaks no rule that cannot be broken, and finds most of those that can', () => {
    let broken = 0;
    let found = 0;
    for (let seed = 0; seed < 200; seed++) {
      const scenario = randomScenario(seed * 31 + 5, seed % 2 === 0 ? {} : { symmetric: true });
      const reference = naive(scenario, 1000);
      if (reference === undefined) continue;
      const program = new Program(scenario);
      const { violated } = sample(program, sampler, { seed, runs: 200 });
      for (const rule of violated.keys()) expect(reference.violated, scenario.name).toContain(rule);
      broken += reference.violated.size;
      found += violated.size;
    }
    expect(broken).toBeGreaterThan(20);
    expect(found).toBeGreaterThan(broken * 0.8);
    console.log(`${name}: ${found} of ${broken} violations in 200 runs each`);
  });

  test('a seed reproduces, another one differs', () => {
    const scenario = addRemove({ devices: 3, listeners: 2 });
    const runs = (seed: number) => {
      const { violated, transitions } = sample(new Program(scenario), sampler, { seed, runs: 50 });
      return JSON.stringify([[...violated], transitions]);
    };
    expect(runs(7)).toBe(runs(7));
    expect(runs(7)).not.toBe(runs(8));
  });

  test('never says clean; what it finds is shown at its cheapest', () => {
    const strategy = name as keyof typeof SAMPLERS;
    const clean = explore(addRemove({ serialised: true }), { strategy, runs: 100 });
    expect(clean.verdict).toBe('incomplete');
    const { counterexamples } = explore(addRemove(), { strategy, runs: 2000 });
    expect(counterexamples.find(({ rule }) => rule === 'INV-01')).toMatchObject({
      preemptions: 1,
      cheapest: true,
      confirmed: true,
    });
  });
});

test('PCT hits the race of 2012, of depth 2, at least as often as it promises', () => {
  const program = new Program(addRemove());
  let hits = 0;
  let longest = 0;
  const seeds = 1000;
  for (let seed = 0; seed < seeds; seed++) {
    const result = sample(program, pct(2), { seed, runs: 2 });
    if (result.violated.get('INV-01') !== undefined) hits++;
    longest = Math.max(longest, result.longest);
  }
  // Two runs each; the first without a known length.
  const bound = pctBound(2, longest, 2);
  console.log(`PCT(2): ${hits} of ${seeds}, promised ${(bound * seeds).toFixed(0)}`);
  expect(hits / seeds).toBeGreaterThan(bound);
});
