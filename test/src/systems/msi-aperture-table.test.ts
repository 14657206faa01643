/** The table of A2.3 computed, cell by cell equal to the specification's. */

import { beforeAll, describe, expect, test } from 'vitest';
import {
  apertureTable,
  apertureTableText,
  settersTable,
} from '../../../src/systems/msi-aperture-table.js';
import type { ApertureRow, SettersRow } from '../../../src/systems/msi-aperture-table.js';

let rows: readonly ApertureRow[];
let setters: readonly SettersRow[];
beforeAll(() => {
  rows = apertureTable();
  setters = settersTable();
}, 60_000);

/** The rows of A2.3 as they stand there; `any` is every order. */
const SPECIFIED = [
  ['(0, 0)', 'start, end', 'start, end', true],
  ['(0, 0)', 'start, end', 'end, start', false],
  ['(0, 0)', 'end, start', 'any', true],
  ['(MAX, 0)', 'any', 'any', false],
] as const;

test.each(SPECIFIED)('%s, stores %s, loads %s: wrong is %s', (unset, stores, loads, wrong) => {
  const meant = rows.filter(
    (row) =>
      row.unset === unset &&
      (stores === 'any' || row.stores === stores) &&
      (loads === 'any' || row.loads === loads),
  );
  expect(meant.length).toBe((stores === 'any' ? 2 : 1) * (loads === 'any' ? 4 : 1));
  for (const row of meant) expect([row.loads, row.wrong.words]).toEqual([row.loads, wrong]);
});

test('every combination is a row, once', () => {
  expect(new Set(rows.map(({ unset, stores, loads }) => `${unset} ${stores} ${loads}`)).size).toBe(
    2 * 2 * 4,
  );
});

test('the wrong pair is start as it was and end as it is set', () => {
  const [first] = rows;
  expect(first.says).toContain('(0x0, 0x80fffff)');
});

test('a struct copy is as wrong as the worst of its orders', () => {
  for (const row of rows.filter(({ loads }) => loads === 'either')) {
    const orders = rows.filter(
      (each) =>
        each.unset === row.unset &&
        each.stores === row.stores &&
        (each.loads === 'start, end' || each.loads === 'end, start'),
    );
    for (const column of ['words', 'halves', 'across'] as const) {
      expect(row.wrong[column]).toBe(orders.some(({ wrong }) => wrong[column] === true));
    }
  }
});

describe('beyond the specification', () => {
  test('halves change nothing, unless the aperture crosses 4 GiB: then no order helps', () => {
    for (const { wrong } of rows) {
      expect(wrong.halves).toBe(wrong.words);
      expect(wrong.across).toBe(true);
    }
  });

  test('a seqcount and a mutex help whatever the order', () => {
    for (const { loads, wrong } of rows) {
      const none = loads === 'at once' ? null : false;
      expect([wrong.seqcount, wrong.mutex]).toEqual([none, none]);
    }
  });

  test('an aperture from 0 on is right in any order', () => {
    for (const { wrong } of rows) expect(wrong['from 0']).toBe(false);
  });
});

test.each([
  [false, ['(A, A)', '(A, B)', '(B, A)', '(B, B)'], true],
  [true, ['(A, A)', '(B, B)'], false],
])('two writers, serialised %s: %s', (serialised, published, bothSucceed) => {
  const found = setters.filter((row) => row.serialised === serialised);
  expect(found.length).toBe(2);
  for (const row of found) {
    expect([row.published, row.bothSucceed]).toEqual([published, bothSucceed]);
  }
});

test('the text has a line for each row, in 80 columns', () => {
  const lines = apertureTableText(rows, setters).split('\n');
  for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
  expect(lines.filter((line) => /^\((0|MAX), 0\) /.test(line)).length).toBe(rows.length);
  expect(lines).toContain(
    '(0, 0)    start, end  start, end  WRONG  WRONG   WRONG   no        no     no',
  );
});
