/**
 * The kernel's uevents of one device in the order of their sequence numbers: the part of INV-46
 * that a udev monitor shows alone. `add` first, `unbind` between `bind` and `remove`, nothing
 * after `remove`. A second `add` or `change` is legal: udevadm trigger asks for them.
 * Source: B.2, drivers/base/core.c, drivers/base/dd.c.
 */

import { createMachine } from 'xstate';
import type { AnyStateMachine } from 'xstate';

export const UEVENT_EVENTS = ['add', 'bind', 'unbind', 'remove', 'lost'] as const;

const broken = (state: string) => `violated.${state}`;
const goesOn = {
  add: '#uevents.added',
  bind: '#uevents.bound',
  unbind: '#uevents.added',
  remove: '#uevents.removed',
  lost: '#uevents.unknown',
};

export const ueventsMachine: AnyStateMachine = createMachine({
  id: 'uevents',
  initial: 'unknown',
  states: {
    unknown: { on: { add: 'added', bind: 'bound', unbind: 'added', remove: 'removed' } },
    added: {
      on: {
        bind: 'bound',
        unbind: broken('unbindWithoutBind'),
        remove: 'removed',
        lost: 'unknown',
      },
    },
    bound: {
      on: { unbind: 'added', remove: broken('removeWhileBound'), lost: 'unknown' },
    },
    removed: {
      on: {
        add: 'added',
        bind: broken('afterRemove'),
        unbind: broken('afterRemove'),
        remove: broken('afterRemove'),
        lost: 'unknown',
      },
    },
    violated: {
      initial: 'afterRemove',
      states: Object.fromEntries(
        ['unbindWithoutBind', 'removeWhileBound', 'afterRemove'].map((name) => [
          name,
          { tags: ['violation'], meta: { rule: 'INV-46' }, on: goesOn },
        ]),
      ),
    },
  },
});
