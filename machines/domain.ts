/**
 * An iommu_domain: who is attached, and that nobody is when it is freed. INV-20. Source: C.2.
 */

import { createMachine } from 'xstate';
import type { AnyStateMachine } from 'xstate';

/** `left`: the last device known on the domain went to another one. */
export const DOMAIN_EVENTS = ['alloc', 'attach', 'left', 'free', 'lost'] as const;

export const domainMachine: AnyStateMachine = createMachine({
  id: 'domain',
  initial: 'allocated',
  states: {
    allocated: { on: { attach: 'attached', free: 'freed' } },
    attached: { on: { left: 'allocated', free: 'violated', lost: 'allocated' } },
    // The address may be given to a new domain at once.
    freed: { on: { alloc: 'allocated', attach: 'attached' } },
    violated: {
      tags: ['violation'],
      meta: { rule: 'INV-20' },
      on: { alloc: 'allocated', attach: 'attached', left: 'freed' },
    },
  },
});
