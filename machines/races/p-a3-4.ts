/** P-A3-4: opaque data of one model, taken for those of another. Source: A3.1, the thread of 2017. */

import { iommu_invalidate, meantBy, opaque, returns } from '../kernel/invalidate.js';
import type { Model, OpaqueCheck, Wish } from '../kernel/invalidate.js';
import type { Scenario } from '../scenario.js';
import { choose } from '../step.js';
import { invalidationEntities } from './invalidations.js';
import { race } from './race.js';
import type { Race } from './race.js';

const OF = { domain: 'D', dev: 'd0' };

function make(models: readonly Model[], check: OpaqueCheck): Scenario {
  return {
    name: 'P-A3-4',
    story: 'A guest passes invalidations on, in the format of the IOMMU that it sees.',
    entities: invalidationEntities(),
    threads: {
      QEMU: function* () {
        const model = yield* choose(models, 'model');
        const granularity = yield* choose(['domain', 'pasid', 'page'] as const, 'granularity');
        const wish: Wish = { granularity, pasid: 5, first: 4, pages: 1 };
        const ret = yield* iommu_invalidate(OF, opaque(model, wish), check);
        yield* returns(ret, [meantBy('IOTLB', OF, wish)]);
      },
    },
  };
}

export const P_A3_4: Race = race({
  id: 'P-A3-4',
  title: 'Opaque invalidation data of another model',
  story:
    '"This interface is aweful. It requires the user of a generic api to know details about the implementation behind." ' +
    'iommu_invalidate hands model, length and opaque bytes to the driver and looks at none of them. ' +
    'A guest that sees an SMMU on a host with VT-d has its words read in another order: something else is invalidated, and 0 returned.',
  commits: [],
  source: 'A3.1, P-A3-4, P-A3-5',
  variants: [
    {
      name: 'bug',
      expected: 'violated',
      breaks: ['P-A3-5'],
      kernel: 'posted in 2017',
      make: () => make(['VT-d', 'SMMUv3'], 'nothing'),
    },
    {
      name: 'fixed: model and length',
      expected: 'clean',
      kernel: 'proposed',
      make: () => make(['VT-d', 'SMMUv3'], 'model and length'),
    },
    {
      name: 'right: one model',
      expected: 'clean',
      kernel: 'posted in 2017',
      make: () => make(['VT-d'], 'nothing'),
    },
  ],
});
