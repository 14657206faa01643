/** A custom alloc() that answers an id that is somebody's already. Source: D-A5-7. */

import type { IoasidHelpers } from '../kernel/ioasid.js';
import { allocates, frees, ioasidScenario } from '../kernel/ioasid-scenario.js';
import type { IoasidSetup } from '../kernel/ioasid-scenario.js';
import { load } from '../kernel/memory.js';
import type { Scenario } from '../scenario.js';
import { send } from '../step.js';
import { race } from './race.js';
import type { Race } from './race.js';

/** A host that gives the id that it has given before. */
const FORGETS: IoasidHelpers = {
  *alloc(_min, _max, pdata) {
    yield* load(pdata, 'reg');
    return 1;
  },
  *free(pasid) {
    yield* send('backend', { type: 'free', pasid }, `vcmd_free_pasid(${pasid})`);
  },
};

export const D_A5_7: Race = race({
  id: 'D-A5-7',
  title: "An allocation that fails frees another owner's IOASID",
  story:
    "The alloc() of a custom allocator answers an id that is in the space already. The framework cannot store it, and gives it back to the backend as if it were its own: it is that of the other owner, who still uses it. What that owner frees later may be a third one's by then.",
  commits: [],
  source: 'A5.3 D-A5-7, INV-37',
  variants: [
    {
      name: 'bug: given back',
      expected: 'violated',
      breaks: ['INV-37'],
      kernel: 'v5.10, v6.1',
      make: () => scenarioOf({}),
    },
    {
      name: 'fixed: left with its owner',
      expected: 'clean',
      kernel: 'none: repaired in the model',
      make: () => scenarioOf({ code: { takenId: 'kept' } }),
    },
  ],
});

function scenarioOf(setup: Partial<IoasidSetup>): Scenario {
  return ioasidScenario({
    name: 'D-A5-7',
    story: D_A5_7.story,
    ops: { opsA: { pdata: 'iommu0' } },
    registered: [['opsA']],
    held: [1],
    checks: ['unique'],
    helpers: { vcmd: FORGETS },
    ...setup,
    run: {
      ioasid_alloc: (a) => allocates(a),
      ioasid_free: (a) => frees(a, 1),
    },
  });
}
