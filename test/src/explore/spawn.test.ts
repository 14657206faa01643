/** Threads that are spawned: what they do may depend on the way to the spawn. */

import { describe, expect, test } from 'vitest';
import { mutexMachine } from '../../../machines/mutex.js';
import type { Scenario } from '../../../machines/scenario.js';
import { choose, join, lock, send, spawn, unlock } from '../../../machines/step.js';
import { variableMachine } from '../../../machines/variable.js';
import type { VariableReply } from '../../../machines/variable.js';
import { explore, STRATEGIES } from '../../../src/explore/explore.js';

/** Both workers are `A.0`: which one comes, is chosen, or is what B wrote. */
function work(by: 'choice' | 'memory', broken: boolean): Scenario {
  const value = (view: { readonly context: unknown }) =>
    (view.context as { readonly value: unknown }).value;
  return {
    name: 'work',
    entities: {
      which: variableMachine('left'),
      left: variableMachine(0),
      right: variableMachine(0),
      m: mutexMachine,
    },
    threads: {
      A: function* () {
        const which =
          by === 'choice'
            ? yield* choose(['left', 'right'])
            : String((yield* send<VariableReply>('which', { type: 'read' })).value);
        yield* send('which', { type: 'write', value: which });
        const worker = yield* spawn(function* () {
          yield* lock('m');
          yield* send(broken ? 'left' : which, { type: 'add', value: 1 });
          yield* unlock('m');
        });
        yield* join(worker);
      },
      ...(by === 'memory'
        ? {
            B: function* () {
              yield* send('which', { type: 'write', value: 'right' });
            },
          }
        : {
            C: function* () {
              yield* lock('m');
              yield* unlock('m');
            },
          }),
    },
    invariants: [
      {
        id: 'worked',
        entities: ['which', 'left', 'right'],
        when: 'end',
        holds: ({ left, right }) => value(left) === 1 || value(right) === 1,
      },
      {
        id: 'as chosen',
        entities: ['which', 'left', 'right'],
        when: 'end',
        holds: ({ which, left, right }) =>
          by === 'memory' || value(value(which) === 'left' ? left : right) === 1,
      },
    ],
  };
}

describe.each(STRATEGIES)('%s', (strategy) => {
  test.each(['choice', 'memory'] as const)('a worker is the one that was spawned: %s', (by) => {
    const { verdict, counterexamples } = explore(work(by, false), { strategy });
    expect(counterexamples).toEqual([]);
    expect(verdict).not.toBe('violated');
  });

  test('another one is found', () => {
    const { counterexamples } = explore(work('choice', true), { strategy });
    expect(counterexamples.map(({ rule, confirmed }) => [rule, confirmed])).toEqual([
      ['as chosen', true],
    ]);
  });
});

test('both are reached', () => {
  const scenario = work('choice', false);
  const reached = ['left', 'right'].map((side) => {
    const never = { id: side, entities: [side], when: 'end' as const };
    const holds: NonNullable<Scenario['invariants']>[number]['holds'] = (view) =>
      (view[side].context as { readonly value: unknown }).value === 0;
    return explore({ ...scenario, invariants: [{ ...never, holds }] }).verdict;
  });
  expect(reached).toEqual(['violated', 'violated']);
});
