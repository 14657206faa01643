/**
 * Random scenarios: small machines from random tables, counters, bit sets and mutexes; threads that
 * branch on replies, choose, spawn, wait and hold locks; a symmetric part. All from one seed.
 */

import { assign, createMachine, emit, setup } from 'xstate';
import type { AnyStateMachine } from 'xstate';
import { mutexMachine } from '../../../machines/mutex.js';
import { choose, join, lock, loopHead, send, spawn, unlock } from '../../../machines/step.js';
import type { Thread, ThreadBody } from '../../../machines/step.js';
import type { Entity, Invariant, Scenario, Symmetry } from '../../../machines/scenario.js';

/** mulberry32 */
export function random(seed: number): (n: number) => number {
  let state = seed >>> 0;
  return (n) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % n;
  };
}

/** What a generated thread does. */
type Op =
  | { readonly op: 'send'; readonly entity: string; readonly event: string; readonly then?: Op[] }
  | { readonly op: 'choose'; readonly branches: readonly Op[][] }
  | { readonly op: 'spawn'; readonly body: Op[]; readonly joined: boolean }
  | { readonly op: 'section'; readonly mutex: string; readonly body: Op[] }
  | { readonly op: 'loop'; readonly times: 'for ever' | 'while 1'; readonly body: Op[] };

function* run(ops: readonly Op[], index: string): Thread<void> {
  for (const op of ops) {
    switch (op.op) {
      case 'send': {
        const of = index === '' ? {} : { of: index };
        const reply = yield* send(op.entity.replace('#', index), { type: op.event, ...of });
        // A branch on what was answered.
        if (op.then !== undefined && reply?.value === 1) yield* run(op.then, index);
        break;
      }
      case 'choose': {
        const n = yield* choose(op.branches.map((_, i) => i));
        yield* run(op.branches[n], index);
        break;
      }
      case 'spawn': {
        const name = yield* spawn(() => run(op.body, index));
        if (op.joined) yield* join(name);
        break;
      }
      case 'section':
        yield* lock(op.mutex);
        yield* run(op.body, index);
        yield* unlock(op.mutex);
        break;
      case 'loop':
        for (;;) {
          yield* loopHead(op.times);
          const [head, ...body] = op.body;
          if (head.op !== 'send') throw new Error('a loop begins with a send');
          const reply = yield* send(head.entity, { type: head.event });
          if (op.times === 'while 1' && reply?.value !== 1) break;
          yield* run(body, index);
        }
    }
  }
}

/** A machine of a random table; some states break a rule, for good or for a while. */
function table(rand: (n: number) => number, events: number): AnyStateMachine {
  const states = 2 + rand(3);
  const broken = rand(6) === 0 ? 1 + rand(states - 1) : -1;
  const sticky = rand(2) === 0;
  return createMachine({
    id: 'table',
    initial: 's0',
    states: {
      // Never entered: so that every event is known.
      nowhere: {
        on: Object.fromEntries(Array.from({ length: events }, (_, e) => [`e${e}`, 's0'])),
      },
      ...Object.fromEntries(
        Array.from({ length: states }, (_, s) => [
          `s${s}`,
          {
            ...(s === broken ? { tags: ['violation'], meta: { rule: 'T' } } : {}),
            on: Object.fromEntries(
              (s === broken && sticky ? [] : Array.from({ length: events }, (_, e) => e))
                .filter(() => rand(5) !== 0)
                .map((e) => {
                  const value = rand(3) === 0 ? 1 : 0;
                  return [
                    `e${e}`,
                    { target: `s${rand(states)}`, actions: emit({ type: 'r', value }) },
                  ];
                }),
            ),
          },
        ]),
      ),
    },
  } as never);
}

const COUNTER = {} as { context: { n: number } };
const BITS = {} as { context: { bits: number } };
const MEMORY = {} as {
  context: { seen: Record<string, number>; last: string | null };
  events: { type: string; of: string };
};

/** inc, dec (waits at 0), test: answers whether it is 0. */
const counter = (start: number): AnyStateMachine =>
  setup({
    types: COUNTER,
    guards: { positive: ({ context }) => context.n > 0 },
    actions: {
      inc: assign(({ context }) => ({ n: context.n + 1 })),
      dec: assign(({ context }) => ({ n: context.n - 1 })),
      zero: emit(({ context }) => ({ type: 'r', value: context.n === 0 ? 1 : 0 })),
    },
  }).createMachine({
    id: 'counter',
    context: { n: start },
    on: {
      e0: { actions: 'inc' },
      e1: { guard: 'positive', actions: 'dec' },
      e2: { actions: 'zero' },
    },
  });

/** Sets bits 0 and 1; answers whether both are set. */
const bits: AnyStateMachine = setup({
  types: BITS,
  actions: {
    set0: assign(({ context }) => ({ bits: context.bits | 1 })),
    set1: assign(({ context }) => ({ bits: context.bits | 2 })),
    both: emit(({ context }) => ({ type: 'r', value: context.bits === 3 ? 1 : 0 })),
  },
}).createMachine({
  id: 'bits',
  context: { bits: 0 },
  on: { e0: { actions: 'set0' }, e1: { actions: 'set1' }, e2: { actions: 'both' } },
});

/** Remembers per sender, or who was last: shared by symmetric threads. */
const memory = (last: boolean): AnyStateMachine =>
  setup({
    types: MEMORY,
    actions: {
      see: assign(({ context, event }) =>
        last
          ? { last: event.of }
          : { seen: { ...context.seen, [event.of]: (context.seen[event.of] ?? 0) + 1 } },
      ),
      many: emit(({ context, event }) => ({
        type: 'r',
        value: last
          ? context.last === event.of
            ? 1
            : 0
          : Object.keys(context.seen).length > 1
            ? 1
            : 0,
      })),
    },
  }).createMachine({
    id: 'memory',
    context: { seen: {}, last: null },
    on: { e0: { actions: 'see' }, e1: { actions: ['see', 'many'] }, e2: { actions: 'many' } },
  });

export interface Shape {
  readonly loops?: boolean;
  readonly symmetric?: boolean;
  readonly invariants?: boolean;
}

export function randomScenario(seed: number, shape: Shape = {}): Scenario {
  const rand = random(seed);
  const entities: Record<string, Entity> = {};
  const names: string[] = [];
  const count = 1 + rand(3);
  for (let n = 0; n < count; n++) {
    const name = `x${n}`;
    names.push(name);
    const which = rand(6);
    entities[name] = which === 0 ? counter(rand(2)) : which === 1 ? bits : table(rand, 3);
  }
  const mutexes = Array.from({ length: rand(3) }, (_, n) => `m${n}`);
  for (const mutex of mutexes) entities[mutex] = mutexMachine;
  const guarded = mutexes.length > 0 && rand(2) === 0 ? 'p' : undefined;
  if (guarded !== undefined) entities[guarded] = table(rand, 3);

  const any = (): Op => ({
    op: 'send',
    entity: names[rand(names.length)],
    event: `e${rand(3)}`,
    ...(rand(4) === 0 ? { then: ops(1 + rand(2), 1) } : {}),
  });
  const ops = (length: number, depth: number): Op[] =>
    Array.from({ length }, (): Op => {
      if (depth > 1) return any();
      const what = rand(14);
      if (what === 0)
        return { op: 'choose', branches: [ops(rand(2), depth + 1), ops(1, depth + 1)] };
      if (what === 1 && depth === 0) {
        return { op: 'spawn', body: ops(1 + rand(2), depth + 1), joined: rand(2) === 0 };
      }
      if (what < 5 && mutexes.length > 0) {
        const mutex = mutexes[rand(mutexes.length)];
        const body = ops(1, depth + 1);
        if (guarded !== undefined) {
          body.push({ op: 'send', entity: guarded, event: `e${rand(3)}` });
        }
        // Now and then what is guarded is touched under the wrong mutex.
        return { op: 'section', mutex: rand(8) === 0 ? mutex : mutexes[0], body };
      }
      return any();
    });

  const threads: Record<string, ThreadBody> = {};
  const symmetry: Symmetry[] = [];
  if (shape.symmetric === true) {
    const size = 2 + rand(2);
    const own = Array.from({ length: size }, (_, i) => `o${i}`);
    const members = Array.from({ length: size }, (_, i) => `S${i}`);
    const machine = table(rand, 3);
    for (const name of own) entities[name] = machine;
    entities.shared = memory(rand(2) === 0);
    names.push('o#', 'shared');
    const body = ops(1 + rand(3), 0);
    names.splice(names.indexOf('o#'), 1);
    for (const [i, name] of members.entries())
      threads[name] = () => run(renamed(body, i), String(i));
    symmetry.push({ own, members, tags: Array.from({ length: size }, (_, i) => String(i)) });
    if (rand(2) === 0) {
      names.splice(names.indexOf('shared'), 1);
      const rest = ops(1 + rand(2), 0);
      threads.R = () => run(rest, '');
    }
  } else {
    const number = 2 + rand(3);
    for (let n = 0; n < number; n++) {
      const body = ops(1 + rand(number > 3 ? 2 : 4), 0);
      if (shape.loops === true && rand(3) === 0) {
        const head: Op = { op: 'send', entity: names[rand(names.length)], event: `e${rand(3)}` };
        body.push({
          op: 'loop',
          times: rand(3) === 0 ? 'for ever' : 'while 1',
          body: [head, ...(rand(2) === 0 ? [any()] : [])],
        });
      }
      threads[`T${n}`] = () => run(body, '');
    }
  }
  const invariants: Invariant[] = [];
  if (shape.invariants === true) {
    const watched = Object.keys(entities)
      .filter((name) => /^[xp]/.test(name))
      .slice(0, 2);
    const forbidden = rand(7);
    invariants.push({
      id: 'V',
      entities: watched,
      holds: (view) =>
        hash(JSON.stringify(watched.map((w) => [view[w].state, view[w].context]))) % 7 !==
        forbidden,
    });
    invariants.push({
      id: 'E',
      entities: watched,
      when: 'end',
      holds: (view) =>
        hash(JSON.stringify(watched.map((w) => [view[w].state, view[w].context]))) % 5 !== 0,
    });
  }
  return { name: `random ${seed}`, entities, threads, symmetry, invariants };
}

function renamed(ops: readonly Op[], index: number): Op[] {
  return JSON.parse(JSON.stringify(ops).replaceAll('o#', `o${index}`)) as Op[];
}

function hash(text: string): number {
  let h = 7;
  for (const c of text) h = (Math.imul(h, 31) + c.charCodeAt(0)) | 0;
  return h >>> 0;
}
