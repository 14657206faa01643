/** D-A2-1: a geometry that nobody has written is believed. Source: A2.2 MD3, P-A2-3. */

import { iommu_msi_domain, MSI_LAST, MSI_REPAIRED, MSI_V8 } from '../kernel/msi-aperture.js';
import type { MsiCode } from '../kernel/msi-aperture.js';
import { store } from '../kernel/memory.js';
import { struct } from '../object.js';
import type { ObjectMemory } from '../object.js';
import type { Scenario } from '../scenario.js';
import { domainEntities, msiDomain } from './msi-domain.js';
import { race } from './race.js';
import type { Race } from './race.js';

/** The device is attached to a domain of a driver that has no MSI geometry to tell. */
function make(code: MsiCode): Scenario {
  const m = msiDomain(code);
  return {
    name: 'D-A2-1',
    entities: {
      ...domainEntities(m, { knowsGeometry: false, flag: false, cookie: false }),
      group: struct({ fields: { domain: m.domain }, refs: 1 }),
      returned: struct({ fields: { domain: null } }),
    },
    threads: {
      iommu_msi_domain: function* () {
        yield* store('returned', 'domain', yield* iommu_msi_domain(m, { group: 'group' }));
      },
    },
    invariants: [
      {
        id: 'P-A2-3',
        says: 'iommu_msi_domain returns a domain whose driver takes no part in the MSI API',
        entities: ['returned', m.domain],
        holds: (view) => {
          const fields = (name: string) => (view[name].context as ObjectMemory).fields;
          if (fields('returned').domain === null) return true;
          const { type, domain_get_attr, [code.flag]: flag } = fields(m.domain);
          return type !== 'DMA' && domain_get_attr === true && flag === true;
        },
      },
    ],
  };
}

export const D_A2_1: Race = race({
  id: 'D-A2-1',
  title: 'iommu_msi_domain ignores an error of iommu_domain_get_attr',
  story:
    'iommu_msi_domain asks the domain for its MSI geometry and ignores what the question returns. ' +
    'Where the driver does not know the attribute, the geometry is what was on the stack: ' +
    'a domain that has nothing to do with the MSI API is returned, and the MSI fails for want of a mapping.',
  commits: [],
  source: 'A2.2, D-A2-1, P-A2-3',
  variants: [
    {
      name: 'bug',
      expected: 'violated',
      breaks: ['P-A2-3'],
      kernel: 'posted (v8, 2016)',
      make: () => make(MSI_V8),
    },
    {
      name: 'bug: last posting',
      expected: 'violated',
      breaks: ['P-A2-3'],
      kernel: 'posted after v8 (2016)',
      make: () => make(MSI_LAST),
    },
    {
      name: 'fixed: the error is looked at',
      expected: 'clean',
      kernel: 'not posted',
      make: () => make(MSI_REPAIRED),
    },
  ],
});
