/** How far a search is. */

import { expect, test } from 'vitest';
import { addRemove } from '../../../machines/races/add-remove.js';
import { Exhaustive } from '../../../src/explore/exhaustive.js';
import { NO_REDUCTION } from '../../../src/explore/search-options.js';
import { Program } from '../../../src/explore/program.js';
import { searchedShare } from '../../../src/explore/searched-share.js';
import { PROGRAMS } from './published-programs.js';

interface Tree {
  readonly children: readonly Tree[];
}

/** Searches a tree depth first with the frames of the search. Returns the share after every step. */
function shares(tree: Tree): number[] {
  const frames = {
    depth: 0,
    todo: [] as number[],
    asleep: [] as number[],
    thread: [] as number[],
    state: [] as number[],
  };
  const told: number[] = [];
  // Some thread sleeps in every state: it is not counted.
  const SLEEPER = 1 << 20;
  const sleepOf: number[] = [];
  const visit = (node: Tree) => {
    if (node.children.length === 0) return;
    const at = frames.depth++;
    frames.todo[at] = (1 << node.children.length) - 1;
    frames.asleep[at] = SLEEPER;
    frames.thread[at] = -1;
    frames.state[at] = sleepOf.push(SLEEPER) - 1;
    for (const [t, child] of node.children.entries()) {
      frames.thread[at] = t;
      frames.todo[at] &= ~(1 << t);
      told.push(searchedShare(frames, sleepOf));
      visit(child);
      frames.asleep[at] |= 1 << t;
    }
    told.push(searchedShare(frames, sleepOf));
    frames.depth--;
  };
  visit(tree);
  return told;
}

const regular = (depth: number, width: number): Tree => ({
  children: depth === 0 ? [] : Array.from({ length: width }, () => regular(depth - 1, width)),
});

test('of a regular tree it is the share of its leaves', () => {
  const told = shares(regular(4, 3));
  expect(told.every((share, i) => i === 0 || share >= told[i - 1] - 1e-12)).toBe(true);
  expect(told[0]).toBe(0);
  expect(told.at(-1)).toBeCloseTo(1, 9);
  for (let leaf = 0; leaf <= 81; leaf++) {
    expect(told.some((share) => Math.abs(share - leaf / 81) < 1e-9)).toBe(true);
  }
});

test('a lopsided one: each child of the root is as much as the others', () => {
  expect(shares({ children: [regular(3, 2), { children: [] }] }).at(-1)).toBeCloseTo(1, 9);
  expect(shares({ children: [regular(3, 2), { children: [] }] })).toContain(0.5);
});

test.each([
  ['unreduced', () => addRemove({ devices: 2, listeners: 2 }), NO_REDUCTION],
  ['reduced', () => PROGRAMS.fib_bench(5), {}],
])(
  'of a real search, %s, it never falls within a round and stays within 0 and 1',
  (_, make, reductions) => {
    let round = 0;
    let last = 0;
    let heard = 0;
    new Exhaustive(new Program(make()), {
      reductions,
      onProgress({ rounds }, share) {
        if (rounds !== round) last = 0;
        round = rounds;
        expect(share).toBeGreaterThanOrEqual(last - 1e-6);
        expect(share).toBeLessThanOrEqual(1);
        last = share;
        heard++;
      },
    }).run();
    expect(heard).toBeGreaterThan(2);
    expect(last).toBeGreaterThan(0);
  },
);
