/** Every enabled thread alike, at every step: the baseline. */

import type { MakeSampler } from './sampler.js';

export const randomWalk: MakeSampler = (_program, random) => ({
  begin: () => undefined,
  pick: (_row, enabled) => enabled[random.below(enabled.length)],
  steps: () => undefined,
});
