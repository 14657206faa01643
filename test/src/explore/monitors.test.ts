/**
 * A monitor finds what the same check finds when it is built into the listener, whatever reductions
 * are on; and what a naive search finds, in which monitors are machines of their own.
 */

import { assign, createMachine, emit, setup } from 'xstate';
import type { AnyStateMachine } from 'xstate';
import { describe, expect, test } from 'vitest';
import { membershipListenerMachine } from '../../../machines/membership-listener.js';
import { mutexMachine } from '../../../machines/mutex.js';
import { scenario } from '../../../machines/scenario.js';
import type { Entity, Monitor, Scenario } from '../../../machines/scenario.js';
import { deliver, lock, send, unlock } from '../../../machines/step.js';
import type { Thread, ThreadBody } from '../../../machines/step.js';
import { Exhaustive } from '../../../src/explore/exhaustive.js';
import { NO_REDUCTION } from '../../../src/explore/search-options.js';
import type { Reductions } from '../../../src/explore/search-options.js';
import { explore } from '../../../src/explore/explore.js';
import { Program } from '../../../src/explore/program.js';
import { naive } from './naive.js';
import { random } from './random-scenario.js';

const COUNT = Number(process.env.HOTRACE_SCENARIOS ?? 5000) / 10;
const LIMIT = 4000;
const ACTIONS = ['e0', 'e1', 'e2'] as const;
type Rand = (n: number) => number;

/** A table of states by action, -1 where the machine waits; one state breaks a rule. */
interface Table {
  readonly rule: string;
  readonly broken: number;
  readonly next: readonly (readonly number[])[];
  readonly says: readonly (readonly number[])[];
}

function randomTable(rand: Rand, rule: string, waits: boolean): Table {
  const states = 2 + rand(2);
  const rows = <T>(of: () => T) => Array.from({ length: states }, () => ACTIONS.map(of));
  return {
    rule,
    broken: rand(3) === 0 ? -1 : 1 + rand(states - 1),
    next: rows(() => (waits && rand(6) === 0 ? -1 : rand(states))),
    says: rows(() => rand(2)),
  };
}

function marked({ rule, broken }: Table, state: number) {
  return state === broken ? { tags: ['violation'], meta: { rule } } : {};
}

/** A check: what it does not accept it lets pass. */
function monitorOf(table: Table): AnyStateMachine {
  return createMachine({
    id: 'monitor',
    initial: 's0',
    states: Object.fromEntries(
      table.next.map((row, s) => [
        `s${s}`,
        {
          ...marked(table, s),
          on: Object.fromEntries(row.flatMap((to, e) => (to < 0 ? [] : [[ACTIONS[e], `s${to}`]]))),
        },
      ]),
    ),
  } as never);
}

/** A listener that waits where its table says so, and answers. */
function listenerOf(table: Table): AnyStateMachine {
  return createMachine({
    id: 'listener',
    initial: 's0',
    states: {
      // Never entered: so that every action is known.
      nowhere: { on: Object.fromEntries(ACTIONS.map((action) => [action, 's0'])) },
      ...Object.fromEntries(
        table.next.map((row, s) => [
          `s${s}`,
          {
            ...marked(table, s),
            on: Object.fromEntries(
              row.flatMap((to, e) =>
                to < 0
                  ? []
                  : [
                      [
                        ACTIONS[e],
                        {
                          target: `s${to}`,
                          actions: emit({ type: 'r', value: table.says[s][e] }),
                        },
                      ],
                    ],
              ),
            ),
          },
        ]),
      ),
    },
  } as never);
}

/** Both tables in one machine: the check is built into the listener. */
function builtIn(listener: Table, check: Table): AnyStateMachine {
  const state = (l: number, m: number) => `l${l}m${m}`;
  const pairs = listener.next.flatMap((_, l) => check.next.map((__, m) => [l, m] as const));
  return createMachine({
    id: 'listener-with-check',
    initial: state(0, 0),
    states: {
      nowhere: { on: Object.fromEntries(ACTIONS.map((action) => [action, state(0, 0)])) },
      ...Object.fromEntries(
        pairs.map(([l, m]) => [
          state(l, m),
          {
            ...marked(check, m),
            on: Object.fromEntries(
              ACTIONS.flatMap((action, e) => {
                const to = listener.next[l][e];
                if (to < 0) return [];
                const then = check.next[m][e] < 0 ? m : check.next[m][e];
                const actions = emit({ type: 'r', value: listener.says[l][e] });
                return [[action, { target: state(to, then), actions }]];
              }),
            ),
          },
        ]),
      ),
    },
  } as never);
}

const COUNTER = {} as { context: { n: number } };
const counter = setup({
  types: COUNTER,
  guards: { positive: ({ context }) => context.n > 0 },
  actions: {
    inc: assign(({ context }) => ({ n: context.n + 1 })),
    dec: assign(({ context }) => ({ n: context.n - 1 })),
  },
}).createMachine({
  id: 'counter',
  context: { n: 0 },
  on: { inc: { actions: 'inc' }, dec: { guard: 'positive', actions: 'dec' } },
});

type Op =
  | { readonly op: 'deliver'; readonly to: string; readonly action: string; readonly then: Op[] }
  | { readonly op: 'count'; readonly event: string }
  | { readonly op: 'section'; readonly body: Op[] };

function* run(ops: readonly Op[]): Thread<void> {
  for (const op of ops) {
    if (op.op === 'count') {
      yield* send('n', { type: op.event });
    } else if (op.op === 'section') {
      yield* lock('mutex');
      yield* run(op.body);
      yield* unlock('mutex');
    } else {
      const delivery = { chain: 'chain', block: op.to, action: op.action, payload: {} };
      const reply = yield* deliver(op.to, delivery);
      if (reply?.value === 1) yield* run(op.then);
    }
  }
}

function randomThreads(rand: Rand, listeners: readonly string[]): Record<string, ThreadBody> {
  const ops = (count: number, depth: number): Op[] =>
    Array.from({ length: count }, (): Op => {
      const what = rand(8);
      if (what === 0) return { op: 'count', event: rand(3) === 0 ? 'dec' : 'inc' };
      if (what === 1 && depth === 0) return { op: 'section', body: ops(1 + rand(2), 1) };
      return {
        op: 'deliver',
        to: listeners[rand(listeners.length)],
        action: ACTIONS[rand(3)],
        then: depth < 2 && rand(3) === 0 ? ops(1, 2) : [],
      };
    });
  const threads = 2 + rand(2);
  return Object.fromEntries(
    Array.from({ length: threads }, (_, t) => {
      const body = ops(1 + rand(threads > 2 ? 3 : 4), 0);
      return [`T${t}`, () => run(body)];
    }),
  );
}

const REDUCTIONS: readonly (readonly [string, Partial<Reductions>])[] = [
  ['none', NO_REDUCTION],
  ['sleep', { ...NO_REDUCTION, sleep: true }],
  ['alone', { ...NO_REDUCTION, alone: true }],
  ['alone and sections', { ...NO_REDUCTION, alone: true, sections: true }],
  ['all', {}],
];

function violated(each: Scenario, reductions: Partial<Reductions>) {
  const result = new Exhaustive(new Program(each), { reductions, bounds: { states: LIMIT } }).run();
  return { rules: new Set(result.violated.keys()), states: result.stats.states, cut: result.cut };
}

test('a monitor says what the check built into the listener says', { timeout: 600_000 }, () => {
  let found = 0;
  for (let seed = 0; seed < COUNT; seed++) {
    const rand = random(seed * 7919 + 1);
    const listener: Table = { ...randomTable(rand, 'L', true), broken: -1 };
    const check = randomTable(rand, 'M', true);
    const rest = { mutex: mutexMachine, n: counter };
    const threads = randomThreads(rand, ['l']);
    const watched: Scenario = {
      name: `${seed}`,
      entities: { ...rest, l: listenerOf(listener) },
      monitors: { m: { machine: monitorOf(check), listeners: ['l'] } },
      threads,
    };
    const entities = { ...rest, l: builtIn(listener, check) };
    const built: Scenario = { name: `${seed}`, entities, threads };
    for (const [which, reductions] of REDUCTIONS) {
      const mine = violated(watched, reductions);
      const theirs = violated(built, reductions);
      expect(mine.cut).toBeUndefined();
      // The two have the same states, so the reductions see the same.
      expect(mine, `${seed}, ${which}`).toEqual(theirs);
      if (mine.rules.has('M')) found++;
    }
  }
  expect(found).toBeGreaterThan(COUNT / 4);
  console.log(`monitor and built-in check: ${COUNT} scenarios, ${found} violated searches`);
});

test(
  'several monitors of several listeners, against the naive search',
  { timeout: 600_000 },
  () => {
    let found = 0;
    let both = 0;
    let kept = 0;
    let states = 0;
    for (let seed = 0; seed < COUNT; seed++) {
      const rand = random(seed * 104_729 + 2);
      const listeners = ['l0', 'l1', 'l2'].slice(0, 1 + rand(3));
      const entities: Record<string, Entity> = { mutex: mutexMachine, n: counter };
      for (const name of listeners)
        entities[name] = listenerOf(randomTable(rand, `L-${name}`, true));
      const threads = randomThreads(rand, listeners);
      const monitors = Object.fromEntries(
        Array.from({ length: 1 + rand(2) }, (_, i): [string, Monitor] => {
          const machine = monitorOf(randomTable(rand, `M${i}`, true));
          const block = listeners[rand(listeners.length)];
          return [
            `m${i}`,
            rand(2) === 0
              ? { machine, listeners }
              : { machine, listeners: [block], hears: { block, chain: 'chain' } },
          ];
        }),
      );
      const each: Scenario = { name: `${seed}`, entities, monitors, threads };
      const reference = naive(each, LIMIT);
      if (reference === undefined) continue;
      for (const [which, reductions] of REDUCTIONS) {
        const mine = violated(each, reductions);
        const where = `${seed}, ${which}`;
        expect(mine.rules, where).toEqual(reference.violated);
        if (which === 'none') expect(mine.states, where).toBe(reference.states);
        if (which === 'none') states += mine.states;
        if (which === 'all') kept += mine.states;
      }
      const rules = [...reference.violated];
      if (rules.some((rule) => rule.startsWith('M'))) found++;
      if (rules.includes('M0') && rules.includes('M1')) both++;
      if (seed % 10 === 0 && rules.length > 0) {
        const costs = explore(each).counterexamples.map((c) => {
          expect(c.confirmed, `${seed}, ${c.rule}`).toBe(true);
          return [c.rule, [c.preemptions, c.steps.length + c.leftOut]] as const;
        });
        expect(new Map(costs), `${seed}`).toEqual(reference.cheapest());
      }
    }
    expect(found).toBeGreaterThan(COUNT / 4);
    expect(both).toBeGreaterThan(COUNT / 50);
    console.log(
      `monitors: ${COUNT} scenarios, ${found} with a monitor's rule broken, ${states} states, kept ${(kept / states).toFixed(3)}`,
    );
  },
);

/** Hears everything and minds nothing. */
const any = createMachine({
  id: 'any',
  on: { ADD_DEVICE: { actions: () => {} }, DEL_DEVICE: { actions: () => {} } },
});

describe('a monitor', () => {
  const told = (dev: string, action: string) => ({
    chain: 'g0',
    block: 'l0',
    action,
    payload: { dev },
  });
  const race = (monitor: Partial<Monitor>, dev = 'd0') =>
    scenario({
      name: 'add beside remove',
      entities: { l0: any, l1: any },
      monitors: { m: { machine: membershipListenerMachine, listeners: ['l0'], ...monitor } },
      threads: {
        *add() {
          yield* deliver('l0', told(dev, 'ADD_DEVICE'));
        },
        *remove() {
          yield* deliver('l0', told(dev, 'DEL_DEVICE'));
        },
      },
    });

  test('tells what it heard', () => {
    const { counterexamples } = explore(race({}));
    expect(counterexamples.map(({ rule, says }) => [rule, says])).toEqual([
      ['INV-01', 'm saw ADD_DEVICE d0 after DEL_DEVICE d0'],
    ]);
    expect(counterexamples[0].confirmed).toBe(true);
    expect(counterexamples[0].steps.map(({ entity }) => entity)).toEqual(['l0', 'l0']);
  });

  test('hears what passes its filter', () => {
    for (const [hears, verdict] of [
      [{ dev: 'd1' }, 'clean'],
      [{ chain: 'g1' }, 'clean'],
      [{ block: 'l1' }, 'clean'],
      [{ dev: 'd0', chain: 'g0', block: 'l0' }, 'violated'],
    ] as const) {
      expect(explore(race({ hears })).verdict, JSON.stringify(hears)).toBe(verdict);
    }
  });

  test('may be looked at by an invariant', () => {
    const each = race({});
    const invariant = {
      id: 'heard',
      entities: ['m', 'l0'],
      holds: ({ m }: Record<string, { context: unknown }>) =>
        !('d0' in (m.context as { heard: object }).heard),
    };
    const { counterexamples } = explore({ ...each, invariants: [invariant] });
    expect(counterexamples.map(({ rule }) => rule).sort()).toEqual(['INV-01', 'heard']);
  });

  test.each<[Partial<Monitor>, RegExp]>([
    [{ listeners: ['l1'] }, /hears it, and "l0" is not among its listeners/],
    [{ listeners: ['l7'] }, /monitor "m": there is no entity "l7"; there are l0, l1/],
    [{ listeners: [] }, /it has no listeners/],
  ])('%j is refused', (monitor, says) => {
    expect(() => explore(race(monitor))).toThrow(says);
  });
});

test.each([2, 3])('%d alike listeners, with a monitor each or with one', (size) => {
  const devices = Array.from({ length: size }, (_, i) => `d${i}`);
  const names = (prefix: string) => devices.map((_, i) => `${prefix}${i}`);
  const told = (i: number, action: string) => ({
    chain: 'g',
    block: `l${i}`,
    action,
    payload: { dev: `d${i}` },
  });
  const threads: Record<string, ThreadBody> = {};
  for (const [i] of devices.entries()) {
    threads[`add${i}`] = () => deliver(`l${i}`, told(i, 'ADD_DEVICE'));
    threads[`del${i}`] = () => deliver(`l${i}`, told(i, 'DEL_DEVICE'));
  }
  const machine = membershipListenerMachine;
  const own = Object.fromEntries(
    devices.map((_, i) => [`m${i}`, { machine, listeners: [`l${i}`], hears: { block: `l${i}` } }]),
  );
  const one = { m: { machine, listeners: names('l') } };
  for (const monitors of [own, one]) {
    const each: Scenario = {
      name: 'alike',
      entities: Object.fromEntries(names('l').map((name) => [name, any])),
      monitors,
      threads,
      symmetry: [
        {
          devices,
          listeners: names('l'),
          adds: names('add'),
          dels: names('del'),
          ...(monitors === own ? { monitors: names('m') } : {}),
        },
      ],
    };
    const plain = violated(each, NO_REDUCTION);
    const orbits = violated(each, { ...NO_REDUCTION, symmetry: true });
    expect(plain.rules).toEqual(new Set(['INV-01']));
    expect(orbits.rules).toEqual(plain.rules);
    expect(orbits.states).toBeLessThan(plain.states);
    expect(violated(each, {}).rules).toEqual(plain.rules);
  }
});
