/**
 * A reader-writer semaphore with queued-writer preference: kernel/locking/rwsem.c. Readers run
 * together; from the moment a writer queues, new readers wait. Source: B.1.4, K03.
 */

import { assign, emit, setup } from 'xstate';
import type { AnyStateMachine } from 'xstate';
import { notHeld } from './not-held.js';

export interface RwsemEvent {
  readonly type:
    | 'down_read'
    /** Does not wait: answers `{ type: 'got', ok }`. */
    | 'try_down_read'
    | 'up_read'
    | 'queue_write'
    | 'down_write'
    | 'up_write';
  /** The thread. */
  readonly by: string;
}

/** Plain JSON; keys are threads. */
interface RwsemContext {
  /** How often each thread has it for reading. */
  readonly readers: Readonly<Record<string, number>>;
  readonly writer: string | null;
  readonly queued: Readonly<Record<string, true>>;
}

function without<T>(record: Readonly<Record<string, T>>, key: string): Record<string, T> {
  return Object.fromEntries(Object.entries(record).filter(([name]) => name !== key));
}

function released(readers: RwsemContext['readers'], by: string): Record<string, number> {
  return readers[by] > 1 ? { ...readers, [by]: readers[by] - 1 } : without(readers, by);
}

const isEmpty = (record: object) => Object.keys(record).length === 0;

interface MachineTypes {
  context: RwsemContext;
  events: RwsemEvent;
  emitted: { readonly type: 'got'; readonly ok: boolean };
}
const TYPES = {} as MachineTypes;

export const rwsemMachine: AnyStateMachine = setup({
  types: TYPES,
  guards: {
    readable: ({ context }) => context.writer === null && isEmpty(context.queued),
    writable: ({ context, event }) =>
      context.writer === null && isEmpty(context.readers) && event.by in context.queued,
    reads: ({ context, event }) => event.by in context.readers,
    writes: ({ context, event }) => context.writer === event.by,
  },
  actions: {
    read: assign(({ context: { readers }, event: { by } }) => ({
      readers: { ...readers, [by]: (readers[by] ?? 0) + 1 },
    })),
    endRead: assign(({ context, event }) => ({ readers: released(context.readers, event.by) })),
    queue: assign(({ context, event }) => ({ queued: { ...context.queued, [event.by]: true } })),
    write: assign(({ context, event }) => ({
      writer: event.by,
      queued: without(context.queued, event.by),
    })),
    endWrite: assign({ writer: null }),
    got: emit({ type: 'got', ok: true }),
    missed: emit({ type: 'got', ok: false }),
  },
}).createMachine({
  id: 'rwsem',
  context: { readers: {}, writer: null, queued: {} },
  initial: 'held',
  states: {
    held: {
      on: {
        down_read: { guard: 'readable', actions: 'read' },
        try_down_read: [{ guard: 'readable', actions: ['read', 'got'] }, { actions: 'missed' }],
        up_read: [{ guard: 'reads', actions: 'endRead' }, { target: 'violated' }],
        queue_write: { actions: 'queue' },
        down_write: { guard: 'writable', actions: 'write' },
        up_write: [{ guard: 'writes', actions: 'endWrite' }, { target: 'violated' }],
      },
    },
    violated: { tags: ['violation'], meta: { rule: 'unlock-not-owner', says: notHeld } },
  },
});
