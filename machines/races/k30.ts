/** K30: an async probe that is run at once waits for the device_lock of who schedules it. */

import { device_add, driver_register } from '../kernel/driver-core.js';
import { kernelScenario } from '../kernel/kernel-scenario.js';
import type { KernelProfile } from '../profiles/profile.js';
import { profileByName } from '../profiles/timeline.js';
import type { Scenario } from '../scenario.js';
import { race } from './race.js';
import type { Race } from './race.js';

/** __device_attach: the driver is there, and the device comes. */
function deviceComes(profile: KernelProfile): Scenario {
  return kernelScenario({
    name: 'k30-device',
    story: 'A device is added whose driver is probed asynchronously; one thing may fail.',
    profile,
    buses: { pci: { iommu: false } },
    devices: { d0: {} },
    drivers: { nvme: { async: true } },
    mayFail: true,
    run: { 'device_add(d0)': (k) => device_add(k, 'd0') },
  });
}

/** __driver_attach: the device is there, and the driver comes. */
function driverComes(profile: KernelProfile): Scenario {
  return kernelScenario({
    name: 'k30-driver',
    story: 'A driver is registered that is probed asynchronously; one thing may fail.',
    profile,
    buses: { pci: { iommu: false } },
    devices: { d0: { present: true } },
    drivers: { nvme: { async: true, registered: false } },
    mayFail: true,
    run: { 'insmod nvme': (k) => driver_register(k, 'nvme') },
  });
}

export const K30: Race = race({
  id: 'K30',
  title: 'Async work executed synchronously under device_lock (A-A deadlock)',
  story:
    'A probe that is left to a worker takes the lock of its device there. Where there is no memory to remember the work, async_schedule does it at once, in the thread that asked. That thread held the lock of the same device, so it waited for itself. The fixes schedule the work after the lock is released, first for a device that comes and then for a driver that comes.',
  commits: [
    {
      id: 'b232b02bf3c2',
      subject: 'driver core: fix deadlock in __device_attach',
      since: 'v5.19',
      cve: 'CVE-2022-49371',
    },
    {
      id: '70fe758352ca',
      subject: 'driver core: fix potential deadlock in __driver_attach',
      since: 'v6.0',
      cve: 'CVE-2022-50149',
    },
  ],
  source: 'D K30, B.5, INV-16',
  variants: [
    {
      name: 'bug: __device_attach',
      expected: 'violated',
      breaks: ['deadlock'],
      kernel: 'v5.18',
      make: () => deviceComes(profileByName('v5.18')!),
    },
    {
      name: 'fixed: __device_attach',
      expected: 'clean',
      kernel: 'b232b02bf3c2 (v5.19)',
      make: () => deviceComes(profileByName('v5.19')!),
    },
    {
      name: 'bug: __driver_attach',
      expected: 'violated',
      breaks: ['deadlock'],
      kernel: 'v5.19',
      make: () => driverComes(profileByName('v5.19')!),
    },
    {
      name: 'fixed: __driver_attach',
      expected: 'clean',
      kernel: '70fe758352ca (v6.0)',
      make: () => driverComes(profileByName('v6.0')!),
    },
  ],
});
