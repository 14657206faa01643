/**
 * How many faults may still be injected in this run: allocations that return NULL, probes that fail.
 * One for the whole scenario, so that its threads share it. Source: exploration.md section 2 (a
 * fault budget is an entity), CONFIG_FAULT_INJECTION's `times`.
 */

import { assign, emit, setup } from 'xstate';
import type { AnyStateMachine } from 'xstate';

export interface FaultBudgetEvent {
  /**
   * `may_fail` asks whether a fault is left, and answers `left` or `none`; `fail` takes one, and
   * answers `fault`, or `none` where the last is gone. Both are always accepted.
   */
  readonly type: 'may_fail' | 'fail';
}

/** That a fault is left is answered, not how many: so asking commutes with taking but the last. */
export interface FaultBudgetReply {
  readonly type: 'left' | 'fault' | 'none';
}

interface MachineTypes {
  context: { readonly left: number };
  events: FaultBudgetEvent;
  emitted: FaultBudgetReply;
  /** Faults in a run. */
  input: number | undefined;
}
const TYPES = {} as MachineTypes;

/** What starts with as many faults as the scenario says in `faults`. */
export const faultBudgetMachine: AnyStateMachine = setup({
  types: TYPES,
  guards: { left: ({ context }) => context.left > 0 },
  actions: {
    take: assign(({ context }) => ({ left: context.left - 1 })),
    left: emit({ type: 'left' }),
    fault: emit({ type: 'fault' }),
    none: emit({ type: 'none' }),
  },
}).createMachine({
  id: 'fault budget',
  meta: { faultBudget: true },
  context: ({ input }) => ({ left: input ?? 0 }),
  on: {
    may_fail: [{ guard: 'left', actions: 'left' }, { actions: 'none' }],
    fail: [{ guard: 'left', actions: ['take', 'fault'] }, { actions: 'none' }],
  },
});

/** Told by its `meta`: a scenario's file may have it from another copy of this module. */
export function isFaultBudget(machine: AnyStateMachine): boolean {
  return (machine.config.meta as { faultBudget?: unknown } | undefined)?.faultBudget === true;
}
