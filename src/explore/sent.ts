/** What threads are about to send, by number, and which of it may be exchanged. */

import type { EventObject } from 'xstate';
import type { Program } from './program.js';

/** What a thread is about to send. */
export interface Sent {
  readonly entity: string;
  readonly event: EventObject;
  /** It changes the machine in this state. */
  readonly changes: boolean;
}

/** Whether two events of one entity may be exchanged wherever one follows the other. */
export type IndependentEvents = (a: Sent, b: Sent) => boolean;

const YES = 1;
const NO = 2;

/** Asks a relation once for every pair. */
export class SentEvents {
  private readonly sent: Sent[] = [];
  private readonly entities: number[] = [];
  /** By entity, then by event * 2, plus 1 where it changes the machine. */
  private readonly ids: (number | undefined)[][];
  /** By the first, then by the second. */
  private readonly known: Uint8Array[] = [];

  constructor(
    private readonly program: Program,
    private readonly relation: IndependentEvents,
  ) {
    this.ids = program.tables.map(() => []);
  }

  /** What the thread at `node` would send in `row`: a number, -1 for nothing. It is accepted there. */
  at(row: Int32Array, node: number): number {
    const { trie, tables } = this.program;
    const entity = trie.entity[node];
    if (entity < 0) return -1;
    const event = trie.event[node];
    return this.id(entity, event, tables[entity].step(row[entity], event) !== row[entity]);
  }

  independent(a: number, b: number): boolean {
    if (a < 0 || b < 0 || this.entities[a] !== this.entities[b]) return true;
    let row = this.known[a];
    if (row === undefined || b >= row.length) {
      const larger = new Uint8Array(this.sent.length * 2);
      if (row !== undefined) larger.set(row);
      this.known[a] = row = larger;
    }
    if (row[b] === 0) row[b] = this.relation(this.sent[a], this.sent[b]) ? YES : NO;
    return row[b] === YES;
  }

  /** Whether two events of one entity are, whether they change it or not. */
  alwaysIndependent(entity: number, a: number, b: number): boolean {
    const either = [false, true];
    return either.every((first) =>
      either.every((second) =>
        this.independent(this.id(entity, a, first), this.id(entity, b, second)),
      ),
    );
  }

  private id(entity: number, event: number, changes: boolean): number {
    const key = event * 2 + (changes ? 1 : 0);
    const known = this.ids[entity][key];
    if (known !== undefined) return known;
    const { entityNames, tables } = this.program;
    const id = this.sent.length;
    this.sent.push({
      entity: entityNames[entity],
      event: tables[entity].interned.eventOf(event),
      changes,
    });
    this.entities.push(entity);
    this.ids[entity][key] = id;
    return id;
  }
}
