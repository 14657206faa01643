/** A blocking chain whose calls are a hot stream as well: a bus's, or a group's. */

import { map, Observable, Subject } from 'rxjs';
import type { KernelProfile } from '../../machines/profiles/profile.js';
import type { Delivery, Returned } from './chain-call.js';
import type { HotplugNotification } from './hotplug-notification.js';
import { NotifierChain } from './notifier-chain.js';

export class NotifiedChain<Action extends HotplugNotification['action']> {
  /** Every call, hot, before its first callback. */
  readonly notifications$: Observable<HotplugNotification>;
  /** The chain itself; its notifications$ has every delivery, with what the callback returned. */
  readonly chain: NotifierChain<HotplugNotification, Action>;
  private readonly subject = new Subject<HotplugNotification>();

  constructor(name: string, profile: KernelProfile) {
    this.chain = new NotifierChain({ kind: 'blocking', name, profile });
    this.notifications$ = this.subject.asObservable();
  }

  /** Calls the chain, once per subscription. */
  call(
    notification: HotplugNotification,
  ): Observable<Delivery<HotplugNotification, Action> | Returned> {
    return new Observable((subscriber) => {
      this.subject.next(notification);
      return this.chain.call(notification.action as Action, notification).subscribe(subscriber);
    });
  }

  /** The same for who only waits for the end: 0, whatever the callbacks returned. */
  notify(notification: HotplugNotification): Observable<number> {
    return this.call(notification).pipe(map(() => 0));
  }

  complete(): void {
    this.subject.complete();
  }
}
