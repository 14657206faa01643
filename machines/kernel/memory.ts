/**
 * What threads do to structs of the kernel, one step each. The structs are entities of
 * machines/object.ts. Source: D.x 1.
 */

import type { EventFact } from '../../events/event.js';
import type { Fields, ObjectEvent, ObjectReply } from '../object.js';
import { SetUpError } from '../set-up-error.js';
import { lock, mayFail, send, unlock } from '../step.js';
import type { Thread } from '../step.js';

/**
 * kzalloc of a struct that nobody else can see yet.
 *
 * @param budget faults that may be injected, where the allocation may fail
 * @returns false: it returned NULL
 */
export function* kzalloc(
  object: string,
  { fields = {}, refs = 0 }: { readonly fields?: Fields; readonly refs?: number } = {},
  budget?: string,
): Thread<boolean> {
  if (budget !== undefined && (yield* mayFail(budget, `kzalloc(${object}) returns NULL`))) {
    return false;
  }
  yield* access(object, { type: 'alloc', fields, refs }, `kzalloc(${object})`);
  return true;
}

export function* kfree(object: string, facts?: readonly EventFact[]): Thread<void> {
  yield* access(object, { type: 'free' }, `kfree(${object})`, facts);
}

/** A load of one field. `into` names what it is loaded into: `group = d0->iommu_group`. */
export function* load<T = unknown>(object: string, field: string, into?: string): Thread<T> {
  const label = `${into === undefined ? 'read' : `${into} =`} ${object}->${field}`;
  const reply = yield* access(object, { type: 'read', field }, label);
  return (reply as Extract<ObjectReply, { type: 'value' }>).value as T;
}

/** A load of a whole list, by who keeps others from changing it. */
export function* loadList(object: string, field: string): Thread<readonly string[]> {
  return (yield* load<readonly string[] | null>(object, field)) ?? [];
}

/** A store of one field. */
export function* store(
  object: string,
  field: string,
  value: unknown,
  facts?: readonly EventFact[],
): Thread<void> {
  const label = `${object}->${field} = ${shown(value)}`;
  yield* access(object, { type: 'write', field, value }, label, facts);
}

/** `object->field += by`. Returns what was there. */
export function* add(object: string, field: string, by: number): Thread<number> {
  const label = `${object}->${field} ${by < 0 ? '-' : '+'}= ${Math.abs(by)}`;
  const reply = yield* access(object, { type: 'add', field, value: by }, label);
  return (reply as Extract<ObjectReply, { type: 'value' }>).value as number;
}

/** wait_event, wait_for_completion: until the field has the value. */
export function* waitFor(object: string, field: string, value: unknown): Thread<void> {
  yield* access(
    object,
    { type: 'await', field, value },
    `wait for ${object}->${field} == ${shown(value)}`,
  );
}

/** kobject_get, kref_get. */
export function* get(object: string): Thread<void> {
  yield* access(object, { type: 'get' }, `get(${object})`);
}

/** kref_get_unless_zero. Returns whether it got a reference. */
export function* getUnlessZero(object: string): Thread<boolean> {
  const reply = yield* access(object, { type: 'get_unless_zero' }, `get_unless_zero(${object})`);
  return (reply as Extract<ObjectReply, { type: 'got' }>).ok;
}

/** kobject_put, kref_put. Returns whether it was the last reference: its caller runs the release. */
export function* put(object: string): Thread<boolean> {
  const reply = yield* access(object, { type: 'put' }, `put(${object})`);
  return (reply as Extract<ObjectReply, { type: 'put' }>).last;
}

/**
 * kref_put_mutex: only the last reference is put with the mutex held.
 *
 * @param release runs where it was the last, and unlocks the mutex
 */
export function* kref_put_mutex(
  object: string,
  mutex: string,
  release: () => Thread<void>,
): Thread<void> {
  const reply = yield* access(object, { type: 'dec_not_one' }, `dec_not_one(${object})`);
  if ((reply as Extract<ObjectReply, { type: 'value' }>).value === true) return;
  yield* lock(mutex);
  if (yield* put(object)) yield* release();
  else yield* unlock(mutex);
}

export function* listAdd(object: string, field: string, entry: string): Thread<void> {
  const label = `list_add(${entry}, ${object}->${field})`;
  yield* access(object, { type: 'list_add', field, entry }, label);
}

export function* listAddTail(object: string, field: string, entry: string): Thread<void> {
  const label = `list_add_tail(${entry}, ${object}->${field})`;
  yield* access(object, { type: 'list_add_tail', field, entry }, label);
}

/** Returns whether the entry was on the list. */
export function* listDel(object: string, field: string, entry: string): Thread<boolean> {
  const label = `list_del(${entry}, ${object}->${field})`;
  const reply = yield* access(object, { type: 'list_del', field, entry }, label);
  return (reply as Extract<ObjectReply, { type: 'deleted' }>).found;
}

/** As listDel, of a list that others walk meanwhile: who stands at the entry goes on from there. */
export function* klistDel(object: string, field: string, entry: string): Thread<boolean> {
  const label = `klist_del(${entry}, ${object}->${field})`;
  const event = { type: 'list_del', field, entry, keepsPlace: true } as const;
  const reply = yield* access(object, event, label);
  return (reply as Extract<ObjectReply, { type: 'deleted' }>).found;
}

/** Takes the first entry off a list; null of an empty one. */
export function* listPop(object: string, field: string, label: string): Thread<string | null> {
  const reply = yield* access(object, { type: 'list_pop', field }, label);
  return (reply as Extract<ObjectReply, { type: 'value' }>).value as string | null;
}

/**
 * The name of what is allocated next: of the model, where the kernel has an address.
 *
 * @param field a list of names that are left; throws SetUpError where there is none
 */
export function* nextName(object: string, field: string): Thread<string> {
  const event = { type: 'list_pop', field } as const;
  const label = `next of ${object}->${field}`;
  const reply = yield { type: 'send', entity: object, event, label, hidden: true };
  const { value } = reply as Extract<ObjectReply, { type: 'value' }>;
  if (value === null) {
    const advice = 'give it more: spareGroups, spareDomains or spareParams';
    throw new SetUpError(`the set-up has too few ${field}`, advice);
  }
  return value as string;
}

/** Makes a name in a directory. Returns false where it is there already: -EEXIST. */
export function* link(object: string, field: string, name: string): Thread<boolean> {
  const label = `sysfs_create_link(${object}/${field}/${name})`;
  const reply = yield* access(object, { type: 'insert', field, entry: name }, label);
  return (reply as Extract<ObjectReply, { type: 'got' }>).ok;
}

/** Removes a name from a directory. */
export function* unlink(object: string, field: string, name: string): Thread<void> {
  const label = `sysfs_remove_link(${object}/${field}/${name})`;
  yield* access(object, { type: 'list_del', field, entry: name }, label);
}

/** cmpxchg. Returns whether it swapped. */
export function* compareAndSwap(
  object: string,
  field: string,
  expected: unknown,
  value: unknown,
  label?: string,
): Thread<boolean> {
  const reply = yield* access(
    object,
    { type: 'compare_and_swap', field, expected, value },
    label ?? `cmpxchg(${object}->${field}, ${shown(expected)}, ${shown(value)})`,
  );
  return (reply as Extract<ObjectReply, { type: 'value' }>).value === true;
}

/** The entry after one, the first after null; null at the end. */
export function* listNext(
  object: string,
  field: string,
  after: string | null,
): Thread<string | null> {
  const label = after === null ? `first of ${object}->${field}` : `next of ${object}->${field}`;
  const reply = yield* access(object, { type: 'list_next', field, after }, label);
  return (reply as Extract<ObjectReply, { type: 'value' }>).value as string | null;
}

/**
 * As listNext, of a klist whose entries wait for those who walk it before they go: who asks lets go
 * of `after` and holds what it is told, in one step under k_lock. lib/klist.c
 *
 * @param held the field of `object` that lists what is held
 */
export function* klistNext(
  object: string,
  field: string,
  after: string | null,
  held: string,
): Thread<string | null> {
  const label = after === null ? `first of ${object}->${field}` : `next of ${object}->${field}`;
  const reply = yield* access(object, { type: 'list_next', field, after, held }, label);
  return (reply as Extract<ObjectReply, { type: 'value' }>).value as string | null;
}

/** klist_iter_exit: a walk of a klist ends at `entry`. */
export function* klistExit(object: string, held: string, entry: string): Thread<void> {
  const label = `klist_iter_exit() at ${entry}`;
  yield* access(object, { type: 'list_del', field: held, entry }, label);
}

/** klist_remove: klist_del, then waits until nobody who walks the list holds the entry. */
export function* klistRemove(
  object: string,
  field: string,
  entry: string,
  held: string,
): Thread<boolean> {
  if (!(yield* klistDel(object, field, entry))) return false;
  yield* access(object, { type: 'await_left', held, entry }, `wait for the walks at ${entry}`);
  return true;
}

/** The last entry of a list; null of an empty one. */
export function* listLast(object: string, field: string): Thread<string | null> {
  const label = `last of ${object}->${field}`;
  const reply = yield* access(object, { type: 'list_last', field }, label);
  return (reply as Extract<ObjectReply, { type: 'value' }>).value as string | null;
}

/** One access of any kind; waits where the object does not accept it yet. */
export function* access(
  object: string,
  event: ObjectEvent,
  label: string,
  facts?: readonly EventFact[],
): Thread<ObjectReply | undefined> {
  const reply = yield* send<ObjectReply | undefined>(object, event, label, facts);
  const answers = event.type !== 'alloc' && event.type !== 'free';
  // A violation. The object accepts nothing more: the thread does not get past it.
  if (answers && reply === undefined) yield* send(object, event, label);
  return reply;
}

function shown(value: unknown): string {
  return value === null ? 'NULL' : typeof value === 'string' ? value : JSON.stringify(value);
}
