/**
 * One call that tests: every interleaving where there are few enough, and beyond that schedules that
 * are drawn at random; on each generation.
 */

import { isUnsupported } from '../../machines/unsupported-by-kernel.js';
import type { Scenario } from '../../machines/scenario.js';
import type { Counterexample } from '../explore/counterexample.js';
import { explore } from '../explore/explore.js';
import type { Exploration, ExploreOptions, Strategy } from '../explore/explore.js';
import { ScenarioError } from '../explore/scenario-error.js';
import { DEFAULT_BUDGET, seedFrom } from './budget.js';
import type { Budget } from './budget.js';
import { savedFailures, saveFailure, settleFailures } from './failures.js';
import type { FailuresOptions } from './failures.js';
import { testedOn } from './generations.js';
import type { Generation, Testable } from './generations.js';
import type { ProgramCode } from './hotplug-program.js';
import { isProgram } from './hotplug-program.js';
import type { OwnRule } from './own-rule.js';
import { recur } from './recur.js';

export interface CheckOptions {
  /** `['v5.10', 'v6.12']`; every generation that hotrace names where left out. */
  readonly generations?: readonly Generation[];
  /** As of explore(): steps of a thread, faults, depth. */
  readonly bounds?: ExploreOptions['bounds'];
  /** Of the schedules that are drawn; HOTRACE_SEED, or 0, where left out. */
  readonly seed?: number;
  readonly budget?: Budget;
  /** Rules of one's own, beside those that apply to every kernel. */
  readonly rules?: readonly OwnRule[];
  /** Of a program: the code that is under test in it. */
  readonly code?: ProgramCode;
  /** Where failing cases are kept, and tried first the next time; nowhere where left out. */
  readonly failures?: FailuresOptions;
}

/** What a test came to on one generation. */
export interface CheckedOn {
  /** Undefined: the scenario does not depend on the kernel. */
  readonly kernel: string | undefined;
  /** `clean` only when every interleaving was covered; `none`: the generation cannot run it. */
  readonly verdict: 'clean' | 'violated' | 'incomplete' | 'none';
  /** The function that the generation does not have. */
  readonly lacks: string | undefined;
  /** What was done, in its order: the search of every interleaving, then schedules drawn. */
  readonly explorations: readonly Exploration[];
  /** Of each rule that is broken the simplest schedule that was found. */
  readonly counterexamples: readonly Counterexample[];
  /** Rules that are broken, by id. */
  readonly rules: readonly string[];
  /** The file of a failing case that fails again; nothing else was searched then. */
  readonly again: string | undefined;
}

/** What a test came to. */
export interface Checked {
  readonly scenario: string;
  /**
   * The worst of the generations that can run it. `clean`: there is one, and on all of them every
   * interleaving was covered.
   */
  readonly verdict: 'clean' | 'violated' | 'incomplete';
  readonly seed: number;
  /** Rules that are broken on some generation, by id. */
  readonly rules: readonly string[];
  readonly on: readonly CheckedOn[];
  /** Files of failing cases that were written. */
  readonly saved: readonly string[];
}

/** What draws schedules beyond the budget, each with as many runs. */
const BEYOND: readonly Strategy[] = ['pct', 'pos', 'random'];

/**
 * Searches every interleaving of a scenario on each generation; where the budget does not suffice,
 * draws schedules from a seed.
 *
 * @throws ScenarioError where the scenario itself is at fault
 */
export function check(subject: Testable, options: CheckOptions = {}): Checked {
  const { generations, rules = [], code = {}, failures } = options;
  const seed = seedFrom(options.seed);
  const on: CheckedOn[] = [];
  let name = '';
  const saved: string[] = [];
  const program = isProgram(subject) ? subject : undefined;
  for (const { kernel, make } of testedOn(subject, generations, rules, code)) {
    let scenario: Scenario;
    try {
      scenario = make();
    } catch (error) {
      if (!isUnsupported(error)) throw error;
      on.push(unsupported(kernel, error.symbol));
      continue;
    }
    name = scenario.name;
    const kept = failures === undefined ? [] : savedFailures(failures, scenario.name, kernel);
    const again = firstAgain(scenario, kernel, kept);
    const checked = again ?? checkOn(scenario, kernel, seed, options);
    on.push(checked);
    if (failures === undefined || again !== undefined) continue;
    if (checked.verdict === 'clean') settleFailures(kept);
    for (const found of checked.counterexamples) {
      saved.push(saveFailure(failures, { scenario: name, kernel, seed, program, found }));
    }
  }
  const verdicts = on.map(({ verdict }) => verdict);
  return {
    scenario: name,
    verdict: verdicts.includes('violated')
      ? 'violated'
      : verdicts.includes('incomplete') || !verdicts.includes('clean')
        ? 'incomplete'
        : 'clean',
    seed,
    rules: [...new Set(on.flatMap((each) => each.rules))],
    on,
    saved,
  };
}

/** The first kept failure that fails again. */
function firstAgain(
  scenario: Scenario,
  kernel: string | undefined,
  kept: ReturnType<typeof savedFailures>,
): CheckedOn | undefined {
  for (const { file, schedules } of kept) {
    for (const { rule, steps } of schedules) {
      const found = recur(scenario, rule, steps);
      if (found === undefined) continue;
      return {
        kernel,
        verdict: 'violated',
        lacks: undefined,
        explorations: [],
        counterexamples: [found],
        rules: [rule],
        again: file,
      };
    }
  }
  return undefined;
}

function checkOn(
  scenario: Scenario,
  kernel: string | undefined,
  seed: number,
  { bounds, budget = {} }: CheckOptions,
): CheckedOn {
  const { states, runs, bugDepth } = { ...DEFAULT_BUDGET, ...budget };
  const time = budget.time === undefined ? {} : { time: budget.time };
  const limits = { states, ...time, ...bounds };
  try {
    const first = explore(scenario, { bounds: limits });
    const explorations = [first];
    if (first.verdict === 'incomplete') {
      for (const strategy of BEYOND) {
        explorations.push(explore(scenario, { strategy, seed, runs, bugDepth, bounds: limits }));
      }
    }
    return concluded(kernel, explorations);
  } catch (error) {
    if (!(error instanceof ScenarioError && isUnsupported(error.cause))) throw error;
    return unsupported(kernel, error.cause.symbol);
  }
}

function concluded(kernel: string | undefined, explorations: readonly Exploration[]): CheckedOn {
  const simplest = new Map<string, Counterexample>();
  for (const found of explorations.flatMap(({ counterexamples }) => counterexamples)) {
    const known = simplest.get(found.rule);
    if (known === undefined || costs(found) < costs(known)) simplest.set(found.rule, found);
  }
  const unshown = explorations.flatMap(({ withoutSchedule }) => withoutSchedule);
  const rules = [...new Set([...simplest.keys(), ...unshown])].sort();
  return {
    kernel,
    verdict: rules.length > 0 ? 'violated' : explorations[0].verdict,
    lacks: undefined,
    explorations,
    counterexamples: rules.flatMap((rule) => simplest.get(rule) ?? []),
    rules,
    again: undefined,
  };
}

/** Fewer preemptions first, then fewer steps. */
function costs({ preemptions, steps }: Counterexample): number {
  return preemptions * 1e6 + steps.length;
}

function unsupported(kernel: string | undefined, lacks: string): CheckedOn {
  return {
    kernel,
    verdict: 'none',
    lacks,
    explorations: [],
    counterexamples: [],
    rules: [],
    again: undefined,
  };
}
