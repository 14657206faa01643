/**
 * SURW: a thread is chosen in proportion to the steps that it still has to make, so that orders come
 * up alike and not those of short threads more often. How many there are is learned from the runs
 * before. Source: Zhao, Mathur et al., "Selectively Uniform Concurrency Testing", ASPLOS 2025.
 */

import type { MakeSampler } from './sampler.js';

export const surw: MakeSampler = (program, random) => {
  const { trie, entities } = program;
  let left: number[] = [];
  return {
    begin() {
      // Children have larger numbers than their parents, but for loops, which count as one round.
      left = new Array<number>(trie.size).fill(0);
      for (let node = trie.size - 1; node > 0; node--) {
        let most = 0;
        for (const child of trie.children(node)) most = Math.max(most, 1 + left[child]);
        left[node] = most;
      }
    },
    pick(row, enabled) {
      const weights = enabled.map((t) => Math.max(1, left[row[entities + t]] ?? 1));
      let at = random.next() * weights.reduce((sum, weight) => sum + weight, 0);
      for (const [i, weight] of weights.entries()) {
        at -= weight;
        if (at < 0) return enabled[i];
      }
      return enabled[enabled.length - 1];
    },
    steps: () => undefined,
  };
};
