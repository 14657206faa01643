/** The five rules of ioasid.c against what kernel-semantics.md A5 says of each version. */

import { expect, test } from 'vitest';
import { ioasidRules, ioasidRulesText } from '../../../src/systems/ioasid-rules.js';

const ROWS = ioasidRules();

test.each([
  [1, [], 'holds'],
  [2, [], 'no allocators'],
  // D-A5-6: WARN only, orphaned
  [3, ['D-A5-6'], 'no allocators'],
  // D-A5-3: nothing switches ops
  [4, ['D-A5-3'], 'no allocators'],
  // RG2 answers -EAGAIN; the way back to the default allocator only warns
  [5, ['D-A5-6'], 'no allocators'],
] as const)('rule %i', (rule, shipped, simplified) => {
  const { cells } = ROWS.find((row) => row.rule === rule)!;
  expect(cells).toEqual([
    { version: 'as shipped', verdict: shipped.length === 0 ? 'holds' : 'broken', by: shipped },
    { version: 'repaired', verdict: 'holds', by: [] },
    { version: 'simplified', verdict: simplified, by: [] },
  ]);
});

test('the table fits a terminal', () => {
  const text = ioasidRulesText(ROWS);
  for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
  expect(text).toContain('broken by D-A5-3');
});
