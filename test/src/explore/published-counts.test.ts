/** Classes of interleavings: counted here, and published elsewhere. */

import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { classCounts } from '../../../src/explore/class-counts.js';
import type { ClassCounts } from '../../../src/explore/class-counts.js';
import { countClasses } from '../../../src/explore/trace-count.js';
import { Program } from '../../../src/explore/program.js';
import { footprint, sameValue } from './footprint.js';
import { PROGRAMS } from './published-programs.js';

interface Row {
  readonly family: string;
  readonly params: readonly number[];
  readonly traces: number;
  readonly note?: string;
}

const FILE = new URL('../../../../shared/exploration/published_counts.json', import.meta.url);
const published = existsSync(FILE)
  ? (JSON.parse(readFileSync(FILE, 'utf8')) as { readonly counts: readonly Row[] }).counts
  : [];
/** Those that a clone by itself checks. */
const OWN: readonly Row[] = [
  { family: 'readers', params: [6], traces: 64 },
  { family: 'lastzero', params: [5], traces: 64 },
  { family: 'mpat', params: [3], traces: 48 },
  { family: 'casrot', params: [5], traces: 43 },
  { family: 'multipc', params: [2, 3], traces: 66 },
  { family: 'dispatcher', params: [1, 4], traces: 80 },
  { family: 'concuerror/long_chain', params: [], traces: 20 },
];
/** States that are looked at; the largest, multipc(4, 5), has 3.5 million and takes most of the time. */
const LIMIT = 20_000_000;

describe('published counts', () => {
  test.each(
    [...OWN, ...published].map((row) => [`${row.family}(${row.params.join(', ')})`, row] as const),
  )('%s', { timeout: 180_000 }, (_, { family, params, traces, note }) => {
    const make = PROGRAMS[family];
    expect(make, `there is no program ${family}`).toBeDefined();
    const independent = /same value/.test(note ?? '') ? sameValue : footprint;
    const counted = countClasses(new Program(make(...params)), independent, LIMIT);
    expect(counted, `within ${LIMIT} states`).toBe(traces);
  });
});

test('exchanged by what the machines tell, there are never more classes', () => {
  for (const [family, params] of [
    ['ainc', [4]],
    ['lockinc', [3]],
    ['two_by_two_swapped', []],
  ] as const) {
    const make = () => new Program(PROGRAMS[family](...params));
    const { total } = classCounts(make()) as ClassCounts;
    expect(Number(total)).toBeLessThanOrEqual(countClasses(make(), footprint)!);
  }
});
