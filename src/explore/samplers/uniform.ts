/**
 * Uniform among the classes of interleavings: a rank is drawn, and the class of that rank is run.
 * Where the classes are too many to be counted, a few random descents are made for each run and one
 * of them is taken in proportion to its weight, the product of the branching factors on its way: the
 * more descents, the nearer to uniform (importance resampling; Rubin, Bayesian Statistics 3, 1988).
 * Source: exploration.md section 4.
 */

import type { ClassCounts } from '../class-counts.js';
import { descend, MAX_DESCENT } from '../class-estimate.js';
import type { Program } from '../program.js';
import type { RandomNumbers } from '../random-numbers.js';
import type { Move } from '../schedule.js';
import { onSleepGraph } from '../sleep-graph.js';
import type { SleepGraph } from '../sleep-graph.js';
import type { MakeSampler } from './sampler.js';

/** Descents for one run. */
export const CANDIDATES = 8;

/**
 * @param counts of the program that is sampled; undefined where they are too many
 * @param depth steps of one descent
 */
export function uniform(counts: ClassCounts | undefined, depth = MAX_DESCENT): MakeSampler {
  return (program, random) => {
    const draw =
      counts === undefined
        ? weighted(program, random, depth)
        : () => counts.path(random.belowBig(counts.total));
    let path: readonly Move[] = [];
    return {
      begin() {
        path = draw();
      },
      // Beyond the end of a descent that was cut each thread alike.
      pick: (_row, enabled, step) => path[step]?.thread ?? enabled[random.below(enabled.length)],
      outcome: (outcomes, step) => path[step]?.outcome ?? random.below(outcomes),
      steps: () => undefined,
    };
  };
}

function weighted(program: Program, random: RandomNumbers, depth: number): () => readonly Move[] {
  let known: SleepGraph | undefined;
  const draw = (graph: SleepGraph): readonly Move[] => {
    known = graph;
    const candidates = Array.from({ length: CANDIDATES }, () => descend(graph, random, depth));
    const largest = Math.max(...candidates.map(({ weight }) => weight));
    // All ended where only sleepers could go on: any of them is as good a beginning.
    if (largest === -Infinity) return candidates[0].moves;
    const weights = candidates.map(({ weight }) => Math.exp(weight - largest));
    let at = random.next() * weights.reduce((sum, weight) => sum + weight, 0);
    const chosen = weights.findIndex((weight) => (at -= weight) < 0);
    return candidates[chosen < 0 ? weights.indexOf(1) : chosen].moves;
  };
  return () => onSleepGraph(program, draw, known);
}
