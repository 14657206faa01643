/** A variant of a race searched, and whether it came to what is expected of it. */

import { variantName, variantScenario } from '../../machines/races/corpus.js';
import type { Race, RaceVariant } from '../../machines/races/race.js';
import { explore } from './explore.js';
import type { Exploration, ExploreOptions } from './explore.js';

export interface Judgement {
  readonly asExpected: boolean;
  /** What it is instead; undefined where it is as expected. */
  readonly why: string | undefined;
  /** Rules that are broken, by id. */
  readonly found: readonly string[];
  /** Those of them that nobody announced. */
  readonly others: readonly string[];
}

/**
 * A variant with the bug must break one of its rules, by a schedule that goes the same way through
 * plain xstate; one with the fix must break none in any interleaving.
 */
export function judge(variant: RaceVariant, exploration: Exploration): Judgement {
  const { verdict, cut, counterexamples, withoutSchedule } = exploration;
  const breaks = variant.breaks ?? [];
  const found = [...counterexamples.map(({ rule }) => rule), ...withoutSchedule];
  const others = found.filter((rule) => !breaks.includes(rule));
  const why =
    variant.expected === 'clean'
      ? verdict === 'clean' && cut === undefined
        ? undefined
        : broken(found, cut)
      : counterexamples.some(({ rule, confirmed }) => breaks.includes(rule) && confirmed)
        ? undefined
        : counterexamples.some(({ rule }) => breaks.includes(rule))
          ? 'the schedule is not confirmed by a run through plain xstate'
          : broken(found, cut);
  return { asExpected: why === undefined, why, found, others };
}

function broken(found: readonly string[], cut: string | undefined): string {
  if (found.length > 0) return `${found.join(', ')} broken`;
  return cut === undefined ? 'no rule is broken' : `the search was cut by its bound on ${cut}`;
}

/** A variant that was searched. */
export interface VariantRun extends Judgement {
  readonly race: Race;
  readonly variant: RaceVariant;
  readonly exploration: Exploration;
  readonly ms: number;
}

/** Throws what the search throws, with the name of the variant. */
export function runVariant(
  race: Race,
  variant: RaceVariant,
  options: ExploreOptions = {},
): VariantRun {
  const began = performance.now();
  let exploration: Exploration;
  try {
    exploration = explore(variantScenario(race, variant), options);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`${variantName(race, variant)}: ${why}`, { cause: error });
  }
  const ms = performance.now() - began;
  return { race, variant, exploration, ms, ...judge(variant, exploration) };
}
