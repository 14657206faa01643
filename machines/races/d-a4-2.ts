/** The snippet of the third alternative, as quoted. Source: D-A4-2. */

import { ALT_3, ALT_3_QUOTED } from '../kernel/aux-domain.js';
import type { AuxApi } from '../kernel/aux-domain.js';
import { auxScenario, CALLER, tableOf, fieldOf } from '../kernel/aux-scenario.js';
import { store } from '../kernel/memory.js';
import type { Scenario } from '../scenario.js';
import { race } from './race.js';
import type { Race } from './race.js';

export const D_A4_2: Race = race({
  id: 'D-A4-2',
  title: 'An auxiliary domain is attached to a group, and to nothing',
  story:
    'group_device is to keep the device that does the DMA of a member. The snippet of the discussion looks for it in the group, where there is none, attaches the member itself, which is behind no IOMMU, and drops what that returns. The caller is told that the domain is attached, and iommu_get_domain_for_dev says so too.',
  commits: [],
  source: 'A4.3 ALT-3, D-A4-2, INV-36',
  variants: [
    {
      name: 'bug: as quoted',
      expected: 'violated',
      breaks: ['INV-36'],
      kernel: 'proposed in 2020 (ALT-3)',
      make: () => scenarioOf(ALT_3_QUOTED),
    },
    {
      name: 'fixed: the field of group_device, and its errors',
      expected: 'clean',
      kernel: 'proposed in 2020 (ALT-3), as meant',
      make: () => scenarioOf(ALT_3),
    },
  ],
});

function scenarioOf(api: AuxApi): Scenario {
  return auxScenario({
    name: 'D-A4-2',
    story: D_A4_2.story,
    api,
    members: { m0: { group: 'g0', parent: 'p0' } },
    parents: { p0: true },
    caller: { attached: false },
    run: {
      iommu_attach_group: function* (core) {
        const ret = yield* api.attach(core, 'D1', 'g0');
        if (ret === 0) yield* store(CALLER, 'attached', true);
      },
    },
    invariants: [
      {
        id: 'INV-36',
        says: 'the attach of D1 returned 0, and the parent has no entry of it',
        entities: [CALLER, 'p0'],
        holds: (view) =>
          fieldOf(view, CALLER, 'attached') !== true ||
          Object.values(tableOf(view, 'p0')).includes('D1'),
      },
    ],
  });
}
