/** Runs a machine over events written as words: `add remove.same lost`. */

import { initialTransition, transition } from 'xstate';
import type { AnyStateMachine, SnapshotFrom } from 'xstate';

export interface Walk {
  /** The state after each event, as dotted text. */
  readonly states: readonly string[];
  readonly end: string;
  /** `event rule` for each event that led into a state tagged `violation`. */
  readonly broken: readonly string[];
  readonly context: unknown;
}

export function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== '');
}

export function walk(machine: AnyStateMachine, events: string): Walk {
  let [snapshot] = initialTransition(machine);
  const states: string[] = [];
  const broken: string[] = [];
  for (const type of words(events)) {
    const accepted = snapshot.can({ type });
    [snapshot] = transition(machine, snapshot, { type });
    const rule = brokenRule(snapshot);
    if (rule !== undefined && accepted) broken.push(`${type} ${rule}`);
    states.push(dotted(snapshot.value));
  }
  return { states, end: dotted(snapshot.value), broken, context: snapshot.context as unknown };
}

/** The rule that a snapshot's violation names, undefined where it is none. */
export function brokenRule(snapshot: SnapshotFrom<AnyStateMachine>): string | undefined {
  if (!snapshot.hasTag('violation')) return undefined;
  const metas = Object.values(snapshot.getMeta() as Record<string, { rule?: string } | undefined>);
  return metas.find((meta) => meta?.rule !== undefined)?.rule ?? 'no rule';
}

function dotted(value: unknown): string {
  return typeof value === 'string'
    ? value
    : Object.entries(value as Record<string, unknown>)
        .map(([key, inner]) => `${key}.${dotted(inner)}`)
        .join(' ');
}
