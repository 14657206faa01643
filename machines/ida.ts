/**
 * An id allocator: lib/idr.c. Ids are given lowest first; who frees one that is not given out breaks
 * INV-19 (ida_free warns there, and the id may be somebody else's by then). Source: A1.3 AL5, D-A1-2b.
 */

import { assign, emit, setup } from 'xstate';
import type { AnyStateMachine } from 'xstate';
import type { Says } from './intern.js';

export type IdaEvent =
  /** Answers the id with `value`. */
  { readonly type: 'alloc' } | { readonly type: 'free'; readonly id: number };

interface MachineTypes {
  context: { readonly ids: readonly number[] };
  events: IdaEvent;
  emitted: { readonly type: 'value'; readonly value: number };
  input: { readonly ids: readonly number[] } | undefined;
}
const TYPES = {} as MachineTypes;

/** Its input: the ids that are given out at the start. */
export const idaMachine: AnyStateMachine = setup({
  types: TYPES,
  guards: {
    isGiven: ({ context, event }) => event.type === 'free' && context.ids.includes(event.id),
  },
  actions: {
    give: assign(({ context }) => ({
      ids: [...context.ids, lowest(context.ids)].toSorted((a, b) => a - b),
    })),
    answer: emit(({ context }) => ({ type: 'value', value: lowest(context.ids) })),
    take: assign(({ context, event }) => ({
      ids: context.ids.filter((id) => event.type !== 'free' || id !== event.id),
    })),
  },
}).createMachine({
  id: 'ida',
  context: ({ input }) => ({ ids: input?.ids ?? [] }),
  initial: 'live',
  states: {
    live: {
      on: {
        alloc: { actions: ['answer', 'give'] },
        free: [{ guard: 'isGiven', actions: 'take' }, { target: 'violated' }],
      },
    },
    violated: {
      tags: ['violation'],
      meta: {
        rule: 'INV-19',
        says: (({ entity, event }) =>
          `id ${String(event.id)} of ${entity} is freed though it is not given out`) satisfies Says,
      },
    },
  },
});

function lowest(ids: readonly number[]): number {
  let id = 0;
  while (ids.includes(id)) id++;
  return id;
}
