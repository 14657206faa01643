/**
 * Complete paths of the sleep-set graph, nearly uniformly, where there are too many to be counted:
 * stochastic enumeration. Some paths grow together; of all the paths that they can become by a step,
 * so many are kept, each alike, and what ends where all that can go on sleep makes room for others.
 * With room for all it is the enumeration. Source: Vaisman, Kroese, "Stochastic enumeration method
 * for counting trees", Methodology and Computing in Applied Probability 19, 2017.
 */

import type { RandomNumbers } from './random-numbers.js';
import type { Move } from './schedule.js';
import type { SleepGraph } from './sleep-graph.js';

interface Path extends Move {
  readonly before: Path | undefined;
}

interface Grown {
  readonly row: Int32Array;
  readonly path: Path | undefined;
  readonly ended: boolean;
}

export interface PathPopulation {
  /** At most `size` different ones, in random order; none where all that were kept ended asleep. */
  readonly paths: readonly (readonly Move[])[];
  /** ln of an estimate, without bias, of the number of complete paths; -Infinity for 0. */
  readonly weight: number;
  /** Some path ended after `depth` steps. */
  readonly cut: boolean;
}

/** Steps of one path. */
export const MAX_PATH = 10_000;

export function pathPopulation(
  graph: SleepGraph,
  random: RandomNumbers,
  size: number,
  depth = MAX_PATH,
): PathPopulation {
  const { program } = graph;
  // Of the paths so far there are so many for each that was kept: the product of offered / kept.
  let weight = 0;
  let grown: Grown[] = [{ row: graph.start(), path: undefined, ended: false }];
  for (let step = 0; step < depth && grown.some(({ ended }) => !ended); step++) {
    const kept: Grown[] = [];
    let offered = 0;
    /** The place of the next that is offered; `size` and above: none. */
    const place = () => {
      const n = offered++;
      return n < size ? n : random.below(offered);
    };
    for (const parent of grown) {
      const { row, path } = parent;
      const enabled = parent.ended ? 0 : graph.enabled(row);
      if (enabled === 0) {
        const at = place();
        if (at < size) kept[at] = parent.ended ? parent : { row, path, ended: true };
        continue;
      }
      let asleep = graph.asleep(row);
      for (let todo = enabled & ~asleep; todo !== 0; todo &= todo - 1) {
        const thread = 31 - Math.clz32(todo & -todo);
        const outcomes = program.outcomes(row, thread);
        let still = -1;
        for (let outcome = 0; outcome < outcomes; outcome++) {
          const at = place();
          if (at >= size) continue;
          if (still < 0) still = graph.still(row, asleep, thread);
          const next = row.slice();
          graph.step(next, thread, outcome, still);
          kept[at] = { row: next, path: { thread, outcome, before: path }, ended: false };
        }
        asleep |= 1 << thread;
      }
    }
    grown = kept;
    weight += Math.log(offered / kept.length);
  }
  return {
    paths: shuffled(grown, random).map(({ path }) => movesOf(path)),
    weight: grown.length === 0 ? -Infinity : weight + Math.log(grown.length),
    cut: grown.some(({ row, ended }) => !ended && graph.enabled(row) !== 0),
  };
}

function movesOf(path: Path | undefined): Move[] {
  const moves: Move[] = [];
  for (let at = path; at !== undefined; at = at.before) {
    moves.push({ thread: at.thread, outcome: at.outcome });
  }
  return moves.reverse();
}

/** Fisher and Yates. */
function shuffled<T>(list: readonly T[], random: RandomNumbers): T[] {
  const order = [...list];
  for (let i = order.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}
