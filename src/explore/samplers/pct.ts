/**
 * PCT: threads have random priorities, the highest that can goes on, and at d - 1 random steps the
 * one that runs falls behind all others. A run hits a bug of depth d with at least 1 / (n k^(d-1)).
 * Source: Burckhardt, Kothari, Musuvathi, Nagarakatte, ASPLOS 2010.
 */

import type { MakeSampler } from './sampler.js';

/** @param depth d: how many orders of steps a bug needs */
export function pct(depth: number): MakeSampler {
  return (_program, random) => {
    let priorities: number[] = [];
    /** Step -> the low priority that it brings. */
    let changes = new Map<number, number>();
    return {
      begin(threads, longest) {
        priorities = Array.from({ length: threads }, () => depth + random.next());
        changes = new Map();
        for (let i = 1; i < depth; i++) changes.set(random.below(Math.max(1, longest)), i);
      },
      pick(_row, enabled, step) {
        const best = highest(priorities, enabled);
        const low = changes.get(step);
        if (low === undefined) return best;
        priorities[best] = depth - low;
        return highest(priorities, enabled);
      },
      steps: () => undefined,
    };
  };
}

/** The least that a run hits a bug of that depth with. `n`: threads, `k`: steps. */
export function pctBound(n: number, k: number, depth: number): number {
  return 1 / (n * Math.max(1, k) ** (depth - 1));
}

export function highest(priorities: readonly number[], among: readonly number[]): number {
  let best = among[0];
  for (const t of among) if (priorities[t] > priorities[best]) best = t;
  return best;
}
