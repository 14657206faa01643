/**
 * IOASID allocators, the default one and those that drivers register: drivers/iommu/ioasid.c from
 * v5.5 to v6.3. Lists are the pointers that they are. Source: A5.1, A5.2.
 */

import { EACCES, EAGAIN, EBUSY, EEXIST, ENOENT, ENOMEM } from '../errno.js';
import { lock, rcuReadLock, rcuReadUnlock, synchronizeRcu, unlock } from '../step.js';
import type { Thread } from '../step.js';
import { kfree_rcu } from './kfree-rcu.js';
import type { RcuFunctions } from './kfree-rcu.js';
import {
  container_of,
  kfree_nodes,
  list_add_tail,
  list_del,
  list_empty,
  list_find,
  list_first,
  list_is_singular,
} from './list.js';
import { access, kfree, kzalloc, load, nextName, store } from './memory.js';
import { printk, warnOn } from './printk.js';
import { xa_alloc, xa_empty, xa_erase, xa_load } from './xarray.js';

/** What ioasid_alloc answers where there is none: (u32)-1. */
export const INVALID_IOASID = -1;

/** Names of the statics, and of what threads take their names from. */
export const IOASID_LOCK = 'ioasid_allocator_lock';
export const ALLOCATORS = 'allocators_list';
export const DEFAULT_ALLOCATOR = 'default_allocator';
export const IOASID_LISTS = 'lists';
export const IOASID_RCU = 'rcu';
export const IOASID_LOG = 'dmesg';
/** active_allocator, and the memory that may still be allocated. */
export const IOASID = 'ioasid.c';

/** How the code does what A5.3 says of it, and how code that has not that defect does it. */
export interface IoasidCode {
  /** RG1 links ops->list before it is known whether it stays (D-A5-1, D-A5-3b). */
  readonly linksFirst: boolean;
  /** Of which ops it is found that they are registered already (D-A5-2). */
  readonly duplicates: 'the first' | 'all';
  /** The container turns to other ops when those that it has are unregistered (D-A5-3). */
  readonly opsFollow: boolean;
  /** Whose container an unregister takes (D-A5-5). */
  readonly unregisters: 'by helpers' | 'by identity';
  /** What an unregister of the last sharer does about IOASIDs that are outstanding (D-A5-6). */
  readonly outstanding: 'WARN' | 'refuses';
  /** What becomes of an id of a custom alloc() that is somebody's already (D-A5-7). */
  readonly takenId: 'freed' | 'kept';
  /** spin_lock_irqsave in the place of spin_lock (D-A5-9). */
  readonly irqsave: boolean;
  /** ioasid_set_data waits for a grace period. */
  readonly setDataWaits: boolean;
}

/** drivers/iommu/ioasid.c of v5.5 to v6.3. */
export const AS_SHIPPED: IoasidCode = {
  linksFirst: true,
  duplicates: 'the first',
  opsFollow: false,
  unregisters: 'by helpers',
  outstanding: 'WARN',
  takenId: 'freed',
  irqsave: false,
  setDataWaits: true,
};

/** The same code without the defects of A5.3: of the model, no kernel had it. */
export const REPAIRED: IoasidCode = {
  linksFirst: false,
  duplicates: 'all',
  opsFollow: true,
  unregisters: 'by identity',
  outstanding: 'refuses',
  takenId: 'kept',
  irqsave: true,
  setDataWaits: true,
};

/** What ops->alloc and ops->free point to. The caller holds the spinlock. */
export interface IoasidHelpers {
  /** Returns the id, INVALID_IOASID for none. */
  readonly alloc: (min: number, max: number, pdata: string) => Thread<number>;
  readonly free: (id: number, pdata: string) => Thread<void>;
}

export interface Ioasid {
  readonly code: IoasidCode;
  /** By what ops->alloc says. */
  readonly helpers: Readonly<Record<string, IoasidHelpers>>;
  /** The rule that a WARN about outstanding IOASIDs breaks; none where left out. */
  readonly warns?: string;
  /** The CPU on which interrupts come, where they do: `irqs_off`. */
  readonly cpu?: string;
  /** Faults that may be injected in allocations. */
  readonly budget?: string;
}

/** The space of an allocator. */
export function spaceOf(allocator: string): string {
  return `${allocator}->xa`;
}

function* spin_lock({ code, cpu }: Ioasid): Thread<void> {
  if (code.irqsave && cpu !== undefined) yield* store(cpu, 'irqs_off', true);
  yield* lock(IOASID_LOCK);
}

function* spin_unlock({ code, cpu }: Ioasid): Thread<void> {
  yield* unlock(IOASID_LOCK);
  if (code.irqsave && cpu !== undefined) yield* store(cpu, 'irqs_off', false);
}

function* activeAllocator(): Thread<string> {
  return yield* load<string>(IOASID, 'active_allocator', 'active');
}

/** kfree of an allocator that is on no list: the struct with its nodes and its xarray. */
function* freeAllocator(ia: string): Thread<void> {
  yield* kfree_nodes(IOASID_LISTS, ia, `kfree(${ia}): its list_heads`);
  yield* access(spaceOf(ia), { type: 'free' }, `kfree(${ia}): its xa`);
  yield* kfree(ia);
}

/** What is freed after a grace period: allocators and the data of IOASIDs. */
export const RCU_FUNCTIONS: RcuFunctions = { freeAllocator, kfree };

/** Returns the container, null where there is no memory. */
function* ioasid_alloc_allocator(a: Ioasid, ops: string): Thread<string | null> {
  const ia = yield* nextName(IOASID, 'spare allocators');
  if (!(yield* kzalloc(ia, { fields: { ops, custom: true } }, a.budget))) return null;
  if (a.code.linksFirst) yield* list_add_tail(IOASID_LISTS, `${ops}->list`, `${ia}->slist`);
  return ia;
}

/** Both point to the same functions. */
function* use_same_ops(a: string, b: string): Thread<boolean> {
  if ((yield* load(a, 'free')) !== (yield* load(b, 'free'))) return false;
  return (yield* load(a, 'alloc')) === (yield* load(b, 'alloc'));
}

/**
 * ioasid_register_allocator, RG1–RG4.
 *
 * @returns 0; -ENOMEM; -EAGAIN: IOASIDs of the default allocator are outstanding; -EEXIST
 */
export function* ioasid_register_allocator(a: Ioasid, ops: string): Thread<number> {
  yield* spin_lock(a);
  const ret = yield* registerLocked(a, ops);
  yield* spin_unlock(a);
  return ret;
}

function* registerLocked(a: Ioasid, ops: string): Thread<number> {
  const ia = yield* ioasid_alloc_allocator(a, ops);
  if (ia === null) return -ENOMEM;
  const linkOwn = function* () {
    if (!a.code.linksFirst) yield* list_add_tail(IOASID_LISTS, `${ops}->list`, `${ia}->slist`);
  };
  if (yield* list_empty(IOASID_LISTS, ALLOCATORS)) {
    const active = yield* activeAllocator();
    if (active !== DEFAULT_ALLOCATOR) {
      yield* warnOn(IOASID_LOG, 'active_allocator != &default_allocator');
    }
    if (yield* xa_empty(spaceOf(active))) {
      yield* linkOwn();
      yield* store(IOASID, 'active_allocator', ia);
      yield* list_add_tail(IOASID_LISTS, `${ia}->list`, ALLOCATORS);
      return 0;
    }
    const text = 'Default allocator active with outstanding IOASID';
    yield* printk(IOASID_LOG, 'pr_warn', text);
    yield* freeAllocator(ia);
    return -EAGAIN;
  }
  const found = yield* findRegistered(a, ops);
  if (found === null) {
    yield* linkOwn();
    yield* list_add_tail(IOASID_LISTS, `${ia}->list`, ALLOCATORS);
    return 0;
  }
  if (found.again) yield* printk(IOASID_LOG, 'pr_err', 'IOASID allocator already registered');
  else yield* list_add_tail(IOASID_LISTS, `${ops}->list`, `${found.ia}->slist`);
  yield* freeAllocator(ia);
  return found.again ? -EEXIST : 0;
}

/** The container whose helpers are those of `ops`, and whether `ops` are registered there. */
function* findRegistered(
  a: Ioasid,
  ops: string,
): Thread<{ readonly ia: string; readonly again: boolean } | null> {
  let again = false;
  const node = yield* list_find(IOASID_LISTS, ALLOCATORS, function* (each) {
    const first = yield* load<string>(container_of(each), 'ops');
    again = first === ops;
    return again || (yield* use_same_ops(first, ops));
  });
  if (node === null) return null;
  const ia = container_of(node);
  if (!again && a.code.duplicates === 'all') again = yield* sharesIn(ia, ops);
  return { ia, again };
}

/** Whether `ops` are on the list of those that share a container, by identity. */
function* sharesIn(ia: string, ops: string): Thread<boolean> {
  const found = yield* list_find(IOASID_LISTS, `${ia}->slist`, isNode(`${ops}->list`));
  return found !== null;
}

/** Compares a pointer: no step of its own. */
function isNode(wanted: string) {
  // eslint-disable-next-line require-yield
  return function* (node: string): Thread<boolean> {
    return node === wanted;
  };
}

/**
 * ioasid_unregister_allocator: void in the kernel.
 *
 * @returns 0; -EBUSY, where it refuses because IOASIDs are outstanding
 */
export function* ioasid_unregister_allocator(a: Ioasid, ops: string): Thread<number> {
  yield* spin_lock(a);
  const ret = yield* unregisterLocked(a, ops);
  yield* spin_unlock(a);
  return ret;
}

function* unregisterLocked(a: Ioasid, ops: string): Thread<number> {
  const { code } = a;
  if (yield* list_empty(IOASID_LISTS, ALLOCATORS)) {
    yield* printk(IOASID_LOG, 'pr_warn', 'No custom IOASID allocators active!');
    return 0;
  }
  const node = yield* list_find(IOASID_LISTS, ALLOCATORS, function* (each) {
    if (code.unregisters === 'by identity') return yield* sharesIn(container_of(each), ops);
    return yield* use_same_ops(yield* load<string>(container_of(each), 'ops'), ops);
  });
  if (node === null) return 0;
  const ia = container_of(node);
  if (yield* list_is_singular(IOASID_LISTS, `${ia}->slist`)) {
    if (code.outstanding === 'refuses' && !(yield* xa_empty(spaceOf(ia)))) return -EBUSY;
    yield* removeAllocator(a, ia, ops);
    return 0;
  }
  if (yield* sharesIn(ia, ops)) {
    yield* list_del(IOASID_LISTS, `${ops}->list`);
    if (code.opsFollow && (yield* load(ia, 'ops')) === ops) {
      const next = yield* list_first(IOASID_LISTS, `${ia}->slist`);
      yield* store(ia, 'ops', container_of(next ?? ''));
    }
  }
  return 0;
}

/** The last of its sharers goes. */
function* removeAllocator(a: Ioasid, ia: string, ops: string): Thread<void> {
  yield* list_del(IOASID_LISTS, `${ia}->list`);
  if (!(yield* xa_empty(spaceOf(ia)))) {
    yield* warnOn(IOASID_LOG, `!xa_empty(&${ia}->xa)`, a.warns);
  }
  if (yield* list_empty(IOASID_LISTS, ALLOCATORS)) {
    const text = 'No custom IOASID allocators, switch to default.';
    yield* printk(IOASID_LOG, 'pr_info', text);
    yield* store(IOASID, 'active_allocator', DEFAULT_ALLOCATOR);
  } else if ((yield* activeAllocator()) === ia) {
    const first = yield* list_first(IOASID_LISTS, ALLOCATORS);
    yield* store(IOASID, 'active_allocator', container_of(first ?? ''));
    yield* printk(IOASID_LOG, 'pr_info', 'IOASID allocator changed');
  }
  if (!a.code.linksFirst) yield* list_del(IOASID_LISTS, `${ops}->list`);
  yield* kfree_rcu(IOASID_RCU, RCU_FUNCTIONS, 'freeAllocator', ia);
}

/**
 * ioasid_alloc.
 *
 * @returns the id, of min … max; INVALID_IOASID
 */
export function* ioasid_alloc(
  a: Ioasid,
  set: string | null,
  min: number,
  max: number,
  priv: string | null,
): Thread<number> {
  const data = yield* nextName(IOASID, 'spare data');
  const fields = { id: 0, set, private: priv };
  if (!(yield* kzalloc(data, { fields }, a.budget))) return INVALID_IOASID;
  yield* spin_lock(a);
  const id = yield* allocLocked(a, data, min, max);
  if (id !== INVALID_IOASID) yield* store(data, 'id', id);
  yield* spin_unlock(a);
  if (id === INVALID_IOASID) yield* kfree(data);
  return id;
}

function* allocLocked(a: Ioasid, data: string, min: number, max: number): Thread<number> {
  const active = yield* activeAllocator();
  if (active === DEFAULT_ALLOCATOR) {
    const id = yield* xa_alloc(spaceOf(active), data, min, max);
    if (id !== null) return id;
    yield* printk(IOASID_LOG, 'pr_err', `Failed to alloc ioasid from ${min} to ${max}`);
    yield* printk(IOASID_LOG, 'pr_err', 'Failed ASID allocation 0');
    return INVALID_IOASID;
  }
  const ops = yield* load<string>(active, 'ops');
  const pdata = yield* load<string>(ops, 'pdata');
  const id = yield* a.helpers[yield* load<string>(ops, 'alloc')].alloc(min, max, pdata);
  if (id === INVALID_IOASID) {
    yield* printk(IOASID_LOG, 'pr_err', 'Failed ASID allocation 1');
    return INVALID_IOASID;
  }
  if ((yield* xa_alloc(spaceOf(active), data, id, id)) !== null) return id;
  yield* printk(IOASID_LOG, 'pr_err', `Failed to alloc ioasid from ${id}`);
  if (a.code.takenId === 'freed') {
    yield* a.helpers[yield* load<string>(ops, 'free')].free(id, pdata);
  }
  return INVALID_IOASID;
}

/** ioasid_free */
export function* ioasid_free(a: Ioasid, id: number): Thread<void> {
  yield* spin_lock(a);
  yield* freeLocked(a, id);
  yield* spin_unlock(a);
}

function* freeLocked(a: Ioasid, id: number): Thread<void> {
  const active = yield* activeAllocator();
  if ((yield* xa_load(spaceOf(active), id)) === null) {
    yield* printk(IOASID_LOG, 'pr_err', `Trying to free unknown IOASID ${id}`);
    return;
  }
  if (active !== DEFAULT_ALLOCATOR) {
    const ops = yield* load<string>(active, 'ops');
    const pdata = yield* load<string>(ops, 'pdata');
    yield* a.helpers[yield* load<string>(ops, 'free')].free(id, pdata);
  }
  const data = (yield* xa_erase(spaceOf(active), id))!;
  yield* kfree_rcu(IOASID_RCU, RCU_FUNCTIONS, 'kfree', data);
}

/** What ioasid_find answers: the private data, or a negative errno. */
export type IoasidFound = { readonly priv: string | null } | { readonly err: number };

/**
 * ioasid_find, in which nobody is kept waiting.
 *
 * @param set none: of any set
 * @param getter looks at the private data in the read section; whether it is to be returned
 */
export function* ioasid_find(
  _a: Ioasid,
  set: string | null,
  id: number,
  getter?: (priv: string) => Thread<boolean>,
): Thread<IoasidFound> {
  yield* rcuReadLock(IOASID_RCU);
  const found = yield* findUnder(spaceOf(yield* activeAllocator()), set, id, getter);
  yield* rcuReadUnlock(IOASID_RCU);
  return found;
}

/** The part of ioasid_find that is in the read section. */
export function* findUnder(
  space: string,
  set: string | null,
  id: number,
  getter?: (priv: string) => Thread<boolean>,
): Thread<IoasidFound> {
  const data = yield* xa_load(space, id);
  if (data === null) return { err: -ENOENT };
  if (set !== null && (yield* load(data, 'set')) !== set) return { err: -EACCES };
  const priv = yield* load<string | null>(data, 'private', 'priv');
  if (priv === null || getter === undefined || (yield* getter(priv))) return { priv };
  return { priv: null };
}

/**
 * ioasid_set_data. After it has returned 0 nobody reads the old private data.
 *
 * @returns 0; -ENOENT
 */
export function* ioasid_set_data(a: Ioasid, id: number, priv: string | null): Thread<number> {
  yield* spin_lock(a);
  const data = yield* xa_load(spaceOf(yield* activeAllocator()), id);
  if (data !== null) yield* store(data, 'private', priv);
  yield* spin_unlock(a);
  if (data === null) return -ENOENT;
  if (a.code.setDataWaits) yield* synchronizeRcu(IOASID_RCU);
  return 0;
}
