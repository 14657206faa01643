/** Invalidations that guests ask for, from 2017 to v5.17. Source: A3. */

import { D_A3_1 } from '../races/d-a3-1.js';
import { D_A3_2 } from '../races/d-a3-2.js';
import { P_A3_4 } from '../races/p-a3-4.js';
import { P_A3_6 } from '../races/p-a3-6.js';
import type { System } from '../system.js';

export const INVALIDATE: System = {
  id: 'invalidate',
  title: 'Cache invalidation for guests',
  year: 2017,
  source: 'A3',
  variants: [
    {
      name: 'as posted (opaque)',
      about: "a model's own data, which only its driver understands, and nothing is checked",
      tried: [
        { race: P_A3_4, variant: 'bug' },
        { race: P_A3_4, variant: 'right: one model' },
        { race: P_A3_4, variant: 'fixed: model and length' },
      ],
    },
    {
      name: 'hybrid, as quoted in the thread',
      about: 'a granularity in bits, of which two are the same',
      tried: [
        { race: D_A3_1, variant: 'bug: page is tested first' },
        { race: D_A3_1, variant: 'device is tested first' },
      ],
    },
    {
      name: 'generic, as the review wanted it',
      about: 'domain, PASID or page, and a hint for leaves',
      tried: [
        { race: D_A3_1, variant: 'fixed: distinct bits' },
        { race: P_A3_6, variant: 'bug: generic interface' },
        { race: P_A3_6, variant: 'fixed: attachment is checked' },
      ],
    },
    {
      name: 'v5.10',
      about: 'iommu_uapi_cache_invalidate, and the driver of VT-d',
      tried: [
        { race: D_A3_2, variant: 'bug' },
        { race: D_A3_2, variant: 'bug: not aligned' },
        { race: D_A3_2, variant: 'right: cells that VT-d has' },
        { race: P_A3_6, variant: 'bug' },
      ],
    },
    {
      name: 'v5.10, repaired',
      about: 'what VT-d cannot do is refused before anything is done',
      tried: [
        { race: D_A3_2, variant: 'half fixed: breaks with -EINVAL' },
        { race: D_A3_2, variant: 'fixed: refused first' },
        { race: D_A3_2, variant: 'fixed: not aligned' },
      ],
    },
  ],
};
