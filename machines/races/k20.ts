import { iommu_release_device } from '../kernel/iommu-probe.js';
import { kernelScenario } from '../kernel/kernel-scenario.js';
import {
  VFIO_GROUP_ENTITIES,
  vfio_group_fops_release,
  vfio_unregister_group_dev,
} from '../kernel/vfio-group-lifetime.js';
import type { KernelProfile } from '../profiles/profile.js';
import { profileForVersion } from '../profiles/timeline.js';
import { race } from './race.js';
import type { Race } from './race.js';

const make = (profile: KernelProfile) => () =>
  kernelScenario({
    name: 'k20',
    profile,
    devices: { d0: { group: 'g0' } },
    domains: ['U'],
    groups: { g0: { domain: 'U', blocking_domain: 'B', owner: 'vfio', owner_cnt: 1, held: 1 } },
    entities: VFIO_GROUP_ENTITIES,
    run: {
      'hot unplug': function* (k) {
        yield* vfio_unregister_group_dev(k, 'd0');
        yield* iommu_release_device(k, 'd0');
      },
      'close(group)': (k) => vfio_group_fops_release(k, 'g0', 'U'),
    },
  });

/** D K20. */
export const K20: Race = race({
  id: 'K20',
  title: 'detach_group on a device already released by the driver',
  story:
    "A device that vfio drives is unplugged while a process has the group open. vfio lets the device go all the same, and the IOMMU driver forgets it. Then the process closes the group, which is to give the device, still on the group's list, back to the core's domain: the driver does not know it any more.",
  commits: [
    {
      id: 'ca5f21b25749',
      subject: 'vfio: Follow a strict lifetime for struct iommu_group',
      since: 'v6.2',
    },
  ],
  source: 'D K20, INV-25',
  variants: [
    {
      name: 'bug',
      expected: 'violated',
      breaks: ['INV-25'],
      kernel: 'v6.1',
      make: make(profileForVersion([6, 1])),
    },
    {
      name: 'fixed',
      expected: 'clean',
      kernel: 'ca5f21b25749 (v6.2)',
      make: make(profileForVersion([6, 2])),
    },
  ],
});
