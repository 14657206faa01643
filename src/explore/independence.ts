/**
 * Which events of one machine commute, and where: told by the memo table, declared by nobody.
 * Source: exploration/reductions.md section 2, `commute` and `alone`.
 */

import type { LocalTable } from './local-table.js';
import { StateTable } from './state-table.js';
import { doubled } from './doubled.js';

const YES = 1;
const NO = 2;
/** More events than any thread sends. */
export const ENDLESS = 0x7ffffffe;
/** Not even that many do harm. */
const NEVER = 0x7fffffff;
/** Snapshots that are looked at before a question is given up as no. */
const MAX_CLOSURE = 4096;

/** So many that a pair of their numbers is a whole number. */
const MAX_SETS = 2 ** 26;

/** Sets of events of one machine, by number; 0 is the empty one. */
export class EventSets {
  private readonly ids = new Map<string, number>([['', 0]]);
  private readonly lists: (readonly number[])[] = [[]];
  private readonly unions = new Map<number, number>();

  of(events: Iterable<number>): number {
    const list = [...new Set(events)].sort((a, b) => a - b);
    const key = list.join(' ');
    let id = this.ids.get(key);
    if (id === undefined) {
      id = this.lists.length;
      this.lists.push(list);
      this.ids.set(key, id);
    }
    return id;
  }

  events(set: number): readonly number[] {
    return this.lists[set];
  }

  /** All sets that were met, by number. */
  get all(): readonly (readonly number[])[] {
    return this.lists;
  }

  union(a: number, b: number): number {
    if (a === b || b === 0) return a;
    if (a === 0) return b;
    const pair = a * MAX_SETS + b;
    let union = this.unions.get(pair);
    if (union === undefined) {
      union = this.of([...this.lists[a], ...this.lists[b]]);
      this.unions.set(pair, union);
    }
    return union;
  }
}

/** Of one machine. */
export class Independence {
  readonly sets = new EventSets();
  /** By a, then b: what is known, by snapshot. */
  private readonly pairs: Uint8Array[][] = [];
  private readonly answers = new Answers();

  constructor(private readonly table: LocalTable) {}

  /**
   * Whether `a` and `b` commute in snapshot `l`: accepted in both orders, with the same end, the
   * same replies and the same rules broken on the way.
   */
  commute(l: number, a: number, b: number): boolean {
    const pairs = (this.pairs[a] ??= []);
    let known = pairs[b];
    if (known === undefined || l >= known.length) known = pairs[b] = widened(known, l);
    if (known[l] === 0) known[l] = this.doCommute(l, a, b) ? YES : NO;
    return known[l] === YES;
  }

  /**
   * Whether `a`, about to be sent in snapshot `l`, commutes with every event of `set` in every
   * snapshot to which at most `most` events of `set` lead from there. A counter that others only
   * increment leads to as many snapshots as they increment it: hence the limit.
   *
   * @param inSection `a` is in a section that is taken as one step. Then an event of others that is
   *   not accepted counts as not commuting: its thread would wait there with the lock held.
   */
  alone(l: number, a: number, set: number, most: number, inSection = false): boolean {
    if (set === 0) return true;
    const { answers } = this;
    const event = 2 * a + (inSection ? 1 : 0);
    const question = answers.of(l, event, set);
    if (most <= answers.well[question]) return true;
    if (most >= answers.bad[question]) return false;
    const { table } = this;
    const events = this.sets.events(set);
    const met = new Set([l]);
    let layer = [l];
    for (let depth = 0; layer.length > 0 && depth < most; depth++) {
      const next: number[] = [];
      for (const at of layer) {
        for (const b of events) {
          const to = table.step(at, b);
          if (to < 0 && !inSection) continue;
          if (to < 0 || !this.commute(at, a, b) || met.size > MAX_CLOSURE) {
            answers.bad[question] = depth + 1;
            return false;
          }
          if (met.has(to)) continue;
          met.add(to);
          if (!answers.always(to, event, set)) next.push(to);
        }
      }
      layer = next;
    }
    if (layer.length > 0) {
      answers.well[question] = most;
      return true;
    }
    // Nothing new comes, however many events follow.
    for (const at of met) answers.well[answers.of(at, event, set)] = ENDLESS;
    return true;
  }

  private doCommute(l: number, a: number, b: number): boolean {
    const { table } = this;
    const la = table.step(l, a);
    const lb = table.step(l, b);
    if (la < 0 || lb < 0) return false;
    const lab = table.step(la, b);
    const lba = table.step(lb, a);
    if (lab < 0 || lab !== lba) return false;
    const { stride, reply } = table;
    if (reply[l * stride + a] !== reply[lb * stride + a]) return false;
    if (reply[l * stride + b] !== reply[la * stride + b]) return false;
    const ends = [table.rule(l), table.rule(lab)];
    const viaA = table.rule(la);
    const viaB = table.rule(lb);
    return viaA === viaB || (ends.includes(viaA) && ends.includes(viaB));
  }
}

function widened(known: Uint8Array | undefined, index: number): Uint8Array {
  const larger = new Uint8Array(Math.max(64, 2 * (index + 1)));
  if (known !== undefined) larger.set(known);
  return larger;
}

/** Answers to whether an event may run alone, by snapshot, event and the others' events. */
class Answers {
  /** By question: up to how many events of others all is well, and from how many on not. */
  well: Int32Array = new Int32Array(1024).fill(-1);
  bad: Int32Array = new Int32Array(1024).fill(NEVER);
  private readonly questions = new StateTable(3);
  private readonly row = new Int32Array(3);

  of(local: number, event: number, set: number): number {
    const { row } = this;
    row[0] = local;
    row[1] = event;
    row[2] = set;
    const question = this.questions.add(row);
    if (question >= this.well.length) {
      this.well = doubled(this.well, -1);
      this.bad = doubled(this.bad, NEVER);
    }
    return question;
  }

  /** Whether it is known that all is well however many events follow. */
  always(local: number, event: number, set: number): boolean {
    const { row } = this;
    row[0] = local;
    row[1] = event;
    row[2] = set;
    const question = this.questions.find(row);
    return question >= 0 && this.well[question] === ENDLESS;
  }
}
