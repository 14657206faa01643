/**
 * Visited states that several threads share, without a lock: an open-addressing table in which a
 * place is taken once by an atomic exchange. Source: Laarman, van de Pol, Weber, "Boosting multi-core
 * reachability performance with shared hash tables", FMCAD 2010.
 */

import { hashOf } from './state-table.js';
import type { Visited } from './visited.js';

/** Indexes into `head`. */
const COUNT = 0;
const LOST = 1;

export interface VisitedMemory {
  readonly width: number;
  readonly head: Int32Array;
  readonly rows: Int32Array;
  readonly hashes: Int32Array;
  /** Index of a row plus 1; 0 for a free place. */
  readonly slots: Int32Array;
  readonly sleepOf: Int32Array;
}

/**
 * @param capacity states; a power of two
 * @throws RangeError where there is not so much memory
 */
export function visitedMemory(width: number, capacity: number): VisitedMemory {
  const ints = (length: number) => new Int32Array(new SharedArrayBuffer(4 * length));
  return {
    width,
    head: ints(2),
    rows: ints(capacity * width),
    hashes: ints(capacity),
    slots: ints(capacity * 2),
    sleepOf: ints(capacity),
  };
}

/** There is no room for a further state. */
export class VisitedFull extends Error {}

/** One thread's view. */
export class SharedVisited implements Visited {
  state = 0;
  first = false;
  before = 0;
  readonly sleepOf: Int32Array;
  /** A row that was written, and that another thread was quicker to add. */
  private spare = -1;

  constructor(private readonly memory: VisitedMemory) {
    this.sleepOf = memory.sleepOf;
  }

  get count(): number {
    const { head } = this.memory;
    return Atomics.load(head, COUNT) - Atomics.load(head, LOST);
  }

  get bytes(): number {
    return this.count * 4 * (this.memory.width + 4);
  }

  /** Throws VisitedFull. */
  arrive(row: Int32Array, asleep: number): void {
    const { width, slots, hashes, sleepOf } = this.memory;
    const hash = hashOf(row, width);
    const mask = slots.length - 1;
    let written = -1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      let taken = Atomics.load(slots, slot);
      if (taken === 0) {
        if (written < 0) written = this.write(row, hash, asleep);
        // All of the row is written before it can be found.
        taken = Atomics.compareExchange(slots, slot, 0, written + 1);
        if (taken === 0) {
          this.state = written;
          this.first = true;
          return;
        }
      }
      const at = taken - 1;
      if (hashes[at] !== hash || !this.equals(at, row)) continue;
      if (written >= 0) this.keep(written);
      this.state = at;
      this.first = false;
      this.before = Atomics.and(sleepOf, at, asleep);
      return;
    }
  }

  load(state: number, into: Int32Array): void {
    const { width, rows } = this.memory;
    const base = state * width;
    for (let i = 0; i < width; i++) into[i] = rows[base + i];
  }

  private write(row: Int32Array, hash: number, asleep: number): number {
    const { width, rows, hashes, head, sleepOf } = this.memory;
    let at = this.spare;
    if (at >= 0) {
      this.spare = -1;
      Atomics.sub(head, LOST, 1);
    } else {
      at = Atomics.add(head, COUNT, 1);
      if (at >= hashes.length) throw new VisitedFull();
    }
    const base = at * width;
    for (let i = 0; i < width; i++) rows[base + i] = row[i];
    hashes[at] = hash;
    Atomics.store(sleepOf, at, asleep);
    return at;
  }

  private keep(row: number): void {
    this.spare = row;
    Atomics.add(this.memory.head, LOST, 1);
  }

  private equals(at: number, row: Int32Array): boolean {
    const { width, rows } = this.memory;
    const base = at * width;
    for (let i = 0; i < width; i++) if (rows[base + i] !== row[i]) return false;
    return true;
  }
}
