/**
 * A rollback that asks a chain a second time whom it called the first time. Source: D K06, B.1.3.
 */

import { setup } from 'xstate';
import {
  __notifier_call_chain,
  notifier_call_chain_robust,
  notifier_chain_register,
  notifier_chain_unregister,
} from '../kernel/notifier-chain.js';
import type { Chain, NotifierCall } from '../kernel/notifier-chain.js';
import { stops } from '../notifier-chain.js';
import { notifierListMachine } from '../notifier-list.js';
import { profileByName } from '../profiles/timeline.js';
import { robustRollbackMachine, rolledBackWhole } from '../robust-rollback.js';
import type { RollbackMemory } from '../robust-rollback.js';
import type { Scenario } from '../scenario.js';
import { deliver } from '../step.js';
import type { Thread } from '../step.js';

import { chainOf } from './chain-unregister.js';
import { race } from './race.js';
import type { Race } from './race.js';

const UP = 'PREPARE';
const DOWN = 'CANCEL';
const NOTIFY_OK = 0x0001;
const NOTIFY_BAD = 0x8002;

/** They hear whatever they are told; what that comes to the monitor says. */
const LISTENERS = setup({ actions: { hear: () => {} } }).createMachine({
  id: 'listeners',
  on: { [UP]: { actions: 'hear' }, [DOWN]: { actions: 'hear' } },
});

export const K06: Race = race({
  id: 'K06',
  title: 'Robust call done as two locked passes',
  story:
    'Somebody asks all listeners of a chain to prepare, and where one refuses, calls the chain again for as many listeners as had prepared, so that they take it back. Between the two calls the lock is free. Who registers or unregisters then shifts the count: a listener takes back what it never prepared, and another is left prepared.',
  commits: [
    {
      id: '70d932985757',
      subject: 'notifier: Fix broken error handling pattern',
      since: 'v5.10',
    },
  ],
  source: 'D K06, B.1.3, INV-18',
  variants: [
    {
      name: 'bug: Z registers in between',
      expected: 'violated',
      breaks: ['INV-18'],
      kernel: 'v5.9',
      make: () => scenarioOf('v5.9', twoPasses, 'register Z'),
    },
    {
      name: 'bug: A unregisters in between',
      expected: 'violated',
      breaks: ['INV-18'],
      kernel: 'v5.9',
      make: () => scenarioOf('v5.9', twoPasses, 'unregister A'),
    },
    {
      name: 'fixed: Z registers',
      expected: 'clean',
      kernel: '70d932985757 (v5.10)',
      make: () => scenarioOf('v5.10', robust, 'register Z'),
    },
    {
      name: 'fixed: A unregisters',
      expected: 'clean',
      kernel: '70d932985757 (v5.10)',
      make: () => scenarioOf('v5.10', robust, 'unregister A'),
    },
  ],
});

/** What callers did before v5.10: kernel/cpu_pm.c, kernel/power/main.c. */
function* twoPasses(chain: Chain): Thread<void> {
  const { ret, nrCalls } = yield* __notifier_call_chain(chain, UP, {}, -1);
  if (stops(ret)) yield* __notifier_call_chain(chain, DOWN, {}, nrCalls - 1);
}

function* robust(chain: Chain): Thread<void> {
  yield* notifier_call_chain_robust(chain, UP, DOWN, {});
}

function scenarioOf(
  kernel: string,
  asks: (chain: Chain) => Thread<void>,
  meanwhile: 'register Z' | 'unregister A',
): Scenario {
  const profile = profileByName(kernel)!;
  const callback = (answer: number): NotifierCall =>
    function* (called) {
      const { block, action } = called;
      yield* deliver('listeners', called, `notify ${action} -> ${block}`);
      return action === UP ? answer : NOTIFY_OK;
    };
  const { chain, entities } = chainOf('blocking', profile, {
    A: callback(NOTIFY_OK),
    B: callback(NOTIFY_OK),
    C: callback(NOTIFY_BAD),
    Z: callback(NOTIFY_OK),
  });
  return {
    name: 'K06',
    story: K06.story,
    entities: {
      ...entities,
      [chain.list]: {
        machine: notifierListMachine(profile),
        input: { [chain.name]: ['A', 'B', 'C'].map((block) => ({ block, priority: 0 })) },
      },
      listeners: LISTENERS,
    },
    monitors: {
      rollback: { machine: robustRollbackMachine(UP, DOWN), listeners: ['listeners'] },
    },
    threads: {
      'PREPARE, or CANCEL': () => asks(chain),
      [meanwhile]: () =>
        meanwhile === 'register Z'
          ? notifier_chain_register(chain, 'Z', 1)
          : notifier_chain_unregister(chain, 'A'),
    },
    invariants: [
      {
        id: 'INV-18',
        says: `not everybody who took ${UP} hears ${DOWN}`,
        entities: ['rollback'],
        when: 'end',
        holds: ({ rollback }) => rolledBackWhole(rollback.context as RollbackMemory),
      },
    ],
  };
}
