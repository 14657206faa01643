/** Ops registered a second time that are not the first of their container. Source: D-A5-2. */

import { allocates, ioasidScenario, registers, unregisters } from '../kernel/ioasid-scenario.js';
import type { IoasidSetup } from '../kernel/ioasid-scenario.js';
import type { Scenario } from '../scenario.js';
import { race } from './race.js';
import type { Race } from './race.js';

const LOOKED_UP = { linksFirst: false, duplicates: 'all' } as const;

export const D_A5_2: Race = race({
  id: 'D-A5-2',
  title: 'A later sharer of an IOASID allocator registered twice',
  story:
    'Only the first ops of a container are compared when ops are registered. Others that share its helpers are put on the list a second time, and the call returns 0. The node then leads to itself: who walks the list on past it does so for ever, under a spinlock. And where the driver takes back what it has done twice, the second time meets a poisoned node.',
  commits: [],
  source: 'A5.3 D-A5-2, RG3, INV-32, INV-16',
  variants: [
    {
      name: 'bug: the node leads to itself',
      expected: 'violated',
      breaks: ['INV-32'],
      kernel: 'v5.10, v6.1',
      make: () => scenarioOf({ breaks: 'when made' }, 'twice'),
    },
    {
      name: 'bug: taken back twice',
      expected: 'violated',
      breaks: ['INV-32'],
      kernel: 'v5.10, v6.1',
      make: () => scenarioOf({}, 'twice'),
    },
    {
      name: 'bug: a walk without end',
      expected: 'violated',
      breaks: ['partial-deadlock'],
      kernel: 'v5.10, v6.1',
      make: () => scenarioOf({}, 'walks on'),
    },
    {
      name: 'bug: linked last, compared with the first',
      expected: 'violated',
      breaks: ['INV-32'],
      kernel: 'v5.10 with D-A5-1 repaired',
      make: () => scenarioOf({ code: { linksFirst: false }, breaks: 'when made' }, 'twice'),
    },
    {
      name: 'fixed: compared with all',
      expected: 'clean',
      kernel: 'none: repaired in the model',
      make: () => scenarioOf({ code: LOOKED_UP, breaks: 'when made' }, 'twice'),
    },
    {
      name: 'fixed: the walk ends',
      expected: 'clean',
      kernel: 'none: repaired in the model',
      make: () => scenarioOf({ code: LOOKED_UP }, 'walks on'),
    },
  ],
});

/**
 * @param how driver B takes back each registration that returned 0; or driver C, which never got to
 *   register, unregisters on its error path, and somebody else wants the lock
 */
function scenarioOf(setup: Partial<IoasidSetup>, how: 'twice' | 'walks on'): Scenario {
  return ioasidScenario({
    name: 'D-A5-2',
    story: D_A5_2.story,
    ops: { opsA: { pdata: 'iommu0' }, opsB: { pdata: 'iommu1' }, opsC: { pdata: 'iommu0' } },
    registered: [['opsA', 'opsB']],
    ...setup,
    run:
      how === 'twice'
        ? {
            'driver B: probe again, remove': function* (a) {
              const ret = yield* registers(a, 'opsB');
              yield* unregisters(a, 'opsB');
              if (ret === 0) yield* unregisters(a, 'opsB');
            },
          }
        : {
            'driver B: probe again': (a) => registers(a, 'opsB'),
            'driver C: error path': (a) => unregisters(a, 'opsC'),
            ioasid_alloc: (a) => allocates(a),
          },
  });
}
