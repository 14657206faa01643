/** The modelled systems as text. */

import type { System } from '../../machines/system.js';
import { brokenIn } from '../systems/system-run.js';
import type { SystemVariantRun } from '../systems/system-run.js';
import { plural, wrap } from './format.js';
import { grid } from './grid.js';

const WIDTH = 80;

/** Each system with its variants and the verdict of each. */
export function systemsText(
  all: readonly { readonly system: System; readonly runs: readonly SystemVariantRun[] }[],
): string {
  return `${all.map(({ system, runs }) => systemLines(system, runs).join('\n')).join('\n\n')}\n`;
}

/** What a variant came to: `clean (5 tried)`, `violated: D-A2-3`. */
export function verdictOf(run: SystemVariantRun): string {
  const broken = brokenIn(run);
  const unexpected = run.runs.filter(({ asExpected }) => !asExpected);
  const tried = `${run.runs.length} tried`;
  const verdict = broken.length === 0 ? `clean (${tried})` : `violated: ${broken.join(', ')}`;
  return unexpected.length === 0 ? verdict : `${verdict}; NOT AS EXPECTED`;
}

function systemLines(system: System, runs: readonly SystemVariantRun[]): string[] {
  const rows = runs.map((run) => [run.variant.name, verdictOf(run), run.variant.about]);
  const searches = runs.reduce((sum, { runs: of }) => sum + of.length, 0);
  return [
    ...wrap(`${system.id}  ${system.title}, ${system.year} (${system.source})`, WIDTH),
    ...grid([['variant', 'verdict', 'what it is'], ...rows], {
      width: WIDTH,
      folds: [0, 1, 2],
      right: [],
    }),
    `${plural(runs.length, 'variant')}, ${plural(searches, 'search', 'searches')}`,
  ];
}
