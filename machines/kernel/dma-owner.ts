/**
 * DMA ownership of groups, v5.19 and later: drivers/iommu/iommu.c. Source: C.1.
 */

import { EBUSY, ENOMEM, EPERM, EPROBE_DEFER } from '../errno.js';
import { send, trace } from '../step.js';
import type { Thread } from '../step.js';
import { UnsupportedByKernelError } from '../unsupported-by-kernel.js';
import { LOG } from './entity-names.js';
import { iommu_domain_alloc, __iommu_group_set_domain_internal } from './iommu-domain.js';
import { iommu_group_get, iommu_group_put } from './iommu-group.js';
import type { Kernel } from './kernel.js';
import { add, load, store } from './memory.js';

/**
 * iommu_device_use_default_domain: a driver that uses the DMA API binds.
 *
 * @returns 0; -EBUSY: the group is owned; -EPROBE_DEFER: it has no default domain yet (v6.15, K17)
 */
export function* iommu_device_use_default_domain(k: Kernel, dev: string): Thread<number> {
  const fn = 'iommu_device_use_default_domain';
  requireOwnership(k, fn);
  yield* k.entered(fn, dev);
  const group = yield* iommu_group_get(k, dev);
  let ret = 0;
  if (group !== null) {
    yield* k.lockGroup(group);
    ret = yield* use(k, group);
    yield* k.unlockGroup(group);
    yield* iommu_group_put(k, group);
  }
  yield* k.returned(fn, ret);
  return ret;
}

function* use(k: Kernel, group: string): Thread<number> {
  const fallback = yield* load(group, 'default_domain');
  if (k.profile.defaultDomainAwaited && fallback === null) return -EPROBE_DEFER;
  if ((yield* load<number>(group, 'owner_cnt')) > 0) {
    const owned = (yield* load(group, 'owner')) !== null;
    if (owned || (yield* load(group, 'domain')) !== fallback) return -EBUSY;
  }
  yield* add(group, 'owner_cnt', 1);
  return 0;
}

/** iommu_device_unuse_default_domain */
export function* iommu_device_unuse_default_domain(k: Kernel, dev: string): Thread<void> {
  yield* k.entered('iommu_device_unuse_default_domain', dev);
  const group = yield* iommu_group_get(k, dev);
  if (group === null) return;
  yield* k.lockGroup(group);
  if ((yield* load<number>(group, 'owner_cnt')) > 0) yield* add(group, 'owner_cnt', -1);
  else yield* warnUnowned(dev);
  yield* k.unlockGroup(group);
  yield* iommu_group_put(k, group);
}

function requireOwnership(k: Kernel, symbol: string): void {
  if (!k.profile.dmaOwnership) throw new UnsupportedByKernelError(symbol, k.profile.name);
}

function* warnUnowned(dev: string): Thread<void> {
  const text = `the default domain is given back for ${dev}, which did not use it`;
  yield* send(LOG, { type: 'warn', rule: 'INV-35', text }, 'WARN_ON(!group->owner_cnt)');
}

/**
 * iommu_group_claim_dma_owner: VFIO and iommufd take the whole group.
 *
 * @returns 0; -EPERM: a driver uses it, or somebody owns it; -EBUSY: it is not on its default
 *   domain; -ENOMEM
 */
export function* iommu_group_claim_dma_owner(
  k: Kernel,
  group: string,
  owner: string,
): Thread<number> {
  const fn = 'iommu_group_claim_dma_owner';
  requireOwnership(k, fn);
  yield* trace({ type: 'function_call', fn });
  yield* k.lockGroup(group);
  const ret = yield* __iommu_take_dma_ownership(k, group, owner);
  yield* k.unlockGroup(group);
  yield* k.returned(fn, ret);
  return ret;
}

function* __iommu_take_dma_ownership(k: Kernel, group: string, owner: string): Thread<number> {
  if ((yield* load<number>(group, 'owner_cnt')) > 0) return -EPERM;
  if (k.profile.addBeforeAttach) {
    yield* trace({ type: 'function_call', fn: '__iommu_take_dma_ownership' });
  }
  const domain = yield* load<string | null>(group, 'domain');
  const fallback = yield* load<string | null>(group, 'default_domain');
  if (domain !== null && domain !== fallback) return -EBUSY;
  let blocking = yield* load<string | null>(group, 'blocking_domain');
  if (blocking === null) {
    blocking = yield* iommu_domain_alloc(k);
    if (blocking === null) return -ENOMEM;
    yield* store(group, 'blocking_domain', blocking);
  }
  const ret = yield* __iommu_group_set_domain_internal(k, group, blocking, false);
  if (ret !== 0) return ret;
  yield* store(group, 'owner', owner);
  yield* add(group, 'owner_cnt', 1);
  return 0;
}

/** iommu_group_release_dma_owner: the group goes back to its default domain. */
export function* iommu_group_release_dma_owner(k: Kernel, group: string): Thread<void> {
  requireOwnership(k, 'iommu_group_release_dma_owner');
  yield* trace({ type: 'function_call', fn: 'iommu_group_release_dma_owner' });
  yield* k.lockGroup(group);
  const count = yield* load<number>(group, 'owner_cnt');
  if (count === 0 || (yield* load(group, 'owner')) === null) {
    const text = `${group}, which nobody has claimed, is released`;
    yield* send(LOG, { type: 'warn', rule: 'INV-35', text }, 'WARN_ON(!group->owner)');
    yield* k.unlockGroup(group);
    return;
  }
  yield* store(group, 'owner_cnt', 0);
  yield* store(group, 'owner', null);
  const fallback = yield* load<string | null>(group, 'default_domain');
  yield* __iommu_group_set_domain_internal(k, group, fallback, true);
  yield* k.unlockGroup(group);
}
