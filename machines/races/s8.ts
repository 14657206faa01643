import { device_add } from '../kernel/driver-core.js';
import { kernelScenario } from '../kernel/kernel-scenario.js';
import { listenerCall } from '../kernel/notifier-chain.js';
import { membershipListenerMachine } from '../membership-listener.js';
import { listed } from '../object.js';
import type { ObjectMemory } from '../object.js';
import type { KernelProfile } from '../profiles/profile.js';
import { profileForVersion } from '../profiles/timeline.js';
import type { Invariant } from '../scenario.js';
import { race } from './race.js';
import type { Race } from './race.js';

/** A block that was registered after the IOMMU core's. */
const LATER = 'vgaarb';

/** INV-13, at rest: who was registered before device_add was called has heard of the device. */
const heardOf: Invariant = {
  id: 'INV-13',
  says: () => `d0 is on its bus, and ${LATER} was not told ADD_DEVICE`,
  entities: ['pci', LATER],
  when: 'end',
  holds: (view) => {
    const { heard } = view[LATER].context as { heard: Readonly<Record<string, string>> };
    return !listed(view.pci.context as ObjectMemory, 'devices').includes('d0') || 'd0' in heard;
  },
};

const make = (profile: KernelProfile) => () =>
  kernelScenario({
    name: 's8',
    profile,
    devices: { d0: { refused: true } },
    groups: { g0: { held: 1 } },
    blocks: { 'pci->bus_notifier': [{ block: LATER, call: listenerCall(LATER) }] },
    entities: { [LATER]: membershipListenerMachine },
    invariants: [heardOf],
    run: { device_add: (k) => device_add(k, 'd0') },
  });

/** D S8: D-A1-8. */
export const S8: Race = race({
  id: 'S8',
  title: 'An errno of add_device stops the bus chain (D-A1-8)',
  story:
    "The IOMMU core's block on a bus returns what add_device returned. Of a small negative errno the bit is set that tells a chain to stop. So when an IOMMU driver refuses a device, nobody behind the IOMMU core hears that the device was added.",
  commits: [],
  source: 'D S8, A1.3 BN2, A1.5 D-A1-8, INV-13, INV-41',
  variants: [
    {
      name: 'bug',
      expected: 'violated',
      breaks: ['INV-13'],
      kernel: 'v3.6',
      make: make(profileForVersion([3, 6])),
    },
    {
      name: 'fixed',
      expected: 'clean',
      kernel: 'v5.10',
      make: make(profileForVersion([5, 10])),
    },
  ],
});
