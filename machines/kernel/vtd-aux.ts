/**
 * Auxiliary domains of VT-d: drivers/iommu/intel/iommu.c, v5.10 and v5.11. A parent device has a PASID
 * table, in which each auxiliary domain that is attached to it has an entry. Source: A4.1, A4.3, K27.
 */

import { EINVAL, ENODEV, ENOMEM, EPERM } from '../errno.js';
import { lock, mayFail, send, unlock } from '../step.js';
import type { Thread } from '../step.js';
import type { PasidReply } from '../pasid-allocator.js';
import { kfree_nodes, list_add, list_del, list_empty, list_find } from './list.js';
import { container_of } from './list.js';
import { add, kfree, kzalloc, load, nextName, store } from './memory.js';
import { printk } from './printk.js';

export const DEVICE_DOMAIN_LOCK = 'device_domain_lock';
export const AUX_LISTS = 'lists';
export const AUX_IOASIDS = 'ioasids';
export const AUX_LOG = 'dmesg';
/** What may still be allocated. */
export const VTD = 'vt-d';

/** How the driver does it. */
export interface VtdCode {
  /** How it remembers what is attached: the domain has one node, or there is one for each pair (v5.11). */
  readonly links: 'one node' | 'counted';
  /** When the PASID is freed: before its entry is torn down, or after (v5.11). */
  readonly freesPasid: 'before its entry' | 'after its entry';
  /** default_pasid is reset when the PASID is freed (D-A4-3). */
  readonly resetsPasid: boolean;
}

export const VTD_5_10: VtdCode = {
  links: 'one node',
  freesPasid: 'before its entry',
  resetsPasid: false,
};

/** 18abda7a2d55 */
export const VTD_5_11: VtdCode = {
  links: 'counted',
  freesPasid: 'after its entry',
  resetsPasid: false,
};

/** As proposed on the list in January 2022; the code was removed in v5.18. */
export const VTD_REPAIRED: VtdCode = { ...VTD_5_11, resetsPasid: true };

/** The IOMMU driver, with the names of what it acts on. */
export interface Vtd {
  readonly code: VtdCode;
  /** The entity that says how many faults are left; undefined: nothing fails. */
  readonly budget?: string;
}

/** The field of a parent that is its PASID entry. */
export function auxEntryOf(pasid: number): string {
  return `pasid_table[${pasid}]`;
}

/** is_aux_domain: the device has IOMMU_DEV_FEAT_AUX enabled and the domain is unmanaged. */
function* is_aux_domain(dev: string, domain: string): Thread<boolean> {
  if (!(yield* load<boolean>(dev, 'auxd_enabled'))) return false;
  return (yield* load(domain, 'type')) === 'unmanaged';
}

/** intel_iommu_attach_device: an mdev is behind no IOMMU. Returns 0; -EPERM; -ENODEV. */
export function* intel_iommu_attach_device(vtd: Vtd, domain: string, dev: string): Thread<number> {
  if (yield* is_aux_domain(dev, domain)) return -EPERM;
  if ((yield* load(dev, 'iommu')) === null) return -ENODEV;
  if (yield* fails(vtd, `attach_dev(${domain}, ${dev})`)) return -ENODEV;
  yield* store(dev, 'domain', domain);
  return 0;
}

/** intel_iommu_detach_device */
export function* intel_iommu_detach_device(_vtd: Vtd, dev: string): Thread<void> {
  yield* store(dev, 'domain', null);
}

/** intel_iommu_aux_attach_device. Returns 0; -EPERM: no auxiliary domain; -ENODEV; -ENOMEM. */
export function* intel_iommu_aux_attach_device(
  vtd: Vtd,
  domain: string,
  dev: string,
): Thread<number> {
  if (!(yield* is_aux_domain(dev, domain))) return -EPERM;
  return yield* aux_domain_add_dev(vtd, domain, dev);
}

/** intel_iommu_aux_detach_device */
export function* intel_iommu_aux_detach_device(
  vtd: Vtd,
  domain: string,
  dev: string,
): Thread<void> {
  if (yield* is_aux_domain(dev, domain)) yield* aux_domain_remove_dev(vtd, domain, dev);
}

/** intel_iommu_aux_get_pasid: domain->default_pasid where it is above 0, else -EINVAL. */
export function* intel_iommu_aux_get_pasid(_vtd: Vtd, domain: string): Thread<number> {
  const pasid = yield* load<number>(domain, 'default_pasid');
  return pasid > 0 ? pasid : -EINVAL;
}

function* aux_domain_add_dev(vtd: Vtd, domain: string, dev: string): Thread<number> {
  // No lock here: who attaches one domain twice at once makes two PASIDs.
  if ((yield* load<number>(domain, 'default_pasid')) <= 0) {
    const pasid = yield* ioasid_alloc(domain);
    if (pasid === 0) {
      yield* printk(AUX_LOG, 'pr_err', "Can't allocate default pasid");
      return -ENODEV;
    }
    yield* store(domain, 'default_pasid', pasid);
  }
  yield* lock(DEVICE_DOMAIN_LOCK);
  const ret =
    vtd.code.links === 'counted'
      ? yield* addCounted(vtd, domain, dev)
      : yield* addOneNode(vtd, domain, dev);
  yield* unlock(DEVICE_DOMAIN_LOCK);
  if (ret !== 0 && !(yield* isAttached(vtd, domain))) yield* freePasid(vtd, domain);
  return ret;
}

function* addOneNode(vtd: Vtd, domain: string, dev: string): Thread<number> {
  const ret = yield* setupEntry(vtd, domain, dev);
  if (ret !== 0) return ret;
  yield* add(domain, 'auxd_refcnt', 1);
  yield* list_add(AUX_LISTS, `${domain}->auxd`, `${dev}->auxiliary_domains`);
  return 0;
}

function* addCounted(vtd: Vtd, domain: string, dev: string): Thread<number> {
  const users = yield* auxiliary_link_device(domain, dev);
  if (users > 1) return 0;
  const ret = yield* setupEntry(vtd, domain, dev);
  if (ret !== 0) yield* auxiliary_unlink_device(domain, dev);
  return ret;
}

/** domain_attach_iommu and intel_pasid_setup_second_level, under iommu->lock. */
function* setupEntry(vtd: Vtd, domain: string, dev: string): Thread<number> {
  if (yield* fails(vtd, `aux attach(${domain}, ${dev})`)) return -ENOMEM;
  const pasid = yield* load<number>(domain, 'default_pasid');
  yield* store(dev, auxEntryOf(pasid), domain);
  return 0;
}

/** intel_pasid_tear_down_entry and domain_detach_iommu, under iommu->lock. */
function* tearDownEntry(domain: string, dev: string): Thread<void> {
  const pasid = yield* load<number>(domain, 'default_pasid');
  yield* store(dev, auxEntryOf(pasid), null);
}

function* aux_domain_remove_dev(vtd: Vtd, domain: string, dev: string): Thread<void> {
  const { code } = vtd;
  yield* lock(DEVICE_DOMAIN_LOCK);
  const left =
    code.links === 'counted'
      ? yield* auxiliary_unlink_device(domain, dev)
      : yield* unlinkOneNode(domain);
  if (code.freesPasid === 'before its entry' && left === 0) yield* freePasid(vtd, domain);
  if (code.links === 'one node' || left === 0) yield* tearDownEntry(domain, dev);
  yield* unlock(DEVICE_DOMAIN_LOCK);
  if (code.freesPasid === 'after its entry' && !(yield* isAttached(vtd, domain))) {
    yield* freePasid(vtd, domain);
  }
}

/** auxiliary_unlink_device of v5.10. Returns how often the domain is attached still. */
function* unlinkOneNode(domain: string): Thread<number> {
  yield* list_del(AUX_LISTS, `${domain}->auxd`);
  return (yield* add(domain, 'auxd_refcnt', -1)) - 1;
}

/** auxiliary_link_device of v5.11. Returns how often the pair is attached now. */
function* auxiliary_link_device(domain: string, dev: string): Thread<number> {
  let sinfo = yield* lookup_subdev_info(domain, dev);
  if (sinfo === null) {
    sinfo = yield* nextName(VTD, 'spare sinfo');
    yield* kzalloc(sinfo, { fields: { pdev: dev, users: 0 } });
    yield* list_add(AUX_LISTS, `${sinfo}->link_phys`, `${dev}->subdevices`);
    yield* list_add(AUX_LISTS, `${sinfo}->link_domain`, `${domain}->subdevices`);
  }
  return (yield* add(sinfo, 'users', 1)) + 1;
}

/** auxiliary_unlink_device of v5.11. Returns how often the pair is attached still. */
function* auxiliary_unlink_device(domain: string, dev: string): Thread<number> {
  const sinfo = yield* lookup_subdev_info(domain, dev);
  // WARN_ON
  if (sinfo === null) return -EINVAL;
  const users = (yield* add(sinfo, 'users', -1)) - 1;
  if (users === 0) {
    yield* list_del(AUX_LISTS, `${sinfo}->link_phys`);
    yield* list_del(AUX_LISTS, `${sinfo}->link_domain`);
    yield* kfree_nodes(AUX_LISTS, sinfo, `kfree(${sinfo}): its list_heads`);
    yield* kfree(sinfo);
  }
  return users;
}

function* lookup_subdev_info(domain: string, dev: string): Thread<string | null> {
  const node = yield* list_find(AUX_LISTS, `${domain}->subdevices`, function* (each) {
    return (yield* load(container_of(each), 'pdev')) === dev;
  });
  return node === null ? null : container_of(node);
}

/** Whether the domain is attached to any parent. */
function* isAttached({ code }: Vtd, domain: string): Thread<boolean> {
  return code.links === 'counted'
    ? !(yield* list_empty(AUX_LISTS, `${domain}->subdevices`))
    : (yield* load<number>(domain, 'auxd_refcnt')) > 0;
}

function* freePasid({ code }: Vtd, domain: string): Thread<void> {
  const pasid = yield* load<number>(domain, 'default_pasid');
  if (pasid <= 0) return;
  yield* send(AUX_IOASIDS, { type: 'free', pasid }, `ioasid_free(${pasid})`);
  if (code.resetsPasid) yield* store(domain, 'default_pasid', 0);
}

function* ioasid_alloc(owner: string): Thread<number> {
  const event = { type: 'alloc', owner };
  const label = `ioasid_alloc() for ${owner}`;
  return (yield* send<PasidReply>(AUX_IOASIDS, event, label)).pasid;
}

function* fails({ budget }: Vtd, what: string): Thread<boolean> {
  return budget === undefined ? false : yield* mayFail(budget, `${what} fails`);
}
