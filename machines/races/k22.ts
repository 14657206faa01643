import { iommu_group_alloc, iommu_group_put } from '../kernel/iommu-group.js';
import { kernelScenario } from '../kernel/kernel-scenario.js';
import type { KernelProfile } from '../profiles/profile.js';
import { profileForVersion } from '../profiles/timeline.js';
import { race } from './race.js';
import type { Race } from './race.js';

const make = (profile: KernelProfile) => () =>
  kernelScenario({
    name: 'k22',
    profile,
    devices: { d0: { present: true } },
    spareGroups: 1,
    mayFail: true,
    run: {
      alloc: function* (k) {
        const group = yield* iommu_group_alloc(k);
        if (group !== null) yield* iommu_group_put(k, group);
      },
    },
  });

/** D K22. */
export const K22: Race = race({
  id: 'K22',
  title: 'Group leaked when attribute creation fails',
  story:
    'A new group is there, and one of its attributes in sysfs cannot be made. The caller is told that it gets no group, and so it puts no reference: nobody does, and the group stays for ever.',
  commits: [
    {
      id: '4daa861174d5',
      subject: 'iommu: Fix error unwind in iommu_group_alloc()',
      since: 'v6.3',
      cve: 'CVE-2023-53482',
    },
  ],
  source: 'D K22, A1.3 AL9, INV-19',
  variants: [
    {
      name: 'bug',
      expected: 'violated',
      breaks: ['INV-19'],
      kernel: 'v6.2',
      make: make(profileForVersion([6, 2])),
    },
    {
      name: 'fixed',
      expected: 'clean',
      kernel: '4daa861174d5 (v6.3)',
      make: make(profileForVersion([6, 3])),
    },
  ],
});
