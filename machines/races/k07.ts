/** K07: DRIVER_NOT_BOUND of a driver of which nobody heard that it binds. */

import { device_driver_attach } from '../kernel/driver-core.js';
import { kernelScenario } from '../kernel/kernel-scenario.js';
import { add } from '../kernel/memory.js';
import type { NotifierCall } from '../kernel/notifier-chain.js';
import { struct } from '../object.js';
import type { ObjectMemory } from '../object.js';
import type { KernelProfile } from '../profiles/profile.js';
import { profileByName } from '../profiles/timeline.js';
import type { Invariant, Scenario } from '../scenario.js';
import { race } from './race.js';
import type { Race } from './race.js';

const JUDGE = profileByName('v5.17')!;
const CLOCK = 'clk';

/** A driver binds, and one thing may fail on the way; a listener may count along. */
function failingProbe(profile: KernelProfile, counts: boolean): Scenario {
  const nb = { block: 'clk_nb', call: clk_notify };
  return kernelScenario({
    name: counts ? 'k07-clock' : 'k07',
    story: 'A driver is bound to a device, and one thing may fail on the way.',
    profile,
    // Who counts needs no rule of a later kernel to see that it is wrong.
    ...(counts ? {} : { judgedAs: JUDGE }),
    buses: { platform: { iommu: false } },
    devices: { d0: { bus: 'platform', present: true } },
    drivers: { uart: { bus: 'platform' } },
    ...(counts ? { blocks: { 'platform->bus_notifier': [nb] } } : {}),
    entities: counts ? { [CLOCK]: struct({ fields: { enable_count: 0 } }) } : {},
    invariants: counts ? [ENABLED_FIRST] : [],
    mayFail: true,
    run: { 'bind d0': (k) => device_driver_attach(k, 'd0', 'uart') },
  });
}

/** The clock of a device runs from BIND_DRIVER on, until its driver is unbound or did not bind. */
const clk_notify: NotifierCall = function* ({ action }) {
  if (action === 'BIND_DRIVER') yield* add(CLOCK, 'enable_count', 1);
  if (action === 'DRIVER_NOT_BOUND' || action === 'UNBOUND_DRIVER') {
    yield* add(CLOCK, 'enable_count', -1);
  }
  return 0;
};

const ENABLED_FIRST: Invariant = {
  id: 'INV-08',
  entities: [CLOCK],
  says: () => 'the clock is disabled more often than it was enabled',
  holds: (view) => Number((view[CLOCK].context as ObjectMemory).fields.enable_count) >= 0,
};

const BEFORE = profileByName('v5.16')!;

export const K07: Race = race({
  id: 'K07',
  title: 'DRIVER_NOT_BOUND without BIND_DRIVER',
  story:
    'really_probe configures the DMA of a device before it tells the bus that a driver binds. Where that failed, it went to the end of a failed probe all the same, which tells that the driver was not bound. A listener that undoes at the end what it did at the beginning then undoes what it never did. One thread is enough.',
  commits: [
    {
      id: '885e50253bfd',
      subject: 'driver core: Move driver_sysfs_remove() after driver_sysfs_add()',
      since: 'v5.17',
    },
    {
      id: '00eb74ea2c14',
      subject: 'driver core: Make bus notifiers in right order in really_probe()',
      since: 'v5.17',
    },
  ],
  source: 'D K07, B.2 RP2, B.3, INV-08',
  variants: [
    {
      name: 'bug',
      expected: 'violated',
      breaks: ['INV-08'],
      kernel: 'v5.16',
      make: () => failingProbe(BEFORE, false),
    },
    {
      name: 'fixed',
      expected: 'clean',
      kernel: '00eb74ea2c14 (v5.17)',
      make: () => failingProbe(JUDGE, false),
    },
    {
      name: 'bug: a listener counts',
      expected: 'violated',
      breaks: ['INV-08'],
      kernel: 'v5.16',
      make: () => failingProbe(BEFORE, true),
    },
    {
      name: 'fixed: a listener counts',
      expected: 'clean',
      kernel: '00eb74ea2c14 (v5.17)',
      make: () => failingProbe(JUDGE, true),
    },
  ],
});
