import { arm_smmu_device_group, SMMU_ENTITIES } from '../kernel/arm-smmu.js';
import { __iommu_probe_device } from '../kernel/iommu-probe.js';
import { kernelScenario } from '../kernel/kernel-scenario.js';
import type { KernelProfile } from '../profiles/profile.js';
import { profileForVersion } from '../profiles/timeline.js';
import { race } from './race.js';
import type { Race } from './race.js';

const make = (profile: KernelProfile) => () =>
  kernelScenario({
    name: 'k12',
    profile,
    devices: {
      d0: { present: true, alias: 'stream id 1' },
      d1: { present: true, alias: 'stream id 1' },
    },
    deviceGroup: arm_smmu_device_group,
    entities: SMMU_ENTITIES,
    run: {
      'probe d0': (k) => __iommu_probe_device(k, 'd0'),
      'probe d1': (k) => __iommu_probe_device(k, 'd1'),
    },
  });

/** D K12. */
export const K12: Race = race({
  id: 'K12',
  title: 'Two groups for one stream id',
  story:
    'Two devices that an SMMU cannot tell apart are probed at the same time. Each finds no group in the entry of their stream id and makes one of its own. What is mapped for one group is then open to a device in another.',
  commits: [
    {
      id: 'b1a1347912a7',
      subject: 'iommu/arm-smmu: Fix race condition during iommu_group creation',
      since: 'v5.15',
    },
  ],
  source: 'D K12, INV-12',
  variants: [
    {
      name: 'bug',
      expected: 'violated',
      breaks: ['INV-12'],
      kernel: 'v5.14',
      make: make(profileForVersion([5, 14])),
    },
    {
      name: 'fixed',
      expected: 'clean',
      kernel: 'b1a1347912a7 (v5.15)',
      make: make(profileForVersion([5, 15])),
    },
  ],
});
