/**
 * Shared PASIDs that userspace holds, charged to a limit: what the review of 2023 left open. Those of
 * the kernel's own DMA are not charged. Source: A5.4, P-A5-9; include/linux/misc_cgroup.h.
 */

import { EBUSY, ENOSPC } from '../errno.js';
import { lock, send, unlock } from '../step.js';
import type { Thread } from '../step.js';
import type { PasidReply } from '../pasid-allocator.js';
import { GLOBAL_PASIDS } from './global-pasid.js';
import { add, load, store } from './memory.js';

/** struct misc_cg: usage, limit. */
export const CGROUP = 'misc_cg';
/** How often a PASID is attached; in the xarray of a driver, under its lock. */
export const ATTACHED = 'attached';
export const ATTACH_LOCK = 'xa_lock(attached)';

/** When a shared PASID is charged. */
export type Charged = 'at allocation' | 'at each attach' | 'at the first attach';

export interface ChargeCode {
  readonly charged: Charged;
  /** A charge is given back where there is no PASID left. */
  readonly unwinds: boolean;
}

/** Who holds a PASID: a process, or the kernel for its own DMA. */
export type Holder = 'user' | 'kernel';

/** misc_cg_try_charge: adds, and takes back what is over the limit. Returns 0; -EBUSY. */
function* misc_cg_try_charge(): Thread<number> {
  const usage = (yield* add(CGROUP, 'usage', 1)) + 1;
  if (usage <= (yield* load<number>(CGROUP, 'limit'))) return 0;
  yield* misc_cg_uncharge();
  return -EBUSY;
}

function* misc_cg_uncharge(): Thread<void> {
  yield* add(CGROUP, 'usage', -1);
}

/**
 * Allocates a shared PASID.
 *
 * @returns the PASID; -EBUSY: over the limit; -ENOSPC: there is none
 */
export function* alloc_pasid(code: ChargeCode, holder: Holder): Thread<number> {
  const charges = code.charged === 'at allocation' && holder === 'user';
  if (charges && (yield* misc_cg_try_charge()) !== 0) return -EBUSY;
  const { pasid } = yield* send<PasidReply>(
    GLOBAL_PASIDS,
    { type: 'alloc', owner: holder },
    `ida_alloc(${GLOBAL_PASIDS})`,
  );
  if (pasid !== 0) return pasid;
  if (charges && code.unwinds) yield* misc_cg_uncharge();
  return -ENOSPC;
}

/** Frees a PASID that is attached nowhere. */
export function* free_pasid(code: ChargeCode, holder: Holder, pasid: number): Thread<void> {
  yield* send(GLOBAL_PASIDS, { type: 'free', pasid }, `ida_free(${GLOBAL_PASIDS}, ${pasid})`);
  if (code.charged === 'at allocation' && holder === 'user') yield* misc_cg_uncharge();
}

/** Attaches a PASID to a device more. Returns 0; -EBUSY: over the limit. */
export function* attach_pasid(code: ChargeCode, holder: Holder, pasid: number): Thread<number> {
  yield* lock(ATTACH_LOCK);
  const users = yield* load<number>(ATTACHED, String(pasid));
  const first = code.charged === 'at the first attach' && users === 0;
  const charges = holder === 'user' && (first || code.charged === 'at each attach');
  const ret = charges ? yield* misc_cg_try_charge() : 0;
  if (ret === 0) yield* store(ATTACHED, String(pasid), users + 1);
  yield* unlock(ATTACH_LOCK);
  return ret;
}

/** Detaches it from a device. */
export function* detach_pasid(code: ChargeCode, holder: Holder, pasid: number): Thread<void> {
  yield* lock(ATTACH_LOCK);
  const users = (yield* load<number>(ATTACHED, String(pasid))) - 1;
  yield* store(ATTACHED, String(pasid), users);
  const last = code.charged === 'at the first attach' && users === 0;
  if (holder === 'user' && (last || code.charged === 'at each attach')) yield* misc_cg_uncharge();
  yield* unlock(ATTACH_LOCK);
}
