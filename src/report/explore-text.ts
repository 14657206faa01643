/** What an exploration came to, as text. */

import type { Counterexample } from '../explore/counterexample.js';
import { coverageText } from '../explore/drawn-classes.js';
import type { Exploration } from '../explore/explore.js';
import type { OtherOrder } from '../explore/other-order.js';
import { shownSteps } from '../explore/schedule.js';
import { DEADLOCK, EXCEPTION } from '../explore/verdict-rules.js';
import { ruleById } from '../../machines/rules.js';
import { plural, printable, wrap } from './format.js';
import { interleavingTable } from './interleaving-table.js';

/** @param stats with the numbers of the search */
export function exploreText(exploration: Exploration, stats: boolean): string {
  const out: string[] = [];
  for (const found of exploration.counterexamples) out.push(...counterexampleText(found), '');
  for (const rule of exploration.withoutSchedule) {
    out.push(...noScheduleText(rule), '');
  }
  out.push(...wrap(`${printable(exploration.scenario)}: ${conclusion(exploration)}`, 80));
  if (stats) out.push(...statsText(exploration));
  return `${out.join('\n')}\n`;
}

/** What is told of a rule that is broken without a schedule that shows it. */
export function noScheduleText(rule: string): string[] {
  return wrap(`${ruleName(rule)}: broken; no schedule was found within the bounds.`, 80);
}

function conclusion(exploration: Exploration): string {
  const { verdict, cut, counterexamples, withoutSchedule, stats, sampled } = exploration;
  const steps = plural(stats.transitions, 'step');
  const searched =
    sampled === undefined
      ? `${plural(stats.states, 'state')}, ${steps}`
      : `${plural(sampled.runs, 'random schedule')} (${exploration.strategy}, seed ${sampled.seed}), ${steps}`;
  const guarantee = sampled?.guarantee === undefined ? '' : `; ${sampled.guarantee}`;
  const bound = cut === undefined ? '' : `; the search was cut by its bound on ${cut}`;
  const faults =
    exploration.faults === undefined ? '' : ` with at most ${plural(exploration.faults, 'fault')}`;
  switch (verdict) {
    case 'clean':
      return `clean. Every interleaving${faults} was covered (${searched}; sequentially consistent memory).`;
    case 'incomplete':
      return `incomplete: no rule was broken in ${searched}${faults}${bound}${guarantee}.`;
    case 'violated': {
      const rules = [...counterexamples.map(({ rule }) => rule), ...withoutSchedule];
      return `violated: ${rules.map(printable).join(', ')} (${searched}${bound}).`;
    }
  }
}

/** The table and what stands beneath it. */
export function counterexampleText(found: Counterexample): string[] {
  const out = interleavingTable(shownSteps(found.steps));
  out.push(...wrap(`${ruleName(found.rule)}: ${printable(found.says)}`, 72), '');
  for (const { thread, what, holders } of found.waiting) {
    const by = holders
      .map(({ thread: holder, since }) => {
        const who = holder === thread ? 'itself' : holder;
        return since === undefined ? who : `${who} since ${since.what}`;
      })
      .join(' and ');
    const told = `${thread} waits for ${what}${by === '' ? '' : `, held by ${by}`}`;
    out.push(...wrap(printable(told), 72));
  }
  out.push(...wrap(printable(costs(found)), 72));
  if (found.race !== undefined) {
    const [first, second] = found.race.map((i) => found.steps[i]);
    const other = found.otherOrder === undefined ? '' : `; ${exchanged(found, found.otherOrder)}`;
    out.push(...wrap(told(`racing: ${first.what} and ${second.what}${other}`), 72));
  }
  if (found.critical !== undefined) {
    const { what, thread } = found.steps[found.critical];
    out.push(...wrap(told(`from here every continuation fails: ${what} (${thread})`), 72));
  }
  if (!found.confirmed) {
    out.push(...wrap('NOT confirmed by a run through plain xstate: please report this', 72));
  }
  return out;
}

/** What happens in the other order of a race. */
function exchanged({ rule }: Counterexample, other: OtherOrder): string {
  const { outcome, broken, race, why } = other;
  const lone = race !== undefined && race[1] === undefined && outcome === 'holds';
  const order = `in the other order ${lone ? 'the former is not made and ' : ''}`;
  switch (outcome) {
    case 'holds':
      return `${order}nothing is broken`;
    case 'broken': {
      const also = (id: string) => `${happened(id)}${id === rule ? ' too' : ''}`;
      return `${order}${broken.map(also).join(', ')}`;
    }
    case 'impossible':
      return `the other order is not possible: ${why}`;
    case 'unknown':
      return 'what the other order leads to was not found out';
  }
}

function happened(rule: string): string {
  if (rule === DEADLOCK) return 'there is a deadlock';
  return rule === EXCEPTION ? 'a thread throws' : `${rule} is broken`;
}

function costs({ preemptions, steps, cheapest, leftOut }: Counterexample): string {
  const n = plural(preemptions, 'preemption');
  const fewer = !cheapest || preemptions === 0 ? '' : `; ${preemptions - 1} is impossible`;
  const left = leftOut === 0 ? '' : `, ${leftOut} without a part in it left out`;
  return `${n}${fewer}; ${plural(shownSteps(steps).length, 'step')}${left}`;
}

function ruleName(id: string): string {
  const rule = ruleById(id);
  return rule === undefined ? printable(id) : `${id} ${rule.name}`;
}

function statsText({ stats, sampled }: Exploration): string[] {
  const n = (value: number) => value.toLocaleString('en');
  return [
    // Schedules that are drawn store no states.
    ...(sampled !== undefined
      ? []
      : [
          `  states       ${n(stats.states)} in the last of ${plural(stats.rounds, 'round')}`,
          `  memory       ${n(stats.bytes)} bytes, ${(stats.bytes / Math.max(1, stats.states)).toFixed(0)} a state`,
        ]),
    `  transitions  ${n(stats.transitions)}, ${n(stats.allTransitions)} in all rounds`,
    `  thread nodes ${n(stats.nodes)}`,
    `  xstate       ${n(stats.computed)} calls`,
    ...(sampled?.coverage === undefined
      ? []
      : [`  drawn        ${coverageText(sampled.coverage)}`]),
  ];
}

/** Labels have spaces for the table; in a sentence one is enough. */
function told(text: string): string {
  return printable(text).replace(/ {2,}/g, ' ');
}
