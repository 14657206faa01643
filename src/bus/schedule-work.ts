import { inside } from './wait-graph.js';

/**
 * Runs `work` later as a task of its own, as schedule_work does: what it waits for, the callback
 * that scheduled it does not wait for. This is how K03 was repaired: the callback must not
 * unregister, the worker may.
 *
 * Errors of `work` are nobody's: they reach the process as uncaught.
 */
export function scheduleWork(work: () => unknown): void {
  inside.exit(() => setImmediate(work));
}
