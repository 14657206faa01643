import { probe_iommu_group } from '../kernel/iommu-probe.js';
import { kernelScenario } from '../kernel/kernel-scenario.js';
import type { Kernel } from '../kernel/kernel.js';
import { get } from '../kernel/memory.js';
import { replay_iommu_probe } from '../kernel/of-iommu.js';
import type { KernelProfile } from '../profiles/profile.js';
import { profileForVersion } from '../profiles/timeline.js';
import type { Thread } from '../step.js';
import { race } from './race.js';
import type { Race } from './race.js';

type Callers = Readonly<Record<string, (k: Kernel) => Thread>>;

const SCAN_AND_REPLAY: Callers = {
  'scan of instance A': (k) => probe_iommu_group(k, 'd0'),
  'replay of firmware': (k) => replay_iommu_probe(k, 'd0'),
};
const ALL: Callers = {
  ...SCAN_AND_REPLAY,
  'scan of instance B': (k) => probe_iommu_group(k, 'd0'),
};

const make = (profile: KernelProfile, run: Callers) => () =>
  kernelScenario({
    name: 'k15',
    profile,
    devices: { d0: { present: true } },
    groups: { g0: { held: 1 } },
    spareGroups: 0,
    spareParams: 2,
    // Firmware says which group it is, so that nobody has to find or make one (K12).
    deviceGroup: function* () {
      yield* get('g0');
      return 'g0';
    },
    run,
  });

/** D K15. */
export const K15: Race = race({
  id: 'K15',
  title: 'The same device probed twice (seed 004\'s "adding a device twice")',
  story:
    'Two IOMMU instances that register scan the bus, and firmware code replays the probe of a device: three ways to probe one device, and each looks without a lock whether it is in a group. All can find that it is not. The driver is asked twice; who finds the link there already undoes its probe and frees the dev->iommu of the one that was first. With a lock the second comes after the first, and yet asks the driver again, until the look too is under the lock.',
  commits: [
    { id: '01657bc14a39', subject: 'iommu: Avoid races around device probe', since: 'v6.2' },
    {
      id: '6eb4da8cf545',
      subject: 'iommu: Have __iommu_probe_device() check for already probed devices',
      since: 'v6.6',
    },
  ],
  source: 'D K15, P-A1-3, INV-02, INV-21',
  variants: [
    {
      name: 'bug',
      expected: 'violated',
      breaks: ['INV-02', 'INV-21'],
      kernel: 'v6.1',
      make: make(profileForVersion([6, 1]), SCAN_AND_REPLAY),
    },
    {
      name: 'bug: locked, looked before',
      expected: 'violated',
      breaks: ['INV-02'],
      kernel: '01657bc14a39 (v6.2)',
      make: make(profileForVersion([6, 2]), ALL),
    },
    {
      name: 'fixed',
      expected: 'clean',
      kernel: '6eb4da8cf545 (v6.6)',
      make: make(profileForVersion([6, 6]), ALL),
    },
  ],
});
