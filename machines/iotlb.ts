/**
 * What an IOMMU and its devices have cached of translations, and what invalidations leave of it.
 * Source: A3, P-A3-5, P-A3-6, INV-44.
 */

import { assign, emit, setup } from 'xstate';
import type { AnyStateMachine } from 'xstate';
import type { Says } from './intern.js';

/** The IOTLB, the TLB of a device (ATC), the cache of PASID entries. */
export type CacheName = 'IOTLB' | 'DEV_IOTLB' | 'PASID';

/** Something that is cached; plain JSON. */
export interface Cached {
  readonly cache: CacheName;
  /** The domain that it is of: for the hardware its id. */
  readonly domain: string;
  /** 0: of requests without one. */
  readonly pasid: number;
  /** Of DEV_IOTLB: whose. */
  readonly dev?: string;
  /** A page's number; not of the PASID cache. */
  readonly page?: number;
  /** Of IOTLB: an entry that leads to a page, or one of the tables above it. */
  readonly leaf?: boolean;
  /** What it leads to. */
  readonly to?: string;
}

/** Which cached things are meant; what is left out is any. */
export interface Meant {
  readonly cache: CacheName;
  readonly domain?: string;
  readonly pasid?: number;
  readonly dev?: string;
  readonly first?: number;
  readonly pages?: number;
  readonly leafOnly?: boolean;
}

/** Each is one command, or one access by the hardware. */
export type IotlbEvent =
  | { readonly type: 'cache'; readonly cached: Cached }
  /** A request of a device comes in; it is over when its DMA is done. */
  | { readonly type: 'begin' }
  | { readonly type: 'end' }
  /** Answers `to`: what the page is translated to, null where it is not cached. */
  | {
      readonly type: 'look_up';
      readonly domain: string;
      readonly pasid: number;
      readonly page: number;
    }
  /**
   * A descriptor for the hardware, on behalf of a domain.
   *
   * `waits`: with a wait descriptor behind it; requests that came before are over then.
   */
  | {
      readonly type: 'flush';
      readonly meant: Meant;
      readonly behalf: string;
      readonly waits?: boolean;
    }
  /** The caller is told that all of this is done. */
  | { readonly type: 'done'; readonly asked: readonly Meant[] }
  /** The caller is told an error. */
  | { readonly type: 'refused'; readonly ret: number };

export interface IotlbReply {
  readonly type: 'to';
  readonly to: string | null;
}

/** Plain JSON. */
export interface IotlbMemory {
  readonly cached: readonly Cached[];
  /** Requests of devices that are not over. */
  readonly inFlight: number;
  /** Flushes since a caller was last told something. */
  readonly flushes: number;
}

interface MachineTypes {
  context: IotlbMemory;
  events: IotlbEvent;
  emitted: IotlbReply;
  input: readonly Cached[] | undefined;
}
const TYPES = {} as MachineTypes;

/** Its input: what is cached when the threads begin. */
export const iotlbMachine: AnyStateMachine = setup({
  types: TYPES,
  guards: {
    drained: ({ context, event }) =>
      event.type === 'flush' && (event.waits !== true || context.inFlight === 0),
    touchesOthers: ({ context, event }) => touched(context, event).length > 0,
    uncovered: ({ context, event }) => left(context, event).length > 0,
    hadEffect: ({ context }) => context.flushes > 0,
  },
  actions: {
    cache: assign(({ context, event }) =>
      event.type === 'cache' ? { cached: [...context.cached, event.cached] } : {},
    ),
    begin: assign(({ context }) => ({ inFlight: context.inFlight + 1 })),
    end: assign(({ context }) => ({ inFlight: context.inFlight - 1 })),
    flush: assign(({ context, event }) =>
      event.type === 'flush'
        ? {
            cached: context.cached.filter((each) => !isMeant(event.meant, each)),
            flushes: context.flushes + 1,
          }
        : {},
    ),
    told: assign({ flushes: 0 }),
    answer: emit(({ context, event }) => ({
      type: 'to',
      to: event.type === 'look_up' ? found(context, event) : null,
    })),
  },
}).createMachine({
  id: 'iotlb',
  context: ({ input }) => ({ cached: input ?? [], inFlight: 0, flushes: 0 }),
  initial: 'caches',
  states: {
    caches: {
      on: {
        cache: { actions: 'cache' },
        begin: { actions: 'begin' },
        end: { actions: 'end' },
        look_up: { actions: 'answer' },
        flush: [
          { guard: 'touchesOthers', target: 'violated.others' },
          { guard: 'drained', actions: 'flush' },
        ],
        done: [{ guard: 'uncovered', target: 'violated.uncovered' }, { actions: 'told' }],
        refused: [{ guard: 'hadEffect', target: 'violated.effect' }, { actions: 'told' }],
      },
    },
    violated: {
      initial: 'uncovered',
      states: {
        uncovered: {
          tags: ['violation'],
          meta: {
            rule: 'P-A3-5',
            says: (({ event, context }) =>
              `0 is returned, and ${told(left(context as IotlbMemory, event as IotlbEvent))} is cached still`) satisfies Says,
          },
        },
        others: {
          tags: ['violation'],
          meta: {
            rule: 'P-A3-6',
            says: (({ event, context }) =>
              `an invalidation of ${String(event.behalf)} takes ${told(touched(context as IotlbMemory, event as IotlbEvent))}`) satisfies Says,
          },
        },
        effect: {
          tags: ['violation'],
          meta: {
            rule: 'INV-44',
            says: (({ event }) =>
              `${String(event.ret)} is returned after a part was invalidated`) satisfies Says,
          },
        },
      },
    },
  },
});

/** Whether something cached is among what is meant. */
export function isMeant(meant: Meant, cached: Cached): boolean {
  const { cache, domain, pasid, dev, first, pages = 1, leafOnly = false } = meant;
  return (
    cached.cache === cache &&
    (domain === undefined || cached.domain === domain) &&
    (pasid === undefined || cached.pasid === pasid) &&
    (dev === undefined || cached.dev === dev) &&
    (first === undefined ||
      (cached.page !== undefined && cached.page >= first && cached.page < first + pages)) &&
    (!leafOnly || cached.leaf !== false)
  );
}

/** What is cached still of what was asked for. */
function left({ cached }: IotlbMemory, event: IotlbEvent): readonly Cached[] {
  if (event.type !== 'done') return [];
  return cached.filter((each) => event.asked.some((meant) => isMeant(meant, each)));
}

/** What a flush takes of other domains. */
function touched({ cached }: IotlbMemory, event: IotlbEvent): readonly Cached[] {
  if (event.type !== 'flush') return [];
  return cached.filter((each) => each.domain !== event.behalf && isMeant(event.meant, each));
}

function found(
  { cached }: IotlbMemory,
  { domain, pasid, page }: { domain: string; pasid: number; page: number },
): string | null {
  const meant: Meant = { cache: 'IOTLB', domain, pasid, first: page };
  return cached.find((each) => each.leaf !== false && isMeant(meant, each))?.to ?? null;
}

function told(cached: readonly Cached[]): string {
  const [{ cache, domain, pasid, dev, page, leaf }] = cached;
  const of = dev === undefined ? domain : `${dev} in ${domain}`;
  const what =
    page === undefined ? '' : leaf === false ? ` table of page ${page}` : ` page ${page}`;
  return `the ${cache} entry of ${of}, PASID ${pasid}${page === undefined ? '' : ','}${what}`;
}
