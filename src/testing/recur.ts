/** A schedule that once broke a rule, tried on the scenario as it is now. */

import { stable } from '../../machines/intern.js';
import type { Scenario } from '../../machines/scenario.js';
import { counterexample } from '../explore/counterexample.js';
import type { Counterexample } from '../explore/counterexample.js';
import { withFaults } from '../explore/fault-budget.js';
import { Program } from '../explore/program.js';
import type { Move, ScheduledStep } from '../explore/schedule.js';
import { brokenRules } from '../explore/verdict-rules.js';

/** What a step is told by: labels and column numbers may change, what is sent may not. */
export type PlannedStep = Pick<ScheduledStep, 'thread' | 'entity' | 'event' | 'reply'>;

/**
 * Carries out a schedule, as far as the scenario still goes that way.
 *
 * @returns the schedule as it goes now; undefined where it does not break the rule any more
 */
export function recur(
  declared: Scenario,
  rule: string,
  steps: readonly PlannedStep[],
): Counterexample | undefined {
  // A thread that is spawned has its column only when it was met: then all begins again.
  const program = new Program(withFaults(declared, undefined));
  for (let t = 0; t < program.declaredThreads; t++) program.trie.root(t);
  for (;;) {
    const { threads } = program.trie;
    const before = threads.length;
    const moves: Move[] = [];
    const row = program.start(before);
    const breaks = () => {
      const final = threads.every((_, t) => !program.enabled(row, t));
      return brokenRules(program, row, final).includes(rule);
    };
    for (const step of steps) {
      const thread = threads.findIndex(({ name }) => name === step.thread);
      if (thread < 0 || thread >= before || !program.enabled(row, thread)) break;
      const outcome = outcomeOf(program, row, thread, step);
      if (outcome === undefined) break;
      program.step(row, thread, outcome);
      moves.push({ thread, outcome });
      if (threads.length > before) break;
    }
    if (threads.length > before) continue;
    return breaks() ? counterexample(program, rule, moves, false) : undefined;
  }
}

/** The outcome with the reply that was recorded; undefined where another step comes. */
function outcomeOf(
  program: Program,
  row: Int32Array,
  thread: number,
  step: PlannedStep,
): number | undefined {
  const node = row[program.entities + thread];
  const sent = program.sent(node);
  const same = (a: unknown, b: unknown) => stable(a ?? null) === stable(b ?? null);
  if (sent?.entity !== step.entity || !same(sent?.event, step.event)) return undefined;
  const outcomes = program.outcomes(row, thread);
  for (let outcome = 0; outcome < outcomes; outcome++) {
    const reply = program.values.value(program.reply(row, node, outcome));
    if (same(reply, step.reply)) return outcome;
  }
  return undefined;
}
