/**
 * One machine as a table of integers: (snapshot, event) -> (snapshot, reply), filled by xstate on
 * the way. Design section 3.
 */

import type { AnyStateMachine, EventObject } from 'xstate';
import { InternedMachine, stable } from '../../machines/intern.js';

/** Plain values by number; equal ones have one. 0 is undefined. */
export class Values {
  private readonly ids = new Map<string, number>();
  private readonly values: unknown[] = [undefined];

  intern(value: unknown): number {
    if (value === undefined) return 0;
    const key = stable(value);
    let id = this.ids.get(key);
    if (id === undefined) {
      id = this.values.length;
      this.values.push(value);
      this.ids.set(key, id);
    }
    return id;
  }

  value(id: number): unknown {
    return this.values[id];
  }
}

/** In `next`: not computed yet, and not accepted. */
export const UNKNOWN = -2;
export const BLOCKED = -1;

export class LocalTable {
  readonly interned: InternedMachine;
  /** Width of a row of `next` and `reply`: at least the number of events. */
  stride = 16;
  /** By snapshot * stride + event. */
  next: Int32Array = new Int32Array(0);
  reply: Int32Array = new Int32Array(0);
  private rows = 0;
  /** Calls of xstate. */
  computed = 0;
  private readonly broken: (string | undefined)[] = [];

  constructor(
    machine: AnyStateMachine,
    private readonly replies: Values,
  ) {
    this.interned = new InternedMachine(machine);
    this.grow();
  }

  event(event: EventObject): number {
    const id = this.interned.event(event);
    if (id >= this.stride) this.widen(id);
    return id;
  }

  /** Computes what UNKNOWN stands for. Returns the next snapshot or BLOCKED. */
  compute(snapshot: number, event: number): number {
    const { interned } = this;
    this.computed++;
    const accepted = interned.accepts(snapshot, event);
    const next = accepted ? interned.next(snapshot, event) : BLOCKED;
    if (interned.size > this.rows) this.grow();
    const at = snapshot * this.stride + event;
    this.next[at] = next;
    if (accepted) this.reply[at] = this.replies.intern(interned.replies(snapshot, event).at(-1));
    return next;
  }

  step(snapshot: number, event: number): number {
    const next = this.next[snapshot * this.stride + event];
    return next === UNKNOWN ? this.compute(snapshot, event) : next;
  }

  /** The rules that a snapshot breaks. */
  rules(snapshot: number): readonly string[] {
    return this.interned.allBroken(snapshot);
  }

  /** Them as one text, undefined for none. */
  rule(snapshot: number): string | undefined {
    if (snapshot in this.broken) return this.broken[snapshot];
    const rules = this.rules(snapshot);
    return (this.broken[snapshot] = rules.length === 0 ? undefined : [...rules].sort().join('\n'));
  }

  /** Must be called when snapshots were interned from elsewhere. */
  grow(): void {
    if (this.interned.size <= this.rows) return;
    const rows = Math.max(16, this.rows * 2, this.interned.size);
    this.next = resized(this.next, rows * this.stride, UNKNOWN);
    this.reply = resized(this.reply, rows * this.stride, 0);
    this.rows = rows;
  }

  private widen(event: number): void {
    const was = this.stride;
    while (this.stride <= event) this.stride *= 2;
    const { next, reply, rows, stride } = this;
    this.next = new Int32Array(rows * stride).fill(UNKNOWN);
    this.reply = new Int32Array(rows * stride);
    for (let row = 0; row < rows; row++) {
      this.next.set(next.subarray(row * was, row * was + was), row * stride);
      this.reply.set(reply.subarray(row * was, row * was + was), row * stride);
    }
  }
}

function resized(array: Int32Array, length: number, fill: number): Int32Array {
  const larger = new Int32Array(length).fill(fill, array.length);
  larger.set(array);
  return larger;
}
