/** Several threads come to what one comes to. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { storm } from '../../../machines/races/storm.js';
import { explore } from '../../../src/explore/explore.js';
import type { Exploration } from '../../../src/explore/explore.js';
import { exploreIn, exploreParallel, searchPool } from '../../../src/explore/parallel.js';
import type { SearchPool } from '../../../src/explore/parallel.js';
import { ScenarioError } from '../../../src/explore/scenario-error.js';
import type { ScenarioSource } from '../../../src/explore/scenario-source.js';
import { NO_REDUCTION } from '../../../src/explore/search-options.js';
import { build, ROOT } from '../cli/command.js';
import { randomScenario } from './random-scenario.js';

const dir = mkdtempSync(join(tmpdir(), 'hotrace-'));
const module = pathToFileURL(join(dir, 'source.mjs')).href;
const pools: SearchPool[] = [];

beforeAll(async () => {
  build();
  const here = (path: string) => JSON.stringify(join(ROOT, path));
  // Threads of plain Node.js read TypeScript by jiti, as the command does.
  writeFileSync(
    join(dir, 'source.mjs'),
    `import { createRequire } from 'node:module';
     const { createJiti } = createRequire(${here('package.json')})('jiti');
     const jiti = createJiti(${here('package.json')});
     export const random = async (...args) =>
       (await jiti.import(${here('test/src/explore/random-scenario.ts')})).randomScenario(...args);
     export const storm = async (...args) =>
       (await jiti.import(${here('machines/races/storm.ts')})).storm(...args);
     export const none = 1;
    `,
  );
  for (const jobs of [2, 3]) pools.push(await searchPool(jobs));
}, 120_000);

afterAll(async () => {
  await Promise.all(pools.map((pool) => pool.destroy()));
  rmSync(dir, { recursive: true });
});

function told({ verdict, cut, counterexamples, withoutSchedule }: Exploration): string {
  return JSON.stringify({ verdict, cut, counterexamples, withoutSchedule });
}

describe.each([
  ['plain', {}],
  ['symmetric', { symmetric: true }],
  ['cyclic', { loops: true }],
  ['with invariants', { invariants: true, loops: true }],
] as const)('%s scenarios', (_, shape) => {
  test('the same verdict and the same schedules', { timeout: 300_000 }, async () => {
    let violated = 0;
    let clean = 0;
    for (let seed = 0; seed < 60; seed++) {
      const args = [seed * 101 + 7, shape] as const;
      const source: ScenarioSource = { module, name: 'random', args };
      const reductions = seed % 3 === 0 ? NO_REDUCTION : {};
      // Some loops count without end.
      const bounds = { states: 3000 };
      const one = explore(randomScenario(...args), { reductions, bounds });
      if (one.cut !== undefined) continue;
      const pool = pools[seed % 2];
      const several = await exploreIn(pool, source, {
        jobs: 2 + (seed % 2),
        reductions,
        bounds: { states: 6000 },
        glance: 1 + (seed % 7),
      });
      expect(told(several), `seed ${seed}`).toBe(told(one));
      if (one.verdict === 'violated') violated++;
      else if (one.verdict === 'clean') clean++;
    }
    expect(violated).toBeGreaterThan(5);
    expect(clean).toBeGreaterThan(1);
  });
});

test('work is given away, and no state is missed', { timeout: 120_000 }, async () => {
  const source = { module, name: 'storm', args: [4, 'accepts'] };
  const reductions = { ...NO_REDUCTION, symmetry: true };
  const one = explore(storm(4, 'accepts'), { reductions });
  for (const [i, pool] of pools.entries()) {
    const several = await exploreIn(pool, source, { jobs: i + 2, reductions });
    expect(several.verdict).toBe('clean');
    expect(several.stats.states).toBe(one.stats.states);
    expect(several.stats.transitions).toBe(one.stats.transitions);
  }
});

test('what a bound cuts is not called clean', { timeout: 120_000 }, async () => {
  const source = { module, name: 'storm', args: [4, 'accepts'] };
  for (const bounds of [{ states: 500 }, { depth: 9 }, { time: 50 }]) {
    const options = { jobs: 2, reductions: NO_REDUCTION, bounds };
    const { verdict, cut } = await exploreIn(pools[0], source, options);
    expect([verdict, cut]).toEqual(['incomplete', Object.keys(bounds)[0]]);
  }
});

test('a scenario that is at fault is told as by one thread', { timeout: 120_000 }, async () => {
  const source = { module, name: 'random', args: [1, {}] };
  await expect(exploreParallel({ ...source, name: 'none' }, { jobs: 2 })).rejects.toThrow(
    /no function none/,
  );
  const file = join(dir, 'wrong.mjs');
  writeFileSync(
    file,
    `export default () => ({
       name: 'wrong', entities: {}, threads: { T: function* () { yield { type: 'send', entity: 'x', event: { type: 'e' } }; } },
     });`,
  );
  const wrong = { module: pathToFileURL(file).href, name: 'default', args: [] };
  await expect(exploreIn(pools[0], wrong, { jobs: 2 })).rejects.toThrow(ScenarioError);
});
