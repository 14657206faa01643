/**
 * Who is told to take back what on a notifier chain: INV-18. After a callback has failed, those
 * that were called before it are, each once and in their order; nobody else is, nor the one that
 * failed. Source: B.1.3, K06.
 */

import { assign, setup } from 'xstate';
import type { AnyStateMachine } from 'xstate';
import type { Says } from './intern.js';

/** Of a delivery, as a monitor hears it. */
interface RollbackEvent {
  readonly type: string;
  readonly block: string;
}

/** Plain JSON; blocks in the order in which they were called. */
export interface RollbackMemory {
  readonly up: readonly string[];
  readonly down: readonly string[];
}

interface MachineTypes {
  context: RollbackMemory;
  events: RollbackEvent;
}
const TYPES = {} as MachineTypes;

const BREACHES = {
  /** It was not called with `up` at all. */
  stranger: 'which had not heard',
  /** The last to hear `up` before a rollback is the one that failed. */
  failed: 'which had failed in',
  twice: 'for the second time after',
  order: 'later than one that came after it in',
} as const;
type Breach = keyof typeof BREACHES;

/**
 * A monitor: `hearing`; `violated.<breach>`, which accepts nothing. Which callback failed it takes
 * from the order: no callback is called with `up` after that one.
 *
 * @param up `PREPARE`
 * @param down `CANCEL`
 */
export function robustRollbackMachine(up: string, down: string): AnyStateMachine {
  const machine = setup({
    types: TYPES,
    guards: {
      breaks: ({ context, event }, breach: Breach) => breachOf(context, event.block) === breach,
      anew: ({ context }) => context.down.length > 0,
    },
    actions: {
      begin: assign(({ event }) => ({ up: [event.block], down: [] })),
      hearUp: assign(({ context, event }) => ({ up: [...context.up, event.block] })),
      hearDown: assign(({ context, event }) => ({ down: [...context.down, event.block] })),
    },
  });
  const says: (breach: Breach) => Says =
    (breach) =>
    ({ event }) =>
      `${down} is delivered to ${String(event.block)}, ${BREACHES[breach]} ${up}`;
  const broken = (breach: Breach) => ({
    tags: ['violation'],
    meta: { rule: 'INV-18', says: says(breach) },
  });
  return machine.createMachine({
    id: 'robust-rollback',
    context: { up: [], down: [] },
    initial: 'hearing',
    states: {
      hearing: {
        on: {
          [up]: [{ guard: 'anew', actions: 'begin' }, { actions: 'hearUp' }],
          [down]: [
            ...(Object.keys(BREACHES) as Breach[]).map((breach) => ({
              guard: { type: 'breaks' as const, params: breach },
              target: `violated.${breach}` as const,
            })),
            { actions: 'hearDown' as const },
          ],
        },
      },
      violated: {
        initial: 'stranger',
        states: {
          stranger: broken('stranger'),
          failed: broken('failed'),
          twice: broken('twice'),
          order: broken('order'),
        },
      },
    },
  });
}

/** Whether nobody is left who should have heard `down`, once a rollback has begun and is over. */
export function rolledBackWhole({ up, down }: RollbackMemory): boolean {
  return down.length === 0 || down.length === up.length - 1;
}

function breachOf({ up, down }: RollbackMemory, block: string): Breach | undefined {
  const at = up.indexOf(block);
  if (at < 0) return 'stranger';
  if (at === up.length - 1) return 'failed';
  if (down.includes(block)) return 'twice';
  return down.some((other) => up.indexOf(other) > at) ? 'order' : undefined;
}
