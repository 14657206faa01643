/** The kernel's log: lines, and warnings that mean that a rule is broken. */

import { setup } from 'xstate';
import type { AnyStateMachine } from 'xstate';
import type { Says } from './intern.js';

export interface Warning {
  readonly type: 'warn';
  readonly rule: string;
  /** What is wrong, as a sentence. */
  readonly text: string;
}

/** A line that breaks no rule. */
export interface Line {
  readonly type: 'print';
  /** `pr_err` */
  readonly level: string;
  readonly text: string;
}

const TYPES = {} as { events: Warning | Line };

/** @param rules those that a warning may name */
export function kernelLogMachine(rules: readonly string[]): AnyStateMachine {
  const machine = setup({
    types: TYPES,
    actions: { print: () => {} },
    guards: { is: ({ event }, rule: string) => event.type === 'warn' && event.rule === rule },
  });
  const says: Says = ({ event }) => String(event.text);
  return machine.createMachine({
    id: 'kernel-log',
    initial: 'quiet',
    states: {
      quiet: {
        on: {
          print: { actions: 'print' },
          warn: rules.map((rule) => ({
            guard: { type: 'is' as const, params: rule },
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
