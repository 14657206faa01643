/** A property of programs: none of those that are drawn breaks a rule. */

import * as fc from 'fast-check';
import { ScenarioError } from '../explore/scenario-error.js';
import { seedFrom } from './budget.js';
import { brokenRules } from './broken-rules.js';
import { check } from './check.js';
import type { Checked, CheckOptions } from './check.js';
import { checkText } from './check-text.js';
import { allFailures, saveFailure, settleFailures } from './failures.js';
import type { HotplugProgram } from './hotplug-program.js';
import { RaceError } from './races.js';
import { smallestFailure } from './smallest-failure.js';
import { callingFile, commandFor, failuresNextTo } from './test-place.js';

export interface ProgramsOptions extends Omit<CheckOptions, 'generations'> {
  /** Programs that are drawn; 100 where left out. */
  readonly programs?: number;
  /** Only these rules are judged; all where left out. Known defects of a kernel hide others. */
  readonly judges?: readonly string[];
}

/** What a property of programs came to. */
export interface ProgramsChecked {
  /** `incomplete`: no program that was drawn breaks a rule. There are others. */
  readonly verdict: 'violated' | 'incomplete';
  readonly seed: number;
  /** Programs that were tested before the first that failed, or all. */
  readonly programs: number;
  /** Of how many of them every interleaving was covered. */
  readonly covered: number;
  /** The smallest program that fails: nothing of it can be left out. */
  readonly failure: ProgramFailure | undefined;
  /** Files of failing cases that were written. */
  readonly saved: readonly string[];
}

export interface ProgramFailure {
  readonly program: HotplugProgram;
  /** The rule that it breaks. */
  readonly rule: string;
  /** As it was drawn, before anything was left out. */
  readonly drawn: HotplugProgram;
  readonly checked: Checked;
  /** The file of a failing case that fails again. */
  readonly again: string | undefined;
}

/** Most programs are small; one that is not is not worth the time of a hundred that are. */
const BUDGET = { states: 5000, runs: 100 } as const;
const PROGRAMS = 100;

/**
 * Draws programs and checks each, failing cases that were kept first. The first that fails is made
 * as small as it can be: by fast-check, then by trial.
 */
export function checkPrograms(
  arbitrary: fc.Arbitrary<HotplugProgram>,
  options: ProgramsOptions = {},
): ProgramsChecked {
  const { programs = PROGRAMS, judges, failures, ...rest } = options;
  const seed = seedFrom(options.seed);
  const told: CheckOptions = { ...rest, seed, budget: { ...BUDGET, ...rest.budget } };
  const judged = (rule: string) => judges === undefined || judges.includes(rule);

  for (const kept of failures === undefined ? [] : allFailures(failures)) {
    if (kept.program === undefined) continue;
    const checked = check(kept.program, told);
    const rule = checked.rules.find(judged);
    if (rule !== undefined) {
      const { program, file } = { program: kept.program, file: kept.file };
      const failure = { program, rule, drawn: program, checked, again: file };
      return { verdict: 'violated', seed, programs: 1, covered: 0, failure, saved: [] };
    }
    if (checked.verdict === 'clean') settleFailures([kept]);
  }

  let tested = 0;
  let covered = 0;
  let failed = false;
  const result = fc.check(
    fc.property(arbitrary, (program) => {
      const { rules, covered: whole } = brokenRules(program, told, judged);
      const holds = ![...rules].some(judged);
      if (!failed) tested++;
      if (!failed && whole && holds) covered++;
      if (!holds) failed = true;
      return holds;
    }),
    { seed, numRuns: programs },
  );
  // A program at which the check itself threw: the scenario is at fault, and not the kernel.
  const { counterexample, errorInstance } = result;
  if (errorInstance instanceof ScenarioError) throw errorInstance;
  if (counterexample === null) {
    const none = { failure: undefined, saved: [] };
    return { verdict: 'incomplete', seed, programs: tested, covered, ...none };
  }
  const [drawn] = counterexample;
  const rule = [...brokenRules(drawn, told, judged).rules].find(judged)!;
  const { program, checked } = smallestFailure(drawn, rule, told)!;
  const saved =
    failures === undefined
      ? []
      : checked.on.flatMap(({ kernel, counterexamples }) =>
          counterexamples
            .filter((found) => found.rule === rule)
            .map((found) =>
              saveFailure(failures, { scenario: checked.scenario, kernel, seed, program, found }),
            ),
        );
  const failure = { program, rule, drawn, checked, again: undefined };
  return { verdict: 'violated', seed, programs: tested, covered, failure, saved };
}

/**
 * As checkPrograms, for a test: in vitest failing cases are kept in `.hotrace-failures` next to the
 * file that calls, where options do not say otherwise.
 *
 * @throws RaceError with the smallest program that fails, its interleaving table and the command
 *   that shows it again
 */
export function assertPrograms(
  arbitrary: fc.Arbitrary<HotplugProgram>,
  options: ProgramsOptions = {},
): ProgramsChecked {
  const seed = seedFrom(options.seed);
  const file = process.env['VITEST'] === undefined ? undefined : callingFile();
  const place = file === undefined ? undefined : { file, test: undefined };
  const kept = place === undefined ? {} : { failures: failuresNextTo(place, seed) };
  const result = checkPrograms(arbitrary, { ...kept, ...options, seed });
  if (result.failure === undefined) return result;
  const { checked, program } = result.failure;
  const command = place === undefined ? undefined : commandFor(place, seed);
  const text = checkText({ ...checked, saved: result.saved }, { command, program });
  throw new RaceError(text, checked);
}
