/** Whose container an unregister takes. Source: D-A5-5. */

import { ioasidScenario, unregisters } from '../kernel/ioasid-scenario.js';
import type { IoasidSetup } from '../kernel/ioasid-scenario.js';
import type { Scenario } from '../scenario.js';
import { race } from './race.js';
import type { Race } from './race.js';

export const D_A5_5: Race = race({
  id: 'D-A5-5',
  title: "Unregistering takes somebody else's IOASID allocator",
  story:
    'ioasid_unregister_allocator looks for a container with the same functions, not for the ops. Who unregisters ops that were never registered, on an error path, removes the container of another driver that has the same helpers and is alone there.',
  commits: [],
  source: 'A5.3 D-A5-5, INV-38',
  variants: [
    {
      name: 'bug: found by functions',
      expected: 'violated',
      breaks: ['INV-38'],
      kernel: 'v5.10, v6.1',
      make: () => scenarioOf({}),
    },
    {
      name: 'fixed: found by identity',
      expected: 'clean',
      kernel: 'none: repaired in the model',
      make: () => scenarioOf({ code: { unregisters: 'by identity' } }),
    },
  ],
});

function scenarioOf(setup: Partial<IoasidSetup>): Scenario {
  return ioasidScenario({
    name: 'D-A5-5',
    story: D_A5_5.story,
    ops: { opsA: { pdata: 'iommu0' }, opsB: { pdata: 'iommu1' } },
    registered: [['opsA']],
    checks: ['registered'],
    ...setup,
    run: { 'driver B: error path': (a) => unregisters(a, 'opsB') },
  });
}
