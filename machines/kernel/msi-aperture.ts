/**
 * Which IOVAs the MSI doorbells of a domain may have: iommu_domain_msi_geometry and the functions
 * that set and read it, drivers/iommu/msi-iommu.c as posted in 2016 and never merged. Source: A2,
 * the thread of 2016.
 */

import { EEXIST, EFAULT, EINVAL, ENODEV, ENOENT, ENOMEM } from '../errno.js';
import { high, isBelow, joined, low } from '../dma-addr.js';
import type { DmaAddr } from '../dma-addr.js';
import type { IovaEvent, IovaRange, IovaReply } from '../iova-domain.js';
import { NULL } from '../null-pointer.js';
import { choose, lock, loopHead, mayFail, send, unlock } from '../step.js';
import type { Thread } from '../step.js';
import { add, get, kfree, kzalloc, listNext, load, put, store } from './memory.js';

export type DomainType = 'DMA' | 'UNMANAGED' | 'IDENTITY' | 'BLOCKED';

/** What one posting does differently from another. */
export interface MsiCode {
  /** CONFIG_IOMMU_MSI; without it set_aperture is a stub. */
  readonly configured: boolean;
  /** The field of the geometry that iommu_msi_domain goes by (P-A2-4). */
  readonly flag: 'programmable' | 'iommu_msi_supported';
  /** How one knows that the aperture is set: by what nobody else sees, or by the geometry itself. */
  readonly aperture: 'is_aperture_set' | 'start < end';
  /** SA2: an aperture is set once. */
  readonly setOnce: boolean;
  /** MD3: what iommu_domain_get_attr returns is looked at (D-A2-1). */
  readonly attrChecked: boolean;
  /** The cookie is looked at before it is initialised, and undone (D-A2-2). */
  readonly cookieChecked: boolean;
  /** What is done first with a mapping that somebody else has made meanwhile (D-A2-3). */
  readonly lostMapping: 'free_iova' | 'iommu_unmap';
}

/** As posted in the thread: start and end stay as the driver of the IOMMU has set them. */
export const MSI_V8: MsiCode = {
  configured: true,
  flag: 'programmable',
  aperture: 'is_aperture_set',
  setOnce: false,
  attrChecked: false,
  cookieChecked: false,
  lostMapping: 'free_iova',
};

/** After the review: the aperture is in the geometry, and one flag says who takes part. */
export const MSI_V9: MsiCode = {
  ...MSI_V8,
  flag: 'iommu_msi_supported',
  aperture: 'start < end',
  setOnce: true,
};

/** The last posting that is stored: the cookie is checked. */
export const MSI_LAST: MsiCode = { ...MSI_V9, cookieChecked: true };

/** MSI_LAST with what nobody posted: the defects that are left, repaired. */
export const MSI_REPAIRED: MsiCode = {
  ...MSI_LAST,
  attrChecked: true,
  lostMapping: 'iommu_unmap',
};

/** In which order two words are loaded or stored; `either`: the compiler's or the CPU's choice. */
export type WordOrder = 'start, end' | 'end, start' | 'either';

/** How a dma_addr_t is loaded and stored; in halves by a 32-bit CPU, in whatever order. */
export type Words = 'whole' | 'in halves';

/** How set_aperture and get_attr are kept apart. */
export type Kept = 'by nothing' | 'by a seqcount' | 'by a mutex of the domain';

/** A domain of a driver that has set up its geometry. */
export interface MsiDomain {
  readonly code: MsiCode;
  /**
   * struct iommu_domain: type, domain_get_attr (whether it knows the geometry), the flag,
   * aperture_start and aperture_end (in halves `.high` and `.low`), msi_cookie, iova_cookie.
   */
  readonly domain: string;
  readonly stores: WordOrder;
  readonly loads: WordOrder;
  readonly words: Words;
  readonly kept: Kept;
  /** Faults that may be injected. */
  readonly budget?: string;
}

export interface MsiGeometry {
  readonly aperture_start: DmaAddr;
  readonly aperture_end: DmaAddr;
  /** `programmable` or `iommu_msi_supported`. */
  readonly flag: boolean;
}

/** "We can always define that start >= end is invalid" (the thread). */
export function isValid({
  aperture_start,
  aperture_end,
}: Pick<MsiGeometry, 'aperture_start' | 'aperture_end'>): boolean {
  return isBelow(aperture_start, aperture_end);
}

/** The fields of the two words of an aperture. */
export function apertureFields(
  start: DmaAddr,
  end: DmaAddr,
  words: Words,
): Readonly<Record<string, DmaAddr>> {
  return words === 'whole'
    ? { aperture_start: start, aperture_end: end }
    : {
        'aperture_start.high': high(start),
        'aperture_start.low': low(start),
        'aperture_end.high': high(end),
        'aperture_end.low': low(end),
      };
}

/** The names of what iommu_get_msi_cookie allocates. */
export function cookieOf(domain: string) {
  const dmi = `${domain}.dmi`;
  return { dmi, lock: `${dmi}->lock`, iovad: `${domain}.iovad` };
}

/** iommu_get_dma_cookie. */
function* iommu_get_dma_cookie(m: MsiDomain): Thread<number> {
  const { iovad } = cookieOf(m.domain);
  if ((yield* load(m.domain, 'iova_cookie')) !== null) return -EEXIST;
  if (m.budget !== undefined && (yield* mayFail(m.budget, 'kzalloc(iovad) returns NULL'))) {
    return -ENOMEM;
  }
  yield* store(m.domain, 'iova_cookie', iovad);
  return 0;
}

function* iommu_put_dma_cookie(m: MsiDomain): Thread<void> {
  const iovad = yield* load<string | null>(m.domain, 'iova_cookie', 'iovad');
  if (iovad === null) return;
  yield* send(iovad, { type: 'put' } satisfies IovaEvent, 'put_iova_domain(iovad)');
  yield* store(m.domain, 'iova_cookie', null);
}

/** iommu_get_msi_cookie, as posted in 2016. Its scenario has a nullPointerMachine called NULL. */
export function* iommu_get_msi_cookie(m: MsiDomain): Thread<number> {
  if ((yield* load(m.domain, 'msi_cookie')) !== null) return -EINVAL;
  if ((yield* load(m.domain, 'iova_cookie')) !== null) return -EINVAL;
  const ret = yield* iommu_get_dma_cookie(m);
  if (ret !== 0) return ret;
  const { dmi } = cookieOf(m.domain);
  const allocated = yield* kzalloc(dmi, {}, m.budget);
  if (m.code.cookieChecked && !allocated) {
    yield* iommu_put_dma_cookie(m);
    return -ENOMEM;
  }
  const pointer = allocated ? dmi : NULL;
  // INIT_LIST_HEAD(&dmi->list)
  yield* store(pointer, 'list', []);
  yield* store(m.domain, 'msi_cookie', pointer);
  return 0;
}

/** iommu_put_msi_cookie: what it warns of is left in `warned` of the domain. */
export function* iommu_put_msi_cookie(m: MsiDomain): Thread<void> {
  const dmi = yield* load<string | null>(m.domain, 'msi_cookie', 'dmi');
  if (dmi === null) return;
  yield* store(m.domain, 'msi_cookie', null);
  if ((yield* listNext(dmi, 'list', null)) !== null) {
    yield* store(m.domain, 'warned', 'WARN_ON(!list_empty(&dmi->list))');
  }
  yield* kfree(dmi);
  yield* iommu_put_dma_cookie(m);
}

/** iommu_dma_init_domain of v4.6: all that can be done with one that exists is enlarge it. */
function* iommu_dma_init_domain(m: MsiDomain, { start, end }: IovaRange): Thread<number> {
  const iovad = yield* load<string | null>(m.domain, 'iova_cookie', 'iovad');
  if (iovad === null) return -ENODEV;
  const event: IovaEvent = { type: 'read_range' };
  const reply = yield* send<IovaReply>(iovad, event, 'read iovad->start_pfn');
  const { range } = reply as Extract<IovaReply, { type: 'range' }>;
  if (range !== null && (range.start !== start || isBelow(end, range.end))) return -EFAULT;
  const init = { type: 'init', start, end } satisfies IovaEvent;
  yield* send(iovad, init, `init_iova_domain(${start}, ${end})`);
  return 0;
}

/** iommu_msi_set_aperture: SA1–SA6. */
export function* iommu_msi_set_aperture(
  m: MsiDomain,
  start: DmaAddr,
  end: DmaAddr,
): Thread<number> {
  if (!m.code.configured) return -ENOENT;
  const dmi = yield* load<string | null>(m.domain, 'msi_cookie', 'dmi');
  if (dmi === null) return -ENODEV;
  if (m.code.setOnce && (yield* iommu_domain_msi_aperture_valid(m, dmi))) return -EINVAL;
  const ret = yield* iommu_dma_init_domain(m, { start, end });
  if (ret !== 0) return ret;
  if (m.code.aperture === 'is_aperture_set') yield* store(dmi, 'is_aperture_set', true);
  else yield* storeAperture(m, start, end);
  return 0;
}

/** Whether doorbells can be mapped: iommu_domain_msi_aperture_valid, of v8 dmi->is_aperture_set. */
export function* iommu_domain_msi_aperture_valid(m: MsiDomain, dmi: string): Thread<boolean> {
  if (m.code.aperture === 'is_aperture_set') {
    return (yield* load(dmi, 'is_aperture_set')) === true;
  }
  return isValid(yield* loadAperture(m));
}

export type GetAttr =
  | { readonly ret: 0; readonly geometry: MsiGeometry }
  /** What the caller handed in for the geometry is as it was. */
  | { readonly ret: number; readonly geometry?: undefined };

/** iommu_domain_get_attr(domain, DOMAIN_ATTR_MSI_GEOMETRY, …). */
export function* iommu_domain_get_attr(m: MsiDomain): Thread<GetAttr> {
  if ((yield* load(m.domain, 'domain_get_attr')) !== true) return { ret: -EINVAL };
  const flag = (yield* load(m.domain, m.code.flag)) === true;
  return { ret: 0, geometry: { ...(yield* loadAperture(m)), flag } };
}

/** struct device of the model: its group. */
export interface MsiGroup {
  /** struct iommu_group: domain; references. */
  readonly group: string;
}

/** iommu_msi_domain: MD1–MD4. Nothing keeps the domain that it returns. */
export function* iommu_msi_domain(
  m: Omit<MsiDomain, 'domain'>,
  { group }: MsiGroup,
): Thread<string | null> {
  const domain = yield* iommu_get_domain_for_dev(group);
  if (domain === null) return null;
  if ((yield* load<DomainType>(domain, 'type')) === 'DMA') return null;
  const { geometry } = yield* iommu_domain_get_attr({ ...m, domain });
  if (geometry !== undefined) return geometry.flag ? domain : null;
  if (m.code.attrChecked) return null;
  const what = `msi_geometry.${m.code.flag}, never written, is`;
  return (yield* choose([true, false], what)) ? domain : null;
}

/** Its reference of the group is put before it returns. */
function* iommu_get_domain_for_dev(group: string): Thread<string | null> {
  yield* get(group);
  const domain = yield* load<string | null>(group, 'domain', 'domain');
  yield* put(group);
  return domain;
}

function* storeAperture(m: MsiDomain, start: DmaAddr, end: DmaAddr): Thread<void> {
  const mutex = `${m.domain}->mutex`;
  if (m.kept === 'by a mutex of the domain') yield* lock(mutex);
  if (m.kept === 'by a seqcount') yield* add(m.domain, 'seq', 1);
  const halves = yield* inHalves(m.words);
  for (const word of yield* inOrder(m.stores, 'stores')) {
    yield* storeWord(m.domain, `aperture_${word}`, word === 'start' ? start : end, halves);
  }
  if (m.kept === 'by a seqcount') yield* add(m.domain, 'seq', 1);
  if (m.kept === 'by a mutex of the domain') yield* unlock(mutex);
}

function* loadAperture(m: MsiDomain): Thread<Omit<MsiGeometry, 'flag'>> {
  const mutex = `${m.domain}->mutex`;
  if (m.kept === 'by a mutex of the domain') yield* lock(mutex);
  const halves = yield* inHalves(m.words);
  const order = yield* inOrder(m.loads, 'loads');
  for (;;) {
    if (m.kept === 'by a seqcount') yield* loopHead(order);
    const seq =
      m.kept === 'by a seqcount' ? yield* load<number>(m.domain, 'seq', 'seq') : undefined;
    // read_seqbegin: it is odd while somebody writes.
    if (seq !== undefined && seq % 2 === 1) continue;
    const loaded = { start: '0x0' as DmaAddr, end: '0x0' as DmaAddr };
    for (const word of order) {
      loaded[word] = yield* loadWord(m.domain, `aperture_${word}`, halves);
    }
    if (seq !== undefined && (yield* load(m.domain, 'seq')) !== seq) continue;
    if (m.kept === 'by a mutex of the domain') yield* unlock(mutex);
    return { aperture_start: loaded.start, aperture_end: loaded.end };
  }
}

function* inOrder(order: WordOrder, what: string): Thread<('start' | 'end')[]> {
  const taken =
    order === 'either' ? yield* choose(['start, end', 'end, start'] as const, what) : order;
  return taken === 'start, end' ? ['start', 'end'] : ['end', 'start'];
}

type Halves = readonly ('high' | 'low')[];

/** Which half comes first is the compiler's choice. */
function* inHalves(words: Words): Thread<Halves | undefined> {
  if (words === 'whole') return undefined;
  const first = yield* choose(['high', 'low'] as const, 'first half');
  return first === 'high' ? ['high', 'low'] : ['low', 'high'];
}

function* storeWord(
  domain: string,
  field: string,
  value: DmaAddr,
  halves: Halves | undefined,
): Thread<void> {
  if (halves === undefined) return yield* store(domain, field, value);
  for (const half of halves) {
    yield* store(domain, `${field}.${half}`, half === 'high' ? high(value) : low(value));
  }
}

function* loadWord(domain: string, field: string, halves: Halves | undefined): Thread<DmaAddr> {
  if (halves === undefined) return yield* load<DmaAddr>(domain, field);
  const loaded = { high: '0x0' as DmaAddr, low: '0x0' as DmaAddr };
  for (const half of halves) loaded[half] = yield* load<DmaAddr>(domain, `${field}.${half}`);
  return joined(loaded.high, loaded.low);
}
