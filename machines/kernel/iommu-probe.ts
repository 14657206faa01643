/**
 * How the IOMMU core takes a device in and lets it go: drivers/iommu/iommu.c. Source: A1.3 BN2 and
 * BN3, C.3, K14, K15, K19.
 */

import { ENODEV, ENOMEM } from '../errno.js';
import { send, lock, trace, unlock } from '../step.js';
import type { Thread } from '../step.js';
import { UnsupportedByKernelError } from '../unsupported-by-kernel.js';
import { IOMMU_CORE, PROBE_LOCK } from './entity-names.js';
import { memberOf } from './group-members.js';
import {
  __iommu_attach_device,
  iommu_alloc_default_domain,
  iommu_domain_free,
  iommu_setup_default_domain,
  traceMappings,
  traceSetDomain,
} from './iommu-domain.js';
import {
  device_group,
  iommu_group_add_device,
  iommu_group_alloc_device,
  iommu_group_get,
  iommu_group_put,
  iommu_group_remove_device,
  takeOffList,
  traceRemoved,
} from './iommu-group.js';
import type { Kernel } from './kernel.js';
import {
  access,
  kfree,
  kzalloc,
  listAddTail,
  load,
  loadList,
  nextName,
  store,
  unlink,
} from './memory.js';

/**
 * ops->add_device of an IOMMU driver, before v5.8: it finds the group and adds the device.
 *
 * @returns 0 or a negative errno
 */
export function* add_device(k: Kernel, dev: string): Thread<number> {
  if (yield* isRefused(k, dev)) return -ENODEV;
  yield* driverTakes(k, dev);
  const group = yield* device_group(k, dev);
  if (group === null) return -ENOMEM;
  if (k.profile.groupDomain) yield* iommu_alloc_default_domain(k, group);
  const ret = yield* iommu_group_add_device(k, group, dev);
  yield* iommu_group_put(k, group);
  return ret;
}

/** ops->remove_device of an IOMMU driver, before v5.8. */
export function* remove_device(k: Kernel, dev: string): Thread<void> {
  if (k.profile.groupDomain) yield* leaveDomain(dev);
  yield* iommu_group_remove_device(k, dev);
  yield* send(k.probesOf(dev), { type: 'undo' }, `ops->remove_device(${dev})`);
}

/**
 * iommu_probe_device, v5.8 and later.
 *
 * @returns 0; a negative errno, and the device is as it was
 */
export function* iommu_probe_device(k: Kernel, dev: string): Thread<number> {
  const fn = 'iommu_probe_device';
  requireProbeDevice(k, fn);
  yield* k.entered(fn, dev);
  const ret = k.profile.addBeforeAttach
    ? yield* probeUnderLock(k, dev)
    : yield* probeAndAttach(k, dev);
  // ops->probe_finalize
  if (ret === 0 && k.profile.finalizeLooksUpDomain) {
    yield* k.entered('iommu_get_domain_for_dev', dev);
  }
  yield* k.returned(fn, ret);
  return ret;
}

/** Until v5.7 the IOMMU driver's add_device and remove_device do all of it. */
function requireProbeDevice(k: Kernel, symbol: string): void {
  if (!k.profile.probeDevice) throw new UnsupportedByKernelError(symbol, k.profile.name);
}

/** v5.8 to v6.4: the default domain comes after the group. */
function* probeAndAttach(k: Kernel, dev: string): Thread<number> {
  const { profile } = k;
  const probed = yield* __iommu_probe_device(k, dev);
  if (probed !== 0) return probed;
  const group = yield* iommu_group_get(k, dev);
  if (group === null) {
    yield* iommu_release_device(k, dev);
    return -ENODEV;
  }
  const attached = yield* attachDefault(k, group, dev, profile.defaultDomainLocked);
  yield* iommu_group_put(k, group);
  if (attached !== 0) yield* iommu_release_device(k, dev);
  return attached;
}

/** Without the mutex around both, two devices of a group can each make a default domain (K11). */
function* attachDefault(k: Kernel, group: string, dev: string, locked: boolean): Thread<number> {
  if (locked) yield* k.lockGroup(group);
  yield* iommu_alloc_default_domain(k, group);
  const domain = yield* load<string | null>(group, 'default_domain');
  const deferred = k.devices[dev]?.deferred === true;
  // What joins a group that is claimed stays on the group's domain (1ea2a07a532b).
  const claimed = k.profile.dmaOwnership && (yield* load(group, 'owner')) !== null;
  const ret =
    domain === null || deferred || claimed ? 0 : yield* __iommu_attach_device(k, domain, dev);
  if (locked) yield* k.unlockGroup(group);
  return ret;
}

/**
 * __iommu_probe_device until v6.4. Since v6.2 one lock is held around it; before, a device can be
 * probed twice at the same time (K15).
 *
 * @returns 0 or a negative errno
 */
export function* __iommu_probe_device(k: Kernel, dev: string): Thread<number> {
  if (k.profile.probeLocked) yield* lock(PROBE_LOCK);
  yield* k.entered('__iommu_probe_device', dev);
  const ret = yield* probeInto(k, dev);
  if (k.profile.probeLocked) yield* unlock(PROBE_LOCK);
  return ret;
}

function* probeInto(k: Kernel, dev: string): Thread<number> {
  if (!(yield* dev_iommu_get(k, dev))) return -ENOMEM;
  if (yield* isRefused(k, dev)) {
    yield* dev_iommu_free(k, dev);
    return -ENODEV;
  }
  yield* driverTakes(k, dev);
  const ret = yield* iommu_group_get_for_dev(k, dev);
  if (ret !== 0) {
    yield* releaseDriver(k, dev);
    yield* dev_iommu_free(k, dev);
  }
  return ret;
}

/** iommu_group_get_for_dev: a device that is in a group stays there. Returns 0 or an errno. */
function* iommu_group_get_for_dev(k: Kernel, dev: string): Thread<number> {
  const joined = yield* iommu_group_get(k, dev);
  const group = joined ?? (yield* device_group(k, dev));
  if (group === null) return -ENOMEM;
  const ret = joined === null ? yield* iommu_group_add_device(k, group, dev) : 0;
  yield* iommu_group_put(k, group);
  return ret;
}

/** Whether the IOMMU driver does not take the device: it has nothing to do with this IOMMU. */
function* isRefused(k: Kernel, dev: string): Thread<boolean> {
  const call = `ops->${k.profile.probeDevice ? 'probe_device' : 'add_device'}(${dev})`;
  if (k.devices[dev]?.refused !== true) return yield* k.fails(call);
  yield* access(dev, { type: 'read', field: 'refused' }, `${call} returns -ENODEV`);
  return true;
}

/** ops->add_device, ops->probe_device: the driver makes what it needs for the device. */
function* driverTakes(k: Kernel, dev: string): Thread<void> {
  const op = k.profile.probeDevice ? 'probe_device' : 'add_device';
  yield* send(k.probesOf(dev), { type: 'do' }, `ops->${op}(${dev})`);
  yield* setPrivate(k, dev, 'priv');
}

/** dev_iommu_priv_set */
function* setPrivate(k: Kernel, dev: string, priv: string | null): Thread<void> {
  if (!k.profile.probeDevice) return;
  const param = yield* load<string | null>(dev, 'iommu');
  if (param !== null) yield* store(param, 'priv', priv);
}

/** dev_iommu_get: dev->iommu, made where there is none. Returns false where there is no memory. */
export function* dev_iommu_get(k: Kernel, dev: string): Thread<boolean> {
  if ((yield* load(dev, 'iommu')) !== null) return true;
  if (yield* k.fails('kzalloc(dev->iommu)')) return false;
  const param = yield* nextName(IOMMU_CORE, k.sparesOf(dev));
  yield* kzalloc(param, { fields: { fwspec: 'fwspec', priv: null } });
  yield* store(dev, 'iommu', param);
  return true;
}

/** dev_iommu_free: since v5.17 the pointer is cleared before what it points to is freed (K14). */
export function* dev_iommu_free(k: Kernel, dev: string): Thread<void> {
  const param = yield* load<string | null>(dev, 'iommu');
  if (param === null) return;
  if (k.profile.devIommuClearedFirst) yield* store(dev, 'iommu', null);
  yield* kfree(param);
  if (!k.profile.devIommuClearedFirst) yield* store(dev, 'iommu', null);
}

/** v6.5 and later: one function under one lock, and the group's mutex around list and domain. */
function* probeUnderLock(k: Kernel, dev: string): Thread<number> {
  yield* lock(PROBE_LOCK);
  yield* k.entered('__iommu_probe_device', dev);
  const ret = yield* probeLocked(k, dev);
  yield* unlock(PROBE_LOCK);
  return ret;
}

function* probeLocked(k: Kernel, dev: string): Thread<number> {
  if ((yield* load(dev, 'iommu_group')) !== null) return 0;
  // iommu_init_device
  if (!(yield* dev_iommu_get(k, dev))) return -ENOMEM;
  if (yield* isRefused(k, dev)) {
    yield* dev_iommu_free(k, dev);
    return -ENODEV;
  }
  yield* driverTakes(k, dev);
  const group = yield* device_group(k, dev);
  if (group === null) {
    yield* releaseDriver(k, dev);
    yield* dev_iommu_free(k, dev);
    return -ENOMEM;
  }
  // The reference is the device's from now on.
  yield* store(dev, 'iommu_group', group);
  const gdev = yield* iommu_group_alloc_device(k, group, dev);
  yield* k.lockGroup(group);
  const ret = typeof gdev === 'number' ? gdev : yield* joinList(k, group, dev, gdev);
  if (ret !== 0) yield* iommu_deinit_device(k, group, dev);
  yield* k.unlockGroup(group);
  if (ret !== 0) yield* iommu_group_put(k, group);
  return ret;
}

function* joinList(k: Kernel, group: string, dev: string, gdev: string): Thread<number> {
  yield* listAddTail(group, 'devices', gdev);
  const ret = yield* joinDomain(k, group, dev);
  if (ret === 0) return 0;
  yield* takeOffList(group, dev);
  yield* freeMember(k, group, dev, gdev);
  return ret;
}

/** The domain of a group that has one, else a default domain for it. */
function* joinDomain(k: Kernel, group: string, dev: string): Thread<number> {
  const fallback = yield* load<string | null>(group, 'default_domain');
  if (fallback !== null) yield* traceMappings(k, fallback, dev);
  const domain = yield* load<string | null>(group, 'domain');
  if (domain === null) return fallback === null ? yield* iommu_setup_default_domain(k, group) : 0;
  yield* traceSetDomain(dev, domain);
  if (k.devices[dev]?.deferred === true) return 0;
  return yield* __iommu_attach_device(k, domain, dev);
}

/** iommu_release_device. */
export function* iommu_release_device(k: Kernel, dev: string): Thread<void> {
  requireProbeDevice(k, 'iommu_release_device');
  yield* k.entered('iommu_release_device', dev);
  if (k.profile.addBeforeAttach) {
    yield* __iommu_group_remove_device(k, dev);
    return;
  }
  if ((yield* load(dev, 'iommu')) === null) return;
  if (k.profile.releasesUnderMutex) {
    yield* releaseUnderMutex(k, dev);
    return;
  }
  // Once the last device has left the group its domain is gone (K19).
  if (k.profile.releasesBeforeGroup) yield* releaseDriver(k, dev);
  yield* iommu_group_remove_device(k, dev);
  if (!k.profile.releasesBeforeGroup) yield* releaseDriver(k, dev);
  yield* dev_iommu_free(k, dev);
}

/** v6.4: who holds group->mutex and finds a device on the list finds it with its driver. */
function* releaseUnderMutex(k: Kernel, dev: string): Thread<void> {
  const group = yield* load<string | null>(dev, 'iommu_group', 'group');
  if (group === null) return;
  yield* k.lockGroup(group);
  const gdev = yield* takeOffList(group, dev);
  yield* releaseDriver(k, dev);
  yield* k.unlockGroup(group);
  if (gdev !== undefined) {
    yield* freeMember(k, group, dev, gdev);
    yield* store(dev, 'iommu_group', null);
    yield* iommu_group_put(k, group);
  }
  yield* dev_iommu_free(k, dev);
}

/** ops->release_device: the driver takes the device off the domain that it knows it on. */
export function* releaseDriver(k: Kernel, dev: string): Thread<void> {
  yield* send(k.probesOf(dev), { type: 'undo' }, `ops->release_device(${dev})`);
  yield* leaveDomain(dev);
  yield* setPrivate(k, dev, null);
}

function* leaveDomain(dev: string): Thread<void> {
  const domain = yield* load<string | null>(dev, 'domain');
  if (domain === null) return;
  yield* load(domain, 'type');
  yield* store(dev, 'domain', null);
}

/** __iommu_group_remove_device, v6.5 and later: all of it under group->mutex. */
function* __iommu_group_remove_device(k: Kernel, dev: string): Thread<void> {
  const group = yield* load<string | null>(dev, 'iommu_group', 'group');
  if (group === null) return;
  yield* trace({
    type: 'function_call',
    fn: '__iommu_group_remove_device',
    dev,
    bus: k.busOf(dev),
  });
  yield* k.lockGroup(group);
  const gdev = yield* takeOffList(group, dev);
  if (gdev !== undefined) {
    yield* freeMember(k, group, dev, gdev);
    yield* iommu_deinit_device(k, group, dev);
  }
  yield* k.unlockGroup(group);
  if (gdev !== undefined) yield* iommu_group_put(k, group);
}

/** __iommu_group_free_device */
function* freeMember(k: Kernel, group: string, dev: string, gdev: string): Thread<void> {
  yield* unlink(group, 'links', memberOf(gdev).name);
  yield* store(dev, 'link', null);
  yield* traceRemoved(k, group, dev);
}

/** iommu_deinit_device: the last one takes the group's domains with it. */
function* iommu_deinit_device(k: Kernel, group: string, dev: string): Thread<void> {
  yield* k.entered('iommu_deinit_device', dev);
  yield* releaseDriver(k, dev);
  if ((yield* loadList(group, 'devices')).length === 0) {
    const fallback = yield* load<string | null>(group, 'default_domain');
    if (fallback !== null) {
      yield* iommu_domain_free(k, fallback);
      // Who joins later and finds the group makes another: a new one takes its place.
      yield* forgetDefault(k, group);
    }
    const blocking = yield* load<string | null>(group, 'blocking_domain');
    if (blocking !== null) yield* iommu_domain_free(k, blocking);
    yield* store(group, 'default_domain', null);
    yield* store(group, 'blocking_domain', null);
    yield* store(group, 'domain', null);
  }
  yield* store(dev, 'iommu_group', null);
  yield* dev_iommu_free(k, dev);
}

/** INV-10 counts from here anew: of the model and not of the kernel. */
function* forgetDefault(k: Kernel, group: string): Thread<void> {
  const label = `${group} has no default domain`;
  yield { type: 'send', entity: k.initOf(group), event: { type: 'undo' }, label, hidden: true };
}

/**
 * bus_iommu_probe, v5.8 and later: an IOMMU instance comes and takes in the devices that are there.
 * Its groups get their default domains only when all devices have joined (K17).
 */
export function* bus_iommu_probe(k: Kernel, bus: string): Thread<void> {
  requireProbeDevice(k, 'bus_iommu_probe');
  const groups: string[] = [];
  let dev = yield* k.nextOn(bus, null);
  while (dev !== null) {
    const group = yield* probe_iommu_group(k, dev);
    if (group !== null && !groups.includes(group)) groups.push(group);
    dev = yield* k.nextOn(bus, dev);
  }
  for (const group of groups) {
    yield* k.lockGroup(group);
    if ((yield* load(group, 'default_domain')) === null) yield* setDefault(k, group);
    yield* k.unlockGroup(group);
  }
}

/**
 * probe_iommu_group: of each device that the scan of a new IOMMU instance meets.
 *
 * @returns the group whose default domain is left to the end of the walk, null for none
 */
export function* probe_iommu_group(k: Kernel, dev: string): Thread<string | null> {
  if (k.profile.addBeforeAttach) {
    yield* lock(PROBE_LOCK);
    const group = yield* joinOnly(k, dev);
    yield* unlock(PROBE_LOCK);
    return group;
  }
  if ((yield* load(dev, 'iommu_group')) !== null) return null;
  if ((yield* __iommu_probe_device(k, dev)) !== 0) return null;
  return yield* load<string | null>(dev, 'iommu_group');
}

/** What probeLocked does, but for the default domain of a group that has none. */
function* joinOnly(k: Kernel, dev: string): Thread<string | null> {
  if ((yield* load(dev, 'iommu_group')) !== null) return null;
  if (!(yield* dev_iommu_get(k, dev))) return null;
  yield* driverTakes(k, dev);
  const group = yield* device_group(k, dev);
  if (group === null) return null;
  yield* store(dev, 'iommu_group', group);
  const gdev = yield* iommu_group_alloc_device(k, group, dev);
  if (typeof gdev === 'number') return null;
  yield* k.lockGroup(group);
  yield* listAddTail(group, 'devices', gdev);
  const domain = yield* load<string | null>(group, 'domain');
  if (domain !== null) yield* __iommu_attach_device(k, domain, dev);
  yield* k.unlockGroup(group);
  return domain === null ? group : null;
}

function* setDefault(k: Kernel, group: string): Thread<void> {
  if (k.profile.addBeforeAttach) {
    yield* iommu_setup_default_domain(k, group);
    return;
  }
  yield* iommu_alloc_default_domain(k, group);
  const domain = yield* load<string | null>(group, 'default_domain');
  if (domain === null) return;
  for (const entry of yield* loadList(group, 'devices')) {
    yield* __iommu_attach_device(k, domain, memberOf(entry).dev);
  }
}
