/** `hotrace races` as a user meets it. */

import { beforeAll, describe, expect, test } from 'vitest';
import { CORPUS } from '../../../machines/races/corpus.js';
import { build, hotrace } from './command.js';

beforeAll(build);

interface Summary {
  readonly race: string;
  readonly name: string;
  readonly verdict: string;
  readonly found: readonly string[];
  readonly asExpected: boolean;
  readonly states: number;
}

function expectNarrow(text: string): void {
  for (const line of text.split('\n')) expect(line.length, line).toBeLessThanOrEqual(80);
}

describe('the list', () => {
  test('has every race', () => {
    const { out, err, code } = hotrace(['races']);
    expect([code, err]).toEqual([0, '']);
    for (const { id, title } of CORPUS) {
      expect(out.replace(/\s+/g, ' ')).toContain(`${id} ${title} `);
    }
    expectNarrow(out);
  });

  test('--json', () => {
    const list = JSON.parse(hotrace(['races', '--json']).out) as { id: string; story: string }[];
    expect(list.map(({ id }) => id)).toEqual(CORPUS.map(({ id }) => id));
    expect(list.map(({ story }) => story)).toEqual(CORPUS.map(({ story }) => story));
  });
});

describe('one race', () => {
  test('has its bug with the very table that explore shows, and the proof of its fix', () => {
    const { out, err, code } = hotrace(['races', 's1']);
    expect([code, err]).toEqual([0, '']);
    const explored = hotrace(['explore', 'S1/bug']).out;
    expect(out).toContain(explored.slice(0, explored.indexOf('\nS1/bug: ')));
    expect(out).toContain(`\
S1/fixed: callers serialise
  kernel    proposed (P-A1-2)
  expected  clean
  found     clean: 6 states, every interleaving covered (complete)
`);
    expect(out).toContain(
      '  expected  violated: INV-01\n  found     violated: INV-01; also INV-03\n',
    );
    expect(out).toContain('d72e31c93746 ("iommu: IOMMU Groups") v3.6\n');
    expectNarrow(out);
  });

  test('several, each once', () => {
    const { out, code } = hotrace(['races', 'S2', 's1', 's2']);
    expect(code).toBe(0);
    expect(out.match(/^S\d {3}/gm)).toEqual(['S2   ', 'S1   ']);
    const json = JSON.parse(hotrace(['races', 'S2', 's1', 's2', '--json']).out) as {
      id: string;
      variants: { name: string; exploration: { verdict: string; scenario: string } }[];
    }[];
    expect(json.map(({ id }) => id)).toEqual(['S2', 'S1']);
    expect(json[0].variants.map(({ exploration }) => exploration.verdict)).toEqual([
      'violated',
      'clean',
    ]);
    expect(json[0].variants[0].exploration.scenario).toBe('S2/bug');
  });

  test.each([
    [['S11'], /no race is called "S11" \(did you mean K11, S1\?\); hotrace races lists them/],
    [['nothing'], /no race is called "nothing"; hotrace races/],
    [['S1', '--all'], /--all is every race/],
  ])('%j', (args, says) => {
    const { out, err, code } = hotrace(['races', ...args]);
    expect([code, out]).toEqual([2, '']);
    expect(err).toMatch(says);
  });
});

// Both search the whole corpus.
describe('--all', () => {
  test('is a table with a line of totals, and exit code 0', () => {
    const { out, err, code } = hotrace(['races', '--all']);
    expect([code, err]).toEqual([0, '']);
    expect(out).toMatch(/^id +variant +kernel +found +states +s\n/);
    const variants = CORPUS.reduce((sum, race) => sum + race.variants.length, 0);
    expect(out.trimEnd().split('\n').at(-1)).toMatch(
      new RegExp(`^${CORPUS.length} races, ${variants} variants: all as expected; [\\d,]+ states`),
    );
    expectNarrow(out);
  });

  test('--json', () => {
    const { out, code } = hotrace(['races', '--all', '--json']);
    expect(code).toBe(0);
    const { variants } = JSON.parse(out) as { variants: Summary[] };
    expect(variants.map(({ race, name }) => `${race}/${name}`)).toEqual(
      CORPUS.flatMap(({ id, variants: own }) => own.map(({ name }) => `${id}/${name}`)),
    );
    for (const { asExpected, verdict, found } of variants) {
      expect(asExpected).toBe(true);
      expect(found.length > 0).toBe(verdict === 'violated');
    }
  });
});

describe('a variant is a scenario of explore', () => {
  test.each([
    ['S1', 1],
    ['s1/BUG', 1],
    ['S1/fixed: second mutex', 0],
    ['s1/fixed:-second-mutex', 0],
  ])('%s', (name, expected) => {
    const { out, code } = hotrace(['explore', name]);
    expect(code).toBe(expected);
    expect(out).toMatch(
      expected === 1 ? /^S1\/bug: violated/m : /^S1\/fixed: second mutex: clean/m,
    );
  });

  test('explore --list has them, after the others', () => {
    const { out } = hotrace(['explore', '--list']);
    expect(out).toMatch(/^S1\/ {3}bug \| fixed: callers serialise \| /m);
    expect(out).toMatch(/^storm\n/m);
    expectNarrow(out);
    const json = JSON.parse(hotrace(['explore', '--list', '--json']).out) as { name: string }[];
    const names = json.map(({ name }) => name);
    expect(names).toContain('S1/bug');
    expect(names.indexOf('S1/bug')).toBeGreaterThan(names.indexOf('storm'));
  });

  test.each([
    [['S1/nope'], /race S1 has no variant "nope"; it has "bug", "fixed: callers serialise"/],
    [['S1/bug', '--kernel', 'v5.10'], /S1\/bug does not depend on the kernel .*v3\.6\)/],
    [['S11'], /S11: neither a file nor a scenario .*did you mean K11, S1/],
  ])('%j', (args, says) => {
    const { err, code } = hotrace(['explore', ...args]);
    expect(err).toMatch(says);
    expect(code).toBe(2);
  });
});
