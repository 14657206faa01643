/** The ops of an allocator registered a second time: linked before anybody looks. Source: D-A5-1. */

import { registers, ioasidScenario, unregisters } from '../kernel/ioasid-scenario.js';
import type { IoasidSetup } from '../kernel/ioasid-scenario.js';
import type { Scenario } from '../scenario.js';
import { race } from './race.js';
import type { Race } from './race.js';

export const D_A5_1: Race = race({
  id: 'D-A5-1',
  title: 'The first ops of an IOASID allocator registered twice',
  story:
    'ioasid_register_allocator puts ops->list on the list of a new container before it looks whether the ops are registered. Where they are, it frees the container and answers -EEXIST, and ops->list leads into freed memory while the list of the first container still comes to it. As long as the ops are alone there nobody walks that list. With a second sharer whoever unregisters walks into freed memory.',
  commits: [],
  source: 'A5.3 D-A5-1, RG1, RG3, INV-24, INV-32',
  variants: [
    {
      name: 'bug: ops->list on two lists',
      expected: 'violated',
      breaks: ['INV-32'],
      kernel: 'v5.10, v6.1',
      make: () => scenarioOf({ breaks: 'when made' }),
    },
    {
      name: 'bug: the walk of the other sharer',
      expected: 'violated',
      breaks: ['INV-24'],
      kernel: 'v5.10, v6.1',
      make: () => scenarioOf({}),
    },
    {
      name: 'alone: nobody walks',
      expected: 'clean',
      kernel: 'v5.10, v6.1',
      make: () => scenarioOf({ registered: [['opsA']] }, 'opsA'),
    },
    {
      name: 'fixed: linked last',
      expected: 'clean',
      kernel: 'none: repaired in the model',
      make: () => scenarioOf({ code: { linksFirst: false }, breaks: 'when made' }),
    },
  ],
});

/** @param leaves whose driver goes meanwhile */
function scenarioOf(setup: Partial<IoasidSetup>, leaves = 'opsB'): Scenario {
  return ioasidScenario({
    name: 'D-A5-1',
    story: D_A5_1.story,
    ops: { opsA: { pdata: 'iommu0' }, opsB: { pdata: 'iommu1' } },
    registered: [['opsA', 'opsB']],
    ...setup,
    run: {
      'driver A: probe again': (a) => registers(a, 'opsA'),
      'driver: remove': (a) => unregisters(a, leaves),
    },
  });
}
