/**
 * Invalidations that a guest asks for: as posted in 2017, as its reviewers wanted them, and as they
 * were in v5.10. drivers/iommu/iommu.c, drivers/iommu/intel/iommu.c. Source: A3.
 */

import { EFAULT, EINVAL, ENODEV } from '../errno.js';
import type { CacheName, IotlbEvent, Meant } from '../iotlb.js';
import { lock, send, unlock } from '../step.js';
import type { Thread } from '../step.js';
import { load } from './memory.js';

/** The entity of machines/iotlb.ts: what the IOMMU and its devices have cached. */
export const IOTLB = 'IOTLB';

/** Who asks for an invalidation of what. */
export interface Invalidation {
  /** struct iommu_domain: ops (its operations by name), model, nested. */
  readonly domain: string;
  /** struct device: domain, is_pci, iommu, ats_enabled; null: none is given. */
  readonly dev: string | null;
}

/** Granularities as a person means them. */
export type Granularity = 'domain' | 'pasid' | 'page';

/** What a caller means. */
export interface Wish {
  readonly granularity: Granularity;
  readonly pasid: number;
  readonly first: number;
  readonly pages: number;
  /** "only invalidate leaf table when page_selective" */
  readonly leaf?: boolean;
}

/** What a wish is about, in one of the caches. */
export function meantBy(cache: CacheName, { domain, dev }: Invalidation, wish: Wish): Meant {
  const ofDevice = cache === 'DEV_IOTLB' && dev !== null;
  return within({ cache, domain, ...(ofDevice ? { dev } : {}) }, wish);
}

function within(where: Meant, { granularity, pasid, first, pages, leaf = false }: Wish): Meant {
  if (granularity === 'domain') return where;
  if (granularity === 'pasid') return { ...where, pasid };
  return { ...where, pasid, first, pages, leafOnly: leaf };
}

// As posted in 2017: a model's own data, which nobody but the driver understands.

export type Model = 'VT-d' | 'SMMUv3';

/** struct tlb_invalidate_info: the words are where the model has them. */
export interface OpaqueInfo {
  readonly model: Model;
  /** Words in opaque. */
  readonly length: number;
  readonly opaque: readonly number[];
}

/** What the driver looks at before it takes opaque data for its own (P-A3-4). */
export type OpaqueCheck = 'nothing' | 'model and length';

const OPAQUE_GRANULARITY: readonly Granularity[] = ['domain', 'pasid', 'page'];

/** A wish as the words of a model. */
export function opaque(model: Model, { granularity, pasid, first, pages }: Wish): OpaqueInfo {
  const g = OPAQUE_GRANULARITY.indexOf(granularity);
  const words = model === 'VT-d' ? [g, pasid, first, pages] : [g, first, pages, pasid];
  return { model, length: words.length, opaque: words };
}

/** iommu_invalidate, posted in 2017: neither device nor data are looked at. */
export function* iommu_invalidate(
  of: Invalidation,
  info: OpaqueInfo,
  check: OpaqueCheck,
): Thread<number> {
  if (!(yield* hasOp(of.domain, 'invalidate'))) return -ENODEV;
  // The driver's: VT-d.
  const model = yield* load<Model>(of.domain, 'model');
  if (check === 'model and length' && (info.model !== model || info.length !== 4)) return -EINVAL;
  const [granularity, pasid = 0, first = 0, pages = 1] = info.opaque;
  const wish = { granularity: OPAQUE_GRANULARITY[granularity], pasid, first, pages };
  yield* flush(of, meantBy('IOTLB', of, wish));
  return 0;
}

// With a generic granularity, as the reviewers wanted it.

/** Bits of the granularity by name. */
export type Encoding = Readonly<Record<Granularity, number>>;

/** As quoted in the thread: DEVICE_SELECTIVE_INV and PAGE_SELECTIVE_INV are one bit (D-A3-1). */
export const QUOTED: Encoding = { domain: 1 << 0, page: 1 << 0, pasid: 1 << 1 };
/** Pairwise distinct (P-A3-3). */
export const DISTINCT: Encoding = { domain: 1 << 0, page: 1 << 1, pasid: 1 << 2 };

/** IOMMU_INV_LEAF: the one flag. */
export const LEAF = 1 << 0;

/** The hybrid struct without its opaque part. */
export interface GenericInfo {
  readonly granularity: number;
  readonly pasid: number;
  readonly first: number;
  readonly pages: number;
  readonly flags: number;
}

export interface GenericCode {
  readonly encoding: Encoding;
  /** In which order the driver tests the bits. */
  readonly tests: readonly Granularity[];
  /** That dev is attached to the domain is checked (P-A3-6). */
  readonly attachedChecked: boolean;
}

/** The wish as a caller writes it down. A granularity ignores the fields that are not its own. */
export function generic(encoding: Encoding, wish: Wish): GenericInfo {
  const { granularity, pasid, first, pages, leaf = false } = wish;
  const page = granularity === 'page';
  return {
    granularity: encoding[granularity],
    pasid: granularity === 'domain' ? 0 : pasid,
    first: page ? first : 0,
    pages: page ? pages : 0,
    flags: leaf ? LEAF : 0,
  };
}

/** iommu_tlb_invalidate: what callers need to know is in the struct (P-A3-2). */
export function* iommu_tlb_invalidate(
  of: Invalidation,
  info: GenericInfo,
  code: GenericCode,
): Thread<number> {
  if (!(yield* hasOp(of.domain, 'invalidate'))) return -ENODEV;
  const bits = Object.values(code.encoding);
  if (!bits.includes(info.granularity)) return -EINVAL;
  if ((info.flags & ~LEAF) !== 0) return -EINVAL;
  if ((info.flags & LEAF) !== 0 && info.granularity !== code.encoding.page) return -EINVAL;
  if (of.dev === null) return -ENODEV;
  if (code.attachedChecked && (yield* load(of.dev, 'domain')) !== of.domain) return -EINVAL;
  const granularity = code.tests.find((each) => (info.granularity & code.encoding[each]) !== 0)!;
  const { pasid, first, flags } = info;
  const pages = Math.max(info.pages, 1);
  const wish: Wish = { granularity, pasid, first, pages, leaf: (flags & LEAF) !== 0 };
  yield* flush(of, meantBy('IOTLB', of, wish));
  // What the device has cached itself; it knows no domains.
  if ((yield* load(of.dev, 'ats_enabled')) === true) {
    yield* flush(of, within({ cache: 'DEV_IOTLB', dev: of.dev }, wish));
  }
  return 0;
}

// v5.10.

/** IOMMU_CACHE_INV_TYPE_*: the bit of each cache. */
export const CACHE_BITS: Readonly<Record<CacheName, number>> = { IOTLB: 1, DEV_IOTLB: 2, PASID: 4 };
const CACHES: readonly CacheName[] = ['IOTLB', 'DEV_IOTLB', 'PASID'];

/** IOMMU_INV_GRANU_*. */
export const GRANU = { domain: 0, pasid: 1, page: 2 } as const satisfies Record<
  Granularity,
  number
>;

/** IOMMU_INV_{ADDR,PASID}_FLAGS_*. */
export const FLAGS = { PASID: 1, ARCHID: 2, LEAF: 4 } as const;

/** offsetof(granu), and offsetofend of the members of the union. */
export const MINSZ = 16;
export const PASID_INFO_END = 32;
export const ADDR_INFO_END = 56;

/** struct iommu_cache_invalidate_info; addresses and sizes in pages. */
export interface CacheInvalidateInfo {
  readonly argsz: number;
  readonly version: number;
  readonly cache: number;
  readonly granularity: number;
  /** One of the bytes that are to be zero. */
  readonly padding: number;
  readonly flags: number;
  readonly pasid: number;
  readonly addr: number;
  readonly nb_granules: number;
  /** Bytes of it that user space has mapped; a copy of more is a fault. */
  readonly readable: number;
}

/** What a driver does with a cache that it cannot invalidate by that granularity. */
export type Unsupported =
  /** It logs it and leaves the loop, with 0 (D-A3-2). */
  | 'breaks with 0'
  | 'breaks with -EINVAL'
  /** It looks at all of them before it does anything. */
  | 'is refused first';

export interface VtdCode {
  readonly unsupported: Unsupported;
  /** An address that is not aligned to its size is rounded down, as the hardware does, or refused. */
  readonly unaligned: 'warns' | 'is refused';
}

/** intel_iommu_sva_invalidate of v5.10. */
export const VTD_5_10: VtdCode = { unsupported: 'breaks with 0', unaligned: 'warns' };

/** iommu_uapi_cache_invalidate: the checks of v5.10 in their order. */
export function* iommu_uapi_cache_invalidate(
  of: Invalidation,
  user: CacheInvalidateInfo,
  driver: VtdCode = VTD_5_10,
): Thread<number> {
  if (!(yield* hasOp(of.domain, 'cache_invalidate'))) return -ENODEV;
  if (user.readable < MINSZ) return -EFAULT;
  const { argsz, granularity } = user;
  if (argsz < MINSZ) return -EINVAL;
  if (granularity === GRANU.pasid && argsz < PASID_INFO_END) return -EINVAL;
  if (granularity === GRANU.page && argsz < ADDR_INFO_END) return -EINVAL;
  if (user.readable < Math.min(argsz, ADDR_INFO_END)) return -EFAULT;
  const ret = iommu_check_cache_invl_data(user);
  return ret !== 0 ? ret : yield* intel_iommu_sva_invalidate(of, user, driver);
}

/** iommu_check_cache_invl_data: of what was copied, so no other thread comes between. */
export function iommu_check_cache_invl_data(info: CacheInvalidateInfo): number {
  const { version, cache, granularity, flags, padding } = info;
  if (version !== 1) return -EINVAL;
  if ((cache & ~0b111) !== 0) return -EINVAL;
  if (granularity > GRANU.page) return -EINVAL;
  switch (granularity) {
    case GRANU.page:
      if ((cache & CACHE_BITS.PASID) !== 0) return -EINVAL;
      if ((flags & ~(FLAGS.PASID | FLAGS.ARCHID | FLAGS.LEAF)) !== 0) return -EINVAL;
      break;
    case GRANU.pasid:
      if ((flags & ~(FLAGS.PASID | FLAGS.ARCHID)) !== 0) return -EINVAL;
      break;
    case GRANU.domain:
      if ((cache & CACHE_BITS.DEV_IOTLB) !== 0) return -EINVAL;
      break;
  }
  return padding === 0 ? 0 : -EINVAL;
}

/** inv_type_granu_table: what VT-d can do, by cache and granularity. */
const VTD_CELLS: Readonly<Record<CacheName, readonly number[]>> = {
  IOTLB: [GRANU.pasid, GRANU.page],
  DEV_IOTLB: [GRANU.page],
  PASID: [],
};

/** The caches of a request, lowest bit first. */
export function cachesOf(cache: number): readonly CacheName[] {
  return CACHES.filter((name) => (cache & CACHE_BITS[name]) !== 0);
}

/** intel_iommu_sva_invalidate. */
export function* intel_iommu_sva_invalidate(
  of: Invalidation,
  info: CacheInvalidateInfo,
  code: VtdCode = VTD_5_10,
): Thread<number> {
  const { dev, domain } = of;
  if (dev === null || (yield* load(dev, 'is_pci')) !== true) return -ENODEV;
  if ((yield* load(dev, 'iommu')) === null) return -ENODEV;
  if ((yield* load(domain, 'nested')) !== true) return -EINVAL;
  yield* lock('device_domain_lock');
  yield* lock('iommu->lock');
  const ret = yield* invalidateLocked(of, dev, info, code);
  yield* unlock('iommu->lock');
  yield* unlock('device_domain_lock');
  return ret;
}

function* invalidateLocked(
  of: Invalidation,
  dev: string,
  info: CacheInvalidateInfo,
  code: VtdCode,
): Thread<number> {
  // get_domain_info: of whatever domain.
  if ((yield* load(dev, 'domain')) === null) return -EINVAL;
  const { granularity, flags } = info;
  const ats = (yield* load(dev, 'ats_enabled')) === true;
  const caches = cachesOf(info.cache);
  const supported = (cache: CacheName) => VTD_CELLS[cache].includes(granularity);
  if (code.unsupported === 'is refused first' && !caches.every(supported)) return -EINVAL;

  const page = granularity === GRANU.page;
  const pasid = (flags & FLAGS.PASID) === 0 ? 0 : info.pasid;
  // A power of two of pages, and the address rounded down to it.
  const pages = page ? 2 ** Math.ceil(Math.log2(Math.max(info.nb_granules, 1))) : 0;
  const unaligned = page && info.addr % pages !== 0;
  if (unaligned && code.unaligned === 'is refused') return -EINVAL;
  const range = page ? { first: info.addr - (info.addr % pages), pages } : {};

  for (const cache of caches) {
    if (!supported(cache)) return code.unsupported === 'breaks with 0' ? 0 : -EINVAL;
    if (cache === 'IOTLB') {
      const leafOnly = page && (flags & FLAGS.LEAF) !== 0;
      yield* flush(of, { cache, domain: of.domain, pasid, ...range, leafOnly });
    }
    // An invalidation of the IOTLB is one of the device's TLB, too.
    if (ats) yield* flush(of, { cache: 'DEV_IOTLB', dev, pasid, ...range });
  }
  return 0;
}

/** What a request of v5.10 asks for, where the generic layer lets it pass. */
export function askedBy(of: Invalidation, info: CacheInvalidateInfo): readonly Meant[] {
  const granularity = (Object.keys(GRANU) as Granularity[]).find(
    (each) => GRANU[each] === info.granularity,
  );
  if (granularity === undefined) return [];
  const wish: Wish = {
    granularity,
    pasid: (info.flags & FLAGS.PASID) === 0 ? 0 : info.pasid,
    first: info.addr,
    pages: info.nb_granules,
    leaf: (info.flags & FLAGS.LEAF) !== 0,
  };
  return cachesOf(info.cache).map((cache) => meantBy(cache, of, wish));
}

/** Tells the caller what an invalidation came to: the rules are judged by what is cached then. */
export function* returns(ret: number, asked: readonly Meant[]): Thread<void> {
  const event: IotlbEvent = ret === 0 ? { type: 'done', asked } : { type: 'refused', ret };
  yield* send(IOTLB, event, `return ${ret}`);
}

function* hasOp(domain: string, op: string): Thread<boolean> {
  const ops = yield* load<readonly string[]>(domain, 'ops');
  return ops.includes(op);
}

function* flush({ domain }: Invalidation, meant: Meant): Thread<void> {
  const event: IotlbEvent = { type: 'flush', meant, behalf: domain, waits: true };
  yield* send(IOTLB, event, `flush ${shown(meant)}`);
}

/** `IOTLB of D, PASID 5, pages 4-5` */
function shown({ cache, domain, dev, pasid, first, pages = 1, leafOnly }: Meant): string {
  const range =
    first === undefined
      ? ''
      : pages === 1
        ? `, page ${first}`
        : `, pages ${first}-${first + pages - 1}`;
  const of = dev ?? domain ?? 'all';
  const leaf = leafOnly === true ? ', leaves' : '';
  return `${cache} of ${of}${pasid === undefined ? '' : `, PASID ${pasid}`}${range}${leaf}`;
}
