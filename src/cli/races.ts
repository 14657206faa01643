/** `hotrace races`: the corpus of races, and whether bug and fix are found as they should be. */

import { CORPUS, raceById, variantName } from '../../machines/races/corpus.js';
import type { Race, RaceVariant } from '../../machines/races/race.js';
import { runVariant } from '../explore/corpus-run.js';
import type { VariantRun } from '../explore/corpus-run.js';
import { corpusText, racesText, raceText, variantText } from '../report/races-text.js';
import { EXIT } from './exit-code.js';
import type { ExitCode } from './exit-code.js';
import { ExploreProgress } from './explore-progress.js';
import { didYouMean } from './similar.js';
import { UsageError } from './usage-error.js';

export interface RacesFlags {
  readonly all?: boolean;
  readonly json?: boolean;
}

/** Returns the exit code: 1 where a variant is not as expected. Throws UsageError. */
export function runRaces(
  ids: readonly string[],
  flags: RacesFlags,
  write: (text: string) => void,
): ExitCode {
  const json = flags.json === true;
  if (flags.all === true) {
    if (ids.length > 0) throw new UsageError('--all is every race: name none');
    const began = performance.now();
    const runs = searched(CORPUS);
    const ms = performance.now() - began;
    write(
      json ? asJson({ variants: runs.map(summary), ms: Math.round(ms) }) : corpusText(runs, ms),
    );
    return exitCode(runs);
  }
  if (ids.length === 0) {
    write(json ? asJson(CORPUS.map(described)) : racesText(CORPUS));
    return EXIT.clean;
  }
  const races = [...new Set(ids.map(raceOf))];
  const runs = searched(races);
  const of = (race: Race) => runs.filter((run) => run.race === race);
  write(
    json
      ? asJson(
          races.map((race) => ({
            ...described(race),
            variants: of(race).map((run) => ({ ...summary(run), exploration: run.exploration })),
          })),
        )
      : races
          .map((race) => [raceText(race), ...of(race).map(variantText)].join('\n'))
          .join(`\n${'='.repeat(72)}\n\n`),
  );
  return exitCode(runs);
}

function raceOf(id: string): Race {
  const race = raceById(id);
  if (race !== undefined) return race;
  const known = CORPUS.map((each) => each.id);
  throw new UsageError(
    `no race is called "${id}"${didYouMean(id, known)}; hotrace races lists them`,
  );
}

/** Every variant of the races, with progress on stderr. */
function searched(races: readonly Race[]): readonly VariantRun[] {
  const all = races.flatMap((race) =>
    race.variants.map((variant): [Race, RaceVariant] => [race, variant]),
  );
  const progress = new ExploreProgress(process.stderr.isTTY === true);
  try {
    return all.map(([race, variant], n) => {
      progress.part(`${n + 1}/${all.length} ${variantName(race, variant)}`);
      return runVariant(race, variant, {
        onProgress: (stats, share) => progress.searched(stats, share),
      });
    });
  } finally {
    progress.stop();
  }
}

function exitCode(runs: readonly VariantRun[]): ExitCode {
  return runs.every(({ asExpected }) => asExpected) ? EXIT.clean : EXIT.violated;
}

/** A race without what runs. */
function described({ id, title, story, commits, source, variants }: Race) {
  const of = ({ name, expected, breaks = [], kernel }: RaceVariant) => {
    return { name, expected, breaks, kernel };
  };
  return { id, title, story, commits, source, variants: variants.map(of) };
}

/** What came of a variant, in numbers. */
function summary({ race, variant, exploration, asExpected, why, found, others, ms }: VariantRun) {
  const { name, expected, breaks = [], kernel } = variant;
  const { verdict, cut, stats } = exploration;
  return {
    race: race.id,
    name,
    kernel,
    expected,
    breaks,
    verdict,
    cut,
    found,
    others,
    asExpected,
    why,
    states: stats.states,
    ms: Math.round(ms),
  };
}

function asJson(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}
