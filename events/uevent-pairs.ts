/**
 * Joins what the kernel sent with what udev sent after its rules.
 *
 * One UDEV event per KERNEL event with the same SEQNUM (formats.md 2.6). UDEV events come in any
 * order, since udev's workers run side by side; an absent one means a rule that hangs, a worker
 * that was killed, or that the recording ended first.
 */

import type { Uevent } from './event.js';

/** Events that wait for their other half; beyond this the oldest is given up. */
export const MOST_OUTSTANDING = 100_000;
/** Gaps kept; later ones are only counted. */
export const MOST_GAPS = 10_000;

/** Numbers that no event of the recording has. Normal where the monitor was told to filter. */
export interface SeqnumGap {
  /** The last number before the gap. */
  readonly after: number;
  /** The first number behind it. */
  readonly next: number;
  readonly missing: number;
}

export interface UeventPairSummary {
  readonly pairs: number;
  /** Events of the kernel without one of udev: udev did not finish. */
  readonly kernelOnly: number;
  /** Events of udev whose kernel event is not in the recording. */
  readonly udevOnly: number;
  /** Events without a SEQNUM (a monitor without --property): nothing to join them by. */
  readonly unnumbered: number;
  /**
   * From the kernel's event to udev's, ns; to four significant digits, exact below 10 ms where
   * the stamps are in µs. Negative where udev's event was received first. undefined without pairs.
   */
  readonly medianDelayNs: number | undefined;
  /** Exact, ns. */
  readonly maxDelayNs: number | undefined;
  /** In ascending order. */
  readonly seqnumGaps: readonly SeqnumGap[];
  /** Gaps beyond MOST_GAPS, not listed. */
  readonly moreGaps: number;
  /** Events that stopped waiting because MOST_OUTSTANDING others did; counted as kernelOnly or udevOnly. */
  readonly givenUp: number;
}

interface Waiting {
  readonly from: Uevent['from'];
  readonly time: number;
}

export class UeventPairs {
  /** By SEQNUM, the oldest first (a Map keeps the order of insertion). */
  private readonly waiting = new Map<number, Waiting>();
  private readonly delays = new Map<number, number>();
  private delayCount = 0;
  private maxDelay: number | undefined;
  private pairs = 0;
  private lonely = { kernel: 0, udev: 0 };
  private unnumbered = 0;
  private givenUp = 0;
  private lowest: number | undefined;
  private highest = 0;
  private readonly gaps: SeqnumGap[] = [];
  private moreGaps = 0;

  /** Takes the next uevent, in the order of the recording. */
  add(event: Uevent): void {
    const { seqnum } = event;
    if (seqnum === undefined) {
      this.unnumbered++;
      return;
    }
    this.seen(seqnum);
    const other = this.waiting.get(seqnum);
    if (other !== undefined) {
      this.waiting.delete(seqnum);
      if (other.from !== event.from) {
        this.pairs++;
        this.delay(event.from === 'udev' ? event.time - other.time : other.time - event.time);
        return;
      }
      // The same half twice: numbers began anew (a reboot), the older one never got its answer.
      this.lonely[other.from]++;
    }
    this.waiting.set(seqnum, { from: event.from, time: event.time });
    if (this.waiting.size > MOST_OUTSTANDING) {
      for (const [oldest, { from }] of this.waiting) {
        this.waiting.delete(oldest);
        this.lonely[from]++;
        this.givenUp++;
        break;
      }
    }
  }

  /** What was found so far; what still waits counts as without its other half. */
  summary(): UeventPairSummary {
    const lonely = { ...this.lonely };
    for (const { from } of this.waiting.values()) lonely[from]++;
    return {
      pairs: this.pairs,
      kernelOnly: lonely.kernel,
      udevOnly: lonely.udev,
      unnumbered: this.unnumbered,
      medianDelayNs: this.median(),
      maxDelayNs: this.maxDelay,
      seqnumGaps: [...this.gaps],
      moreGaps: this.moreGaps,
      givenUp: this.givenUp,
    };
  }

  private delay(ns: number): void {
    if (Number.isNaN(ns)) return;
    this.maxDelay = Math.max(this.maxDelay ?? -Infinity, ns);
    // Four digits bound the number of counters, however many pairs there are.
    const rounded = Number(ns.toPrecision(4));
    this.delays.set(rounded, (this.delays.get(rounded) ?? 0) + 1);
    this.delayCount++;
  }

  private median(): number | undefined {
    if (this.delayCount === 0) return undefined;
    const lower = Math.floor((this.delayCount - 1) / 2);
    const upper = Math.floor(this.delayCount / 2);
    let before = 0;
    let low: number | undefined;
    for (const [ns, count] of [...this.delays].sort((a, b) => a[0] - b[0])) {
      before += count;
      if (low === undefined && before > lower) low = ns;
      if (low !== undefined && before > upper) return (low + ns) / 2;
    }
    return low;
  }

  /** Keeps the numbers that nobody had yet: a late number closes or splits its gap. */
  private seen(seqnum: number): void {
    if (this.lowest === undefined) {
      this.lowest = this.highest = seqnum;
    } else if (seqnum > this.highest) {
      this.addGap(this.gaps.length, this.highest, seqnum);
      this.highest = seqnum;
    } else if (seqnum < this.lowest) {
      this.addGap(0, seqnum, this.lowest);
      this.lowest = seqnum;
    } else {
      const at = this.gapAt(seqnum);
      const gap = this.gaps[at];
      if (gap === undefined || seqnum <= gap.after || seqnum >= gap.next) return;
      this.gaps.splice(at, 1);
      this.addGap(at, seqnum, gap.next);
      this.addGap(at, gap.after, seqnum);
    }
  }

  private addGap(at: number, after: number, next: number): void {
    const missing = next - after - 1;
    if (missing === 0) return;
    if (this.gaps.length === MOST_GAPS) this.moreGaps++;
    else this.gaps.splice(at, 0, { after, next, missing });
  }

  /** Position of the last gap that begins before `seqnum`; -1 where there is none. */
  private gapAt(seqnum: number): number {
    let low = 0;
    let high = this.gaps.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.gaps[middle].after < seqnum) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}
