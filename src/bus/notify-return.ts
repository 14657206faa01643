/**
 * What callbacks and chains return, as include/linux/notifier.h has it. Source: B.1.3.
 */

import { NOTIFY_STOP_MASK, stops } from '../../machines/notifier-chain.js';

export { NOTIFY_STOP_MASK, stops };

/** Don't care. */
export const NOTIFY_DONE = 0x0000;
/** Suits me. */
export const NOTIFY_OK = 0x0001;
/** Bad, veto: notifierFromErrno(-EPERM). */
export const NOTIFY_BAD = NOTIFY_STOP_MASK | 0x0002;
/** Suits me, and nobody else need be called. */
export const NOTIFY_STOP = NOTIFY_STOP_MASK | NOTIFY_OK;

/**
 * notifier_from_errno.
 *
 * @param err 0 or a negative errno
 * @returns NOTIFY_OK for 0, else a value that stops the chain and holds the errno
 */
export function notifierFromErrno(err: number): number {
  return err === 0 ? NOTIFY_OK : NOTIFY_STOP_MASK | (NOTIFY_OK - err);
}

/**
 * notifier_to_errno: the way back.
 *
 * @returns a negative errno, or 0: also for a raw negative errno, which stops a chain (INV-41) and
 *   is lost here
 */
export function notifierToErrno(ret: number): number {
  const value = ret & ~NOTIFY_STOP_MASK;
  return value > NOTIFY_OK ? NOTIFY_OK - value : 0;
}
