/** A program that fails, made as small as it can be while the same rule is broken. */

import { breaksRule } from './broken-rules.js';
import { check } from './check.js';
import type { Checked, CheckOptions } from './check.js';
import { testedOn } from './generations.js';
import type { Testable } from './generations.js';
import type { HotplugProgram } from './hotplug-program.js';
import { isProgram } from './hotplug-program.js';
import { minimise } from './minimise.js';

/** The smallest program, and what its test came to. */
export interface SmallestFailure {
  readonly program: HotplugProgram;
  readonly checked: Checked;
}

/**
 * The smallest program that breaks a rule, on the first generation where it does.
 *
 * @returns undefined where what was tested is no program, or the rule is broken on no generation
 */
export function smallestFailure(
  subject: Testable,
  rule: string | undefined,
  { failures: _, generations, ...options }: CheckOptions = {},
): SmallestFailure | undefined {
  if (typeof subject === 'function' || !isProgram(subject) || rule === undefined) return undefined;
  const { rules = [], code = {} } = options;
  for (const { kernel } of testedOn(subject, generations, rules, code)) {
    const start = kernel === undefined ? subject : { ...subject, kernel };
    if (!breaksRule(start, rule, options)) continue;
    const program = minimise(start, (smaller) => breaksRule(smaller, rule, options));
    return { program, checked: check(program, options) };
  }
  return undefined;
}
