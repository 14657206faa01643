/** The corpus of races as text, for a terminal or an e-mail. */

import { variantName } from '../../machines/races/corpus.js';
import type { Commit, Race, RaceVariant } from '../../machines/races/race.js';
import type { VariantRun } from '../explore/corpus-run.js';
import { DEADLOCK, PARTIAL_DEADLOCK } from '../explore/verdict-rules.js';
import { counterexampleText, noScheduleText } from './explore-text.js';
import { count, plural, wrap } from './format.js';
import { grid } from './grid.js';

const WIDTH = 80;
/** Behind the longest id of most lists: K25. */
const INDENT = 5;

/** Each race with the kernels of its bug and its fix. */
export function racesText(races: readonly Race[]): string {
  const indent = Math.max(INDENT, ...races.map(({ id }) => id.length + 2));
  const out = races.flatMap((race) => [
    ...labelled(race.id, race.title, indent),
    ...labelled('', [kernelsOf(race), ...cvesOf(race)].join('  '), indent).map((line) =>
      line.trimEnd(),
    ),
  ]);
  return `${out.join('\n')}\n`;
}

/** `v5.14 -> v5.15`: the first kernel that has the bug, and the first that has the fix. */
export function kernelsOf({ variants }: Race): string {
  const first = (expected: RaceVariant['expected']) =>
    variants.find((variant) => variant.expected === expected)?.kernel ?? '?';
  return `${first('violated')} -> ${first('clean')}`;
}

/** The CVEs of a race, each once. */
export function cvesOf({ commits }: Race): readonly string[] {
  return [...new Set(commits.flatMap(({ cve }) => (cve === undefined ? [] : [cve])))];
}

/** What a race is, and where it is told of. */
export function raceText(race: Race): string {
  const out = [
    ...labelled(race.id, race.title, Math.max(INDENT, race.id.length + 2)),
    '',
    ...wrap(race.story, 72),
    '',
    ...race.commits.flatMap(commitText),
    ...wrap(`source: ${race.source}`, WIDTH),
  ];
  return `${out.join('\n')}\n`;
}

function commitText({ id, subject, since, cve }: Commit): string[] {
  const of = [since, cve].filter((text) => text !== undefined).join(', ');
  const text = `${id} ("${subject}")${of === '' ? '' : ` ${of}`}`;
  return wrap(text, WIDTH - 4).map((line, n) => (n === 0 ? line : `    ${line}`));
}

/** One variant: what was expected, what was found, and the schedules or that there is none. */
export function variantText(run: VariantRun): string {
  const { race, variant, exploration, asExpected, why } = run;
  const out = [
    ...wrap(variantName(race, variant), WIDTH),
    ...told('kernel', variant.kernel),
    ...told('expected', expectation(variant)),
    ...told('found', asExpected ? outcome(run) : `${outcome(run)}. NOT AS EXPECTED: ${why}`),
  ];
  for (const found of exploration.counterexamples) out.push('', ...counterexampleText(found));
  for (const rule of exploration.withoutSchedule) out.push('', ...noScheduleText(rule));
  return `${out.join('\n')}\n`;
}

function told(label: string, text: string): string[] {
  return wrap(text, WIDTH - 12).map((line, n) => `  ${(n === 0 ? label : '').padEnd(8)}  ${line}`);
}

/** `violated: INV-10 or INV-11` */
function expectation({ expected, breaks = [] }: RaceVariant): string {
  return expected === 'clean' ? 'clean' : `violated: ${breaks.map(ruleText).join(' or ')}`;
}

/** `violated: INV-10; also INV-11` */
function outcome({ exploration, found, others }: VariantRun): string {
  const { verdict, cut, stats } = exploration;
  const states = plural(stats.states, 'state');
  if (verdict === 'clean') return `clean: ${states}, every interleaving covered (complete)`;
  if (verdict === 'incomplete') return `incomplete: ${states}; the bound on ${cut} was reached`;
  const announced = found.filter((rule) => !others.includes(rule));
  const [first, rest] = announced.length === 0 ? [others, []] : [announced, others];
  const also = rest.length === 0 ? '' : `; also ${rest.map(ruleText).join(', ')}`;
  return `violated: ${first.map(ruleText).join(', ')}${also}`;
}

/** A deadlock is told by the rule that the corpus names. */
function ruleText(rule: string): string {
  return rule === DEADLOCK || rule === PARTIAL_DEADLOCK ? `INV-16 (${rule})` : rule;
}

/** A line for each variant, and the totals. */
export function corpusText(runs: readonly VariantRun[], ms: number): string {
  const unexpected = runs.filter(({ asExpected }) => !asExpected);
  const rows = runs.map(({ race, variant, exploration, asExpected, found, ms: took }) => [
    race.id,
    variant.name,
    variant.kernel,
    `${asExpected ? '' : 'NOT AS EXPECTED: '}${
      found.length === 0 ? exploration.verdict : found.map(ruleText).join(' ')
    }`,
    count(exploration.stats.states),
    (took / 1000).toFixed(1),
  ]);
  const heads = ['id', 'variant', 'kernel', 'found', 'states', 's'];
  const out = grid([heads, ...rows], { width: WIDTH, folds: [1, 2, 3], right: [4, 5] });
  for (const { race, variant, why } of unexpected) {
    out.push(
      ...wrap(
        `NOT AS EXPECTED: ${variantName(race, variant)}: expected ${expectation(variant)}; ${why}`,
        WIDTH,
      ),
    );
  }
  const races = new Set(runs.map(({ race }) => race)).size;
  const states = runs.reduce((sum, { exploration }) => sum + exploration.stats.states, 0);
  out.push(
    ...wrap(
      `${plural(races, 'race')}, ${plural(runs.length, 'variant')}: ${
        unexpected.length === 0 ? 'all' : count(runs.length - unexpected.length)
      } as expected; ${plural(states, 'state')}, ${(ms / 1000).toFixed(1)} s`,
      WIDTH,
    ),
  );
  return `${out.join('\n')}\n`;
}

/** Text behind a label that has a column of its own. */
function labelled(label: string, text: string, indent: number): string[] {
  return wrap(text, WIDTH - indent).map((line, n) => (n === 0 ? label : '').padEnd(indent) + line);
}
