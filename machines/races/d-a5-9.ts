/** IOASIDs that an interrupt allocates or frees. Source: D-A5-9. */

import { interruptible } from '../kernel/interrupt.js';
import { allocates, frees, ioasidScenario } from '../kernel/ioasid-scenario.js';
import type { IoasidSetup } from '../kernel/ioasid-scenario.js';
import type { Scenario } from '../scenario.js';
import { race } from './race.js';
import type { Race } from './race.js';

const CPU = 'CPU0';

export const D_A5_9: Race = race({
  id: 'D-A5-9',
  title: 'An interrupt wants the lock of the IOASID allocators',
  story:
    'ioasid_allocator_lock is taken with spin_lock, under which interrupts still come, though all allocations are GFP_ATOMIC as if any context would do. A handler that frees an IOASID on the CPU that holds the lock spins for ever: who could unlock goes on only when the handler is over.',
  commits: [],
  source: 'A5.3 D-A5-9, INV-16',
  variants: [
    {
      name: 'bug: spin_lock',
      expected: 'violated',
      breaks: ['deadlock'],
      kernel: 'v5.10, v6.1',
      make: () => scenarioOf({}),
    },
    {
      name: 'fixed: spin_lock_irqsave',
      expected: 'clean',
      kernel: 'none: repaired in the model',
      make: () => scenarioOf({ code: { irqsave: true } }),
    },
  ],
});

function scenarioOf(setup: Partial<IoasidSetup>): Scenario {
  return ioasidScenario({
    name: 'D-A5-9',
    story: D_A5_9.story,
    held: [1],
    cpu: CPU,
    ...setup,
    run: {
      [`${CPU}: ioasid_alloc`]: (a) => interruptible(CPU, allocates(a), () => frees(a, 1)),
    },
  });
}
