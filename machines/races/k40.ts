/** K40: managed DMA memory is freed after the DMA ops that it came from are gone. */

import { ENODEV } from '../errno.js';
import { dmam_alloc_coherent } from '../kernel/devres.js';
import { device_driver_attach, device_release_driver } from '../kernel/driver-core.js';
import { kernelScenario } from '../kernel/kernel-scenario.js';
import type { Kernel } from '../kernel/kernel.js';
import type { KernelProfile } from '../profiles/profile.js';
import { profileByName } from '../profiles/timeline.js';
import type { Scenario } from '../scenario.js';
import type { Thread } from '../step.js';
import { race } from './race.js';
import type { Race } from './race.js';

/** A driver that takes managed memory binds, and is unbound. */
function unbind(profile: KernelProfile): Scenario {
  return managedMemory(profile, 'unbind', 0, function* (k) {
    yield* device_driver_attach(k, 'd0', 'sata');
    yield* device_release_driver(k, 'd0');
  });
}

/** The same driver, and its probe() fails when it has the memory. */
function failedProbe(profile: KernelProfile): Scenario {
  return managedMemory(profile, 'failed probe', -ENODEV, (k) =>
    device_driver_attach(k, 'd0', 'sata'),
  );
}

function managedMemory(
  profile: KernelProfile,
  how: string,
  probed: number,
  run: (k: Kernel) => Thread,
): Scenario {
  return kernelScenario({
    name: `k40-${how.replace(' ', '-')}`,
    story: `A driver takes managed DMA memory of a device behind an IOMMU: ${how}.`,
    profile,
    buses: { platform: { iommu: false } },
    devices: { d0: { bus: 'platform', present: true, dmaOps: 'iommu_ops' } },
    drivers: {
      sata: {
        bus: 'platform',
        probe: function* (dev, k) {
          yield* dmam_alloc_coherent(k, dev);
          return probed;
        },
      },
    },
    run: { [how]: run },
  });
}

export const K40: Race = race({
  id: 'K40',
  title: 'DMA teardown before devres release',
  story:
    'Memory that the driver core manages is freed when the driver has let go of its device. The DMA ops of the device were taken away before that, so memory that came from an IOMMU was given back as if there were none. What is taken last must be given back first. One commit turned the order round for an unbinding, and a second one for a probe that fails.',
  commits: [
    {
      id: '376991db4b64',
      subject: 'driver core: Postpone DMA tear-down until after devres release',
      since: 'v5.0',
    },
    {
      id: '0b777eee88d7',
      subject: 'driver core: Postpone DMA tear-down until after devres release for probe failure',
      since: 'v5.2',
    },
  ],
  source: 'D K40, B.2, INV-33',
  variants: [
    {
      name: 'bug: unbind',
      expected: 'violated',
      breaks: ['INV-33'],
      kernel: 'v4.20',
      make: () => unbind(profileByName('v4.20')!),
    },
    {
      name: 'fixed: unbind',
      expected: 'clean',
      kernel: '376991db4b64 (v5.0)',
      make: () => unbind(profileByName('v5.0')!),
    },
    {
      name: 'bug: failed probe',
      expected: 'violated',
      breaks: ['INV-33'],
      kernel: 'v5.1',
      make: () => failedProbe(profileByName('v5.1')!),
    },
    {
      name: 'fixed: failed probe',
      expected: 'clean',
      kernel: '0b777eee88d7 (v5.2)',
      make: () => failedProbe(profileByName('v5.2')!),
    },
  ],
});
