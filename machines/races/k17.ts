/** K17: a driver uses DMA before the group of its device has a default domain. */

import { ENODEV } from '../errno.js';
import { iommu_device_use_default_domain } from '../kernel/dma-owner.js';
import { dma_map } from '../kernel/dma-map.js';
import { device_attach } from '../kernel/driver-core.js';
import { bus_iommu_probe, iommu_probe_device } from '../kernel/iommu-probe.js';
import { kernelScenario } from '../kernel/kernel-scenario.js';
import type { Kernel } from '../kernel/kernel.js';
import type { KernelProfile } from '../profiles/profile.js';
import { profileByName } from '../profiles/timeline.js';
import type { Scenario } from '../scenario.js';
import type { Thread } from '../step.js';
import { race } from './race.js';
import type { Race } from './race.js';

function clientBesideRegister(profile: KernelProfile): Scenario {
  return kernelScenario({
    name: 'k17',
    story: 'An IOMMU is registered while a device behind it is probed by its driver.',
    profile,
    buses: { platform: {} },
    devices: { d0: { bus: 'platform', present: true } },
    drivers: {
      mmc: {
        bus: 'platform',
        dmaConfigure: platform_dma_configure,
        probe: function* (dev, k) {
          yield* dma_map(k, dev);
          return 0;
        },
      },
    },
    run: {
      iommu_device_register: function* (k) {
        yield* bus_iommu_probe(k, 'platform');
        // The probe of the IOMMU's own driver succeeds.
        yield* k.triggerDeferred();
      },
      'device_attach(d0)': (k) => device_attach(k, 'd0'),
    },
  });
}

/** drivers/base/platform.c; of_iommu_configure takes in a device that its IOMMU has not yet met. */
function* platform_dma_configure(dev: string, k: Kernel): Thread<number> {
  const ret = yield* iommu_probe_device(k, dev);
  if (ret !== 0 && ret !== -ENODEV) return ret;
  return yield* iommu_device_use_default_domain(k, dev);
}

export const K17: Race = race({
  id: 'K17',
  title: 'Driver starts DMA before the default domain exists',
  story:
    'When an IOMMU is registered its devices join their groups one by one, and only then do the groups get their default domains. A driver that binds in between finds that the group is there and free to use. It maps its buffers as if nothing translated them, and they fault as soon as the domain is attached. The fix lets the driver try again later while there is no default domain.',
  commits: [
    {
      id: 'b46064a18810',
      subject: 'iommu: Handle race with default domain setup',
      since: 'v6.15',
    },
  ],
  source: 'D K17, C.1, INV-22',
  variants: [
    {
      name: 'bug',
      expected: 'violated',
      breaks: ['INV-22'],
      kernel: 'v6.14',
      make: () => clientBesideRegister(profileByName('v6.14')!),
    },
    {
      name: 'fixed',
      expected: 'clean',
      kernel: 'b46064a18810 (v6.15)',
      make: () => clientBesideRegister(profileByName('v6.15')!),
    },
  ],
});
