/**
 * Who has which I/O virtual addresses: struct iova_domain, drivers/iommu/iova.c. The highest that
 * are free are given, so those that are freed come back at once. Source: A2.1.
 */

import { assign, emit, setup } from 'xstate';
import type { AnyStateMachine } from 'xstate';
import { hex, isBelow, plus } from './dma-addr.js';
import type { DmaAddr } from './dma-addr.js';
import type { Says } from './intern.js';

/** The smallest size that is given. */
export const GRANULE = 0x1000;

export type IovaEvent =
  /** iovad->start_pfn and dma_32bit_pfn; answers `range`. */
  | { readonly type: 'read_range' }
  /** init_iova_domain, and dma_32bit_pfn = end_pfn of one that is enlarged. */
  | { readonly type: 'init'; readonly start: DmaAddr; readonly end: DmaAddr }
  /** Answers `iova`; null where there is no room. */
  | { readonly type: 'alloc'; readonly size: number }
  | { readonly type: 'free'; readonly iova: DmaAddr }
  /** put_iova_domain: nothing is left of it. */
  | { readonly type: 'put' };

export type IovaReply =
  | { readonly type: 'range'; readonly range: IovaRange | null }
  | { readonly type: 'iova'; readonly iova: DmaAddr | null };

export interface IovaRange {
  readonly start: DmaAddr;
  /** The last address. */
  readonly end: DmaAddr;
}

/** Plain JSON: the range, null before init, and sizes by IOVA. */
export interface IovaMemory {
  readonly range: IovaRange | null;
  readonly allocated: Readonly<Record<DmaAddr, number>>;
}

interface MachineTypes {
  context: IovaMemory;
  events: IovaEvent;
  emitted: IovaReply;
  input: IovaRange | undefined;
}
const TYPES = {} as MachineTypes;

const notAllocated: Says = ({ entity, event }) =>
  `free_iova(${entity}, ${String(event.iova)}), which is free`;

/** Its input: the range, where it is initialised before the threads begin. */
export const iovaDomainMachine: AnyStateMachine = setup({
  types: TYPES,
  guards: {
    allocated: ({ context, event }) => event.type === 'free' && event.iova in context.allocated,
  },
  actions: {
    init: assign(({ event }) =>
      event.type === 'init' ? { range: { start: event.start, end: event.end } } : {},
    ),
    alloc: assign(({ context, event }) => {
      const iova = event.type === 'alloc' ? highest(context, event.size) : null;
      if (iova === null || event.type !== 'alloc') return {};
      return { allocated: { ...context.allocated, [iova]: event.size } };
    }),
    free: assign(({ context, event }) => ({
      allocated: Object.fromEntries(
        Object.entries(context.allocated).filter(
          ([iova]) => event.type !== 'free' || iova !== event.iova,
        ),
      ),
    })),
    put: assign(() => ({ range: null, allocated: {} })),
    range: emit(({ context }) => ({ type: 'range', range: context.range })),
    iova: emit(({ context, event }) => ({
      type: 'iova',
      iova: event.type === 'alloc' ? highest(context, event.size) : null,
    })),
  },
}).createMachine({
  id: 'iova-domain',
  context: ({ input }) => ({ range: input ?? null, allocated: {} }),
  initial: 'allocates',
  states: {
    allocates: {
      on: {
        read_range: { actions: 'range' },
        init: { actions: 'init' },
        alloc: { actions: ['iova', 'alloc'] },
        free: [{ guard: 'allocated', actions: 'free' }, { target: 'violated' }],
        put: { actions: 'put' },
      },
    },
    violated: { tags: ['violation'], meta: { rule: 'INV-24', says: notAllocated } },
  },
});

/** alloc_iova: top down, aligned to the granule. */
function highest({ range, allocated }: IovaMemory, size: number): DmaAddr | null {
  if (range === null) return null;
  const taken = Object.entries(allocated).map(([iova, length]) => ({
    first: iova as DmaAddr,
    last: plus(iova as DmaAddr, length - 1),
  }));
  const granule = BigInt(GRANULE);
  const top = BigInt(range.end) + 1n - BigInt(size);
  for (let at = top - (top % granule); at >= BigInt(range.start); at -= granule) {
    const iova = hex(at);
    const last = plus(iova, size - 1);
    if (taken.every((each) => isBelow(last, each.first) || isBelow(each.last, iova))) return iova;
  }
  return null;
}
