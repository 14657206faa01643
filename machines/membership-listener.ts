/**
 * A listener on a group's chain that remembers, per device, what it heard of its membership: INV-01.
 * Unlike group-listener.ts, which follows a trace that may begin anywhere, it hears from the start.
 */

import { assign, setup } from 'xstate';
import type { AnyStateMachine } from 'xstate';
import type { Says } from './intern.js';

export interface MembershipEvent {
  readonly type: 'ADD_DEVICE' | 'DEL_DEVICE';
  readonly dev: string;
  /** Which of the device's memberships, from 1, where it may have several. */
  readonly membership?: number;
}

interface MachineTypes {
  context: { readonly heard: Readonly<Record<string, MembershipEvent['type']>> };
  events: MembershipEvent;
}
const TYPES = {} as MachineTypes;

/** One membership per device: ADD_DEVICE, then DEL_DEVICE, each at most once. */
export const membershipListenerMachine: AnyStateMachine = setup({
  types: TYPES,
  guards: {
    addedOrDeleted: ({ context, event }) => membershipOf(event) in context.heard,
    deleted: ({ context, event }) => context.heard[membershipOf(event)] === 'DEL_DEVICE',
  },
  actions: {
    hear: assign(({ context, event }) => ({
      heard: { ...context.heard, [membershipOf(event)]: event.type },
    })),
  },
}).createMachine({
  id: 'membership-listener',
  context: { heard: {} },
  initial: 'listening',
  states: {
    listening: {
      on: {
        ADD_DEVICE: [{ guard: 'addedOrDeleted', target: 'violated' }, { actions: 'hear' }],
        DEL_DEVICE: [{ guard: 'deleted', target: 'violated' }, { actions: 'hear' }],
      },
    },
    violated: {
      tags: ['violation'],
      meta: {
        rule: 'INV-01',
        says: (({ entity, event, context }) =>
          `${entity} saw ${event.type} ${String(event.dev)} after ${
            (context as MachineTypes['context']).heard[membershipOf(event as never)]
          } ${String(event.dev)}`) satisfies Says,
      },
    },
  },
});

/** `d0`; `d0 (2)` of a second membership. */
function membershipOf({ dev, membership = 1 }: MembershipEvent): string {
  return membership === 1 ? dev : `${dev} (${membership})`;
}
