/**
 * POS: every pending step has a random priority, the highest goes on; those that race with it draw
 * again. Source: Yuan, Yang, Gu, CAV 2018.
 */

import { Independence } from '../independence.js';
import { highest } from './pct.js';
import type { MakeSampler } from './sampler.js';

export const pos: MakeSampler = (program, random) => {
  const independence = program.tables.map((table) => new Independence(table));
  let priorities: number[] = [];
  return {
    begin(threads) {
      priorities = Array.from({ length: threads }, () => random.next());
    },
    pick: (_row, enabled) => highest(priorities, enabled),
    steps(row, t) {
      const { trie, entities } = program;
      const node = row[entities + t];
      const entity = trie.entity[node];
      for (let u = 0; u < priorities.length; u++) {
        const other = row[entities + u];
        const races =
          entity >= 0 &&
          trie.entity[other] === entity &&
          !independence[entity].commute(row[entity], trie.event[node], trie.event[other]);
        if (u === t || races) priorities[u] = random.next();
      }
    },
  };
};
