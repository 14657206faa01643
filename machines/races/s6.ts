/** IOASID allocators that come and go while others register and allocate. Source: S6, D-A5-1 to 3. */

import { REPAIRED } from '../kernel/ioasid.js';
import { allocates, ioasidScenario, registers, unregisters } from '../kernel/ioasid-scenario.js';
import type { IoasidSetup } from '../kernel/ioasid-scenario.js';
import type { Scenario } from '../scenario.js';
import { race } from './race.js';
import type { Race } from './race.js';

export const S6: Race = race({
  id: 'S6',
  title: 'Lists and ops of IOASID allocators corrupted by hotplug',
  story:
    'Two IOMMUs register ops with the same helpers. One driver probes again and registers what is registered, the other IOMMU is removed, and somebody allocates. Everything is under one spinlock, and every call does its work whole: what breaks the lists and leaves ops behind is what the calls do, in any order.',
  commits: [
    {
      id: '99b5726b4423',
      subject: 'iommu: Remove ioasid infrastructure',
      since: 'v6.4',
    },
  ],
  source: 'D S6, A5.3 D-A5-1, D-A5-2, D-A5-3, INV-24, INV-32',
  variants: [
    {
      name: 'bug: the first registers again',
      expected: 'violated',
      breaks: ['INV-24'],
      kernel: 'v5.10, v6.1',
      make: () => scenarioOf('opsA', 'opsB', {}),
    },
    {
      name: 'bug: the second registers again',
      expected: 'violated',
      breaks: ['INV-24'],
      kernel: 'v5.10, v6.1',
      make: () => scenarioOf('opsB', 'opsA', {}),
    },
    {
      name: 'fixed: the first registers again',
      expected: 'clean',
      kernel: 'none: repaired in the model',
      make: () => scenarioOf('opsA', 'opsB', { code: REPAIRED, breaks: 'when made' }),
    },
    {
      name: 'fixed: the second registers again',
      expected: 'clean',
      kernel: 'none: repaired in the model',
      make: () => scenarioOf('opsB', 'opsA', { code: REPAIRED, breaks: 'when made' }),
    },
  ],
});

function scenarioOf(again: string, leaves: string, setup: Partial<IoasidSetup>): Scenario {
  return ioasidScenario({
    name: 'S6',
    story: S6.story,
    ops: { opsA: { pdata: 'iommu0' }, opsB: { pdata: 'iommu1' } },
    registered: [['opsA', 'opsB']],
    ...setup,
    run: {
      [`driver of ${again}: probe again`]: (a) => registers(a, again),
      [`driver of ${leaves}: remove`]: (a) => unregisters(a, leaves, leaves),
      ioasid_alloc: (a) => allocates(a),
    },
  });
}
