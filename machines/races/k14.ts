import { __iommu_probe_device } from '../kernel/iommu-probe.js';
import { kernelScenario } from '../kernel/kernel-scenario.js';
import { of_iommu_configure } from '../kernel/of-iommu.js';
import type { KernelProfile } from '../profiles/profile.js';
import { profileForVersion } from '../profiles/timeline.js';
import { race } from './race.js';
import type { Race } from './race.js';

const make = (profile: KernelProfile) => () =>
  kernelScenario({
    name: 'k14',
    profile,
    devices: { d0: { present: true, refused: true } },
    groups: { g0: { held: 1 } },
    run: {
      bus_iommu_probe: (k) => __iommu_probe_device(k, 'd0'),
      'deferred probe': (k) => of_iommu_configure(k, 'd0'),
    },
  });

/** D K14; a2e7e59a9426 as its log tells it. */
export const K14: Race = race({
  id: 'K14',
  title: 'dev->iommu freed on failed probe while another prober uses it',
  story:
    'The IOMMU driver refuses a device, and dev->iommu is freed. Meanwhile a deferred probe has loaded that pointer and goes on to read the fwspec behind it. To clear the pointer before the memory is freed narrows the window and does not close it: who has loaded the pointer still has it. A lock around the probe helps only when the reader takes it as well.',
  commits: [
    {
      id: 'b54240ad4943',
      subject: 'iommu: Fix potential use-after-free during probe',
      since: 'v5.17',
      cve: 'CVE-2022-48796',
    },
    { id: '01657bc14a39', subject: 'iommu: Avoid races around device probe', since: 'v6.2' },
    { id: 'a2e7e59a9426', subject: 'iommu: Avoid more races around device probe', since: 'v6.7' },
  ],
  source: 'D K14, INV-21',
  variants: [
    {
      name: 'bug',
      expected: 'violated',
      breaks: ['INV-21'],
      kernel: 'v5.16',
      make: make(profileForVersion([5, 16])),
    },
    {
      name: 'bug: pointer cleared first',
      expected: 'violated',
      breaks: ['INV-21'],
      kernel: 'b54240ad4943 (v5.17)',
      make: make(profileForVersion([5, 17])),
    },
    {
      name: 'bug: probe locked, reader not',
      expected: 'violated',
      breaks: ['INV-21'],
      kernel: '01657bc14a39 (v6.2)',
      make: make(profileForVersion([6, 2])),
    },
    {
      name: 'fixed',
      expected: 'clean',
      kernel: 'a2e7e59a9426 (v6.7)',
      make: make(profileForVersion([6, 7])),
    },
  ],
});
