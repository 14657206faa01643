/** Sends events to a machine, as threads do that are never kept waiting. */

import { InternedMachine } from '../../machines/intern.js';
import type { Entity } from '../../machines/scenario.js';
import type { AnyEventObject } from 'xstate';

export interface Sent {
  readonly state: string;
  readonly context: unknown;
  /** The last answer. */
  readonly reply: unknown;
  /** The rule that is broken, and what is said of it. */
  readonly broken: string | undefined;
  readonly says: string | undefined;
  /** The first event that was not accepted. */
  readonly waits: AnyEventObject | undefined;
}

export function sendEvents(entity: Entity, events: readonly AnyEventObject[]): Sent {
  const { machine, input } =
    'machine' in entity ? entity : { machine: entity, input: undefined as unknown };
  const interned = new InternedMachine(machine);
  let state = interned.start(input);
  let reply: unknown;
  let says: string | undefined;
  let waits: AnyEventObject | undefined;
  for (const event of events) {
    const id = interned.event(event);
    if (!interned.accepts(state, id)) {
      waits = event;
      break;
    }
    reply = interned.replies(state, id).at(-1);
    const before = interned.context(state);
    state = interned.next(state, id);
    says = interned.says(state)?.({ entity: 'it', event, context: before });
  }
  return {
    state: interned.stateName(state),
    context: interned.context(state),
    reply,
    broken: interned.broken(state),
    says,
    waits,
  };
}
