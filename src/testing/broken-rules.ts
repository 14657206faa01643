/** Which rules a program breaks, and nothing else: no schedule is searched for that shows it. */

import type { Scenario } from '../../machines/scenario.js';
import { isSetUpError } from '../../machines/set-up-error.js';
import { isUnsupported } from '../../machines/unsupported-by-kernel.js';
import { Exhaustive } from '../explore/exhaustive.js';
import { withFaults } from '../explore/fault-budget.js';
import { findPartialDeadlock } from '../explore/partial-deadlock.js';
import { DEFAULT_MAX_STEPS, Program } from '../explore/program.js';
import { sample } from '../explore/sample.js';
import { pos } from '../explore/samplers/pos.js';
import { PARTIAL_DEADLOCK } from '../explore/verdict-rules.js';
import { DEFAULT_BUDGET } from './budget.js';
import type { CheckOptions } from './check.js';
import { testedOn } from './generations.js';
import type { HotplugProgram } from './hotplug-program.js';

/** Schedules that are drawn before everything is searched: most failures show in one of them. */
const DRAWN = 20;

/** What is broken on some generation of a program. */
export interface Broken {
  readonly rules: ReadonlySet<string>;
  /** Every interleaving was covered, or what was looked for was found. */
  readonly covered: boolean;
}

/**
 * The rules that a program breaks on its generation, as far as the budget covers its interleavings.
 *
 * @param until ends the search where one of these is broken; undefined: at none
 */
export function brokenRules(
  program: HotplugProgram,
  { rules = [], code = {}, budget, bounds }: CheckOptions = {},
  until?: (rule: string) => boolean,
): Broken {
  const states = bounds?.states ?? budget?.states ?? DEFAULT_BUDGET.states;
  const found = new Set<string>();
  let covered = true;
  for (const { make } of testedOn(program, undefined, rules, code)) {
    try {
      const scenario = withFaults(make(), bounds?.faults);
      const on = brokenIn(scenario, { ...bounds, states }, until);
      for (const rule of on.rules) found.add(rule);
      covered &&= on.covered;
    } catch (error) {
      // A program from which its listener was taken away can break nothing.
      const { cause } = error as Error;
      if (![error, cause].some((each) => isUnsupported(each) || isSetUpError(each))) throw error;
    }
    if (until !== undefined && [...found].some(until)) break;
  }
  return { rules: found, covered };
}

function brokenIn(
  scenario: Scenario,
  bounds: NonNullable<CheckOptions['bounds']>,
  until: ((rule: string) => boolean) | undefined,
): Broken {
  const maxSteps = bounds.steps ?? DEFAULT_MAX_STEPS;
  const program = new Program(scenario, maxSteps);
  if (until !== undefined) {
    const drawn = new Set(sample(program, pos, { seed: 0, runs: DRAWN }).violated.keys());
    if ([...drawn].some(until)) return { rules: drawn, covered: true };
  }
  const { violated, cut } = new Exhaustive(program, { bounds }).run();
  const rules = new Set(violated.keys());
  if (cut !== undefined || !program.trie.hasLoops) return { rules, covered: cut === undefined };
  const partial = findPartialDeadlock(new Program(scenario, maxSteps), {}, bounds);
  if (partial.found) rules.add(PARTIAL_DEADLOCK);
  return { rules, covered: partial.cut === undefined };
}

/**
 * Whether some interleaving of a program breaks the rule on its generation, as far as the budget
 * covers them: what decides of a part of a program whether it can be left out.
 */
export function breaksRule(
  program: HotplugProgram,
  rule: string,
  options: CheckOptions = {},
): boolean {
  return brokenRules(program, options, (each) => each === rule).rules.has(rule);
}
