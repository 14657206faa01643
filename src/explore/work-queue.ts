/** Work that threads which search the same states give each other. */

import type { Frames } from './frames.js';
import type { Crew } from './round.js';

/** Indexes into `head`. */
const LOCK = 0;
const WAITING = 1;
const QUEUED = 2;
const ENDED = 3;
const CHANGED = 4;

/** Pieces of work that can wait; each is a state, its threads to run, those asleep, and its depth. */
const PLACES = 256;
const WIDTH = 4;
/** ms between two looks of who waits. */
const LOOK = 20;

export interface QueueMemory {
  /** Threads that search. */
  readonly threads: number;
  readonly head: Int32Array;
  readonly work: Int32Array;
}

export function queueMemory(threads: number): QueueMemory {
  return {
    threads,
    head: new Int32Array(new SharedArrayBuffer(4 * 5)),
    work: new Int32Array(new SharedArrayBuffer(4 * PLACES * WIDTH)),
  };
}

/** One thread's view. */
export class WorkQueue implements Crew {
  /** @param onBorrow before work of another is done, which speaks of what that one has met */
  constructor(
    private readonly memory: QueueMemory,
    private readonly onBorrow: () => void = () => undefined,
  ) {}

  /** Ends the search of all. */
  end(): void {
    const { head } = this.memory;
    Atomics.store(head, ENDED, 1);
    this.tell();
  }

  /**
   * Gives away the oldest work, which is mostly the largest. Who takes it lets sleep what is being
   * run here, and what is kept.
   */
  lend(frames: Frames): boolean {
    const { head } = this.memory;
    if (Atomics.load(head, ENDED) === 1) return false;
    const wanted = Atomics.load(head, WAITING) - Atomics.load(head, QUEUED);
    for (let given = 0, at = 0; given < wanted && at < frames.depth; at++) {
      let todo = frames.todo[at];
      // Of the newest, one piece stays here.
      let kept = 0;
      if (at === frames.depth - 1 && frames.thread[at] < 0) kept = todo & -todo;
      todo &= ~kept;
      if (todo === 0) continue;
      const running = frames.thread[at] < 0 ? 0 : 1 << frames.thread[at];
      if (!this.put(frames.state[at], todo, frames.asleep[at] | running | kept, frames.steps[at])) {
        break;
      }
      frames.todo[at] = kept;
      given++;
    }
    return true;
  }

  borrow(frames: Frames): boolean {
    const { head, threads } = this.memory;
    let waits = false;
    for (;;) {
      const changed = Atomics.load(head, CHANGED);
      if (Atomics.load(head, ENDED) === 1) return false;
      const got = this.alone(() => {
        if (this.take(frames)) {
          if (waits) Atomics.sub(head, WAITING, 1);
          return true;
        }
        if (!waits) {
          waits = true;
          // Nobody has any, and nobody is at work who could have some.
          if (Atomics.add(head, WAITING, 1) + 1 === threads) Atomics.store(head, ENDED, 1);
        }
        return false;
      });
      if (got) {
        this.onBorrow();
        return true;
      }
      if (Atomics.load(head, ENDED) === 1) this.tell();
      else Atomics.wait(head, CHANGED, changed, LOOK);
    }
  }

  private put(state: number, todo: number, asleep: number, steps: number): boolean {
    const { head, work } = this.memory;
    return this.alone(() => {
      const queued = Atomics.load(head, QUEUED);
      if (queued === PLACES) return false;
      work.set([state, todo, asleep, steps], queued * WIDTH);
      Atomics.store(head, QUEUED, queued + 1);
      this.tell();
      return true;
    });
  }

  private take(frames: Frames): boolean {
    const { head, work } = this.memory;
    const queued = Atomics.load(head, QUEUED);
    if (queued === 0) return false;
    const [state, todo, asleep, steps] = work.subarray((queued - 1) * WIDTH, queued * WIDTH);
    frames.push(state, todo, asleep, steps);
    Atomics.store(head, QUEUED, queued - 1);
    return true;
  }

  private tell(): void {
    const { head } = this.memory;
    Atomics.add(head, CHANGED, 1);
    Atomics.notify(head, CHANGED);
  }

  private alone<T>(act: () => T): T {
    const { head } = this.memory;
    while (Atomics.compareExchange(head, LOCK, 0, 1) !== 0) Atomics.wait(head, LOCK, 1, 10);
    try {
      return act();
    } finally {
      Atomics.store(head, LOCK, 0);
      Atomics.notify(head, LOCK, 1);
    }
  }
}
