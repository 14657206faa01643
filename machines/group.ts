/**
 * An IOMMU group from iommu_group_alloc to iommu_group_release: INV-19. The number of members is
 * context; a group is freed exactly when nobody is in it and nobody refers to it. Source: A1.2.
 */

import { assign, createMachine } from 'xstate';
import type { AnyStateMachine } from 'xstate';

export const GROUP_EVENTS = ['add', 'remove', 'release', 'lost'] as const;

interface Members {
  readonly members: number;
}

const count = (by: number) =>
  assign(({ context }: { context: Members }) => ({ members: Math.max(0, context.members + by) }));
const last = ({ context }: { context: Members }) => context.members <= 1;

const none = ({ context }: { context: Members }) => context.members === 0;
const forget = assign({ members: 0 });

const POPULATED_ON = {
  add: { target: '#group.populated', actions: count(1) },
  lost: { target: '#group.unknown', actions: forget },
};

/** `members`: devices known to be in the group when the trace begins. */
export const groupMachine: AnyStateMachine = createMachine({
  id: 'group',
  initial: 'unknown',
  context: { members: 0 },
  states: {
    /** The trace does not show the group's beginning: it may have more members than were seen. */
    unknown: {
      on: {
        add: { actions: count(1) },
        remove: { actions: count(-1) },
        // Even so, whoever was seen to join and not to leave is in it.
        release: [{ guard: none, target: 'released' }, { target: 'violated' }],
        lost: { actions: forget },
      },
    },
    populated: {
      on: {
        ...POPULATED_ON,
        remove: [{ guard: last, target: 'empty', actions: count(-1) }, { actions: count(-1) }],
        release: { target: 'violated' },
      },
    },
    empty: {
      on: { ...POPULATED_ON, release: { target: 'released' } },
    },
    released: {
      // Ids are reused: the next member belongs to a new group of this number.
      on: { ...POPULATED_ON, lost: { target: 'unknown', actions: forget } },
    },
    violated: {
      tags: ['violation'],
      meta: { rule: 'INV-19' },
      entry: assign({ members: 0 }),
      on: POPULATED_ON,
    },
  },
});
