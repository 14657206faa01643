/**
 * An attribute in sysfs with its active references: fs/kernfs/dir.c. Who is in its handler holds
 * one; its removal lets nobody in any more and waits for those who are. Source: B.6, K34.
 */

import { assign, emit, setup } from 'xstate';
import type { AnyStateMachine } from 'xstate';
import { notHeld } from './not-held.js';

export type KernfsEvent =
  /** kernfs_get_active: answers whether it got one. */
  | { readonly type: 'get_active'; readonly by: string }
  | { readonly type: 'put_active'; readonly by: string }
  /** __kernfs_remove: KN_DEACTIVATED_BIAS is added. */
  | { readonly type: 'deactivate' }
  /** kernfs_drain: waits until no reference is active. */
  | { readonly type: 'drain' };

export interface KernfsReply {
  readonly type: 'active';
  readonly ok: boolean;
}

/** Plain JSON. */
interface KernfsContext {
  /** Threads that are in the handler. */
  readonly active: readonly string[];
}

const TYPES = {} as { context: KernfsContext; events: KernfsEvent; emitted: KernfsReply };

/** `active`, `deactivated`, `removed`; a put of who has no reference is a violation. */
export const kernfsNodeMachine: AnyStateMachine = setup({
  types: TYPES,
  guards: {
    holds: ({ context, event }) => 'by' in event && context.active.includes(event.by),
    drained: ({ context }) => context.active.length === 0,
  },
  actions: {
    enter: assign(({ context: { active }, event }) => ({
      active: 'by' in event ? [...active, event.by].sort() : active,
    })),
    leave: assign(({ context: { active }, event }) => ({
      active: 'by' in event ? active.toSpliced(active.indexOf(event.by), 1) : active,
    })),
    got: emit({ type: 'active', ok: true }),
    refused: emit({ type: 'active', ok: false }),
  },
}).createMachine({
  id: 'kernfs-node',
  context: { active: [] },
  initial: 'active',
  on: { put_active: [{ guard: 'holds', actions: 'leave' }, { target: '.violated' }] },
  states: {
    active: {
      on: {
        get_active: { actions: ['enter', 'got'] },
        deactivate: 'deactivated',
      },
    },
    deactivated: {
      on: {
        get_active: { actions: 'refused' },
        drain: { guard: 'drained', target: 'removed' },
      },
    },
    removed: { on: { get_active: { actions: 'refused' } } },
    violated: {
      on: { put_active: undefined },
      tags: ['violation'],
      meta: { rule: 'unlock-not-owner', says: notHeld },
    },
  },
});
