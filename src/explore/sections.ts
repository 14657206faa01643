/**
 * Critical sections, as far as threads have been met. Source: exploration.md section 2 "Critical
 * sections", exploration/reductions.md section 2 "section collapse".
 *
 * A mutex *protects* an entity when every access holds it: such an access, by who holds it, may run
 * at once. A mutex is *collapsible* when every section of it is nothing but accesses to what it
 * protects: then lock … unlock is one step, nobody ever sees it held, and two sections commute where
 * their accesses do.
 *
 * `dev->iommu_group` is the classic field that is not protected; so it must be learned, and what was
 * learned is frozen during a round and tested after it, as futures are.
 */

import type { AnyStateMachine } from 'xstate';
import type { LockEvent } from '../../machines/mutex.js';
import type { Program } from './program.js';
import { Kind } from './thread-trie.js';

export interface SavedSections {
  readonly by: readonly number[];
  readonly divided: number;
}

export class Sections {
  /** By node: the mutexes that its thread holds there, as bits. */
  private readonly held: number[] = [0];
  /** By node, where it was asked. */
  private readonly locking: (boolean | undefined)[] = [];
  /** By entity: the mutexes that all accesses hold. */
  private readonly by: Int32Array;
  /** By entity: its bit, 0 where it is no mutex. */
  readonly bit: readonly number[];
  /** Mutexes with a section that cannot be one step. */
  private divided = 0;

  constructor(private readonly program: Program) {
    let mutexes = 0;
    this.bit = program.tables.map(({ interned }) =>
      isMutex(interned.machine) && mutexes < 30 ? 1 << mutexes++ : 0,
    );
    this.by = new Int32Array(program.entities).fill(-1);
  }

  /** Whether the access of `node` to `entity` is under a mutex that all who access it hold. */
  protects(entity: number, node: number): boolean {
    return (this.by[entity] & this.heldAt(node)) !== 0;
  }

  /** Whether `node` is about to lock a mutex whose sections are one step each. */
  collapses(node: number): boolean {
    const entity = this.program.trie.entity[node];
    if (entity < 0) return false;
    const bit = this.bit[entity];
    return bit !== 0 && (this.divided & bit) === 0 && this.locks(node);
  }

  /** Whether `node`, inside a section of `mutex`, is an access that may be part of one step. */
  inside(mutex: number, node: number): boolean {
    const { trie, visible } = this.program;
    const entity = trie.entity[node];
    return (
      entity >= 0 &&
      this.bit[entity] === 0 &&
      !visible[entity] &&
      !trie.loopHead[node] &&
      (this.by[entity] & this.bit[mutex]) !== 0
    );
  }

  /** A section of `mutex` turned out not to be one step. */
  divide(mutex: number): void {
    this.divided |= this.bit[mutex];
  }

  /** The same of mutexes that another thread found, as bits. */
  divideAll(mutexes: number): void {
    this.divided |= mutexes;
  }

  /** Takes nodes into account that were met since. Returns whether less holds than before. */
  learn(): boolean {
    const { trie, visible } = this.program;
    const { bit, by, divided } = this;
    let changed = false;
    for (let node = 1; node < trie.size; node++) {
      const entity = trie.entity[node];
      if (entity < 0) continue;
      const still = by[entity] & this.heldAt(node);
      if (still === by[entity]) continue;
      by[entity] = still;
      changed = true;
    }
    for (let node = 1; node < trie.size; node++) {
      const held = this.heldAt(node);
      if (held === 0) continue;
      const entity = trie.entity[node];
      if (entity < 0 || trie.loopHead[node]) this.divided |= held;
      else if (bit[entity] !== 0) this.divided |= held & ~bit[entity];
      else this.divided |= visible[entity] ? held : held & ~by[entity];
    }
    return changed || divided !== this.divided;
  }

  save(): SavedSections {
    return { by: [...this.by], divided: this.divided };
  }

  restore({ by, divided }: SavedSections): void {
    this.by.set(by);
    this.divided = divided;
  }

  /** Whether the event that `node` sends to a mutex is a lock. */
  private locks(node: number): boolean {
    const { trie, tables } = this.program;
    const { interned } = tables[trie.entity[node]];
    return (this.locking[node] ??=
      (interned.eventOf(trie.event[node]) as LockEvent).type === 'lock');
  }

  private heldAt(node: number): number {
    for (let known = this.held.length; known <= node; known++) this.held.push(this.compute(known));
    return this.held[node];
  }

  private compute(node: number): number {
    const { trie } = this.program;
    const parent = trie.parent[node];
    if (parent === 0) return 0;
    const held = this.held[parent];
    if (trie.kind[parent] !== Kind.Send) return held;
    const bit = this.bit[trie.entity[parent]];
    if (bit === 0) return held;
    return this.locks(parent) ? held | bit : held & ~bit;
  }
}

/** By its own word, not by identity: a scenario may have been loaded with modules of its own. */
function isMutex(machine: AnyStateMachine): boolean {
  return (machine.root.meta as { lock?: string } | undefined)?.lock === 'mutex';
}
