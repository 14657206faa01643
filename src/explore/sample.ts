/** Random schedules: real violations, and never a proof that there are none. */

import type { Bounds, Cut } from './search-options.js';
import { memoryExceeded } from './memory.js';
import { checkThreads } from './program.js';
import type { Program } from './program.js';
import { RandomNumbers } from './random-numbers.js';
import type { MakeSampler } from './samplers/sampler.js';
import type { Move } from './schedule.js';
import { brokenRules } from './verdict-rules.js';

export interface SampleOptions {
  readonly seed: number;
  /** Schedules that are tried. */
  readonly runs: number;
  readonly bounds?: Bounds;
  /** Ends at the first violation. */
  readonly stopAtFirst?: boolean;
  /** Hears every run that came to its end: nobody can go on. */
  readonly onEnd?: (moves: readonly Move[]) => void;
  /** Hears, now and then, how many runs were made. */
  readonly onProgress?: (runs: number) => void;
}

export interface Sampled {
  /** By rule: the schedule that broke it first, and which run that was, from 1. */
  readonly violated: ReadonlyMap<string, { readonly run: number; readonly moves: readonly Move[] }>;
  readonly cut: Cut | undefined;
  /** Runs made. */
  readonly runs: number;
  readonly transitions: number;
  /** Steps of the longest run. */
  readonly longest: number;
}

/** A first guess at the steps of a run, before there was one. */
const GUESS = 32;
/** Steps of one run. */
const MAX_DEPTH = 100_000;
/** ms between two reports of progress. */
const TELL = 100;

/** Throws ScenarioError where the scenario itself is at fault. */
export function sample(program: Program, make: MakeSampler, options: SampleOptions): Sampled {
  const { trie } = program;
  const random = new RandomNumbers(options.seed);
  const sampler = make(program, random);
  const deadline = performance.now() + (options.bounds?.time ?? Infinity);
  const maxDepth = options.bounds?.depth ?? MAX_DEPTH;
  const violated = new Map<string, { run: number; moves: readonly Move[] }>();
  let cut: Cut | undefined;
  let transitions = 0;
  let longest = 0;
  let run = 0;
  let told = performance.now();
  while (run < options.runs && cut === undefined) {
    run++;
    let threads = trie.threads.length;
    let row = program.start(threads);
    const moves: Move[] = [];
    sampler.begin(threads, longest === 0 ? GUESS : longest);
    for (;;) {
      const enabled: number[] = [];
      for (let t = 0; t < threads; t++) if (program.enabled(row, t)) enabled.push(t);
      for (const rule of brokenRules(program, row, enabled.length === 0)) {
        if (!violated.has(rule)) violated.set(rule, { run, moves: [...moves] });
      }
      if (enabled.length === 0) options.onEnd?.(moves);
      if (enabled.length === 0 || moves.length >= maxDepth) break;
      const thread = sampler.pick(row, enabled, moves.length);
      const outcomes = program.outcomes(row, thread);
      const outcome = sampler.outcome?.(outcomes, moves.length) ?? random.below(outcomes);
      sampler.steps(row, thread);
      program.step(row, thread, outcome);
      moves.push({ thread, outcome });
      transitions++;
      if (trie.threads.length > threads) {
        // A thread that was never met: the run is begun again with a place for it.
        checkThreads(trie.threads.length);
        threads = trie.threads.length;
        row = program.start(threads);
        moves.length = 0;
        sampler.begin(threads, longest === 0 ? GUESS : longest);
      }
    }
    longest = Math.max(longest, moves.length);
    if (options.stopAtFirst === true && violated.size > 0) break;
    const now = performance.now();
    if (now - told > TELL) {
      told = now;
      options.onProgress?.(run);
    }
    if (now > deadline) cut = 'time';
    else if (run % 256 === 0 && memoryExceeded(options.bounds?.memory)) cut = 'memory';
  }
  return { violated, cut, runs: run, transitions, longest };
}
