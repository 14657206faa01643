/** The code of IOASIDs against a reference: alone in random programs, then beside each other. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as custom from '../../../machines/kernel/ioasid.js';
import * as xarray from '../../../machines/kernel/ioasid-xarray.js';
import { ioasidScenario, ioasidSystem } from '../../../machines/kernel/ioasid-scenario.js';
import type { OpsSetup } from '../../../machines/kernel/ioasid-scenario.js';
import {
  ioasidXarrayEntities,
  ioasidXarrayScenario,
} from '../../../machines/kernel/ioasid-xarray-scenario.js';
import { store } from '../../../machines/kernel/memory.js';
import { struct } from '../../../machines/object.js';
import type { ObjectMemory } from '../../../machines/object.js';
import type { Invariant, Scenario } from '../../../machines/scenario.js';
import type { Thread } from '../../../machines/step.js';
import { explore } from '../../../src/explore/explore.js';
import { IoasidReference } from './ioasid-reference.js';
import type { IoasidCall } from './ioasid-reference.js';
import { Alone } from './run-alone.js';

const SETS = ['set0', 'set1'];
const LONGEST = 8;
const X: xarray.IoasidXarray = { idIsSet: 'after xa_alloc' };

const id = fc.integer({ min: 1, max: 3 });
const set = fc.option(fc.constantFrom(...SETS));
const priv = fc.option(fc.constantFrom('p0', 'p1'));

function calls(ops: readonly string[]): fc.Arbitrary<IoasidCall[]> {
  const alloc = fc
    .record({ call: fc.constant('alloc' as const), set, a: id, b: id, priv })
    .map(({ a, b, ...rest }) => ({ ...rest, min: Math.min(a, b), max: Math.max(a, b) }));
  const kinds: fc.Arbitrary<IoasidCall>[] = [
    alloc,
    fc.record({ call: fc.constant('free' as const), id }),
    fc.record(
      { call: fc.constant('find' as const), set, id, getter: fc.boolean() },
      { requiredKeys: ['call', 'set', 'id'] },
    ),
    fc.record({ call: fc.constant('set_data' as const), id, priv }),
  ];
  if (ops.length > 0) {
    const call = fc.constantFrom('register' as const, 'unregister' as const);
    const registers = fc.record({ call, ops: fc.constantFrom(...ops) });
    kinds.push(registers, registers);
  }
  return fc.array(fc.oneof(...kinds), { minLength: 1, maxLength: LONGEST });
}

/** A getter with an answer of its own. */
function answers(getter: boolean | undefined) {
  if (getter === undefined) return undefined;
  // eslint-disable-next-line require-yield
  return function* (): Thread<boolean> {
    return getter;
  };
}

function* onCustom(a: custom.Ioasid, call: IoasidCall): Thread<unknown> {
  switch (call.call) {
    case 'alloc':
      return yield* custom.ioasid_alloc(a, call.set, call.min, call.max, call.priv);
    case 'free':
      return yield* custom.ioasid_free(a, call.id);
    case 'find':
      return yield* custom.ioasid_find(a, call.set, call.id, answers(call.getter));
    case 'set_data':
      return yield* custom.ioasid_set_data(a, call.id, call.priv);
    case 'register':
      return yield* custom.ioasid_register_allocator(a, call.ops);
    case 'unregister':
      return yield* custom.ioasid_unregister_allocator(a, call.ops);
  }
}

function* onXarray(call: IoasidCall): Thread<unknown> {
  switch (call.call) {
    case 'alloc':
      return yield* xarray.ioasid_alloc(X, call.set, call.min, call.max, call.priv);
    case 'free':
      return yield* xarray.ioasid_free(X, call.id);
    case 'find':
      return yield* xarray.ioasid_find(X, call.set, call.id, answers(call.getter));
    case 'set_data':
      return yield* xarray.ioasid_set_data(X, call.id, call.priv);
    default:
      throw new Error(`there is no ${call.call}`);
  }
}

const ONE: Readonly<Record<string, OpsSetup>> = { opsA: { pdata: 'iommu0' } };
const SHARED: Readonly<Record<string, OpsSetup>> = {
  opsA: { pdata: 'iommu0' },
  opsB: { pdata: 'iommu1' },
  opsC: { pdata: 'iommu0', helpers: 'smc' },
};

/** @param ops none: the xarray */
function isAsReference(
  ops: Readonly<Record<string, OpsSetup>> | undefined,
  code: Partial<custom.IoasidCode>,
  program: readonly IoasidCall[],
): void {
  const system =
    ops === undefined
      ? { entities: ioasidXarrayEntities(LONGEST) }
      : ioasidSystem({ ops, code, spares: LONGEST });
  const log: string[] = [];
  const hears: ConstructorParameters<typeof Alone>[1] = ({ entity, event }) => {
    if (entity === custom.IOASID_LOG) log.push(String(event.text).replace(/^WARN_ON.*/, 'WARN_ON'));
  };
  const alone = new Alone(system.entities, hears, true);
  const helpers = Object.entries(ops ?? {}).map(([name, each]) => [name, each.helpers ?? 'vcmd']);
  const names = Object.fromEntries(helpers) as Record<string, string>;
  const reference = new IoasidReference(names, ops === undefined);
  for (const call of program) {
    if (!reference.isDefined(call)) continue;
    const thread = 'ioasid' in system ? onCustom(system.ioasid, call) : onXarray(call);
    expect([call, alone.run(thread)]).toEqual([call, reference.do(call)]);
  }
  expect(log).toEqual(reference.log);
}

describe('10,000 programs of one thread do what the reference does', () => {
  test.each([
    ['the default allocator', {}, {}],
    ['one custom allocator', ONE, {}],
    ['custom allocators that share and that do not', SHARED, {}],
    ['the same, where what is linked last is looked up first', SHARED, { linksFirst: false }],
    ['one xarray', undefined, {}],
  ] as const)('%s', (_, ops, code) => {
    const program = calls(Object.keys(ops ?? {}));
    fc.assert(
      fc.property(program, (told) => isAsReference(ops, code, told)),
      { numRuns: 2000 },
    );
  });
});

type Kind = 'default' | 'custom' | 'xarray';

/** What the calls of each thread answer, in every order in which whole calls can come. */
function sequential(threads: readonly (readonly IoasidCall[])[], kind: Kind): Set<string> {
  const found = new Set<string>();
  const orders = (left: readonly number[], before: readonly number[]): void => {
    if (left.every((n, t) => n === threads[t].length)) {
      const reference = new IoasidReference({ opsA: 'vcmd', opsB: 'vcmd' }, kind === 'xarray');
      if (kind === 'custom') {
        for (const ops of ['opsA', 'opsB']) reference.do({ call: 'register', ops });
      }
      const next = threads.map(() => 0);
      const answered: Record<string, unknown> = {};
      for (const t of before) {
        const n = next[t]++;
        answered[`${t}.${n}`] = reference.do(threads[t][n]) ?? null;
      }
      found.add(JSON.stringify(Object.entries(answered).sort(([a], [b]) => (a < b ? -1 : 1))));
      return;
    }
    left.forEach((n, t) => {
      if (n === threads[t].length) return;
      orders(
        left.map((each, i) => (i === t ? each + 1 : each)),
        [...before, t],
      );
    });
  };
  orders(
    threads.map(() => 0),
    [],
  );
  return found;
}

/** A scenario whose calls must answer as in one of those orders. */
function beside(threads: readonly (readonly IoasidCall[])[], kind: Kind): Scenario {
  const allowed = sequential(threads, kind);
  const run = (does: (call: IoasidCall) => Thread<unknown>, t: number) =>
    function* (): Thread<void> {
      for (const [n, call] of threads[t].entries()) {
        yield* store(`answers ${t}`, `${t}.${n}`, (yield* does(call)) ?? null);
      }
    };
  const books = threads.map((_, t) => `answers ${t}`);
  const invariant: Invariant = {
    id: 'as in some order',
    entities: books,
    when: 'end',
    holds: (view) => {
      const fields = books.flatMap((book) =>
        Object.entries((view[book].context as ObjectMemory).fields),
      );
      return allowed.has(JSON.stringify(fields.sort(([a], [b]) => (a < b ? -1 : 1))));
    },
  };
  const told = {
    name: 'beside',
    entities: Object.fromEntries(books.map((book) => [book, struct({ fields: {} })])),
    invariants: [invariant],
  };
  return kind === 'xarray'
    ? ioasidXarrayScenario({
        ...told,
        ids: 4,
        threads: Object.fromEntries(threads.map((_, t) => [`T${t}`, run(onXarray, t)])),
      })
    : ioasidScenario({
        ...told,
        ops: { opsA: { pdata: 'iommu0' }, opsB: { pdata: 'iommu1' } },
        registered: kind === 'custom' ? [['opsA', 'opsB']] : [],
        run: Object.fromEntries(
          threads.map((_, t) => [
            `T${t}`,
            (a: custom.Ioasid) => run((call) => onCustom(a, call), t)(),
          ]),
        ),
      });
}

/** Ids that are freed are those of the thread: S7 frees what it does not own. */
const owned = calls([]).map((program) => program.filter(({ call }) => call !== 'free'));
const short = (most: number) => owned.map((program) => program.slice(0, most));

describe.each([
  ['the default allocator', 'default'],
  ['a custom allocator that is shared', 'custom'],
  ['one xarray', 'xarray'],
] as const)('%s beside others answers as in some order', (_, kind) => {
  test.each([
    ['two threads', 2, 2, 40],
    ['three threads', 3, 1, 30],
  ] as const)('%s', (_name, count, most, numRuns) => {
    const program = fc.array(short(most), { minLength: count, maxLength: count });
    fc.assert(
      fc.property(program, (threads) => {
        const { verdict, counterexamples } = explore(beside(threads, kind));
        expect([threads, counterexamples.map(({ rule }) => rule), verdict]).toEqual([
          threads,
          [],
          'clean',
        ]);
      }),
      { numRuns },
    );
  });
});

test('the default allocator frees beside those who allocate and find', () => {
  const free = { call: 'free', id: 1 } as const;
  const alloc = { call: 'alloc', set: null, min: 1, max: 2, priv: 'p0' } as const;
  const find = { call: 'find', set: null, id: 1 } as const;
  expect(explore(beside([[alloc, free], [alloc], [find]], 'default')).verdict).toBe('clean');
  // The same on the xarray, where the free is of another's: S7.
  expect(explore(beside([[alloc], [free]], 'xarray')).verdict).toBe('violated');
});
