/**
 * What a thread of the explorer does: one atomic step at a time. A thread is a generator that yields
 * steps and is given their replies; it may branch on nothing else, and it changes nothing but
 * through its steps. Design sections 2 and 4.
 */

import type { AnyEventObject } from 'xstate';
import type { EventFact } from '../events/event.js';
import type { ChainNote } from './chain-note.js';
import type { FaultBudgetReply } from './fault-budget.js';

/** Stands in an event for the name of the thread that sends it. */
export const SELF = '@self';

/** A notification as a listener gets it: what monitors hear. */
export interface Delivery {
  /** Name of the chain. */
  readonly chain: string;
  /** Name of the block whose callback gets it. */
  readonly block: string;
  /** `ADD_DEVICE` */
  readonly action: string;
  readonly payload: Payload;
}

/** What a chain is called with, as plain JSON: `{ dev: 'd0' }`. */
export type Payload = Readonly<Record<string, unknown>>;

export type Step =
  /** One event to one machine. It waits until the machine accepts it; the reply is what it emits. */
  | {
      readonly type: 'send';
      readonly entity: string;
      readonly event: AnyEventObject;
      readonly label?: string;
      /** What a trace of a kernel would show of it, in its order; for the log of a schedule. */
      readonly facts?: readonly EventFact[];
      /** The event is a notification. */
      readonly delivery?: Delivery;
      /** A part of `mayFail`: shown only where the fault comes. */
      readonly fault?: true;
      /** Of the model and not of the kernel: not shown. */
      readonly hidden?: true;
    }
  /** One of several outcomes, all of which are explored; the reply is the option. */
  | {
      readonly type: 'choose';
      readonly options: readonly unknown[];
      readonly label?: string;
      readonly fault?: true;
    }
  /** Starts a thread; the reply is its name: of the nth that T spawns, `T.n`. */
  | { readonly type: 'spawn'; readonly body: ThreadBody; readonly label?: string }
  /** Waits until a thread is over. */
  | { readonly type: 'join'; readonly thread: string; readonly label?: string }
  /** The head of a loop whose future depends on `state` alone: takes no time. */
  | { readonly type: 'loop'; readonly state: unknown }
  /** Says what the steps before it were of a chain: takes no time. */
  | { readonly type: 'note'; readonly note: ChainNote }
  /** What a trace of a kernel would show here: takes no time, and counts to the next `send`. */
  | { readonly type: 'trace'; readonly facts: readonly EventFact[] };

export type Thread<T = unknown> = Generator<Step, T, unknown>;

/** Makes a thread; `self` is its name. */
export type ThreadBody = (self: string) => Thread;

/**
 * Sends `event` to `entity` and waits until it is accepted.
 *
 * @param label what the step is called in a counterexample: `dev->iommu_group = g0`
 * @param facts what a trace of a kernel would show of it, so that a replay can judge the schedule
 * @returns what the machine emitted: its last event, undefined for none
 */
export function* send<Reply extends AnyEventObject | undefined = AnyEventObject | undefined>(
  entity: string,
  event: AnyEventObject,
  label?: string,
  facts?: readonly EventFact[],
): Thread<Reply> {
  return (yield {
    type: 'send',
    entity,
    event,
    ...(label === undefined ? {} : { label }),
    ...(facts === undefined ? {} : { facts }),
  }) as Reply;
}

/**
 * Sends a notification to `listener`, an entity: an event of the action's name with the payload's
 * fields. The one step in which it is heard, by the listener and by the monitors of it.
 *
 * @returns what the listener emitted
 */
export function* deliver<Reply extends AnyEventObject | undefined = AnyEventObject | undefined>(
  listener: string,
  delivery: Delivery,
  label?: string,
  facts?: readonly EventFact[],
): Thread<Reply> {
  const event = { ...delivery.payload, type: delivery.action };
  return (yield {
    type: 'send',
    entity: listener,
    event,
    delivery,
    ...(label === undefined ? {} : { label }),
    ...(facts === undefined ? {} : { facts }),
  }) as Reply;
}

/** Says what the steps before it were of a chain. */
export function* note(chainNote: ChainNote): Thread<void> {
  yield { type: 'note', note: chainNote };
}

/** Says what a trace of a kernel would show between the steps before and after it. */
export function* trace(...facts: readonly EventFact[]): Thread<void> {
  yield { type: 'trace', facts };
}

/** One of `options`; all are explored. Options are plain JSON. */
export function* choose<T>(options: readonly T[], label?: string): Thread<T> {
  return (yield { type: 'choose', options, ...(label === undefined ? {} : { label }) }) as T;
}

/**
 * A point that may fail, while `budget` has faults left: kmalloc() that returns NULL.
 *
 * Three steps at most: asking whether a fault is left (the only one where none is: nothing branches
 * then), choosing, taking it. Others may act in between, and what can be seen is all the same that
 * of one atomic step. Faults do not come back, so a point that is told that none is left could not
 * have failed later either. Who has chosen to fail and finds the last fault taken does not: the
 * point passes, as it would have in one step at that moment, and the budget is never overdrawn. And
 * the one step itself is there: the three with nothing in between.
 *
 * @param budget an entity that is `faultBudgetMachine`
 * @param label what the fault is called in a counterexample: `kzalloc() returns NULL`
 * @returns true: it fails
 */
export function* mayFail(budget: string, label: string): Thread<boolean> {
  const asked = `may fail: ${label}`;
  const entity = budget;
  const left = yield {
    type: 'send',
    entity,
    event: { type: 'may_fail' },
    label: asked,
    fault: true,
  };
  if ((left as FaultBudgetReply).type === 'none') return false;
  const fails = yield { type: 'choose', options: [false, true], label, fault: true };
  if (fails !== true) return false;
  const took = yield { type: 'send', entity, event: { type: 'fail' }, label, fault: true };
  return (took as FaultBudgetReply).type === 'fault';
}

/** Starts a thread and goes on beside it. Returns its name. */
export function* spawn(body: ThreadBody, label?: string): Thread<string> {
  return (yield { type: 'spawn', body, ...(label === undefined ? {} : { label }) }) as string;
}

/** Waits until `thread` is over. */
export function* join(thread: string, label?: string): Thread<void> {
  yield { type: 'join', thread, ...(label === undefined ? {} : { label }) };
}

/**
 * Marks the head of a loop. Where a thread comes to a head again with the same `state` (plain JSON),
 * it does from there what it did before: so a loop without end is finite to explore.
 */
export function* loopHead(state: unknown = null): Thread<void> {
  yield { type: 'loop', state };
}

/** mutex_lock, spin_lock */
export function* lock(mutex: string): Thread<void> {
  yield* send(mutex, { type: 'lock', by: SELF }, `lock(${mutex})`);
}

/** mutex_unlock, spin_unlock */
export function* unlock(mutex: string): Thread<void> {
  yield* send(mutex, { type: 'unlock', by: SELF }, `unlock(${mutex})`);
}

/** down_read: waits for the writer that has it, and for writers that queue. */
export function* downRead(rwsem: string): Thread<void> {
  yield* send(rwsem, { type: 'down_read', by: SELF }, `down_read(${rwsem})`);
}

export function* upRead(rwsem: string): Thread<void> {
  yield* send(rwsem, { type: 'up_read', by: SELF }, `up_read(${rwsem})`);
}

/** down_write in two steps: from the first on, new readers wait. */
export function* downWrite(rwsem: string): Thread<void> {
  yield* send(rwsem, { type: 'queue_write', by: SELF }, `down_write(${rwsem}) queues`);
  yield* send(rwsem, { type: 'down_write', by: SELF }, `down_write(${rwsem})`);
}

export function* upWrite(rwsem: string): Thread<void> {
  yield* send(rwsem, { type: 'up_write', by: SELF }, `up_write(${rwsem})`);
}

export function* rcuReadLock(rcu: string): Thread<void> {
  yield* send(rcu, { type: 'rcu_read_lock', by: SELF }, 'rcu_read_lock()');
}

export function* rcuReadUnlock(rcu: string): Thread<void> {
  yield* send(rcu, { type: 'rcu_read_unlock', by: SELF }, 'rcu_read_unlock()');
}

/** Waits for the read sections that are open when it begins. */
export function* synchronizeRcu(rcu: string): Thread<void> {
  yield* send(rcu, { type: 'begin_grace_period', by: SELF }, 'synchronize_rcu() begins');
  yield* send(rcu, { type: 'end_grace_period', by: SELF }, 'synchronize_rcu()');
}
