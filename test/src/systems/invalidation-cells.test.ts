/** The cells of A3, computed, against what the specification says of them. */

import { beforeAll, describe, expect, test } from 'vitest';
import { cachesOf, FLAGS } from '../../../machines/kernel/invalidate.js';
import type { CacheName } from '../../../machines/iotlb.js';
import {
  genericCells,
  invalidationCells,
  invalidationCellsText,
  opaqueCells,
} from '../../../src/systems/invalidation-cells.js';
import type { CellRow } from '../../../src/systems/invalidation-cells.js';

let rows: readonly CellRow[];
beforeAll(() => {
  rows = invalidationCells();
}, 60_000);

/** A3.2: "Valid cells"; by granularity 0, 1, 2. */
const VALID: readonly (readonly CacheName[])[] = [
  ['IOTLB', 'PASID'],
  ['IOTLB', 'DEV_IOTLB', 'PASID'],
  ['IOTLB', 'DEV_IOTLB'],
];
/** inv_type_granu_table: what is not -EINVAL there. */
const ON_VTD: readonly (readonly CacheName[])[] = [[], ['IOTLB'], ['IOTLB', 'DEV_IOTLB']];

function isValid({ cache, granularity, flags }: CellRow): boolean {
  if (granularity > 2 || cache > 7) return false;
  // Flags are looked at where the granularity has any.
  if (granularity === 1 && flags !== FLAGS.PASID) return false;
  if (granularity === 2 && (flags & ~7) !== 0) return false;
  return cachesOf(cache).every((each) => VALID[granularity].includes(each));
}

test('every cell is there once', () => {
  const keys = rows.map(({ cache, granularity, flags }) => `${cache} ${granularity} ${flags}`);
  expect(new Set(keys).size).toBe(9 * 4 * 3);
  expect(keys.length).toBe(9 * 4 * 3);
});

test('the generic layer lets pass what A3.2 lists, and nothing else', () => {
  for (const row of rows) expect([row, row.checked]).toEqual([row, isValid(row) ? 0 : -22]);
});

test('INV-44: what it refuses has no effect', () => {
  const refused = rows.filter(({ checked }) => checked !== 0);
  expect(refused.length).toBeGreaterThan(50);
  for (const { ret, effect, more, others } of refused) {
    expect([ret, effect, more, others]).toEqual([-22, 'nothing', false, false]);
  }
});

test('D-A3-2: VT-d returns 0 for the rest, and stops at what it has not', () => {
  const passed = rows.filter((row) => isValid(row) && row.cache !== 0);
  for (const row of passed) {
    const caches = cachesOf(row.cache);
    const bad = caches.findIndex((each) => !ON_VTD[row.granularity].includes(each));
    const done = bad < 0 ? caches : caches.slice(0, bad);
    // With ATS, whatever is done is done to the TLB of the device as well.
    const covered = caches.filter(
      (each) => done.includes(each) || (each === 'DEV_IOTLB' && done.length > 0),
    );
    const effect =
      covered.length === 0 ? 'nothing' : covered.length < caches.length ? 'part' : 'complete';
    expect([row, row.ret, row.effect]).toEqual([row, 0, effect]);
  }
  const partial = passed.filter(({ effect }) => effect !== 'complete');
  expect(partial.length).toBeGreaterThan(0);
  expect(partial.length).toBeLessThan(passed.length);
});

test('P-A3-6: no cell takes anything of another domain', () => {
  expect(rows.filter(({ others }) => others)).toEqual([]);
});

test('a request of no cache is a success that does nothing', () => {
  const none = rows.find(
    ({ cache, granularity, flags }) => cache === 0 && granularity === 0 && flags === 1,
  );
  expect(none).toMatchObject({ checked: 0, ret: 0, effect: 'nothing' });
});

test('where unsupported cells are refused first, 0 is complete and an error is nothing', () => {
  const driver = { unsupported: 'is refused first', unaligned: 'warns' } as const;
  for (const { cache, ret, effect } of invalidationCells(driver)) {
    if (cache === 0) continue;
    expect(effect).toBe(ret === 0 ? 'complete' : 'nothing');
  }
});

test('the text has the cells of A3.2, in 80 columns', () => {
  const lines = invalidationCellsText(rows).split('\n');
  for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
  expect(lines).toContain('IOTLB+PASID            0, nothing  0, part      -EINVAL');
});

describe('as posted in 2017', () => {
  const cells = opaqueCells();
  const of = (checked: string, model: string) =>
    cells.filter((row) => row.interface === `opaque, of ${model}, ${checked} checked`);

  test('P-A3-4: data of another model are taken for its own where nothing is checked', () => {
    const effects = of('nothing', 'SMMUv3').map(({ ret, effect }) => [ret, effect]);
    expect(effects).toContainEqual([0, 'nothing']);
    for (const { ret } of of('nothing', 'SMMUv3')) expect(ret).toBe(0);
  });

  test('and are refused where model and length are', () => {
    const rowsChecked = of('model and length', 'SMMUv3');
    expect(rowsChecked.map(({ ret, effect }) => [ret, effect])).toEqual(
      Array.from({ length: 3 }, () => [-22, 'nothing']),
    );
  });

  test.each(['nothing', 'model and length'])(
    'its own data are right with %s checked',
    (checked) => {
      expect(of(checked, 'VT-d').map(({ ret, effect }) => [ret, effect])).toEqual(
        Array.from({ length: 3 }, () => [0, 'complete']),
      );
    },
  );
});

test('P-A3-2: three granularities and a hint that only leaves are meant are all a caller needs', () => {
  for (const { granularity, leaf, ret, effect, others } of genericCells()) {
    const fits = !leaf || granularity === 'page';
    expect([ret, effect, others]).toEqual([fits ? 0 : -22, fits ? 'complete' : 'nothing', false]);
  }
});
