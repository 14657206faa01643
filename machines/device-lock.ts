/**
 * device_lock(dev) as notifications show it: INV-47.
 *
 * BIND, BOUND, UNBIND, UNBOUND and NOT_BOUND are sent with the lock held, from BIND to BOUND (or
 * NOT_BOUND) and from UNBIND to UNBOUND by one task; ADD, DEL and REMOVED are sent without it. So
 * nobody else may send one of the first kind inside such a section, and its own task none of the
 * second. Source: B.2 "Locks", drivers/base/dd.c.
 */

import { createMachine } from 'xstate';
import type { AnyStateMachine } from 'xstate';

/**
 * `locked.*`: a notification that needs the lock; `bare.*`: one sent without it. `.open` begins a
 * section, `.close` ends one, by its `holder` or an `other` task. `resync`: forget the section.
 */
export const DEVICE_LOCK_EVENTS = [
  'locked.open.holder',
  'locked.open.other',
  'locked.close.holder',
  'locked.close.other',
  'bare.holder',
  'bare.other',
  'resync',
] as const;

const broken = (target: string) => ({ target: `violated.${target}` });

const FREE_ON = {
  'locked.open.holder': 'held',
  'locked.open.other': 'held',
  resync: 'free',
};
const HELD_ON = {
  'locked.close.holder': 'free',
  resync: 'free',
};

export const deviceLockMachine: AnyStateMachine = createMachine({
  id: 'device-lock',
  initial: 'free',
  states: {
    free: { on: FREE_ON },
    held: {
      on: {
        ...HELD_ON,
        'locked.open.other': broken('held'),
        'locked.close.other': broken('free'),
        'bare.holder': broken('held'),
      },
    },
    violated: {
      initial: 'held',
      states: {
        free: {
          tags: ['violation'],
          meta: { rule: 'INV-47' },
          on: {
            'locked.open.holder': '#device-lock.held',
            'locked.open.other': '#device-lock.held',
          },
        },
        held: {
          tags: ['violation'],
          meta: { rule: 'INV-47' },
          on: { 'locked.close.holder': '#device-lock.free', resync: '#device-lock.free' },
        },
      },
    },
  },
});
