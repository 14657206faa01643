/** One of the threads that search together: what it is asked for, task by task. */

import { Futures } from './futures.js';
import { withFaults } from './fault-budget.js';
import { Ledger, LedgerFull } from './ledger.js';
import type { LedgerMemory } from './ledger.js';
import { Program } from './program.js';
import { Restart, Round } from './round.js';
import { ScenarioError } from './scenario-error.js';
import { fromSource } from './scenario-source.js';
import type { ScenarioSource } from './scenario-source.js';
import type { Bounds, Cut, Reductions, SearchStats } from './search-options.js';
import { newStats } from './search-options.js';
import { Sections } from './sections.js';
import { SharedVisited, VisitedFull } from './shared-visited.js';
import type { VisitedMemory } from './shared-visited.js';
import { SymmetryGroup } from './symmetry.js';
import { WALKS, walkAhead } from './walk-ahead.js';
import { WorkQueue } from './work-queue.js';
import type { QueueMemory } from './work-queue.js';

export interface PartTask {
  /** A number of its own for each search; what it has met is kept between its tasks. */
  readonly search: number;
  readonly source: ScenarioSource;
  readonly maxSteps: number;
  readonly faults: number | undefined;
  readonly reductions: Reductions;
  readonly bounds: Bounds;
  readonly glance?: number;
  readonly ledger: LedgerMemory;
  /** Threads that have begun this task, and how many there are: each thread gets one of the tasks. */
  readonly gate: Int32Array;
  readonly threads: number;
  readonly work: LearnWork | SearchWork;
}

/** Takes in what all have met. */
export interface LearnWork {
  readonly type: 'learn';
  /** Mutexes that some thread found to be divided. */
  readonly divided: number;
}

export interface SearchWork {
  readonly type: 'search';
  readonly visited: VisitedMemory;
  readonly queue: QueueMemory;
  /** It has the start. */
  readonly begins: boolean;
  /** ms that are left. */
  readonly time: number;
}

export type PartResult =
  | { readonly type: 'learned'; readonly changed: boolean; readonly threads: number }
  | {
      readonly type: 'searched';
      readonly violated: readonly string[];
      readonly cut: Cut | undefined;
      /** It must be begun again: a thread or a section was met, or there is too little room. */
      readonly again: 'restart' | 'full' | undefined;
      readonly divided: number;
      readonly loops: boolean;
      readonly stats: SearchStats;
    }
  /** The scenario is at fault: a search in one thread says how. */
  | { readonly type: 'failed' };

interface Part {
  readonly search: number;
  readonly program: Program;
  readonly ledger: Ledger;
  readonly futures: Futures;
  readonly sections: Sections;
  readonly group: SymmetryGroup | undefined;
}

let part: Part | undefined;

async function begin(task: PartTask): Promise<Part> {
  const { source, maxSteps, faults, reductions } = task;
  const program = new Program(withFaults(await fromSource(source), faults), maxSteps);
  const ledger = new Ledger(task.ledger, program);
  for (let t = 0; t < program.declaredThreads; t++) program.trie.root(t);
  const futures = new Futures(program);
  const sections = new Sections(program);
  const declared = program.scenario.symmetry ?? [];
  const group =
    reductions.symmetry && declared.length > 0 ? new SymmetryGroup(program, declared) : undefined;
  if (reductions.alone) walkAhead(program, WALKS);
  return { search: task.search, program, ledger, futures, sections, group };
}

/** What a pool of threads calls. */
export default async function run(task: PartTask): Promise<PartResult> {
  // A thread that was quick takes no task of another.
  Atomics.add(task.gate, 0, 1);
  Atomics.notify(task.gate, 0);
  for (let here = 0; here < task.threads;) {
    here = Atomics.load(task.gate, 0);
    if (here < task.threads) Atomics.wait(task.gate, 0, here, 10);
  }
  const { work } = task;
  try {
    if (part?.search !== task.search) part = await begin(task);
    part.ledger.sync();
    return work.type === 'learn' ? learn(part, task, work) : search(part, task, work);
  } catch (error) {
    if (work.type === 'search') new WorkQueue(work.queue).end();
    if (error instanceof ScenarioError) return { type: 'failed' };
    throw error;
  }
}

function learn(of: Part, { reductions }: PartTask, { divided }: LearnWork): PartResult {
  const { program, futures, sections, group } = of;
  sections.divideAll(divided);
  group?.layOut();
  futures.extend();
  let changed = false;
  if (reductions.alone) {
    changed = futures.learn(group);
    if (sections.learn()) changed = true;
  }
  return { type: 'learned', changed, threads: program.trie.threads.length };
}

function search(of: Part, task: PartTask, work: SearchWork): PartResult {
  const { program, ledger, futures, sections, group } = of;
  const { reductions, bounds, glance } = task;
  const stats = newStats();
  const queue = new WorkQueue(work.queue, () => ledger.sync());
  const round = new Round(
    {
      program,
      futures,
      sections,
      group,
      reductions,
      options: { bounds, ...(glance === undefined ? {} : { glance }) },
      stats,
      deadline: performance.now() + work.time,
    },
    new SharedVisited(work.visited),
    queue,
  );
  let again: 'restart' | 'full' | undefined;
  let cut: Cut | undefined;
  try {
    round.run(work.begins);
    cut = round.cut;
    if (round.stopped) queue.end();
  } catch (error) {
    queue.end();
    if (error instanceof Restart) again = 'restart';
    else if (error instanceof VisitedFull) again = 'full';
    else if (error instanceof LedgerFull) cut = 'memory';
    else throw error;
  }
  stats.nodes = program.trie.size - 1;
  stats.computed = program.computed;
  const violated = [...round.violated.keys()];
  const { divided } = sections.save();
  const loops = program.trie.hasLoops;
  return { type: 'searched', violated, cut, again, divided, loops, stats };
}
