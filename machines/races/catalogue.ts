/** The scenarios that come with hotrace, by name. */

import { NEWEST, profileByName } from '../profiles/timeline.js';
import type { KernelProfile } from '../profiles/profile.js';
import type { Scenario } from '../scenario.js';
import { addRemove } from './add-remove.js';
import { addTwice } from './add-twice.js';
import { storm } from './storm.js';
import { chainCallback } from './chain-callback.js';
import { chainUnregister } from './chain-unregister.js';
import { registerTwice } from './register-twice.js';
import { unmapOrder } from './unmap-order.js';

export interface CatalogueEntry {
  readonly name: string;
  /** One line. */
  readonly about: string;
  /** It looks at the generation of the kernel. */
  readonly perKernel?: true;
  /** The generation that is explored where none is named; the newest where left out. */
  readonly kernel?: string;
  /** @param profile `kernel` where left out */
  make(profile?: KernelProfile): Scenario;
}

const V3_6 = profileByName('v3.6')!;

export const CATALOGUE: readonly CatalogueEntry[] = [
  {
    name: 'add-remove',
    about: 'iommu_group_add_device beside iommu_group_remove_device, as posted (P-A1-1)',
    make: () => addRemove(),
  },
  {
    name: 'add-remove-notify-first',
    about: 'the same, notified before list_add (ALT-A1-a)',
    make: () => addRemove({ variant: 'notify first' }),
  },
  {
    name: 'add-remove-group-mutex',
    about: 'both under group->mutex, with a listener that takes it (ALT-A1-b, b1)',
    make: () => addRemove({ variant: 'under group->mutex', walks: true }),
  },
  {
    name: 'add-remove-second-mutex',
    about: 'both under a second mutex, with the same listener (ALT-A1-b, b2)',
    make: () => addRemove({ variant: 'under a second mutex', walks: true }),
  },
  {
    name: 'add-remove-serialised',
    about: 'as posted, and callers serialise adding and removing (P-A1-2)',
    make: () => addRemove({ serialised: true }),
  },
  {
    name: 'add-twice',
    about: 'an IOMMU comes to a bus while a device does, which is added twice (P-A1-3)',
    perKernel: true,
    kernel: 'v3.6',
    make: (profile = V3_6) => addTwice(false)(profile),
  },
  {
    name: 'add-twice-checked',
    about: 'the same, where dev->iommu_group is looked at before (P-A1-4)',
    perKernel: true,
    kernel: 'v3.6',
    make: (profile = V3_6) => addTwice(true)(profile),
  },
  {
    name: 'storm',
    about: 'four devices, each added and removed at the same time, two listeners: a yardstick',
    make: () => storm(4, 'remembers'),
  },
  {
    name: 'chain-unregister-raw',
    about: 'a block leaves a raw chain that is being called, and is freed (B.1.3, INV-17)',
    perKernel: true,
    make: (profile = NEWEST) => chainUnregister({ kind: 'raw', profile }),
  },
  {
    name: 'chain-unregister-raw-locked',
    about: 'the same, where the callers lock',
    perKernel: true,
    make: (profile = NEWEST) => chainUnregister({ kind: 'raw', profile, locked: true }),
  },
  {
    name: 'chain-unregister-blocking',
    about: 'the same on a blocking chain',
    perKernel: true,
    make: (profile = NEWEST) => chainUnregister({ kind: 'blocking', profile }),
  },
  {
    name: 'chain-register-twice',
    about: 'two threads register the same block on a blocking chain (B.1.1, K05)',
    perKernel: true,
    make: (profile = NEWEST) => registerTwice(profile),
  },
  {
    name: 'chain-callback-unregister',
    about: 'a callback unregisters from the blocking chain that calls it (K03)',
    perKernel: true,
    make: (profile = NEWEST) => chainCallback({ profile, does: 'unregister' }),
  },
  {
    name: 'chain-callback-unregister-worker',
    about: 'the same in a worker, as 811642d8d8a8 has it (K03)',
    perKernel: true,
    make: (profile = NEWEST) =>
      chainCallback({ profile, does: 'unregister', inWorker: true, writer: true }),
  },
  {
    name: 'chain-callback-call',
    about: 'a callback calls its own chain while somebody registers (B.1.4)',
    perKernel: true,
    make: (profile = NEWEST) => chainCallback({ profile, does: 'call', writer: true }),
  },
  {
    name: 'unmap-then-invalidate',
    about: 'a page is unmapped, the IOTLB invalidated, the page freed, while a device reads (A3)',
    make: () => unmapOrder({ first: 'unmap', waits: true }),
  },
  {
    name: 'unmap-without-wait',
    about: 'the same, and nobody waits for the invalidation (A3, K26)',
    make: () => unmapOrder({ first: 'unmap', waits: false }),
  },
  {
    name: 'invalidate-then-unmap',
    about: 'the other order: the IOTLB caches the translation again (A3)',
    make: () => unmapOrder({ first: 'invalidate', waits: true }),
  },
];
