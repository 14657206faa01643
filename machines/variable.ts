/** A word of memory, read and written as a whole. Sequentially consistent. */

import { assign, emit, setup } from 'xstate';
import type { AnyStateMachine } from 'xstate';

/** Every event but `write` answers `{ type: 'value', value }`. */
export type VariableEvent =
  | { readonly type: 'read' }
  | { readonly type: 'write'; readonly value: unknown }
  /** Adds, and answers what was there. */
  | { readonly type: 'add'; readonly value: number }
  /** Writes `value` where `expected` is, and answers whether it did. */
  | { readonly type: 'compare_and_swap'; readonly expected: unknown; readonly value: unknown }
  /** Waits until `value` is there. */
  | { readonly type: 'await'; readonly value: unknown };

export interface VariableReply {
  readonly type: 'value';
  readonly value: unknown;
}

interface MachineTypes {
  context: { readonly value: unknown };
  events: VariableEvent;
  emitted: VariableReply;
}
const TYPES = {} as MachineTypes;

/** @param initial plain JSON; null and numbers and strings are compared as such */
export function variableMachine(initial: unknown = 0): AnyStateMachine {
  return setup({
    types: TYPES,
    guards: {
      isExpected: ({ context, event }) =>
        event.type === 'compare_and_swap' && context.value === event.expected,
      isAwaited: ({ context, event }) => event.type === 'await' && context.value === event.value,
    },
    actions: {
      write: assign(({ event }) => ('value' in event ? { value: event.value } : {})),
      add: assign(({ context, event }) => ({
        value: (context.value as number) + (event.type === 'add' ? event.value : 0),
      })),
      answer: emit(({ context }) => ({ type: 'value', value: context.value })),
      swapped: emit({ type: 'value', value: true }),
      notSwapped: emit({ type: 'value', value: false }),
    },
  }).createMachine({
    id: 'variable',
    context: { value: initial },
    on: {
      read: { actions: 'answer' },
      write: { actions: 'write' },
      add: { actions: ['answer', 'add'] },
      compare_and_swap: [
        { guard: 'isExpected', actions: ['write', 'swapped'] },
        { actions: 'notSwapped' },
      ],
      await: { guard: 'isAwaited', actions: 'answer' },
    },
  });
}
