/**
 * RCU as its users see it: read sections never wait, a grace period ends when every section that was
 * open at its beginning is closed. Source: B.1.4; Documentation/RCU/whatisRCU.rst.
 */

import { assign, setup } from 'xstate';
import type { AnyStateMachine } from 'xstate';
import { notHeld } from './not-held.js';

export interface RcuEvent {
  readonly type: 'rcu_read_lock' | 'rcu_read_unlock' | 'begin_grace_period' | 'end_grace_period';
  /** The thread. */
  readonly by: string;
}

/** Plain JSON; keys are threads. */
interface RcuContext {
  /** Nesting depth of each reader. */
  readonly readers: Readonly<Record<string, number>>;
  /** Who waits, and for which readers. */
  readonly periods: Readonly<Record<string, Readonly<Record<string, true>>>>;
}

function without<T>(record: Readonly<Record<string, T>>, key: string): Record<string, T> {
  return Object.fromEntries(Object.entries(record).filter(([name]) => name !== key));
}

const TYPES = {} as { context: RcuContext; events: RcuEvent };

export const rcuMachine: AnyStateMachine = setup({
  types: TYPES,
  guards: {
    reads: ({ context, event }) => event.by in context.readers,
    over: ({ context: { periods }, event }) =>
      periods[event.by] !== undefined && Object.keys(periods[event.by]).length === 0,
  },
  actions: {
    lock: assign(({ context: { readers }, event: { by } }) => ({
      readers: { ...readers, [by]: (readers[by] ?? 0) + 1 },
    })),
    unlock: assign(({ context: { readers, periods }, event: { by } }) =>
      readers[by] > 1
        ? { readers: { ...readers, [by]: readers[by] - 1 } }
        : {
            readers: without(readers, by),
            periods: Object.fromEntries(
              Object.entries(periods).map(([who, open]) => [who, without(open, by)]),
            ),
          },
    ),
    begin: assign(({ context: { readers, periods }, event: { by } }) => ({
      periods: {
        ...periods,
        [by]: Object.fromEntries(Object.keys(readers).map((reader) => [reader, true as const])),
      },
    })),
    end: assign(({ context, event }) => ({ periods: without(context.periods, event.by) })),
  },
}).createMachine({
  id: 'rcu',
  context: { readers: {}, periods: {} },
  initial: 'up',
  states: {
    up: {
      on: {
        rcu_read_lock: { actions: 'lock' },
        rcu_read_unlock: [{ guard: 'reads', actions: 'unlock' }, { target: 'violated' }],
        begin_grace_period: { actions: 'begin' },
        end_grace_period: { guard: 'over', actions: 'end' },
      },
    },
    violated: { tags: ['violation'], meta: { rule: 'unlock-not-owner', says: notHeld } },
  },
});
