/** What is tested, as the scenarios that it is on the generations asked for. */

import type { KernelProfile } from '../../machines/profiles/profile.js';
import { PROFILES, profileByName } from '../../machines/profiles/timeline.js';
import type { Scenario, ScenarioFor } from '../../machines/scenario.js';
import type { HotplugProgram, ProgramCode } from './hotplug-program.js';
import { isProgram, programProblem, programScenario } from './hotplug-program.js';
import type { OwnRule } from './own-rule.js';
import { withRules, withRulesOnScenario } from './own-rule.js';

/** What can be tested: a scenario, one for each generation (hotplug()), or a program. */
export type Testable = Scenario | ScenarioFor | HotplugProgram;

/** `v6.12`, or a profile: a generation that lacks one fix. */
export type Generation = string | KernelProfile;

/** One that is tested on a generation, or is the same on all of them. */
export interface Tested {
  /** Undefined: it does not depend on the kernel. */
  readonly kernel: string | undefined;
  /** Throws UnsupportedByKernelError where the set-up asks for what the generation does not have. */
  readonly make: () => Scenario;
}

/**
 * The scenarios to test. A scenario that is the same on every generation is tested once.
 *
 * @param generations every one that hotrace names where left out
 * @throws RangeError for a version that is none; TypeError for a program that names what it has not
 */
export function testedOn(
  subject: Testable,
  generations: readonly Generation[] | undefined,
  rules: readonly OwnRule[],
  code: ProgramCode,
): readonly Tested[] {
  if (typeof subject === 'function') {
    return profilesOf(generations ?? PROFILES).map((profile) => ({
      kernel: profile.name,
      make: () => withRulesOnScenario(subject(profile), rules),
    }));
  }
  if (!isProgram(subject)) {
    return [{ kernel: undefined, make: () => withRulesOnScenario(subject, rules) }];
  }
  const problem = programProblem(subject, code);
  if (problem !== undefined) throw new TypeError(problem);
  const own = subject.kernel === undefined ? PROFILES : [subject.kernel];
  const scenarioFor = programScenario(subject, withRules(subject, code, rules));
  return profilesOf(generations ?? own).map((profile) => ({
    kernel: profile.name,
    make: () => scenarioFor(profile),
  }));
}

function profilesOf(generations: readonly Generation[]): readonly KernelProfile[] {
  return generations.map((generation) => {
    if (typeof generation !== 'string') return generation;
    const profile = profileByName(generation);
    if (profile === undefined) {
      throw new RangeError(`"${generation}" is no version of a kernel: v6.12, from v3.6 on`);
    }
    return profile;
  });
}
