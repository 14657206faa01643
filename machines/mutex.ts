/**
 * A mutex or a spinlock: kernel/locking/mutex.c. Who wants it while another has it, waits; so does,
 * for ever, who has it already.
 */

import { assign, setup } from 'xstate';
import type { AnyStateMachine } from 'xstate';
import { notHeld } from './not-held.js';

export interface LockEvent {
  readonly type: 'lock' | 'unlock';
  /** The thread. */
  readonly by: string;
}

interface MutexContext {
  readonly owner: string | null;
}

const TYPES = {} as { context: MutexContext; events: LockEvent };

/** `unlocked`, `locked`; an unlock by another than the owner is a violation (INV-16). */
export const mutexMachine: AnyStateMachine = setup({
  types: TYPES,
  guards: { owns: ({ context, event }) => context.owner === event.by },
  actions: {
    take: assign(({ event }) => ({ owner: event.by })),
    release: assign({ owner: null }),
  },
}).createMachine({
  id: 'mutex',
  meta: { lock: 'mutex' },
  context: { owner: null },
  initial: 'unlocked',
  states: {
    unlocked: {
      on: { lock: { target: 'locked', actions: 'take' }, unlock: 'violated' },
    },
    locked: {
      on: {
        unlock: [{ guard: 'owns', target: 'unlocked', actions: 'release' }, { target: 'violated' }],
      },
    },
    violated: { tags: ['violation'], meta: { rule: 'unlock-not-owner', says: notHeld } },
  },
});
