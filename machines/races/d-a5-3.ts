/** The ops that an allocator turns to, after they were unregistered. Source: D-A5-3. */

import { allocates, ioasidScenario, unregisters } from '../kernel/ioasid-scenario.js';
import type { IoasidSetup } from '../kernel/ioasid-scenario.js';
import type { Scenario } from '../scenario.js';
import { race } from './race.js';
import type { Race } from './race.js';

export const D_A5_3: Race = race({
  id: 'D-A5-3',
  title: 'An IOASID allocator turns to ops that were unregistered',
  story:
    'Of ops that share helpers the container points to those that were registered first. When they are unregistered they leave the list, and the container goes on pointing to them: the next ioasid_alloc or ioasid_free takes its functions from memory that the driver has freed. Rule 4 keeps the IOASIDs across such a switch, and nothing switches the ops.',
  commits: [],
  source: 'A5.3 D-A5-3, rule 4, INV-24, INV-38',
  variants: [
    {
      name: 'bug: pointed to after the unregister',
      expected: 'violated',
      breaks: ['INV-38'],
      kernel: 'v5.10, v6.1',
      make: () => scenarioOf({ checks: ['rule 4'] }),
    },
    {
      name: 'bug: used after it was freed',
      expected: 'violated',
      breaks: ['INV-24'],
      kernel: 'v5.10, v6.1',
      make: () => scenarioOf({}),
    },
    {
      name: 'fixed: the container turns to the next',
      expected: 'clean',
      kernel: 'none: repaired in the model',
      make: () => scenarioOf({ code: { opsFollow: true }, checks: ['rule 4'] }),
    },
  ],
});

function scenarioOf(setup: Partial<IoasidSetup>): Scenario {
  return ioasidScenario({
    name: 'D-A5-3',
    story: D_A5_3.story,
    ops: { opsA: { pdata: 'iommu0' }, opsB: { pdata: 'iommu1' } },
    registered: [['opsA', 'opsB']],
    ...setup,
    run: {
      'driver A: remove': (a) => unregisters(a, 'opsA', 'opsA'),
      ioasid_alloc: (a) => allocates(a),
    },
  });
}
