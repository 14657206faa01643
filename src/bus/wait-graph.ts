/**
 * Who waits for whom, and which chain calls the running code is inside of.
 *
 * The kernel's lockdep knows the task; here AsyncLocalStorage does: each callback runs in the frame
 * of its call, and so does whatever the callback awaits or starts. Work that a callback only
 * starts and does not wait for is a task of its own and must say so: `scheduleWork`.
 */

import { AsyncLocalStorage } from 'node:async_hooks';
import { DeadlockError } from './deadlock-error.js';
import type { WaitStep } from './deadlock-error.js';

/** A chain call or a queued writer. */
export interface Waiter {
  /** For people: `unregister("vfio") on "pci"`. */
  readonly who: string;
  /** The lock that it has, undefined for none. */
  readonly holds: string | undefined;
  waitsFor(): readonly Wait[];
}

/** Who queues for a lock. */
export interface Queuer extends Waiter {
  /** It has the lock that it queued for. */
  granted(): void;
}

export interface Wait {
  /** For people: `pci.rwsem for writing`. */
  readonly what: string;
  readonly on: Waiter;
}

/** A call while one of its callbacks runs. */
export interface Frame extends Waiter {
  /** The call in whose callback this one was made. */
  readonly outer: Frame | undefined;
  /** Between taking the read lock and releasing it. */
  readonly running: boolean;
  /** What its callbacks wait for. */
  readonly awaited: Set<Waiter>;
}

/** The innermost call that the running code is inside of. */
export const inside = new AsyncLocalStorage<Frame | undefined>();

/** Innermost first; calls that have ended since are none. */
export function frames(innermost: Frame | undefined = inside.getStore()): readonly Frame[] {
  const running: Frame[] = [];
  for (let frame = innermost; frame !== undefined; frame = frame.outer) {
    if (frame.running) running.push(frame);
  }
  return running;
}

/**
 * Says that the callbacks of `waiting` cannot go on before `waiter`.
 *
 * @returns the function that takes it back, once `waiter` has what it waits for
 * @throws DeadlockError when `waiter` in turn cannot go on before one of them
 */
export function waitIn(waiting: readonly Frame[], waiter: Waiter): () => void {
  refuseCycle(waiting, waiter);
  for (const frame of waiting) frame.awaited.add(waiter);
  return () => {
    for (const frame of waiting) frame.awaited.delete(waiter);
  };
}

/**
 * `waiting` may be `waiter` itself, which does not wait for itself unless others lead back to it.
 *
 * @throws DeadlockError when one of `waiting` would wait for `waiter` and `waiter` for it
 */
export function refuseCycle(waiting: readonly Frame[], waiter: Waiter): void {
  if (waiting.length === 0) return;
  const path = shortestPath(waiter, waiting);
  if (path === undefined) return;
  const closing = path[path.length - 1].on as Frame;
  // From the call that closes the cycle inwards to the callback that waits.
  const within = waiting.slice(0, waiting.indexOf(closing) + 1).reverse();
  const nested = closing === waiter ? [] : within;
  const steps: WaitStep[] = nested.map((frame, n) =>
    step(frame, n + 1 < nested.length ? nested[n + 1].who : waiter.who),
  );
  let from = waiter;
  for (const { what, on } of path) {
    steps.push(step(from, what));
    from = on;
  }
  throw new DeadlockError(steps);
}

function step({ who, holds }: Waiter, waitsFor: string): WaitStep {
  return { who, holds, waitsFor };
}

/** Breadth first, so that the cycle told is a shortest one. */
function shortestPath(from: Waiter, targets: readonly Waiter[]): readonly Wait[] | undefined {
  const seen = new Set<Waiter>([from]);
  const queue: { readonly at: Waiter; readonly path: readonly Wait[] }[] = [{ at: from, path: [] }];
  for (const { at, path } of queue) {
    for (const wait of at.waitsFor()) {
      if (targets.includes(wait.on)) return [...path, wait];
      if (seen.has(wait.on)) continue;
      seen.add(wait.on);
      queue.push({ at: wait.on, path: [...path, wait] });
    }
  }
  return undefined;
}
