/**
 * What a listener on a group's own notifier chain sees of one device (v3.6 – v5.18): INV-01.
 * ADD_DEVICE opens a membership, DEL_DEVICE closes it, each once. Source: B.3 "Group-notifier
 * automaton", P-A1-1.
 */

import { createMachine } from 'xstate';
import type { AnyStateMachine } from 'xstate';

/** `born`: device_add was entered, so no membership of this device can be older than the trace. */
export const GROUP_LISTENER_EVENTS = ['ADD_DEVICE', 'DEL_DEVICE', 'born', 'lost'] as const;

export const groupListenerMachine: AnyStateMachine = createMachine({
  id: 'group-listener',
  initial: 'unknown',
  states: {
    unknown: { on: { ADD_DEVICE: 'member', DEL_DEVICE: 'outside', born: 'outside' } },
    outside: { on: { ADD_DEVICE: 'member', DEL_DEVICE: 'violated.delBeforeAdd', lost: 'unknown' } },
    member: {
      on: {
        DEL_DEVICE: 'outside',
        ADD_DEVICE: 'violated.addTwice',
        born: 'outside',
        lost: 'unknown',
      },
    },
    violated: {
      initial: 'delBeforeAdd',
      states: {
        delBeforeAdd: {
          tags: ['violation'],
          meta: { rule: 'INV-01' },
          on: {
            ADD_DEVICE: '#group-listener.member',
            born: '#group-listener.outside',
            lost: '#group-listener.unknown',
          },
        },
        addTwice: {
          tags: ['violation'],
          meta: { rule: 'INV-01' },
          on: {
            DEL_DEVICE: '#group-listener.outside',
            born: '#group-listener.outside',
            lost: '#group-listener.unknown',
          },
        },
      },
    },
  },
});
