/** A struct in memory: what its accesses answer, and what breaks a rule. */

import { describe, expect, it } from 'vitest';
import { get, kfree, load, put, store } from '../../machines/kernel/memory.js';
import { struct } from '../../machines/object.js';
import { explore } from '../../src/explore/explore.js';
import { sendEvents } from './send-events.js';

const live = struct({ fields: { f: 1, list: ['a', 'b', 'c'] }, refs: 2 });
const value = (of: unknown) => ({ type: 'value', value: of });

describe('a live struct', () => {
  it.each([
    ['reads', [{ type: 'read', field: 'f' }], value(1)],
    ['reads NULL of a field that was never written', [{ type: 'read', field: 'g' }], value(null)],
    [
      'writes',
      [
        { type: 'write', field: 'f', value: 7 },
        { type: 'read', field: 'f' },
      ],
      value(7),
    ],
    ['adds, and answers what was there', [{ type: 'add', field: 'f', value: 2 }], value(1)],
    [
      'swaps what is expected',
      [{ type: 'compare_and_swap', field: 'f', expected: 1, value: 2 }],
      value(true),
    ],
    [
      'swaps nothing else',
      [{ type: 'compare_and_swap', field: 'f', expected: 2, value: 3 }],
      value(false),
    ],
    ['is put by one of two', [{ type: 'put' }], { type: 'put', last: false }],
    ['is put by the last', [{ type: 'put' }, { type: 'put' }], { type: 'put', last: true }],
    ['is got unless zero', [{ type: 'get_unless_zero' }], { type: 'got', ok: true }],
    [
      'is not got at zero',
      [{ type: 'put' }, { type: 'put' }, { type: 'get_unless_zero' }],
      { type: 'got', ok: false },
    ],
    ['walks', [{ type: 'list_next', field: 'list', after: 'a' }], value('b')],
    ['walks to the end', [{ type: 'list_next', field: 'list', after: 'c' }], value(null)],
    [
      'walks on from where an entry of a klist was',
      [
        { type: 'list_del', field: 'list', entry: 'b', keepsPlace: true },
        { type: 'list_next', field: 'list', after: 'b' },
      ],
      value('c'),
    ],
    [
      'meets who is appended meanwhile',
      [
        { type: 'list_add_tail', field: 'list', entry: 'd' },
        { type: 'list_next', field: 'list', after: 'c' },
      ],
      value('d'),
    ],
    [
      'deletes nothing that is not there',
      [{ type: 'list_del', field: 'list', entry: 'x' }],
      { type: 'deleted', found: false },
    ],
    ['takes a name', [{ type: 'insert', field: 'list', entry: 'x' }], { type: 'got', ok: true }],
    [
      'takes no name twice',
      [{ type: 'insert', field: 'list', entry: 'a' }],
      { type: 'got', ok: false },
    ],
    ['pops the first', [{ type: 'list_pop', field: 'list' }], value('a')],
    ['has a last', [{ type: 'list_last', field: 'list' }], value('c')],
  ])('%s', (_, events, reply) => {
    expect(sendEvents(live, events)).toMatchObject({ state: 'live', reply });
  });
});

/** Nobody is answered: what a thread would do with garbage is no finding of its own. */
describe('an access that breaks a rule', () => {
  const uses = [
    { type: 'read', field: 'f' },
    { type: 'write', field: 'f', value: 1 },
    { type: 'put' },
    { type: 'get' },
    { type: 'get_unless_zero' },
    { type: 'list_next', field: 'list', after: null },
  ];

  it.each(uses)('after the free: $type', (use) => {
    const { state, reply } = sendEvents(live, [{ type: 'free' }, use]);
    expect([state, reply]).toEqual(['violated.afterFree', undefined]);
  });

  it.each(uses)('before the allocation: $type', (use) => {
    const { state, reply } = sendEvents(struct(), [use]);
    expect([state, reply]).toEqual(['violated.wild', undefined]);
  });

  it.each([
    ['a second free', [{ type: 'free' }, { type: 'free' }], 'violated.freedTwice'],
    ['a get from zero', [{ type: 'put' }, { type: 'put' }, { type: 'get' }], 'violated.fromZero'],
    ['a put at zero', [{ type: 'put' }, { type: 'put' }, { type: 'put' }], 'violated.underflow'],
  ])('%s', (_, events, state) => {
    expect(sendEvents(live, events).state).toBe(state);
  });

  it('is the only finding: the thread gets no further', () => {
    const result = explore({
      name: 'use after free',
      entities: { o: struct({ fields: { list: ['a'] }, refs: 1 }), after: struct({ fields: {} }) },
      threads: {
        user: function* () {
          const list = yield* load<readonly string[]>('o', 'list');
          yield* store('after', 'seen', list.length);
        },
        owner: function* () {
          if (yield* put('o')) yield* kfree('o');
        },
      },
    });
    expect(result.counterexamples.map(({ rule, says }) => [rule, says])).toEqual([
      ['INV-24', 'access to o->list after it was freed'],
    ]);
  });

  it('is none where a reference is held', () => {
    const { verdict } = explore({
      name: 'reference',
      entities: { o: struct({ fields: { f: 1 }, refs: 2 }) },
      threads: {
        user: function* () {
          yield* load('o', 'f');
          if (yield* put('o')) yield* kfree('o');
        },
        owner: function* () {
          yield* get('o');
          yield* put('o');
          if (yield* put('o')) yield* kfree('o');
        },
      },
    });
    expect(verdict).toBe('clean');
  });

  it('breaks the rule that the struct is under', () => {
    const domain = struct({ fields: { type: 'paging' } }, 'INV-20');
    const { counterexamples } = explore({
      name: 'rule',
      entities: { domain },
      threads: {
        free: () => kfree('domain'),
        use: () => load('domain', 'type'),
      },
    });
    expect(counterexamples.map(({ rule }) => rule)).toEqual(['INV-20']);
  });
});
