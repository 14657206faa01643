/** kfree_rcu: what is freed after a grace period, by nobody who waits for it. include/linux/rcupdate.h */

import { spawn, synchronizeRcu } from '../step.js';
import type { Thread } from '../step.js';

/**
 * The grace period begins when a worker comes to it, which may be at once.
 *
 * @param free what is done after it
 */
export function* kfree_rcu(rcu: string, object: string, free: () => Thread<void>): Thread<void> {
  yield* spawn(function* (): Thread<void> {
    yield* synchronizeRcu(rcu);
    yield* free();
  }, `kfree_rcu(${object})`);
}
