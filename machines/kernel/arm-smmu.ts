/**
 * The groups of an ARM SMMU: drivers/iommu/arm/arm-smmu/arm-smmu.c. Its stream map table remembers
 * the group of each stream id. Source: D K12.
 */

import { mutexMachine } from '../mutex.js';
import { struct } from '../object.js';
import type { Entity } from '../scenario.js';
import { lock, unlock } from '../step.js';
import type { Thread } from '../step.js';
import { iommu_group_alloc } from './iommu-group.js';
import type { Kernel } from './kernel.js';
import { get, load, store } from './memory.js';

const SMMU = 'smmu';
const STREAM_MAP_MUTEX = 'smmu->stream_map_mutex';
/** The group in the entry of the one stream id that there is. */
const GROUP = 's2cr.group';

/** The SMMU whose table has no group yet. */
export const SMMU_ENTITIES: Readonly<Record<string, Entity>> = {
  [SMMU]: struct({ fields: { [GROUP]: null } }),
  [STREAM_MAP_MUTEX]: mutexMachine,
};

/**
 * arm_smmu_device_group: the group that the table has for the stream id, else a new one, which it
 * remembers. All devices have the same stream id. Since v5.15 nobody comes in between (K12).
 *
 * @returns the group, of which the caller has a reference; null: an ERR_PTR
 */
export function* arm_smmu_device_group(k: Kernel): Thread<string | null> {
  if (k.profile.smmuGroupLocked) yield* lock(STREAM_MAP_MUTEX);
  let group = yield* load<string | null>(SMMU, GROUP, 'group');
  if (group !== null) {
    yield* get(group);
  } else {
    group = yield* iommu_group_alloc(k);
    if (group !== null) yield* store(SMMU, GROUP, group);
  }
  if (k.profile.smmuGroupLocked) yield* unlock(STREAM_MAP_MUTEX);
  return group;
}
