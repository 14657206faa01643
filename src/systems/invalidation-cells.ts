/**
 * What an invalidation comes to, cell by cell: cache, granularity and flags, run and looked at.
 * Source: kernel-semantics.md A3, INV-44.
 */

import type { Cached, IotlbMemory, Meant } from '../../machines/iotlb.js';
import { isMeant } from '../../machines/iotlb.js';
import {
  askedBy,
  cachesOf,
  DISTINCT,
  FLAGS,
  generic,
  GRANU,
  iommu_check_cache_invl_data,
  iommu_invalidate,
  iommu_tlb_invalidate,
  iommu_uapi_cache_invalidate,
  IOTLB,
  meantBy,
  opaque,
  VTD_5_10,
} from '../../machines/kernel/invalidate.js';
import type {
  CacheInvalidateInfo,
  Granularity,
  Invalidation,
  Model,
  OpaqueCheck,
  VtdCode,
  Wish,
} from '../../machines/kernel/invalidate.js';
import { store } from '../../machines/kernel/memory.js';
import type { ObjectMemory } from '../../machines/object.js';
import { struct } from '../../machines/object.js';
import { invalidationEntities, WELL_FORMED } from '../../machines/races/invalidations.js';
import type { InvalidationSetup } from '../../machines/races/invalidations.js';
import type { EntityView } from '../../machines/scenario.js';
import type { Thread } from '../../machines/step.js';
import { grid } from '../report/grid.js';
import { reached } from './reached.js';
import type { Question } from './reached.js';

/** What became of what was asked for: all of it gone, a part of it, nothing. */
export type Effect = 'complete' | 'part' | 'nothing';

export interface Outcome {
  readonly ret: number;
  readonly effect: Effect;
  /** Something else of the domain went, too. */
  readonly more: boolean;
  /** Something of another domain went. */
  readonly others: boolean;
}

const RETURNS = [0, -14, -19, -22] as const;
const EFFECTS: readonly Effect[] = ['complete', 'part', 'nothing'];
const D0: Invalidation = { domain: 'D', dev: 'd0' };

/** Runs an invalidation, and looks at what it returned and what is cached then. */
export function outcomeOf(
  operation: () => Thread<number>,
  asked: readonly Meant[],
  setup: InvalidationSetup = {},
): Outcome {
  const entities = invalidationEntities(setup);
  const before = (entities[IOTLB] as { input: readonly Cached[] }).input;
  const gone = (view: Readonly<Record<string, EntityView>>) => {
    const { cached } = view[IOTLB].context as IotlbMemory;
    return before.filter((each) => !cached.some((other) => same(each, other)));
  };
  const meant = (cached: Cached) => asked.some((each) => isMeant(each, cached));
  const questions: readonly Question[] = [
    ...RETURNS.map((ret) => ({
      id: `returns ${ret}`,
      entities: ['returned'],
      is: (view: Readonly<Record<string, EntityView>>) =>
        (view.returned.context as ObjectMemory).fields.ret === ret,
    })),
    ...EFFECTS.map((effect) => ({
      id: effect,
      entities: [IOTLB],
      is: (view: Readonly<Record<string, EntityView>>) => {
        const wanted = before.filter(meant).length;
        const got = gone(view).filter(meant).length;
        return effect === (got === 0 ? 'nothing' : got < wanted ? 'part' : 'complete');
      },
    })),
    {
      id: 'more',
      entities: [IOTLB],
      is: (view) => gone(view).some((each) => each.domain === 'D' && !meant(each)),
    },
    {
      id: 'others',
      entities: [IOTLB],
      is: (view) => gone(view).some((each) => each.domain !== 'D'),
    },
  ];
  const { ids } = reached(
    {
      name: 'invalidation',
      entities: { ...entities, returned: struct({ fields: { ret: null } }) },
      threads: {
        QEMU: function* () {
          yield* store('returned', 'ret', yield* operation());
        },
      },
    },
    questions,
  );
  const ret = RETURNS.find((each) => ids.includes(`returns ${each}`));
  const effect = EFFECTS.find((each) => ids.includes(each));
  if (ret === undefined || effect === undefined) throw new Error('the invalidation has no end');
  return { ret, effect, more: ids.includes('more'), others: ids.includes('others') };
}

function same(a: Cached, b: Cached): boolean {
  const { cache, domain, pasid, dev, page, leaf } = a;
  return (
    b.cache === cache &&
    b.domain === domain &&
    b.pasid === pasid &&
    b.dev === dev &&
    b.page === page &&
    b.leaf === leaf
  );
}

/** A cell of v5.10: what the generic layer says, and what the whole call does on VT-d. */
export interface CellRow extends Outcome {
  /** Bits: IOTLB 1, DEV_IOTLB 2, PASID 4. */
  readonly cache: number;
  /** DOMAIN 0, PASID 1, ADDR 2; 3 is none. */
  readonly granularity: number;
  readonly flags: number;
  /** iommu_check_cache_invl_data. */
  readonly checked: number;
}

const CACHE_VALUES = [0, 1, 2, 3, 4, 5, 6, 7, 8] as const;
const GRANULARITIES = [0, 1, 2, 3] as const;
const FLAG_VALUES = [FLAGS.PASID, FLAGS.PASID | FLAGS.LEAF, FLAGS.PASID | 8] as const;

/** Every cell of iommu_uapi_cache_invalidate on a domain of VT-d. */
export function invalidationCells(driver: VtdCode = VTD_5_10): readonly CellRow[] {
  return CACHE_VALUES.flatMap((cache) =>
    GRANULARITIES.flatMap((granularity) =>
      FLAG_VALUES.map((flags): CellRow => {
        const info: CacheInvalidateInfo = { ...WELL_FORMED, cache, granularity, flags };
        return {
          cache,
          granularity,
          flags,
          checked: iommu_check_cache_invl_data(info),
          ...outcomeOf(() => iommu_uapi_cache_invalidate(D0, info, driver), askedBy(D0, info)),
        };
      }),
    ),
  );
}

/** What a caller means, and what it comes to through an interface. */
export interface WishRow extends Outcome {
  readonly interface: string;
  readonly granularity: Granularity;
  readonly leaf: boolean;
}

const WISHES: readonly Granularity[] = ['domain', 'pasid', 'page'];

function wish(granularity: Granularity, leaf = false): Wish {
  return { granularity, pasid: 5, first: 4, pages: 1, leaf };
}

/** iommu_invalidate as posted: a domain of VT-d, and data in the format of either model. */
export function opaqueCells(): readonly WishRow[] {
  return (['nothing', 'model and length'] as const).flatMap((check: OpaqueCheck) =>
    (['VT-d', 'SMMUv3'] as const).flatMap((model: Model) =>
      WISHES.map((granularity): WishRow => {
        const asked = [meantBy('IOTLB', D0, wish(granularity))];
        const info = opaque(model, wish(granularity));
        return {
          interface: `opaque, of ${model}, ${check} checked`,
          granularity,
          leaf: false,
          ...outcomeOf(() => iommu_invalidate(D0, info, check), asked),
        };
      }),
    ),
  );
}

/** iommu_tlb_invalidate with distinct granularities, and the leaf hint. */
export function genericCells(): readonly WishRow[] {
  return WISHES.flatMap((granularity) =>
    [false, true].map((leaf): WishRow => {
      const asked = [meantBy('IOTLB', D0, wish(granularity, leaf))];
      const info = generic(DISTINCT, wish(granularity, leaf));
      const code = { encoding: DISTINCT, tests: WISHES, attachedChecked: true };
      return {
        interface: 'generic',
        granularity,
        leaf,
        ...outcomeOf(() => iommu_tlb_invalidate(D0, info, code), asked),
      };
    }),
  );
}

const WIDTH = 80;

/** The cells of v5.10 that the generic layer lets pass, and how the others are refused. */
export function invalidationCellsText(rows: readonly CellRow[]): string {
  const plain = rows.filter(({ flags, cache }) => flags === FLAGS.PASID && cache !== 0);
  const names = Object.keys(GRANU);
  const out = [
    'iommu_uapi_cache_invalidate of v5.10 on VT-d:',
    '',
    ...grid(
      [
        ['caches', ...names.map((name) => `by ${name}`)],
        ...CACHE_VALUES.filter((cache) => cache !== 0 && cache < 8).map((cache) => [
          cachesOf(cache).join('+'),
          ...names.map((name) => cellText(plain, cache, GRANU[name as Granularity])),
        ]),
      ],
      { width: WIDTH, folds: [], right: [] },
    ),
  ];
  return `${out.join('\n')}\n`;
}

function cellText(rows: readonly CellRow[], cache: number, granularity: number): string {
  const row = rows.find((each) => each.cache === cache && each.granularity === granularity)!;
  const ret = row.ret === -22 ? '-EINVAL' : String(row.ret);
  return row.ret === 0 ? `${ret}, ${row.effect}` : ret;
}
