/** D-A3-2: success for what was not invalidated. Source: A3.2, INV-44. */

import {
  askedBy,
  GRANU,
  iommu_uapi_cache_invalidate,
  returns,
  VTD_5_10,
} from '../kernel/invalidate.js';
import type { CacheInvalidateInfo, Granularity, VtdCode } from '../kernel/invalidate.js';
import type { Scenario } from '../scenario.js';
import { choose } from '../step.js';
import { invalidationEntities, WELL_FORMED } from './invalidations.js';
import { race } from './race.js';
import type { Race } from './race.js';

const OF = { domain: 'D', dev: 'd0' };

interface Asked {
  /** Bits of the caches, all of which are tried. */
  readonly caches: readonly number[];
  readonly granularities: readonly Granularity[];
  readonly addr?: number;
  readonly pages?: number;
}

const ALL: Asked = { caches: [1, 2, 3, 4, 5, 6, 7], granularities: ['domain', 'pasid', 'page'] };

function make(
  code: VtdCode,
  { caches, granularities, addr = 4, pages = 1 }: Asked = ALL,
): Scenario {
  return {
    name: 'D-A3-2',
    story: 'A guest asks for invalidations of every kind.',
    entities: invalidationEntities(),
    threads: {
      QEMU: function* () {
        const cache = yield* choose(caches, 'cache');
        const granularity = yield* choose(granularities, 'granularity');
        const info: CacheInvalidateInfo = {
          ...WELL_FORMED,
          cache,
          granularity: GRANU[granularity],
          addr,
          nb_granules: pages,
        };
        const ret = yield* iommu_uapi_cache_invalidate(OF, info, code);
        yield* returns(ret, askedBy(OF, info));
      },
    },
  };
}

const REPAIRED: VtdCode = { unsupported: 'is refused first', unaligned: 'is refused' };
const UNALIGNED: Asked = { caches: [1], granularities: ['page'], addr: 5, pages: 2 };

export const D_A3_2: Race = race({
  id: 'D-A3-2',
  title: 'VT-d returns success for an invalidation that it cannot do',
  story:
    'The driver goes through the caches that a request names. Where it has no command for one by that granularity, it logs so and leaves the loop, and what it returns is 0: ' +
    'the guest goes on with translations that are cached still, in this cache and in those behind it. ' +
    'An error instead is half of a fix, for the caches before it are invalidated by then. ' +
    'An address that is not aligned to its size is only logged, too, and the hardware rounds it down: the last pages stay.',
  commits: [
    {
      id: '0c9f17877891',
      subject: 'iommu: Remove guest pasid related interfaces and definitions',
      since: 'v5.18',
    },
  ],
  source: 'A3.2, D-A3-2, INV-44, P-A3-5',
  variants: [
    {
      name: 'bug',
      expected: 'violated',
      breaks: ['P-A3-5'],
      kernel: 'v5.10',
      make: () => make(VTD_5_10),
    },
    {
      name: 'bug: not aligned',
      expected: 'violated',
      breaks: ['P-A3-5'],
      kernel: 'v5.10',
      make: () => make(VTD_5_10, UNALIGNED),
    },
    {
      name: 'half fixed: breaks with -EINVAL',
      expected: 'violated',
      breaks: ['INV-44'],
      kernel: 'not posted',
      make: () => make({ ...VTD_5_10, unsupported: 'breaks with -EINVAL' }),
    },
    {
      name: 'fixed: refused first',
      expected: 'clean',
      kernel: 'not posted',
      make: () => make(REPAIRED),
    },
    {
      name: 'fixed: not aligned',
      expected: 'clean',
      kernel: 'not posted',
      make: () => make(REPAIRED, UNALIGNED),
    },
    {
      name: 'right: cells that VT-d has',
      expected: 'clean',
      kernel: 'v5.10',
      make: () => make(VTD_5_10, { caches: [1], granularities: ['pasid', 'page'] }),
    },
  ],
});
