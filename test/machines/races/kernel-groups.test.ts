/** The entries of the corpus about groups, their domains and how devices come and go. */

import { describe, expect, it } from 'vitest';
import { K11 } from '../../../machines/races/k11.js';
import { K12 } from '../../../machines/races/k12.js';
import { K14 } from '../../../machines/races/k14.js';
import { K15 } from '../../../machines/races/k15.js';
import { K19 } from '../../../machines/races/k19.js';
import { K20 } from '../../../machines/races/k20.js';
import { K21 } from '../../../machines/races/k21.js';
import { K22 } from '../../../machines/races/k22.js';
import { K23 } from '../../../machines/races/k23.js';
import { K39 } from '../../../machines/races/k39.js';
import { S3 } from '../../../machines/races/s3.js';
import { S8 } from '../../../machines/races/s8.js';
import { explore } from '../../../src/explore/explore.js';

describe.each([K11, K12, K14, K15, K19, K20, K21, K22, K23, K39, S3, S8])('$id $title', (race) => {
  it.each(race.variants)('$name, $kernel: $expected', (variant) => {
    const { verdict, counterexamples } = explore(variant.make());
    expect(verdict).toBe(variant.expected);
    expect(counterexamples.filter(({ confirmed }) => !confirmed)).toEqual([]);
    const rules = counterexamples.map(({ rule }) => rule);
    // Who throws is a scenario at fault, not a kernel.
    expect(rules).not.toContain('exception');
    for (const rule of variant.breaks ?? []) expect(rules).toContain(rule);
  });
});
