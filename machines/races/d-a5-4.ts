/** For which IOMMU the helpers of an allocator are called. Source: D-A5-4. */

import { allocates, frees, ioasidScenario, unregisters } from '../kernel/ioasid-scenario.js';
import type { IoasidSetup } from '../kernel/ioasid-scenario.js';
import type { Scenario } from '../scenario.js';
import { race } from './race.js';
import type { Race } from './race.js';

export const D_A5_4: Race = race({
  id: 'D-A5-4',
  title: 'Helpers of an IOASID allocator called for the wrong pdata',
  story:
    'All that share helpers are served with the pdata of the first. When the IOMMU of the first goes, its ops being static data of the driver, the helpers are called for an IOMMU that is not there any more. And where the ops of the container are switched, an IOASID that came through one IOMMU is given back through another, which is right only if the space is that of the helpers and not that of the pdata.',
  commits: [],
  source: 'A5.3 D-A5-4, rule 4, INV-24, INV-37',
  variants: [
    {
      name: 'bug: an IOMMU that is gone',
      expected: 'violated',
      breaks: ['INV-24'],
      kernel: 'v5.10, v6.1',
      make: () => scenarioOf({}),
    },
    {
      name: 'bug: given back to another',
      expected: 'violated',
      breaks: ['INV-37'],
      kernel: 'v5.10 with D-A5-3 repaired',
      make: () => scenarioOf({ code: { opsFollow: true }, spaces: 'each pdata' }),
    },
    {
      name: 'fixed: switched, and one space',
      expected: 'clean',
      kernel: 'none: repaired in the model',
      make: () => scenarioOf({ code: { opsFollow: true } }),
    },
  ],
});

function scenarioOf(setup: Partial<IoasidSetup>): Scenario {
  return ioasidScenario({
    name: 'D-A5-4',
    story: D_A5_4.story,
    ops: { opsA: { pdata: 'iommu0' }, opsB: { pdata: 'iommu1' } },
    registered: [['opsA', 'opsB']],
    held: [1],
    ...setup,
    run: {
      'iommu0: remove': (a) => unregisters(a, 'opsA', 'iommu0'),
      'ioasid_alloc, ioasid_free': function* (a) {
        yield* allocates(a);
        yield* frees(a, 1);
      },
    },
  });
}
