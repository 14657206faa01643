/**
 * Runs a schedule through plain xstate actors, fresh generators and the chains of the rxjs bus, with
 * no table of anything: what the search found must be what the machines do, and notifications go as
 * the bus has them go. Design section 4.
 */

import { createActor } from 'xstate';
import type { AnyActorRef, AnyEventObject, AnyMachineSnapshot } from 'xstate';
import { stable } from '../../machines/intern.js';
import { heardEvent, hears } from '../../machines/scenario.js';
import type { Scenario } from '../../machines/scenario.js';
import { SELF } from '../../machines/step.js';
import type { Step, Thread, ThreadBody } from '../../machines/step.js';
import { ChainsOnBus } from './chains-on-bus.js';
import { asEntity } from './columns.js';
import { budgeted } from './fault-budget.js';
import { messageOf } from './scenario-error.js';
import type { ScheduledStep } from './schedule.js';

/** How a schedule went. */
export interface Confirmation {
  /** Undefined: every step was accepted with its recorded reply; else what was otherwise, and where. */
  readonly diverged: { readonly step: number; readonly why: string } | undefined;
  /** Rules that machines broke. */
  readonly broken: readonly string[];
  /** Threads that threw. */
  readonly threw: readonly string[];
  /** Why some thread could go on after the last step; undefined: none can, or it diverged. */
  readonly goesOn: string | undefined;
  readonly snapshots: Readonly<Record<string, AnyMachineSnapshot>>;
}

interface Running {
  readonly generator: Thread;
  pending: Step | undefined;
  spawned: number;
}

/** Steps are told by thread and event, so a schedule can be held against an edited scenario. */
export function confirm(declared: Scenario, steps: readonly ScheduledStep[]): Confirmation {
  const scenario = budgeted(declared);
  const actors = new Map<string, AnyActorRef>();
  const monitors = Object.entries(scenario.monitors ?? {});
  const machines = [
    ...Object.entries(scenario.entities),
    ...monitors.map(([name, { machine }]) => [name, machine] as const),
  ];
  for (const [name, entity] of machines) {
    const { machine, input } = asEntity(entity);
    actors.set(name, createActor(machine, { input }).start());
  }
  const initial = new Map([...actors].map(([name, actor]) => [name, contextOf(actor)]));
  /** The step that is made. */
  let at = -1;
  const chains = new ChainsOnBus(
    (entity) => initial.get(entity),
    (rwsem) =>
      steps
        .slice(at + 1)
        .filter(({ entity, event }) => entity === rwsem && event?.type === 'down_write')
        .map(({ thread }) => thread),
  );
  let diverged: Confirmation['diverged'];
  const fail = (step: number, why: string) => {
    diverged ??= { step, why };
  };
  const threads = new Map<string, Running>();
  const threw: string[] = [];
  const begin = (name: string, body: ThreadBody) => {
    const running: Running = { generator: body(name), pending: undefined, spawned: 0 };
    threads.set(name, running);
    goOn(name, running, undefined);
  };
  const next = (name: string, { generator }: Running, reply: unknown): Step | undefined => {
    try {
      const result = generator.next(reply);
      return result.done === true ? undefined : result.value;
    } catch {
      threw.push(name);
      return undefined;
    }
  };
  const goOn = (name: string, running: Running, reply: unknown) => {
    let step = next(name, running, reply);
    while (step?.type === 'loop' || step?.type === 'note' || step?.type === 'trace') {
      if (step.type === 'note' && diverged === undefined) {
        const why = chains.take(name, step.note);
        if (why !== undefined) fail(Math.max(0, at), why);
      }
      step = next(name, running, undefined);
    }
    running.pending = step;
  };
  for (const [name, body] of Object.entries(scenario.threads)) begin(name, body);

  for (const [i, planned] of steps.entries()) {
    at = i;
    if (diverged !== undefined) break;
    const running = threads.get(planned.thread);
    const pending = running?.pending;
    if (running === undefined || pending === undefined) {
      fail(i, `thread "${planned.thread}" has no further step`);
      break;
    }
    let reply: unknown;
    if (pending.type === 'send') {
      const event = addressed(pending.event, planned.thread);
      const wanted = { entity: planned.entity, event: planned.event };
      if (stable({ entity: pending.entity, event }) !== stable(wanted)) {
        fail(i, `thread "${planned.thread}" now sends ${stable(event)} to ${pending.entity}`);
        break;
      }
      const actor = actors.get(pending.entity)!;
      if (!(actor.getSnapshot() as AnyMachineSnapshot).can(event)) {
        fail(i, `${pending.entity} does not accept ${stable(event)}`);
        break;
      }
      const { delivery } = pending;
      const deliver = () => {
        const listening = actor.on('*', (emitted: unknown) => {
          reply = emitted;
        });
        try {
          actor.send(event);
        } finally {
          listening.unsubscribe();
        }
        for (const [name, monitor] of delivery === undefined ? [] : monitors) {
          if (hears(monitor, delivery!)) actors.get(name)!.send(heardEvent(delivery!));
        }
      };
      try {
        if (delivery === undefined) deliver();
        else {
          const why = chains.deliver(planned.thread, delivery, deliver);
          if (why !== undefined) fail(i, why);
        }
      } catch (error) {
        fail(i, messageOf(error));
      }
      if (diverged !== undefined) break;
    } else if (pending.type === 'choose') {
      reply = planned.reply;
    } else if (pending.type === 'spawn') {
      const name = `${planned.thread}.${running.spawned++}`;
      begin(name, pending.body);
      reply = name;
    }
    if (stable(reply ?? null) !== stable(planned.reply ?? null)) {
      fail(i, `it is answered ${stable(reply ?? null)}, not ${stable(planned.reply ?? null)}`);
      break;
    }
    goOn(planned.thread, running, reply);
  }
  const snapshots = Object.fromEntries(
    [...actors].map(([name, actor]) => [name, actor.getSnapshot() as AnyMachineSnapshot]),
  );
  const goesOn = diverged === undefined ? firstToGoOn() : undefined;
  chains.stop();
  for (const actor of actors.values()) actor.stop();
  const broken = Object.values(snapshots)
    .filter((snapshot) => snapshot.hasTag('violation'))
    .flatMap((snapshot) =>
      Object.values(snapshot.getMeta() as Record<string, { rule?: string }>).map(
        (meta) => meta?.rule,
      ),
    )
    .filter((rule) => rule !== undefined);
  return { diverged, broken, threw, goesOn, snapshots };

  function firstToGoOn(): string | undefined {
    for (const [name, { pending }] of threads) {
      const why = pending === undefined ? undefined : whyGoesOn(name, pending);
      if (why !== undefined) return why;
    }
    return undefined;
  }

  function whyGoesOn(name: string, pending: Step): string | undefined {
    if (pending.type === 'join') {
      const other = threads.get(pending.thread);
      const over = other !== undefined && other.pending === undefined;
      return over && !threw.includes(pending.thread)
        ? `${name} joins ${pending.thread}`
        : undefined;
    }
    if (pending.type !== 'send') return `${name} goes on`;
    const event = addressed(pending.event, name);
    if ((actors.get(pending.entity)!.getSnapshot() as AnyMachineSnapshot).can(event)) {
      return `${pending.entity} accepts ${stable(event)}`;
    }
    return chains.letsGo(name, event.type === 'down_read' ? pending.entity : undefined);
  }
}

function contextOf(actor: AnyActorRef): unknown {
  return (actor.getSnapshot() as AnyMachineSnapshot).context;
}

function addressed(event: AnyEventObject, thread: string): AnyEventObject {
  return Object.fromEntries(
    Object.entries(event).map(([key, value]) => [
      key,
      value === SELF ? thread : (value as unknown),
    ]),
  ) as AnyEventObject;
}
