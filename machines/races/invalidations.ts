/** Two domains with what is cached of them, as entities for invalidations. Source: A3. */

import type { Cached } from '../iotlb.js';
import { iotlbMachine } from '../iotlb.js';
import { IOTLB } from '../kernel/invalidate.js';
import type { CacheInvalidateInfo } from '../kernel/invalidate.js';
import { mutexMachine } from '../mutex.js';
import { struct } from '../object.js';
import type { Entity } from '../scenario.js';

/** d0 is attached to D, e0 to E; both have guests that use PASIDs 5 and 6, or 5. */
const CACHED: readonly Cached[] = [
  ...[4, 5, 6].map((page): Cached => entry('D', 5, page)),
  { ...entry('D', 5, 4), leaf: false },
  entry('D', 6, 4),
  entry('D', 0, 4),
  entry('E', 5, 4),
  ...[4, 5].map((page): Cached => ({ ...entry('D', 5, page), cache: 'DEV_IOTLB', dev: 'd0' })),
  { ...entry('D', 6, 4), cache: 'DEV_IOTLB', dev: 'd0' },
  { ...entry('E', 5, 4), cache: 'DEV_IOTLB', dev: 'e0' },
  { cache: 'PASID', domain: 'D', pasid: 5 },
  { cache: 'PASID', domain: 'D', pasid: 6 },
  { cache: 'PASID', domain: 'E', pasid: 5 },
];

function entry(domain: string, pasid: number, page: number): Cached {
  return { cache: 'IOTLB', domain, pasid, page, leaf: true };
}

export interface InvalidationSetup {
  /** What the driver implements. */
  readonly ops?: readonly ('invalidate' | 'cache_invalidate')[];
  readonly nested?: boolean;
  readonly ats?: boolean;
  readonly pci?: boolean;
  /** Whether d0 is behind an IOMMU. */
  readonly translated?: boolean;
}

export function invalidationEntities(
  setup: InvalidationSetup = {},
): Readonly<Record<string, Entity>> {
  const { ops = ['invalidate', 'cache_invalidate'], nested = true } = setup;
  const { ats = true, pci = true, translated = true } = setup;
  const device = (domain: string): Entity =>
    struct({
      fields: { domain, is_pci: pci, iommu: translated ? 'dmar0' : null, ats_enabled: ats },
    });
  return {
    D: struct({ fields: { ops, model: 'VT-d', nested } }),
    E: struct({ fields: { ops, model: 'VT-d', nested } }),
    d0: device('D'),
    e0: device('E'),
    device_domain_lock: mutexMachine,
    'iommu->lock': mutexMachine,
    [IOTLB]: {
      machine: iotlbMachine,
      input: CACHED.filter(({ cache }) => ats || cache !== 'DEV_IOTLB'),
    },
  };
}

/** A request of v5.10 that is well formed: page 4 of PASID 5. */
export const WELL_FORMED: CacheInvalidateInfo = {
  argsz: 56,
  version: 1,
  cache: 1,
  granularity: 2,
  padding: 0,
  flags: 1,
  pasid: 5,
  addr: 4,
  nb_granules: 1,
  readable: 56,
};
