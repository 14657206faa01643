/** Where ops->list leads after a registration that failed. Source: D-A5-3b. */

import { ioasidScenario, registers } from '../kernel/ioasid-scenario.js';
import type { IoasidSetup } from '../kernel/ioasid-scenario.js';
import type { Scenario } from '../scenario.js';
import { race } from './race.js';
import type { Race } from './race.js';

const DANGLING = ['no dangling node'] as const;
/** An IOASID of the default allocator is outstanding. */
const AGAIN: Partial<IoasidSetup> = { held: [1], checks: DANGLING };
const EXISTS: Partial<IoasidSetup> = { registered: [['opsA']], checks: DANGLING };

export const D_A5_3B: Race = race({
  id: 'D-A5-3b',
  title: 'ops->list leads to freed memory after a failed registration',
  story:
    'A registration that fails with -EAGAIN, because IOASIDs of the default allocator are outstanding, or with -EEXIST frees the container that it has made, and leaves ops->list of the caller leading into it. It does no harm only because a registration that succeeds later overwrites it.',
  commits: [],
  source: 'A5.3 D-A5-3b, RG2, RG3, INV-38',
  variants: [
    {
      name: 'bug: -EAGAIN',
      expected: 'violated',
      breaks: ['INV-38'],
      kernel: 'v5.10, v6.1',
      make: () => scenarioOf(AGAIN),
    },
    {
      name: 'bug: -EEXIST',
      expected: 'violated',
      breaks: ['INV-38'],
      kernel: 'v5.10, v6.1',
      make: () => scenarioOf(EXISTS),
    },
    {
      name: 'fixed: -EAGAIN',
      expected: 'clean',
      kernel: 'none: repaired in the model',
      make: () => scenarioOf({ ...AGAIN, code: { linksFirst: false } }),
    },
    {
      name: 'fixed: -EEXIST',
      expected: 'clean',
      kernel: 'none: repaired in the model',
      make: () => scenarioOf({ ...EXISTS, code: { linksFirst: false } }),
    },
  ],
});

function scenarioOf(setup: Partial<IoasidSetup>): Scenario {
  return ioasidScenario({
    name: 'D-A5-3b',
    story: D_A5_3B.story,
    ops: { opsA: { pdata: 'iommu0' } },
    ...setup,
    run: { 'driver A: probe': (a) => registers(a, 'opsA') },
  });
}
