/** Runs a thread that is alone, step by step, on machines. */

import type { AnyStateMachine } from 'xstate';
import { InternedMachine } from '../../../machines/intern.js';
import type { Entity } from '../../../machines/scenario.js';
import { SELF } from '../../../machines/step.js';
import type { Step, Thread, ThreadBody } from '../../../machines/step.js';

/** What is known of a machine serves everybody. */
const interned = new WeakMap<AnyStateMachine, InternedMachine>();

export class Alone {
  private readonly machines = new Map<string, { machine: InternedMachine; state: number }>();

  /**
   * @param sends hears of every step that was sent
   * @param spawns whether a thread may spawn others: they run after it
   */
  constructor(
    entities: Readonly<Record<string, Entity>>,
    private readonly sends: (step: Extract<Step, { type: 'send' }>) => void = () => undefined,
    private readonly spawns = false,
  ) {
    for (const [name, entity] of Object.entries(entities)) {
      const { machine, input } =
        'machine' in entity ? entity : { machine: entity, input: undefined };
      const known = interned.get(machine) ?? new InternedMachine(machine);
      interned.set(machine, known);
      this.machines.set(name, { machine: known, state: known.start(input) });
    }
  }

  /** What the thread returns; throws where it would wait, and where a rule breaks. */
  run<T>(thread: Thread<T>, self = 'T'): T {
    const spawned: ThreadBody[] = [];
    const returned = this.runOne(thread, self, spawned);
    spawned.forEach((body, i) => this.run(body(`${self}.${i + 1}`), `${self}.${i + 1}`));
    return returned;
  }

  private runOne<T>(thread: Thread<T>, self: string, spawned: ThreadBody[]): T {
    let result = thread.next();
    while (result.done !== true) {
      const step = result.value;
      if (step.type === 'note' || step.type === 'trace') {
        result = thread.next();
        continue;
      }
      if (step.type === 'spawn' && this.spawns) {
        spawned.push(step.body);
        result = thread.next(`${self}.${spawned.length}`);
        continue;
      }
      if (step.type !== 'send') throw new Error(`a thread alone does not ${step.type}`);
      const entity = this.machines.get(step.entity);
      if (entity === undefined) throw new Error(`there is no ${step.entity}`);
      const { machine, state } = entity;
      const event = machine.event(
        'by' in step.event && step.event.by === SELF ? { ...step.event, by: self } : step.event,
      );
      if (!machine.accepts(state, event)) throw new Error(`it waits at ${step.label}`);
      const reply = machine.replies(state, event).at(-1);
      entity.state = machine.next(state, event);
      const rule = machine.broken(entity.state);
      if (rule !== undefined) throw new Error(`${step.label} breaks ${rule}`);
      this.sends(step);
      result = thread.next(reply);
    }
    return result.value;
  }

  context(name: string): unknown {
    const { machine, state } = this.machines.get(name)!;
    return machine.context(state);
  }
}
