/** How much longer work takes, and only where that can be told. */

/** A share below this tells nothing yet. */
const FIRST = 0.01;
/** So much may two forecasts, one made at half the time, differ. */
const AGREE = 1.5;
/** The weight of what is new against what was shown. */
const FRESH = 0.2;

export interface Left {
  /** 0 to 1 */
  readonly share: number;
  readonly ms: number;
}

/**
 * Forecasts the end from a share that is done. The share of a depth-first search that stores its
 * states mostly stands near 0 until shortly before the end, since what comes later was met already:
 * so nothing is told until the forecast is what it was when half as much time had passed.
 */
export class TimeLeft {
  private readonly past: { readonly ms: number; readonly share: number }[] = [];
  /** Index of the last one from the first half of the time. */
  private half = 0;
  private shown: { readonly at: number; readonly left: number } | undefined;
  private share = 0;

  /** @param even the share is a count of like pieces of work: only the pace of late matters */
  constructor(private readonly even = false) {}

  /**
   * @param ms since the work began; never less than before
   * @param share 0 to 1
   * @returns undefined where it cannot be told
   */
  update(ms: number, share: number): Left | undefined {
    this.share = Math.max(this.share, share);
    if (this.share === 0 || ms <= 0 || (this.share < FIRST && !this.even)) return undefined;
    const { past } = this;
    past.push({ ms, share: this.share });
    while (this.half + 1 < past.length && past[this.half + 1].ms <= ms / 2) this.half++;
    const then = past[this.half];
    const total = ms / this.share;
    const before = then.ms / then.share;
    const agree = Math.max(total / before, before / total) <= AGREE;
    if (then.ms > ms / 2 || then.share === this.share || !(agree || this.even)) {
      this.shown = undefined;
      return undefined;
    }
    const pace = this.even ? (this.share - then.share) / (ms - then.ms) : 1 / total;
    const now = (1 - this.share) / pace;
    const { shown } = this;
    const expected = shown === undefined ? now : Math.max(0, shown.left - (ms - shown.at));
    const left = expected + FRESH * (now - expected);
    this.shown = { at: ms, left };
    return { share: this.share, ms: left };
  }
}

/** `~31 %, about 40 s left`; `of`: what it is a share of. */
export function leftText({ share, ms }: Left, of = ''): string {
  const percent = Math.min(99, Math.floor(share * 100));
  return `~${percent} %${of}, about ${roughly(ms)} left`;
}

/** `40 s`, `3 min`, `2 h`: no more digits than a forecast has. */
function roughly(ms: number): string {
  const s = ms / 1000;
  if (s < 10) return `${Math.max(1, Math.round(s))} s`;
  if (s < 100) return `${Math.round(s / 10) * 10} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  return `${Math.round(s / 3600)} h`;
}
