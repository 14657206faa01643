/** group->devices: who is on it, in their order. A1.1. */

import { assign, emit, setup } from 'xstate';
import type { AnyStateMachine } from 'xstate';

export interface DeviceListEvent {
  readonly type: 'list_add_tail' | 'list_del';
  readonly dev: string;
}

/** What `list_del` answers: whether the device was on the list. */
export interface DeviceListReply {
  readonly type: 'list_del';
  readonly found: boolean;
}

interface MachineTypes {
  context: { readonly devices: Readonly<Record<string, true>> };
  events: DeviceListEvent;
  emitted: DeviceListReply;
}
const TYPES = {} as MachineTypes;

/** Adding who is on the list already corrupts it (INV-02). Orders that only differ are one. */
export const deviceListMachine: AnyStateMachine = setup({
  types: TYPES,
  guards: { isOn: ({ context, event }) => event.dev in context.devices },
  actions: {
    add: assign(({ context, event }) => ({ devices: { ...context.devices, [event.dev]: true } })),
    remove: assign(({ context, event }) => ({
      devices: Object.fromEntries(
        Object.entries(context.devices).filter(([dev]) => dev !== event.dev),
      ),
    })),
    found: emit({ type: 'list_del', found: true }),
    missed: emit({ type: 'list_del', found: false }),
  },
}).createMachine({
  id: 'device-list',
  context: { devices: {} },
  initial: 'list',
  states: {
    list: {
      on: {
        list_add_tail: [{ guard: 'isOn', target: 'violated' }, { actions: 'add' }],
        list_del: [{ guard: 'isOn', actions: ['remove', 'found'] }, { actions: 'missed' }],
      },
    },
    violated: { tags: ['violation'], meta: { rule: 'INV-02' } },
  },
});
