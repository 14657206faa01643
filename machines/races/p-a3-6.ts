/** P-A3-6: an invalidation with a device that is attached to another domain. Source: A3.1. */

import {
  askedBy,
  DISTINCT,
  generic,
  iommu_tlb_invalidate,
  iommu_uapi_cache_invalidate,
  meantBy,
  returns,
} from '../kernel/invalidate.js';
import type { Wish } from '../kernel/invalidate.js';
import type { Scenario } from '../scenario.js';
import type { ThreadBody } from '../step.js';
import { invalidationEntities, WELL_FORMED } from './invalidations.js';
import { race } from './race.js';
import type { Race } from './race.js';

/** e0 is attached to E. */
const OF = { domain: 'D', dev: 'e0' };
const WISH: Wish = { granularity: 'page', pasid: 5, first: 4, pages: 1 };

function make(QEMU: ThreadBody): Scenario {
  return {
    name: 'P-A3-6',
    story: 'An invalidation names a domain and a device that is attached to another one.',
    entities: invalidationEntities(),
    threads: { QEMU },
  };
}

const wanted = (attachedChecked: boolean): Scenario =>
  make(function* () {
    const code = {
      encoding: DISTINCT,
      tests: ['page', 'pasid', 'domain'],
      attachedChecked,
    } as const;
    const ret = yield* iommu_tlb_invalidate(OF, generic(DISTINCT, WISH), code);
    yield* returns(ret, [meantBy('IOTLB', OF, WISH)]);
  });

export const P_A3_6: Race = race({
  id: 'P-A3-6',
  title: 'Invalidation by a device of another domain',
  story:
    'Nothing looks whether the device is attached to the domain. The IOTLB is flushed by the id of the domain, but the TLB of a device knows no domains: ' +
    'it loses what it has cached of the one that it is attached to. No translation is wrong by that, but one guest can slow down the devices of another.',
  commits: [],
  source: 'A3.1, P-A3-6',
  variants: [
    {
      name: 'bug',
      expected: 'violated',
      breaks: ['P-A3-6'],
      kernel: 'v5.10',
      make: () =>
        make(function* () {
          const ret = yield* iommu_uapi_cache_invalidate(OF, WELL_FORMED);
          yield* returns(ret, askedBy(OF, WELL_FORMED));
        }),
    },
    {
      name: 'bug: generic interface',
      expected: 'violated',
      breaks: ['P-A3-6'],
      kernel: 'without a check',
      make: () => wanted(false),
    },
    {
      name: 'fixed: attachment is checked',
      expected: 'clean',
      kernel: 'not posted',
      make: () => wanted(true),
    },
  ],
});
