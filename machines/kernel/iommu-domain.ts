/**
 * Domains of groups: attaching, detaching, default domains. drivers/iommu/iommu.c. Source: A1.3 AG
 * and DG, C.1, C.2.
 */

import { EBUSY, ENODEV, ENOMEM } from '../errno.js';
import { send, trace } from '../step.js';
import type { Thread } from '../step.js';
import { IOMMU_CORE, LOG } from './entity-names.js';
import { devicesOf, eachDevice } from './group-members.js';
import type { Kernel } from './kernel.js';
import { kfree, kzalloc, load, nextName, store } from './memory.js';

/** iommu_domain_alloc. Returns the domain, null where there is no memory. */
export function* iommu_domain_alloc(k: Kernel): Thread<string | null> {
  if (yield* k.fails('iommu_domain_alloc()')) return null;
  const domain = yield* nextName(IOMMU_CORE, 'spare domains');
  yield* kzalloc(domain, { fields: { type: 'paging' } });
  return domain;
}

export function* iommu_domain_free(_k: Kernel, domain: string): Thread<void> {
  yield* kfree(domain, [{ type: 'function_call', fn: 'iommu_domain_free', domain }]);
}

/**
 * __iommu_attach_device: domain->ops->attach_dev. A device that the driver has released cannot be
 * attached any more (K20).
 *
 * @returns 0; -ENODEV
 */
export function* __iommu_attach_device(k: Kernel, domain: string, dev: string): Thread<number> {
  const fn = '__iommu_attach_device';
  yield* trace({ type: 'function_call', fn, dev, bus: k.busOf(dev), domain });
  // The driver reads the domain that it is given.
  yield* load(domain, 'type');
  if (yield* k.fails(`attach_dev(${domain}, ${dev})`)) return -ENODEV;
  if (k.profile.probeDevice && !(yield* isKnown(dev))) {
    const text = `attach_dev(${domain}, ${dev}) after release_device(${dev})`;
    yield* send(
      LOG,
      { type: 'warn', rule: 'INV-25', text },
      `attach_dev(${domain}, ${dev}) returns -ENODEV: WARN`,
    );
    return -ENODEV;
  }
  yield* store(dev, 'domain', domain, [{ type: 'attach_device_to_domain', dev }]);
  return 0;
}

/** dev_iommu_priv_get: what the driver made for the device, until its release_device. */
function* isKnown(dev: string): Thread<boolean> {
  const param = yield* load<string | null>(dev, 'iommu');
  return param !== null && (yield* load(param, 'priv')) !== null;
}

/** __iommu_detach_device: domain->ops->detach_dev, until v6.2. */
export function* __iommu_detach_device(_k: Kernel, domain: string, dev: string): Thread<void> {
  yield* load(domain, 'type');
  yield* store(dev, 'domain', null, [{ type: 'detach_device_from_domain', dev }]);
}

/**
 * iommu_attach_group.
 *
 * @returns 0; -EBUSY: the group has a domain that is not given up; the first error of a device
 */
export function* iommu_attach_group(k: Kernel, domain: string, group: string): Thread<number> {
  yield* trace({ type: 'function_call', fn: 'iommu_attach_group', domain });
  yield* k.lockGroup(group);
  const ret = yield* __iommu_attach_group(k, domain, group);
  yield* k.unlockGroup(group);
  yield* trace({ type: 'function_return', fn: 'iommu_attach_group', ret });
  return ret;
}

function* __iommu_attach_group(k: Kernel, domain: string, group: string): Thread<number> {
  const attach = (dev: string) => __iommu_attach_device(k, domain, dev);
  if (!k.profile.groupDomain) return yield* eachDevice(group, attach);
  const old = yield* load<string | null>(group, 'domain');
  const fallback = yield* load<string | null>(group, 'default_domain');
  const blocking = k.profile.blockingDomain
    ? yield* load<string | null>(group, 'blocking_domain')
    : null;
  // Without a default domain v5.10 does not ask.
  const asks = k.profile.dmaOwnership || fallback !== null;
  if (asks && old !== null && old !== fallback && old !== blocking) return -EBUSY;
  yield* trace({ type: 'function_call', fn: '__iommu_attach_group', domain });
  if (k.profile.attachUndo === 'unwinds') {
    return yield* __iommu_group_set_domain_internal(k, group, domain, false);
  }
  const ret = yield* eachDevice(group, attach);
  if (ret === 0) yield* store(group, 'domain', domain);
  else if (k.profile.attachUndo === 'reattaches' && old !== null) {
    yield* eachDevice(group, (dev) => attachOld(k, old, dev));
  }
  return ret;
}

function* attachOld(k: Kernel, old: string, dev: string): Thread<number> {
  yield* __iommu_attach_device(k, old, dev);
  return 0;
}

/** iommu_detach_group: the group goes back to the domain that the core gives it. */
export function* iommu_detach_group(k: Kernel, domain: string, group: string): Thread<void> {
  yield* trace({ type: 'function_call', fn: 'iommu_detach_group', domain });
  yield* k.lockGroup(group);
  yield* __iommu_detach_group(k, domain, group);
  yield* k.unlockGroup(group);
}

function* __iommu_detach_group(k: Kernel, domain: string, group: string): Thread<void> {
  const { profile } = k;
  if (!profile.dmaOwnership) {
    yield* trace({ type: 'function_call', fn: '__iommu_detach_group', domain });
  }
  if (!profile.groupDomain) {
    yield* eachDevice(group, (dev) => detached(k, domain, dev));
    return;
  }
  if (profile.dmaOwnership) {
    yield* __iommu_group_set_core_domain(k, group);
    return;
  }
  const fallback = yield* load<string | null>(group, 'default_domain');
  if (fallback === null) {
    yield* eachDevice(group, (dev) => detached(k, domain, dev));
    yield* store(group, 'domain', null);
    return;
  }
  if ((yield* load(group, 'domain')) === fallback) return;
  const ret = yield* eachDevice(group, (dev) => __iommu_attach_device(k, fallback, dev));
  if (ret === 0) yield* store(group, 'domain', fallback);
}

function* detached(k: Kernel, domain: string, dev: string): Thread<number> {
  yield* __iommu_detach_device(k, domain, dev);
  return 0;
}

/** __iommu_device_set_domain, since v6.5. */
export function* traceSetDomain(dev: string, domain: string): Thread<void> {
  yield* trace({ type: 'function_call', fn: '__iommu_device_set_domain', dev, domain });
}

/** iommu_create_device_direct_mappings: no step of it touches what the model has. */
export function* traceMappings(k: Kernel, domain: string, dev: string): Thread<void> {
  const fn = 'iommu_create_device_direct_mappings';
  yield* trace({ type: 'function_call', fn, dev, bus: k.busOf(dev), domain });
}

/** Since v5.19: the blocking domain while the group is owned, else the default domain. */
export function* __iommu_group_set_core_domain(k: Kernel, group: string): Thread<void> {
  const owner = yield* load(group, 'owner');
  const which = owner === null ? 'default_domain' : 'blocking_domain';
  const domain = yield* load<string | null>(group, which);
  yield* __iommu_group_set_domain_internal(k, group, domain, true);
}

/**
 * __iommu_group_set_domain and, since v6.5, __iommu_group_set_domain_internal, for who holds
 * group->mutex. Source: C.2.
 *
 * @param mustSucceed a device that cannot be attached is left behind, and the others go on
 * @returns 0; the first error, and the group is as it was where the generation unwinds
 */
export function* __iommu_group_set_domain_internal(
  k: Kernel,
  group: string,
  domain: string | null,
  mustSucceed: boolean,
): Thread<number> {
  const old = yield* load<string | null>(group, 'domain');
  if (old === domain) return 0;
  if (domain === null) {
    // Only a kernel with detach_dev can leave a group without a domain.
    if (old !== null) yield* eachDevice(group, (dev) => detached(k, old, dev));
    yield* store(group, 'domain', null);
    return 0;
  }
  const fn = k.profile.addBeforeAttach
    ? '__iommu_group_set_domain_internal'
    : '__iommu_group_set_domain';
  yield* trace({ type: 'function_call', fn, domain });
  let result = 0;
  const done: string[] = [];
  for (const dev of yield* devicesOf(group)) {
    if (k.profile.addBeforeAttach) yield* traceSetDomain(dev, domain);
    const ret = yield* __iommu_attach_device(k, domain, dev);
    done.push(dev);
    if (ret === 0) continue;
    result = ret;
    if (mustSucceed) continue;
    if (k.profile.attachUndo === 'unwinds') {
      for (const back of done) yield* goBack(k, old, back);
    }
    return ret;
  }
  yield* store(group, 'domain', domain);
  return result;
}

/** To the old domain; of a group without one to what the device had at boot. */
function* goBack(k: Kernel, old: string | null, dev: string): Thread<void> {
  if (old !== null) yield* __iommu_attach_device(k, old, dev);
  else yield* store(dev, 'domain', null);
}

/**
 * iommu_alloc_default_domain, v5.8 to v6.5: finds none and makes one. Without a lock around it two
 * devices of a group can both find none (K11).
 *
 * @returns 0; -ENOMEM
 */
export function* iommu_alloc_default_domain(k: Kernel, group: string): Thread<number> {
  if ((yield* load(group, 'default_domain')) !== null) return 0;
  const domain = yield* iommu_domain_alloc(k);
  if (domain === null) return -ENOMEM;
  yield* store(group, 'default_domain', domain);
  yield* send(k.initOf(group), { type: 'do' }, `${group} has its default domain`);
  if ((yield* load(group, 'domain')) === null) yield* store(group, 'domain', domain);
  return 0;
}

/**
 * iommu_setup_default_domain, since v6.5, for who holds group->mutex.
 *
 * @returns 0; -ENOMEM; the error of a device that could not be attached
 */
export function* iommu_setup_default_domain(k: Kernel, group: string): Thread<number> {
  yield* trace({ type: 'function_call', fn: 'iommu_setup_default_domain' });
  const old = yield* load<string | null>(group, 'default_domain');
  const domain = yield* iommu_domain_alloc(k);
  if (domain === null) return -ENOMEM;
  for (const dev of yield* devicesOf(group)) yield* traceMappings(k, domain, dev);
  if (old === null) {
    yield* store(group, 'default_domain', domain);
    yield* send(k.initOf(group), { type: 'do' }, `${group} has its default domain`);
    return yield* __iommu_group_set_domain_internal(k, group, domain, true);
  }
  const ret = yield* __iommu_group_set_domain_internal(k, group, domain, false);
  if (ret !== 0) {
    yield* iommu_domain_free(k, domain);
    return ret;
  }
  yield* store(group, 'default_domain', domain);
  yield* iommu_domain_free(k, old);
  return 0;
}
