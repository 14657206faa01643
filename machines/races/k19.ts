import { iommu_release_device } from '../kernel/iommu-probe.js';
import { kernelScenario } from '../kernel/kernel-scenario.js';
import type { KernelProfile } from '../profiles/profile.js';
import { profileForVersion } from '../profiles/timeline.js';
import { race } from './race.js';
import type { Race } from './race.js';

const fixed = profileForVersion([5, 8]);

const make = (profile: KernelProfile) => () =>
  kernelScenario({
    name: 'k19',
    profile,
    devices: { d0: { group: 'g0' } },
    run: { device_del: (k) => iommu_release_device(k, 'd0') },
  });

/** D K19. */
export const K19: Race = race({
  id: 'K19',
  title: 'release_device after the group (and its domain) was freed',
  story:
    'The last device of a group goes. The core takes it out of the group first, which frees the group and with it the default domain. Then it tells the IOMMU driver, which takes the device off the domain that it still knows it on. Nothing races: one thread is enough.',
  commits: [
    {
      id: '9ac8545199a1',
      subject: 'iommu: Fix use-after-free in iommu_release_device',
      since: 'v5.8',
    },
  ],
  source: 'D K19, INV-20, INV-24',
  variants: [
    {
      name: 'bug',
      expected: 'violated',
      breaks: ['INV-20'],
      kernel: 'v5.8 without 9ac8545199a1',
      make: make({ ...fixed, releasesBeforeGroup: false }),
    },
    { name: 'fixed', expected: 'clean', kernel: '9ac8545199a1 (v5.8)', make: make(fixed) },
  ],
});
