/** One call that tests: what it does within its budget and beyond, and what it says of that. */

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { hotplug } from '../../../machines/kernel/hotplug.js';
import { iommu_group_claim_dma_owner } from '../../../machines/kernel/dma-owner.js';
import { profileByName } from '../../../machines/profiles/timeline.js';
import type { KernelProfile } from '../../../machines/profiles/profile.js';
import { replaySchedules } from '../../../src/cli/schedule-file.js';
import { check } from '../../../src/testing/check.js';
import { checkText } from '../../../src/testing/check-text.js';
import { RaceError, races } from '../../../src/testing/races.js';
import { counting, LATE_DRIVER, patch } from './small.js';

const V3_6 = { generations: ['v3.6'] };
const V3_6_PROFILE = profileByName('v3.6')!;

describe('within the budget', () => {
  test('every interleaving decides', () => {
    const bug = check(patch('as posted'), V3_6);
    expect(bug).toMatchObject({ verdict: 'violated', rules: ['INV-01'] });
    expect(bug.on[0].explorations.map(({ strategy }) => strategy)).toEqual(['exhaustive']);
    expect(bug.on[0].counterexamples[0]).toMatchObject({ cheapest: true, confirmed: true });
    const fixed = check(patch('under a second mutex'), V3_6);
    expect(fixed).toMatchObject({ verdict: 'clean', rules: [] });
  });

  test('each generation is judged for itself', () => {
    const { on, verdict } = check(patch('as posted'), { generations: ['v3.6', 'v6.12'] });
    expect(verdict).toBe('violated');
    expect(on.map(({ kernel, rules }) => [kernel, rules.includes('INV-01')])).toEqual([
      ['v3.6', true],
      ['v6.12', false],
    ]);
  });

  test('a generation without a function is none, and nothing is clean on none', () => {
    const claims = hotplug({
      name: 'claim',
      devices: { d0: { group: 'g0' } },
      run: { A: (k) => iommu_group_claim_dma_owner(k, 'g0', 'vfio') },
    });
    const both = check(claims, { generations: ['v5.10', 'v6.12'] });
    expect(both.on.map(({ verdict }) => verdict)).toEqual(['none', 'clean']);
    expect(both.verdict).toBe('clean');
    const none = check(claims, { generations: ['v5.10'] });
    expect(none.verdict).toBe('incomplete');
    expect(none.on[0].lacks).toBe('iommu_group_claim_dma_owner');
    expect(checkText(none)).toContain('not possible on v5.10, without iommu_group_claim_dma_owner');
  });

  test('a version that is none is refused', () => {
    expect(() => check(patch('as posted'), { generations: ['v2.6'] })).toThrow(RangeError);
  });

  test('a program that names what it has not is refused', () => {
    const program = { ...LATE_DRIVER, devices: {} };
    expect(() => check(program)).toThrow('T0 calls device_add(d0), and there is no d0');
  });
});

describe('beyond the budget', () => {
  const few = { budget: { states: 3, runs: 40 } };

  test('schedules are drawn, which find what is there', () => {
    const { on, verdict, rules } = check(counting(3, 'two'), few);
    expect(on[0].explorations.map(({ strategy, cut }) => [strategy, cut])).toEqual([
      ['exhaustive', 'states'],
      ['pct', undefined],
      ['pos', undefined],
      ['random', undefined],
    ]);
    expect(on[0].explorations[0].verdict).toBe('incomplete');
    expect([verdict, rules]).toEqual(['violated', ['count']]);
  });

  test('nothing that is drawn is called clean', () => {
    expect(check(counting(3, 'one')).verdict).toBe('clean');
    const checked = check(counting(3, 'one'), few);
    expect(checked.verdict).toBe('incomplete');
    const text = checkText(checked);
    expect(text).toContain('the search was cut by its bound on states');
    expect(text).toContain('40 schedules of pct, 40 schedules of pos');
  });

  test('a seed draws the same again, another one others', () => {
    const drawn = (seed: number) =>
      check(counting(3, 'two'), { ...few, seed }).on[0].explorations.map(
        ({ sampled, stats }) => [sampled?.found, stats.transitions] as const,
      );
    expect(drawn(5)).toEqual(drawn(5));
    expect(drawn(5)).not.toEqual(drawn(6));
  });
});

describe('races()', () => {
  const nowhere = { ...V3_6, failures: { folder: join(tmpdir(), 'hotrace-none', 'none') } };

  test('that are clean are told', async () => {
    const checked = await races(patch('under a second mutex'), nowhere).toBeClean();
    expect(checked.verdict).toBe('clean');
    await expect(races(patch('as posted'), V3_6).toViolate('INV-01')).resolves.toMatchObject({
      verdict: 'violated',
    });
  });

  test('that are not throw the table, the seed and the command', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'hotrace-races-'));
    const failures = { folder };
    const clean = races(patch('as posted'), { ...V3_6, failures, seed: 3 }).toBeClean();
    const error: unknown = await clean.catch((thrown: unknown) => thrown);
    rmSync(folder, { recursive: true });
    expect(error).toBeInstanceOf(RaceError);
    const { message } = error as RaceError;
    expect(message).toContain('CPU0: add             CPU1: remove');
    expect(message).toMatch(/^INV-01 add-before-del/m);
    expect(message).toContain('seed: 3');
    const command = 'again: HOTRACE_SEED=3 npx vitest run test/src/testing/check.test.ts';
    expect(message).toContain(command);
  });

  test('what is not covered is not clean', async () => {
    const small = { budget: { states: 3, runs: 10 } };
    await expect(races(counting(3, 'one'), { ...small, ...nowhere }).toBeClean()).rejects.toThrow(
      'incomplete',
    );
    await expect(races(counting(3, 'one'), small).toViolate('count')).rejects.toThrow(
      'count is not broken',
    );
  });
});

describe('failing cases that are kept', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'hotrace-kept-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const named = (order: 'as posted' | 'under a second mutex') => (profile: KernelProfile) => ({
    ...patch(order)(profile),
    name: 'patch',
  });

  test('are tried first, and go when they do not fail any more', () => {
    const options = { ...V3_6, failures: { folder } };
    const first = check(named('as posted'), options);
    expect(first.saved).toHaveLength(1);
    expect(readdirSync(folder)).toHaveLength(1);
    const again = check(named('as posted'), options);
    expect(again).toMatchObject({ verdict: 'violated', rules: ['INV-01'], saved: [] });
    expect(again.on[0].again).toBe(first.saved[0]);
    expect(again.on[0].explorations).toEqual([]);
    expect(again.on[0].counterexamples[0].steps).toEqual(first.on[0].counterexamples[0].steps);
    expect(checkText(again)).toContain('kept, and fails again: ');
    const fixed = check(named('under a second mutex'), options);
    expect(fixed.verdict).toBe('clean');
    expect(fixed.on[0].explorations).toHaveLength(1);
    expect(readdirSync(folder)).toEqual([]);
  });

  test('are kept where it is not known whether they fail', () => {
    const failures = { folder };
    const two = { ...counting(3, 'two'), name: 'counting' };
    const one = { ...counting(3, 'one'), name: 'counting' };
    expect(check(two, { failures }).saved).toHaveLength(1);
    expect(check(one, { failures, budget: { states: 3, runs: 5 } }).verdict).toBe('incomplete');
    expect(readdirSync(folder)).toHaveLength(1);
  });

  test('of invariants at the end and of deadlocks fail again as well', () => {
    const failures = { folder };
    check(counting(2, 'two'), { failures });
    const again = check(counting(2, 'two'), { failures });
    expect(again.on[0].again).toBeDefined();
    expect(again.rules).toEqual(['count']);
  });

  test('are schedules that hotrace explore --schedule reads', () => {
    const { saved } = check(patch('as posted'), { ...V3_6, failures: { folder } });
    const scenario = patch('as posted')(V3_6_PROFILE);
    expect(replaySchedules(saved[0], scenario)).toMatchObject([
      { rule: 'INV-01', broken: true, diverged: undefined },
    ]);
  });

  test('of another test, and files of others, are left alone', () => {
    writeFileSync(join(folder, 'notes.json'), '{ "mine": 1 }');
    writeFileSync(join(folder, 'broken.json'), '{');
    check(named('as posted'), { ...V3_6, failures: { folder, test: 'A' } });
    const other = check(named('as posted'), { ...V3_6, failures: { folder, test: 'B' } });
    expect(other.on[0].again).toBeUndefined();
    expect(readdirSync(folder)).toHaveLength(4);
    expect(readFileSync(join(folder, 'broken.json'), 'utf8')).toBe('{');
  });
});
