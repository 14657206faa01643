/**
 * One run of notifier_call_chain: callbacks by descending priority, none after a STOP, and the
 * last callback's value as the chain's. Source: B.1.3, kernel/notifier.c.
 */

import { createMachine } from 'xstate';
import type { AnyStateMachine } from 'xstate';

/**
 * `enter.*`: a callback was entered whose priority is `ordered` (not above the one before),
 * `higher`, or not known. `go`/`stop`: it returned with or without NOTIFY_STOP_MASK. `return.*`:
 * the chain returned what its last callback did, something else, or that is not known.
 */
export const CHAIN_CALL_EVENTS = [
  'enter.ordered',
  'enter.higher',
  'go',
  'stop',
  'return.same',
  'return.other',
  'return.unknown',
] as const;

const OVER = {
  'return.same': 'done',
  'return.unknown': 'done',
  'return.other': 'violated.wrongReturn',
};
const RESUMED = {
  go: '#chain-call.running',
  'return.same': '#chain-call.done',
  'return.unknown': '#chain-call.done',
  'return.other': '#chain-call.violated.wrongReturn',
};
const broken = { tags: ['violation'], meta: { rule: 'B.1' } };

export const chainCallMachine: AnyStateMachine = createMachine({
  id: 'chain-call',
  initial: 'running',
  states: {
    running: { on: { stop: 'stopped', 'enter.higher': 'violated.wrongOrder', ...OVER } },
    stopped: {
      on: {
        'enter.ordered': 'violated.calledAfterStop',
        'enter.higher': 'violated.calledAfterStop',
        ...OVER,
      },
    },
    done: { type: 'final' },
    violated: {
      initial: 'wrongOrder',
      states: {
        wrongOrder: {
          ...broken,
          on: { ...RESUMED, 'enter.ordered': '#chain-call.running', stop: '#chain-call.stopped' },
        },
        calledAfterStop: { ...broken, on: { ...RESUMED, stop: '#chain-call.stopped' } },
        wrongReturn: broken,
      },
    },
  },
});
