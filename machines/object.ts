/**
 * A struct in the kernel's memory: it is allocated, its fields are read and written, references to
 * it are counted, lists have their heads in it, and once it is freed every access is a violation.
 * Source: D.x 1 (what a step is), D.x 3 (freed is poisoned); include/linux/kref.h, list.h, klist.h.
 */

import { assign, emit, setup } from 'xstate';
import type { AnyStateMachine } from 'xstate';
import type { Says } from './intern.js';
import type { Entity } from './scenario.js';

/** Plain JSON by name; the field of a list holds its entries in their order. */
export type Fields = Readonly<Record<string, unknown>>;

/** Each is one access of a thread. */
export type ObjectEvent =
  /** kzalloc, with what is in the fields when others can first see them. */
  | { readonly type: 'alloc'; readonly fields?: Fields; readonly refs?: number }
  | { readonly type: 'free' }
  /** Answers `value`, as do `add` (what was there) and `compare_and_swap` (whether it swapped). */
  | { readonly type: 'read'; readonly field: string }
  | { readonly type: 'write'; readonly field: string; readonly value: unknown }
  | { readonly type: 'add'; readonly field: string; readonly value: number }
  | {
      readonly type: 'compare_and_swap';
      readonly field: string;
      readonly expected: unknown;
      readonly value: unknown;
    }
  /** Waits until the value is there. */
  | { readonly type: 'await'; readonly field: string; readonly value: unknown }
  /** kref_get, kref_get_unless_zero (answers `got`), kref_put (answers `put`). */
  | { readonly type: 'get' }
  | { readonly type: 'get_unless_zero' }
  | { readonly type: 'put' }
  /** refcount_dec_not_one: puts a reference that is not the last; answers `value`, whether it did. */
  | { readonly type: 'dec_not_one' }
  /** Of the list in a field. `list_del` answers `deleted`. */
  | { readonly type: 'list_add'; readonly field: string; readonly entry: string }
  | { readonly type: 'list_add_tail'; readonly field: string; readonly entry: string }
  | {
      readonly type: 'list_del';
      readonly field: string;
      readonly entry: string;
      /** As of a klist: who stands at the entry finds from there on. */
      readonly keepsPlace?: boolean;
    }
  /** Answers with `value` the entry after one, the first after null, null at the end. */
  | {
      readonly type: 'list_next';
      readonly field: string;
      readonly after: string | null;
      /** As klist_next: who walks lets go of the entry and holds the next. The list of those held. */
      readonly held?: string;
    }
  /** As klist_remove: waits until nobody who walks holds the entry. */
  | { readonly type: 'await_left'; readonly held: string; readonly entry: string }
  /** A name in a directory: adds the entry where there is none like it; answers `got`. */
  | { readonly type: 'insert'; readonly field: string; readonly entry: string }
  /** Takes the first entry off and answers it with `value`, null of an empty list. */
  | { readonly type: 'list_pop'; readonly field: string }
  /** Answers with `value` the last entry, null of an empty list. */
  | { readonly type: 'list_last'; readonly field: string };

export type ObjectReply =
  | { readonly type: 'value'; readonly value: unknown }
  | { readonly type: 'got'; readonly ok: boolean }
  | { readonly type: 'put'; readonly last: boolean }
  | { readonly type: 'deleted'; readonly found: boolean };

/** An entry of a list that was deleted from it: where it stood. */
interface Deleted {
  readonly deleted: string;
}
type Entry = string | Deleted;

/** Plain JSON. */
export interface ObjectMemory {
  readonly fields: Fields;
  /** References, where they are counted. */
  readonly refs: number;
}

const SAYS = {
  wild: 'before it was allocated',
  afterFree: 'after it was freed',
  freedTwice: 'though it was freed before',
  fromZero: 'though its count was zero',
  underflow: 'though its count was zero',
} as const;
type Breach = keyof typeof SAYS;

interface MachineTypes {
  context: ObjectMemory;
  events: ObjectEvent;
  emitted: ObjectReply;
  input: ObjectStart;
}
const TYPES = {} as MachineTypes;

export interface ObjectStart {
  /** There before the threads begin; else it is to be allocated. */
  readonly fields?: Fields;
  readonly refs?: number;
}

interface Outcome {
  readonly memory: ObjectMemory;
  readonly reply?: ObjectReply;
  readonly breach?: Breach;
  readonly waits?: true;
}

/**
 * A struct as an entity of a scenario.
 *
 * @param start what it holds when the threads begin; left out, it is to be allocated first
 * @param rule what an access to the freed object breaks: INV-24, or what says it more closely
 */
export function struct(start?: ObjectStart, rule = 'INV-24'): Entity {
  const of = start === undefined ? 'absent' : 'live';
  const key = `${of} ${rule}`;
  const machine = MACHINES.get(key) ?? objectMachine(of, rule);
  // One machine for all structs alike, so that they share what is known of it.
  MACHINES.set(key, machine);
  return start === undefined ? machine : { machine, input: start };
}

const MACHINES = new Map<string, AnyStateMachine>();

/**
 * `absent`, `live`, `freed`; `violated.<breach>`, which accepts nothing and answered nothing. A count that is zero does
 * not free: who put the last reference runs the release and frees.
 */
function objectMachine(initial: 'absent' | 'live', rule: string): AnyStateMachine {
  const of = ({ context, event }: { context: ObjectMemory; event: ObjectEvent }) =>
    outcome(context, event);
  const machine = setup({
    types: TYPES,
    actions: {
      change: assign((heard) => of(heard).memory),
      answer: emit((heard) => of(heard).reply ?? { type: 'value', value: null }),
      poison: assign({ fields: {}, refs: 0 }),
    },
    guards: {
      goesOn: (heard) => of(heard).waits !== true,
      fromZero: (heard) => of(heard).breach === 'fromZero',
      underflow: (heard) => of(heard).breach === 'underflow',
    },
  });
  const broken = (breach: Breach) => ({
    tags: ['violation'],
    meta: { rule, says: says(breach) },
  });
  return machine.createMachine({
    id: 'object',
    context: ({ input }) => ({ fields: input?.fields ?? {}, refs: input?.refs ?? 0 }),
    initial,
    states: {
      absent: {
        on: {
          alloc: { target: 'live', actions: 'change' },
          '*': 'violated.wild',
        },
      },
      live: {
        on: {
          free: { target: 'freed', actions: 'poison' },
          '*': [
            { guard: 'fromZero', target: 'violated.fromZero' },
            { guard: 'underflow', target: 'violated.underflow' },
            { guard: 'goesOn', actions: ['answer', 'change'] },
          ],
        },
      },
      freed: { on: { free: 'violated.freedTwice', '*': 'violated.afterFree' } },
      violated: {
        initial: 'afterFree',
        states: {
          wild: broken('wild'),
          afterFree: broken('afterFree'),
          freedTwice: broken('freedTwice'),
          fromZero: broken('fromZero'),
          underflow: broken('underflow'),
        },
      },
    },
  });
}

function outcome(memory: ObjectMemory, event: ObjectEvent): Outcome {
  const { fields, refs } = memory;
  const set = (field: string, value: unknown): ObjectMemory => ({
    refs,
    fields: { ...fields, [field]: value },
  });
  switch (event.type) {
    case 'alloc':
      return { memory: { fields: event.fields ?? {}, refs: event.refs ?? 0 } };
    case 'free':
      return { memory };
    case 'read':
      return { memory, reply: { type: 'value', value: fields[event.field] ?? null } };
    case 'write':
      return { memory: set(event.field, event.value) };
    case 'add': {
      const value = Number(fields[event.field] ?? 0);
      return { memory: set(event.field, value + event.value), reply: { type: 'value', value } };
    }
    case 'compare_and_swap': {
      const swaps = (fields[event.field] ?? null) === event.expected;
      return {
        memory: swaps ? set(event.field, event.value) : memory,
        reply: { type: 'value', value: swaps },
      };
    }
    case 'await':
      return (fields[event.field] ?? null) === event.value ? { memory } : { memory, waits: true };
    case 'get':
      return refs === 0 ? { memory, breach: 'fromZero' } : { memory: { fields, refs: refs + 1 } };
    case 'get_unless_zero':
      return {
        memory: refs === 0 ? memory : { fields, refs: refs + 1 },
        reply: { type: 'got', ok: refs > 0 },
      };
    case 'put':
      return refs === 0
        ? { memory, breach: 'underflow' }
        : { memory: { fields, refs: refs - 1 }, reply: { type: 'put', last: refs === 1 } };
    case 'dec_not_one':
      return refs === 0
        ? { memory, breach: 'underflow' }
        : {
            memory: refs === 1 ? memory : { fields, refs: refs - 1 },
            reply: { type: 'value', value: refs > 1 },
          };
    case 'list_add':
      return { memory: set(event.field, [event.entry, ...list(fields[event.field])]) };
    case 'list_add_tail': {
      // A place that it had before is found no more.
      const others = list(fields[event.field]).filter((entry) => !isPlaceOf(entry, event.entry));
      return { memory: set(event.field, [...others, event.entry]) };
    }
    case 'list_del': {
      const entries = list(fields[event.field]);
      const at = entries.lastIndexOf(event.entry);
      if (at < 0) return { memory, reply: { type: 'deleted', found: false } };
      const gone = { deleted: event.entry };
      const rest =
        event.keepsPlace === true
          ? placesInOrder(entries.with(at, gone))
          : entries.toSpliced(at, 1);
      return { memory: set(event.field, rest), reply: { type: 'deleted', found: true } };
    }
    case 'list_next': {
      const entries = list(fields[event.field]);
      const at = entries.findLastIndex((entry) => nameOf(entry) === event.after);
      const next = entries.find((entry, i) => i > at && typeof entry === 'string') ?? null;
      const reply = { type: 'value', value: next } as const;
      if (event.held === undefined) return { memory, reply };
      const held = list(fields[event.held]) as readonly string[];
      const others = event.after === null ? held : held.toSpliced(held.indexOf(event.after), 1);
      const now = next === null ? others : [...others, next as string].sort();
      return { memory: set(event.held, now), reply };
    }
    case 'await_left':
      return list(fields[event.held]).includes(event.entry) ? { memory, waits: true } : { memory };
    case 'insert': {
      const entries = list(fields[event.field]);
      const ok = !entries.includes(event.entry);
      return {
        memory: ok ? set(event.field, [...entries, event.entry]) : memory,
        reply: { type: 'got', ok },
      };
    }
    case 'list_pop': {
      const [first = null, ...rest] = list(fields[event.field]);
      return {
        memory: first === null ? memory : set(event.field, rest),
        reply: { type: 'value', value: first },
      };
    }
    case 'list_last': {
      const last = list(fields[event.field]).findLast((entry) => typeof entry === 'string');
      return { memory, reply: { type: 'value', value: last ?? null } };
    }
  }
}

/** The entries of a list's field that are on it, in their order. */
export function listed(memory: ObjectMemory, field: string): string[] {
  return list(memory.fields[field]).filter((entry) => typeof entry === 'string');
}

function list(field: unknown): readonly Entry[] {
  return (field ?? []) as readonly Entry[];
}

/**
 * Places of deleted entries, written in one way of all that are alike: one before the first entry is
 * as good as none, and the order of those side by side says nothing.
 */
function placesInOrder(entries: readonly Entry[]): readonly Entry[] {
  const ordered: Entry[] = [];
  let places: Deleted[] = [];
  for (const entry of entries) {
    if (typeof entry !== 'string') {
      places.push(entry);
      continue;
    }
    if (ordered.length > 0) ordered.push(...places.sort(byName));
    places = [];
    ordered.push(entry);
  }
  return ordered.length === 0 ? [] : [...ordered, ...places.sort(byName)];
}

function byName(a: Deleted, b: Deleted): number {
  return a.deleted < b.deleted ? -1 : 1;
}

function isPlaceOf(entry: Entry, name: string): boolean {
  return typeof entry !== 'string' && entry.deleted === name;
}

function nameOf(entry: Entry): string {
  return typeof entry === 'string' ? entry : entry.deleted;
}

function says(breach: Breach): Says {
  return ({ entity, event }) => `${accessText(entity, event)} ${SAYS[breach]}`;
}

function accessText(entity: string, event: { type: string; field?: unknown }): string {
  switch (event.type) {
    case 'free':
      return `kfree(${entity})`;
    case 'get':
    case 'get_unless_zero':
      return `get of ${entity}`;
    case 'put':
    case 'dec_not_one':
      return `put of ${entity}`;
    default:
      return `access to ${entity}${typeof event.field === 'string' ? `->${event.field}` : ''}`;
  }
}
