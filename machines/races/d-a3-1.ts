/** D-A3-1: two granularities with one number. Source: A3.1, the thread of 2017. */

import {
  DISTINCT,
  generic,
  iommu_tlb_invalidate,
  meantBy,
  QUOTED,
  returns,
} from '../kernel/invalidate.js';
import type { GenericCode, Granularity, Wish } from '../kernel/invalidate.js';
import type { Scenario } from '../scenario.js';
import { choose } from '../step.js';
import { invalidationEntities } from './invalidations.js';
import { race } from './race.js';
import type { Race } from './race.js';

const OF = { domain: 'D', dev: 'd0' };

function make(code: Omit<GenericCode, 'attachedChecked'>): Scenario {
  return {
    name: 'D-A3-1',
    story: 'A caller invalidates by each granularity in turn.',
    entities: invalidationEntities(),
    threads: {
      QEMU: function* () {
        const granularity = yield* choose(['domain', 'pasid', 'page'] as const, 'granularity');
        const wish: Wish = { granularity, pasid: 5, first: 4, pages: 1 };
        const info = generic(code.encoding, wish);
        const ret = yield* iommu_tlb_invalidate(OF, info, { ...code, attachedChecked: true });
        yield* returns(ret, [meantBy('IOTLB', OF, wish)]);
      },
    },
  };
}

const PAGE_FIRST: readonly Granularity[] = ['page', 'pasid', 'domain'];
const DOMAIN_FIRST: readonly Granularity[] = ['domain', 'pasid', 'page'];

export const D_A3_1: Race = race({
  id: 'D-A3-1',
  title: 'DEVICE_SELECTIVE and PAGE_SELECTIVE are one bit',
  story:
    'In the struct that was quoted in the review two granularities are 1 << 0, so a driver cannot tell them apart. ' +
    'One that tests for a page first takes an invalidation of the whole device for one of a page, at address 0: what was cached stays. ' +
    'One that tests for the device first does no harm, for it invalidates too much: the numbers can be wrong for long before somebody notices.',
  commits: [],
  source: 'A3.1, D-A3-1, P-A3-3, P-A3-5',
  variants: [
    {
      name: 'bug: page is tested first',
      expected: 'violated',
      breaks: ['P-A3-5'],
      kernel: 'quoted in 2017',
      make: () => make({ encoding: QUOTED, tests: PAGE_FIRST }),
    },
    {
      name: 'fixed: distinct bits',
      expected: 'clean',
      kernel: 'as the review wanted it',
      make: () => make({ encoding: DISTINCT, tests: PAGE_FIRST }),
    },
    {
      name: 'device is tested first',
      expected: 'clean',
      kernel: 'quoted in 2017',
      make: () => make({ encoding: QUOTED, tests: DOMAIN_FIRST }),
    },
  ],
});
