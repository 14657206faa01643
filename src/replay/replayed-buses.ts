/**
 * The buses of a trace: what was notified is notified again, so that whoever listens hears it as if
 * it happened now.
 */

import { Subject } from 'rxjs';
import type { Observable } from 'rxjs';
import type { KernelProfile } from '../../machines/profiles/profile.js';
import { Bus } from '../bus/bus.js';
import type { HotplugNotification } from '../bus/hotplug-notification.js';

/** Of a notification whose bus the trace does not tell. */
const UNKNOWN = '?';

export class ReplayedBuses {
  readonly notifications$: Observable<HotplugNotification>;
  readonly buses$: Observable<Bus>;
  private readonly notified = new Subject<HotplugNotification>();
  private readonly met = new Subject<Bus>();
  private readonly buses = new Map<string, Bus>();
  /** Calls whose callbacks are not over. */
  private readonly running = new Set<Promise<void>>();
  private failure: { readonly error: unknown } | undefined;

  constructor() {
    this.notifications$ = this.notified.asObservable();
    this.buses$ = this.met.asObservable();
  }

  /** Whether anybody listens: nobody makes objects for no one. */
  get observed(): boolean {
    return this.notified.observed || this.met.observed;
  }

  /** @throws what a callback threw */
  notify(profile: KernelProfile, notification: HotplugNotification): void {
    this.notified.next(notification);
    if (!this.met.observed) return;
    const bus = this.bus(profile, notification.bus ?? UNKNOWN);
    let over = false;
    const call = new Promise<void>((resolve) => {
      const end = () => {
        over = true;
        resolve();
      };
      bus.notify(notification).subscribe({
        error: (error: unknown) => {
          this.failure ??= { error };
          end();
        },
        complete: end,
      });
    });
    if (!over) {
      this.running.add(call);
      void call.then(() => this.running.delete(call));
    }
    this.rethrow();
  }

  /** Waits for the callbacks that still run; then the streams end. Throws what one of them threw. */
  async complete(): Promise<void> {
    await Promise.all(this.running);
    this.rethrow();
    for (const bus of this.buses.values()) bus.complete();
    this.notified.complete();
    this.met.complete();
  }

  private rethrow(): void {
    if (this.failure !== undefined) throw this.failure.error;
  }

  private bus(profile: KernelProfile, name: string): Bus {
    let bus = this.buses.get(name);
    if (bus === undefined) {
      bus = new Bus({ name, profile });
      this.buses.set(name, bus);
      this.met.next(bus);
    }
    return bus;
  }
}
