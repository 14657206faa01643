/**
 * What travels on the streams of a bus and of its groups, and operators over it.
 */

import { filter, Observable } from 'rxjs';
import type { MonoTypeOperatorFunction, OperatorFunction } from 'rxjs';
import type { BusAction, GroupAction } from '../../events/actions.js';
import type { Origin, Task } from '../../events/event.js';

/** One call of a bus's or a group's notifier chain. */
export interface HotplugNotification {
  readonly chain: 'bus' | 'group';
  readonly action: BusAction | GroupAction;
  readonly dev: string;
  readonly bus: string | undefined;
  /** dev->driver at the call: null for none, undefined where it is not known. */
  readonly driver: string | null | undefined;
  /** Id of the device's group: null for none, undefined where it is not known. */
  readonly group: number | null | undefined;
  readonly seq: number;
  /** ns */
  readonly time: number;
  readonly task: Task | undefined;
  /** Where it was recorded; undefined on a bus that runs. */
  readonly origin: Origin | undefined;
}

/** Lets through the notifications of one device. */
export function onlyDevice(name: string): MonoTypeOperatorFunction<HotplugNotification> {
  return filter((notification) => notification.dev === name);
}

/** Lets through the notifications with from <= time < to, in ns. */
export function between(from: number, to: number): MonoTypeOperatorFunction<HotplugNotification> {
  return filter(({ time }) => time >= from && time < to);
}

/** Two notifications of one device, one after the other. */
export interface NotificationPair {
  readonly dev: string;
  readonly earlier: HotplugNotification;
  readonly later: HotplugNotification;
  /** `first` came before `second`. */
  readonly inOrder: boolean;
}

/**
 * Pairs the notifications `first` and `second` of each device (and chain) as they come: ADD with its
 * DEL, BIND with its UNBIND. Says of each pair whether it came in order, as INV-01 asks: a DEL that
 * comes before its ADD, and an action that comes twice, are pairs out of order. What is neither
 * action is left out; so is what is unpaired when the stream ends.
 */
export function pairwiseOrder(
  first: BusAction | GroupAction,
  second: BusAction | GroupAction,
): OperatorFunction<HotplugNotification, NotificationPair> {
  return (source) =>
    new Observable((subscriber) => {
      const waiting = new Map<string, HotplugNotification>();
      return source.subscribe({
        next: (later) => {
          if (later.action !== first && later.action !== second) return;
          const key = `${later.chain} ${later.bus} ${later.dev}`;
          const earlier = waiting.get(key);
          if (earlier === undefined) {
            waiting.set(key, later);
            return;
          }
          // Of an action that came twice, the second may still be paired.
          if (earlier.action === later.action) waiting.set(key, later);
          else waiting.delete(key);
          const inOrder = earlier.action === first && later.action === second;
          subscriber.next({ dev: later.dev, earlier, later, inOrder });
        },
        error: (error: unknown) => subscriber.error(error),
        complete: () => subscriber.complete(),
      });
    });
}
