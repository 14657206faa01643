import { iommu_probe_device, iommu_release_device } from '../kernel/iommu-probe.js';
import { kernelScenario } from '../kernel/kernel-scenario.js';
import type { Kernel } from '../kernel/kernel.js';
import { iommu_group_store_type } from '../kernel/store-type.js';
import type { StoreTypeVariant } from '../kernel/store-type.js';
import type { KernelProfile } from '../profiles/profile.js';
import { profileForVersion } from '../profiles/timeline.js';
import type { Thread } from '../step.js';
import { race } from './race.js';
import type { Race } from './race.js';

const OLD = profileForVersion([6, 3]);
const NEW = profileForVersion([6, 4]);

/** device_del: the release comes with REMOVED_DEVICE, and nobody holds device_lock then. */
const released = (k: Kernel) => iommu_release_device(k, 'd0');

/** The path that the comment in iommu_group_store_type names: a release with device_lock held. */
function* releaseLocked(k: Kernel): Thread<void> {
  yield* k.lock('d0');
  yield* iommu_release_device(k, 'd0');
  yield* k.unlock('d0');
}

const unplug =
  (profile: KernelProfile, variant?: StoreTypeVariant, release = releaseLocked) =>
  () =>
    kernelScenario({
      name: 'k23-unplug',
      profile,
      devices: { d0: { group: 'g0' } },
      groups: { g0: { held: 1 } },
      run: {
        'write(type)': (k) => iommu_group_store_type(k, 'g0', variant),
        'hot unplug': release,
      },
    });

const plug = (profile: KernelProfile, variant?: StoreTypeVariant) => () =>
  kernelScenario({
    name: 'k23-plug',
    profile,
    devices: { d0: { group: 'g0', alias: 'id 1' }, d1: { present: true, alias: 'id 1' } },
    groups: { g0: { held: 1 } },
    spareGroups: 0,
    run: {
      'write(type)': (k) => iommu_group_store_type(k, 'g0', variant),
      'hot plug': (k) => iommu_probe_device(k, 'd1'),
    },
  });

/** D K23. */
export const K23: Race = race({
  id: 'K23',
  title: 'device_lock vs group->mutex',
  story:
    "Somebody writes the type of a group while its device is unplugged. Who changes the group's domain needs to know that no driver is bound, so it takes device_lock; who releases the device has that lock and needs group->mutex. Until v6.3 the mutex was given up and taken again in the right order. Then what was read before must be checked again: a device that left meanwhile would be attached though its driver has forgotten it, and one that joined would stay on the domain that is freed. A release that holds no device_lock is not kept out by all that: since v6.4 it holds the mutex from the driver to the list.",
  commits: [
    {
      id: 'dba9ca9d41f5',
      subject: 'iommu: Same critical region for device release and removal',
      since: 'v6.4',
    },
    {
      id: '49a22aae7d9c',
      subject: 'iommu: Replace device_lock() with group->mutex',
      since: 'v6.4',
    },
  ],
  source: 'D K23, C.1, INV-16, INV-26',
  variants: [
    {
      name: 'bug: device_lock inside',
      expected: 'violated',
      breaks: ['deadlock'],
      kernel: 'v6.3 with device_lock under group->mutex',
      make: unplug(OLD, 'device_lock under group->mutex'),
    },
    {
      name: 'bug: not checked again, unplug',
      expected: 'violated',
      breaks: ['INV-25'],
      kernel: 'v6.3 without re-validation',
      make: unplug(OLD, 'without re-validation'),
    },
    {
      name: 'bug: not checked again, plug',
      expected: 'violated',
      breaks: ['INV-11', 'INV-20'],
      kernel: 'v6.3 without re-validation',
      make: plug(OLD, 'without re-validation'),
    },
    {
      name: 'bug: released outside',
      expected: 'violated',
      breaks: ['INV-20', 'INV-25'],
      kernel: 'v6.3, released without device_lock',
      make: unplug(OLD, undefined, released),
    },
    { name: 'fixed: retakes, unplug', expected: 'clean', kernel: 'v6.3', make: unplug(OLD) },
    { name: 'fixed: retakes, plug', expected: 'clean', kernel: 'v6.3', make: plug(OLD) },
    {
      name: 'fixed: mutex alone, unplug',
      expected: 'clean',
      kernel: '49a22aae7d9c (v6.4)',
      make: unplug(NEW),
    },
    {
      name: 'fixed: released inside',
      expected: 'clean',
      kernel: 'dba9ca9d41f5 (v6.4), released without device_lock',
      make: unplug(NEW, undefined, released),
    },
    {
      name: 'fixed: mutex alone, plug',
      expected: 'clean',
      kernel: '49a22aae7d9c (v6.4)',
      make: plug(NEW),
    },
  ],
});
