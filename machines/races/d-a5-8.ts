/** IOASIDs of an allocator that is not active any more. Source: D-A5-8. */

import { allocates, ioasidScenario, unregisters } from '../kernel/ioasid-scenario.js';
import type { IoasidSetup } from '../kernel/ioasid-scenario.js';
import type { Scenario } from '../scenario.js';
import { race } from './race.js';
import type { Race } from './race.js';

export const D_A5_8: Race = race({
  id: 'D-A5-8',
  title: 'One IOASID given out by two allocators',
  story:
    'IOASIDs of the default allocator keep others from becoming active: -EAGAIN. Those of a custom allocator keep nobody. It is unregistered while one is outstanding, the next allocator, with helpers of its own, becomes active, knows nothing of it and gives out the same number again.',
  commits: [],
  source: 'A5.3 D-A5-8, rule 3, INV-37',
  variants: [
    {
      name: 'bug: the next allocator starts afresh',
      expected: 'violated',
      breaks: ['INV-37'],
      kernel: 'v5.10, v6.1',
      make: () => scenarioOf({}),
    },
    {
      name: 'fixed: the first stays while one is outstanding',
      expected: 'clean',
      kernel: 'none: repaired in the model',
      make: () => scenarioOf({ code: { outstanding: 'refuses' } }),
    },
  ],
});

function scenarioOf(setup: Partial<IoasidSetup>): Scenario {
  return ioasidScenario({
    name: 'D-A5-8',
    story: D_A5_8.story,
    ops: { opsA: { pdata: 'iommu0' }, opsB: { helpers: 'smc', pdata: 'iommu1' } },
    registered: [['opsA'], ['opsB']],
    held: [1],
    spaces: 'each pdata',
    checks: ['unique'],
    ...setup,
    run: {
      'driver A: remove': (a) => unregisters(a, 'opsA'),
      ioasid_alloc: (a) => allocates(a, 1, 1),
    },
  });
}
