/**
 * An entry of a table that hardware walks, of several words: the CPU stores word by word, and the
 * hardware fetches word by word, the one with the present bit first. What it has got is to be an
 * entry that was there as a whole, or one that is not present: INV-28. Source: A2.3, K26, D.x 6.
 */

import { assign, emit, setup } from 'xstate';
import type { AnyStateMachine } from 'xstate';
import type { Says } from './intern.js';

/** Words by name; the first has the present bit, and is 0 where the entry is not present. */
export type Entry = Readonly<Record<string, string | number>>;

/** Each is one access. */
export type TableEntryEvent =
  | { readonly type: 'store'; readonly word: string; readonly value: string | number }
  /** By the hardware; a fetch of the first word begins a new walk. Answers the word. */
  | { readonly type: 'fetch'; readonly word: string }
  /**
   * The descriptor that invalidates what is cached of the entry, and waits: when it is over the
   * hardware has no fetch in flight that began before.
   */
  | { readonly type: 'invalidate' };

export interface TableEntryReply {
  readonly type: 'word';
  readonly value: string | number;
}

/** Plain JSON. */
export interface TableEntryMemory {
  readonly entry: Entry;
  /** Words of the walk that is in flight, or was the last. */
  readonly fetched: Entry;
  /** What the entry is to be at one time or another. */
  readonly whole: readonly Entry[];
}

interface MachineTypes {
  context: TableEntryMemory;
  events: TableEntryEvent;
  input: { readonly entry: Entry; readonly whole: readonly Entry[] };
  emitted: TableEntryReply;
}
const TYPES = {} as MachineTypes;

/** Its input: what is in the entry at the start, and all that a walk may get of it where present. */
export const tableEntryMachine: AnyStateMachine = setup({
  types: TYPES,
  guards: {
    settled: ({ context }) => !inFlight(context),
    tears: ({ context, event }) => event.type === 'fetch' && isTorn(fetch(context, event.word)),
  },
  actions: {
    store: assign(({ context, event }) =>
      event.type === 'store' ? { entry: { ...context.entry, [event.word]: event.value } } : {},
    ),
    fetch: assign(({ context, event }) =>
      event.type === 'fetch' ? fetch(context, event.word) : {},
    ),
    answer: emit(({ context, event }) => ({
      type: 'word',
      value: event.type === 'fetch' ? context.entry[event.word] : 0,
    })),
    nothing: () => {},
  },
}).createMachine({
  id: 'table-entry',
  context: ({ input }) => ({ ...input, fetched: {} }),
  initial: 'entry',
  states: {
    entry: {
      on: {
        store: { actions: 'store' },
        fetch: [
          { guard: 'tears', target: 'violated', actions: 'answer' },
          { actions: ['answer', 'fetch'] },
        ],
        invalidate: { guard: 'settled', actions: 'nothing' },
      },
    },
    violated: {
      tags: ['violation'],
      meta: {
        rule: 'INV-28',
        says: (({ entity, event, context }) => {
          const { fetched } = fetch(context as TableEntryMemory, String(event.word));
          const words = Object.entries(fetched).map(([word, value]) => `${word}=${value}`);
          return `the hardware has got ${words.join(' ')} of ${entity}, which never was an entry`;
        }) satisfies Says,
      },
    },
  },
});

function fetch(memory: TableEntryMemory, word: string): TableEntryMemory {
  const first = word === Object.keys(memory.entry)[0];
  const fetched = first ? {} : memory.fetched;
  return { ...memory, fetched: { ...fetched, [word]: memory.entry[word] } };
}

/** A walk that has found the entry present and has not got the rest of it. */
function inFlight({ entry, fetched }: TableEntryMemory): boolean {
  const words = Object.keys(entry);
  return isPresent(entry, fetched) && words.some((word) => !(word in fetched));
}

function isTorn(memory: TableEntryMemory): boolean {
  const { entry, fetched, whole } = memory;
  if (!isPresent(entry, fetched) || inFlight(memory)) return false;
  return !whole.some((each) => Object.keys(entry).every((word) => each[word] === fetched[word]));
}

function isPresent(entry: Entry, fetched: Entry): boolean {
  const present = fetched[Object.keys(entry)[0]];
  return present !== undefined && present !== 0;
}
