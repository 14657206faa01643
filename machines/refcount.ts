/**
 * A reference count and the object that it keeps: lib/refcount.c, kref, kobject. Once freed, any
 * access is a violation (use after free).
 */

import { assign, emit, setup } from 'xstate';
import type { AnyStateMachine } from 'xstate';
import type { Says } from './intern.js';

export interface RefcountEvent {
  /** `get_unless_zero` answers whether it got one; `use` is an access that needs the object alive. */
  readonly type: 'get' | 'get_unless_zero' | 'put' | 'use';
}

/** `put` answers `{ type: 'put', last }`, get_unless_zero `{ type: 'got', ok }`. */
export type RefcountReply =
  { readonly type: 'put'; readonly last: boolean } | { readonly type: 'got'; readonly ok: boolean };

const afterFree: Says = ({ entity, event }) => `${event.type} of ${entity} after it was freed`;

interface MachineTypes {
  context: { readonly refs: number };
  events: RefcountEvent;
  emitted: RefcountReply;
}
const TYPES = {} as MachineTypes;

/** @param initial references at the start */
export function refcountMachine(initial = 1): AnyStateMachine {
  return setup({
    types: TYPES,
    guards: { last: ({ context }) => context.refs === 1 },
    actions: {
      get: assign(({ context }) => ({ refs: context.refs + 1 })),
      put: assign(({ context }) => ({ refs: context.refs - 1 })),
      got: emit({ type: 'got', ok: true }),
      missed: emit({ type: 'got', ok: false }),
      kept: emit({ type: 'put', last: false }),
      freed: emit({ type: 'put', last: true }),
      touch: () => {},
    },
  }).createMachine({
    id: 'refcount',
    context: { refs: initial },
    initial: 'alive',
    states: {
      alive: {
        on: {
          get: { actions: 'get' },
          get_unless_zero: { actions: ['get', 'got'] },
          use: { actions: 'touch' },
          put: [
            { guard: 'last', target: 'freed', actions: ['put', 'freed'] },
            { actions: ['put', 'kept'] },
          ],
        },
      },
      freed: {
        on: {
          get: 'violated',
          put: 'violated',
          use: 'violated',
          get_unless_zero: { actions: 'missed' },
        },
      },
      violated: { tags: ['violation'], meta: { rule: 'INV-24', says: afterFree } },
    },
  });
}
