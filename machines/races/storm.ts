/**
 * The add/remove storm: N devices, for each a thread that adds it to a group and one that removes
 * it, one mutex, two listeners. The yardstick of the search: exploration.md section 2, "Expected
 * size"; reductions.md section 6. Unlike add-remove.ts it has no dev->iommu_group: a removal goes
 * all its way, found or not.
 */

import { assign, createMachine, setup } from 'xstate';
import type { AnyStateMachine } from 'xstate';
import { deviceListMachine } from '../device-list.js';
import type { Says } from '../intern.js';
import { mutexMachine } from '../mutex.js';
import { refcountMachine } from '../refcount.js';
import type { Scenario } from '../scenario.js';
import { lock, send, unlock } from '../step.js';
import type { Thread, ThreadBody } from '../step.js';

interface MachineTypes {
  context: { readonly heard: Readonly<Record<string, 'added' | 'deleted' | 'wrong'>> };
  events: { readonly type: 'ADD_DEVICE' | 'DEL_DEVICE'; readonly dev: string };
}
const TYPES = {} as MachineTypes;

/** Per device none, added, deleted; any other order is wrong, for good (INV-01). */
const remembers: AnyStateMachine = setup({
  types: TYPES,
  guards: {
    wrong: ({ context, event }) =>
      context.heard[event.dev] !== (event.type === 'ADD_DEVICE' ? undefined : 'added'),
  },
  actions: {
    hear: assign(({ context, event }) => ({
      heard: {
        ...context.heard,
        [event.dev]: event.type === 'ADD_DEVICE' ? 'added' : 'deleted',
      } as const,
    })),
    mishear: assign(({ context, event }) => ({
      heard: { ...context.heard, [event.dev]: 'wrong' } as const,
    })),
  },
}).createMachine({
  id: 'remembers',
  context: { heard: {} },
  initial: 'listening',
  states: {
    listening: {
      on: {
        '*': [{ guard: 'wrong', target: 'violated', actions: 'mishear' }, { actions: 'hear' }],
      },
    },
    violated: {
      tags: ['violation'],
      meta: {
        rule: 'INV-01',
        says: (({ entity, event, context }) => {
          const before = (context as MachineTypes['context']).heard[event.dev as string];
          const after = before === undefined ? 'before any ADD_DEVICE' : `when it was ${before}`;
          return `${entity} saw ${event.type} ${String(event.dev)} ${after}`;
        }) satisfies Says,
      },
      on: { '*': [{ guard: 'wrong', actions: 'mishear' }, { actions: 'hear' }] },
    },
  },
});

/** Accepts everything and keeps nothing. */
const accepts: AnyStateMachine = createMachine({
  id: 'accepts',
  on: { '*': { actions: () => {} } },
});

/** @param listener what the listeners keep of what they hear */
export function storm(devices: number, listener: 'accepts' | 'remembers'): Scenario {
  const machine = listener === 'accepts' ? accepts : remembers;
  const listeners = ['l0', 'l1'];
  const names = Array.from({ length: devices }, (_, i) => `d${i}`);
  const adds = names.map((dev) => `add(${dev})`);
  const removes = names.map((dev) => `remove(${dev})`);
  return {
    name: `storm of ${devices}`,
    story: 'Every device of a group is added and removed at the same time.',
    entities: {
      // Others hold the group as well: it is not freed.
      'group->kobj': refcountMachine(4 * devices),
      'group->mutex': mutexMachine,
      'group->devices': deviceListMachine,
      ...Object.fromEntries(listeners.map((name) => [name, machine])),
    },
    threads: Object.fromEntries(
      names.flatMap((dev, i): [string, ThreadBody][] => [
        [adds[i], () => add(dev, listeners)],
        [removes[i], () => remove(dev, listeners)],
      ]),
    ),
    symmetry: devices < 2 ? [] : [{ names, adds, removes }],
  };
}

function* add(dev: string, listeners: readonly string[]): Thread<void> {
  yield* send('group->kobj', { type: 'get' }, 'kobject_get(group)');
  yield* lock('group->mutex');
  yield* send('group->devices', { type: 'list_add_tail', dev }, `list_add_tail(${dev})`);
  yield* unlock('group->mutex');
  for (const listener of listeners) {
    yield* send(listener, { type: 'ADD_DEVICE', dev }, `ADD_DEVICE ${dev} -> ${listener}`);
  }
}

function* remove(dev: string, listeners: readonly string[]): Thread<void> {
  for (const listener of listeners) {
    yield* send(listener, { type: 'DEL_DEVICE', dev }, `DEL_DEVICE ${dev} -> ${listener}`);
  }
  yield* lock('group->mutex');
  yield* send('group->devices', { type: 'list_del', dev }, `list_del(${dev})`);
  yield* unlock('group->mutex');
  yield* send('group->kobj', { type: 'put' }, 'kobject_put(group)');
}
