/** How many classes of interleavings a scenario has: counted, or else estimated. */

import type { Scenario } from '../../machines/scenario.js';
import { ClassCounts, classCounts } from './class-counts.js';
import type { ClassCountLimits, Uncounted } from './class-counts.js';
import { estimateClasses } from './class-estimate.js';
import { DEFAULT_MAX_STEPS, Program } from './program.js';

export interface ClassNumber {
  readonly scenario: string;
  readonly exact: boolean;
  /** Exact up to 2^53 - 1; the mean of an estimate; undefined where some interleaving never ends. */
  readonly classes: number | undefined;
  /** Half of the 95 % interval; 0 where it is exact. */
  readonly plusMinus: number | undefined;
  /** All digits of an exact number. */
  readonly digits: string | undefined;
  /** States with their sleep sets that were counted. */
  readonly pairs: number | undefined;
  /** Random descents of an estimate, and their seed. */
  readonly descents: number | undefined;
  readonly seed: number | undefined;
  /** Why it was not counted. */
  readonly cut: Uncounted | undefined;
  /** Some thread or descent made more steps than are looked at: it is the number up to them. */
  readonly truncated: boolean;
}

export interface ClassNumberOptions {
  /** Of the count; of the time each of count and estimate has half. */
  readonly limits?: ClassCountLimits;
  /** Of the estimate. */
  readonly seed?: number;
  /** Steps of one thread. */
  readonly steps?: number;
}

/** Throws ScenarioError where the scenario itself is at fault. */
export function classNumber(scenario: Scenario, options: ClassNumberOptions = {}): ClassNumber {
  const { limits = {}, seed = 0, steps = DEFAULT_MAX_STEPS } = options;
  const program = new Program(scenario, steps);
  const time = limits.time === undefined ? {} : { time: limits.time / 2 };
  const counted = classCounts(program, { ...limits, ...time });
  const none = { scenario: scenario.name, digits: undefined, pairs: undefined, cut: undefined };
  if (counted instanceof ClassCounts) {
    const { total, pairs, truncated } = counted;
    const classes = Number(total);
    const exact = { exact: true, classes, plusMinus: 0, digits: total.toString(), pairs };
    return { ...none, ...exact, descents: undefined, seed: undefined, truncated };
  }
  const uncounted = { ...none, exact: false, cut: counted, seed };
  if (counted === 'endless') {
    const unknown = { classes: undefined, plusMinus: undefined, descents: undefined };
    return { ...uncounted, ...unknown, truncated: false };
  }
  const { mean, plusMinus, descents, truncated } = estimateClasses(program, { seed, ...time });
  return { ...uncounted, classes: mean, plusMinus, descents, truncated };
}
