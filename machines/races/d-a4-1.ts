/** iommu_attach_group of a group that has an auxiliary domain. Source: D-A4-1. */

import { iommu_attach_group, V2, V3 } from '../kernel/aux-domain.js';
import type { AuxApi } from '../kernel/aux-domain.js';
import { auxScenario, CALLER, fieldOf, tableOf } from '../kernel/aux-scenario.js';
import { store } from '../kernel/memory.js';
import type { Scenario } from '../scenario.js';
import { race } from './race.js';
import type { Race } from './race.js';

/** v3 with the test that v2 had. */
const V3_GUARDED: AuxApi = { ...V3, name: 'v3 with the guard of v2', guardsGroup: V2.guardsGroup };

export const D_A4_1: Race = race({
  id: 'D-A4-1',
  title: 'A group with an auxiliary domain is attached to another domain',
  story:
    'iommu_aux_attach_group sets group->domain, so that iommu_get_domain_for_dev answers it. iommu_attach_group rejects a group that has a domain only where it has a default domain too, which a group of subdevices has not. So another domain is attached over it: the PASID table of the parent still leads to the first one, and iommu_aux_detach_group then warns and leaves it there. Members that are behind no IOMMU are refused by the driver.',
  commits: [],
  source: 'A4.2 D-A4-1, INV-36',
  variants: [
    {
      name: 'bug: v3',
      expected: 'violated',
      breaks: ['INV-36'],
      kernel: 'posted in 2020 (v3)',
      make: () => scenarioOf(V3, true),
    },
    {
      name: 'refused by the driver: members behind no IOMMU',
      expected: 'clean',
      kernel: 'posted in 2020 (v3)',
      make: () => scenarioOf(V3, false),
    },
    {
      name: 'fixed: the guard of v2',
      expected: 'clean',
      kernel: 'posted in 2020 (v2)',
      make: () => scenarioOf(V3_GUARDED, true),
    },
  ],
});

/** @param iommu whether the member is behind an IOMMU itself */
function scenarioOf(api: AuxApi, iommu: boolean): Scenario {
  return auxScenario({
    name: 'D-A4-1',
    story: D_A4_1.story,
    api,
    members: { m0: { group: 'g0', parent: 'p0', iommu } },
    parents: { p0: true },
    caller: { attached: false },
    run: {
      iommu_aux_attach_group: function* (core) {
        const ret = yield* api.attach(core, 'D1', 'g0');
        if (ret === 0) yield* store(CALLER, 'attached', true);
      },
      iommu_attach_group: (core) => iommu_attach_group(core, 'D2', 'g0'),
    },
    invariants: [
      {
        id: 'INV-36',
        says: 'the parent has D1 in its table, and the group has another domain',
        entities: [CALLER, 'g0', 'p0'],
        holds: (view) =>
          fieldOf(view, CALLER, 'attached') !== true ||
          !Object.values(tableOf(view, 'p0')).includes('D1') ||
          fieldOf(view, 'g0', 'domain') === 'D1',
      },
    ],
  });
}
