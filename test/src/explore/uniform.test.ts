/**
 * Uniform among classes: every class has one rank, and classes are drawn alike. Classes are told by
 * all-schedules.ts, which knows nothing of sleep sets.
 */

import { describe, expect, test } from 'vitest';
import { addRemove } from '../../../machines/races/add-remove.js';
import { ClassCounts, classCounts } from '../../../src/explore/class-counts.js';
import { ClassCoverage, expectedShare, firstOfClass } from '../../../src/explore/class-coverage.js';
import { explore } from '../../../src/explore/explore.js';
import { Program } from '../../../src/explore/program.js';
import { RandomNumbers } from '../../../src/explore/random-numbers.js';
import { sample } from '../../../src/explore/sample.js';
import { randomWalk } from '../../../src/explore/samplers/random-walk.js';
import type { MakeSampler } from '../../../src/explore/samplers/sampler.js';
import { uniform } from '../../../src/explore/samplers/uniform.js';
import { variableMachine } from '../../../machines/variable.js';
import type { Scenario } from '../../../machines/scenario.js';
import { send } from '../../../machines/step.js';
import { allSchedules, classesOf, foata, textOf } from './all-schedules.js';
import { PROGRAMS } from './published-programs.js';
import { randomScenario } from './random-scenario.js';

function counted(program: Program): ClassCounts {
  const counts = classCounts(program, { pairs: 20_000 });
  if (!(counts instanceof ClassCounts)) throw new Error(counts);
  return counts;
}

const ranks = (counts: ClassCounts) =>
  Array.from({ length: Number(counts.total) }, (_, rank) => counts.path(BigInt(rank)));

test('every class has a path, and the paths are the first schedules of their classes', () => {
  let tried = 0;
  let same = 0;
  for (let seed = 0; seed < 300; seed++) {
    const scenario = randomScenario(seed * 31 + 5, seed % 2 === 0 ? {} : { symmetric: true });
    const program = new Program(scenario);
    const counts = classCounts(program, { pairs: 20_000 });
    if (!(counts instanceof ClassCounts)) continue;
    const schedules = allSchedules(program, 1000);
    if (schedules === undefined) continue;
    const classes = classesOf(program, schedules);
    const paths = ranks(counts).map(textOf);
    expect(new Set(paths).size, scenario.name).toBe(paths.length);
    const reached = new Set(paths.map((path) => classes.get(path)));
    expect(reached, scenario.name).toEqual(new Set(classes.values()));
    for (const schedule of schedules) {
      const first = textOf(firstOfClass(counts.graph, schedule));
      expect(paths, scenario.name).toContain(first);
      expect(classes.get(first), scenario.name).toBe(classes.get(textOf(schedule)));
    }
    tried++;
    if (paths.length === reached.size) same++;
  }
  expect(tried).toBeGreaterThan(200);
  // Events that commute in some states only may give a class two paths; that is rare.
  expect(same).toBeGreaterThan(tried * 0.97);
  console.log(`${same} of ${tried} scenarios have one path for each class`);
});

/** Programs whose events commute always or never, so that their classes are Mazurkiewicz traces. */
const KNOWN = [
  ['readers', [4], 16],
  ['lastzero', [3], 12],
  ['fib_bench', [2], 19],
  ['philosophers_deadlocking', [3], 7],
  ['mpat', [2], 8],
  ['concuerror/two_writers_readers_2', [], 18],
  ['concuerror/depend_6', [], 18],
] as const;

/**
 * What Pearson's statistic for `classes` alike exceeds with a probability below e^-20 (Laurent,
 * Massart, Ann. Statist. 28, 2000, lemma 1). Seeds are fixed: what passes once passes always.
 */
function bound(classes: number): number {
  const degrees = classes - 1;
  return degrees + 2 * Math.sqrt(degrees * 20) + 2 * 20;
}

/** Pearson's statistic of how often the runs of a sampler were in each class, all alike expected. */
function pearson(make: () => Program, classes: number, sampler: MakeSampler, runs: number): number {
  const program = make();
  const times = new Map<string, number>();
  const onEnd = (moves: Parameters<typeof textOf>[0]) => {
    const form = foata(program, moves);
    times.set(form, (times.get(form) ?? 0) + 1);
  };
  sample(program, sampler, { seed: 1, runs, onEnd });
  const expected = runs / classes;
  let sum = (classes - times.size) * expected;
  for (const n of times.values()) sum += (n - expected) ** 2 / expected;
  return sum;
}

describe.each(KNOWN.map((known) => [`${known[0]}(${known[1].join()})`, known] as const))(
  '%s',
  (_, [family, params, classes]) => {
    const make = () => new Program(PROGRAMS[family](...params));
    const runs = 400 * classes;
    const exact: MakeSampler = (program, random) => uniform(counted(program))(program, random);

    test('its classes are told in three ways', () => {
      const program = make();
      const schedules = allSchedules(program, 2000)!;
      expect(new Set(schedules.map((moves) => foata(program, moves))).size).toBe(classes);
      expect(new Set(classesOf(program, schedules).values()).size).toBe(classes);
      expect(counted(program).total).toBe(BigInt(classes));
    });

    test('classes are drawn alike; by a random walk they are not', () => {
      expect(pearson(make, classes, exact, runs)).toBeLessThan(bound(classes));
      expect(pearson(make, classes, randomWalk, runs)).toBeGreaterThan(bound(classes));
    });

    test('grown eight at a time, without a count, they come nearly alike', () => {
      const far = pearson(make, classes, randomWalk, runs);
      const near = (population: number) =>
        pearson(make, classes, uniform(undefined, { population }), runs);
      expect(far).toBeGreaterThan(bound(classes));
      expect(near(8)).toBeLessThan(bound(classes));
      // With room for all it is the enumeration: all equally often.
      expect(near(64 * classes)).toBeLessThan(1e-9);
    });

    test('coverage: what Foata tells apart, in any order of steps', () => {
      const program = make();
      const met = new ClassCoverage(program);
      const forms = new Set<string>();
      sample(program, randomWalk, {
        seed: 3,
        runs: 2 * classes,
        onEnd(moves) {
          met.add(moves);
          forms.add(foata(program, moves));
          expect(met.drawn).toBe(forms.size);
        },
      });
    });
  },
);

test('counts beyond 2^53 are exact', () => {
  // Two threads that write in turn: as many classes as orders, C(2n, n).
  const n = 40;
  const writer = (first: number) =>
    function* () {
      for (let i = 0; i < n; i++) yield* send('x', { type: 'write', value: first + i });
    };
  const scenario: Scenario = {
    name: 'long',
    entities: { x: variableMachine(0) },
    threads: { A: writer(1), B: writer(1 + n) },
  };
  let orders = 1n;
  for (let k = 1n; k <= BigInt(n); k++) orders = (orders * (BigInt(n) + k)) / k;
  const counts = counted(new Program(scenario));
  expect(counts.total).toBe(orders);
  expect(textOf(counts.path(0n))).toBe(textOf([...all(0, n), ...all(1, n)]));
  expect(textOf(counts.path(orders - 1n))).toBe(textOf([...all(1, n), ...all(0, n)]));
  expect(() => counts.path(orders)).toThrow(RangeError);
});

const all = (thread: number, n: number) =>
  Array.from({ length: n }, () => ({ thread, outcome: 0 }));

test('random numbers below a large limit are within it, and reach its ends', () => {
  const random = new RandomNumbers(5);
  for (const limit of [1n, 2n, 3n, 5n, 2n ** 53n + 1n, 2n ** 100n]) {
    const drawn = Array.from({ length: 200 }, () => random.belowBig(limit));
    expect(drawn.every((x) => 0n <= x && x < limit)).toBe(true);
    if (limit < 10n) expect(new Set(drawn).size).toBe(Number(limit));
    else expect(drawn.filter((x) => x < limit / 2n).length / 200).toBeCloseTo(0.5, 0);
  }
});

test.each([
  ['counted', {}],
  ['estimated', { bounds: { states: 100 } }],
])('%s: a seed reproduces, another one differs', (_, options) => {
  const draw = (seed: number) => {
    const { stats, sampled } = explore(addRemove({ devices: 2, listeners: 2 }), {
      strategy: 'uniform',
      runs: 100,
      seed,
      coverage: true,
      ...options,
    });
    return JSON.stringify([stats.transitions, sampled!.found, sampled!.coverage]);
  };
  expect(draw(7)).toBe(draw(7));
  expect(draw(7)).not.toBe(draw(8));
});

test('what it guarantees is said, and that it guarantees nothing', () => {
  const scenario = addRemove({ devices: 2, listeners: 2 });
  const options = { strategy: 'uniform', runs: 300 } as const;
  const exact = explore(scenario, options).sampled!;
  const { drawn, classes } = exact.coverage!;
  expect(classes).toBe(366);
  expect(drawn! / classes!).toBeCloseTo(expectedShare(366, 300), 1);
  expect(exact.guarantee).toMatch(/^each of 366 classes .* same probability: 56 % .* in 300 /);
  expect(exact.guarantee).toContain(
    `${Number(((100 * drawn!) / 366).toPrecision(2))} % were drawn`,
  );
  const nearly = explore(scenario, { ...options, bounds: { states: 100 } }).sampled!;
  expect(nearly.guarantee).toMatch(
    /^no guarantee: there are about \d+ ± \d+ classes .*only nearly/,
  );
});

test('what only an invariant sees between two steps that commute is drawn too', () => {
  const write = (entity: string) =>
    function* () {
      yield* send(entity, { type: 'write', value: 1 });
    };
  const { verdict, sampled } = explore(
    {
      name: 'seen between',
      entities: { x: variableMachine(0), y: variableMachine(0) },
      threads: { A: write('x'), B: write('y') },
      invariants: [
        {
          id: 'x-before-y',
          entities: ['x', 'y'],
          holds: ({ x, y }) =>
            (x.context as { value: number }).value >= (y.context as { value: number }).value,
        },
      ],
    },
    { strategy: 'uniform', runs: 20 },
  );
  expect(sampled!.coverage).toMatchObject({ classes: 2, drawn: 2 });
  expect(verdict).toBe('violated');
});
