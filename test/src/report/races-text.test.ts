/** The corpus as text: narrow whatever names are long, and loud where something is not as expected. */

import { describe, expect, test } from 'vitest';
import { raceById } from '../../../machines/races/corpus.js';
import type { Race } from '../../../machines/races/race.js';
import { runVariant } from '../../../src/explore/corpus-run.js';
import { grid } from '../../../src/report/grid.js';
import { corpusText, racesText, raceText, variantText } from '../../../src/report/races-text.js';

const S1 = raceById('S1')!;
const LONG: Race = {
  ...S1,
  id: 'K99',
  title:
    'Two devices of one group that are probed at the same time are each given a default domain',
  commits: [
    {
      id: '211ff31b3d33',
      subject: 'iommu: Fix race condition during default domain allocation, told at great length',
      since: 'v5.15',
      cve: 'CVE-2023-54095',
    },
  ],
  variants: S1.variants.map((variant) => ({
    ...variant,
    name: `${variant.name} as somebody has posted it to the list`,
    kernel: '211ff31b3d33 (v5.15, in v5.14 stable)',
  })),
};

function expectNarrow(text: string): void {
  for (const line of text.split('\n')) expect(line.length, line).toBeLessThanOrEqual(80);
}

test('is narrow', () => {
  const runs = LONG.variants.map((variant) => runVariant(LONG, variant));
  for (const text of [
    racesText([LONG]),
    raceText(LONG),
    ...runs.map(variantText),
    corpusText(runs, 1),
  ]) {
    expectNarrow(text);
  }
});

test('a list names the kernels of bug and fix, and the CVE', () => {
  const [variant] = S1.variants;
  const race: Race = {
    ...LONG,
    title: 'Short',
    variants: [
      { ...variant, kernel: 'v5.14' },
      { ...variant, expected: 'clean', kernel: 'v5.15' },
    ],
  };
  expect(racesText([race])).toBe('K99  Short\n     v5.14 -> v5.15  CVE-2023-54095\n');
});

test('what is not as expected is said, with the reason', () => {
  const wrong = { ...S1.variants[0], breaks: ['INV-24'] };
  const run = runVariant(S1, wrong);
  const one = variantText(run).replace(/\s+/g, ' ');
  expect(one).toContain('found violated: INV-01, INV-03. NOT AS EXPECTED: INV-01, INV-03 broken');
  const all = corpusText([run, runVariant(S1, S1.variants[1])], 1234);
  expect(all).toContain(
    'NOT AS EXPECTED: S1/bug: expected violated: INV-24; INV-01, INV-03 broken\n' +
      '1 race, 2 variants: 1 as expected;',
  );
  expect(all).toMatch(/, 1\.2 s\n$/);
});

describe('grid', () => {
  const look = { width: 20, folds: [1], right: [2] };

  test('wraps the column that may be, at blanks', () => {
    const rows = [
      ['a', 'words', 'n'],
      ['K1', 'one two three four', '12'],
    ];
    expect(grid(rows, look)).toEqual([
      'a   words          n',
      'K1  one two       12',
      '    three four',
    ]);
  });

  test('is wider than asked rather than to break a word', () => {
    const rows = [
      ['a', 'b', 'n'],
      ['K1', 'partial-deadlock deadlock', '12'],
    ];
    expect(grid(rows, look)).toEqual([
      'a   b                  n',
      'K1  partial-deadlock  12',
      '    deadlock',
    ]);
  });
});
