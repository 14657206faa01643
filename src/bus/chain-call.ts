/**
 * One call of a notifier chain: the read lock, the walk, the callbacks, the rollback.
 *
 * As long as callbacks return numbers it is one loop with nothing in between; an asynchronous value
 * leaves the loop and enters it again.
 */

import { from, isObservable, Observable, Subscription } from 'rxjs';
import type { ObservableInput, Observer, Subscriber } from 'rxjs';
import { ChainWalk, stops } from '../../machines/notifier-chain.js';
import type { NotifierKind } from '../../machines/profiles/profile.js';
import { memory } from './notifier-block.js';
import type { CallLock } from './call-lock.js';
import type { ChainHead, LinkedBlock, NotifierReturn } from './notifier-block.js';
import type { Pace } from './pace.js';
import { EndlessWalkError, SleepingCallbackError } from './notifier-errors.js';
import { frames, inside, waitIn } from './wait-graph.js';
import type { Frame, Queuer, Wait, Waiter } from './wait-graph.js';

/** One callback that was called and returned. */
export interface Delivery<Payload = unknown, Action = number> {
  readonly type: 'delivery';
  /** Name of the chain that was called. */
  readonly chain: string;
  /** Name of the block whose callback it was. */
  readonly block: string;
  readonly action: Action;
  readonly payload: Payload;
  readonly ret: number;
  /** Which call of the chain, from 0. */
  readonly call: number;
  /** Which callback of the chain, from 0, in the order in which they were entered. */
  readonly order: number;
}

/** The end of a call. */
export interface Returned {
  readonly type: 'returned';
  /** What the last callback returned; of a robust call, the last one of `up`. 0 where none ran. */
  readonly ret: number;
  /** Callbacks run; of a robust call, those of `up`. */
  readonly nrCalls: number;
}

/** What a call needs of its chain. */
export interface CalledChain<Payload, Action> extends ChainHead {
  readonly kind: NotifierKind;
  readonly name: string;
  /** Numbers for Delivery.call and Delivery.order. */
  nextCall(): number;
  nextOrder(): number;
  readonly pace: Pace | undefined;
  /** Whether anybody listens to notifications$. */
  readonly heard: boolean;
  /** For notifications$. */
  delivered(delivery: Delivery<Payload, Action>): void;
}

/** Inside a subscription the call is `new`, `queued` for the lock, `running`, `over`. */
type Progress = 'new' | 'queued' | 'running' | 'over';

/**
 * Fields are declared and set by the constructor, those of sleeping callbacks only when there are
 * any: a call through four blocks that return numbers takes some 200 ns, and defining a dozen
 * fields first would be a tenth of it.
 */
export class ChainCall<Payload, Action> implements Frame, Queuer {
  declare readonly outer: Frame | undefined;
  declare private progress: Progress;
  /** While it is queued the callbacks around it wait for it. */
  declare private leaveQueue?: () => void;
  declare private awaitedWaiters?: Set<Waiter>;
  declare private readonly number: number;
  declare private walk: ChainWalk<ChainHead, LinkedBlock> | undefined;
  /** The walk of `up`, when the present one is the rollback. */
  declare private up?: ChainWalk<ChainHead, LinkedBlock>;
  /** Whose callback runs, or ran last. */
  declare private entered: LinkedBlock | undefined;
  /** The subscription to what a callback returned. */
  declare private pending?: Subscription | undefined;
  /** It can be stopped: a promise cannot. */
  declare private stoppable?: boolean;
  /** The subscriber knows that it has something to stop. */
  declare private watched?: boolean;

  declare private readonly chain: CalledChain<Payload, Action>;
  declare private readonly lock: CallLock | undefined;
  declare private action: Action;
  declare private readonly payload: Payload;
  declare private readonly nrToCall: number;
  declare private readonly down: { readonly action: Action } | undefined;
  declare private readonly subscriber: Subscriber<Delivery<Payload, Action> | Returned>;

  /** The pace lets it take the next block. */
  declare private mayTake: boolean;

  /** The code that runs is in the frame of this call. */
  declare private within: boolean;
  declare private readonly silent: boolean;

  /**
   * @param lock what it holds meanwhile, undefined for nothing
   * @param down the action of the rollback, in a robust call
   * @param silent the subscriber listens to no delivery
   */
  constructor(
    chain: CalledChain<Payload, Action>,
    lock: CallLock | undefined,
    action: Action,
    payload: Payload,
    nrToCall: number,
    down: { readonly action: Action } | undefined,
    subscriber: Subscriber<Delivery<Payload, Action> | Returned>,
    silent: boolean,
  ) {
    this.chain = chain;
    this.within = false;
    this.mayTake = false;
    this.silent = silent;
    this.lock = lock;
    this.action = action;
    this.payload = payload;
    this.nrToCall = nrToCall;
    this.down = down;
    this.subscriber = subscriber;
    this.outer = inside.getStore();
    this.progress = 'new';
    this.number = chain.nextCall();
    this.walk = undefined;
    this.entered = undefined;
  }

  get who(): string {
    const { chain, action, entered } = this;
    const call = `call(${String(action)}) on "${chain.name}"`;
    return entered === undefined ? call : `callback "${entered.block.name}" in ${call}`;
  }

  get holds(): string | undefined {
    return this.running ? this.lock?.holds : undefined;
  }

  get running(): boolean {
    return this.progress === 'running';
  }

  get awaited(): Set<Waiter> {
    return (this.awaitedWaiters ??= new Set());
  }

  waitsFor(): readonly Wait[] {
    if (this.progress === 'queued') return this.lock!.waitsFor(this);
    return [...(this.awaitedWaiters ?? [])].map((on) => ({ what: on.who, on }));
  }

  start(): void {
    const { chain, lock } = this;
    // The peek of the kernel, without the lock. The others find the same out inside it.
    if (chain.head === null && (chain.pace === undefined || chain.kind === 'blocking')) {
      this.progress = 'over';
      this.subscriber.next({ type: 'returned', ret: 0, nrCalls: 0 });
      this.subscriber.complete();
      return;
    }
    if (lock === undefined || lock.enter(this)) this.begin();
    else this.queue(lock);
  }

  private queue(lock: CallLock): void {
    this.progress = 'queued';
    try {
      this.leaveQueue = waitIn(frames(this.outer), this);
    } catch (error) {
      this.progress = 'over';
      lock.cancel(this);
      this.subscriber.error(error);
      return;
    }
    this.subscriber.add(() => {
      if (this.progress !== 'queued') return;
      this.progress = 'over';
      this.leaveQueue!();
      lock.cancel(this);
    });
  }

  granted(): void {
    this.leaveQueue!();
    inside.run(this.outer, () => this.begin());
  }

  /** With the lock. */
  private begin(): void {
    this.progress = 'running';
    if (this.chain.pace === undefined) this.walkFromHead();
    else this.await(this.chain.pace('head'), () => this.walkFromHead());
  }

  private walkFromHead(): void {
    this.walk = new ChainWalk(memory, this.chain, this.nrToCall);
    this.loop();
  }

  /** Goes on when the pace lets it. */
  private await(turn: ObservableInput<unknown>, goOn: () => void): void {
    this.leaveFrame();
    this.stoppable = true;
    this.stopWithSubscriber();
    // It may complete at once, and the call go on from there.
    const pending = (this.pending = new Subscription());
    pending.add(
      from(turn).subscribe({
        complete: () => {
          this.pending = undefined;
          inside.run(this.outer, goOn);
        },
      }),
    );
  }

  private loop(): void {
    const { chain, lock, subscriber, payload } = this;
    let walk = this.walk!;
    try {
      while (!subscriber.closed) {
        if (chain.pace !== undefined && !this.mayTake) {
          this.await(chain.pace('next'), () => {
            this.mayTake = true;
            this.loop();
          });
          return;
        }
        this.mayTake = false;
        const link = walk.take();
        if (link === null) {
          if (!this.rollBack()) {
            this.finish();
            return;
          }
          walk = this.walk!;
          continue;
        }
        this.entered = link;
        const order = chain.nextOrder();
        let value: NotifierReturn;
        if (lock === undefined) {
          value = invoke(link, this.action, payload);
        } else {
          // As inside.run, which costs four times as much. It is left when others are to run.
          if (!this.within) inside.enterWith(this);
          this.within = true;
          value = invoke(link, this.action, payload);
        }
        if (typeof value === 'number') this.answer(walk, link, order, value);
        else {
          this.leaveFrame();
          if (!this.settledAtOnce(walk, link, order, value)) return;
        }
      }
      this.release();
    } catch (error) {
      this.fail(error);
    }
  }

  private leaveFrame(): void {
    if (!this.within) return;
    this.within = false;
    inside.enterWith(this.outer);
  }

  /** A callback returned. */
  private answer(
    walk: ChainWalk<ChainHead, LinkedBlock>,
    link: LinkedBlock,
    order: number,
    ret: number,
  ): void {
    walk.answered(ret);
    if (this.silent && !this.chain.heard) return;
    this.leaveFrame();
    const delivery: Delivery<Payload, Action> = {
      type: 'delivery',
      chain: this.chain.name,
      block: link.block.name,
      action: this.action,
      payload: this.payload,
      ret,
      call: this.number,
      order,
    };
    this.chain.delivered(delivery);
    this.subscriber.next(delivery);
  }

  /**
   * Subscribes to what a callback returned.
   *
   * @returns true: it was over at once and the loop goes on; false: it enters the loop again later
   */
  private settledAtOnce(
    walk: ChainWalk<ChainHead, LinkedBlock>,
    link: LinkedBlock,
    order: number,
    value: ObservableInput<number>,
  ): boolean {
    const { kind, name, pace } = this.chain;
    if ((kind === 'atomic' || kind === 'raw') && pace === undefined) {
      // The error is told here; a promise that nobody holds must not tell another.
      if (isPromiseLike(value)) value.then(undefined, () => undefined);
      throw new SleepingCallbackError(kind, name, link.block.name);
    }
    let inSubscribe = true;
    let over = false;
    let failure: { readonly error: unknown } | undefined;
    let ret: unknown = 0;
    const settle = () => {
      over = true;
      if (inSubscribe) return;
      this.pending = undefined;
      if (failure !== undefined) {
        this.fail(failure.error);
        return;
      }
      this.answer(walk, link, order, ret as number);
      this.loop();
    };
    // The callback's own code runs inside the call, those who listen to the call do not.
    const subscription = inside.run(this, () =>
      from(value).subscribe({
        next: (last) => {
          ret = last;
        },
        error: (error: unknown) => {
          failure = { error };
          inside.run(this.outer, settle);
        },
        complete: () => {
          if (typeof ret !== 'number') {
            failure = { error: new TypeError(`callback "${link.block.name}" returned no number`) };
          }
          inside.run(this.outer, settle);
        },
      }),
    );
    inSubscribe = false;
    if (!over) {
      this.stoppable = isObservable(value);
      this.stopWithSubscriber();
      this.pending = subscription;
      return false;
    }
    const failed = failure as { readonly error: unknown } | undefined;
    if (failed !== undefined) throw failed.error;
    this.answer(walk, link, order, ret as number);
    return true;
  }

  /**
   * Whoever unsubscribes has no more callbacks called. The lock is released when the one that runs
   * is over: an observable at once, by unsubscribing from it; a promise cannot be stopped.
   */
  private stopWithSubscriber(): void {
    if (this.watched) return;
    this.watched = true;
    this.subscriber.add(() => {
      if (this.pending === undefined || !this.stoppable) return;
      this.pending.unsubscribe();
      this.pending = undefined;
      this.release();
    });
  }

  /** notifier_call_chain_robust: `down` for those that took `up`, the failing one excluded (K06). */
  private rollBack(): boolean {
    const walk = this.walk!;
    if (walk.cycle !== undefined) {
      const cycle = walk.cycle.map((link) => link.block.name);
      throw new EndlessWalkError(this.chain.name, cycle);
    }
    if (this.down === undefined || this.up !== undefined || !stops(walk.ret)) return false;
    this.up = walk;
    this.action = this.down.action;
    this.walk = new ChainWalk(memory, this.chain, walk.nrCalls - 1);
    return true;
  }

  private finish(): void {
    const { ret, nrCalls } = this.up ?? this.walk!;
    this.release();
    this.subscriber.next({ type: 'returned', ret, nrCalls });
    this.subscriber.complete();
  }

  private fail(error: unknown): void {
    this.release();
    this.subscriber.error(error);
  }

  private release(): void {
    this.leaveFrame();
    if (this.progress !== 'running') return;
    this.progress = 'over';
    this.lock?.leave(this);
  }
}

/** Any block may be on any chain, with a payload that is not its own: the link decides (K01). */
function invoke(link: LinkedBlock, action: unknown, payload: unknown): NotifierReturn {
  return link.block.call(action as never, payload as never);
}

function isPromiseLike(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { then?: unknown } | null)?.then === 'function';
}

/**
 * The observable of a call. Who subscribes without a `next` hears no delivery, and none is made for
 * it.
 */
export class CallObservable<Payload, Action> extends Observable<
  Delivery<Payload, Action> | Returned
> {
  private silent = false;

  /** @param call makes the call of one subscription */
  constructor(
    call: (
      subscriber: Subscriber<Delivery<Payload, Action> | Returned>,
      silent: boolean,
    ) => ChainCall<Payload, Action>,
  ) {
    super((subscriber) => call(subscriber, this.silent).start());
  }

  override subscribe(observer?: Listener<Payload, Action>): Subscription {
    this.silent = typeof observer !== 'function' && observer?.next === undefined;
    return super.subscribe(observer as Partial<Observer<Delivery<Payload, Action> | Returned>>);
  }
}

type Listener<Payload, Action> =
  | Partial<Observer<Delivery<Payload, Action> | Returned>>
  | ((value: Delivery<Payload, Action> | Returned) => void)
  | null;
