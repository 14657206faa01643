/** A blocking chain whose calls are a hot stream as well: a bus's, or a group's. */

import { Observable, Subject } from 'rxjs';
import type { KernelProfile } from '../../machines/profiles/profile.js';
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

  /** Calls the chain, once per subscription; emits 0 at its end, whatever the callbacks returned. */
  notify(notification: HotplugNotification): Observable<number> {
    return new Observable((subscriber) => {
      this.subject.next(notification);
      // Without a `next` no delivery is made for nobody.
      return this.chain.call(notification.action as Action, notification).subscribe({
        error: (error: unknown) => subscriber.error(error),
        complete: () => {
          subscriber.next(0);
          subscriber.complete();
        },
      });
    });
  }

  complete(): void {
    this.subject.complete();
  }
}
