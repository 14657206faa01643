/** A program that fails, made as small as it can be while the same rule is broken. */

import { isUnsupported } from '../../machines/unsupported-by-kernel.js';
import type { Scenario } from '../../machines/scenario.js';
import { Exhaustive } from '../explore/exhaustive.js';
import { Program } from '../explore/program.js';
import { sample } from '../explore/sample.js';
import { pos } from '../explore/samplers/pos.js';
import { DEFAULT_BUDGET } from './budget.js';
import { check } from './check.js';
import type { Checked, CheckOptions } from './check.js';
import { testedOn } from './generations.js';
import type { Testable } from './generations.js';
import type { HotplugProgram } from './hotplug-program.js';
import { isProgram } from './hotplug-program.js';
import { minimise } from './minimise.js';

/** Schedules that are drawn before everything is searched: most failures show in one of them. */
const DRAWN = 20;

/**
 * Whether some interleaving of a program breaks the rule on its generation, as far as the budget
 * covers them: what decides of a part of a program whether it can be left out.
 */
export function breaksRule(
  program: HotplugProgram,
  rule: string,
  { rules = [], code = {}, budget, bounds }: CheckOptions = {},
): boolean {
  const states = bounds?.states ?? budget?.states ?? DEFAULT_BUDGET.states;
  return testedOn(program, undefined, rules, code).some(({ make }) => {
    let scenario: Scenario;
    try {
      scenario = make();
      const model = new Program(scenario, bounds?.steps);
      const drawn = sample(model, pos, { seed: 0, runs: DRAWN });
      if (drawn.violated.has(rule)) return true;
      return new Exhaustive(model, { bounds: { ...bounds, states } }).run().violated.has(rule);
    } catch (error) {
      const { cause } = error as { cause?: unknown };
      if (isUnsupported(error) || isUnsupported(cause)) return false;
      throw error;
    }
  });
}

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
