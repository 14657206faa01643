/** The PASID of an auxiliary domain that was detached everywhere. Source: D-A4-3. */

import { ALT_1 } from '../kernel/aux-domain.js';
import { auxScenario, pasidsOwned } from '../kernel/aux-scenario.js';
import { VTD_5_10, VTD_5_11, VTD_REPAIRED } from '../kernel/vtd-aux.js';
import type { VtdCode } from '../kernel/vtd-aux.js';
import type { Scenario } from '../scenario.js';
import { race } from './race.js';
import type { Race } from './race.js';

export const D_A4_3: Race = race({
  id: 'D-A4-3',
  title: 'An auxiliary domain keeps the PASID that it has freed',
  story:
    'The PASID of an auxiliary domain is freed when the domain is attached to no device any more, and domain->default_pasid keeps its number. When the domain is attached again no PASID is allocated: the entry is made for one that the domain does not own.',
  commits: [],
  source: 'A4.3 D-A4-3, INV-31',
  variants: [
    {
      name: 'bug: attached again, v5.10',
      expected: 'violated',
      breaks: ['INV-31'],
      kernel: 'v5.10',
      make: () => scenarioOf(VTD_5_10),
    },
    {
      name: 'bug: attached again, v5.11',
      expected: 'violated',
      breaks: ['INV-31'],
      kernel: 'v5.11 to v5.17',
      make: () => scenarioOf(VTD_5_11),
    },
    {
      name: 'fixed: default_pasid is reset',
      expected: 'clean',
      kernel: 'proposed in January 2022',
      make: () => scenarioOf(VTD_REPAIRED),
    },
  ],
});

function scenarioOf(vtd: VtdCode): Scenario {
  // In v5.10 the PASID is freed before its entry is torn down, in one critical section: INV-31 is
  // asked for outside of it, and of that section S9 asks.
  const owned = pasidsOwned(['p0'], true);
  return auxScenario({
    name: 'D-A4-3',
    story: D_A4_3.story,
    api: ALT_1,
    vtd,
    members: { m0: { group: 'g0', parent: 'p0' } },
    parents: { p0: true },
    run: {
      'attach, detach, attach': function* (core) {
        yield* ALT_1.attach(core, 'D1', 'g0');
        yield* ALT_1.detach(core, 'D1', 'g0');
        yield* ALT_1.attach(core, 'D1', 'g0');
      },
    },
    invariants: [
      {
        ...owned,
        entities: [...owned.entities, 'device_domain_lock'],
        holds: (view) => view.device_domain_lock.state === 'locked' || owned.holds(view),
      },
    ],
  });
}
