/**
 * How long a group is used by vfio: until v6.1 a device can leave while the group's file is open,
 * since v6.2 it waits for that. drivers/vfio/vfio_main.c. Source: D K20, INV-25.
 */

import { struct } from '../object.js';
import type { Entity } from '../scenario.js';
import type { Thread } from '../step.js';
import { iommu_group_release_dma_owner } from './dma-owner.js';
import { iommu_detach_group } from './iommu-domain.js';
import type { Kernel } from './kernel.js';
import { add, waitFor } from './memory.js';

/** struct vfio_group, one of whose devices is bound to a vfio driver and whose file is open. */
export const VFIO_GROUP = 'vfio_group';
export const VFIO_GROUP_ENTITIES: Readonly<Record<string, Entity>> = {
  [VFIO_GROUP]: struct({ fields: { drivers: 1, users: 1 } }),
};

/**
 * vfio_unregister_group_dev: the driver lets a device go. Since v6.2 the last one waits until nobody
 * uses the group (users_comp).
 */
export function* vfio_unregister_group_dev(k: Kernel, dev: string): Thread<void> {
  yield* k.entered('vfio_unregister_group_dev', dev);
  const drivers = yield* add(VFIO_GROUP, 'drivers', -1);
  if (k.profile.vfioAwaitsUsers && drivers === 1) yield* waitFor(VFIO_GROUP, 'users', 0);
}

/** The group's file is closed: it leaves its container, whose domain goes off the devices. */
export function* vfio_group_fops_release(k: Kernel, group: string, domain: string): Thread<void> {
  yield* iommu_detach_group(k, domain, group);
  yield* iommu_group_release_dma_owner(k, group);
  yield* add(VFIO_GROUP, 'users', -1);
}
