/**
 * IOASIDs without custom allocators, as posted in 2023: one xarray, and its own lock in the place of
 * ioasid_allocator_lock. Source: A5.4.
 */

import { ENOENT } from '../errno.js';
import { lock, rcuReadLock, rcuReadUnlock, synchronizeRcu, unlock } from '../step.js';
import type { Thread } from '../step.js';
import {
  findUnder,
  INVALID_IOASID,
  IOASID,
  IOASID_LOG,
  IOASID_RCU,
  RCU_FUNCTIONS,
} from './ioasid.js';
import type { IoasidFound } from './ioasid.js';
import { kfree_rcu } from './kfree-rcu.js';
import { kfree, kzalloc, load, nextName, store } from './memory.js';
import { printk } from './printk.js';
import { XA_ZERO_ENTRY } from '../xarray.js';
import { xa_alloc, xa_erase, xa_load, xa_store } from './xarray.js';

export const IOASID_XA = 'ioasid_xa';
export const XA_LOCK = 'xa_lock(ioasid_xa)';

export interface IoasidXarray {
  /**
   * When data->id is set: as posted, after others can find the data (S7); under the lock that frees
   * want, so that readers alone can find it without; before it is stored where the id is reserved.
   */
  readonly idIsSet: 'after xa_alloc' | 'under xa_lock' | 'before xa_store';
  /** Faults that may be injected in allocations. */
  readonly budget?: string;
}

/** ioasid_alloc. Returns the id, of min … max; INVALID_IOASID. */
export function* ioasid_alloc(
  x: IoasidXarray,
  set: string | null,
  min: number,
  max: number,
  priv: string | null,
): Thread<number> {
  const data = yield* nextName(IOASID, 'spare data');
  const fields = { id: 0, set, private: priv };
  if (!(yield* kzalloc(data, { fields }, x.budget))) return INVALID_IOASID;
  yield* lock(XA_LOCK);
  const reserves = x.idIsSet === 'before xa_store';
  const id = yield* xa_alloc(IOASID_XA, reserves ? XA_ZERO_ENTRY : data, min, max);
  if (id !== null && x.idIsSet !== 'after xa_alloc') yield* store(data, 'id', id);
  if (id !== null && reserves) yield* xa_store(IOASID_XA, id, data);
  yield* unlock(XA_LOCK);
  if (id === null) {
    yield* printk(IOASID_LOG, 'pr_err', `Failed to alloc ioasid from ${min} to ${max}`);
    yield* kfree(data);
    return INVALID_IOASID;
  }
  if (x.idIsSet === 'after xa_alloc') yield* store(data, 'id', id);
  return id;
}

/** ioasid_free, which says nothing of an id that there is not. */
export function* ioasid_free(_x: IoasidXarray, id: number): Thread<void> {
  yield* lock(XA_LOCK);
  const data = yield* xa_erase(IOASID_XA, id);
  yield* unlock(XA_LOCK);
  // kfree_rcu of NULL does nothing.
  if (data !== null) yield* kfree_rcu(IOASID_RCU, RCU_FUNCTIONS, 'kfree', data);
}

/** ioasid_find */
export function* ioasid_find(
  _x: IoasidXarray,
  set: string | null,
  id: number,
  getter?: (priv: string) => Thread<boolean>,
): Thread<IoasidFound> {
  yield* rcuReadLock(IOASID_RCU);
  const found = yield* findUnder(IOASID_XA, set, id, getter);
  yield* rcuReadUnlock(IOASID_RCU);
  return found;
}

/** ioasid_set_data. Returns 0; -ENOENT. */
export function* ioasid_set_data(
  _x: IoasidXarray,
  id: number,
  priv: string | null,
): Thread<number> {
  yield* lock(XA_LOCK);
  const data = yield* xa_load(IOASID_XA, id);
  if (data !== null) yield* store(data, 'private', priv);
  yield* unlock(XA_LOCK);
  if (data === null) return -ENOENT;
  yield* synchronizeRcu(IOASID_RCU);
  return 0;
}

/** What a reader of the data may rely on. Returns data->id. */
export function* idOf(id: number): Thread<number | null> {
  yield* rcuReadLock(IOASID_RCU);
  const data = yield* xa_load(IOASID_XA, id);
  const found = data === null ? null : yield* load<number>(data, 'id');
  yield* rcuReadUnlock(IOASID_RCU);
  return found;
}
