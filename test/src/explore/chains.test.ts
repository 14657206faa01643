/**
 * The chain races, with bug and without; and random operations on chains of all kinds, whose
 * schedules go on the rxjs bus as they go on the machines.
 */

import { createMachine } from 'xstate';
import { describe, expect, test } from 'vitest';
import type { NotifierKind } from '../../../machines/profiles/profile.js';
import { profileByName } from '../../../machines/profiles/timeline.js';
import {
  notifier_call_chain,
  notifier_call_chain_robust,
  notifier_chain_register,
  notifier_chain_unregister,
} from '../../../machines/kernel/notifier-chain.js';
import type { Chain, NotifierCall } from '../../../machines/kernel/notifier-chain.js';
import { notifierListMachine } from '../../../machines/notifier-list.js';
import { chainCallback } from '../../../machines/races/chain-callback.js';
import { chainOf, chainUnregister } from '../../../machines/races/chain-unregister.js';
import type { Scenario } from '../../../machines/scenario.js';
import type { ChainNote } from '../../../machines/chain-note.js';
import { addRemove } from '../../../machines/races/add-remove.js';
import { deliver, note, send } from '../../../machines/step.js';
import type { Payload, Thread, ThreadBody } from '../../../machines/step.js';
import { confirm } from '../../../src/explore/confirm.js';
import { NO_REDUCTION } from '../../../src/explore/search-options.js';
import { explore } from '../../../src/explore/explore.js';
import { Program } from '../../../src/explore/program.js';
import { carryOut } from '../../../src/explore/schedule.js';
import type { Move } from '../../../src/explore/schedule.js';
import { random } from './random-scenario.js';

const profile = profileByName('v6.12')!;
const KINDS: readonly NotifierKind[] = ['blocking', 'atomic', 'raw', 'srcu'];

describe('bug and fixed variants', () => {
  const robust = { ...NO_REDUCTION };
  test.each<[string, Scenario, readonly string[]]>([
    ['raw', chainUnregister({ kind: 'raw', profile }), ['INV-17', 'INV-24']],
    ['raw, callers lock', chainUnregister({ kind: 'raw', profile, locked: true }), []],
    ['blocking', chainUnregister({ kind: 'blocking', profile }), []],
    ['atomic', chainUnregister({ kind: 'atomic', profile }), []],
    ['srcu', chainUnregister({ kind: 'srcu', profile }), []],
    ['register in a callback', chainCallback({ profile, does: 'register' }), ['deadlock']],
    ['in a worker', chainCallback({ profile, does: 'register', inWorker: true }), []],
    ['unregister in a callback', chainCallback({ profile, does: 'unregister' }), ['deadlock']],
    [
      'unregister in a worker',
      chainCallback({ profile, does: 'unregister', inWorker: true, writer: true }),
      [],
    ],
    ['nested call', chainCallback({ profile, does: 'call' }), []],
    ['nested call, a writer', chainCallback({ profile, does: 'call', writer: true }), ['deadlock']],
    [
      'nested call in a worker, a writer',
      chainCallback({ profile, does: 'call', writer: true, inWorker: true }),
      [],
    ],
  ])('%s', (_, each, rules) => {
    for (const reductions of [
      {},
      robust,
      { ...robust, sleep: true },
      { ...robust, alone: true },
      { ...robust, alone: true, sections: true },
    ]) {
      const { verdict, counterexamples } = explore(each, { reductions });
      expect(counterexamples.map(({ rule }) => rule).sort()).toEqual(rules);
      expect(verdict).toBe(rules.length === 0 ? 'clean' : 'violated');
      for (const { confirmed, rule } of counterexamples) expect(confirmed, rule).toBe(true);
    }
  });

  test('who waits for whom', () => {
    const waiting = (each: Scenario) =>
      explore(each).counterexamples[0].waiting.map(({ thread, what, holders }) => [
        thread,
        what,
        holders.map((holder) => [holder.thread, holder.since?.what]),
      ]);
    const rwsem = 'chain->rwsem';
    expect(waiting(chainCallback({ profile, does: 'register' }))).toEqual([
      ['call(event)', `down_write(${rwsem})`, [['call(event)', `down_read(${rwsem})`]]],
    ]);
    expect(waiting(chainCallback({ profile, does: 'call', writer: true }))).toEqual([
      ['call(event)', `down_read(${rwsem})`, [['register(C)', `down_write(${rwsem}) queues`]]],
      ['register(C)', `down_write(${rwsem})`, [['call(event)', `down_read(${rwsem})`]]],
    ]);
  });

  test('K01, K05: a corrupt chain is found', () => {
    const old = profileByName('v3.6')!;
    const { chain, entities } = chainOf('raw', old, {});
    const other: Chain = { ...chain, name: 'other' };
    const each = (second: Chain): Scenario => ({
      name: 'K',
      entities: { ...entities, [chain.list]: notifierListMachine(old) },
      threads: {
        *T() {
          yield* notifier_chain_register(chain, 'A');
          yield* notifier_chain_register(second, 'A');
        },
      },
    });
    const found = [chain, other].map((second) =>
      explore(each(second)).counterexamples.map(({ rule, confirmed }) => [rule, confirmed]),
    );
    expect(found).toEqual([[['INV-14', true]], [['INV-15', true]]]);
  });
});

const NAMES = ['A', 'B', 'C', 'D'];
const listener = createMachine({
  id: 'listener',
  on: Object.fromEntries(['up', 'down'].map((action) => [action, { actions: () => {} }])),
});

/** Two or three threads that register, unregister and call; callbacks that stop, or call again. */
function randomChains(seed: number): Scenario {
  const rand = random(seed);
  const kind = KINDS[rand(4)];
  const generation = profileByName(['5.10', '6.12'][rand(2)])!;
  const stopsAt = rand(3) === 0 ? NAMES[rand(4)] : '';
  const nests = rand(4) === 0 ? NAMES[rand(4)] : '';
  const callbacks = Object.fromEntries(
    NAMES.map((block): [string, NotifierCall] => [
      block,
      function* (called) {
        yield* deliver('l', called);
        if (block === nests && called.payload.nested !== true) {
          yield* notifier_call_chain(chain, 'up', { nested: true }, 1);
        }
        return block === stopsAt && called.action === 'up' ? 0x8002 : 1;
      },
    ]),
  );
  const made = chainOf(kind, generation, callbacks);
  const booting = rand(8) === 0 ? { booting: true } : {};
  const chain: Chain = { ...made.chain, ...booting };
  const registered = NAMES.filter(() => rand(2) === 0);
  const priorities = NAMES.map(() => rand(3) - 1);
  // Now and then another one than before: a registered block is linked again (B.1.1).
  const priorityOf = (block: string) =>
    rand(8) === 0 ? rand(3) - 1 : priorities[NAMES.indexOf(block)];
  const operation = (): (() => Thread<number>) => {
    const block = NAMES[rand(4)];
    const priority = priorityOf(block);
    const most = rand(3) === 0 ? rand(3) : -1;
    switch (rand(6)) {
      case 0:
      case 1:
        return () => notifier_chain_register(chain, block, priority);
      case 2:
        return () => notifier_chain_unregister(chain, block);
      case 3:
        return generation.robustCall.includes(kind)
          ? () => notifier_call_chain_robust(chain, 'up', 'down', {})
          : () => notifier_call_chain(chain, 'up', {}, most);
      default:
        return () => notifier_call_chain(chain, 'up', {}, most);
    }
  };
  const threads: Record<string, ThreadBody> = {};
  for (let t = 0; t < 2 + rand(2); t++) {
    const operations = Array.from({ length: 1 + rand(2) }, operation);
    threads[`T${t}`] = function* () {
      for (const each of operations) yield* each();
    };
  }
  return {
    name: `${seed} ${kind}`,
    entities: {
      ...made.entities,
      l: listener,
      [chain.list]: {
        machine: notifierListMachine(generation),
        input: {
          [chain.name]: registered.map((block) => ({ block, priority: priorityOf(block) })),
        },
      },
    },
    threads,
  };
}

/** A random schedule to its end, and whether threads wait there. */
function randomSchedule(program: Program, seed: number) {
  const rand = random(seed);
  const row = program.start(program.declaredThreads);
  const moves: Move[] = [];
  for (;;) {
    const enabled: number[] = [];
    for (let t = 0; t < program.declaredThreads; t++) if (program.enabled(row, t)) enabled.push(t);
    if (enabled.length === 0) return { moves, stuck: program.stuck(row).length > 0 };
    // Mostly goes on with who ran last.
    const last = moves.at(-1)?.thread ?? -1;
    const goesOn = enabled.includes(last) && rand(3) > 0;
    const thread = goesOn ? last : enabled[rand(enabled.length)];
    program.step(row, thread, 0);
    moves.push({ thread, outcome: 0 });
  }
}

const COUNT = Number(process.env.HOTRACE_SCENARIOS ?? 5000) / 10;

test('random schedules on chains go on the bus as on the machines', { timeout: 600_000 }, () => {
  const told = { schedules: 0, deliveries: 0, deadlocks: 0, broken: 0, steps: 0 };
  const kinds = new Set<string>();
  for (let seed = 0; seed < COUNT; seed++) {
    const each = randomChains(seed * 7919 + 5);
    const program = new Program(each);
    for (let n = 0; n < 5; n++) {
      const { moves, stuck } = randomSchedule(program, seed * 31 + n);
      const { steps } = carryOut(program, moves);
      const { diverged, goesOn, threw, broken } = confirm(each, steps);
      const where = () =>
        [each.name, ...steps.map((s) => `${s.thread}: ${s.what} ${JSON.stringify(s.reply)}`)].join(
          '\n',
        );
      expect({ diverged, threw }, where()).toEqual({ diverged: undefined, threw: [] });
      // Who waits for a list that is corrupt, waits for nobody.
      if (broken.length === 0) expect(goesOn, where()).toBeUndefined();
      else told.broken++;
      if (stuck && broken.length === 0) told.deadlocks++;
      told.schedules++;
      told.steps += steps.length;
      told.deliveries += steps.filter(({ entity }) => entity === 'l').length;
    }
    kinds.add(each.name.split(' ')[1]);
  }
  console.log(`chains: ${COUNT} scenarios, ${JSON.stringify(told)}`);
  expect(kinds).toEqual(new Set(KINDS));
  expect(told.deadlocks).toBeGreaterThan(COUNT / 100);
});

describe('the bus does not go along', () => {
  const static_ = { name: 'g', kind: 'blocking', profile, list: ['A', 'B'] } as const;
  const tell = (...said: readonly Distributed<ChainNote>[]) =>
    said.map((each) => () => note({ ...each, chain: static_ }));
  const CALLS = { at: 'calls', action: 'up', payload: {}, nrToCall: -1 } as const;
  const WALKS = { at: 'walks' } as const;
  const enters = (block: string) => ({ at: 'enters', block, action: 'up' }) as const;
  const returns = (ret: number) => ({ at: 'returns', ret }) as const;
  const run = (notes: readonly (() => Thread<void>)[], delivered: unknown = {}) => {
    const each: Scenario = {
      name: 'told',
      entities: { l: listener },
      threads: {
        *T() {
          yield* send('l', { type: 'down' });
          for (const told of notes) yield* told();
          const payload = delivered as Payload;
          yield* deliver('l', { chain: 'g', block: 'A', action: 'up', payload });
        },
      },
    };
    const program = new Program(each);
    const move = { thread: 0, outcome: 0 };
    const row = program.start(1);
    for (let made = 0; made < 2 && program.enabled(row, 0); made++) program.step(row, 0, 0);
    return confirm(each, carryOut(program, [move, move]).steps).diverged;
  };

  test.each<[string, readonly (() => Thread<void>)[], unknown, number, RegExp]>([
    ['order', tell(CALLS, WALKS, enters('B')), {}, 0, /the bus delivers up {} to A/],
    [
      'a value that stops',
      tell(CALLS, WALKS, enters('A'), returns(0x8002), enters('B')),
      {},
      0,
      /the bus does not call B/,
    ],
    [
      'most callbacks',
      tell({ ...CALLS, nrToCall: 1 }, WALKS, enters('A'), returns(0), enters('B')),
      {},
      0,
      /the bus does not call B/,
    ],
    [
      'a block left out',
      tell(CALLS, WALKS, enters('A'), returns(0), { at: 'returned', ret: 0, nrCalls: 1 }),
      {},
      0,
      /the bus delivers up {} to B/,
    ],
    [
      'the payload',
      tell(CALLS, WALKS, enters('A')),
      { dev: 'd0' },
      1,
      /the bus delivers up {} to A/,
    ],
    ['outside of the callback', tell(CALLS, WALKS), {}, 1, /the bus delivers nothing/],
  ])('%s', (_, notes, delivered, step, why) => {
    const diverged = run(notes, delivered);
    expect(diverged?.step).toBe(step);
    expect(diverged?.why).toMatch(why);
  });

  test('a reader that does not wait behind a queued writer', () => {
    const each = chainCallback({ profile, does: 'call', writer: true });
    const touch = { actions: () => {} };
    const lax = createMachine({
      id: 'rwsem',
      on: {
        down_read: touch,
        up_read: touch,
        queue_write: touch,
        down_write: touch,
        up_write: touch,
      },
    });
    const entities = { ...each.entities, 'chain->rwsem': lax };
    const wrong: Scenario = { ...each, entities };
    const program = new Program(wrong);
    const row = program.start(2);
    const moves: Move[] = [];
    // The call up to the peek of the nested one, a writer queues, and the nested one goes on.
    for (const thread of [0, 0, 0, 0, 0, 1, 0]) {
      expect(program.enabled(row, thread)).toBe(true);
      program.step(row, thread, 0);
      moves.push({ thread, outcome: 0 });
    }
    const { steps } = carryOut(program, moves);
    expect(steps.at(-1)?.what).toBe('down_read(chain->rwsem)');
    const { diverged } = confirm(wrong, steps);
    expect(diverged?.step).toBe(6);
    expect(diverged?.why).toMatch(/^on the bus deadlock:/);
    // And a writer that does not wait for the reader.
    for (const thread of [1, 1]) {
      program.enabled(row, thread);
      program.step(row, thread, 0);
    }
    const early = [0, 0, 0, 0, 1, 1, 1].map((thread) => ({ thread, outcome: 0 }));
    const other = confirm(wrong, carryOut(program, early).steps).diverged;
    expect(other?.step).toBe(6);
    expect(other?.why).toMatch(/register C still waits: for chain.rwsem for writing, held by/);
  });
});

type Distributed<T> = T extends unknown ? Omit<T, 'chain'> : never;

test('the 2012 race goes through the bus and is confirmed', () => {
  for (const variant of ['as posted', 'notify first', 'under group->mutex'] as const) {
    const walks = variant === 'under group->mutex';
    const { counterexamples } = explore(addRemove({ variant, walks, listeners: 2 }));
    expect(counterexamples.length).toBeGreaterThan(0);
    for (const { confirmed, rule } of counterexamples) expect(confirmed, rule).toBe(true);
  }
});
