/**
 * Three mistakes of vfio's listener about when it is called. They follow from the IOMMU core taking
 * a device out of its group at the bus's DEL_DEVICE, before the driver is unbound (BN3), and from
 * the callback being unregistered without vfio.group_lock. Source: D K43, INV-05, INV-13, INV-24.
 */

import { kfree, load, store } from '../kernel/memory.js';
import { notifier_call_chain } from '../kernel/notifier-chain.js';
import { vfio_del_group_dev, vfio_device_put } from '../kernel/vfio.js';
import type { Vfio } from '../kernel/vfio.js';
import { struct } from '../object.js';
import { profileByName } from '../profiles/timeline.js';
import type { Scenario } from '../scenario.js';
import type { Thread } from '../step.js';
import { race } from './race.js';
import type { Race } from './race.js';
import { vfioGroup } from './vfio-group.js';

/** d0, which vfio-pci has, is deleted. */
function deleted(kernel: string, open: boolean): Scenario {
  const { v, entities } = vfioGroup(profileByName(kernel)!, { deviceFiles: open ? 1 : 0 });
  return {
    name: `K43 ${kernel}, d0 is deleted${open ? ' and open' : ''}`,
    story: 'A device that vfio-pci is bound to is deleted: DEL_DEVICE comes before remove().',
    entities: { ...entities, vdev: struct({ fields: { refcnt: 1 } }) },
    threads: {
      'device_del(d0)': () => device_del(v, 'd0'),
      ...(open ? { 'close(device fd)': () => vfio_device_fops_release(v, 'd0') } : {}),
    },
  };
}

/** v3.6: BUS_NOTIFY_DEL_DEVICE is iommu_group_remove_device; the driver is unbound after it. */
function* device_del(v: Vfio, dev: string): Thread<void> {
  yield* notifier_call_chain(v.chain, 'DEL_DEVICE', { dev });
  yield* store(dev, 'iommu_group', null);
  yield* vfio_del_group_dev(v, dev);
  // vfio_pci_remove
  yield* kfree('vdev');
  yield* store(dev, 'driver', null);
}

/** device->ops->release(device_data) of vfio-pci, and the reference of the file. */
function* vfio_device_fops_release(v: Vfio, dev: string): Thread<void> {
  yield* load('vdev', 'refcnt');
  yield* vfio_device_put(v, v.device(dev));
}

/** d0 leaves vfio, which releases the group, while d1 is unbound from its driver. */
function released(kernel: string): Scenario {
  const { v, entities } = vfioGroup(profileByName(kernel)!);
  return {
    name: `K43 ${kernel}, the group is released`,
    story: 'The group is notified while vfio has taken it off its list and not unregistered yet.',
    entities,
    threads: {
      'UNBOUND_DRIVER of d1': () => notifier_call_chain(v.chain, 'UNBOUND_DRIVER', { dev: 'd1' }),
      'vfio_del_group_dev(d0)': () => vfio_del_group_dev(v, 'd0'),
    },
  };
}

export const K43: Race = race({
  id: 'K43',
  title: 'vfio group-notifier ordering bugs of the E1 era',
  story:
    "At the group's DEL_DEVICE vfio took a device that it still knew for one removed under its user, and warned; but the notification comes before the removal and before the driver's remove() (INV-05). " +
    'That remove() waits until the device is not in use, and looked for it by dev->iommu_group, which is NULL by then: it returned at once, the driver freed its data, and the open file used it (INV-24). ' +
    'A group that is released is taken off the list first and unregistered then; a notification in between is due (INV-13), and vfio warned that it was not.',
  // Of unverified ids.
  commits: [],
  source: 'D K43, INV-05, INV-13, INV-24',
  variants: [
    {
      name: 'bug: DEL_DEVICE taken for the end',
      expected: 'violated',
      breaks: ['INV-05'],
      kernel: 'v3.9',
      make: () => deleted('v3.9', false),
    },
    {
      name: 'fixed: DEL_DEVICE taken for the end',
      expected: 'clean',
      kernel: 'v3.10',
      make: () => deleted('v3.10', false),
    },
    {
      name: 'bug: vfio_dev_present after DEL_DEVICE',
      expected: 'violated',
      breaks: ['INV-24'],
      kernel: 'v3.10',
      make: () => deleted('v3.10', true),
    },
    {
      name: 'fixed: vfio_dev_present after DEL_DEVICE',
      expected: 'clean',
      kernel: 'v3.11',
      make: () => deleted('v3.11', true),
    },
    {
      name: 'bug: notification of a group off the list',
      expected: 'violated',
      breaks: ['INV-13'],
      kernel: 'v3.9',
      make: () => released('v3.9'),
    },
    {
      name: 'fixed: notification of a group off the list',
      expected: 'clean',
      kernel: 'v4.13; fixed in v3.10, which has K03',
      make: () => released('v4.13'),
    },
  ],
});
