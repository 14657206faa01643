/**
 * One machine as a table of integers: (snapshot, event) -> (snapshot, reply), filled by xstate on
 * the way. Design section 3.
 */

import type { AnyStateMachine, EventObject } from 'xstate';
import { InternedMachine, numberedHere, stable } from '../../machines/intern.js';
import type { Numbering } from '../../machines/intern.js';
import { ScenarioError } from './scenario-error.js';

/** Plain values by number; equal ones have one. 0 is undefined. */
export class Values {
  private readonly ids = new Map<string, number>();
  private readonly values: unknown[] = [undefined];

  /** How values get their numbers. */
  number: Numbering = numberedHere;

  intern(value: unknown): number {
    if (value === undefined) return 0;
    const key = stable(value);
    return this.ids.get(key) ?? this.add(key, value);
  }

  private add(key: string, value: unknown): number {
    return this.number(
      () => this.ids.get(key),
      () => value,
      () => {
        const id = this.values.length;
        this.values.push(value);
        this.ids.set(key, id);
        return id;
      },
    );
  }

  value(id: number): unknown {
    return this.values[id];
  }

  /** All, by number. */
  get all(): readonly unknown[] {
    return this.values;
  }
}

/** In `next`: not computed yet, and not accepted. */
export const UNKNOWN = -2;
export const BLOCKED = -1;

/** What a pair of a snapshot and an event leads to. */
export interface Derived {
  /** BLOCKED where it is not accepted. */
  readonly next: number;
  readonly reply: number;
}
/** Undefined: nothing tells it but the machine. */
export type Derivation = (snapshot: number, event: number) => Derived | undefined;

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
  /** Pairs that a symmetry told instead. */
  derived = 0;
  /** Where names can be exchanged: what a pair leads to, by one that is known. */
  private derivation: Derivation | undefined;
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

  /** From now on pairs that are images of one another are computed once. */
  deriveBy(derivation: Derivation): void {
    this.derivation = derivation;
  }

  /** Computes what UNKNOWN stands for. Returns the next snapshot or BLOCKED. */
  compute(snapshot: number, event: number): number {
    const derived = this.derivation?.(snapshot, event);
    if (derived === undefined) return this.ask(snapshot, event);
    // A power of two: what a symmetry says is held against the machine, ever more rarely.
    if ((++this.derived & (this.derived - 1)) === 0) this.verify(snapshot, event, derived);
    const at = snapshot * this.stride + event;
    this.reply[at] = derived.reply;
    return (this.next[at] = derived.next);
  }

  private verify(snapshot: number, event: number, { next, reply }: Derived): void {
    const asked = this.ask(snapshot, event);
    if (asked === next && (asked < 0 || this.reply[snapshot * this.stride + event] === reply)) {
      return;
    }
    const { interned } = this;
    throw new ScenarioError(
      `it does something else at ${stable(interned.eventOf(event))} than with names exchanged`,
      `machine "${interned.machine.id}"`,
      'take what it treats in its own way out of the symmetry',
    );
  }

  /** By xstate. */
  private ask(snapshot: number, event: number): number {
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

  /** All pairs that were asked of the machine or told by a symmetry. */
  *known(): Generator<readonly [snapshot: number, event: number, next: number, reply: number]> {
    const { stride } = this;
    for (let snapshot = 0; snapshot < this.interned.size; snapshot++) {
      for (let event = 0; event < this.interned.alphabet; event++) {
        const at = snapshot * stride + event;
        if (this.next[at] !== UNKNOWN) yield [snapshot, event, this.next[at], this.reply[at]];
      }
    }
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
