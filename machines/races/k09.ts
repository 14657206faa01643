/** K09: the worker of deferred probes did not look at the dead flag. */

import { device_del } from '../kernel/driver-core.js';
import { kernelScenario } from '../kernel/kernel-scenario.js';
import type { KernelProfile } from '../profiles/profile.js';
import { profileByName } from '../profiles/timeline.js';
import type { Scenario } from '../scenario.js';
import { race } from './race.js';
import type { Race } from './race.js';

const JUDGE = profileByName('v5.9')!;

function deferredProbe(profile: KernelProfile): Scenario {
  return kernelScenario({
    name: 'k09',
    story: 'A device whose probe was deferred is deleted while the worker tries again.',
    profile,
    judgedAs: JUDGE,
    buses: { pci: { iommu: false } },
    devices: { d0: { present: true } },
    drivers: { nvme: {} },
    deferred: ['d0'],
    run: {
      'device_del(d0)': (k) => device_del(k, 'd0'),
      deferred_probe: (k) => k.deferred_probe_work_func(),
    },
  });
}

export const K09: Race = race({
  id: 'K09',
  title: 'Incomplete dead check (deferred probe path)',
  story:
    'The mark on a dead device was looked at by asynchronous probes and by a driver that is newly registered. The worker that retries deferred probes comes another way, through __device_attach, and bound drivers to devices that were being deleted. The fix puts the check there as well.',
  commits: [
    {
      id: '654888327e9f',
      subject: 'driver core: Avoid binding drivers to dead devices',
      since: 'v5.9',
    },
  ],
  source: 'D K09, B.5, INV-07, INV-09',
  variants: [
    {
      name: 'bug',
      expected: 'violated',
      breaks: ['INV-07', 'INV-09'],
      kernel: 'v5.8',
      make: () => deferredProbe(profileByName('v5.8')!),
    },
    {
      name: 'fixed',
      expected: 'clean',
      kernel: '654888327e9f (v5.9)',
      make: () => deferredProbe(profileByName('v5.9')!),
    },
  ],
});
