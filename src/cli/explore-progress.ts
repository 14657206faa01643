/** How far a search is. */

import { SingleBar } from 'cli-progress';
import type { SearchStats } from '../explore/search-options.js';
import { leftText, TimeLeft } from './time-left.js';

const QUIET_MS = 1000;

/** A line on stderr for a search that takes over a second; nothing when stderr is no terminal. */
export class ExploreProgress {
  private bar: SingleBar | undefined;
  private readonly began = performance.now();
  private roundBegan = this.began;
  private round = 0;
  private timeLeft = new TimeLeft();
  private named = '';

  constructor(private readonly enabled: boolean) {}

  /** The next of several searches begins: `3/12 K11/bug`. */
  part(name: string): void {
    this.named = `${name}: `;
    this.round = 0;
    this.roundBegan = performance.now();
    this.tell(0, 'states', '');
  }

  searched({ states, rounds }: SearchStats, share: number): void {
    if (rounds !== this.round) {
      this.round = rounds;
      this.roundBegan = performance.now();
      this.timeLeft = new TimeLeft();
    }
    const left = this.timeLeft.update(performance.now() - this.roundBegan, share);
    this.tell(states, 'states', left === undefined ? '' : leftText(left, ` of round ${rounds}`));
  }

  drawn(done: number, runs: number): void {
    if (this.round === 0) {
      // What came before the first schedule is counting.
      this.round = 1;
      this.roundBegan = performance.now();
      this.timeLeft = new TimeLeft(true);
    }
    const left = this.timeLeft.update(performance.now() - this.roundBegan, done / runs);
    const of = `of ${runs.toLocaleString('en-US')} schedules`;
    this.tell(done, of, left === undefined ? '' : leftText(left));
  }

  private tell(number: number, of: string, left: string): void {
    const now = performance.now();
    if (!this.enabled || now - this.began < QUIET_MS) return;
    const past = Math.max(1, now - this.roundBegan);
    const told = {
      named: this.named,
      number: number.toLocaleString('en-US'),
      of,
      rate: Math.round((number / past) * 1000).toLocaleString('en-US'),
      left: left === '' ? '' : `, ${left}`,
    };
    if (this.bar === undefined) {
      const format = '{named}{number} {of}, {rate} a second, {duration_formatted}{left}';
      const look = { stream: process.stderr, clearOnComplete: true, hideCursor: true, format };
      this.bar = new SingleBar(look);
      this.bar.start(1, 0, told);
    }
    // The search does not give way to the timer that would draw it.
    this.bar.update(0, told);
    (this.bar as unknown as { render(): void }).render();
  }

  stop(): void {
    this.bar?.stop();
  }
}
