/**
 * The notifier chains of kernel/notifier.c: blocking, atomic, raw, srcu. Source: B.1.
 *
 * A chain answers as the kernel of its profile does. What would hang that kernel is an error that
 * says who waits for whom.
 */

import { from, Subject } from 'rxjs';
import type { Observable } from 'rxjs';
import {
  chainBlocks,
  notifierChainRegister,
  notifierChainUnregister,
} from '../../machines/notifier-chain.js';
import type { ChainChange } from '../../machines/notifier-chain.js';
import type { KernelProfile, NotifierKind } from '../../machines/profiles/profile.js';
import type { CallLock } from './call-lock.js';
import { CallObservable, ChainCall } from './chain-call.js';
import type { CalledChain, Delivery, Returned } from './chain-call.js';
import { linkOf, memory, write } from './notifier-block.js';
import type { AnyNotifierBlock, ChainHead, LinkedBlock, NotifierBlock } from './notifier-block.js';
import { UnsupportedByKernelError } from '../../machines/unsupported-by-kernel.js';
import { EndlessWalkError } from './notifier-errors.js';
import type { Pace } from './pace.js';
import { rcu, ReadSections } from './read-sections.js';
import { RwSem } from './rwsem.js';
import { frames, refuseCycle } from './wait-graph.js';
import { WriteResult } from './write-result.js';

export interface NotifierChainOptions {
  readonly kind: NotifierKind;
  /** For people, and in every delivery. */
  readonly name: string;
  readonly profile: KernelProfile;
  /** See NotifierChain.booting; false where left out. */
  readonly booting?: boolean;
  /** What its operations wait for on their way; nothing where left out. */
  readonly pace?: Pace;
}

type Change = ChainChange<ChainHead, LinkedBlock>;

export class NotifierChain<Payload = unknown, Action = number> {
  readonly kind: NotifierKind;
  readonly name: string;
  readonly profile: KernelProfile;
  /**
   * system_state == SYSTEM_BOOTING: blocking and srcu chains register and unregister without their
   * lock and without waiting.
   */
  booting: boolean;

  /** Every delivery of every call, hot; in the order in which callbacks returned. */
  readonly notifications$: Observable<Delivery<Payload, Action>>;

  private readonly chain: LockedHead<Payload, Action>;

  constructor({ kind, name, profile, booting = false, pace }: NotifierChainOptions) {
    this.kind = kind;
    this.name = name;
    this.profile = profile;
    this.booting = booting;
    this.chain = new LockedHead(kind, name, pace);
    this.notifications$ = this.chain.notifications.asObservable();
  }

  /** Names of the blocks that a call would come to, in its order, each once. */
  get blocks(): readonly string[] {
    return chainBlocks(memory, this.chain).blocks.map((link) => link.block.name);
  }

  /**
   * *_notifier_chain_register. Of a blocking chain it waits for the calls that run.
   *
   * @returns 0, also for a block that was on this chain already, where the generation says so;
   *   -EEXIST (-17) for such a block from v5.17 on
   * @throws DeadlockError inside a callback of the same blocking chain
   * @throws EndlessWalkError where the kernel would look for the place for ever (K05)
   */
  register(block: NotifierBlock<Payload, Action>): WriteResult {
    return this.insert(block, false);
  }

  /**
   * *_notifier_chain_register_unique_prio.
   *
   * @returns as `register`; -EBUSY (-16) when a block has the same priority
   * @throws UnsupportedByKernelError where the generation has none for this kind
   */
  registerUniquePriority(block: NotifierBlock<Payload, Action>): WriteResult {
    if (!this.profile.uniquePriority.includes(this.kind)) {
      const symbol = `${this.kind}_notifier_chain_register_unique_prio`;
      throw new UnsupportedByKernelError(symbol, this.profile.name);
    }
    return this.insert(block, true);
  }

  /**
   * *_notifier_chain_unregister. Except on a raw chain it waits: when it has its value, no callback
   * of the block runs any more (INV-17).
   *
   * @returns 0, or -ENOENT (-2) for a block that is not on this chain
   * @throws DeadlockError inside a callback of the same chain, of any atomic chain for an atomic one
   * @throws EndlessWalkError where the kernel would look for the block for ever (K05)
   */
  unregister(block: NotifierBlock<Payload, Action>): WriteResult {
    const { chain } = this;
    const change = () => notifierChainUnregister(memory, chain, linkOf(block));
    return this.change('unregister', block, change, this.boots() ? undefined : chain.sections);
  }

  /**
   * *_notifier_call_chain, once per subscription. With synchronous callbacks all is over when
   * `subscribe` returns. Whoever unsubscribes has no further callback called; the lock is released
   * when the callback that runs has ended.
   *
   * Errors: what a callback threw; DeadlockError; SleepingCallbackError for an asynchronous callback
   * of an atomic or raw chain; EndlessWalkError for a chain that bites its tail (K05).
   *
   * @param nrToCall most callbacks to call; negative: all
   * @returns cold: the deliveries in order, then `returned` with the last callback's value
   */
  call(
    action: Action,
    payload: Payload,
    { nrToCall = -1 }: { readonly nrToCall?: number } = {},
  ): Observable<Delivery<Payload, Action> | Returned> {
    const { chain } = this;
    const { callLock } = chain;
    return new CallObservable(
      (subscriber, silent) =>
        new ChainCall(chain, callLock, action, payload, nrToCall, undefined, subscriber, silent),
    );
  }

  /**
   * *_notifier_call_chain_robust: when a callback stops `up`, those before it are called again with
   * `down`, in the same order and under the same lock (K06, INV-18).
   *
   * @returns as `call`; `returned` is the value of `up`
   * @throws UnsupportedByKernelError where the generation has none for this kind
   */
  callRobust(
    up: Action,
    down: Action,
    payload: Payload,
  ): Observable<Delivery<Payload, Action> | Returned> {
    if (!this.profile.robustCall.includes(this.kind)) {
      const symbol = `${this.kind}_notifier_call_chain_robust`;
      throw new UnsupportedByKernelError(symbol, this.profile.name);
    }
    const { chain } = this;
    const { robustLock } = chain;
    const rollback = { action: down };
    return new CallObservable(
      (subscriber, silent) =>
        new ChainCall(chain, robustLock, up, payload, -1, rollback, subscriber, silent),
    );
  }

  private insert(block: NotifierBlock<Payload, Action>, unique: boolean): WriteResult {
    const { chain, profile } = this;
    const change = () =>
      notifierChainRegister(memory, chain, linkOf(block), profile.duplicateRegistration, unique);
    return this.change('register', block, change, undefined);
  }

  /**
   * Changes the chain with its lock held, then waits for the readers of before.
   *
   * @param sections those readers; undefined: nobody waits for them
   */
  private change(
    what: string,
    block: AnyNotifierBlock,
    change: () => Change,
    sections: ReadSections | undefined,
  ): WriteResult {
    const lock = this.boots() ? undefined : this.chain.writeLock;
    const write = () => {
      let done: { readonly ret: number; readonly warn?: string };
      try {
        done = this.apply(change(), block);
      } finally {
        lock?.upWrite();
      }
      const settle = () => result.settle(done.ret, done.warn);
      if (sections === undefined || sections.synchronize(result, settle)) settle();
    };
    const waits = (waiter: WriteResult) => [
      ...(lock?.waitsFor(waiter) ?? []),
      ...(sections?.waitsFor(waiter) ?? []),
    ];
    const { pace } = this.chain;
    const granted = () => {
      const tried = () => {
        try {
          write();
        } catch (error) {
          result.fail(error);
        }
      };
      if (pace === undefined) tried();
      else from(pace('change')).subscribe({ complete: tried });
    };
    const result = new WriteResult(`${what}("${block.name}") on "${this.name}"`, waits, granted);
    if (lock === undefined || lock.downWrite(result)) {
      if (pace === undefined) write();
      else granted();
    }
    if (result.ret !== undefined) return result;
    try {
      refuseCycle(frames(), result);
    } catch (error) {
      lock?.cancel(result);
      sections?.cancel(result);
      throw error;
    }
    return result;
  }

  /** Whether writers go round lock and grace period. */
  private boots(): boolean {
    return this.booting && (this.kind === 'blocking' || this.kind === 'srcu');
  }

  private apply(
    change: Change,
    block: AnyNotifierBlock,
  ): { readonly ret: number; readonly warn?: string } {
    if (change.type === 'hang') {
      const cycle = change.cycle.map((link) => link.block.name);
      throw new EndlessWalkError(this.name, cycle);
    }
    write(change.writes);
    const { ret, warn } = change;
    if (warn === undefined) return { ret };
    return { ret, warn: `notifier callback ${block.name}: ${warn}` };
  }
}

/** A head with its locks. */
class LockedHead<Payload, Action> implements CalledChain<Payload, Action> {
  head: LinkedBlock | null = null;
  readonly notifications = new Subject<Delivery<Payload, Action>>();
  /** Of register and unregister. The mutex of srcu is held for no time and by nobody else. */
  readonly writeLock: RwSem | undefined;
  /** Whom unregister waits for. */
  readonly sections: ReadSections | undefined;
  readonly callLock: CallLock | undefined;
  readonly robustLock: CallLock | undefined;
  private calls = 0;
  private deliveries = 0;

  constructor(
    readonly kind: NotifierKind,
    readonly name: string,
    readonly pace: Pace | undefined,
  ) {
    switch (kind) {
      case 'blocking':
        this.writeLock = new RwSem(`${name}.rwsem`);
        this.callLock = this.robustLock = this.writeLock;
        break;
      case 'atomic':
        // Under RCU the chain could change between up and down: the robust call takes the lock.
        this.writeLock = new RwSem(`${name}.lock`, true);
        this.robustLock = this.writeLock.writing;
        this.callLock = this.sections = rcu;
        break;
      case 'srcu':
        this.callLock = this.sections = new ReadSections(
          `srcu_read_lock of ${name}`,
          `synchronize_srcu of ${name}`,
        );
        break;
      case 'raw':
        break;
    }
  }

  nextCall(): number {
    return this.calls++;
  }

  nextOrder(): number {
    return this.deliveries++;
  }

  get heard(): boolean {
    return this.notifications.observed;
  }

  delivered(delivery: Delivery<Payload, Action>): void {
    if (this.notifications.observed) this.notifications.next(delivery);
  }
}
