/** Which of several ends a scenario can come to: a question for each, answered by search. */

import type { EntityView, Scenario } from '../../machines/scenario.js';
import { explore } from '../explore/explore.js';

/** What an end is told by. */
export interface Question {
  /** What it is called. */
  readonly id: string;
  readonly entities: readonly string[];
  /** Whether this end is one of those. */
  readonly is: (view: Readonly<Record<string, EntityView>>) => boolean;
}

export interface Reached {
  /** Of the questions, in their order: those that some end is an answer to. */
  readonly ids: readonly string[];
  readonly states: number;
}

/**
 * The ends that some interleaving comes to.
 *
 * @param scenario its own invariants are left out
 */
export function reached(scenario: Scenario, questions: readonly Question[]): Reached {
  // That it never comes is an invariant, which the search breaks where it does.
  const found = explore({
    ...scenario,
    invariants: questions.map(({ id, entities, is }) => ({
      id,
      entities,
      when: 'end',
      holds: (view) => !is(view),
    })),
  });
  if (found.verdict === 'incomplete') throw new Error(`the search of ${scenario.name} was cut`);
  const broken = [...found.counterexamples.map(({ rule }) => rule), ...found.withoutSchedule];
  const asked = questions.map(({ id }) => id);
  const other = broken.find((rule) => !asked.includes(rule));
  if (other !== undefined) throw new Error(`${scenario.name} breaks ${other}`);
  return { ids: asked.filter((id) => broken.includes(id)), states: found.stats.states };
}
