/**
 * An MSI of a device behind an IOMMU: the doorbell's page is mapped, and its IOVA is written into the
 * message. drivers/iommu/dma-iommu.c and iommu.c, kernel/irq/msi.c. Source: K25, A2.
 */

import type { DmaAddr } from '../dma-addr.js';
import { lock, unlock } from '../step.js';
import type { Thread } from '../step.js';
import { kfree, load, store } from './memory.js';
import { iommu_dma_get_msi_page, iommu_put_dma_cookie } from './msi-cookie.js';

/**
 * What the descriptor keeps: a pointer to the page that the domain owns; the page's IOVA
 * (1f7df3a69174); the same, prepared under group->mutex (288683c92b1a).
 */
export type MsiCookie = 'pointer' | 'IOVA' | 'IOVA, under group->mutex';

/** The names of what it is about. */
export interface MsiDevice {
  readonly cookie: MsiCookie;
  /** struct iommu_group: domain. */
  readonly group: string;
  /** group->mutex */
  readonly mutex: string;
  /** The static msi_prepare_lock. */
  readonly prepareLock: string;
  /** struct msi_desc: iommu_cookie or iommu_msi_iova. */
  readonly desc: string;
  /** What the device was told: address. */
  readonly message: string;
  /**
   * struct iommufd_ctx: sw_msi, the IOVA of the doorbell, the same in all of its domains. From
   * 288683c92b1a on.
   */
  readonly ictx: string;
  /** Its doorbell. */
  readonly doorbell: DmaAddr;
  /** struct iommu_dma_msi_page of a domain: phys, iova. */
  page(domain: string): string;
  /** The IOVA that iommufd gives the doorbell where it has none: sw_msi_start. */
  iova(domain: string): DmaAddr;
}

/** iommu_dma_prepare_msi: maps the doorbell in the domain that the device is attached to. */
export function* iommu_dma_prepare_msi(m: MsiDevice): Thread<void> {
  if (m.cookie === 'IOVA, under group->mutex') {
    yield* lock(m.mutex);
    const attached = yield* load<string>(m.group, 'domain', 'domain');
    const iova = yield* iommufd_sw_msi(m, attached);
    yield* store(m.desc, 'iommu_msi_iova', iova);
    yield* unlock(m.mutex);
    return;
  }
  // iommu_get_domain_for_dev: nothing keeps the domain.
  const domain = yield* load<string>(m.group, 'domain', 'domain');
  if ((yield* load(domain, 'iova_cookie')) === null) return;
  yield* lock(m.prepareLock);
  const page = yield* iommu_dma_get_msi_page(domain, m.page(domain), m.doorbell);
  yield* unlock(m.prepareLock);
  if (page === null) return;
  if (m.cookie === 'pointer') yield* store(m.desc, 'iommu_cookie', page);
  else yield* store(m.desc, 'iommu_msi_iova', yield* load(page, 'iova', 'iova'));
}

/** iommufd_sw_msi: the domain gets the IOVA that all of them have. */
function* iommufd_sw_msi(m: MsiDevice, domain: string): Thread<string> {
  const known = yield* load<string | null>(m.ictx, 'sw_msi', 'iova');
  const iova = known ?? m.iova(domain);
  if (known === null) yield* store(m.ictx, 'sw_msi', iova);
  yield* store(domain, 'mapped', iova);
  return iova;
}

/** iommu_dma_compose_msi_msg, later msi_msg_set_addr: the message goes to the device. */
export function* iommu_dma_compose_msi_msg(m: MsiDevice): Thread<void> {
  if (m.cookie !== 'pointer') {
    yield* store(m.message, 'address', yield* load(m.desc, 'iommu_msi_iova', 'iova'));
    return;
  }
  const domain = yield* load<string>(m.group, 'domain', 'domain');
  if ((yield* load(domain, 'iova_cookie')) === null) return;
  const page = yield* load<string | null>(m.desc, 'iommu_cookie', 'page');
  // WARN_ON(!msi_page)
  if (page === null) return;
  yield* store(m.message, 'address', yield* load(page, 'iova', 'iova'));
}

/**
 * iommufd replaces the domain of the group. From 288683c92b1a on what the group needs for its MSIs
 * is mapped in the new one before.
 */
export function* iommu_replace_group_handle(m: MsiDevice, domain: string): Thread<void> {
  yield* lock(m.mutex);
  if (m.cookie === 'IOVA, under group->mutex') {
    const iova = yield* load<string | null>(m.ictx, 'sw_msi', 'iova');
    if (iova !== null) yield* store(domain, 'mapped', iova);
  }
  yield* store(m.group, 'domain', domain);
  yield* unlock(m.mutex);
}

/** iommu_domain_free with iommu_put_dma_cookie: the pages go with the domain. */
export function* iommu_domain_free(domain: string): Thread<void> {
  yield* iommu_put_dma_cookie(domain);
  yield* kfree(domain);
}
