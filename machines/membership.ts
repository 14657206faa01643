/**
 * One device's place in the groups: INV-02 (at most one group, at most once) and INV-03 (what the
 * list says and what the removal finds agree). Source: A1.3 AD8, RM4; C.3.
 */

import { createMachine } from 'xstate';
import type { AnyStateMachine } from 'xstate';
import type { Says } from './intern.js';

/** `add.*`/`remove.*` name the group: the `same` one as known, or an `other`. */
export const MEMBERSHIP_EVENTS = [
  'add',
  'remove.same',
  'remove.other',
  'released',
  'born',
  'lost',
] as const;

const KNOWN = { lost: 'unknown', released: 'none', born: 'none' };
const resumed = (state: string) => `#membership.${state}`;
const GONE_ON = {
  lost: resumed('unknown'),
  add: resumed('member'),
  born: resumed('none'),
  released: resumed('none'),
};

const STATES = {
  unknown: {
    on: { ...KNOWN, add: 'member', 'remove.same': 'none', 'remove.other': 'none' },
  },
  none: {
    on: {
      ...KNOWN,
      add: 'member',
      'remove.same': 'violated.removedWithoutAdd',
      'remove.other': 'violated.removedWithoutAdd',
    },
  },
  member: {
    on: {
      lost: 'unknown',
      // A new struct device under an old name: the old one's removal was not seen.
      born: 'none',
      released: 'none',
      add: 'violated.addedTwice',
      'remove.same': 'none',
      'remove.other': 'violated.removedFromOther',
    },
  },
  violated: {
    initial: 'addedTwice',
    states: {
      addedTwice: {
        tags: ['violation'],
        meta: {
          rule: 'INV-02',
          says: (({ entity }) =>
            `${entity}: add_device_to_group a second time, before remove_device_from_group`) satisfies Says,
        },
        on: {
          lost: resumed('unknown'),
          born: resumed('none'),
          released: resumed('none'),
          'remove.same': resumed('none'),
          'remove.other': resumed('none'),
        },
      },
      removedWithoutAdd: {
        tags: ['violation'],
        meta: {
          rule: 'INV-03',
          says: (({ entity }) =>
            `${entity}: remove_device_from_group before any add_device_to_group`) satisfies Says,
        },
        on: GONE_ON,
      },
      removedFromOther: {
        tags: ['violation'],
        meta: { rule: 'INV-03' },
        on: GONE_ON,
      },
    },
  },
};

/** @param initial where it starts: a trace may begin anywhere, a scenario knows */
export function membershipFrom(initial: 'unknown' | 'none' | 'member'): AnyStateMachine {
  return createMachine({ id: 'membership', initial, states: STATES });
}

export const membershipMachine: AnyStateMachine = membershipFrom('unknown');

/** Whether a device in this state of the machine is in a group; undefined: not known. */
export function isMember(state: string): boolean | undefined {
  switch (state) {
    case 'unknown':
      return undefined;
    case 'member':
    case 'violated.addedTwice':
      return true;
    default:
      return false;
  }
}
