/**
 * Auxiliary domains of groups: drivers/iommu/iommu.c of v5.10, the calls that were posted in 2020 and
 * what their reviewers proposed instead. A member of a group of mediated devices has no DMA of its own:
 * its parent device does it. Source: A4.
 */

import { EBUSY, EINVAL } from '../errno.js';
import { lock, unlock } from '../step.js';
import type { Thread } from '../step.js';
import { devicesOf, eachDevice } from './group-members.js';
import { load, store } from './memory.js';
import { printk } from './printk.js';
import {
  AUX_LOG,
  intel_iommu_attach_device,
  intel_iommu_aux_attach_device,
  intel_iommu_aux_detach_device,
  intel_iommu_aux_get_pasid,
  intel_iommu_detach_device,
} from './vtd-aux.js';
import type { Vtd } from './vtd-aux.js';

/** The core, and the IOMMU driver below it. */
export interface AuxCore {
  readonly vtd: Vtd;
  /** A group with an auxiliary domain refuses iommu_attach_group: v2 had it, v3 not (D-A4-1). */
  readonly guardsGroup: boolean;
}

/** group->mutex */
export function mutexOf(group: string): string {
  return `${group}->mutex`;
}

/** iommu_aux_attach_device of v5.10: group->domain stays what it is. */
export function* iommu_aux_attach_device(
  core: AuxCore,
  domain: string,
  dev: string,
): Thread<number> {
  return yield* intel_iommu_aux_attach_device(core.vtd, domain, dev);
}

/** iommu_aux_detach_device */
export function* iommu_aux_detach_device(core: AuxCore, domain: string, dev: string): Thread<void> {
  yield* intel_iommu_aux_detach_device(core.vtd, domain, dev);
}

/** iommu_aux_get_pasid. Returns the PASID that the parent is to use, or a negative errno. */
export function* iommu_aux_get_pasid(core: AuxCore, domain: string): Thread<number> {
  return yield* intel_iommu_aux_get_pasid(core.vtd, domain);
}

/** iommu_get_domain_for_dev: that of its group, null for none. */
export function* iommu_get_domain_for_dev(dev: string): Thread<string | null> {
  const group = yield* load<string>(dev, 'iommu_group', 'group');
  return yield* load<string | null>(group, 'domain');
}

/** iommu_dev_feature_enabled(dev, IOMMU_DEV_FEAT_AUX) */
function* hasAux(dev: string): Thread<boolean> {
  return yield* load<boolean>(dev, 'auxd_enabled');
}

/** iommu_attach_group of v5.10. Returns 0; -EBUSY; -EINVAL: refused; the first error of a device. */
export function* iommu_attach_group(core: AuxCore, domain: string, group: string): Thread<number> {
  yield* lock(mutexOf(group));
  const ret = yield* __iommu_attach_group(core, domain, group);
  yield* unlock(mutexOf(group));
  return ret;
}

function* __iommu_attach_group(core: AuxCore, domain: string, group: string): Thread<number> {
  if (core.guardsGroup && (yield* load(group, 'aux_domain_attached'))) return -EINVAL;
  const fallback = yield* load<string | null>(group, 'default_domain');
  if (fallback !== null && (yield* load(group, 'domain')) !== fallback) return -EBUSY;
  const attach = (dev: string) => intel_iommu_attach_device(core.vtd, domain, dev);
  const ret = yield* eachDevice(group, attach);
  if (ret === 0) yield* store(group, 'domain', domain);
  return ret;
}

/** mdev_get_iommu_device: what vfio looks up. Returns null for none. */
export function* vfio_mdev_get_iommu_device(dev: string): Thread<string | null> {
  return yield* load<string | null>(dev, 'iommu_device');
}

/** One way to attach an auxiliary domain to a group, and to detach it. */
export interface AuxApi {
  /** `v3`, `ALT-1` */
  readonly name: string;
  /** Fields that it adds to structs of the core. */
  readonly adds: readonly string[];
  readonly guardsGroup: boolean;
  /** Returns 0 or a negative errno. */
  readonly attach: (core: AuxCore, domain: string, group: string) => Thread<number>;
  readonly detach: (core: AuxCore, domain: string, group: string) => Thread<void>;
}

/** What is done for one member. */
interface OneMember {
  readonly attach: (core: AuxCore, domain: string, dev: string) => Thread<number>;
  readonly detach: (core: AuxCore, domain: string, dev: string) => Thread<void>;
}

/** vfio_mdev_attach_domain and vfio_mdev_detach_domain: the parent, with or without FEAT_AUX. */
const VFIO_MDEV: OneMember = {
  *attach(core, domain, dev) {
    const parent = yield* vfio_mdev_get_iommu_device(dev);
    return parent === null ? -EINVAL : yield* attachParent(core, domain, parent);
  },
  *detach(core, domain, dev) {
    const parent = yield* vfio_mdev_get_iommu_device(dev);
    if (parent !== null) yield* detachParent(core, domain, parent);
  },
};

function* attachParent(core: AuxCore, domain: string, parent: string): Thread<number> {
  if (yield* hasAux(parent)) return yield* iommu_aux_attach_device(core, domain, parent);
  return yield* intel_iommu_attach_device(core.vtd, domain, parent);
}

function* detachParent(core: AuxCore, domain: string, parent: string): Thread<void> {
  if (yield* hasAux(parent)) yield* iommu_aux_detach_device(core, domain, parent);
  else yield* intel_iommu_detach_device(core.vtd, parent);
}

/** v5.10: VFIO walks the group itself, and group->domain is private to the core. */
export const VFIO_5_10: AuxApi = {
  name: 'v5.10',
  adds: [],
  guardsGroup: false,
  *attach(core, domain, group) {
    yield* lock(mutexOf(group));
    const ret = yield* eachDevice(group, (dev) => VFIO_MDEV.attach(core, domain, dev));
    yield* unlock(mutexOf(group));
    return ret;
  },
  *detach(core, domain, group) {
    yield* lock(mutexOf(group));
    for (const dev of yield* devicesOf(group)) yield* VFIO_MDEV.detach(core, domain, dev);
    yield* unlock(mutexOf(group));
  },
};

/**
 * v2: iommu_aux_attach_device is given the member too, and sets the domain of its group under
 * group->mutex, which its caller has from iommu_group_for_each_dev.
 */
export const V2: AuxApi = {
  name: 'v2',
  adds: ['aux_domain_attached'],
  guardsGroup: true,
  *attach(core, domain, group) {
    yield* lock(mutexOf(group));
    const ret = yield* eachDevice(group, function* (dev) {
      const parent = yield* vfio_mdev_get_iommu_device(dev);
      if (parent === null) return -EINVAL;
      yield* lock(mutexOf(group));
      const attached = yield* iommu_aux_attach_device(core, domain, parent);
      if (attached === 0) yield* setDomain(group, domain);
      yield* unlock(mutexOf(group));
      return attached;
    });
    yield* unlock(mutexOf(group));
    return ret;
  },
  *detach(core, domain, group) {
    yield* lock(mutexOf(group));
    for (const dev of yield* devicesOf(group)) {
      yield* lock(mutexOf(group));
      const parent = yield* vfio_mdev_get_iommu_device(dev);
      if (parent !== null) yield* iommu_aux_detach_device(core, domain, parent);
      yield* clearDomain(group);
      yield* unlock(mutexOf(group));
    }
    yield* unlock(mutexOf(group));
  },
};

function* setDomain(group: string, domain: string): Thread<void> {
  yield* store(group, 'domain', domain);
  yield* store(group, 'aux_domain_attached', true);
}

function* clearDomain(group: string): Thread<void> {
  yield* store(group, 'aux_domain_attached', false);
  yield* store(group, 'domain', null);
}

/** v3, XA1–XA5: one call for one parent, which VFIO takes from the first member. */
export const V3: AuxApi = {
  name: 'v3',
  adds: ['aux_domain_attached'],
  guardsGroup: false,
  *attach(core, domain, group) {
    const dev = yield* parentOfGroup(group);
    yield* lock(mutexOf(group));
    let ret = -EBUSY;
    if ((yield* load(group, 'domain')) === null) {
      ret = yield* iommu_aux_attach_device(core, domain, dev);
      if (ret === 0) yield* setDomain(group, domain);
    }
    yield* unlock(mutexOf(group));
    return ret;
  },
  *detach(core, domain, group) {
    const dev = yield* parentOfGroup(group);
    yield* lock(mutexOf(group));
    const attached = yield* load(group, 'aux_domain_attached');
    if (attached !== true || (yield* load(group, 'domain')) !== domain) {
      const text = 'WARN_ON(!group->aux_domain_attached || group->domain != domain)';
      yield* printk(AUX_LOG, 'WARN', text);
    } else {
      yield* iommu_aux_detach_device(core, domain, dev);
      yield* clearDomain(group);
    }
    yield* unlock(mutexOf(group));
  },
};

/** vfio_group->iommu_device: set when its first member was added. */
function* parentOfGroup(group: string): Thread<string> {
  return yield* load<string>(group, 'iommu_device', 'vfio_group->iommu_device');
}

interface WalkOptions {
  readonly adds?: readonly string[];
  /** A failure takes back what was done. */
  readonly undoes?: boolean;
  /** iommu_attach_group is refused meanwhile. */
  readonly guards?: boolean;
}

/** Under group->mutex, for every member; a failure leaves what was done unless it is undone. */
function eachMember(
  name: string,
  member: OneMember,
  { adds = [], undoes = false, guards = false }: WalkOptions = {},
): AuxApi {
  return {
    name,
    adds,
    guardsGroup: guards,
    *attach(core, domain, group) {
      yield* lock(mutexOf(group));
      let ret = -EBUSY;
      if ((yield* load(group, 'domain')) === null) {
        const done: string[] = [];
        ret = yield* eachDevice(group, function* (dev) {
          const attached = yield* member.attach(core, domain, dev);
          if (attached === 0) done.push(dev);
          return attached;
        });
        if (ret === 0) {
          yield* store(group, 'domain', domain);
          if (guards) yield* store(group, 'aux_domain_attached', true);
        } else if (undoes) {
          for (const dev of done) yield* member.detach(core, domain, dev);
        }
      }
      yield* unlock(mutexOf(group));
      return ret;
    },
    *detach(core, domain, group) {
      yield* lock(mutexOf(group));
      for (const dev of yield* devicesOf(group)) yield* member.detach(core, domain, dev);
      yield* store(group, 'domain', null);
      if (guards) yield* store(group, 'aux_domain_attached', false);
      yield* unlock(mutexOf(group));
    },
  };
}

const LOOKED_UP: OneMember = {
  *attach(core, domain, dev) {
    const parent = yield* vfio_mdev_get_iommu_device(dev);
    return parent === null ? -EINVAL : yield* iommu_aux_attach_device(core, domain, parent);
  },
  *detach(core, domain, dev) {
    const parent = yield* vfio_mdev_get_iommu_device(dev);
    if (parent !== null) yield* iommu_aux_detach_device(core, domain, parent);
  },
};

/** ALT-1: the caller gives a function that finds the parent of a member. */
export const ALT_1 = eachMember('ALT-1', LOOKED_UP);

/** ALT-2: iommu_attach_group_with_lookup, which looks at FEAT_AUX as VFIO did. */
export const ALT_2 = eachMember('ALT-2', VFIO_MDEV);

/** ALT-2 with what the review asked of any of them, and that no posted version had. */
export const ALT_2_WHOLE = eachMember('ALT-2, whole', VFIO_MDEV, {
  adds: ['aux_domain_attached'],
  undoes: true,
  guards: true,
});

/** The struct group_device of a member. */
export function gdevOf(dev: string): string {
  return `group_device(${dev})`;
}

/** ALT-3: iommu_group_add_device is given the parent, and group_device keeps it. */
export const ALT_3 = eachMember(
  'ALT-3',
  {
    *attach(core, domain, dev) {
      const alias = yield* load<string | null>(gdevOf(dev), 'dma_alias');
      if (alias !== null) return yield* attachParent(core, domain, alias);
      return yield* intel_iommu_attach_device(core.vtd, domain, dev);
    },
    *detach(core, domain, dev) {
      const alias = yield* load<string | null>(gdevOf(dev), 'dma_alias');
      if (alias !== null) yield* detachParent(core, domain, alias);
      else yield* intel_iommu_detach_device(core.vtd, dev);
    },
  },
  { adds: ['dma_alias'] },
);

/** ALT-3 as quoted: it looks at a field of the group, and drops what the calls return (D-A4-2). */
export const ALT_3_QUOTED = eachMember(
  'ALT-3 as quoted',
  {
    *attach(core, domain, dev) {
      const group = yield* load<string>(dev, 'iommu_group', 'group');
      const alias = yield* load<string | null>(group, 'dma_alias');
      if (alias !== null) yield* attachParent(core, domain, alias);
      else yield* intel_iommu_attach_device(core.vtd, domain, dev);
      return 0;
    },
    *detach(core, domain, dev) {
      const group = yield* load<string>(dev, 'iommu_group', 'group');
      const alias = yield* load<string | null>(group, 'dma_alias');
      if (alias !== null) yield* detachParent(core, domain, alias);
      else yield* intel_iommu_detach_device(core.vtd, dev);
    },
  },
  { adds: ['dma_alias'] },
);

/** In the order in which they came up. */
export const AUX_APIS: readonly AuxApi[] = [
  VFIO_5_10,
  V2,
  V3,
  ALT_1,
  ALT_2,
  ALT_3_QUOTED,
  ALT_3,
  ALT_2_WHOLE,
];
