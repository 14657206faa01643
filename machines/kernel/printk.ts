/** Lines of the kernel's log, one step each. The log is machines/kernel-log.ts. */

import { send } from '../step.js';
import type { Thread } from '../step.js';

/** As syslog counts them: include/linux/kern_levels.h. */
const LEVELS = { pr_err: 3, pr_warn: 4, WARN: 4, pr_info: 6 } as const;
export type Level = keyof typeof LEVELS;

/** pr_err, pr_warn, pr_info. */
export function* printk(log: string, level: Level, text: string): Thread<void> {
  const label = `${level}("${text}")`;
  yield* send(log, { type: 'print', level, text }, label, [
    { type: 'printk', level: LEVELS[level], text },
  ]);
}

/**
 * WARN_ON of what is true.
 *
 * @param rule the one that is broken then; none where left out
 */
export function* warnOn(log: string, condition: string, rule?: string): Thread<void> {
  const text = `WARN_ON(${condition})`;
  if (rule === undefined) yield* printk(log, 'WARN', text);
  else yield* send(log, { type: 'warn', rule, text }, text, [{ type: 'printk', level: 4, text }]);
}
