/**
 * What a callback of a blocking chain must not do: register or unregister on its own chain, which
 * waits for the reader that it is itself (K03, INV-16); or call its own chain, which waits as soon
 * as a writer queues between the two down_reads (B.1.4). A worker may: the callback does not wait.
 */

import {
  notifier_call_chain,
  notifier_chain_register,
  notifier_chain_unregister,
} from '../kernel/notifier-chain.js';
import type { Chain, NotifierCall } from '../kernel/notifier-chain.js';
import { notifierListMachine } from '../notifier-list.js';
import type { KernelProfile } from '../profiles/profile.js';
import type { Scenario } from '../scenario.js';
import { spawn } from '../step.js';
import type { Thread, ThreadBody } from '../step.js';
import { chainOf } from './chain-unregister.js';

export interface ChainCallbackOptions {
  readonly profile: KernelProfile;
  /** What the callback of block A does on its own chain. */
  readonly does: 'register' | 'unregister' | 'call';
  /** In a worker of its own, as 811642d8d8a8 has it. */
  readonly inWorker?: boolean;
  /** Somebody registers another block meanwhile. */
  readonly writer?: boolean;
}

/** The scenario, for the explorer. */
export function chainCallback({
  profile,
  does,
  inWorker = false,
  writer = false,
}: ChainCallbackOptions): Scenario {
  const work: Readonly<Record<ChainCallbackOptions['does'], () => Thread<number>>> = {
    register: () => notifier_chain_register(chain, 'B', 0),
    unregister: () => notifier_chain_unregister(chain, 'A'),
    call: () => notifier_call_chain(chain, 'nested', {}),
  };
  // eslint-disable-next-line require-yield
  const silent: NotifierCall = function* () {
    return 0;
  };
  const callbacks: Record<string, NotifierCall> = {
    A: function* ({ action }) {
      if (action === 'nested') return 0;
      if (inWorker) yield* spawn(work[does], `schedule_work(${does})`);
      else yield* work[does]();
      return 0;
    },
    B: silent,
    C: silent,
  };
  const made = chainOf('blocking', profile, callbacks);
  const chain: Chain = made.chain;
  const threads: Record<string, ThreadBody> = {
    'call(event)': () => notifier_call_chain(chain, 'event', {}),
    ...(writer ? { 'register(C)': () => notifier_chain_register(chain, 'C', 0) } : {}),
  };
  return {
    name: `chain-callback-${does}${inWorker ? '-worker' : ''}`,
    story: `A callback does ${does} on the blocking chain that calls it (K03, B.1.4).`,
    entities: {
      ...made.entities,
      [chain.list]: {
        machine: notifierListMachine(profile),
        input: { [chain.name]: [{ block: 'A', priority: 0 }] },
      },
    },
    threads,
  };
}
