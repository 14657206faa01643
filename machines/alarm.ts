/** Somebody says that a rule does not hold: a WARN, an error that must not be returned. */

import { setup } from 'xstate';
import type { AnyStateMachine } from 'xstate';
import type { Says } from './intern.js';

export interface AlarmEvent {
  readonly type: 'alarm';
  readonly rule: string;
  /** A sentence. */
  readonly says: string;
}

const TYPES = {} as { events: AlarmEvent };

const says: Says = ({ event }) => String(event.says);

/**
 * `silent`; `violated.<rule>`, which accepts nothing.
 *
 * @param rules of the alarms that it may hear
 */
export function alarmMachine(rules: readonly string[]): AnyStateMachine {
  return setup({
    types: TYPES,
    guards: { of: ({ event }, rule: string) => event.rule === rule },
  }).createMachine({
    id: 'alarm',
    initial: 'silent',
    states: {
      silent: {
        on: {
          alarm: rules.map((rule) => ({
            guard: { type: 'of' as const, params: rule },
            target: `violated.${rule}`,
          })),
        },
      },
      violated: {
        initial: rules[0],
        states: Object.fromEntries(
          rules.map((rule) => [rule, { tags: ['violation'], meta: { rule, says } }]),
        ),
      },
    },
  });
}
