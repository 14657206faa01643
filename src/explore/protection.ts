/**
 * Which mutex protects which entity, as far as threads have been met: every access holds it.
 * Source: exploration.md section 2 "Critical sections".
 *
 * `dev->iommu_group` is the classic field that is not protected; so it must be learned, and what was
 * learned is frozen during a round and tested after it, as futures are.
 */

import { mutexMachine } from '../../machines/mutex.js';
import type { LockEvent } from '../../machines/mutex.js';
import type { Program } from './program.js';
import { Kind } from './thread-trie.js';

export class Protection {
  /** By node: the mutexes that its thread holds there, as bits. */
  private readonly held: number[] = [0];
  /** By entity: the mutexes that all accesses hold. */
  private readonly by: Int32Array;
  /** By entity: its bit, 0 where it is no mutex. */
  private readonly bit: number[];

  constructor(private readonly program: Program) {
    let mutexes = 0;
    this.bit = program.tables.map(({ interned }) =>
      interned.machine === mutexMachine && mutexes < 30 ? 1 << mutexes++ : 0,
    );
    this.by = new Int32Array(program.entities).fill(-1);
  }

  /** Whether the access of `node` to `entity` is under a mutex that all who access it hold. */
  holds(entity: number, node: number): boolean {
    return (this.by[entity] & this.heldAt(node)) !== 0;
  }

  /** Takes nodes into account that were met since. Returns whether any protection is gone. */
  learn(): boolean {
    const { trie } = this.program;
    let changed = false;
    for (let node = 1; node < trie.size; node++) {
      if (trie.kind[node] !== Kind.Send) continue;
      const entity = trie.entity[node];
      const by = this.by[entity] & this.heldAt(node);
      if (by === this.by[entity]) continue;
      this.by[entity] = by;
      changed = true;
    }
    return changed;
  }

  private heldAt(node: number): number {
    for (let known = this.held.length; known <= node; known++) this.held.push(this.compute(known));
    return this.held[node];
  }

  private compute(node: number): number {
    const { trie, tables } = this.program;
    const parent = trie.parent[node];
    if (parent === 0) return 0;
    const held = this.held[parent];
    const entity = trie.entity[parent];
    if (entity < 0 || this.bit[entity] === 0) return held;
    const { type } = tables[entity].interned.eventOf(trie.event[parent]) as LockEvent;
    return type === 'lock' ? held | this.bit[entity] : held & ~this.bit[entity];
  }
}
