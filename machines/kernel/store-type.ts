/**
 * /sys/kernel/iommu_groups/N/type: a group is given another default domain while no driver is bound
 * in it. drivers/iommu/iommu.c, v5.11 and later. Source: C.1, D K23, INV-16, INV-26.
 */

import { EBUSY, EINVAL, ENOMEM, EPERM } from '../errno.js';
import { trace } from '../step.js';
import type { Thread } from '../step.js';
import { UnsupportedByKernelError } from '../unsupported-by-kernel.js';
import { devicesOf } from './group-members.js';
import {
  __iommu_attach_device,
  iommu_domain_alloc,
  iommu_domain_free,
  iommu_setup_default_domain,
} from './iommu-domain.js';
import type { Kernel } from './kernel.js';
import { get, load, put, store } from './memory.js';

/**
 * What the comment in iommu_group_store_type says must not be done: device_lock under group->mutex;
 * and to trust, with both locks taken, what was read before the mutex was given up.
 */
export type StoreTypeVariant = 'device_lock under group->mutex' | 'without re-validation';

/**
 * iommu_group_store_type.
 *
 * @param variant as the generation does it where left out
 * @returns 0; -EINVAL: there is no default domain, or until v6.3 not one device; until v6.3 -EBUSY: it
 *   is bound, or was changed while the mutex was given up; since v6.4 -EPERM: the group is empty or in
 *   use; -ENOMEM, or the error of an attach
 */
export function* iommu_group_store_type(
  k: Kernel,
  group: string,
  variant?: StoreTypeVariant,
): Thread<number> {
  const fn = 'iommu_group_store_type';
  if (!k.profile.storesType) throw new UnsupportedByKernelError(fn, k.profile.name);
  yield* trace({ type: 'function_call', fn });
  const ret =
    variant === 'device_lock under group->mutex'
      ? yield* storeUnderBoth(k, group)
      : k.profile.storeTypeLocksDevice
        ? yield* storeRetaking(k, group, variant !== 'without re-validation')
        : yield* storeUnderMutex(k, group);
  yield* trace({ type: 'function_return', fn, ret });
  return ret;
}

/** The order that deadlocks with who has device_lock and releases the device. */
function* storeUnderBoth(k: Kernel, group: string): Thread<number> {
  yield* k.lockGroup(group);
  const [dev, ...others] = yield* devicesOf(group);
  let ret = -EINVAL;
  if (dev !== undefined && others.length === 0) {
    yield* k.lock(dev);
    ret = (yield* isBound(dev)) ? -EBUSY : yield* changeDefaultDomain(k, group, [dev]);
    yield* k.unlock(dev);
  }
  yield* k.unlockGroup(group);
  return ret;
}

/** v5.11 to v6.3: the mutex is given up for device_lock, which comes before it. */
function* storeRetaking(k: Kernel, group: string, revalidates: boolean): Thread<number> {
  yield* k.lockGroup(group);
  const [dev, ...others] = yield* devicesOf(group);
  if (dev === undefined || others.length > 0) {
    yield* k.unlockGroup(group);
    return -EINVAL;
  }
  yield* get(dev);
  yield* k.unlockGroup(group);
  yield* k.lock(dev);
  let ret = -EBUSY;
  if (!(yield* isBound(dev))) {
    yield* k.lockGroup(group);
    ret = revalidates ? yield* stillAlone(group, dev) : 0;
    if (ret === 0) ret = yield* changeDefaultDomain(k, group, [dev]);
    yield* k.unlockGroup(group);
  }
  yield* k.unlock(dev);
  yield* put(dev);
  return ret;
}

/** "Device has been changed" while nobody held the mutex: -EBUSY. */
function* stillAlone(group: string, dev: string): Thread<number> {
  if ((yield* load(group, 'default_domain')) === null) return -EINVAL;
  const devices = yield* devicesOf(group);
  if (devices.length !== 1) return -EINVAL;
  return devices[0] === dev ? 0 : -EBUSY;
}

/** v6.4 and later: a driver that is bound is one of the group's users. */
function* storeUnderMutex(k: Kernel, group: string): Thread<number> {
  if ((yield* load(group, 'default_domain')) === null) return -EINVAL;
  yield* k.lockGroup(group);
  const devices = yield* devicesOf(group);
  const used = (yield* load<number>(group, 'owner_cnt')) > 0;
  let ret = -EPERM;
  if (devices.length > 0 && !used) {
    ret = k.profile.addBeforeAttach
      ? yield* iommu_setup_default_domain(k, group)
      : yield* changeDefaultDomain(k, group, devices);
  }
  yield* k.unlockGroup(group);
  return ret;
}

function* isBound(dev: string): Thread<boolean> {
  return (yield* load(dev, 'driver')) !== null;
}

/** iommu_change_dev_def_domain, of a group in which there are `devices`. */
function* changeDefaultDomain(
  k: Kernel,
  group: string,
  devices: readonly string[],
): Thread<number> {
  const old = yield* load<string | null>(group, 'default_domain');
  const domain = yield* iommu_domain_alloc(k);
  if (domain === null) return -ENOMEM;
  yield* store(group, 'default_domain', domain);
  for (const dev of devices) {
    const ret = yield* __iommu_attach_device(k, domain, dev);
    if (ret === 0) continue;
    yield* store(group, 'default_domain', old);
    yield* iommu_domain_free(k, domain);
    return ret;
  }
  yield* store(group, 'domain', domain);
  if (old !== null) yield* iommu_domain_free(k, old);
  return 0;
}
