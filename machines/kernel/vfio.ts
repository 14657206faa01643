/**
 * vfio as a listener on an IOMMU group, step by step: drivers/vfio/vfio.c of the kernels whose groups
 * have a notifier chain (v3.6 – v5.18). Source: C.4 "VFIO listener", K03, K04, K43.
 */

import { EINVAL } from '../errno.js';
import type { Delivery } from '../step.js';
import { lock, loopHead, send, spawn, unlock } from '../step.js';
import type { Thread } from '../step.js';
import type { KernelProfile } from '../profiles/profile.js';
import {
  get,
  kfree,
  kref_put_mutex,
  listAddTail,
  listDel,
  listNext,
  load,
  store,
  waitFor,
} from './memory.js';
import { free_notifier_block, notifier_chain_unregister } from './notifier-chain.js';
import type { Chain } from './notifier-chain.js';

/** The names of what vfio knows of one IOMMU group. */
export interface Vfio {
  readonly profile: KernelProfile;
  /** The static struct vfio, with group_list. */
  readonly vfio: string;
  /** vfio.group_lock */
  readonly groupLock: string;
  /** struct vfio_group: device_list, unbound_list, container_users. Who is in it holds a reference. */
  readonly group: string;
  /** group->device_lock */
  readonly deviceLock: string;
  /** group->unbound_lock */
  readonly unboundLock: string;
  /** group->nb, in the memory of the group. */
  readonly block: string;
  /** The notifier chain of the IOMMU group. */
  readonly chain: Chain;
  /** vfio.release_q: a struct whose `woken` is set by wake_up. One may wait. */
  readonly releaseQ: string;
  /** An alarmMachine of INV-02, INV-05 and INV-13: where it warns. */
  readonly warnings: string;
  /** struct vfio_device of a device: dev. */
  device(dev: string): string;
}

export const NOTIFY_OK = 1;

/**
 * vfio_iommu_group_notifier.
 *
 * From v4.13 on its reference is put in a worker: as the last one it would unregister the block
 * whose callback this is (K03).
 */
export function* vfio_iommu_group_notifier(v: Vfio, { action, payload }: Delivery): Thread<number> {
  const dev = String(payload.dev);
  if (!(yield* vfio_group_try_get(v))) {
    if (v.profile.vfioWarnsOffList) {
      const says = `vfio warns that ${action} is spurious, though its block is registered still`;
      yield* warn(v, 'INV-13', 'WARN_ON(!group)', says);
    }
    return NOTIFY_OK;
  }
  switch (action) {
    case 'ADD_DEVICE':
      yield* vfio_group_nb_add_dev(v, dev);
      break;
    case 'DEL_DEVICE':
      if (v.profile.vfioWarnsAtDel) yield* vfio_group_nb_del_dev(v, dev);
      break;
    case 'BOUND_DRIVER':
      if ((yield* vfio_group_nb_verify(v, dev)) !== 0) {
        throw new Error(`kernel BUG: ${dev} was bound in a group that is in use`);
      }
      break;
    case 'UNBOUND_DRIVER':
      if (v.profile.vfioUnboundList) yield* forgetUnbound(v, dev);
      break;
  }
  if (v.profile.vfioPutsInWorker) {
    yield* spawn(() => vfio_group_put(v), 'schedule_work(vfio_group_put_bg)');
  } else {
    yield* vfio_group_put(v);
  }
  return NOTIFY_OK;
}

/**
 * vfio_del_group_dev, later vfio_unregister_group_dev: what a vfio driver's remove() calls. It
 * returns when the device is in use no more, or seems so: before v3.11 it looked for it by
 * dev->iommu_group, which a DEL_DEVICE that came first has cleared (K43).
 */
export function* vfio_del_group_dev(v: Vfio, dev: string): Thread<void> {
  const device = yield* load<string>(dev, 'drvdata', 'device');
  if (v.profile.vfioHoldsGroup) yield* get(v.group);
  if (v.profile.vfioUnboundList) {
    yield* lock(v.unboundLock);
    yield* listAddTail(v.group, 'unbound_list', dev);
    yield* unlock(v.unboundLock);
  }
  yield* vfio_device_put(v, device);
  yield* wait_event(v.releaseQ, function* () {
    return !(yield* vfio_dev_present(v, dev));
  });
  if (v.profile.vfioHoldsGroup) yield* vfio_group_put(v);
}

/** vfio_group_get_device and vfio_device_put, of the group that dev->iommu_group leads to. */
function* vfio_dev_present(v: Vfio, dev: string): Thread<boolean> {
  if (!v.profile.vfioHoldsGroup) {
    if ((yield* load(dev, 'iommu_group', 'iommu_group')) === null) return false;
    if (!(yield* vfio_group_try_get(v))) return false;
  }
  const device = yield* vfio_group_get_device(v, dev);
  if (device !== null) yield* vfio_device_put(v, device);
  if (!v.profile.vfioHoldsGroup) yield* vfio_group_put(v);
  return device !== null;
}

/** vfio_device_put: of a device comes with one of its group. */
export function* vfio_device_put(v: Vfio, device: string): Thread<void> {
  yield* kref_put_mutex(device, v.deviceLock, () => vfio_device_release(v, device));
  yield* vfio_group_put(v);
}

function* vfio_device_release(v: Vfio, device: string): Thread<void> {
  yield* listDel(v.group, 'device_list', device);
  yield* unlock(v.deviceLock);
  yield* kfree(device);
  yield* store(v.releaseQ, 'woken', true);
}

/** vfio_group_put */
export function* vfio_group_put(v: Vfio): Thread<void> {
  yield* kref_put_mutex(v.group, v.groupLock, () => vfio_group_release(v));
}

/** vfio_group_release, with vfio.group_lock held: the block is unregistered without it. */
function* vfio_group_release(v: Vfio): Thread<void> {
  yield* listDel(v.vfio, 'group_list', v.group);
  yield* unlock(v.groupLock);
  yield* notifier_chain_unregister(v.chain, v.block);
  // One kfree: the block is in the group.
  yield* free_notifier_block(v.chain, v.block);
  yield* kfree(v.group);
}

/** vfio_group_try_get; also vfio_group_get_from_iommu where there is one IOMMU group. */
function* vfio_group_try_get(v: Vfio): Thread<boolean> {
  yield* lock(v.groupLock);
  const found = yield* isListed(v.vfio, 'group_list', v.group);
  if (found) yield* get(v.group);
  yield* unlock(v.groupLock);
  return found;
}

/** vfio_group_get_device: null where the device is not on device_list. */
function* vfio_group_get_device(v: Vfio, dev: string): Thread<string | null> {
  yield* lock(v.deviceLock);
  let device = yield* listNext(v.group, 'device_list', null);
  while (device !== null && (yield* load(device, 'dev')) !== dev) {
    device = yield* listNext(v.group, 'device_list', device);
  }
  if (device !== null) {
    yield* get(v.group);
    yield* get(device);
  }
  yield* unlock(v.deviceLock);
  return device;
}

/**
 * vfio_dev_viable: whether a device of the group may be beside one that userspace drives.
 *
 * @returns 0: it has no driver, a vfio driver, or one that is about to leave; -EINVAL
 */
export function* vfio_dev_viable(v: Vfio, dev: string): Thread<number> {
  const driver = yield* load<string | null>(dev, 'driver', 'drv');
  if (v.profile.vfioUnboundList) {
    yield* lock(v.unboundLock);
    const unbound = yield* isListed(v.group, 'unbound_list', dev);
    yield* unlock(v.unboundLock);
    if (unbound) return 0;
  }
  if (driver === null) return 0;
  const device = yield* vfio_group_get_device(v, dev);
  if (device === null) return -EINVAL;
  yield* vfio_device_put(v, device);
  return 0;
}

function* vfio_group_nb_add_dev(v: Vfio, dev: string): Thread<void> {
  const device = yield* vfio_group_get_device(v, dev);
  if (device !== null) {
    const says = `${dev} is added, and vfio has it on device_list already`;
    yield* warn(v, 'INV-02', 'WARN_ON_ONCE(device)', says);
    yield* vfio_device_put(v, device);
  }
}

function* vfio_group_nb_del_dev(v: Vfio, dev: string): Thread<void> {
  const device = yield* vfio_group_get_device(v, dev);
  if (device === null) return;
  const text = `Device ${dev} removed from live group`;
  yield* warn(v, 'INV-05', `WARN("${text}")`, `vfio warns "${text}", and it is in it still`);
  yield* vfio_device_put(v, device);
}

/** vfio_group_nb_verify: what happens in a group that nobody uses does not matter. */
function* vfio_group_nb_verify(v: Vfio, dev: string): Thread<number> {
  const users = yield* load<number | null>(v.group, 'container_users');
  return (users ?? 0) === 0 ? 0 : yield* vfio_dev_viable(v, dev);
}

function* forgetUnbound(v: Vfio, dev: string): Thread<void> {
  yield* lock(v.unboundLock);
  if (yield* isListed(v.group, 'unbound_list', dev)) yield* listDel(v.group, 'unbound_list', dev);
  yield* unlock(v.unboundLock);
}

/** list_for_each_entry until it is found. */
function* isListed(object: string, field: string, wanted: string): Thread<boolean> {
  let entry = yield* listNext(object, field, null);
  while (entry !== null && entry !== wanted) entry = yield* listNext(object, field, entry);
  return entry !== null;
}

/** wait_event: a wake_up after the condition was looked at is not missed. */
function* wait_event(queue: string, condition: () => Thread<boolean>): Thread<void> {
  if (yield* condition()) return;
  for (;;) {
    yield* loopHead('wait_event');
    yield* store(queue, 'woken', false);
    if (yield* condition()) return;
    yield* waitFor(queue, 'woken', true);
  }
}

function* warn(v: Vfio, rule: string, label: string, says: string): Thread<void> {
  yield* send(v.warnings, { type: 'alarm', rule, says }, label);
}
