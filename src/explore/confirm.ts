/**
 * Runs a schedule through plain xstate actors and fresh generators, with no table of anything: what
 * the search found must be what the machines do. Design section 4.
 */

import { createActor } from 'xstate';
import type { AnyActorRef, AnyEventObject, AnyMachineSnapshot } from 'xstate';
import { stable } from '../../machines/intern.js';
import { heardEvent, hears } from '../../machines/scenario.js';
import type { Scenario } from '../../machines/scenario.js';
import { SELF } from '../../machines/step.js';
import type { Step, Thread, ThreadBody } from '../../machines/step.js';
import { asEntity } from './columns.js';
import { messageOf } from './program.js';
import type { ScheduledStep } from './schedule.js';

/** How a schedule went. */
export interface Confirmation {
  /** Undefined: every step was accepted with its recorded reply; else what was otherwise, and where. */
  readonly diverged: { readonly step: number; readonly why: string } | undefined;
  /** Rules that machines broke. */
  readonly broken: readonly string[];
  /** Threads that threw. */
  readonly threw: readonly string[];
  readonly snapshots: Readonly<Record<string, AnyMachineSnapshot>>;
}

interface Running {
  readonly generator: Thread;
  pending: Step | undefined;
  spawned: number;
}

/** Steps are told by thread and event, so a schedule can be held against an edited scenario. */
export function confirm(scenario: Scenario, steps: readonly ScheduledStep[]): Confirmation {
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
  const threads = new Map<string, Running>();
  const threw: string[] = [];
  const begin = (name: string, body: ThreadBody) => {
    const running: Running = { generator: body(name), pending: undefined, spawned: 0 };
    threads.set(name, running);
    goOn(name, running, undefined);
  };
  const goOn = (name: string, running: Running, reply: unknown) => {
    try {
      let result = running.generator.next(reply);
      while (
        result.done !== true &&
        (result.value.type === 'loop' || result.value.type === 'note')
      ) {
        result = running.generator.next();
      }
      running.pending = result.done === true ? undefined : result.value;
    } catch {
      running.pending = undefined;
      threw.push(name);
    }
  };
  for (const [name, body] of Object.entries(scenario.threads)) begin(name, body);

  let diverged: Confirmation['diverged'];
  const fail = (step: number, why: string) => {
    diverged ??= { step, why };
  };
  for (const [i, planned] of steps.entries()) {
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
      const listening = actor.on('*', (emitted: unknown) => {
        reply = emitted;
      });
      try {
        actor.send(event);
      } catch (error) {
        fail(i, messageOf(error));
        break;
      } finally {
        listening.unsubscribe();
      }
      for (const [name, monitor] of pending.delivery === undefined ? [] : monitors) {
        if (hears(monitor, pending.delivery!))
          actors.get(name)!.send(heardEvent(pending.delivery!));
      }
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
  for (const actor of actors.values()) actor.stop();
  const broken = Object.values(snapshots)
    .filter((snapshot) => snapshot.hasTag('violation'))
    .flatMap((snapshot) =>
      Object.values(snapshot.getMeta() as Record<string, { rule?: string }>).map(
        (meta) => meta?.rule,
      ),
    )
    .filter((rule) => rule !== undefined);
  return { diverged, broken, threw, snapshots };
}

function addressed(event: AnyEventObject, thread: string): AnyEventObject {
  return Object.fromEntries(
    Object.entries(event).map(([key, value]) => [
      key,
      value === SELF ? thread : (value as unknown),
    ]),
  ) as AnyEventObject;
}
