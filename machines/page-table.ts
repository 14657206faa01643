/**
 * The page table of a domain: what iommu_map and iommu_unmap change and the hardware walks.
 * drivers/iommu/iommu.c, io-pgtable.c. Source: A2.2, INV-48.
 */

import { assign, emit, setup } from 'xstate';
import type { AnyStateMachine } from 'xstate';
import { isBelow, plus } from './dma-addr.js';
import type { DmaAddr } from './dma-addr.js';

/** Each is one step: callers do not overlap on one range but where they race. */
export type PageTableEvent =
  /** Answers `mapped`; not where some of the range is mapped: -EEXIST. */
  | {
      readonly type: 'map';
      readonly iova: DmaAddr;
      readonly paddr: string;
      readonly size: number;
    }
  /** Whatever begins in the range; answers `unmapped`, how much. */
  | { readonly type: 'unmap'; readonly iova: DmaAddr; readonly size: number }
  /** By the hardware: answers `paddr`, null where nothing is mapped. */
  | { readonly type: 'walk'; readonly iova: DmaAddr };

export type PageTableReply =
  | { readonly type: 'mapped'; readonly ok: boolean }
  | { readonly type: 'unmapped'; readonly size: number }
  | { readonly type: 'paddr'; readonly paddr: string | null };

/** Plain JSON: translations by IOVA. */
export interface PageTableMemory {
  readonly mapped: Readonly<Record<DmaAddr, { readonly paddr: string; readonly size: number }>>;
}

interface MachineTypes {
  context: PageTableMemory;
  events: PageTableEvent;
  emitted: PageTableReply;
  input: PageTableMemory | undefined;
}
const TYPES = {} as MachineTypes;

/** Its input: what is mapped when the threads begin. */
export const pageTableMachine: AnyStateMachine = setup({
  types: TYPES,
  actions: {
    map: assign(({ context, event }) =>
      event.type === 'map' && !overlaps(context, event)
        ? {
            mapped: { ...context.mapped, [event.iova]: { paddr: event.paddr, size: event.size } },
          }
        : {},
    ),
    unmap: assign(({ context, event }) =>
      event.type === 'unmap'
        ? {
            mapped: Object.fromEntries(
              entries(context).filter(([iova]) => !isIn(iova, event.iova, event.size)),
            ),
          }
        : {},
    ),
    answer: emit(({ context, event }): PageTableReply => {
      switch (event.type) {
        case 'map':
          return { type: 'mapped', ok: !overlaps(context, event) };
        case 'unmap':
          return {
            type: 'unmapped',
            size: entries(context)
              .filter(([iova]) => isIn(iova, event.iova, event.size))
              .reduce((sum, [, { size }]) => sum + size, 0),
          };
        case 'walk':
          return { type: 'paddr', paddr: translated(context, event.iova) };
      }
    }),
  },
}).createMachine({
  id: 'page-table',
  context: ({ input }) => input ?? { mapped: {} },
  initial: 'table',
  states: {
    table: {
      on: {
        map: { actions: ['answer', 'map'] },
        unmap: { actions: ['answer', 'unmap'] },
        walk: { actions: 'answer' },
      },
    },
  },
});

/** What an IOVA is translated to; null where nothing is mapped. */
export function translated(table: PageTableMemory, iova: DmaAddr): string | null {
  const found = entries(table).find(([at, { size }]) => isIn(iova, at, size));
  return found === undefined ? null : found[1].paddr;
}

function entries({ mapped }: PageTableMemory) {
  return Object.entries(mapped) as [DmaAddr, { readonly paddr: string; readonly size: number }][];
}

function overlaps(table: PageTableMemory, { iova, size }: { iova: DmaAddr; size: number }) {
  return entries(table).some(([at, each]) => isIn(at, iova, size) || isIn(iova, at, each.size));
}

/** Whether an address is in a range. */
function isIn(addr: DmaAddr, start: DmaAddr, size: number): boolean {
  return !isBelow(addr, start) && isBelow(addr, plus(start, size));
}
