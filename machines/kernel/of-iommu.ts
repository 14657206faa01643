/** Firmware tells which IOMMU a device has: drivers/iommu/of_iommu.c. Source: D K14, K15. */

import { lock, unlock } from '../step.js';
import type { Thread } from '../step.js';
import { PROBE_LOCK } from './entity-names.js';
import { iommu_probe_device } from './iommu-probe.js';
import type { Kernel } from './kernel.js';
import { load } from './memory.js';

/**
 * of_iommu_configure, up to where it knows whether the device has been translated already:
 * dev->iommu and then its fwspec, two loads.
 *
 * @returns whether there is a fwspec
 */
export function* of_iommu_configure(k: Kernel, dev: string): Thread<boolean> {
  yield* k.entered('of_iommu_configure', dev);
  if (k.profile.fwspecLocked) yield* lock(PROBE_LOCK);
  const param = yield* load<string | null>(dev, 'iommu', 'param');
  const found = param !== null && (yield* load(param, 'fwspec')) !== null;
  if (k.profile.fwspecLocked) yield* unlock(PROBE_LOCK);
  return found;
}

/**
 * The end of of_iommu_configure: a probe is replayed for a device that is in no group, because the
 * IOMMU came after the device.
 */
export function* replay_iommu_probe(k: Kernel, dev: string): Thread<number> {
  const mapped = (yield* load(dev, 'iommu_group')) !== null;
  return mapped ? 0 : yield* iommu_probe_device(k, dev);
}
