/**
 * A reader-writer semaphore, kernel/locking/rwsem.c as far as notifier chains see it: readers run
 * together, a writer alone, and a queued writer holds back every reader that comes after it.
 *
 * Nothing blocks: who cannot have the lock now is queued and told later.
 */

import type { CallLock } from './call-lock.js';
import type { Queuer, Wait } from './wait-graph.js';

interface Queued {
  readonly mode: 'read' | 'write';
  readonly waiter: Queuer;
}

/** As a CallLock it is taken for reading. */
export class RwSem implements CallLock {
  /** Who came last mostly leaves first. */
  private readonly readers: Queuer[] = [];
  private writer: Queuer | undefined;
  private readonly queue: Queued[] = [];
  private waking = false;

  /** What people read in wait cycles. */
  private readonly names: { readonly read: string; readonly write: string };

  /** For a call that keeps everybody out. */
  readonly writing: CallLock;
  readonly holds: string;

  /** @param exclusive a spinlock: nobody reads, and its name is all there is to say */
  constructor(name: string, exclusive = false) {
    this.names = {
      read: `${name} for reading`,
      write: exclusive ? name : `${name} for writing`,
    };
    this.holds = this.names.read;
    this.writing = new Writing(this, this.names.write);
  }

  /**
   * down_read.
   *
   * @returns true: taken; false: queued, and it is `granted` later
   */
  enter(waiter: Queuer): boolean {
    if (this.writer !== undefined || this.queue.length > 0) {
      this.queue.push({ mode: 'read', waiter });
      return false;
    }
    this.readers.push(waiter);
    return true;
  }

  /** up_read. */
  leave(waiter: Queuer): void {
    const last = this.readers.pop();
    if (last !== waiter) this.readers[this.readers.indexOf(waiter)] = last!;
    if (this.queue.length > 0) this.wake();
  }

  /** down_write; returns as `enter`. */
  downWrite(waiter: Queuer): boolean {
    if (this.writer !== undefined || this.readers.length > 0 || this.queue.length > 0) {
      this.queue.push({ mode: 'write', waiter });
      return false;
    }
    this.writer = waiter;
    return true;
  }

  /** up_write. */
  upWrite(): void {
    this.writer = undefined;
    if (this.queue.length > 0) this.wake();
  }

  /** Leaves the queue. */
  cancel(waiter: Queuer): void {
    const at = this.queue.findIndex((queued) => queued.waiter === waiter);
    if (at < 0) return;
    this.queue.splice(at, 1);
    this.wake();
  }

  /** Whom a queued waiter waits for: who has the lock, and who stands before it. */
  waitsFor(waiter: Queuer): readonly Wait[] {
    const at = this.queue.findIndex((queued) => queued.waiter === waiter);
    if (at < 0) return [];
    const reads = this.queue[at].mode === 'read';
    const what = this.names[this.queue[at].mode];
    const ahead = this.queue.slice(0, at).map((queued) => queued.waiter);
    const holders = [...this.readers, ...(this.writer === undefined ? [] : [this.writer])];
    return [...holders.filter((held) => !reads || held === this.writer), ...ahead].map((on) => ({
      what,
      on,
    }));
  }

  /** Gives the lock to the first in the queue, and to the readers right behind a reader. */
  private wake(): void {
    // A grant may end at once and come back here: the loop below goes on for it.
    if (this.waking) return;
    this.waking = true;
    try {
      for (let first = this.queue[0]; first !== undefined; first = this.queue[0]) {
        if (this.writer !== undefined) return;
        if (first.mode === 'write') {
          if (this.readers.length > 0) return;
          this.writer = first.waiter;
        } else {
          this.readers.push(first.waiter);
        }
        this.queue.shift();
        first.waiter.granted();
      }
    } finally {
      this.waking = false;
    }
  }
}

class Writing implements CallLock {
  constructor(
    private readonly rwsem: RwSem,
    readonly holds: string,
  ) {}

  enter(call: Queuer): boolean {
    return this.rwsem.downWrite(call);
  }

  leave(): void {
    this.rwsem.upWrite();
  }

  cancel(call: Queuer): void {
    this.rwsem.cancel(call);
  }

  waitsFor(call: Queuer): readonly Wait[] {
    return this.rwsem.waitsFor(call);
  }
}
