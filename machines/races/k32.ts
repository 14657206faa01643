/** K32: a driver binds to a PCI port after the drivers were unbound and before the port goes. */

import { device_attach } from '../kernel/driver-core.js';
import { kernelScenario } from '../kernel/kernel-scenario.js';
import type { Kernel } from '../kernel/kernel.js';
import {
  pciehp,
  pciEntities,
  pci_remove_bus_device,
  pci_stop_and_remove_bus_device,
  pci_stop_bus_device,
} from '../kernel/pci-remove.js';
import type { KernelProfile } from '../profiles/profile.js';
import { profileByName } from '../profiles/timeline.js';
import type { Scenario } from '../scenario.js';
import { join } from '../step.js';
import type { Thread } from '../step.js';
import { race } from './race.js';
import type { Race } from './race.js';

const ADDER = 'pci_bus_add_device(d0)';

/**
 * A port and a device beneath it go while the port's driver binds.
 *
 * @param inTheGap the port is not removed before its driver is bound: the gap is long enough
 */
function bindBesideRemove(profile: KernelProfile, inTheGap: boolean): Scenario {
  return kernelScenario({
    name: inTheGap ? 'k32-gap' : 'k32',
    story: 'A PCI port is hot-removed while pciehp binds to it.',
    profile,
    buses: { pci: { iommu: false } },
    devices: { d0: { present: true }, d1: { driver: 'nvme' } },
    drivers: { pciehp: { ...pciehp, matches: ['d0'] }, nvme: { matches: ['d1'] } },
    entities: pciEntities({ d0: { bus: 'bus 01', devices: ['d1'] }, d1: null }),
    run: {
      'hot remove': inTheGap ? removeAfterBind : (k) => pci_stop_and_remove_bus_device(k, 'd0'),
      [ADDER]: (k) => device_attach(k, 'd0'),
    },
  });
}

function* removeAfterBind(k: Kernel): Thread<void> {
  yield* pci_stop_bus_device(k, 'd0');
  yield* join(ADDER, 'pciehp has probed d0');
  yield* pci_remove_bus_device(k, 'd0');
}

const BEFORE = profileByName('v6.12')!;
const AFTER = profileByName('v6.13')!;

export const K32: Race = race({
  id: 'K32',
  title: 'Driver binds between PCI stop and remove',
  story:
    'Hot removal unbinds all drivers of a part of the hierarchy first and removes its devices then, and nothing keeps a driver from binding in between. The driver of a hotplug port makes a slot that points to the bus beneath the port. Bound that late, it is unbound only when the port itself is deleted, after that bus was freed. The fix gives the slot a reference on the bus; the gap is still there, and so is a probe that has looked up the bus and has no reference yet when the bus goes.',
  commits: [
    {
      id: 'c7acef99642b',
      subject: 'PCI: Fix use-after-free of slot->bus on hot remove',
      since: 'v6.13',
      cve: 'CVE-2024-53194',
    },
  ],
  source: 'D K32, B.2, INV-24',
  variants: [
    {
      name: 'bug',
      expected: 'violated',
      breaks: ['INV-24'],
      kernel: 'v6.12',
      make: () => bindBesideRemove(BEFORE, true),
    },
    {
      name: 'fixed',
      expected: 'clean',
      kernel: 'c7acef99642b (v6.13)',
      make: () => bindBesideRemove(AFTER, true),
    },
    {
      name: 'bug: the bus goes during the probe',
      expected: 'violated',
      breaks: ['INV-24'],
      kernel: 'v6.13',
      make: () => bindBesideRemove(AFTER, false),
    },
  ],
});
