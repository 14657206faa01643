import { describe, expect, it } from 'vitest';
import { isListed, linkedListMachine } from '../../machines/linked-list.js';
import type {
  LinkedListEvent,
  LinkedListMemory,
  LinkedListOptions,
  LinkedListStart,
} from '../../machines/linked-list.js';
import { random } from '../src/explore/random-scenario.js';
import { sendEvents } from './send-events.js';

const EMPTY: LinkedListStart = { H1: [], H2: [] };

function lists(events: readonly LinkedListEvent[], options?: LinkedListOptions, input = EMPTY) {
  return sendEvents({ machine: linkedListMachine(options), input }, events);
}

const add = (node: string, head: string): LinkedListEvent => ({ type: 'list_add', node, head });
const addTail = (node: string, head: string): LinkedListEvent => ({
  type: 'list_add_tail',
  node,
  head,
});
const del = (node: string): LinkedListEvent => ({ type: 'list_del', node });
const delInit = (node: string): LinkedListEvent => ({ type: 'list_del_init', node });
const first = (node: string): LinkedListEvent => ({ type: 'list_first', node });
const free = (object: string): LinkedListEvent => ({ type: 'kfree', object });

/** The nodes of a list from its head on, and the way back. */
function walked({ nodes }: LinkedListMemory, head: string): string[] {
  const forward: string[] = [];
  for (let at = nodes[head].next!; at !== head; at = nodes[at].next!) forward.push(at);
  const back: string[] = [];
  for (let at = nodes[head].prev!; at !== head; at = nodes[at].prev!) back.unshift(at);
  expect(back).toEqual(forward);
  return forward;
}

describe('lists by pointers', () => {
  it('are what arrays would be, where nodes are added and deleted by the rules', () => {
    for (let seed = 0; seed < 100; seed++) {
      const rand = random(seed);
      const arrays: Record<string, string[]> = { H1: [], H2: ['c'] };
      const events: LinkedListEvent[] = [];
      for (let i = 0; i < 25; i++) {
        const node = ['a', 'b', 'c', 'd'][rand(4)];
        const on = Object.values(arrays).find((list) => list.includes(node));
        if (on !== undefined) {
          on.splice(on.indexOf(node), 1);
          events.push(rand(2) === 0 ? del(node) : delInit(node));
        } else {
          const head = ['H1', 'H2'][rand(2)];
          const tail = rand(2) === 0;
          if (tail) arrays[head].push(node);
          else arrays[head].unshift(node);
          events.push(tail ? addTail(node, head) : add(node, head));
        }
      }
      const { broken, context } = lists(events, {}, { H1: [], H2: ['c'] });
      expect(broken).toBeUndefined();
      const memory = context as LinkedListMemory;
      for (const [head, nodes] of Object.entries(arrays)) {
        expect(walked(memory, head)).toEqual(nodes);
      }
      for (const node of ['a', 'b', 'c', 'd']) {
        const on = Object.values(arrays).some((list) => list.includes(node));
        expect(isListed(memory, node)).toBe(on);
      }
    }
  });

  it('answer their first node', () => {
    expect(lists([add('a', 'H1'), add('b', 'H1'), first('H1')]).reply).toMatchObject({ node: 'b' });
    expect(lists([add('a', 'H1'), del('a'), first('H1')]).reply).toMatchObject({ node: null });
  });
});

describe('a walk', () => {
  const next = (node: string): LinkedListEvent => ({ type: 'list_next', node });
  const singular = (node: string): LinkedListEvent => ({ type: 'list_is_singular', node });
  const met = (...events: LinkedListEvent[]) => lists(events, { breaks: 'when met' });

  it('follows next, to the head again', () => {
    expect(met(addTail('a', 'H1'), addTail('b', 'H1'), next('a')).reply).toMatchObject({
      node: 'b',
    });
    expect(met(addTail('a', 'H1'), next('a')).reply).toMatchObject({ node: 'H1' });
  });

  it('comes back to a last node that was added a second time (D-A5-2)', () => {
    const twice = [addTail('a', 'H1'), addTail('b', 'H1'), addTail('b', 'H1')];
    expect(met(...twice, next('b')).reply).toMatchObject({ node: 'b' });
  });

  it('goes no further than memory that was freed or never linked', () => {
    expect(met(add('o->n', 'H1'), free('o'), next('o->n')).broken).toBe('INV-24');
    expect(met(next('NULL')).broken).toBe('INV-32');
  });

  it('is not needed to tell that there is one node: the head tells', () => {
    expect(met(singular('H1')).reply).toMatchObject({ node: null });
    expect(met(add('a', 'H1'), singular('H1')).reply).toMatchObject({ node: 'a' });
    expect(met(add('a', 'H1'), add('b', 'H1'), singular('H1')).reply).toMatchObject({ node: null });
  });
});

describe('what corrupts a list', () => {
  it.each([
    ['added twice', [add('a', 'H1'), add('a', 'H1')], 'violated.twice', 'INV-32'],
    ['on two lists', [add('a', 'H1'), addTail('a', 'H2')], 'violated.twice', 'INV-32'],
    [
      'initialised while on a list',
      [add('a', 'H1'), { type: 'INIT_LIST_HEAD', node: 'a' } as const],
      'violated.malformed',
      'INV-32',
    ],
    ['deleted twice', [add('a', 'H1'), del('a'), del('a')], 'violated.poison', 'INV-32'],
    ['deleted, never added', [del('a')], 'violated.poison', 'INV-32'],
    ['added to no list', [add('a', 'nowhere')], 'violated.poison', 'INV-32'],
    [
      'behind a node that was freed',
      [add('o->n', 'H1'), free('o'), add('a', 'H1')],
      'violated.afterFree',
      'INV-24',
    ],
    [
      'deleted after it was freed',
      [add('o->n', 'H1'), free('o'), del('o->n')],
      'violated.afterFree',
      'INV-24',
    ],
    ['freed twice', [free('o'), free('o')], 'violated.freedTwice', 'INV-24'],
  ] satisfies readonly (readonly [string, readonly LinkedListEvent[], string, string])[])(
    '%s',
    (_title, events, state, rule) => {
      expect(lists(events.slice(0, -1)).broken).toBeUndefined();
      expect(lists(events)).toMatchObject({ state, broken: rule });
    },
  );

  it('may be deleted twice where list_del_init did it', () => {
    expect(lists([add('a', 'H1'), delInit('a'), delInit('a'), del('a')]).broken).toBeUndefined();
  });

  it('breaks the rule that it is to break', () => {
    expect(lists([add('a', 'H1'), add('a', 'H1')], { rule: 'INV-30' }).broken).toBe('INV-30');
    expect(lists([free('o'), free('o')], { afterFree: 'INV-17' }).broken).toBe('INV-17');
  });

  it('is found only where somebody follows a pointer, if that is asked for', () => {
    const twice = [add('a', 'H1'), add('a', 'H1'), del('a')];
    expect(lists(twice, { breaks: 'when met' }).broken).toBeUndefined();
    expect(lists([...twice, del('a')], { breaks: 'when met' })).toMatchObject({
      broken: 'INV-32',
      says: 'list_del(a) follows LIST_POISON1: general protection fault',
    });
  });
});

describe('an object on one list only', () => {
  const both = [add('o->n', 'H1'), add('o->m', 'H2')];

  it('is not on another by another of its nodes', () => {
    expect(lists(both).broken).toBeUndefined();
    expect(lists(both, { oneListOnly: ['o'] })).toMatchObject({
      state: 'violated.owners',
      broken: 'INV-32',
      says: 'list_add(o->m, H2): o is on another list already',
    });
  });

  it('may change from one to the other', () => {
    const moved = [add('o->n', 'H1'), del('o->n'), add('o->m', 'H2')];
    expect(lists(moved, { oneListOnly: ['o'] }).broken).toBeUndefined();
  });
});
