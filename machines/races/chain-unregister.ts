/**
 * Unregister beside a call: who frees the block after unregister has returned relies on no callback
 * of it running any more. A raw chain does not promise that: its callers must lock. Source: B.1.3,
 * B.1.4, INV-17, INV-24; K05 case 4 ends the same way.
 */

import {
  free_notifier_block,
  listenerCall,
  notifier_call_chain,
  notifier_chain_unregister,
} from '../kernel/notifier-chain.js';
import type { Chain, NotifierCall } from '../kernel/notifier-chain.js';
import { membershipListenerMachine } from '../membership-listener.js';
import { mutexMachine } from '../mutex.js';
import { notifierListMachine } from '../notifier-list.js';
import type { KernelProfile, NotifierKind } from '../profiles/profile.js';
import { rcuMachine } from '../rcu.js';
import { rwsemMachine } from '../rwsem.js';
import type { Entity, Scenario } from '../scenario.js';
import { lock, unlock } from '../step.js';
import type { ThreadBody } from '../step.js';

export interface ChainUnregisterOptions {
  readonly kind: NotifierKind;
  readonly profile: KernelProfile;
  /** Callers of a raw chain hold a mutex, as kernel/notifier.c asks of them. */
  readonly locked?: boolean;
}

/** The scenario, for the explorer: A, B and C are registered, B leaves and is freed. */
export function chainUnregister({
  kind,
  profile,
  locked = false,
}: ChainUnregisterOptions): Scenario {
  const blocks = ['A', 'B', 'C'];
  const listeners = blocks.map((block) => `l${block}`);
  const callbacks = Object.fromEntries(
    blocks.map((block, i) => [block, listenerCall(listeners[i])]),
  );
  const { chain, entities } = chainOf(kind, profile, callbacks);
  const under = (body: ThreadBody): ThreadBody =>
    locked
      ? function* (self) {
          yield* lock('callers');
          yield* body(self);
          yield* unlock('callers');
        }
      : body;
  return {
    name: `chain-unregister-${kind}${locked ? '-locked' : ''}`,
    story: 'A block is unregistered and freed while its chain is called (B.1.4).',
    entities: {
      ...entities,
      [chain.list]: {
        machine: notifierListMachine(profile),
        input: { [chain.name]: blocks.map((block) => ({ block, priority: 0 })) },
      },
      ...(locked ? { callers: mutexMachine } : {}),
      ...Object.fromEntries(listeners.map((name) => [name, membershipListenerMachine])),
    },
    threads: {
      'call(ADD_DEVICE, d0)': under(() => notifier_call_chain(chain, 'ADD_DEVICE', { dev: 'd0' })),
      'unregister(B), kfree(B)': under(function* () {
        yield* notifier_chain_unregister(chain, 'B');
        yield* free_notifier_block(chain, 'B');
      }),
    },
  };
}

/** A chain called `chain` with what it needs beside its list. */
export function chainOf(
  kind: NotifierKind,
  profile: KernelProfile,
  callbacks: Readonly<Record<string, NotifierCall>>,
): { readonly chain: Chain; readonly entities: Readonly<Record<string, Entity>> } {
  const own = { name: 'chain', list: 'chain->blocks', profile, callbacks };
  switch (kind) {
    case 'blocking':
      return {
        chain: { ...own, kind, rwsem: 'chain->rwsem' },
        entities: { 'chain->rwsem': rwsemMachine },
      };
    case 'atomic':
      return {
        chain: { ...own, kind, lock: 'chain->lock', rcu: 'rcu' },
        entities: { 'chain->lock': mutexMachine, rcu: rcuMachine },
      };
    case 'srcu':
      return {
        chain: { ...own, kind, mutex: 'chain->mutex', srcu: 'chain->srcu' },
        entities: { 'chain->mutex': mutexMachine, 'chain->srcu': rcuMachine },
      };
    case 'raw':
      return { chain: { ...own, kind }, entities: {} };
  }
}
