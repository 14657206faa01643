/**
 * Who has which PASID: drivers/iommu/ioasid.c, as far as iommu_sva uses it. The lowest that is free
 * is given, so one that is freed comes back at once. Source: A5.2, K28.
 */

import { assign, emit, setup } from 'xstate';
import type { AnyStateMachine } from 'xstate';

export type PasidEvent =
  /** Answers `pasid`, 0 where there is none left. */
  | { readonly type: 'alloc'; readonly owner: string }
  | { readonly type: 'free'; readonly pasid: number };

export interface PasidReply {
  readonly type: 'pasid';
  readonly pasid: number;
}

/** Plain JSON: owners by PASID. */
export interface PasidMemory {
  readonly owners: Readonly<Record<number, string>>;
}

interface MachineTypes {
  context: PasidMemory;
  events: PasidEvent;
  emitted: PasidReply;
  input: PasidMemory;
}
const TYPES = {} as MachineTypes;

/**
 * Its input: who has one at the start.
 *
 * @param last the greatest PASID; 0 is nobody's
 */
export function pasidAllocatorMachine(last: number): AnyStateMachine {
  const lowest = ({ owners }: PasidMemory) => {
    for (let pasid = 1; pasid <= last; pasid++) if (!(pasid in owners)) return pasid;
    return 0;
  };
  return setup({
    types: TYPES,
    actions: {
      alloc: assign(({ context, event }) => {
        const pasid = lowest(context);
        if (event.type !== 'alloc' || pasid === 0) return {};
        return { owners: { ...context.owners, [pasid]: event.owner } };
      }),
      answer: emit(({ context }) => ({ type: 'pasid', pasid: lowest(context) })),
      free: assign(({ context, event }) => ({
        owners: Object.fromEntries(
          Object.entries(context.owners).filter(
            ([pasid]) => event.type !== 'free' || Number(pasid) !== event.pasid,
          ),
        ),
      })),
    },
  }).createMachine({
    id: 'pasid-allocator',
    context: ({ input }) => ({ owners: input?.owners ?? {} }),
    initial: 'allocates',
    states: {
      allocates: { on: { alloc: { actions: ['answer', 'alloc'] }, free: { actions: 'free' } } },
    },
  });
}
