/** `hotrace explore`. */

import { rmSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { SingleBar } from 'cli-progress';
import { CATALOGUE } from '../../machines/races/catalogue.js';
import { CheckpointError } from '../explore/checkpoint.js';
import { classNumber } from '../explore/class-number.js';
import type { ClassNumberOptions } from '../explore/class-number.js';
import { explore, STRATEGIES } from '../explore/explore.js';
import type { Exploration, ExploreOptions, Strategy } from '../explore/explore.js';
import type { SearchStats } from '../explore/search-options.js';
import { withFaults } from '../explore/fault-budget.js';
import { exploreParallel } from '../explore/parallel.js';
import { messageOf, ScenarioError } from '../explore/scenario-error.js';
import { scheduleMermaid } from '../report/schedule-mermaid.js';
import { classNumberText } from '../report/class-number-text.js';
import { exploreText } from '../report/explore-text.js';
import { sentence, wrap } from '../report/format.js';
import { refuseStdout, writeItf, writeLogs } from './counterexample-files.js';
import { EXIT } from './exit-code.js';
import type { ExitCode } from './exit-code.js';
import { lineOf } from './generator-location.js';
import { libraryEntry, loadScenario, placeIn } from './scenario-file.js';
import { replayedText, replaySchedules } from './schedule-file.js';
import { leftText, TimeLeft } from './time-left.js';
import { UsageError } from './usage-error.js';

export interface ExploreFlags {
  readonly strategy?: string;
  readonly maxStates?: string;
  readonly maxDepth?: string;
  readonly maxSteps?: string;
  readonly maxFaults?: string;
  readonly maxTime?: string;
  readonly maxMemory?: string;
  readonly maxPreemptions?: string;
  readonly seed?: string;
  readonly runs?: string;
  readonly bugDepth?: string;
  readonly sleep?: boolean;
  readonly alone?: boolean;
  readonly sections?: boolean;
  readonly symmetry?: boolean;
  readonly count?: boolean;
  readonly stats?: boolean;
  readonly json?: boolean;
  readonly list?: boolean;
  readonly jobs?: string;
  readonly checkpoint?: string;
  readonly checkpointEvery?: string;
  readonly resume?: string;
  readonly schedule?: string;
  readonly mermaid?: boolean;
  readonly itf?: string;
  readonly log?: string;
}

const QUIET_MS = 1000;
const MAX_JOBS = 64;

/** Returns the exit code. Throws UsageError. */
export async function runExplore(
  named: string | undefined,
  flags: ExploreFlags,
  write: (text: string) => void,
): Promise<ExitCode> {
  if (flags.list === true) {
    write(flags.json === true ? listJson() : listText());
    return EXIT.clean;
  }
  if (named === undefined) {
    throw new UsageError('no scenario; hotrace explore --list shows those that hotrace knows');
  }
  refuseStdout('--itf', flags.itf);
  refuseStdout('--log', flags.log);
  if (flags.schedule !== undefined && (flags.itf ?? flags.log) !== undefined) {
    throw new UsageError('--schedule searches nothing: leave out --itf and --log');
  }
  const faults = whole('--max-faults', flags.maxFaults);
  const scenario = withFaults(await loadScenario(named, libraryEntry()), faults);
  const progress = new ExploreProgress(process.stderr.isTTY === true);
  let result: Exploration;
  try {
    if (flags.schedule !== undefined) {
      const replayed = replaySchedules(flags.schedule, scenario);
      write(
        flags.json === true
          ? `${JSON.stringify(replayed, undefined, 2)}\n`
          : replayed.map(replayedText).join(''),
      );
      if (replayed.some(({ diverged }) => diverged !== undefined)) return EXIT.inconclusive;
      return replayed.some(({ broken }) => broken === true) ? EXIT.violated : EXIT.clean;
    }
    if (flags.count === true) {
      const number = classNumber(scenario, countOptions(flags));
      write(
        flags.json === true ? `${JSON.stringify(number, undefined, 2)}\n` : classNumberText(number),
      );
      return EXIT.clean;
    }
    const told: ExploreOptions = {
      ...options(flags),
      coverage: flags.stats === true,
      onProgress: (s, share) => progress.searched(s, share),
      onRuns: (done, runs) => progress.drawn(done, runs),
    };
    const jobs = whole('--jobs', flags.jobs) ?? 1;
    if (jobs < 1) throw new UsageError(`--jobs ${jobs}: at least 1`);
    result = jobs > 1 ? await exploreWith(jobs, named, told) : explore(scenario, told);
  } catch (error) {
    if (error instanceof CheckpointError) throw new UsageError(error.message);
    if (!(error instanceof ScenarioError)) throw error;
    const line = error.generator === undefined ? undefined : lineOf(error.generator);
    const place = line === undefined ? placeIn(named, error) : `:${line}`;
    // Names may be anything.
    throw new UsageError(`${named}${place}: ${sentence(messageOf(error))}`);
  } finally {
    progress.stop();
  }
  // What is told need not be kept.
  if (flags.checkpoint !== undefined) rmSync(flags.checkpoint, { force: true });
  write(
    flags.json === true
      ? `${JSON.stringify(result, undefined, 2)}\n`
      : flags.mermaid === true
        ? result.counterexamples.map(scheduleMermaid).join('\n')
        : exploreText(result, flags.stats === true),
  );
  const { counterexamples } = result;
  if (flags.itf !== undefined) writeItf(flags.itf, scenario, counterexamples);
  if (flags.log !== undefined) await writeLogs(flags.log, scenario, counterexamples);
  return result.verdict === 'clean'
    ? EXIT.clean
    : result.verdict === 'violated'
      ? EXIT.violated
      : EXIT.inconclusive;
}

/** By several threads. Throws UsageError where the options ask for what one thread does. */
async function exploreWith(
  jobs: number,
  named: string,
  { strategy, checkpoint, resume, ...rest }: ExploreOptions,
): Promise<Exploration> {
  if (strategy !== 'exhaustive' || (checkpoint ?? resume) !== undefined) {
    throw new UsageError('--jobs goes with --strategy exhaustive, and not with a checkpoint');
  }
  if (jobs > MAX_JOBS) throw new UsageError(`--jobs ${jobs}: at most ${MAX_JOBS}`);
  const library = libraryEntry();
  const source = {
    module: new URL('./cli/scenario-file.js', pathToFileURL(library)).href,
    name: 'loadScenario',
    args: [named, library],
  };
  return exploreParallel(source, { ...rest, jobs });
}

function options(flags: ExploreFlags): ExploreOptions {
  const strategy = flags.strategy ?? 'exhaustive';
  if (!isStrategy(strategy)) {
    throw new UsageError(`--strategy ${strategy}: there are ${STRATEGIES.join(', ')}`);
  }
  const bounds = {
    states: whole('--max-states', flags.maxStates),
    depth: whole('--max-depth', flags.maxDepth),
    steps: whole('--max-steps', flags.maxSteps),
    preemptions: whole('--max-preemptions', flags.maxPreemptions),
    faults: whole('--max-faults', flags.maxFaults),
    time: scaled('--max-time', flags.maxTime, 1000),
    memory: scaled('--max-memory', flags.maxMemory, 1e6),
  };
  if (bounds.preemptions !== undefined && strategy !== 'bounded') {
    throw new UsageError('--max-preemptions goes with --strategy bounded');
  }
  const every = scaled('--checkpoint-every', flags.checkpointEvery, 1000);
  if (strategy !== 'exhaustive' && (flags.checkpoint ?? flags.resume) !== undefined) {
    throw new UsageError('--checkpoint and --resume go with --strategy exhaustive');
  }
  const drawn = {
    seed: whole('--seed', flags.seed),
    runs: whole('--runs', flags.runs),
    bugDepth: whole('--bug-depth', flags.bugDepth),
  };
  return {
    strategy,
    ...given(drawn),
    reductions: {
      sleep: flags.sleep ?? true,
      alone: flags.alone ?? true,
      sections: flags.sections ?? true,
      symmetry: flags.symmetry ?? true,
    },
    bounds: given(bounds),
    ...(flags.checkpoint === undefined
      ? {}
      : { checkpoint: { file: flags.checkpoint, ...(every === undefined ? {} : { every }) } }),
    ...(flags.resume === undefined ? {} : { resume: flags.resume }),
  };
}

function countOptions(flags: ExploreFlags): ClassNumberOptions {
  const { bounds: { states, time, memory, steps } = {}, seed } = options(flags);
  const limits = given({ pairs: states, time, memory });
  return { limits, ...given({ seed, steps }) };
}

function isStrategy(name: string): name is Strategy {
  return (STRATEGIES as readonly string[]).includes(name);
}

/** Without what was not given. */
function given(flags: Readonly<Record<string, number | undefined>>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(flags).filter((entry): entry is [string, number] => entry[1] !== undefined),
  );
}

function whole(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,12}$/.test(text)) throw new UsageError(`${flag} ${text}: give a whole number`);
  return Number(text);
}

function scaled(flag: string, text: string | undefined, scale: number): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,9}(\.\d{1,6})?$/.test(text)) throw new UsageError(`${flag} ${text}: give a number`);
  return Number(text) * scale;
}

function listText(): string {
  return CATALOGUE.map(({ name, about }) =>
    [name, ...wrap(about, 76).map((line) => `    ${line}`)].join('\n'),
  )
    .concat('')
    .join('\n');
}

function listJson(): string {
  return `${JSON.stringify(
    CATALOGUE.map(({ name, about }) => ({ name, about })),
    undefined,
    2,
  )}\n`;
}

/** A line on stderr for a search that takes over a second; nothing when stderr is no terminal. */
class ExploreProgress {
  private bar: SingleBar | undefined;
  private readonly began = performance.now();
  private roundBegan = this.began;
  private round = 0;
  private timeLeft = new TimeLeft();

  constructor(private readonly enabled: boolean) {}

  searched({ states, rounds }: SearchStats, share: number): void {
    if (rounds !== this.round) {
      this.round = rounds;
      this.roundBegan = performance.now();
      this.timeLeft = new TimeLeft();
    }
    const left = this.timeLeft.update(performance.now() - this.roundBegan, share);
    this.tell(states, 'states', left === undefined ? '' : leftText(left, ` of round ${rounds}`));
  }

  drawn(done: number, runs: number): void {
    if (this.round === 0) {
      // What came before the first schedule is counting.
      this.round = 1;
      this.roundBegan = performance.now();
      this.timeLeft = new TimeLeft(true);
    }
    const left = this.timeLeft.update(performance.now() - this.roundBegan, done / runs);
    const of = `of ${runs.toLocaleString('en-US')} schedules`;
    this.tell(done, of, left === undefined ? '' : leftText(left));
  }

  private tell(number: number, of: string, left: string): void {
    const now = performance.now();
    if (!this.enabled || now - this.began < QUIET_MS) return;
    const past = Math.max(1, now - this.roundBegan);
    const told = {
      number: number.toLocaleString('en-US'),
      of,
      rate: Math.round((number / past) * 1000).toLocaleString('en-US'),
      left: left === '' ? '' : `, ${left}`,
    };
    if (this.bar === undefined) {
      const format = '{number} {of}, {rate} a second, {duration_formatted}{left}';
      const look = { stream: process.stderr, clearOnComplete: true, hideCursor: true, format };
      this.bar = new SingleBar(look);
      this.bar.start(1, 0, told);
    }
    // The search does not give way to the timer that would draw it.
    this.bar.update(0, told);
    (this.bar as unknown as { render(): void }).render();
  }

  stop(): void {
    this.bar?.stop();
  }
}
