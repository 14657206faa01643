import { iommu_probe_device } from '../kernel/iommu-probe.js';
import { kernelScenario } from '../kernel/kernel-scenario.js';
import { get } from '../kernel/memory.js';
import type { KernelProfile } from '../profiles/profile.js';
import { profileForVersion } from '../profiles/timeline.js';
import { race } from './race.js';
import type { Race } from './race.js';

const make = (profile: KernelProfile) => () =>
  kernelScenario({
    name: 'k11',
    profile,
    devices: { d0: { present: true }, d1: { present: true } },
    groups: { g0: { default_domain: null, domain: null, held: 1 } },
    spareGroups: 0,
    // Firmware says which group it is, so that nobody has to find or make one (K12).
    deviceGroup: function* () {
      yield* get('g0');
      return 'g0';
    },
    run: {
      'probe d0': (k) => iommu_probe_device(k, 'd0'),
      'probe d1': (k) => iommu_probe_device(k, 'd1'),
    },
  });

/** D K11. */
export const K11: Race = race({
  id: 'K11',
  title: 'Default domain allocated twice',
  story:
    'Two devices of one group are probed at the same time. Both find that the group has no default domain, and each makes one; the second overwrites the pointer to the first. The devices end on different domains, and DMA of one of them faults.',
  commits: [
    {
      id: '211ff31b3d33',
      subject: 'iommu: Fix race condition during default domain allocation',
      since: 'v5.15',
    },
  ],
  source: 'D K11, INV-10, INV-11',
  variants: [
    {
      name: 'bug',
      expected: 'violated',
      breaks: ['INV-10', 'INV-11'],
      kernel: 'v5.14',
      make: make(profileForVersion([5, 14])),
    },
    {
      name: 'fixed',
      expected: 'clean',
      kernel: '211ff31b3d33 (v5.15)',
      make: make(profileForVersion([5, 15])),
    },
  ],
});
