/** kfree_rcu: what is freed after a grace period, by nobody who waits for it. include/linux/rcupdate.h */

import { spawn, synchronizeRcu } from '../step.js';
import type { Thread } from '../step.js';
import { listAddTail, nextName } from './memory.js';

/** What waits for a grace period: struct with the list `heads`. */
export const RCU_HEADS = 'rcu_heads';

/** The functions of struct rcu_head, by name. */
export type RcuFunctions = Readonly<Record<string, (object: string) => Thread<void>>>;

/**
 * The grace period begins when a worker comes to it, which may be at once. The worker learns from the
 * list what it is to free: what thread a worker is does not depend on what it does.
 *
 * @param func the one of `functions` that frees the object
 */
export function* kfree_rcu(
  rcu: string,
  functions: RcuFunctions,
  func: string,
  object: string,
): Thread<void> {
  yield* listAddTail(RCU_HEADS, 'heads', `${func} ${object}`);
  yield* spawn(function* (): Thread<void> {
    const [name, freed] = (yield* nextName(RCU_HEADS, 'heads')).split(' ');
    yield* synchronizeRcu(rcu);
    yield* functions[name](freed);
  }, `kfree_rcu(${object})`);
}
