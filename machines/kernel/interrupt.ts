/** Interrupts: what comes upon a CPU while it runs something else. Source: D-A5-9. */

import { choose } from '../step.js';
import type { Thread } from '../step.js';
import { load } from './memory.js';

/**
 * Runs `thread` on a CPU on which one interrupt may come, between any two of its steps: `handler`
 * then runs to its end before `thread` goes on. No interrupt comes while `irqs_off`.
 *
 * @param cpu a struct with the field `irqs_off`
 */
export function* interruptible<T>(
  cpu: string,
  thread: Thread<T>,
  handler: () => Thread<void>,
): Thread<T> {
  let came = false;
  let result = thread.next();
  while (result.done !== true) {
    if (!came && !(yield* load<boolean>(cpu, 'irqs_off'))) {
      came = yield* choose([false, true], `interrupt on ${cpu}`);
      if (came) yield* handler();
    }
    result = thread.next(yield result.value);
  }
  return result.value;
}
