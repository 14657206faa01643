/** Auxiliary domains and IOASIDs: each variant of each race comes to what is said of it. */

import { describe, expect, test } from 'vitest';
import { ruleById } from '../../../machines/rules.js';
import { AUX } from '../../../machines/systems/aux.js';
import { IOASIDS } from '../../../machines/systems/ioasid.js';
import type { Race } from '../../../machines/races/race.js';
import { runVariant } from '../../../src/explore/corpus-run.js';
import { DEADLOCK, PARTIAL_DEADLOCK } from '../../../src/explore/verdict-rules.js';

const SYSTEMS = [AUX, IOASIDS];
const RACES: readonly Race[] = [
  ...new Set(
    SYSTEMS.flatMap(({ variants }) =>
      variants.flatMap(({ tried }) => tried.map(({ race }) => race)),
    ),
  ),
];
const VARIANTS = RACES.flatMap((race) =>
  race.variants.map((variant) => [`${race.id}/${variant.name}`, race, variant] as const),
);

test.each(VARIANTS)('%s', (_, race, variant) => {
  const { exploration, why } = runVariant(race, variant);
  expect([exploration.verdict, why]).toEqual([variant.expected, undefined]);
  expect(exploration.cut).toBeUndefined();
  expect(exploration.withoutSchedule).toEqual([]);
  for (const { rule, confirmed } of exploration.counterexamples) {
    expect([rule, confirmed]).toEqual([rule, true]);
  }
});

describe.each(SYSTEMS.map((system) => [system.id, system] as const))('%s', (_, system) => {
  test('says which variants of races are tried on it, each that there is', () => {
    for (const { tried } of system.variants) {
      expect(tried.length).toBeGreaterThan(0);
      for (const { race, variant } of tried) {
        expect([race.id, race.variants.map(({ name }) => name)]).toEqual([
          race.id,
          expect.arrayContaining([variant]),
        ]);
      }
    }
  });
});

test('every variant of a race has a name of its own and breaks rules that there are', () => {
  expect(new Set(VARIANTS.map(([name]) => name)).size).toBe(VARIANTS.length);
  for (const [, , { breaks = [], expected }] of VARIANTS) {
    expect(breaks.length > 0).toBe(expected === 'violated');
    for (const rule of breaks) {
      if (rule === DEADLOCK || rule === PARTIAL_DEADLOCK) continue;
      expect(ruleById(rule)?.checkedBy).toContain('explore');
    }
  }
});

test('each rule about IDs is broken by some and kept by others', () => {
  const byRule = (rule: string) =>
    RACES.filter(({ variants }) => variants.some(({ breaks = [] }) => breaks.includes(rule)));
  for (const rule of [
    'INV-30',
    'INV-31',
    'INV-36',
    'INV-37',
    'INV-38',
    'INV-39',
    'INV-40',
    'INV-45',
  ]) {
    const races = byRule(rule);
    expect([rule, races.length > 0]).toEqual([rule, true]);
    for (const { id, variants } of races) {
      expect([id, variants.some(({ expected }) => expected === 'clean')]).toEqual([id, true]);
    }
  }
});
