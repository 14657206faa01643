/**
 * Who has which PASID: drivers/iommu/ioasid.c, as far as iommu_sva uses it. The lowest that is free
 * is given, so one that is freed comes back at once. Source: A5.2, K28.
 */

import { assign, emit, setup } from 'xstate';
import type { AnyStateMachine } from 'xstate';
import type { Says } from './intern.js';

export type PasidEvent =
  /** Answers `pasid`, the lowest of min … max; 0 where there is none left. */
  | {
      readonly type: 'alloc';
      readonly owner: string;
      readonly min?: number;
      readonly max?: number;
    }
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

const says: Says = ({ entity, event }) =>
  `PASID ${String(event.pasid)} of ${entity} is freed though it is not given out`;

/**
 * `allocates`. Its input: who has one at the start.
 *
 * @param last the greatest PASID; 0 is nobody's
 * @param rule what it breaks to free one that is not given out; nothing where left out
 */
export function pasidAllocatorMachine(last: number, rule?: string): AnyStateMachine {
  const key = `${last} ${rule}`;
  const machine = MACHINES.get(key) ?? allocatorMachine(last, rule);
  MACHINES.set(key, machine);
  return machine;
}

const MACHINES = new Map<string, AnyStateMachine>();

function allocatorMachine(last: number, rule: string | undefined): AnyStateMachine {
  const lowest = ({ owners }: PasidMemory, event: PasidEvent) => {
    const { min = 1, max = last } = event.type === 'alloc' ? event : {};
    for (let pasid = min; pasid <= Math.min(max, last); pasid++) {
      if (!(pasid in owners)) return pasid;
    }
    return 0;
  };
  const free = { actions: 'free' as const };
  return setup({
    types: TYPES,
    guards: {
      isNobodys: ({ context, event }) => event.type === 'free' && !(event.pasid in context.owners),
    },
    actions: {
      alloc: assign(({ context, event }) => {
        const pasid = lowest(context, event);
        if (event.type !== 'alloc' || pasid === 0) return {};
        return { owners: { ...context.owners, [pasid]: event.owner } };
      }),
      answer: emit(({ context, event }) => ({ type: 'pasid', pasid: lowest(context, event) })),
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
      allocates: {
        on: {
          alloc: { actions: ['answer', 'alloc'] },
          free: rule === undefined ? free : [{ guard: 'isNobodys', target: 'violated' }, free],
        },
      },
      violated: { tags: ['violation'], meta: { rule, says } },
    },
  });
}
