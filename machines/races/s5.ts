/** S5: a third device is given the IOVA that D-A2-3 has freed. Source: D S5, A2.2. */

import { MSI_LAST, MSI_REPAIRED, MSI_V8 } from '../kernel/msi-aperture.js';
import type { MsiCode } from '../kernel/msi-aperture.js';
import type { Scenario } from '../scenario.js';
import { doorbells } from './msi-doorbells.js';
import { race } from './race.js';
import type { Race } from './race.js';

function make(code: MsiCode): Scenario {
  return doorbells({
    code,
    threads: { CPU0: ['get A'], CPU1: ['get A'], CPU2: ['get B'] },
    harm: 'mapped over',
  });
}

export const S5: Race = race({
  id: 'S5',
  title: 'IOVA freed before unmap: a third thread gets it',
  story:
    'What D-A2-3 comes to. Two devices share a doorbell, a third has another one. ' +
    'The IOVA that the second gives up is allocated by the third, which finds it translated to the doorbell of the others: -EEXIST, with a WARN of io-pgtable, and no MSI; ' +
    'where a page table is overwritten, the unmap that comes late takes the translation of the third.',
  commits: [],
  source: 'A2.2, D S5, D-A2-3, INV-48',
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
  ],
});
