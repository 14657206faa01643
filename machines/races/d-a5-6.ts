/** IOASIDs that are outstanding when their last allocator goes. Source: D-A5-6. */

import { frees, ioasidScenario, unregisters } from '../kernel/ioasid-scenario.js';
import type { IoasidSetup } from '../kernel/ioasid-scenario.js';
import type { Scenario } from '../scenario.js';
import { race } from './race.js';
import type { Race } from './race.js';

export const D_A5_6: Race = race({
  id: 'D-A5-6',
  title: 'IOASIDs orphaned with their last allocator',
  story:
    'The last sharer of an allocator is unregistered, by hotplug, while IOASIDs are outstanding. A WARN says so, and the allocator goes with its space. Who holds an IOASID can neither find it nor free it any more: "Trying to free unknown IOASID", and the host never gets it back.',
  commits: [],
  source: 'A5.3 D-A5-6, rule 3, rule 5, INV-39',
  variants: [
    {
      name: 'bug: the WARN',
      expected: 'violated',
      breaks: ['INV-39'],
      kernel: 'v5.10, v6.1',
      make: () => scenarioOf({ warns: 'INV-39' }),
    },
    {
      name: 'bug: orphaned',
      expected: 'violated',
      breaks: ['INV-39'],
      kernel: 'v5.10, v6.1',
      make: () => scenarioOf({ checks: ['rule 3'] }),
    },
    {
      name: 'bug: the default allocator with others outstanding',
      expected: 'violated',
      breaks: ['INV-38'],
      kernel: 'v5.10, v6.1',
      make: () => scenarioOf({ checks: ['rule 5'] }),
    },
    {
      name: 'fixed: refused with -EBUSY',
      expected: 'clean',
      kernel: 'none: repaired in the model',
      make: () =>
        scenarioOf({
          code: { outstanding: 'refuses' },
          warns: 'INV-39',
          checks: ['rule 3', 'rule 5'],
        }),
    },
  ],
});

function scenarioOf(setup: Partial<IoasidSetup>): Scenario {
  return ioasidScenario({
    name: 'D-A5-6',
    story: D_A5_6.story,
    ops: { opsA: { pdata: 'iommu0' } },
    registered: [['opsA']],
    held: [1],
    ...setup,
    run: {
      'driver A: remove': (a) => unregisters(a, 'opsA'),
      ioasid_free: (a) => frees(a, 1),
    },
  });
}
