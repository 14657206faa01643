/**
 * PASIDs of one global space, after IOASIDs were removed: drivers/iommu/iommu-sva.c, iommu.c. Source:
 * A5.5.
 */

import { EBUSY, EINVAL, ENODEV, ENOMEM, ENOSPC, EOVERFLOW } from '../errno.js';
import { mayFail, lock, send, unlock } from '../step.js';
import type { Thread } from '../step.js';
import type { PasidReply } from '../pasid-allocator.js';
import { XA_ZERO_ENTRY } from '../xarray.js';
import { devicesOf } from './group-members.js';
import { access, add, get, kfree, kzalloc, load, put, store } from './memory.js';
import { warnOn } from './printk.js';
import { xa_erase, xa_insert, xa_load, xa_store } from './xarray.js';

/** iommu_global_pasid_ida: machines/pasid-allocator.ts. */
export const GLOBAL_PASIDS = 'iommu_global_pasid_ida';
export const SVA_LOCK = 'iommu_sva_lock';
export const PASID_LOG = 'dmesg';
export const IOMMU_FIRST_GLOBAL_PASID = 1;
export const IOMMU_PASID_INVALID = -1;

/** What generations do differently. */
export interface PasidCode {
  /** When the last reference to a process frees its PASID (v5.18: K28). */
  readonly freedIn: '__mmput' | '__mmdrop';
  /** Whose PASID a failed attach of a group removes (b025dea63cde, v6.10). */
  readonly undoes: 'all' | 'those done';
  /** When a page request finds what is attached: before it is, or after (v7.2). */
  readonly published: 'first' | 'last';
  /** What ends the range of iommu_sva_alloc_pasid (4e14176ab13f, v6.4: D-A5-10). */
  readonly max: 'excluded' | 'included';
}

/** The code of v7.2. */
export const V7_2: PasidCode = {
  freedIn: '__mmdrop',
  undoes: 'those done',
  published: 'last',
  max: 'included',
};

/** group->pasid_array */
export function pasidArrayOf(group: string): string {
  return `${group}->pasid_array`;
}

/**
 * iommu_alloc_global_pasid.
 *
 * @param owner for whom it is: of the model
 * @returns IOMMU_FIRST_GLOBAL_PASID … max_pasids - 1; IOMMU_PASID_INVALID
 */
export function* iommu_alloc_global_pasid(dev: string, owner: string): Thread<number> {
  const max_pasids = yield* load<number>(dev, 'max_pasids');
  if (max_pasids === 0) return IOMMU_PASID_INVALID;
  return yield* ida_alloc_range(owner, IOMMU_FIRST_GLOBAL_PASID, max_pasids - 1);
}

/** iommu_free_global_pasid: a second free of one PASID breaks a rule inside the ida. */
export function* iommu_free_global_pasid(pasid: number): Thread<void> {
  if (pasid === IOMMU_PASID_INVALID) {
    yield* warnOn(PASID_LOG, 'pasid == IOMMU_PASID_INVALID');
    return;
  }
  yield* send(GLOBAL_PASIDS, { type: 'free', pasid }, `ida_free(${GLOBAL_PASIDS}, ${pasid})`);
}

function* ida_alloc_range(owner: string, min: number, max: number): Thread<number> {
  const { pasid } = yield* send<PasidReply>(
    GLOBAL_PASIDS,
    { type: 'alloc', owner, min, max },
    `ida_alloc_range(${GLOBAL_PASIDS}, ${min}, ${max})`,
  );
  return pasid === 0 ? IOMMU_PASID_INVALID : pasid;
}

/**
 * iommu_sva_alloc_pasid of v6.1 and v6.4.
 *
 * @param max "inclusive", as its comment says
 * @returns 0; -EINVAL; -EOVERFLOW: the PASID of the process is not of min … max; -ENOMEM
 */
export function* iommu_sva_alloc_pasid(
  code: PasidCode,
  mm: string,
  min: number,
  max: number,
): Thread<number> {
  if (min === 0 || max < min) return -EINVAL;
  yield* lock(SVA_LOCK);
  const ret = yield* allocPasidLocked(code, mm, min, max);
  yield* unlock(SVA_LOCK);
  return ret;
}

function* allocPasidLocked(code: PasidCode, mm: string, min: number, max: number): Thread<number> {
  const own = yield* load<number>(mm, 'pasid');
  if (own !== IOMMU_PASID_INVALID) {
    const over = code.max === 'included' ? own > max : own >= max;
    return own < min || over ? -EOVERFLOW : 0;
  }
  const pasid = yield* ida_alloc_range(mm, min, max);
  if (pasid === IOMMU_PASID_INVALID) return -ENOMEM;
  yield* store(mm, 'pasid', pasid);
  return 0;
}

/** A device with what its driver passes to iommu_sva_bind_device, and its group. */
export interface SvaDevice {
  readonly dev: string;
  readonly group: string;
  /** The struct iommu_sva of the binding, which is the attach handle. */
  readonly handle: string;
}

/**
 * iommu_sva_bind_device of v6.12.
 *
 * @returns 0; -EOVERFLOW: the device has not so many PASIDs; -ENOSPC; the error of the attach
 */
export function* iommu_sva_bind_device(
  code: PasidCode,
  { dev, group, handle }: SvaDevice,
  mm: string,
): Thread<number> {
  yield* lock(SVA_LOCK);
  const ret = yield* bindLocked(code, { dev, group, handle }, mm);
  yield* unlock(SVA_LOCK);
  return ret;
}

function* bindLocked(
  code: PasidCode,
  { dev, group, handle }: SvaDevice,
  mm: string,
): Thread<number> {
  const pasid = yield* iommu_alloc_mm_data(dev, mm);
  if (pasid < 0) return pasid;
  if ((yield* xa_load(pasidArrayOf(group), pasid)) !== null) {
    yield* add(handle, 'users', 1);
    return 0;
  }
  yield* kzalloc(handle, { fields: { domain: mm, users: 1, pasid } });
  // iommu_sva_domain_alloc: the domain holds the struct mm, not its users.
  yield* get(mm);
  const ret = yield* iommu_attach_device_pasid(code, { domain: mm, group, pasid, handle });
  if (ret === 0) return 0;
  yield* mmdrop(code, mm);
  yield* kfree(handle);
  return ret;
}

/** iommu_alloc_mm_data. Returns the PASID of the process, or a negative errno. */
function* iommu_alloc_mm_data(dev: string, mm: string): Thread<number> {
  const max_pasids = yield* load<number>(dev, 'max_pasids');
  const known = yield* load<number | null>(mm, 'iommu_mm');
  if (known !== null) return known >= max_pasids ? -EOVERFLOW : known;
  const pasid = yield* iommu_alloc_global_pasid(dev, mm);
  if (pasid === IOMMU_PASID_INVALID) return -ENOSPC;
  // smp_store_release: readers without the lock find it whole.
  yield* store(mm, 'iommu_mm', pasid);
  return pasid;
}

/** iommu_sva_unbind_device of v6.12. */
export function* iommu_sva_unbind_device(
  code: PasidCode,
  { group, handle }: SvaDevice,
): Thread<void> {
  yield* lock(SVA_LOCK);
  const users = (yield* add(handle, 'users', -1)) - 1;
  if (users > 0) {
    yield* unlock(SVA_LOCK);
    return;
  }
  const pasid = yield* load<number>(handle, 'pasid');
  const mm = yield* load<string>(handle, 'domain');
  yield* iommu_detach_device_pasid(group, pasid);
  yield* unlock(SVA_LOCK);
  yield* kfree(handle);
  yield* mmdrop(code, mm);
}

function* mm_pasid_drop(mm: string): Thread<void> {
  const pasid = yield* load<number | null>(mm, 'iommu_mm');
  if (pasid !== null) yield* iommu_free_global_pasid(pasid);
}

/** mmdrop: who puts the last reference of the struct frees it. */
export function* mmdrop(code: PasidCode, mm: string): Thread<void> {
  if (!(yield* put(mm))) return;
  if (code.freedIn === '__mmdrop') yield* mm_pasid_drop(mm);
  yield* kfree(mm);
}

/** mmput: the last user goes, and with it the address space. */
export function* mmput(code: PasidCode, mm: string): Thread<void> {
  if ((yield* add(mm, 'mm_users', -1)) !== 1) return;
  if (code.freedIn === '__mmput') yield* mm_pasid_drop(mm);
  yield* mmdrop(code, mm);
}

/** What is attached, to what. */
export interface PasidAttach {
  readonly domain: string;
  readonly group: string;
  readonly pasid: number;
  /** What a page request finds. */
  readonly handle: string;
  /** The entity that says how many faults are left; undefined: nothing fails. */
  readonly budget?: string;
}

/**
 * iommu_attach_device_pasid: the PASID of every device of the group that has PASIDs.
 *
 * @returns 0; -EINVAL: a device has not so many PASIDs; -EBUSY; the error of a device
 */
export function* iommu_attach_device_pasid(code: PasidCode, to: PasidAttach): Thread<number> {
  const mutex = `${to.group}->mutex`;
  yield* lock(mutex);
  const ret = yield* attachLocked(code, to);
  yield* unlock(mutex);
  return ret;
}

function* attachLocked(code: PasidCode, to: PasidAttach): Thread<number> {
  const { group, pasid, handle } = to;
  const devices: string[] = [];
  for (const dev of yield* devicesOf(group)) {
    const max_pasids = yield* load<number>(dev, 'max_pasids');
    if (max_pasids > 0 && pasid >= max_pasids) return -EINVAL;
    if (max_pasids > 0) devices.push(dev);
  }
  const array = pasidArrayOf(group);
  const first = code.published === 'first' ? handle : XA_ZERO_ENTRY;
  if (!(yield* xa_insert(array, pasid, first))) return -EBUSY;
  const ret = yield* __iommu_set_group_pasid(code, to, devices);
  if (ret !== 0) {
    yield* xa_erase(array, pasid);
    return ret;
  }
  if (code.published === 'last') yield* xa_store(array, pasid, handle);
  return 0;
}

function* __iommu_set_group_pasid(
  code: PasidCode,
  { domain, pasid, budget }: PasidAttach,
  devices: readonly string[],
): Thread<number> {
  for (const [i, dev] of devices.entries()) {
    const failed = `set_dev_pasid(${dev}, ${pasid}) fails`;
    if (budget === undefined || !(yield* mayFail(budget, failed))) {
      yield* setDevPasid(dev, pasid, domain);
      continue;
    }
    for (const back of code.undoes === 'all' ? devices : devices.slice(0, i)) {
      yield* remove_dev_pasid(back, pasid);
    }
    return -ENODEV;
  }
  return 0;
}

/** iommu_detach_device_pasid */
export function* iommu_detach_device_pasid(group: string, pasid: number): Thread<void> {
  const mutex = `${group}->mutex`;
  yield* lock(mutex);
  for (const dev of yield* devicesOf(group)) {
    if ((yield* load<number>(dev, 'max_pasids')) > 0) yield* remove_dev_pasid(dev, pasid);
  }
  yield* xa_erase(pasidArrayOf(group), pasid);
  yield* unlock(mutex);
}

/** The field of a device that is its entry of a PASID. */
export function entryOf(pasid: number): string {
  return `pasid_table[${pasid}]`;
}

function* setDevPasid(dev: string, pasid: number, domain: string): Thread<void> {
  yield* store(dev, entryOf(pasid), domain);
}

/** ops->remove_dev_pasid: a driver warns where there is nothing to remove. */
function* remove_dev_pasid(dev: string, pasid: number): Thread<void> {
  if ((yield* load(dev, entryOf(pasid))) === null) {
    yield* warnOn(PASID_LOG, `!dev_pasid: ${dev}, ${pasid}`, 'INV-30');
    return;
  }
  yield* store(dev, entryOf(pasid), null);
}

/**
 * A page request of a device: iommu_attach_handle_get and what the fault handler does with it.
 *
 * @returns whether it was answered by what is attached
 */
export function* page_request(group: string, pasid: number): Thread<boolean> {
  const handle = yield* xa_load(pasidArrayOf(group), pasid);
  if (handle === null) return false;
  yield* access(handle, { type: 'read', field: 'domain' }, `iopf_queue(${handle}->domain)`);
  return true;
}
