/** `hotrace explore`. */

import { rmSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { classNumber } from '../explore/class-number.js';
import { explore } from '../explore/explore.js';
import type { Exploration, ExploreOptions } from '../explore/explore.js';
import { withFaults } from '../explore/fault-budget.js';
import { exploreParallel } from '../explore/parallel.js';
import { scheduleMermaid } from '../report/schedule-mermaid.js';
import { classNumberText } from '../report/class-number-text.js';
import { exploreText } from '../report/explore-text.js';
import { refuseStdout, writeItf, writeLogs } from './counterexample-files.js';
import { EXIT } from './exit-code.js';
import type { ExitCode } from './exit-code.js';
import { explainedError } from './explore-error.js';
import { countOptions, exploreOptions, whole } from './explore-flags.js';
import type { ExploreFlags } from './explore-flags.js';
import { exploreKernels } from './explore-kernels.js';
import { scenarioListJson, scenarioListText } from './explore-list.js';
import { ExploreProgress } from './explore-progress.js';
import { kernelsOf } from './kernels.js';
import { libraryEntry, loadScenario } from './scenario-file.js';
import { replayedText, replaySchedules } from './schedule-file.js';
import { UsageError } from './usage-error.js';

const MAX_JOBS = 64;

/** Returns the exit code. Throws UsageError. */
export async function runExplore(
  named: string | undefined,
  flags: ExploreFlags,
  write: (text: string) => void,
): Promise<ExitCode> {
  if (flags.list === true) {
    write(flags.json === true ? scenarioListJson() : scenarioListText());
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
  const kernels = flags.kernel === undefined ? [] : kernelsOf(flags.kernel);
  if (kernels.length > 1) return exploreKernels(named, kernels, flags, write);
  const kernel = kernels[0]?.name;
  const faults = whole('--max-faults', flags.maxFaults);
  const scenario = withFaults(await loadScenario(named, libraryEntry(), kernel), faults);
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
      ...exploreOptions(flags),
      coverage: flags.stats === true,
      onProgress: (s, share) => progress.searched(s, share),
      onRuns: (done, runs) => progress.drawn(done, runs),
    };
    const jobs = whole('--jobs', flags.jobs) ?? 1;
    if (jobs < 1) throw new UsageError(`--jobs ${jobs}: at least 1`);
    result = jobs > 1 ? await exploreWith(jobs, named, kernel, told) : explore(scenario, told);
  } catch (error) {
    throw explainedError(error, named);
  } finally {
    progress.stop();
  }
  // What is told need not be kept.
  if (flags.checkpoint !== undefined) rmSync(flags.checkpoint, { force: true });
  write(
    flags.json === true
      ? `${JSON.stringify(kernel === undefined ? result : { kernel, ...result }, undefined, 2)}\n`
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
  kernel: string | undefined,
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
    args: [named, library, kernel],
  };
  return exploreParallel(source, { ...rest, jobs });
}
