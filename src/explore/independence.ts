/**
 * Which events of one machine commute, and where: told by the memo table, declared by nobody.
 * Source: exploration/reductions.md section 2, `commute` and `alone`.
 */

import type { LocalTable } from './local-table.js';

const YES = 1;
const NO = 2;
/** More events than any thread sends. */
export const ENDLESS = 0x7ffffffe;
/** Not even that many do harm. */
const NEVER = 0x7fffffff;
/** Snapshots that are looked at before a question is given up as no. */
const MAX_CLOSURE = 4096;

/** Sets of events of one machine, by number; 0 is the empty one. */
export class EventSets {
  private readonly ids = new Map<string, number>([['', 0]]);
  private readonly lists: (readonly number[])[] = [[]];
  private readonly unions: Int32Array[] = [];

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
    let row = this.unions[a];
    if (row === undefined || b >= row.length) {
      const larger = new Int32Array(Math.max(this.lists.length * 2, b + 1)).fill(-1);
      if (row !== undefined) larger.set(row);
      this.unions[a] = row = larger;
    }
    let union = row[b];
    if (union < 0) row[b] = union = this.of([...this.lists[a], ...this.lists[b]]);
    return union;
  }
}

/** Of one machine. */
export class Independence {
  readonly sets = new EventSets();
  /** By a, then b: what is known, by snapshot. */
  private readonly pairs: Uint8Array[][] = [];
  /** By event, then set, then snapshot: up to how many events all is well, and from how many not. */
  private readonly wells: Int32Array[][] = [];
  private readonly bads: Int32Array[][] = [];
  /** The same of `inSection`. */
  private readonly sectionWells: Int32Array[][] = [];
  private readonly sectionBads: Int32Array[][] = [];

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
    const wells = ((inSection ? this.sectionWells : this.wells)[a] ??= []);
    const bads = ((inSection ? this.sectionBads : this.bads)[a] ??= []);
    let well = wells[set];
    let bad = bads[set];
    if (well === undefined || l >= well.length) {
      well = wells[set] = widenedWith(well, l, -1);
      bad = bads[set] = widenedWith(bad, l, NEVER);
    }
    if (most <= well[l]) return true;
    if (most >= bad[l]) return false;
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
            bad[l] = depth + 1;
            return false;
          }
          if (met.has(to)) continue;
          met.add(to);
          if (!(well[to] === ENDLESS)) next.push(to);
        }
      }
      layer = next;
    }
    if (layer.length > 0) {
      well[l] = most;
      return true;
    }
    // Nothing new comes, however many events follow.
    for (const at of met) {
      if (at >= well.length) {
        well = wells[set] = widenedWith(well, at, -1);
        bad = bads[set] = widenedWith(bad, at, NEVER);
      }
      well[at] = ENDLESS;
    }
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

function widenedWith(known: Int32Array | undefined, index: number, fill: number): Int32Array {
  const larger = new Int32Array(Math.max(64, 2 * (index + 1))).fill(fill, known?.length ?? 0);
  if (known !== undefined) larger.set(known);
  return larger;
}
