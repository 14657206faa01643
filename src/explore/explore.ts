/** Explores a scenario: clean, violated with the simplest schedule, or incomplete and why. */

import type { Scenario } from '../../machines/scenario.js';
import { searchBounded } from './bounded.js';
import type { ClassCountLimits } from './class-counts.js';
import { counterexample } from './counterexample.js';
import type { Counterexample } from './counterexample.js';
import { readCheckpoint, writeCheckpoint } from './checkpoint.js';
import type { SearchIdentity } from './checkpoint.js';
import { Exhaustive } from './exhaustive.js';
import { ALL_REDUCTIONS } from './search-options.js';
import type { Bounds, Cut, Reductions, SearchResult, SearchStats } from './search-options.js';
import { withFaults } from './fault-budget.js';
import { DrawnClasses, uniformGuarantee } from './drawn-classes.js';
import type { Coverage } from './drawn-classes.js';
import { DEFAULT_MAX_STEPS, Program } from './program.js';
import { findPartialDeadlock } from './partial-deadlock.js';
import { sample } from './sample.js';
import type { SavedSearch } from './saved-search.js';
import { pct, pctBound } from './samplers/pct.js';
import { pos } from './samplers/pos.js';
import { randomWalk } from './samplers/random-walk.js';
import { surw } from './samplers/surw.js';
import { PARTIAL_DEADLOCK } from './verdict-rules.js';
import { uniform } from './samplers/uniform.js';

export const STRATEGIES = [
  'exhaustive',
  'bounded',
  'random',
  'pct',
  'pos',
  'surw',
  'uniform',
] as const;
export type Strategy = (typeof STRATEGIES)[number];

export interface ExploreOptions {
  /**
   * `exhaustive`: every interleaving, reduced. `bounded`: by number of preemptions, unreduced but
   * for symmetry. The others draw schedules at random and never say clean.
   */
  readonly strategy?: Strategy;
  /** Of random schedules: the seed (0), how many (10,000), and for `pct` the depth of bugs (3). */
  readonly seed?: number;
  readonly runs?: number;
  readonly bugDepth?: number;
  /** Of random schedules: tells which part of all classes they were in; `uniform` does where they are counted. */
  readonly coverage?: boolean;
  readonly reductions?: Partial<Reductions>;
  readonly bounds?: Bounds & {
    /** Of `bounded`. */
    readonly preemptions?: number;
    /** Steps of one thread. */
    readonly steps?: number;
    /** Faults in a run: they are part of the system, and take the place of the scenario's. */
    readonly faults?: number;
  };
  /** Of `exhaustive`: writes the search to a file now and then, for `resume`. */
  readonly checkpoint?: {
    readonly file: string;
    /** ms between two; 5,000 where left out, more where writing takes more than a tenth of that. */
    readonly every?: number;
  };
  /** Of `exhaustive`: a checkpoint of the same scenario and options, to go on from. */
  readonly resume?: string;
  /** Of `exhaustive`; `share`: of the present round, from 0 to 1. */
  readonly onProgress?: (stats: SearchStats, share: number) => void;
  /** Of random schedules: hears, now and then, how many of how many runs were made. */
  readonly onRuns?: (done: number, runs: number) => void;
}

export interface Exploration {
  readonly scenario: string;
  readonly strategy: Strategy;
  /** `clean` only when every interleaving was covered. */
  readonly verdict: 'clean' | 'violated' | 'incomplete';
  /** The bound that cut the search, if one did. Violations are real all the same. */
  readonly cut: Cut | 'preemptions' | undefined;
  readonly counterexamples: readonly Counterexample[];
  /** Rules that are broken and for which no schedule was found within the bounds. */
  readonly withoutSchedule: readonly string[];
  /** Faults that a run had, at most; undefined: none can be injected. */
  readonly faults: number | undefined;
  readonly stats: SearchStats;
  /** Of random schedules. */
  readonly sampled?: {
    readonly seed: number;
    readonly runs: number;
    /** In which run each rule was broken first. */
    readonly found: Readonly<Record<string, number>>;
    /** What the strategy guarantees after so many runs; undefined: nothing. */
    readonly guarantee: string | undefined;
    /** Which of the classes of interleavings were drawn; undefined where it was not asked for. */
    readonly coverage: Coverage | undefined;
  };
}

/** States that the search for the cheapest schedule looks at. */
const MAX_CHEAPEST = 2_000_000;
const CHEAPEST_MS = 60_000;

const CHECKPOINT_MS = 5000;

/**
 * Throws ScenarioError where the scenario itself is at fault, CheckpointError where a checkpoint
 * cannot be written or read, or is of another search.
 */
export function explore(declared: Scenario, options: ExploreOptions = {}): Exploration {
  const { strategy = 'exhaustive', bounds } = options;
  const scenario = withFaults(declared, bounds?.faults);
  const program = new Program(scenario, bounds?.steps ?? DEFAULT_MAX_STEPS);
  const symmetry = options.reductions?.symmetry ?? true;
  if (strategy === 'bounded') {
    const result = searchBounded(program, {
      symmetry,
      ...(bounds === undefined ? {} : { bounds }),
      ...(bounds?.preemptions === undefined ? {} : { preemptions: bounds.preemptions }),
    });
    const stats: SearchStats = {
      states: result.states,
      transitions: result.transitions,
      rounds: 1,
      allTransitions: result.transitions,
      bytes: result.bytes,
      nodes: program.trie.size - 1,
      computed: program.computed,
      longest: 0,
    };
    if (result.cut === undefined && program.trie.hasLoops) {
      // Who waits for ever beside others is in no state by itself.
      const violated = [...result.violated.keys()];
      const { cut } = result;
      return { ...conclude(scenario, options, { violated, cut, stats, loops: true }), strategy };
    }
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
      faults: scenario.faults,
      stats,
    };
  }
  if (strategy !== 'exhaustive') return exploreAtRandom(program, strategy, options);
  const { violated, cut, stats } = exhaust(program, options);
  return conclude(scenario, options, {
    violated: [...violated.keys()],
    cut,
    stats,
    loops: program.trie.hasLoops,
  });
}

/** How a search ended. */
export interface Searched {
  readonly violated: readonly string[];
  readonly cut: Cut | undefined;
  readonly stats: SearchStats;
  /** Some thread goes in a loop: it may go on for ever. */
  readonly loops: boolean;
}

/**
 * What a search of all interleavings came to. The schedules are searched for in a program of their
 * own: they depend on nothing that the search has met, nor on how many threads searched.
 */
export function conclude(
  scenario: Scenario,
  options: ExploreOptions,
  { violated, cut: searchCut, stats, loops }: Searched,
): Exploration {
  const { bounds } = options;
  const maxSteps = bounds?.steps ?? DEFAULT_MAX_STEPS;
  const partial =
    loops && searchCut === undefined
      ? findPartialDeadlock(new Program(scenario, maxSteps), options.reductions ?? {}, bounds)
      : undefined;
  const cut = searchCut ?? partial?.cut;
  const rules = [...violated, ...(partial?.found === true ? [PARTIAL_DEADLOCK] : [])].sort();
  const program = new Program(scenario, maxSteps);
  const found =
    rules.length === 0
      ? undefined
      : searchBounded(program, {
          symmetry: options.reductions?.symmetry ?? true,
          until: rules,
          bounds: { states: MAX_CHEAPEST, time: bounds?.time ?? CHEAPEST_MS },
        });
  return {
    scenario: scenario.name,
    strategy: 'exhaustive',
    verdict: verdict(rules.length, cut),
    cut,
    counterexamples: rules.flatMap((rule) => {
      const cheapest = found?.violated.get(rule);
      return cheapest === undefined ? [] : [counterexample(program, rule, cheapest.moves, true)];
    }),
    withoutSchedule: rules.filter((rule) => found?.violated.has(rule) !== true),
    faults: scenario.faults,
    stats,
  };
}

function exhaust(program: Program, options: ExploreOptions): SearchResult {
  const { bounds, checkpoint, resume } = options;
  const of: SearchIdentity = {
    scenario: program.scenario,
    reductions: { ...ALL_REDUCTIONS, ...options.reductions },
    maxSteps: bounds?.steps ?? DEFAULT_MAX_STEPS,
  };
  const search = new Exhaustive(program, {
    reductions: of.reductions,
    ...(bounds === undefined ? {} : { bounds }),
    ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
    ...(checkpoint === undefined ? {} : { onPause: checkpoints(checkpoint, of) }),
  });
  return resume === undefined ? search.run() : search.resume(readCheckpoint(resume, of));
}

/** Writes when it is time again: a tenth of the time at most goes into writing. */
function checkpoints(
  { file, every = CHECKPOINT_MS }: NonNullable<ExploreOptions['checkpoint']>,
  of: SearchIdentity,
): (save: () => SavedSearch) => void {
  let next = performance.now() + every;
  return (save) => {
    const begin = performance.now();
    if (begin < next) return;
    writeCheckpoint(file, of, save());
    const end = performance.now();
    next = end + Math.max(every, 9 * (end - begin));
  };
}

const SAMPLERS = { random: randomWalk, pos, surw } as const;
const DEFAULT_RUNS = 10_000;
const DEFAULT_BUG_DEPTH = 3;

function exploreAtRandom(
  program: Program,
  strategy: Exclude<Strategy, 'exhaustive' | 'bounded'>,
  options: ExploreOptions,
): Exploration {
  const { bounds, seed = 0, runs = DEFAULT_RUNS, bugDepth = DEFAULT_BUG_DEPTH } = options;
  const began = performance.now();
  const classes = new DrawnClasses(program, {
    uniform: strategy === 'uniform',
    asked: options.coverage === true,
    limits: countLimits(bounds),
  });
  const sampler =
    strategy === 'pct'
      ? pct(bugDepth)
      : strategy === 'uniform'
        ? uniform(classes.counts, bounds?.depth === undefined ? {} : { depth: bounds.depth })
        : SAMPLERS[strategy];
  const time =
    bounds?.time === undefined ? {} : { time: bounds.time - (performance.now() - began) };
  const result = sample(program, sampler, {
    seed,
    runs,
    bounds: { ...bounds, ...time },
    ...(classes.onEnd === undefined ? {} : { onEnd: classes.onEnd }),
    onProgress: (done) => options.onRuns?.(done, runs),
  });
  const coverage = classes.coverage(seed);
  const rules = [...result.violated.keys()];
  const cheap =
    rules.length === 0
      ? undefined
      : searchBounded(program, {
          until: rules,
          bounds: { states: MAX_CHEAPEST, time: bounds?.time ?? CHEAPEST_MS },
        });
  const threads = program.trie.threads.length;
  const least = pctBound(threads, result.longest, bugDepth);
  return {
    scenario: program.scenario.name,
    strategy,
    verdict: rules.length > 0 ? 'violated' : 'incomplete',
    cut: result.cut,
    counterexamples: rules.map((rule) => {
      const cheapest = cheap?.violated.get(rule);
      const moves = cheapest?.moves ?? result.violated.get(rule)!.moves;
      return counterexample(program, rule, moves, cheapest !== undefined);
    }),
    withoutSchedule: [],
    faults: program.scenario.faults,
    stats: {
      states: 0,
      transitions: result.transitions,
      rounds: 1,
      allTransitions: result.transitions,
      bytes: 0,
      nodes: program.trie.size - 1,
      computed: program.computed,
      longest: result.longest,
    },
    sampled: {
      seed,
      runs: result.runs,
      found: Object.fromEntries([...result.violated].map(([rule, { run }]) => [rule, run])),
      guarantee:
        strategy === 'pct'
          ? `a bug of depth ${bugDepth} is hit with at least ${(1 - (1 - least) ** result.runs).toPrecision(3)} (1/(${threads} x ${result.longest}^${bugDepth - 1}) a run)`
          : strategy === 'uniform' && coverage !== undefined
            ? uniformGuarantee(coverage, result.runs)
            : undefined,
      coverage,
    },
  };
}

/** Counting has the bound on states, and half of the time. */
function countLimits(bounds: ExploreOptions['bounds']): ClassCountLimits {
  const { states, time, memory } = bounds ?? {};
  return {
    ...(states === undefined ? {} : { pairs: states }),
    ...(time === undefined ? {} : { time: time / 2 }),
    ...(memory === undefined ? {} : { memory }),
  };
}

function verdict(violations: number, cut: unknown): Exploration['verdict'] {
  if (violations > 0) return 'violated';
  return cut === undefined ? 'clean' : 'incomplete';
}
