/** What a test came to, as text: the message of a test that fails. */

import { relative } from 'node:path';
import { counterexampleText, noScheduleText } from '../report/explore-text.js';
import { plural, printable, wrap } from '../report/format.js';
import type { Checked, CheckedOn } from './check.js';
import type { HotplugProgram } from './hotplug-program.js';
import { programText } from './hotplug-program.js';

export interface CheckTextOptions {
  /** The command that runs the test again. */
  readonly command?: string | undefined;
  /** The smallest program that fails, where one is tested. */
  readonly program?: HotplugProgram | undefined;
}

/** The interleaving tables, what was searched, the seed, and the command that shows it again. */
export function checkText(checked: Checked, options: CheckTextOptions = {}): string {
  const { scenario, on, seed, saved } = checked;
  const { command, program } = options;
  const out = wrap(`${printable(scenario)}: ${summary(checked)}`, 80);
  if (program !== undefined) out.push('', ...programText(program).split('\n'));
  for (const [text, kernels] of distinct(on)) {
    out.push('', ...(kernels.length === 0 ? [] : [`On ${listed(kernels)}:`, '']), text);
  }
  out.push('', ...doneText(on));
  for (const { again } of on) {
    if (again !== undefined) out.push(`kept, and fails again: ${shown(again)}`);
  }
  out.push(`seed: ${seed}`);
  for (const file of saved) out.push(`saved: ${shown(file)}`);
  if (command !== undefined) out.push(`again: ${command}`);
  return out.join('\n');
}

/** `violated on v3.6 (INV-01); clean on v7.2` */
export function summary({ on }: Pick<Checked, 'on'>): string {
  const parts = (['violated', 'incomplete', 'clean', 'none'] as const).flatMap((verdict) => {
    const these = on.filter((each) => each.verdict === verdict);
    if (these.length === 0) return [];
    const rules = [...new Set(these.flatMap((each) => each.rules))];
    const lacks = [...new Set(these.flatMap(({ lacks }) => lacks ?? []))];
    const told = rules.length > 0 ? ` (${rules.map(printable).join(', ')})` : '';
    const kernels = these.flatMap(({ kernel }) => kernel ?? []);
    const where = kernels.length === 0 ? '' : ` on ${listed(kernels)}`;
    return [
      verdict === 'none'
        ? `not possible${where}, without ${lacks.join(', ')}`
        : `${verdict}${where}${told}`,
    ];
  });
  return `${parts.join('; ')}.`;
}

/** Every way in which a rule is broken, with the kernels of which it is true. */
function distinct(on: readonly CheckedOn[]): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, readonly string[]>();
  for (const { kernel, counterexamples, rules } of on) {
    const shown = new Set(counterexamples.map(({ rule }) => rule));
    const texts = [
      ...counterexamples.map(counterexampleText),
      ...rules.filter((rule) => !shown.has(rule)).map(noScheduleText),
    ];
    for (const lines of texts) {
      const text = lines.join('\n');
      found.set(text, [...(found.get(text) ?? []), ...(kernel === undefined ? [] : [kernel])]);
    }
  }
  return found;
}

/** What was done, on which generations. */
function doneText(on: readonly CheckedOn[]): string[] {
  const done = new Map<string, string[]>();
  for (const each of on) {
    if (each.verdict === 'none') continue;
    const text = whatWasDone(each);
    done.set(text, [
      ...(done.get(text) ?? []),
      ...(each.kernel === undefined ? [] : [each.kernel]),
    ]);
  }
  return [...done].flatMap(([text, kernels]) =>
    wrap(kernels.length === 0 ? text : `${listed(kernels)}: ${text}`, 80),
  );
}

/** `every interleaving was covered`; or how far, and which schedules were drawn beyond. */
function whatWasDone({ explorations, again }: CheckedOn): string {
  if (again !== undefined) return 'a failing case that was kept was tried first, and nothing else';
  const [first, ...drawn] = explorations;
  const searched =
    first.cut === undefined
      ? 'every interleaving was covered'
      : `not every interleaving was covered, the search was cut by its bound on ${first.cut} after ${plural(first.stats.states, 'state')}`;
  const beyond = drawn.map(
    ({ strategy, sampled }) => `${plural(sampled?.runs ?? 0, 'schedule')} of ${strategy}`,
  );
  return beyond.length === 0 ? searched : `${searched}; ${listed(beyond)} drawn`;
}

/** A file as it is called from where the process runs. */
function shown(file: string): string {
  const path = relative(process.cwd(), file);
  return path === '' || path.startsWith('..') ? file : path;
}

/** `v3.6, v5.10 and v6.1` */
function listed(names: readonly string[]): string {
  return names.length < 2 ? names.join() : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
}
