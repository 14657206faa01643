/** K10: a driver probes a device before device_add has told anybody of it. */

import { dma_map } from '../kernel/dma-map.js';
import { device_add, driver_register } from '../kernel/driver-core.js';
import { kernelScenario } from '../kernel/kernel-scenario.js';
import type { KernelProfile } from '../profiles/profile.js';
import { profileByName } from '../profiles/timeline.js';
import type { Scenario } from '../scenario.js';
import { race } from './race.js';
import type { Race } from './race.js';

function earlyProbe(profile: KernelProfile): Scenario {
  return kernelScenario({
    name: 'k10',
    story: 'A device is added while a driver for it is registered; the driver uses DMA.',
    profile,
    devices: { d0: {} },
    drivers: {
      nvme: {
        registered: false,
        probe: function* (dev, k) {
          yield* dma_map(k, dev);
          return 0;
        },
      },
    },
    run: {
      'device_add(d0)': (k) => device_add(k, 'd0'),
      'insmod nvme': (k) => driver_register(k, 'nvme'),
    },
  });
}

export const K10: Race = race({
  id: 'K10',
  title: 'Probe before device_add finished (BIND before ADD possible)',
  story:
    'device_add puts a device on the list of its bus some steps before it notifies ADD_DEVICE. A driver that is registered in between walks that list, finds the device and binds to it. So listeners hear of the driver before they hear of the device, and as the IOMMU core is one of them, the driver uses DMA of a device that is in no group. The fix refuses a probe until device_add says that the device is ready.',
  commits: [
    {
      id: 'a2225b6e834a',
      subject: "driver core: Don't let a device probe until it's ready",
      since: 'v7.1',
    },
  ],
  source: 'D K10, B.5, INV-01b, INV-06',
  variants: [
    {
      name: 'bug',
      expected: 'violated',
      breaks: ['INV-01b', 'INV-06'],
      kernel: 'v7.0',
      make: () => earlyProbe(profileByName('v7.0')!),
    },
    {
      name: 'fixed',
      expected: 'clean',
      kernel: 'a2225b6e834a (v7.1)',
      make: () => earlyProbe(profileByName('v7.1')!),
    },
  ],
});
