/** What is at address NULL: nothing. A thread that loads through a NULL pointer sends to it. */

import { createMachine } from 'xstate';
import type { AnyStateMachine } from 'xstate';
import type { Says } from './intern.js';

/** What its entity is called: a thread that loads `pointer ?? NULL` needs no branch of its own. */
export const NULL = 'NULL';

const says: Says = ({ entity, event }) =>
  `NULL pointer dereference: ${entity}${'field' in event ? `->${String(event.field)}` : ''}`;

/** `nothing`; any access is a violation (INV-24). */
export const nullPointerMachine: AnyStateMachine = createMachine({
  id: 'null-pointer',
  initial: 'nothing',
  states: {
    nothing: { on: { '*': 'violated' } },
    violated: { tags: ['violation'], meta: { rule: 'INV-24', says } },
  },
});
