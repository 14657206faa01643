/** A search that is ended at any moment and taken up again comes to what it would have come to. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { storm } from '../../../machines/races/storm.js';
import type { Scenario } from '../../../machines/scenario.js';
import {
  CheckpointError,
  readCheckpoint,
  writeCheckpoint,
} from '../../../src/explore/checkpoint.js';
import { Exhaustive } from '../../../src/explore/exhaustive.js';
import { ALL_REDUCTIONS, NO_REDUCTION } from '../../../src/explore/search-options.js';
import type {
  Reductions,
  SearchOptions,
  SearchResult,
} from '../../../src/explore/search-options.js';
import { DEFAULT_MAX_STEPS, Program } from '../../../src/explore/program.js';
import { ScenarioError } from '../../../src/explore/scenario-error.js';
import { random, randomScenario } from './random-scenario.js';

const dir = mkdtempSync(join(tmpdir(), 'hotrace-'));
const file = join(dir, 'checkpoint');
afterAll(() => rmSync(dir, { recursive: true }));

class Killed extends Error {}

/** Searches with a death after so many pauses at a time, from file to file. */
function inPieces(
  make: () => Scenario,
  reductions: Reductions,
  options: SearchOptions,
  pauses: () => number,
): { readonly result: SearchResult; readonly deaths: number } {
  const of = () => ({ scenario: make(), reductions, maxSteps: DEFAULT_MAX_STEPS });
  for (let deaths = 0; ; deaths++) {
    let left = pauses();
    const search = new Exhaustive(new Program(make()), {
      ...options,
      reductions,
      glance: 7,
      onPause: (save) => {
        if (left-- > 0) return;
        writeCheckpoint(file, of(), save());
        throw new Killed();
      },
    });
    try {
      const result = deaths === 0 ? search.run() : search.resume(readCheckpoint(file, of()));
      return { result, deaths };
    } catch (error) {
      if (!(error instanceof Killed)) throw error;
    }
  }
}

function told({ violated, cut, stats }: SearchResult): unknown {
  const { states, transitions, rounds, allTransitions, longest } = stats;
  return [[...violated.keys()].sort(), cut, states, transitions, rounds, allTransitions, longest];
}

describe.each([
  ['plain', {}],
  ['symmetric', { symmetric: true }],
  ['cyclic', { loops: true }],
  ['with invariants', { invariants: true, loops: true }],
] as const)('%s scenarios', (_, shape) => {
  test('in pieces as in one', { timeout: 300_000 }, () => {
    let deaths = 0;
    for (let seed = 0; seed < 80; seed++) {
      const make = () => randomScenario(seed * 31 + 5, shape);
      for (const reductions of [ALL_REDUCTIONS, NO_REDUCTION]) {
        const options = { bounds: { states: 2000 }, walks: seed % 2 === 0 ? 64 : 0 };
        const whole = new Exhaustive(new Program(make()), { ...options, reductions, glance: 7 });
        const rand = random(seed);
        const pieces = inPieces(make, reductions, options, () => 10 + rand(60));
        expect(told(pieces.result), make().name).toEqual(told(whole.run()));
        deaths += pieces.deaths;
      }
    }
    expect(deaths).toBeGreaterThan(50);
  });
});

const of = {
  scenario: storm(3, 'remembers'),
  reductions: ALL_REDUCTIONS,
  maxSteps: DEFAULT_MAX_STEPS,
};

/** A checkpoint of the storm, somewhere on its way. */
function written(scenario: Scenario = of.scenario): Buffer {
  const search = new Exhaustive(new Program(scenario), {
    glance: 500,
    onPause: (save) => {
      writeCheckpoint(file, { ...of, scenario }, save());
      throw new Killed();
    },
  });
  expect(() => search.run()).toThrow(Killed);
  return readFileSync(file);
}

describe('a file', () => {
  test('with any one byte changed, or cut anywhere, is refused', () => {
    const bytes = written();
    const rand = random(1);
    for (let n = 0; n < 400; n++) {
      const changed = Buffer.from(bytes);
      changed[n < 200 ? n : rand(bytes.length)] ^= 1 << rand(8);
      writeFileSync(file, changed);
      expect(() => readCheckpoint(file, of)).toThrow(CheckpointError);
      writeFileSync(file, bytes.subarray(0, rand(bytes.length)));
      expect(() => readCheckpoint(file, of)).toThrow(CheckpointError);
    }
  });

  test('of another scenario or with other reductions is refused', () => {
    written();
    expect(() => readCheckpoint(file, { ...of, scenario: storm(4, 'remembers') })).toThrow(
      /another scenario/,
    );
    const reductions = { ...ALL_REDUCTIONS, sleep: false };
    expect(() => readCheckpoint(file, { ...of, reductions })).toThrow(/other options/);
  });

  test('of a scenario whose machines have changed since is refused, naming the machine', () => {
    written();
    const { l0: forgets } = storm(3, 'accepts').entities;
    const changed = {
      ...of.scenario,
      entities: { ...of.scenario.entities, l0: forgets, l1: forgets },
    };
    const saved = readCheckpoint(file, { ...of, scenario: changed });
    expect(() => new Exhaustive(new Program(changed)).resume(saved)).toThrow(ScenarioError);
    expect(() => new Exhaustive(new Program(changed)).resume(saved)).toThrow(/machine "accepts"/);
  });

  test('that is not there, or cannot be written, is an error that says so', () => {
    expect(() => readCheckpoint(join(dir, 'none'), of)).toThrow(/none: cannot be read/);
    const search = new Exhaustive(new Program(of.scenario), {
      glance: 500,
      onPause: (save) => writeCheckpoint(join(dir, 'no', 'such'), of, save()),
    });
    expect(() => search.run()).toThrow(/cannot be written/);
  });
});
