import { expect, test } from 'vitest';
import { store } from '../../../machines/kernel/memory.js';
import { struct } from '../../../machines/object.js';
import type { ObjectMemory } from '../../../machines/object.js';
import type { EntityView, Scenario } from '../../../machines/scenario.js';
import { reached } from '../../../src/systems/reached.js';

const scenario = (last: string): Scenario => ({
  name: 'two writers',
  entities: { x: struct({ fields: { is: 'a' } }) },
  threads: { T1: () => store('x', 'is', 'b'), T2: () => store('x', 'is', last) },
});

const question = (is: string) => ({
  id: is,
  entities: ['x'],
  is: ({ x }: Readonly<Record<string, EntityView>>) => (x.context as ObjectMemory).fields.is === is,
});

test('are the ends of some interleaving, not the states on the way', () => {
  expect(reached(scenario('c'), ['a', 'b', 'c', 'd'].map(question)).ids).toEqual(['b', 'c']);
  expect(reached(scenario('b'), ['a', 'b', 'c'].map(question)).ids).toEqual(['b']);
});

test('are not told of a scenario that breaks a rule', () => {
  const broken = { ...scenario('c'), entities: { x: struct() } };
  expect(() => reached(broken, [question('b')])).toThrow('two writers breaks INV-24');
});
