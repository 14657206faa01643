/**
 * Threads of which one has to come first: what the others may do before cannot depend on what these
 * are about to do. Source: Godefroid, Partial-Order Methods (1996), chapter 4, persistent sets; here
 * over learned futures.
 */

import { Futures } from './futures.js';
import type { Program } from './program.js';
import type { SentEvents } from './sent.js';
import { StateTable } from './state-table.js';
import { Kind } from './thread-trie.js';

const NOTHING = -1;
/** More than there are sets of events. */
const MAX_SETS = 2 ** 26;

export class PersistentSets {
  private readonly futures: Futures;
  /** By entity, event, then set of events: whether the event may be exchanged with all of them. */
  private readonly known: readonly Map<number, boolean>[];
  /**
   * What decided: a node and an entity, and an event with which all that the thread may still send
   * there was taken to be exchangeable; NOTHING where it was taken to send nothing.
   */
  private decisions = new StateTable(2);
  private readonly decision = new Int32Array(2);
  /** What was learned since has overturned a decision. */
  private overturned = false;
  private learnedNodes = 0;

  constructor(
    private readonly program: Program,
    private readonly sent: SentEvents,
  ) {
    this.futures = new Futures(program);
    this.known = program.tables.map(() => new Map<number, boolean>());
    this.futures.learn(undefined);
  }

  /** Before all is looked at again. */
  begin(): void {
    this.overturned = false;
    this.decisions = new StateTable(2);
    this.learn();
  }

  /** Whether all sets since `begin` hold with all that has been met by now. */
  hold(): boolean {
    this.learn();
    return !this.overturned;
  }

  /** Must be called when a node was met. */
  meetNodes(): void {
    const { size } = this.program.trie;
    this.futures.extend();
    // What is learned early spares rounds; now and then, because it takes time.
    if (size > this.learnedNodes * 1.5) this.learn();
  }

  /** The smallest set that is found: those of `enabled`, not empty, that are in it, as bits. */
  of(row: Int32Array, enabled: number): number {
    const { entities, trie } = this.program;
    let alive = 0;
    for (let t = row.length - entities - 1; t >= 0; t--) {
      const node = row[entities + t];
      if (node !== 0 && trie.kind[node] < Kind.Done) alive |= 1 << t;
    }
    let best = alive;
    let fewest = Infinity;
    for (let rest = enabled; rest !== 0; rest &= rest - 1) {
      const set = this.around(row, enabled, alive, rest & -rest);
      const size = bits(set & enabled);
      if (size >= fewest) continue;
      fewest = size;
      best = set;
      if (size === 1) break;
    }
    this.note(row, enabled, alive, best);
    return best & enabled;
  }

  /** The set that begins with one thread. */
  private around(row: Int32Array, enabled: number, alive: number, seed: number): number {
    const { entities, trie } = this.program;
    const { at } = this.futures;
    let set = seed;
    let open = seed;
    while (open !== 0) {
      const bit = open & -open;
      open ^= bit;
      const node = row[entities + 31 - Math.clz32(bit)];
      const entity = trie.entity[node];
      const canGoOn = (enabled & bit) !== 0;
      let more = 0;
      if (entity >= 0) {
        for (let rest = alive & ~set; rest !== 0; rest &= rest - 1) {
          const other = row[entities + 31 - Math.clz32(rest & -rest)];
          const events = at[other * entities + entity];
          // Nothing is known of what follows a node that was met just now.
          if (other >= this.learnedNodes) more |= rest & -rest;
          else if (events === 0) continue;
          // One that waits must not be let go on by others: then it could be the first.
          else if (!canGoOn || !this.withAll(entity, trie.event[node], events))
            more |= rest & -rest;
        }
      } else if (!canGoOn) {
        const joined = trie.other[node];
        more = row[entities + joined] === 0 ? alive & ~set : (1 << joined) & ~set;
      }
      set |= more;
      open |= more;
    }
    return set;
  }

  private withAll(entity: number, event: number, set: number): boolean {
    const key = event * MAX_SETS + set;
    const asked = this.known[entity].get(key);
    if (asked !== undefined) return asked;
    // Whether one of them changes the machine depends on the states to come.
    const all = this.futures.independence[entity].sets
      .events(set)
      .every((other) => this.sent.alwaysIndependent(entity, event, other));
    this.known[entity].set(key, all);
    return all;
  }

  /** Notes what must hold for `set` to be right. */
  private note(row: Int32Array, enabled: number, alive: number, set: number): void {
    const { entities, trie } = this.program;
    const { decisions, decision } = this;
    const outside = alive & ~set;
    if (outside === 0) return;
    for (let inside = set; inside !== 0; inside &= inside - 1) {
      const bit = inside & -inside;
      const node = row[entities + 31 - Math.clz32(bit)];
      const entity = trie.entity[node];
      if (entity < 0) continue;
      decision[1] = (enabled & bit) === 0 ? NOTHING : trie.event[node];
      for (let rest = outside; rest !== 0; rest &= rest - 1) {
        decision[0] = row[entities + 31 - Math.clz32(rest & -rest)] * entities + entity;
        decisions.add(decision);
      }
    }
  }

  private learn(): void {
    this.learnedNodes = this.program.trie.size;
    if (!this.futures.learn(undefined) || this.overturned) return;
    const { decisions, decision } = this;
    const { at } = this.futures;
    for (let i = 0; i < decisions.count && !this.overturned; i++) {
      decisions.load(i, decision);
      const [future, event] = decision;
      if (at[future] === 0) continue;
      const entity = future % this.program.entities;
      this.overturned = event === NOTHING || !this.withAll(entity, event, at[future]);
    }
  }
}

function bits(set: number): number {
  let count = 0;
  for (let rest = set; rest !== 0; rest &= rest - 1) count++;
  return count;
}
