/** The estimate of the number of classes against the number. */

import { expect, test } from 'vitest';
import { addRemove } from '../../../machines/races/add-remove.js';
import { ClassCounts, classCounts } from '../../../src/explore/class-counts.js';
import { estimateClasses, RunningMean } from '../../../src/explore/class-estimate.js';
import { Program } from '../../../src/explore/program.js';
import { RandomNumbers } from '../../../src/explore/random-numbers.js';
import { pathPopulation } from '../../../src/explore/path-population.js';
import { SleepGraph } from '../../../src/explore/sleep-graph.js';
import { randomScenario } from './random-scenario.js';

/** Populations that have room for few. */
test.each([
  [8, 50],
  [32, 20],
])('%i at a time: the interval holds the number in its share of the cases', (size, populations) => {
  let tried = 0;
  let held = 0;
  let sum = 0;
  for (let seed = 0; seed < 300; seed++) {
    const scenario = randomScenario(seed * 31 + 5);
    const program = new Program(scenario);
    const counts = classCounts(program, { pairs: 20_000 });
    if (!(counts instanceof ClassCounts) || counts.total === 1n) continue;
    const total = Number(counts.total);
    const options = { seed, populations, size };
    const { mean, plusMinus, descents } = estimateClasses(program, options);
    expect(descents).toBe(size * populations);
    tried++;
    // Where all agree there is no interval, but rounding.
    if (Math.abs(mean - total) <= plusMinus + 1e-9 * total) held++;
    sum += mean / total;
  }
  console.log(`${size}: ${held} of ${tried} within, the mean is ${(sum / tried).toFixed(4)} of it`);
  expect(tried).toBeGreaterThan(150);
  // 95 % of so many, less three standard deviations of a binomial, less 2 % for the long tail.
  const deviation = Math.sqrt(0.95 * 0.05 * tried);
  expect(held).toBeGreaterThan((0.95 - 0.02) * tried - 3 * deviation);
  // Without bias.
  expect(Math.abs(sum / tried - 1)).toBeLessThan(0.01);
});

test('with room for all the paths are those of all classes, and the number is exact', () => {
  let tried = 0;
  for (let seed = 0; seed < 100; seed++) {
    const program = new Program(randomScenario(seed * 31 + 5));
    const counts = classCounts(program, { pairs: 500 });
    if (!(counts instanceof ClassCounts)) continue;
    const room = 100_000;
    const { paths, weight, cut } = pathPopulation(
      new SleepGraph(program),
      new RandomNumbers(seed),
      room,
    );
    const ranks = Array.from({ length: Number(counts.total) }, (_, i) =>
      JSON.stringify(counts.path(BigInt(i))),
    );
    expect(paths.map((path) => JSON.stringify(path)).sort()).toEqual(ranks.sort());
    expect(Math.exp(weight)).toBeCloseTo(Number(counts.total), 6);
    expect(cut).toBe(false);
    tried++;
  }
  expect(tried).toBeGreaterThan(50);
});

test('a seed reproduces, another one differs', () => {
  const estimate = (seed: number) =>
    estimateClasses(new Program(addRemove({ devices: 3, listeners: 2 })), { seed, populations: 4 });
  expect(estimate(3)).toEqual(estimate(3));
  expect(estimate(3).mean).not.toBe(estimate(4).mean);
});

test('where all end asleep nothing is claimed', () => {
  const program = new Program(addRemove({ devices: 4, listeners: 2 }));
  const { mean, plusMinus } = estimateClasses(program, { size: 1, populations: 20 });
  expect([mean, plusMinus]).toEqual([0, Infinity]);
});

test('no descent is made without end', () => {
  const { truncated } = estimateClasses(new Program(addRemove()), { populations: 3, depth: 3 });
  expect(truncated).toBe(true);
  expect(estimateClasses(new Program(addRemove()), { populations: 3 }).truncated).toBe(false);
  expect(estimateClasses(new Program(addRemove()), { time: 0, size: 10 }).descents).toBe(20);
});

test('mean and deviation are those of the numbers, however large', () => {
  const numbers = [3, 0, 7, 7, 1, 12, 0, 5];
  const mean = 35 / 8;
  const variance = numbers.reduce((sum, x) => sum + (x - mean) ** 2, 0) / 7;
  const of = (scale: number) => {
    const running = new RunningMean();
    for (const x of numbers) running.add(Math.log(x) + scale);
    return running;
  };
  expect(of(0).mean).toBeCloseTo(mean, 10);
  // Student's distribution with 7 degrees of freedom.
  expect(of(0).plusMinus).toBeCloseTo(2.3646 * Math.sqrt(variance / 8), 2);
  expect(of(600).mean / Math.exp(600)).toBeCloseTo(mean, 10);
  expect([of(1000).mean, of(1000).plusMinus]).toEqual([Infinity, Infinity]);
  expect([new RunningMean().mean, new RunningMean().plusMinus]).toEqual([0, Infinity]);
});
