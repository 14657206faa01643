/**
 * The stateful search: depth first over all interleavings, with sleep sets, the run-alone rule over
 * learned futures, sections run as one step, and symmetry; each can be switched off. Source:
 * exploration.md section 2, exploration/reductions.md section 2.
 */

import { Futures } from './futures.js';
import { checkThreads } from './program.js';
import type { Program } from './program.js';
import { Restart, Round } from './round.js';
import { checkMachines, restoreProgram } from './saved-search.js';
import type { SavedRound, SavedSearch } from './saved-search.js';
import { ALL_REDUCTIONS, newStats } from './search-options.js';
import type { Reductions, SearchOptions, SearchResult, SearchStats } from './search-options.js';
import { Sections } from './sections.js';
import { SymmetryGroup } from './symmetry.js';
import { LocalVisited } from './visited.js';
import { WALKS, walkAhead } from './walk-ahead.js';

/** Searches a program to the end, or to a bound. */
export class Exhaustive {
  private readonly reductions: Reductions;
  private readonly futures: Futures;
  private readonly sections: Sections;
  private group: SymmetryGroup | undefined;

  constructor(
    readonly program: Program,
    private readonly options: SearchOptions = {},
  ) {
    this.reductions = { ...ALL_REDUCTIONS, ...options.reductions };
    this.futures = new Futures(program);
    this.sections = new Sections(program);
  }

  /**
   * Takes up a search that was saved: of the same scenario, in a fresh program, with the same
   * reductions. Throws ScenarioError, also where the scenario is not the same.
   */
  resume(saved: SavedSearch): SearchResult {
    const { program, reductions } = this;
    restoreProgram(program, saved.program);
    const declared = program.scenario.symmetry ?? [];
    if (reductions.symmetry && declared.length > 0) {
      this.group = new SymmetryGroup(program, declared);
    }
    checkMachines(program, saved.program);
    this.futures.restore(saved.futures);
    this.sections.restore(saved.sections);
    return this.search({ ...saved.stats }, saved.round);
  }

  /** Throws ScenarioError where the scenario itself is at fault. */
  run(): SearchResult {
    const { program, reductions, options } = this;
    const { trie } = program;
    for (let t = 0; t < program.declaredThreads; t++) trie.root(t);
    const declared = program.scenario.symmetry ?? [];
    if (reductions.symmetry && declared.length > 0) {
      this.group = new SymmetryGroup(program, declared);
    }
    if (reductions.alone) {
      // What is met before the first round need not be met by a round that is searched in vain.
      walkAhead(program, options.walks ?? WALKS);
      this.group?.layOut();
      this.learn();
    }
    return this.search(newStats());
  }

  private learn(): boolean {
    const learned = this.futures.learn(this.group);
    return this.sections.learn() || learned;
  }

  /** @param saved the round to begin with */
  private search(stats: SearchStats, saved?: SavedRound): SearchResult {
    const { program, reductions, options, futures, sections } = this;
    const { trie } = program;
    const time = options.bounds?.time;
    const deadline = time === undefined ? Infinity : performance.now() + time;
    for (let first = saved; ; first = undefined) {
      checkThreads(trie.threads.length);
      if (first === undefined) stats.rounds++;
      options.onRound?.();
      const visited = new LocalVisited(program.entities + trie.threads.length);
      const round = new Round(
        { program, futures, sections, group: this.group, reductions, options, stats, deadline },
        visited,
      );
      try {
        if (first === undefined) round.run(true);
        else round.resume(first, visited);
      } catch (error) {
        if (!(error instanceof Restart)) throw error;
        this.group?.layOut();
        if (reductions.alone) this.learn();
        continue;
      } finally {
        stats.allTransitions += stats.transitions;
        stats.nodes = trie.size - 1;
        stats.computed = program.computed;
      }
      if (round.stopped || !reductions.alone || !this.learn()) {
        return { violated: round.violated, cut: round.cut, stats };
      }
    }
  }
}
