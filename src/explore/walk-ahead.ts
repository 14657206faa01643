/** Walks before a search, so that most of what threads do is known when it begins. */

import { checkThreads } from './program.js';
import type { Program } from './program.js';
import { RandomNumbers } from './random-numbers.js';

/** Walks, where nothing else is said. */
export const WALKS = 64;
const WALK_STEPS = 1000;
/** So many walks in a row that meet nothing new are enough. */
const IDLE_WALKS = 8;

/** Makes random walks, always the same. Throws ScenarioError where the scenario is at fault. */
export function walkAhead(program: Program, walks: number): void {
  const { trie } = program;
  const random = new RandomNumbers(0);
  for (let walk = 0, met = 0; walk < walks && walk - met < IDLE_WALKS; walk++) {
    const threads = trie.threads.length;
    const { size } = trie;
    checkThreads(threads);
    const row = program.start(threads);
    // A walk that meets a thread for the first time ends there: it has no column.
    for (let step = 0; step < WALK_STEPS && trie.threads.length === threads; step++) {
      const enabled: number[] = [];
      for (let t = 0; t < threads; t++) if (program.enabled(row, t)) enabled.push(t);
      if (enabled.length === 0) break;
      const t = enabled[random.below(enabled.length)];
      program.step(row, t, random.below(program.outcomes(row, t)));
    }
    if (trie.size > size) met = walk;
  }
}
