/**
 * The notifications of a trace as a hot rxjs stream, in the order in which the kernel sent them.
 */

import { filter, Subject } from 'rxjs';
import type { MonoTypeOperatorFunction, Observable } from 'rxjs';
import type { BusAction, GroupAction } from '../../events/actions.js';
import type { Origin, Task } from '../../events/event.js';

/** One call of a bus's or a group's notifier chain. */
export interface HotplugNotification {
  readonly chain: 'bus' | 'group';
  readonly action: BusAction | GroupAction;
  readonly dev: string;
  readonly bus: string | undefined;
  readonly driver: string | null | undefined;
  readonly group: number | null | undefined;
  readonly seq: number;
  /** ns */
  readonly time: number;
  readonly task: Task | undefined;
  readonly origin: Origin;
}

export class BusNotifications {
  private readonly subject = new Subject<HotplugNotification>();

  /** Every notification of every bus and group. Completes when the input ends. */
  readonly notifications$: Observable<HotplugNotification> = this.subject.asObservable();

  /** Whether anybody listens: nobody makes objects for no one. */
  get observed(): boolean {
    return this.subject.observed;
  }

  send(notification: HotplugNotification): void {
    this.subject.next(notification);
  }

  complete(): void {
    this.subject.complete();
  }
}

/** Lets through the notifications of one device. */
export function onlyDevice(name: string): MonoTypeOperatorFunction<HotplugNotification> {
  return filter((notification) => notification.dev === name);
}

/** Lets through the notifications with from <= time < to, in ns. */
export function between(from: number, to: number): MonoTypeOperatorFunction<HotplugNotification> {
  return filter(({ time }) => time >= from && time < to);
}
