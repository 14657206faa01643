/** A counterexample as an event log that `hotrace replay` reads. */

import { EventBatch } from '../../events/batch.js';
import type { EventFact, NewEvent, Task } from '../../events/event.js';
import type { LogHeader } from '../../events/log.js';
import { EVENT_SCHEMA, schemaProblem } from '../../events/schema.js';
import type { Scenario } from '../../machines/scenario.js';
import type { Counterexample } from '../explore/counterexample.js';
import { ScenarioError } from '../explore/scenario-error.js';

/** Where the events of such a log come from: line n of it is step n, 0 what was before. */
const FORMAT = 'schedule';

export interface ScheduleLog {
  readonly header: LogHeader;
  readonly batches: readonly EventBatch[];
}

/** ns: a step takes a microsecond, so that a report shows its number. */
const STEP = 1000;

/**
 * Each step as a `model_step`, followed by its facts. Times are numbers of steps, in ns; a thread is
 * a task, its CPU the column that it has in the text, its pid one more (0 would be the idle task).
 *
 * Throws ScenarioError for a fact that is no event of the catalogue.
 */
export function scheduleLog(scenario: Scenario, found: Counterexample): ScheduleLog {
  const source = { format: FORMAT, file: scenario.name };
  const batches = [new EventBatch([source])];
  const append = (event: NewEvent) => {
    let batch = batches[batches.length - 1];
    if (batch.full) {
      const { firstSeq, length } = batch;
      batch = new EventBatch([source]);
      batch.firstSeq = firstSeq + length;
      batches.push(batch);
    }
    batch.append(event, 0);
  };
  const appendFact = (fact: EventFact, step: number, where: string, who: Who) => {
    const event = { ...fact, ...who, time: step * STEP };
    const { success, error } = EVENT_SCHEMA.safeParse(event);
    if (!success) throw new ScenarioError(`a fact: ${schemaProblem(error, event)}`, where, '');
    append({ ...event, line: step });
  };

  const threads = [...new Set(found.steps.map(({ thread }) => thread))];
  const before = { task: { comm: scenario.name, pid: threads.length + 1 } };
  for (const fact of scenario.log?.before ?? []) appendFact(fact, 0, 'log', before);
  found.steps.forEach((step, i) => {
    const { thread, number, what, entity, event, reply, facts = [] } = step;
    const cpu = threads.indexOf(thread);
    const who = { cpu, task: { comm: thread, pid: cpu + 1 } };
    append({
      type: 'model_step',
      time: (i + 1) * STEP,
      line: i + 1,
      ...who,
      thread,
      number,
      what,
      ...(entity === undefined ? {} : { entity }),
      ...(event === undefined ? {} : { event: JSON.stringify(event) }),
      ...(reply === undefined ? {} : { reply: JSON.stringify(reply) }),
    });
    const where = `thread "${thread}", step ${number}`;
    for (const fact of facts) appendFact(fact, i + 1, where, who);
  });
  const kernel = scenario.log?.kernel;
  const clock = 'steps';
  return {
    header: {
      ...(kernel === undefined ? {} : { kernel }),
      sources: [{ ...source, clock }],
      clock,
    },
    batches,
  };
}

interface Who {
  readonly cpu?: number;
  readonly task: Task;
}
