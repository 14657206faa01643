/**
 * About how many classes of interleavings there are, where they are too many to be counted: random
 * descents in the sleep-set tree. Each ends with the product of the branching factors on its way, or
 * with 0 where all that can go on sleep; the mean of that is the number of complete paths. Source:
 * Knuth, "Estimating the efficiency of backtrack programs", Math. Comp. 29, 1975.
 */

import type { Program } from './program.js';
import { RandomNumbers } from './random-numbers.js';
import type { Move } from './schedule.js';
import { onSleepGraph } from './sleep-graph.js';
import type { SleepGraph } from './sleep-graph.js';

export interface Descent {
  readonly moves: readonly Move[];
  /** ln of the product of the branching factors; -Infinity where all that can go on sleep. */
  readonly weight: number;
  /** It ended at the bound on its steps. */
  readonly cut: boolean;
}

/** Steps of one descent. */
export const MAX_DESCENT = 10_000;

/** One random descent, each child alike. */
export function descend(graph: SleepGraph, random: RandomNumbers, depth = MAX_DESCENT): Descent {
  const { program } = graph;
  const row = graph.start();
  const moves: Move[] = [];
  let weight = 0;
  while (moves.length < depth) {
    const enabled = graph.enabled(row);
    if (enabled === 0) return { moves, weight, cut: false };
    let asleep = graph.asleep(row);
    let children = 0;
    for (let todo = enabled & ~asleep; todo !== 0; todo &= todo - 1) {
      children += program.outcomes(row, 31 - Math.clz32(todo & -todo));
    }
    if (children === 0) return { moves, weight: -Infinity, cut: false };
    weight += Math.log(children);
    let outcome = children === 1 ? 0 : random.below(children);
    for (let todo = enabled & ~asleep; ; todo &= todo - 1) {
      const thread = 31 - Math.clz32(todo & -todo);
      const outcomes = program.outcomes(row, thread);
      if (outcome < outcomes) {
        graph.step(row, thread, outcome, graph.still(row, asleep, thread));
        moves.push({ thread, outcome });
        break;
      }
      outcome -= outcomes;
      asleep |= 1 << thread;
    }
  }
  return { moves, weight, cut: true };
}

export interface ClassEstimate {
  /** Infinity beyond 1.8e308. */
  readonly mean: number;
  /**
   * Half of the 95 % interval, from the standard error. The weights have a long tail: with few
   * descents on a large tree the interval holds the truth less often, and the mean is rather too low.
   */
  readonly plusMinus: number;
  readonly descents: number;
  /** Some descent ended at a bound: the number is that of interleavings up to it. */
  readonly truncated: boolean;
}

export interface EstimateOptions {
  readonly seed?: number;
  /** How many. */
  readonly descents?: number;
  /** ms, after which no descent begins; two are made in any case. */
  readonly time?: number;
  /** Steps of one descent. */
  readonly depth?: number;
}

const DEFAULT_DESCENTS = 10_000;
/** Of the normal distribution: 95 % are not further from the mean. */
const STANDARD_ERRORS = 1.96;

/** The same for the same seed, but for `time`. Throws ScenarioError where the scenario is at fault. */
export function estimateClasses(program: Program, options: EstimateOptions = {}): ClassEstimate {
  const { seed = 0, descents = DEFAULT_DESCENTS, time = Infinity, depth = MAX_DESCENT } = options;
  const deadline = performance.now() + time;
  return onSleepGraph(program, (graph) => {
    const random = new RandomNumbers(seed);
    const mean = new RunningMean();
    let truncated = false;
    while (mean.count < descents && (mean.count < 2 || performance.now() < deadline)) {
      const { weight, cut } = descend(graph, random, depth);
      mean.add(weight);
      if (cut) truncated = true;
    }
    return { ...mean.result(), truncated };
  });
}

/** Mean and deviation of numbers that are given, and may be far too large, as logarithms. */
export class RunningMean {
  count = 0;
  /** What all is divided by: ln of the largest so far. */
  private scale = -Infinity;
  private mean = 0;
  /** Sum of squared deviations (Welford). */
  private squares = 0;

  add(logarithm: number): void {
    if (logarithm > this.scale) {
      const shrink = Math.exp(this.scale - logarithm);
      this.mean *= shrink;
      this.squares *= shrink * shrink;
      this.scale = logarithm;
    }
    const value = logarithm === -Infinity ? 0 : Math.exp(logarithm - this.scale);
    this.count++;
    const before = value - this.mean;
    this.mean += before / this.count;
    this.squares += before * (value - this.mean);
  }

  result(): { readonly mean: number; readonly plusMinus: number; readonly descents: number } {
    const { count, mean, squares, scale } = this;
    if (scale === -Infinity)
      return { mean: 0, plusMinus: count < 2 ? Infinity : 0, descents: count };
    const error = count < 2 ? Infinity : Math.sqrt(squares / (count - 1) / count);
    return {
      mean: Math.exp(scale + Math.log(mean)),
      plusMinus: error === 0 ? 0 : STANDARD_ERRORS * Math.exp(scale + Math.log(error)),
      descents: count,
    };
  }
}
