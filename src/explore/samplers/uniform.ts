/**
 * Uniform among the classes of interleavings: a rank is drawn, and the class of that rank is run.
 * Where the classes are too many to be counted, the runs of a population that was grown at random
 * follow each other: nearly uniform, the more so the larger it is. Where none of it came to an end, a
 * random walk takes its place. Source: exploration.md section 4.
 */

import type { ClassCounts } from '../class-counts.js';
import { MAX_PATH, pathPopulation } from '../path-population.js';
import type { Program } from '../program.js';
import type { RandomNumbers } from '../random-numbers.js';
import type { Move } from '../schedule.js';
import { onSleepGraph } from '../sleep-graph.js';
import type { SleepGraph } from '../sleep-graph.js';
import type { MakeSampler } from './sampler.js';

/** Runs that are drawn together where there is no count. */
export const POPULATION = 256;

export interface NearlyUniform {
  readonly population?: number;
  /** Steps of one run. */
  readonly depth?: number;
}

/** @param counts of the program that is sampled; undefined where its classes were not counted */
export function uniform(counts: ClassCounts | undefined, nearly: NearlyUniform = {}): MakeSampler {
  return (program, random) => {
    const draw =
      counts === undefined
        ? fromPopulation(program, random, nearly)
        : () => counts.path(random.belowBig(counts.total));
    let path: readonly Move[] = [];
    return {
      begin() {
        path = draw();
      },
      // Beyond the end of a run that was cut each thread alike.
      pick: (_row, enabled, step) => path[step]?.thread ?? enabled[random.below(enabled.length)],
      outcome: (outcomes, step) => path[step]?.outcome ?? random.below(outcomes),
      steps: () => undefined,
    };
  };
}

function fromPopulation(
  program: Program,
  random: RandomNumbers,
  { population = POPULATION, depth = MAX_PATH }: NearlyUniform,
): () => readonly Move[] {
  let known: SleepGraph | undefined;
  let waiting: (readonly Move[])[] = [];
  const grow = (graph: SleepGraph) => {
    known = graph;
    return [...pathPopulation(graph, random, population, depth).paths];
  };
  return () => {
    if (waiting.length === 0) waiting = onSleepGraph(program, grow, known);
    return waiting.pop() ?? [];
  };
}
