/**
 * Two threads register the same block on a blocking chain. What comes of it is a fact of the
 * generation: a corrupted chain, 0 or -EEXIST. Source: B.1.1, K05, INV-14.
 */

import { notifier_chain_register } from '../kernel/notifier-chain.js';
import { notifierListMachine } from '../notifier-list.js';
import type { KernelProfile } from '../profiles/profile.js';
import type { Scenario } from '../scenario.js';
import { chainOf } from './chain-unregister.js';

/** The scenario, for the explorer: A is registered, B comes twice. */
export function registerTwice(profile: KernelProfile): Scenario {
  const { chain, entities } = chainOf('blocking', profile, {});
  return {
    name: 'chain-register-twice',
    story: 'Two threads register the same block on one chain (K05).',
    entities: {
      ...entities,
      [chain.list]: {
        machine: notifierListMachine(profile),
        input: { [chain.name]: [{ block: 'A', priority: 0 }] },
      },
    },
    threads: {
      'register(B)': () => notifier_chain_register(chain, 'B'),
      'register(B) again': () => notifier_chain_register(chain, 'B'),
    },
  };
}
