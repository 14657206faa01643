/** The states that a schedule passes through. */

import { stable } from '../../machines/intern.js';
import type { Scenario } from '../../machines/scenario.js';
import { MAX_THREADS, Program } from './program.js';
import type { ScheduledStep } from './schedule.js';

/**
 * A row for the start, then one after each step. Rows have a column for each of the most threads
 * that there may be: those that have not begun stand at node 0.
 *
 * Throws where a step cannot be made: the schedule is of another scenario.
 */
export function statesAlong(
  scenario: Scenario,
  steps: readonly ScheduledStep[],
): { readonly program: Program; readonly rows: readonly Int32Array[] } {
  // What comes after the last step is looked at as well.
  const program = new Program(scenario, steps.length + 1);
  const { trie, values } = program;
  const row = program.start(MAX_THREADS);
  const rows = [row.slice()];
  for (const { thread, what, reply } of steps) {
    const t = trie.indexOf(thread);
    if (t === undefined || !program.enabled(row, t)) {
      throw new Error(`${what} cannot be made by thread "${thread}"`);
    }
    const node = row[program.entities + t];
    const outcomes = Array.from({ length: program.outcomes(row, t) }, (_, n) => n);
    const wanted = stable(reply ?? null);
    const outcome = outcomes.find(
      (n) => stable(values.value(program.reply(row, node, n)) ?? null) === wanted,
    );
    if (outcome === undefined) throw new Error(`${what} is not answered ${wanted}`);
    program.step(row, t, outcome);
    rows.push(row.slice());
  }
  return { program, rows };
}
