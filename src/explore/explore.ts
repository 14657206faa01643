/** Explores a scenario: clean, violated with the simplest schedule, or incomplete and why. */

import type { Scenario } from '../../machines/scenario.js';
import { searchBounded } from './bounded.js';
import { counterexample } from './counterexample.js';
import type { Counterexample } from './counterexample.js';
import { Exhaustive } from './exhaustive.js';
import type { Bounds, Cut, Reductions, SearchStats } from './exhaustive.js';
import { DEFAULT_MAX_STEPS, Program } from './program.js';

export interface ExploreOptions {
  /**
   * `exhaustive`: every interleaving, reduced. `bounded`: by number of preemptions, unreduced but
   * for symmetry.
   */
  readonly strategy?: 'exhaustive' | 'bounded';
  readonly reductions?: Partial<Reductions>;
  readonly bounds?: Bounds & {
    /** Of `bounded`. */
    readonly preemptions?: number;
    /** Steps of one thread. */
    readonly steps?: number;
  };
  readonly onProgress?: (stats: SearchStats) => void;
}

export interface Exploration {
  readonly scenario: string;
  readonly strategy: 'exhaustive' | 'bounded';
  /** `clean` only when every interleaving was covered. */
  readonly verdict: 'clean' | 'violated' | 'incomplete';
  /** The bound that cut the search, if one did. Violations are real all the same. */
  readonly cut: Cut | 'preemptions' | undefined;
  readonly counterexamples: readonly Counterexample[];
  /** Rules that are broken and for which no schedule was found within the bounds. */
  readonly withoutSchedule: readonly string[];
  readonly stats: SearchStats;
}

/** States that the search for the cheapest schedule looks at. */
const MAX_CHEAPEST = 2_000_000;
const CHEAPEST_MS = 60_000;

/** Throws ScenarioError where the scenario itself is at fault. */
export function explore(scenario: Scenario, options: ExploreOptions = {}): Exploration {
  const { strategy = 'exhaustive', bounds } = options;
  const program = new Program(scenario, bounds?.steps ?? DEFAULT_MAX_STEPS);
  const symmetry = options.reductions?.symmetry ?? true;
  if (strategy === 'bounded') {
    const result = searchBounded(program, {
      symmetry,
      ...(bounds === undefined ? {} : { bounds }),
      ...(bounds?.preemptions === undefined ? {} : { preemptions: bounds.preemptions }),
    });
    const counterexamples = [...result.violated].map(([rule, { moves }]) =>
      counterexample(program, rule, moves, true),
    );
    return {
      scenario: scenario.name,
      strategy,
      verdict: verdict(counterexamples.length, result.cut),
      cut: result.cut,
      counterexamples,
      withoutSchedule: [],
      stats: {
        states: result.states,
        transitions: result.transitions,
        rounds: 1,
        allTransitions: result.transitions,
        bytes: result.bytes,
        nodes: program.trie.size - 1,
        computed: program.computed,
        longest: 0,
      },
    };
  }
  const { violated, cut, stats } = new Exhaustive(program, {
    ...(options.reductions === undefined ? {} : { reductions: options.reductions }),
    ...(bounds === undefined ? {} : { bounds }),
    ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
  }).run();
  const rules = [...violated.keys()];
  const found =
    rules.length === 0
      ? undefined
      : searchBounded(program, {
          symmetry,
          until: rules,
          bounds: { states: MAX_CHEAPEST, time: bounds?.time ?? CHEAPEST_MS },
        });
  return {
    scenario: scenario.name,
    strategy,
    verdict: verdict(rules.length, cut),
    cut,
    counterexamples: rules.flatMap((rule) => {
      const cheapest = found?.violated.get(rule);
      return cheapest === undefined ? [] : [counterexample(program, rule, cheapest.moves, true)];
    }),
    withoutSchedule: rules.filter((rule) => found?.violated.has(rule) !== true),
    stats,
  };
}

function verdict(violations: number, cut: unknown): Exploration['verdict'] {
  if (violations > 0) return 'violated';
  return cut === undefined ? 'clean' : 'incomplete';
}
