/**
 * Something that is done at most once until it is undone: INV-10 (a default domain is made once),
 * INV-02 (an IOMMU driver is asked to take a device once). Source: E.
 */

import { setup } from 'xstate';
import type { AnyStateMachine } from 'xstate';
import type { Says } from './intern.js';

export interface OnceEvent {
  readonly type: 'do' | 'undo';
}

const TYPES = {} as { events: OnceEvent };

/**
 * @param rule what doing it twice breaks
 * @param what it is, for people: `ops->probe_device`
 * @param unmatched the rule that undoing what is not done breaks, and what it is; where left out
 *   that is nothing
 */
export function onceMachine(
  rule: string,
  what: string,
  initial: 'undone' | 'done' = 'undone',
  unmatched?: { readonly rule: string; readonly what: string },
): AnyStateMachine {
  return setup({ types: TYPES }).createMachine({
    id: 'once',
    initial,
    states: {
      undone: { on: { do: 'done', undo: unmatched === undefined ? 'undone' : 'unmatched' } },
      done: { on: { do: 'violated', undo: 'undone' } },
      violated: {
        tags: ['violation'],
        meta: { rule, says: (() => `${what} a second time`) satisfies Says },
      },
      ...(unmatched === undefined
        ? {}
        : {
            unmatched: {
              tags: ['violation'],
              meta: { rule: unmatched.rule, says: (() => unmatched.what) satisfies Says },
            },
          }),
    },
  });
}
