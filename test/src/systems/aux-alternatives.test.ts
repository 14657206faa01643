/** The alternatives of 2020 against what kernel-semantics.md A4 says of each. */

import { describe, expect, test } from 'vitest';
import { auxAlternatives, auxAlternativesText } from '../../../src/systems/aux-alternatives.js';

const ROWS = auxAlternatives();
const EACH = ['v5.10', 'v2', 'v3', 'ALT-1', 'ALT-2', 'ALT-3 as quoted', 'ALT-3', 'ALT-2, whole'];

/** The alternatives that do not have a property. */
function lack(property: string): readonly string[] {
  const { cells } = ROWS.find((row) => row.property === property)!;
  return cells.filter(({ verdict }) => verdict === 'broken').map(({ alternative }) => alternative);
}

/** A4.2: v2 takes group->mutex inside iommu_group_for_each_dev: whatever is asked, it hangs. */
const HANGS = 'v2';
/** D-A4-2: nothing is attached and the caller is told that it is. */
const NOTHING = 'ALT-3 as quoted';

test('each alternative is held against each property', () => {
  for (const { cells } of ROWS) expect(cells.map(({ alternative }) => alternative)).toEqual(EACH);
});

test('v2 deadlocks in every attach', () => {
  for (const { property, cells } of ROWS) {
    const { by } = cells.find(({ alternative }) => alternative === HANGS)!;
    expect([property, by]).toEqual([property, property === 'P-A4-8' ? [] : ['deadlock']]);
  }
});

describe('who lacks what', () => {
  test.each([
    // "an API that sets and aux domain for a group while entirely ignoring the devices"
    ['P-A4-1', [HANGS, 'v3', NOTHING]],
    // "We couldn't assume that all devices in an iommu group shares a same iommu_device"
    ['P-A4-2', [HANGS, 'v3', NOTHING]],
    // "our VF backed mdevs will have the same issue": ALT-1 attaches aux only.
    ['P-A4-2 wrapped', [HANGS, 'v3', 'ALT-1', NOTHING]],
    // The motivation of the series: v5.10 sets no group->domain.
    ['P-A4-3', ['v5.10', HANGS]],
    ['P-A4-4', ['v5.10', HANGS]],
    // D-A4-1: v3 has no guard, and none was proposed.
    ['INV-36', ['v5.10', HANGS, 'v3', 'ALT-1', 'ALT-2', NOTHING, 'ALT-3']],
    ['P-A4-5', [HANGS, 'v3', NOTHING]],
    ['P-A4-6', [HANGS]],
    // "not in any posted version"; one call has no part to undo.
    ['P-A4-7', ['v5.10', HANGS, 'ALT-1', 'ALT-2', 'ALT-3']],
    // "I'd steer away from dma_alias terminology"
    ['P-A4-8', [NOTHING, 'ALT-3']],
    // "All alternatives hit K27 if two members share one parent"
    ['K27', ['v5.10', HANGS, 'ALT-1', 'ALT-2', 'ALT-3', 'ALT-2, whole']],
    ['K27 groups', ['v5.10', HANGS, 'v3', 'ALT-1', 'ALT-2', 'ALT-3', 'ALT-2, whole']],
    ['K27 parents', ['v5.10', HANGS, 'ALT-1', 'ALT-2', 'ALT-3', 'ALT-2, whole']],
    ['K27 v5.11', [HANGS]],
  ])('%s', (property, alternatives) => {
    expect(lack(property)).toEqual(alternatives);
  });
});

test('the table fits a terminal', () => {
  const text = auxAlternativesText(ROWS);
  for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
  for (const { property } of ROWS) expect(text).toContain(property);
  expect(text).toContain('ALT-2, whole');
});
