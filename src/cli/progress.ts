import { SingleBar } from 'cli-progress';

/** Work shorter than this shows no progress. ms */
const QUIET = 1000;

/** A progress line on stderr for work that takes over a second; nothing when stderr is no terminal. */
export class Progress {
  private bar: SingleBar | undefined;
  private readonly began = performance.now();

  constructor(private readonly enabled: boolean) {}

  update(taken: number, size: number | undefined, events: number): void {
    if (!this.enabled || performance.now() - this.began < QUIET) return;
    if (this.bar === undefined) {
      this.bar = new SingleBar({
        stream: process.stderr,
        clearOnComplete: true,
        hideCursor: true,
        format:
          size === undefined
            ? '{events} events'
            : '{bar} {percentage} %  {events} events  {eta} s left',
      });
      this.bar.start(size ?? 1, 0, { events: 0 });
    }
    this.bar.update(Math.min(taken, size ?? 1), { events: events.toLocaleString('en-US') });
  }

  stop(): void {
    this.bar?.stop();
  }
}
