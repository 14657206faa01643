/** D-A2-2: the list of a cookie that is NULL is initialised. Source: A2.2. */

import { faultBudgetMachine } from '../fault-budget.js';
import { iommu_get_msi_cookie, MSI_LAST, MSI_V8, MSI_V9 } from '../kernel/msi-aperture.js';
import type { MsiCode } from '../kernel/msi-aperture.js';
import { store } from '../kernel/memory.js';
import { struct } from '../object.js';
import type { ObjectMemory } from '../object.js';
import type { Scenario } from '../scenario.js';
import { domainEntities, msiDomain } from './msi-domain.js';
import { race } from './race.js';
import type { Race } from './race.js';

function make(code: MsiCode): Scenario {
  const m = { ...msiDomain(code), budget: 'faults' };
  return {
    name: 'D-A2-2',
    faults: 1,
    entities: {
      ...domainEntities(m, { cookie: false }),
      faults: faultBudgetMachine,
      returned: struct({ fields: { ret: null } }),
    },
    threads: {
      iommu_get_msi_cookie: function* () {
        yield* store('returned', 'ret', yield* iommu_get_msi_cookie(m));
      },
    },
    invariants: [
      {
        id: 'INV-04',
        says: 'iommu_get_msi_cookie has failed, and the domain has a cookie',
        entities: ['returned', m.domain],
        holds: (view) => {
          const fields = (name: string) => (view[name].context as ObjectMemory).fields;
          const { ret } = fields('returned');
          const { msi_cookie, iova_cookie } = fields(m.domain);
          return ret === null || ret === 0 || (msi_cookie === null && iova_cookie === null);
        },
      },
    ],
  };
}

export const D_A2_2: Race = race({
  id: 'D-A2-2',
  title: 'INIT_LIST_HEAD of an MSI cookie that kzalloc did not give',
  story:
    'iommu_get_msi_cookie initialises the list of the cookie before it looks whether there is one: -ENOMEM is an oops. ' +
    'The last posting checks first, and gives the DMA cookie back, without which a second try would be refused with -EINVAL.',
  commits: [],
  source: 'A2.2, D-A2-2, INV-04, INV-24',
  variants: [
    {
      name: 'bug',
      expected: 'violated',
      breaks: ['INV-24'],
      kernel: 'posted (v8, 2016)',
      make: () => make(MSI_V8),
    },
    {
      name: 'bug: v9',
      expected: 'violated',
      breaks: ['INV-24'],
      kernel: 'posted after v8 (2016)',
      make: () => make(MSI_V9),
    },
    {
      name: 'fixed',
      expected: 'clean',
      kernel: 'the last posting',
      make: () => make(MSI_LAST),
    },
  ],
});
