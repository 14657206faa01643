/** `hotrace systems`: the five systems of the threads, their variants and the verdict of each. */

import { SYSTEMS, systemById } from '../../machines/systems/catalogue.js';
import type { System } from '../../machines/system.js';
import { systemsText } from '../report/systems-text.js';
import { brokenIn, runSystem, triedOn } from '../systems/system-run.js';
import type { SystemVariantRun } from '../systems/system-run.js';
import { TABLES } from '../systems/tables.js';
import { EXIT } from './exit-code.js';
import type { ExitCode } from './exit-code.js';
import { ExploreProgress } from './explore-progress.js';
import { didYouMean } from './similar.js';
import { UsageError } from './usage-error.js';

export interface SystemsFlags {
  readonly json?: boolean;
}

/** Returns the exit code: 1 where something is not as expected. Throws UsageError. */
export function runSystems(
  ids: readonly string[],
  flags: SystemsFlags,
  write: (text: string) => void,
): ExitCode {
  const systems = ids.length === 0 ? SYSTEMS : [...new Set(ids.map(systemOf))];
  const all = searched(systems);
  // The tables of a system that was asked for.
  const tables = ids.length === 0 ? [] : systems.flatMap(({ id }) => TABLES[id] ?? []);
  if (flags.json === true) {
    const told = all.map(({ system, runs }) => ({
      ...described(system),
      variants: runs.map(summary),
    }));
    const computed = tables.map((table) => table.rows());
    const value = { systems: told, ...(ids.length === 0 ? {} : { tables: computed }) };
    write(`${JSON.stringify(value, undefined, 2)}\n`);
  } else {
    write(systemsText(all));
    for (const table of tables) write(`\n${table.text()}`);
  }
  const runs = all.flatMap((each) => each.runs.flatMap((variant) => variant.runs));
  return runs.every(({ asExpected }) => asExpected) ? EXIT.clean : EXIT.violated;
}

function systemOf(id: string): System {
  const system = systemById(id);
  if (system !== undefined) return system;
  const known = SYSTEMS.map((each) => each.id);
  throw new UsageError(
    `no system is called "${id}"${didYouMean(id, known)}; there are ${known.join(', ')}`,
  );
}

/** Everything that is tried on the systems, with progress on stderr. */
function searched(systems: readonly System[]) {
  const total = systems.reduce((sum, system) => sum + triedOn(system), 0);
  const progress = new ExploreProgress(process.stderr.isTTY === true);
  let n = 0;
  try {
    return systems.map((system) => ({
      system,
      runs: runSystem(system, {
        onRun: (name) => progress.part(`${++n}/${total} ${name}`),
        onProgress: (stats, share) => progress.searched(stats, share),
      }),
    }));
  } finally {
    progress.stop();
  }
}

function described({ id, title, year, source }: System) {
  return { id, title, year, source };
}

function summary(run: SystemVariantRun) {
  const { name, about } = run.variant;
  const tried = run.runs.map(({ race, variant, found, asExpected, exploration }) => ({
    race: race.id,
    variant: variant.name,
    verdict: exploration.verdict,
    found,
    asExpected,
    states: exploration.stats.states,
  }));
  return { name, about, broken: brokenIn(run), tried };
}
