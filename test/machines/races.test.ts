/** Every race of the corpus: its bug is found by search, its fix holds in every interleaving. */

import { describe, expect, test } from 'vitest';
import { CATALOGUE } from '../../machines/races/catalogue.js';
import {
  bare,
  CORPUS,
  raceById,
  variantByName,
  variantName,
  variantScenario,
} from '../../machines/races/corpus.js';
import { ruleById } from '../../machines/rules.js';
import { runVariant } from '../../src/explore/corpus-run.js';
import { DEADLOCK, PARTIAL_DEADLOCK } from '../../src/explore/verdict-rules.js';

const VARIANTS = CORPUS.flatMap((race) =>
  race.variants.map((variant) => [variantName(race, variant), race, variant] as const),
);

test.each(VARIANTS)('%s', (_, race, variant) => {
  const run = runVariant(race, variant);
  expect([run.exploration.verdict, run.why]).toEqual([variant.expected, undefined]);
  expect(run.exploration.cut).toBeUndefined();
  expect(run.exploration.withoutSchedule).toEqual([]);
  for (const { rule, confirmed } of run.exploration.counterexamples) {
    expect([rule, confirmed]).toEqual([rule, true]);
  }
});

describe('what is said of a race', () => {
  test('ids are in order, each once', () => {
    const ids = CORPUS.map(({ id }) => id);
    // Of kernels, of threads, defects, properties, sections; each by number.
    const kinds = ['K', 'S', 'D', 'P', 'A'];
    const byKind = (a: string, b: string) =>
      kinds.indexOf(a[0]) - kinds.indexOf(b[0]) || a.localeCompare(b, 'en', { numeric: true });
    expect(ids).toEqual([...new Set(ids)].sort(byKind));
    for (const id of ids) expect(id).toMatch(/^([DP]-A\d-\d+b?|K\d\d|S\d|A\d\.\d)$/);
  });

  test.each(CORPUS.map((race) => [race.id, race] as const))('%s', (id, race) => {
    expect(raceById(id.toLowerCase())).toBe(race);
    for (const text of [race.title, race.story, race.source]) {
      expect(text.trim()).toBe(text);
      expect(text).not.toBe('');
    }
    for (const commit of race.commits) {
      expect(commit.id).toMatch(/^[0-9a-f]{12}$/);
      if (commit.cve !== undefined) expect(commit.cve).toMatch(/^CVE-\d{4}-\d{4,}$/);
      if (commit.since !== undefined) expect(commit.since).toMatch(/^v\d+\.\d+$/);
    }
    const expected = race.variants.map((variant) => variant.expected);
    expect(new Set(expected)).toEqual(new Set(['violated', 'clean']));
  });

  test.each(VARIANTS)('%s is found by its name', (name, race, variant) => {
    expect(variantByName(race, variant.name.toUpperCase())).toBe(variant);
    expect(variantByName(race, bare(variant.name))).toBe(variant);
    expect(variantScenario(race, variant).name).toBe(name);
  });

  test.each(VARIANTS)('%s breaks rules that there are', (_, __, { expected, breaks = [] }) => {
    expect(breaks.length > 0).toBe(expected === 'violated');
    for (const rule of breaks) {
      if (rule === DEADLOCK || rule === PARTIAL_DEADLOCK) continue;
      expect(ruleById(rule)?.id).toBe(rule);
      expect(ruleById(rule)?.checkedBy).toContain('explore');
    }
  });

  test('no scenario has the name of a race', () => {
    expect(CATALOGUE.filter(({ name }) => raceById(name) !== undefined)).toEqual([]);
  });
});
