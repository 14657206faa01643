/**
 * Domains at a PASID of the devices of a group: drivers/iommu/iommu.c, v6.2 and later. Source: D
 * K39, INV-30.
 */

import { ENODEV } from '../errno.js';
import { send, trace } from '../step.js';
import type { Thread } from '../step.js';
import { LOG } from './entity-names.js';
import { devicesOf } from './group-members.js';
import type { Kernel } from './kernel.js';
import { load, store } from './memory.js';

/**
 * iommu_attach_device_pasid: every device of the group has the domain at the PASID, or none.
 *
 * @returns 0; the error of the first device that could not be attached
 */
export function* iommu_attach_device_pasid(
  k: Kernel,
  domain: string,
  group: string,
): Thread<number> {
  yield* trace({ type: 'function_call', fn: 'iommu_attach_device_pasid', domain });
  yield* k.lockGroup(group);
  const ret = yield* __iommu_set_group_pasid(k, domain, group);
  yield* k.unlockGroup(group);
  yield* trace({ type: 'function_return', fn: 'iommu_attach_device_pasid', ret });
  return ret;
}

function* __iommu_set_group_pasid(k: Kernel, domain: string, group: string): Thread<number> {
  const devices = yield* devicesOf(group);
  const done: string[] = [];
  for (const dev of devices) {
    if (yield* k.fails(`set_dev_pasid(${domain}, ${dev})`)) {
      // Until v6.9 also of devices to which the attach had not come.
      const undone = k.profile.pasidUndoesReached ? done : devices;
      for (const back of undone) yield* remove_dev_pasid(back);
      return -ENODEV;
    }
    yield* store(dev, 'pasid_domain', domain);
    done.push(dev);
  }
  return 0;
}

/** ops->remove_dev_pasid: an IOMMU driver looks for what it made when the PASID was set. */
function* remove_dev_pasid(dev: string): Thread<void> {
  if ((yield* load<string | null>(dev, 'pasid_domain')) === null) {
    const text = `remove_dev_pasid(${dev}), which has no domain at the PASID`;
    yield* send(LOG, { type: 'warn', rule: 'INV-30', text }, 'WARN_ON_ONCE(!dev_pasid)');
    return;
  }
  yield* store(dev, 'pasid_domain', null);
}
