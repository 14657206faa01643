/**
 * A search by several threads: they share the visited states and the numbers of all that they meet,
 * and give each other work. The verdict and the schedules are those of one thread.
 */

import type { Piscina } from 'piscina';
import { withFaults } from './fault-budget.js';
import { conclude, explore } from './explore.js';
import type { Exploration, ExploreOptions, Searched } from './explore.js';
import { ledgerMemory } from './ledger.js';
import type { LearnWork, PartResult, PartTask, SearchWork } from './parallel-worker.js';
import { DEFAULT_MAX_STEPS, Program } from './program.js';
import { fromSource } from './scenario-source.js';
import type { ScenarioSource } from './scenario-source.js';
import { ALL_REDUCTIONS, newStats } from './search-options.js';
import type { SearchStats } from './search-options.js';
import { SharedVisited, visitedMemory } from './shared-visited.js';
import type { VisitedMemory } from './shared-visited.js';
import { queueMemory } from './work-queue.js';

export type ParallelOptions = Omit<ExploreOptions, 'strategy' | 'checkpoint' | 'resume'> & {
  /** Threads that search; they are added to the one that waits for them. */
  readonly jobs: number;
  /** Steps between two looks whether others want work; 1,024 where left out. */
  readonly glance?: number;
};

/** States for which there is room at first, and at most: each time it is too little, 8 times that. */
const CAPACITY = 1 << 20;
const MAX_CAPACITY = 1 << 26;
/** ms between two reports of progress. */
const REPORT = 200;
/** ms; a timer takes no more. */
const ENDLESS = 2 ** 31 - 1;

type Learned = Extract<PartResult, { type: 'learned' }>;
type PartSearched = Extract<PartResult, { type: 'searched' }>;

/**
 * Searches every interleaving, as `explore` does, by `jobs` threads. They load the scenario each for
 * itself, so it must come from a module.
 *
 * @returns what `explore` returns; the numbers of states and steps may differ a little
 * @throws what the source throws, and ScenarioError where the scenario itself is at fault
 */
export async function exploreParallel(
  source: ScenarioSource,
  options: ParallelOptions,
): Promise<Exploration> {
  if (options.jobs < 2) return explore(await fromSource(source), options);
  const pool = await searchPool(options.jobs);
  try {
    return await exploreIn(pool, source, options);
  } finally {
    await pool.destroy();
  }
}

export type SearchPool = Piscina<PartTask, PartResult>;

/** Threads for searches, one after the other. To be destroyed. */
export async function searchPool(threads: number): Promise<SearchPool> {
  const { Piscina: Pool } = await import('piscina');
  return new Pool<PartTask, PartResult>({
    filename: new URL('./explore/parallel-worker.js', import.meta.resolve('hotrace')).href,
    minThreads: threads,
    maxThreads: threads,
  });
}

/** `exploreParallel` in a pool of `options.jobs` threads. */
export async function exploreIn(
  pool: SearchPool,
  source: ScenarioSource,
  options: ParallelOptions,
): Promise<Exploration> {
  const scenario = withFaults(await fromSource(source), options.bounds?.faults);
  const search = new ParallelSearch(pool, source, options, new Program(scenario).entities);
  const result = await search.run();
  // One thread tells what is wrong, and where.
  if (result === undefined) return explore(scenario, options);
  return conclude(scenario, options, result);
}

let searches = 0;

class ParallelSearch {
  private readonly number = searches++;
  private readonly ledger = ledgerMemory();
  private readonly deadline: number;
  private readonly stats = newStats();
  private divided = 0;

  constructor(
    private readonly pool: SearchPool,
    private readonly source: ScenarioSource,
    private readonly options: ParallelOptions,
    private readonly entities: number,
  ) {
    this.deadline = performance.now() + (options.bounds?.time ?? ENDLESS);
  }

  /** Undefined: the scenario is at fault. */
  async run(): Promise<Searched | undefined> {
    const { stats } = this;
    const learns = this.options.reductions?.alone ?? true;
    let capacity = CAPACITY;
    let learned = await this.learn();
    for (;;) {
      if (learned === undefined) return undefined;
      let memory: VisitedMemory;
      try {
        memory = visitedMemory(this.entities + learned.threads, capacity);
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        return { violated: [], cut: 'memory', stats, loops: false };
      }
      stats.rounds++;
      const parts = await this.search(memory);
      if (parts === undefined) return undefined;
      const again = parts.map((part) => part.again);
      const cut = parts.find((part) => part.cut !== undefined && part.cut !== 'steps')?.cut;
      const violated = [...new Set(parts.flatMap((part) => part.violated))];
      const loops = parts.some((part) => part.loops);
      if (cut !== undefined) return { violated, cut, stats, loops };
      if (again.includes('full')) {
        if (capacity === MAX_CAPACITY) return { violated, cut: 'memory', stats, loops };
        capacity = Math.min(MAX_CAPACITY, capacity * 8);
      }
      learned = await this.learn();
      if (learned === undefined) return undefined;
      if (again.every((why) => why === undefined) && !(learns && learned.changed)) {
        const steps = parts.find((part) => part.cut !== undefined)?.cut;
        return { violated, cut: steps, stats, loops };
      }
    }
  }

  /** Until nobody has anything to tell that others do not know. */
  private async learn(): Promise<Omit<Learned, 'type'> | undefined> {
    let changed = false;
    for (;;) {
      const [, before] = this.ledger.head;
      const parts = await this.all<Learned>(() => ({ type: 'learn', divided: this.divided }));
      if (parts === undefined) return undefined;
      if (parts.some((part) => part.changed)) changed = true;
      const [, after] = this.ledger.head;
      if (before === after) return { changed, threads: parts[0].threads };
    }
  }

  private async search(visited: VisitedMemory): Promise<readonly PartSearched[] | undefined> {
    const { stats, options } = this;
    const queue = queueMemory(options.jobs);
    const view = new SharedVisited(visited);
    const report = setInterval(() => {
      stats.states = view.count;
      options.onProgress?.(stats, 0);
    }, REPORT);
    let parts: readonly PartSearched[] | undefined;
    try {
      parts = await this.all<PartSearched>((index) => ({
        type: 'search',
        visited,
        queue,
        begins: index === 0,
        time: Math.max(0, this.deadline - performance.now()),
      }));
    } finally {
      clearInterval(report);
    }
    if (parts === undefined) return undefined;
    const sum = (of: (part: SearchStats) => number) =>
      parts.reduce((total, part) => total + of(part.stats), 0);
    stats.states = view.count;
    stats.bytes = view.bytes;
    stats.transitions = sum(({ transitions }) => transitions);
    stats.allTransitions += stats.transitions;
    stats.computed = sum(({ computed }) => computed);
    stats.nodes = Math.max(...parts.map((part) => part.stats.nodes));
    stats.longest = Math.max(stats.longest, ...parts.map((part) => part.stats.longest));
    for (const { divided } of parts) this.divided |= divided;
    return parts;
  }

  /** Gives each thread its part. Undefined: the scenario is at fault. */
  private async all<Result extends PartResult>(
    work: (index: number) => LearnWork | SearchWork,
  ): Promise<readonly Result[] | undefined> {
    const { options, source, ledger, number } = this;
    const gate = new Int32Array(new SharedArrayBuffer(4));
    const results = await Promise.all(
      Array.from({ length: options.jobs }, (_, index) =>
        this.pool.run({
          search: number,
          source,
          faults: options.bounds?.faults,
          maxSteps: options.bounds?.steps ?? DEFAULT_MAX_STEPS,
          reductions: { ...ALL_REDUCTIONS, ...options.reductions },
          bounds: options.bounds ?? {},
          ...(options.glance === undefined ? {} : { glance: options.glance }),
          ledger,
          gate,
          threads: options.jobs,
          work: work(index),
        }),
      ),
    );
    return results.some(({ type }) => type === 'failed') ? undefined : (results as Result[]);
  }
}
