/** The states that a search has met, each with the threads that were asleep whenever it was met. */

import { StateTable } from './state-table.js';

export interface Visited {
  /** States. */
  readonly count: number;
  readonly bytes: number;
  /** Of the last arrival: the state, whether it was the first, and who had always been asleep. */
  readonly state: number;
  readonly first: boolean;
  readonly before: number;
  /** Takes the row, which is copied, and keeps who was asleep at all arrivals. */
  arrive(row: Int32Array, asleep: number): void;
  load(state: number, into: Int32Array): void;
  /** By state: threads that were asleep at all arrivals. */
  readonly sleepOf: Int32Array;
}

/** Of one thread. */
export class LocalVisited implements Visited {
  state = 0;
  first = false;
  before = 0;
  sleepOf: Int32Array = new Int32Array(1024);
  private readonly table: StateTable;

  /** @param width integers of a row */
  constructor(width: number) {
    this.table = new StateTable(width);
  }

  get count(): number {
    return this.table.count;
  }

  get bytes(): number {
    return this.table.bytes + this.sleepOf.byteLength;
  }

  arrive(row: Int32Array, asleep: number): void {
    const { table } = this;
    const state = table.add(row);
    this.state = state;
    this.first = table.added;
    if (table.added) {
      if (state >= this.sleepOf.length) this.grow(this.sleepOf.length * 2);
      this.sleepOf[state] = asleep;
    } else {
      this.before = this.sleepOf[state];
      this.sleepOf[state] = this.before & asleep;
    }
  }

  load(state: number, into: Int32Array): void {
    this.table.load(state, into);
  }

  /** All rows, one after the other, and who slept: not copied. */
  save(): { readonly rows: Int32Array; readonly sleepOf: Int32Array } {
    return { rows: this.table.all, sleepOf: this.sleepOf.subarray(0, this.table.count) };
  }

  restore(rows: Int32Array, sleepOf: Int32Array): void {
    const { width } = this.table;
    for (let at = 0; at < rows.length; at += width) this.table.add(rows.subarray(at, at + width));
    this.grow(Math.max(1024, sleepOf.length));
    this.sleepOf.set(sleepOf);
  }

  private grow(length: number): void {
    const larger = new Int32Array(length);
    larger.set(this.sleepOf.subarray(0, length));
    this.sleepOf = larger;
  }
}
