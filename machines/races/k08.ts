/** K08: an async probe binds its driver to a device that is deleted meanwhile. */

import { device_add, device_del } from '../kernel/driver-core.js';
import { kernelScenario } from '../kernel/kernel-scenario.js';
import type { KernelProfile } from '../profiles/profile.js';
import { profileByName } from '../profiles/timeline.js';
import type { Scenario } from '../scenario.js';
import { race } from './race.js';
import type { Race } from './race.js';

/** The rule that no driver binds after DEL_DEVICE came with the fix, and was whole with v5.9. */
const JUDGE = profileByName('v5.9')!;

function asyncProbe(profile: KernelProfile): Scenario {
  return kernelScenario({
    name: 'k08',
    story: 'A device is added and deleted, and its driver is probed by an async worker.',
    profile,
    judgedAs: JUDGE,
    buses: { pci: { iommu: false } },
    devices: { d0: {} },
    drivers: { nvme: { async: true } },
    run: {
      hotplug: function* (k) {
        yield* device_add(k, 'd0');
        yield* device_del(k, 'd0');
      },
    },
  });
}

export const K08: Race = race({
  id: 'K08',
  title: 'Async probe binds after device_del',
  story:
    'device_add leaves the probe of an asynchronous driver to a worker. Nothing told the worker that device_del had begun meanwhile: it found a device without a driver and bound one, after the point at which device_del had looked for a driver to unbind. The fix marks the device as dead under its lock, before anybody is told that it goes, and the worker looks at the mark under the same lock.',
  commits: [
    {
      id: '3451a495ef24',
      subject:
        'driver core: Establish order of operations for device_add and device_del via bitflag',
      since: 'v5.1',
    },
  ],
  source: 'D K08, B.5, INV-07, INV-09',
  variants: [
    {
      name: 'bug',
      expected: 'violated',
      breaks: ['INV-07', 'INV-09'],
      kernel: 'v5.0',
      make: () => asyncProbe(profileByName('v5.0')!),
    },
    {
      name: 'fixed',
      expected: 'clean',
      kernel: '3451a495ef24 (v5.1)',
      make: () => asyncProbe(profileByName('v5.1')!),
    },
  ],
});
