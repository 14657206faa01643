/**
 * An xarray, as far as allocators of ids use it: lib/xarray.c. Each operation is atomic, as under the
 * xa_lock that it takes. Source: A5.1, A5.4, A5.5.
 */

import { assign, emit, setup } from 'xstate';
import type { AnyStateMachine } from 'xstate';
import type { Says } from './intern.js';

/** What reserves an index: a lookup finds nothing there, an insert finds it taken. */
export const XA_ZERO_ENTRY = 'XA_ZERO_ENTRY';

export type XarrayEvent =
  /** Stores the entry at the lowest free index of min … max; answers `index`, null for none. */
  | {
      readonly type: 'xa_alloc';
      readonly entry: string;
      readonly min: number;
      readonly max: number;
    }
  /** Answers `index`, null where it is taken: -EBUSY. */
  | { readonly type: 'xa_insert'; readonly index: number; readonly entry: string }
  /** Stores whatever was there. */
  | { readonly type: 'xa_store'; readonly index: number; readonly entry: string }
  /** Answer `entry`, null for none; xa_erase with what it took out. */
  | { readonly type: 'xa_load' | 'xa_erase'; readonly index: number }
  /** Answers `empty`. */
  | { readonly type: 'xa_empty' }
  /** The memory that it is in is freed. */
  | { readonly type: 'free' };

export type XarrayReply =
  | { readonly type: 'index'; readonly index: number | null }
  | { readonly type: 'entry'; readonly entry: string | null }
  | { readonly type: 'empty'; readonly empty: boolean };

/** Plain JSON: entries by index. */
export interface XarrayMemory {
  readonly entries: Readonly<Record<number, string>>;
}

interface MachineTypes {
  context: XarrayMemory;
  events: XarrayEvent;
  emitted: XarrayReply;
  /** Entries that are there at the start. */
  input: XarrayMemory | undefined;
}
const TYPES = {} as MachineTypes;

interface Outcome {
  readonly entries: Readonly<Record<number, string>>;
  readonly reply: XarrayReply;
}

const says: Says = ({ entity, event }) => `${event.type} of ${entity} after it was freed`;

/** `live`, `freed`; an access to a freed one is a violation (INV-24). */
export const xarrayMachine: AnyStateMachine = setup({
  types: TYPES,
  actions: {
    change: assign(({ context, event }) => ({ entries: outcome(context, event).entries })),
    answer: emit(({ context, event }) => outcome(context, event).reply),
    clear: assign({ entries: {} }),
  },
}).createMachine({
  id: 'xarray',
  context: ({ input }) => ({ entries: input?.entries ?? {} }),
  initial: 'live',
  states: {
    live: {
      on: {
        free: { target: 'freed', actions: 'clear' },
        '*': { actions: ['answer', 'change'] },
      },
    },
    freed: { on: { '*': 'violated' } },
    violated: { tags: ['violation'], meta: { rule: 'INV-24', says } },
  },
});

function outcome({ entries }: XarrayMemory, event: XarrayEvent): Outcome {
  switch (event.type) {
    case 'xa_alloc': {
      const index = lowestFree(entries, event.min, event.max);
      const reply = { type: 'index', index } as const;
      return { entries: index === null ? entries : { ...entries, [index]: event.entry }, reply };
    }
    case 'xa_insert': {
      const index = event.index in entries ? null : event.index;
      const reply = { type: 'index', index } as const;
      return { entries: index === null ? entries : { ...entries, [index]: event.entry }, reply };
    }
    case 'xa_store':
      return {
        entries: { ...entries, [event.index]: event.entry },
        reply: { type: 'entry', entry: found(entries, event.index) },
      };
    case 'xa_load':
      return { entries, reply: { type: 'entry', entry: found(entries, event.index) } };
    case 'xa_erase': {
      const rest = Object.entries(entries).filter(([index]) => Number(index) !== event.index);
      return {
        entries: Object.fromEntries(rest),
        reply: { type: 'entry', entry: found(entries, event.index) },
      };
    }
    case 'xa_empty':
      return { entries, reply: { type: 'empty', empty: Object.keys(entries).length === 0 } };
    case 'free':
      return { entries: {}, reply: { type: 'empty', empty: true } };
  }
}

function lowestFree(entries: Readonly<Record<number, string>>, min: number, max: number) {
  for (let index = min; index <= max; index++) if (!(index in entries)) return index;
  return null;
}

function found(entries: Readonly<Record<number, string>>, index: number): string | null {
  const entry = entries[index] ?? null;
  return entry === XA_ZERO_ENTRY ? null : entry;
}
