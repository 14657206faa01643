/** `hotrace explore --kernel v5.10,v6.12`: a scenario on several generations of kernels. */

import type { KernelProfile } from '../../machines/profiles/profile.js';
import type { Scenario } from '../../machines/scenario.js';
import { isUnsupported } from '../../machines/unsupported-by-kernel.js';
import { explore } from '../explore/explore.js';
import type { Exploration, ExploreOptions } from '../explore/explore.js';
import { withFaults } from '../explore/fault-budget.js';
import { ScenarioError } from '../explore/scenario-error.js';
import { kernelsText } from '../report/kernels-text.js';
import type { OnKernel } from '../report/kernels-text.js';
import { EXIT } from './exit-code.js';
import type { ExitCode } from './exit-code.js';
import { explainedError } from './explore-error.js';
import { exploreOptions, whole } from './explore-flags.js';
import type { ExploreFlags } from './explore-flags.js';
import { ExploreProgress } from './explore-progress.js';
import { libraryEntry, loadScenario } from './scenario-file.js';
import { UsageError } from './usage-error.js';

/** Flags that speak of one search. */
const OF_ONE = [
  'checkpoint',
  'checkpointEvery',
  'resume',
  'jobs',
  'itf',
  'log',
  'schedule',
  'mermaid',
  'count',
  'stats',
] as const;

/** Returns the exit code: of the worst verdict. Throws UsageError. */
export async function exploreKernels(
  named: string,
  kernels: readonly KernelProfile[],
  flags: ExploreFlags,
  write: (text: string) => void,
): Promise<ExitCode> {
  const refused = OF_ONE.find((flag) => flags[flag] !== undefined);
  if (refused !== undefined) {
    const flag = refused.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    throw new UsageError(`--${flag} goes with one kernel, and --kernel names ${kernels.length}`);
  }
  const options = exploreOptions(flags);
  const faults = whole('--max-faults', flags.maxFaults);
  const all: OnKernel[] = [];
  const progress = new ExploreProgress(process.stderr.isTTY === true);
  try {
    for (const { name: kernel } of kernels) {
      const scenario = withFaults(await loadScenario(named, libraryEntry(), kernel), faults);
      progress.part(kernel);
      const told: ExploreOptions = {
        ...options,
        onProgress: (stats, share) => progress.searched(stats, share),
        onRuns: (done, runs) => progress.drawn(done, runs),
      };
      all.push({ kernel, ...onKernel(scenario, told) });
    }
  } catch (error) {
    throw explainedError(error, named);
  } finally {
    progress.stop();
  }
  write(
    flags.json === true
      ? `${JSON.stringify(
          all.map(({ kernel, exploration, lacks }) =>
            exploration === undefined ? { kernel, lacks } : { kernel, ...exploration },
          ),
          undefined,
          2,
        )}\n`
      : kernelsText(named, all),
  );
  const verdicts = all.map(({ exploration }) => exploration?.verdict);
  if (verdicts.includes('violated')) return EXIT.violated;
  return verdicts.includes('incomplete') ? EXIT.inconclusive : EXIT.clean;
}

/** Throws ScenarioError where the scenario is at fault otherwise. */
function onKernel(
  scenario: Scenario,
  options: ExploreOptions,
): { exploration: Exploration; lacks: undefined } | { exploration: undefined; lacks: string } {
  try {
    return { exploration: explore(scenario, options), lacks: undefined };
  } catch (error) {
    if (!(error instanceof ScenarioError && isUnsupported(error.cause))) throw error;
    return { exploration: undefined, lacks: error.cause.symbol };
  }
}
