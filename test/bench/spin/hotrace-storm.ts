/** Searches of the storm, here or in a process of their own, and what they took. */

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { storm } from '../../../machines/races/storm.js';
import { Exhaustive } from '../../../src/explore/exhaustive.js';
import { NO_REDUCTION } from '../../../src/explore/search-options.js';
import type { SearchStats } from '../../../src/explore/search-options.js';
import { Program } from '../../../src/explore/program.js';

const SEARCH = fileURLToPath(new URL('storm-process.js', import.meta.url));

export type Listener = Parameters<typeof storm>[1];

export interface StormSearch {
  readonly stats: SearchStats;
  /** Undefined: the search was complete. */
  readonly cut: string | undefined;
  readonly violated: readonly string[];
  /** ms, see `Stopwatch`. */
  readonly ms: number;
}

export interface StormRun extends StormSearch {
  /** ms of the process, from its start to its end; by the clock or of its processor time. */
  readonly whole: number;
  /** ms, the median of the repeated searches; left out where there are none. */
  readonly warm?: number;
  /** Most MB of the process that were resident by the end of the first search. */
  readonly resident: number;
}

/**
 * Milliseconds since it was made: by the clock or of processor time, whichever is less. The clock
 * counts what other processes took, processor time what ran at the same time as the search.
 */
export class Stopwatch {
  private readonly clock = performance.now();
  private readonly processor = process.cpuUsage();

  get ms(): number {
    const { user, system } = process.cpuUsage(this.processor);
    return Math.min(performance.now() - this.clock, (user + system) / 1000);
  }
}

/** A program is made and searched. */
export function searchStorm(devices: number, listener: Listener, reduced = true): StormSearch {
  const watch = new Stopwatch();
  const program = new Program(storm(devices, listener));
  const options = reduced ? {} : { reductions: NO_REDUCTION };
  const { stats, cut, violated } = new Exhaustive(program, options).run();
  return { stats, cut, violated: [...violated.keys()], ms: watch.ms };
}

/** Final states of the unreduced search in which some machine breaks a rule. */
export function wrongFinals(devices: number, listener: Listener): number {
  const program = new Program(storm(devices, listener));
  let wrong = 0;
  new Exhaustive(program, {
    reductions: NO_REDUCTION,
    onFinal: (row) => {
      if (program.tables.some((table, e) => table.rule(row[e]) !== undefined)) wrong++;
    },
  }).run();
  return wrong;
}

/** NaN for none. */
export const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b).at(values.length >> 1) ?? NaN;

/** Searches in a new process; throws where that fails. */
export function runStorm(devices: number, listener: Listener, warm = 0): StormRun {
  const begin = performance.now();
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    [SEARCH, listener, String(devices), String(warm)],
    { encoding: 'utf8' },
  );
  const clock = performance.now() - begin;
  if (status !== 0) throw new Error(stderr);
  const run = JSON.parse(stdout) as StormRun;
  return { ...run, whole: Math.min(run.whole, clock) };
}
