/** One scenario on several generations of kernels, as text. */

import type { Exploration } from '../explore/explore.js';
import { shownSteps } from '../explore/schedule.js';
import { counterexampleText, noScheduleText } from './explore-text.js';
import { count, plural, printable, table, wrap } from './format.js';

/** What a search came to on one kernel. */
export type OnKernel = {
  /** `v5.10` */
  readonly kernel: string;
} & (
  | { readonly exploration: Exploration; readonly lacks: undefined }
  /** A function that the scenario calls and the kernel does not have. */
  | { readonly exploration: undefined; readonly lacks: string }
);

/** A table of the kernels; beneath it each schedule once, with the kernels that have it. */
export function kernelsText(named: string, all: readonly OnKernel[]): string {
  const rows = all.map(({ kernel, exploration, lacks }) =>
    exploration === undefined
      ? [kernel, 'none', `no ${lacks}`, '-', '-']
      : row(kernel, exploration),
  );
  const out = table([['kernel', 'verdict', 'simplest schedule', 'states', 'rules'], ...rows], 80);
  for (const [text, kernels] of distinct(all)) {
    out.push('', ...wrap(`On ${listed(kernels)}:`, 80), '', text.trimEnd());
  }
  out.push('', ...wrap(`${printable(named)}: ${summary(all)}.`, 80));
  return `${out.join('\n')}\n`;
}

function row(kernel: string, exploration: Exploration): string[] {
  const { verdict, cut, counterexamples, withoutSchedule, stats, sampled } = exploration;
  const [simplest] = [...counterexamples].sort(
    (a, b) =>
      a.preemptions - b.preemptions || shownSteps(a.steps).length - shownSteps(b.steps).length,
  );
  const rules = [...counterexamples.map(({ rule }) => rule), ...withoutSchedule];
  return [
    kernel,
    cut === undefined ? verdict : `${verdict} (${cut})`,
    simplest === undefined
      ? '-'
      : `${plural(shownSteps(simplest.steps).length, 'step')}, ${plural(simplest.preemptions, 'preemption')}`,
    // Schedules that are drawn store no states.
    sampled === undefined ? count(stats.states) : '-',
    rules.length === 0 ? '-' : rules.map(printable).join(', '),
  ];
}

/** Every text that tells how a rule is broken, with the kernels of which it is true. */
function distinct(all: readonly OnKernel[]): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>();
  for (const { kernel, exploration } of all) {
    if (exploration === undefined) continue;
    const texts = [
      ...exploration.counterexamples.map(counterexampleText),
      ...exploration.withoutSchedule.map(noScheduleText),
    ].map((lines) => lines.join('\n'));
    for (const text of texts) found.set(text, [...(found.get(text) ?? []), kernel]);
  }
  return found;
}

/** `clean on v3.6; violated on v5.10 and v6.1` */
function summary(all: readonly OnKernel[]): string {
  return (['violated', 'incomplete', 'clean'] as const)
    .map((verdict) => ({
      verdict,
      on: all.filter(({ exploration }) => exploration?.verdict === verdict),
    }))
    .filter(({ on }) => on.length > 0)
    .map(({ verdict, on }) => `${verdict} on ${listed(on.map(({ kernel }) => kernel))}`)
    .join('; ');
}

/** `v5.10, v6.1 and v6.12` */
function listed(names: readonly string[]): string {
  return names.length < 2 ? names.join() : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
}
