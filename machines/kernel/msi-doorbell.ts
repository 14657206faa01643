/**
 * MSI doorbells of 2016: each has an IOVA in the aperture of the domain, shared by all that send to
 * it. drivers/iommu/msi-iommu.c as posted and never merged. Source: A2.2, D-A2-3.
 */

import { EEXIST, EINVAL, ENODEV, ENOMEM } from '../errno.js';
import { isBelow, plus } from '../dma-addr.js';
import type { DmaAddr } from '../dma-addr.js';
import { GRANULE } from '../iova-domain.js';
import type { IovaEvent, IovaReply } from '../iova-domain.js';
import type { PageTableEvent, PageTableReply } from '../page-table.js';
import { lock, mayFail, send, unlock } from '../step.js';
import type { Thread } from '../step.js';
import {
  get,
  kfree,
  kzalloc,
  listAdd,
  listDel,
  listNext,
  load,
  nextName,
  put,
  store,
} from './memory.js';
import { iommu_domain_msi_aperture_valid, iommu_msi_domain } from './msi-aperture.js';
import type { MsiDomain, MsiGroup } from './msi-aperture.js';

/** The struct that has the names of doorbell_mappings that can be allocated, in `mappings`. */
export const HEAP = 'heap';

/** The entity of machines/page-table.ts that translates for a domain. */
export function pageTableOf(domain: string): string {
  return `${domain}->pgtable`;
}

export interface Doorbell {
  readonly addr: DmaAddr;
  readonly size: number;
}

export type DoorbellIova =
  { readonly ret: 0; readonly iova: DmaAddr } | { readonly ret: number; readonly iova?: undefined };

/** iommu_msi_get_doorbell_iova: maps the doorbell where it is not, and takes a reference. */
export function* iommu_msi_get_doorbell_iova(
  m: MsiDomain,
  doorbell: Doorbell,
): Thread<DoorbellIova> {
  const dmi = yield* load<string | null>(m.domain, 'msi_cookie', 'dmi');
  const iovad = yield* load<string>(m.domain, 'iova_cookie', 'iovad');
  if (dmi === null) return { ret: -ENODEV };
  if (!(yield* iommu_domain_msi_aperture_valid(m, dmi))) return { ret: -EINVAL };
  const { offset, base, size } = aligned(doorbell);

  yield* lock(`${dmi}->lock`);
  const known = yield* search_msi_doorbell_mapping(dmi, base, size);
  if (known !== null) {
    yield* get(known.name);
    yield* unlock(`${dmi}->lock`);
    return { ret: 0, iova: plus(known.iova, BigInt(base) - BigInt(known.addr) + offset) };
  }
  yield* unlock(`${dmi}->lock`);

  const mapping = yield* nextName(HEAP, 'mappings');
  if (!(yield* kzalloc(mapping, { refs: 1 }, m.budget))) return { ret: -ENOMEM };
  const iova = yield* alloc_iova(iovad, size);
  if (iova === null) {
    yield* kfree(mapping);
    return { ret: -ENOMEM };
  }
  const ret = yield* iommu_map(m, iova, base, size);

  yield* lock(`${dmi}->lock`);
  if (ret !== 0) {
    yield* free_iova(iovad, iova);
    yield* kfree(mapping);
    yield* unlock(`${dmi}->lock`);
    return { ret };
  }
  const other = yield* search_msi_doorbell_mapping(dmi, base, size);
  if (other !== null) {
    yield* get(other.name);
    if (m.code.lostMapping === 'free_iova') yield* free_iova(iovad, iova);
    yield* kfree(mapping);
    yield* unlock(`${dmi}->lock`);
    yield* iommu_unmap(m.domain, iova, size);
    if (m.code.lostMapping === 'iommu_unmap') yield* free_iova(iovad, iova);
    return { ret: 0, iova: plus(other.iova, BigInt(base) - BigInt(other.addr) + offset) };
  }
  yield* store(mapping, 'addr', base);
  yield* store(mapping, 'iova', iova);
  yield* store(mapping, 'size', size);
  yield* listAdd(dmi, 'list', mapping);
  yield* unlock(`${dmi}->lock`);
  return { ret: 0, iova: plus(iova, offset) };
}

/** iommu_msi_put_doorbell_iova: it is told the address alone, so it takes a mapping of any size. */
export function* iommu_msi_put_doorbell_iova(m: MsiDomain, addr: DmaAddr): Thread<void> {
  const dmi = yield* load<string | null>(m.domain, 'msi_cookie', 'dmi');
  const iovad = yield* load<string>(m.domain, 'iova_cookie', 'iovad');
  if (dmi === null) return;
  yield* lock(`${dmi}->lock`);
  const { base } = aligned({ addr, size: 1 });
  const mapping = yield* search_msi_doorbell_mapping(dmi, base, GRANULE);
  const last = mapping !== null && (yield* put(mapping.name));
  if (last) {
    // doorbell_mapping_release
    yield* listDel(dmi, 'list', mapping.name);
    yield* kfree(mapping.name);
  }
  yield* unlock(`${dmi}->lock`);
  if (!last) return;
  yield* iommu_unmap(m.domain, mapping.iova, mapping.size);
  yield* free_iova(iovad, mapping.iova);
}

/** iommu_msi_msg_pa_to_va: `msg` is a struct with the doorbell in `address`. */
export function* iommu_msi_msg_pa_to_va(
  m: Omit<MsiDomain, 'domain'>,
  device: MsiGroup,
  msg: string,
): Thread<number> {
  const domain = yield* iommu_msi_domain(m, device);
  if (domain === null) return 0;
  const addr = yield* load<DmaAddr>(msg, 'address');
  const iova = yield* iommu_msi_find_iova(domain, { addr, size: 8 });
  if (iova === null) return -EINVAL;
  yield* store(msg, 'address', iova);
  return 0;
}

function* iommu_msi_find_iova(domain: string, doorbell: Doorbell): Thread<DmaAddr | null> {
  const dmi = yield* load<string | null>(domain, 'msi_cookie', 'dmi');
  const iovad = yield* load<string | null>(domain, 'iova_cookie', 'iovad');
  if (dmi === null || iovad === null) return null;
  const { offset, base } = aligned(doorbell);
  yield* lock(`${dmi}->lock`);
  const mapping = yield* search_msi_doorbell_mapping(dmi, doorbell.addr, doorbell.size);
  yield* unlock(`${dmi}->lock`);
  if (mapping === null) return null;
  return plus(mapping.iova, BigInt(base) - BigInt(mapping.addr) + offset);
}

interface Mapping extends Doorbell {
  readonly name: string;
  readonly iova: DmaAddr;
}

/** The first mapping that has all of the range; with dmi->lock held. */
function* search_msi_doorbell_mapping(
  dmi: string,
  addr: DmaAddr,
  size: number,
): Thread<Mapping | null> {
  for (let name: string | null = null; ;) {
    name = yield* listNext(dmi, 'list', name);
    if (name === null) return null;
    const base: DmaAddr = yield* load<DmaAddr>(name, 'addr');
    if (isBelow(addr, base)) continue;
    const length: number = yield* load<number>(name, 'size');
    if (isBelow(plus(base, length), plus(addr, size))) continue;
    const iova: DmaAddr = yield* load<DmaAddr>(name, 'iova');
    return { name, addr: base, size: length, iova };
  }
}

/** aligned_base, offset and binding_size: of whole granules. */
function aligned({ addr, size }: Doorbell) {
  const granule = BigInt(GRANULE);
  const offset = BigInt(addr) % granule;
  const whole = ((offset + BigInt(size) + granule - 1n) / granule) * granule;
  return { offset, base: plus(addr, -offset), size: Number(whole) };
}

export function* alloc_iova(iovad: string, size: number): Thread<DmaAddr | null> {
  const event = { type: 'alloc', size } satisfies IovaEvent;
  const reply = yield* send(iovad, event, `iova = alloc_iova(iovad, ${pages(size)})`);
  return (reply as Extract<IovaReply, { type: 'iova' }>).iova;
}

export function* free_iova(iovad: string, iova: DmaAddr): Thread<void> {
  yield* send(iovad, { type: 'free', iova } satisfies IovaEvent, `free_iova(iovad, ${iova})`);
}

/** iommu_map: io-pgtable does not map over what is mapped. */
export function* iommu_map(
  m: Pick<MsiDomain, 'domain' | 'budget'>,
  iova: DmaAddr,
  paddr: DmaAddr,
  size: number,
): Thread<number> {
  if (m.budget !== undefined && (yield* mayFail(m.budget, 'iommu_map() returns -ENOMEM'))) {
    return -ENOMEM;
  }
  const event = { type: 'map', iova, paddr, size } satisfies PageTableEvent;
  const reply = yield* send(
    pageTableOf(m.domain),
    event,
    `iommu_map(${m.domain}, ${iova} -> ${paddr})`,
  );
  return (reply as Extract<PageTableReply, { type: 'mapped' }>).ok ? 0 : -EEXIST;
}

export function* iommu_unmap(domain: string, iova: DmaAddr, size: number): Thread<void> {
  const event = { type: 'unmap', iova, size } satisfies PageTableEvent;
  yield* send(pageTableOf(domain), event, `iommu_unmap(${domain}, ${iova})`);
}

function pages(size: number): string {
  return size === GRANULE ? '1 page' : `${size / GRANULE} pages`;
}
