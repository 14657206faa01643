/**
 * What was merged instead of the MSI aperture of 2016: a domain is told one base, and gives the
 * pages of doorbells the IOVAs from there on. drivers/iommu/dma-iommu.c of v5.10. Source: A2.3.
 */

import { EEXIST, EINVAL, ENOMEM } from '../errno.js';
import { plus } from '../dma-addr.js';
import type { DmaAddr } from '../dma-addr.js';
import { GRANULE } from '../iova-domain.js';
import { NULL } from '../null-pointer.js';
import { mayFail } from '../step.js';
import type { Thread } from '../step.js';
import { kfree, kzalloc, listAdd, listDel, listNext, load, store } from './memory.js';

/** A region that a driver reserves for a device: IOMMU_RESV_MSI, IOMMU_RESV_SW_MSI. */
export interface ReservedRegion {
  readonly type: 'MSI' | 'SW_MSI' | 'DIRECT' | 'RESERVED';
  readonly start: DmaAddr;
}

/** Where arm-smmu puts its IOMMU_RESV_SW_MSI: MSI_IOVA_BASE. */
export const MSI_IOVA_BASE: DmaAddr = '0x8000000';

/** vfio_iommu_has_sw_msi: the base for iommu_get_msi_cookie; null where MSIs are not mapped. */
export function swMsiBase(regions: readonly ReservedRegion[]): DmaAddr | null {
  if (regions.some(({ type }) => type === 'MSI')) return null;
  return regions.find(({ type }) => type === 'SW_MSI')?.start ?? null;
}

/** The name of what a domain's iova_cookie points to. */
export function cookieStruct(domain: string): string {
  return `${domain}.cookie`;
}

/** iommu_get_msi_cookie of v4.11 and later. */
export function* iommu_get_msi_cookie(
  domain: string,
  base: DmaAddr,
  budget?: string,
): Thread<number> {
  if ((yield* load(domain, 'type')) !== 'UNMANAGED') return -EINVAL;
  if ((yield* load(domain, 'iova_cookie')) !== null) return -EEXIST;
  const cookie = cookieStruct(domain);
  if (!(yield* kzalloc(cookie, { fields: { msi_iova: base, msi_page_list: [] } }, budget))) {
    return -ENOMEM;
  }
  yield* store(domain, 'iova_cookie', cookie);
  return 0;
}

/** iommu_put_dma_cookie: the pages go with the cookie; what they map goes with the domain. */
export function* iommu_put_dma_cookie(domain: string): Thread<void> {
  const cookie = yield* load<string | null>(domain, 'iova_cookie', 'cookie');
  if (cookie === null) return;
  for (;;) {
    const page = yield* listNext(cookie, 'msi_page_list', null);
    if (page === null) break;
    yield* listDel(cookie, 'msi_page_list', page);
    yield* kfree(page);
  }
  yield* kfree(cookie);
  yield* store(domain, 'iova_cookie', null);
}

/**
 * iommu_dma_get_msi_page, with msi_prepare_lock held. Its scenario has a nullPointerMachine called
 * NULL.
 *
 * @param page what is allocated where the doorbell has none
 * @param doorbell its address
 * @returns the page; null where there is none: -ENOMEM
 */
export function* iommu_dma_get_msi_page(
  domain: string,
  page: string,
  doorbell: DmaAddr,
  budget?: string,
): Thread<string | null> {
  const cookie = (yield* load<string | null>(domain, 'iova_cookie', 'cookie')) ?? NULL;
  for (let known: string | null = null; ;) {
    known = yield* listNext(cookie, 'msi_page_list', known);
    if (known === null) break;
    if ((yield* load(known, 'phys')) === doorbell) return known;
  }
  if (!(yield* kzalloc(page, {}, budget))) return null;
  // iommu_dma_alloc_iova, and iommu_dma_free_iova where it is not mapped.
  const iova = yield* load<DmaAddr>(cookie, 'msi_iova', 'iova');
  yield* store(cookie, 'msi_iova', plus(iova, GRANULE));
  if (budget !== undefined && (yield* mayFail(budget, 'iommu_map() returns -ENOMEM'))) {
    yield* store(cookie, 'msi_iova', iova);
    yield* kfree(page);
    return null;
  }
  // iommu_map
  yield* store(domain, 'mapped', iova);
  yield* store(page, 'phys', doorbell);
  yield* store(page, 'iova', iova);
  yield* listAdd(cookie, 'msi_page_list', page);
  return page;
}
