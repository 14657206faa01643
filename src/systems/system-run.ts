/** What the search finds in each variant of a system. */

import type { System, SystemVariant } from '../../machines/system.js';
import { runVariant } from '../explore/corpus-run.js';
import type { VariantRun } from '../explore/corpus-run.js';
import type { ExploreOptions } from '../explore/explore.js';

/** A variant of a system, with everything that was tried on it. */
export interface SystemVariantRun {
  readonly variant: SystemVariant;
  readonly runs: readonly VariantRun[];
}

/** How many searches a system takes. */
export function triedOn({ variants }: System): number {
  return variants.reduce((sum, { tried }) => sum + tried.length, 0);
}

/**
 * Searches everything that is tried on a system.
 *
 * @param options of each search; `onRun` is told before each, by name
 * @throws Error for a variant that its race has not
 */
export function runSystem(
  { variants }: System,
  { onRun, ...options }: ExploreOptions & { readonly onRun?: (name: string) => void } = {},
): readonly SystemVariantRun[] {
  return variants.map((variant) => ({
    variant,
    runs: variant.tried.map(({ race, variant: name }) => {
      const found = race.variants.find((each) => each.name === name);
      if (found === undefined) throw new Error(`${race.id} has no variant "${name}"`);
      onRun?.(`${race.id}/${name}`);
      return runVariant(race, found, options);
    }),
  }));
}

/** Races whose bug is found in a variant, each once, in the order in which they were tried. */
export function brokenIn({ runs }: SystemVariantRun): readonly string[] {
  const broken = runs.filter(({ exploration }) => exploration.verdict === 'violated');
  return [...new Set(broken.map(({ race }) => race.id))];
}
