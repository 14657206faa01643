/** D-A2-3: an IOVA goes back to the allocator before it is unmapped. Source: A2.2, INV-48. */

import { MSI_LAST, MSI_REPAIRED, MSI_V8 } from '../kernel/msi-aperture.js';
import type { MsiCode } from '../kernel/msi-aperture.js';
import type { Scenario } from '../scenario.js';
import { doorbells } from './msi-doorbells.js';
import { race } from './race.js';
import type { Race } from './race.js';

function make(code: MsiCode): Scenario {
  return doorbells({
    code,
    threads: { CPU0: ['get A'], CPU1: ['get A'] },
    harm: 'freed while mapped',
  });
}

/** One has it before the other asks: the way back alone. */
function putting(code: MsiCode): Scenario {
  return doorbells({
    code,
    threads: { CPU0: ['get A', 'put A'], CPU1: ['get B', 'put B'] },
    harm: 'freed while mapped',
  });
}

export const D_A2_3: Race = race({
  id: 'D-A2-3',
  title: 'IOVA of a doorbell freed before it is unmapped',
  story:
    'Two devices with the same doorbell find it unmapped, and both map it, at an IOVA each. ' +
    'Who comes second finds the mapping of the other and gives up its own: the IOVA goes back to the allocator under the lock, and is unmapped after it. ' +
    'In between it is free and translated. ' +
    'iommu_msi_put_doorbell_iova has the right order.',
  commits: [],
  source: 'A2.2, D-A2-3, P-A2-6, INV-48',
  variants: [
    {
      name: 'bug',
      expected: 'violated',
      breaks: ['INV-48'],
      kernel: 'posted (v8, 2016)',
      make: () => make(MSI_V8),
    },
    {
      name: 'bug: last posting',
      expected: 'violated',
      breaks: ['INV-48'],
      kernel: 'posted after v8 (2016)',
      make: () => make(MSI_LAST),
    },
    {
      name: 'fixed: unmapped first',
      expected: 'clean',
      kernel: 'not posted',
      make: () => make(MSI_REPAIRED),
    },
    {
      name: 'right: put_doorbell_iova',
      expected: 'clean',
      kernel: 'posted after v8 (2016)',
      make: () => putting(MSI_LAST),
    },
  ],
});
