/**
 * Read-side sections and the grace periods that wait for them: rcu_read_lock with synchronize_rcu,
 * srcu_read_lock with synchronize_srcu. Readers never wait; a grace period ends when every section
 * that was open at its beginning is closed.
 */

import type { CallLock } from './call-lock.js';
import type { Wait, Waiter } from './wait-graph.js';

interface GracePeriod {
  readonly waiter: Waiter;
  readonly readers: Set<Waiter>;
  readonly over: () => void;
}

export class ReadSections implements CallLock {
  /** Who came last mostly leaves first. */
  private readonly readers: Waiter[] = [];
  private readonly periods = new Set<GracePeriod>();

  /**
   * @param holds for people: `rcu_read_lock`
   * @param grace likewise, what waits for it: `synchronize_rcu`
   */
  constructor(
    readonly holds: string,
    private readonly grace: string,
  ) {}

  /** @returns true: it never waits */
  enter(reader: Waiter): true {
    this.readers.push(reader);
    return true;
  }

  leave(reader: Waiter): void {
    const last = this.readers.pop();
    if (last !== reader) this.readers[this.readers.indexOf(reader)] = last!;
    if (this.periods.size === 0) return;
    for (const period of this.periods) {
      if (period.readers.delete(reader) && period.readers.size === 0) {
        this.periods.delete(period);
        period.over();
      }
    }
  }

  /**
   * Begins a grace period.
   *
   * @returns true: no section is open; false: `over` is called when those now open are closed
   */
  synchronize(waiter: Waiter, over: () => void): boolean {
    if (this.readers.length === 0) return true;
    this.periods.add({ waiter, readers: new Set(this.readers), over });
    return false;
  }

  /** Ends the wait of `waiter`, though not what it waits for. */
  cancel(waiter: Waiter): void {
    for (const period of this.periods) if (period.waiter === waiter) this.periods.delete(period);
  }

  waitsFor(waiter: Waiter): readonly Wait[] {
    return [...this.periods]
      .filter((period) => period.waiter === waiter)
      .flatMap((period) => [...period.readers].map((on) => ({ what: this.grace, on })));
  }
}

/** Of all atomic chains: RCU has one grace period for everybody. */
export const rcu = new ReadSections('rcu_read_lock', 'synchronize_rcu');
