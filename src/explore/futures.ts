/**
 * Learned futures: which events on which entity a thread may still send from a node, as far as it
 * has been met. Frozen during a round of the search. Source: exploration/reductions.md section 2.
 */

import { ENDLESS, Independence } from './independence.js';
import type { LocalTable } from './local-table.js';
import type { Program } from './program.js';
import type { SymmetryGroup } from './symmetry.js';
import { Kind } from './thread-trie.js';

export interface SavedFutures {
  readonly nodes: number;
  readonly at: Int32Array;
  readonly most: Int32Array;
  /** By machine. */
  readonly sets: readonly (readonly (readonly number[])[])[];
}

export class Futures {
  /** By entity; entities of one machine share one. */
  readonly independence: readonly Independence[];
  /** Set of events by node * entities + entity. */
  at: Int32Array = new Int32Array(0);
  /** How many events at most, likewise; ENDLESS in a loop. */
  most: Int32Array = new Int32Array(0);
  /** Nodes that have a row. */
  private nodes = 0;
  private readonly entities: number;

  constructor(private readonly program: Program) {
    const { tables } = program;
    this.entities = tables.length;
    const byTable = new Map<LocalTable, Independence>();
    this.independence = tables.map((table) => {
      let of = byTable.get(table);
      if (of === undefined) {
        of = new Independence(table);
        byTable.set(table, of);
      }
      return of;
    });
  }

  /** Gives nodes that were met since a row: what they are about to send, and no more. */
  extend(): void {
    const { trie } = this.program;
    const { entities } = this;
    if (this.at.length < trie.size * entities) {
      const larger = new Int32Array(Math.max(1024, trie.size * 2) * entities);
      larger.set(this.at);
      this.at = larger;
      const most = new Int32Array(larger.length);
      most.set(this.most);
      this.most = most;
    }
    for (; this.nodes < trie.size; this.nodes++) {
      const node = this.nodes;
      if (trie.kind[node] !== Kind.Send) continue;
      const entity = trie.entity[node];
      this.at[node * entities + entity] = this.independence[entity].sets.of([trie.event[node]]);
      this.most[node * entities + entity] = 1;
    }
  }

  /**
   * Takes what was learned into account. Returns whether anything changed.
   *
   * @param group futures of nodes that are images of each other are images of each other
   */
  learn(group: SymmetryGroup | undefined): boolean {
    const before = this.nodes;
    group?.close();
    this.extend();
    const { trie } = this.program;
    const { entities, at, most } = this;
    let changed = false;
    const own = (node: number, e: number) => (trie.entity[node] === e ? 1 : 0);
    // A path that is longer than there are nodes is in a loop.
    const limited = (n: number) => (n > trie.size ? ENDLESS : n);
    const count = (node: number): boolean => {
      let grown = false;
      const spawned = trie.kind[node] === Kind.Spawn ? trie.startedBy(node) : 0;
      for (let e = 0; e < entities; e++) {
        let after = 0;
        for (const child of trie.children(node))
          after = Math.max(after, most[child * entities + e]);
        const n = limited(own(node, e) + after + most[spawned * entities + e]);
        if (n <= most[node * entities + e]) continue;
        most[node * entities + e] = n;
        grown = true;
      }
      return grown;
    };
    const include = (node: number, from: number): boolean => {
      let grown = false;
      for (let e = 0; e < entities; e++) {
        const has = at[node * entities + e];
        const more = at[from * entities + e];
        if (more === 0 || more === has) continue;
        const union = this.independence[e].sets.union(has, more);
        if (union === has) continue;
        at[node * entities + e] = union;
        grown = true;
      }
      return grown;
    };
    for (let again = true; again;) {
      again = false;
      for (let node = trie.size - 1; node > 0; node--) {
        for (const child of trie.children(node)) if (include(node, child)) again = true;
        if (trie.kind[node] === Kind.Spawn && include(node, trie.startedBy(node))) {
          again = true;
        }
        if (count(node)) again = true;
      }
      if (group !== undefined && group.closeFutures(this)) again = true;
      if (again) changed = true;
    }
    return changed || trie.size > before;
  }

  /** What was learned so far, and the sets that it speaks of. */
  save(): SavedFutures {
    return {
      nodes: this.nodes,
      at: this.at,
      most: this.most,
      sets: [...new Set(this.independence)].map(({ sets }) => sets.all),
    };
  }

  restore({ nodes, at, most, sets }: SavedFutures): void {
    this.nodes = nodes;
    this.at = at;
    this.most = most;
    [...new Set(this.independence)].forEach((independence, i) => {
      for (const events of sets[i]) independence.sets.of(events);
    });
  }

  /** Adds what `node` may send to `entity`. Returns whether that is more than before. */
  add(node: number, entity: number, set: number, most: number): boolean {
    const at = node * this.entities + entity;
    const union = this.independence[entity].sets.union(this.at[at], set);
    if (union === this.at[at] && most <= this.most[at]) return false;
    this.at[at] = union;
    this.most[at] = Math.max(this.most[at], most);
    return true;
  }
}
