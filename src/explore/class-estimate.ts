/**
 * About how many classes of interleavings there are, where they are too many to be counted: random
 * descents in the sleep-set tree. One descent alone ends with the product of the branching factors on
 * its way, and the mean of that is the number of complete paths (Knuth, "Estimating the efficiency of
 * backtrack programs", Math. Comp. 29, 1975); but most end where all that can go on sleep, with 0.
 * So they are made in populations, in which others take their place; the mean of what those estimate
 * is the number just as well.
 */

import { MAX_PATH, pathPopulation } from './path-population.js';
import type { Program } from './program.js';
import { RandomNumbers } from './random-numbers.js';
import { onSleepGraph } from './sleep-graph.js';

export interface ClassEstimate {
  /** Infinity beyond 1.8e308; 0 where every descent ended asleep, which tells nothing. */
  readonly mean: number;
  /**
   * Half of the 95 % interval, from the standard error. The estimates have a long tail: on a large
   * tree the interval holds the truth less often than that, and the mean is rather too low. Infinity
   * where nothing is known; 0 where all agree, as they do when no descent had to make room.
   */
  readonly plusMinus: number;
  /** Populations times their size. */
  readonly descents: number;
  /** Some descent ended at a bound: the number is that of interleavings up to it. */
  readonly truncated: boolean;
}

export interface EstimateOptions {
  readonly seed?: number;
  readonly populations?: number;
  /** Descents of each population; 1 is Knuth's way. */
  readonly size?: number;
  /** ms, after which no population is begun; two are made in any case. */
  readonly time?: number;
  /** Steps of one descent. */
  readonly depth?: number;
}

const POPULATIONS = 32;
const SIZE = 256;

/** The same for the same seed, but for `time`. Throws ScenarioError where the scenario is at fault. */
export function estimateClasses(program: Program, options: EstimateOptions = {}): ClassEstimate {
  const { seed = 0, populations = POPULATIONS, size = SIZE, depth = MAX_PATH } = options;
  const deadline = performance.now() + (options.time ?? Infinity);
  return onSleepGraph(program, (graph) => {
    const random = new RandomNumbers(seed);
    const estimates = new RunningMean();
    let truncated = false;
    const enough = () => estimates.count >= 2 && performance.now() > deadline;
    while (estimates.count < populations && !enough()) {
      const { weight, cut } = pathPopulation(graph, random, size, depth);
      estimates.add(weight);
      if (cut) truncated = true;
    }
    const { mean, plusMinus } = estimates;
    return { mean, plusMinus, descents: estimates.count * size, truncated };
  });
}

/** Of Student's distribution: 95 % are not further from the mean (Abramowitz, Stegun, 26.7.5). */
function standardErrors(degrees: number): number {
  return 1.96 + 2.372 / degrees + 2.823 / degrees ** 2 + 2.556 / degrees ** 3;
}

/** Mean and deviation of numbers that are given, since they may be far too large, as logarithms. */
export class RunningMean {
  count = 0;
  /** ln of what all is divided by: the largest so far. */
  private scale = -Infinity;
  private part = 0;
  /** Sum of squared deviations (Welford). */
  private squares = 0;

  add(logarithm: number): void {
    if (logarithm > this.scale) {
      const shrink = Math.exp(this.scale - logarithm);
      this.part *= shrink;
      this.squares *= shrink * shrink;
      this.scale = logarithm;
    }
    const value = logarithm === -Infinity ? 0 : Math.exp(logarithm - this.scale);
    this.count++;
    const before = value - this.part;
    this.part += before / this.count;
    this.squares += before * (value - this.part);
  }

  get mean(): number {
    return this.scale === -Infinity ? 0 : Math.exp(this.scale + Math.log(this.part));
  }

  /** Half of the 95 % interval of the mean; Infinity for fewer than two numbers, or zeros only. */
  get plusMinus(): number {
    const { count, squares, scale } = this;
    if (count < 2 || scale === -Infinity) return Infinity;
    if (squares === 0) return 0;
    const error = Math.log(squares / (count - 1) / count) / 2;
    return standardErrors(count - 1) * Math.exp(scale + error);
  }
}
