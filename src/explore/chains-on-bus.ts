/**
 * The notifier chains of a schedule, on the chains of src/bus: they were written apart from the
 * machines that the search ran on, and are to call the same blocks in the same order, let the same
 * writers wait and return the same values. The blocks' callbacks are asynchronous and wait for their
 * turn in the schedule.
 */

import { Subject } from 'rxjs';
import type { Subscription } from 'rxjs';
import type { ChainNote, NotedChain } from '../../machines/chain-note.js';
import { stable } from '../../machines/intern.js';
import type { NotifierListMemory } from '../../machines/notifier-list.js';
import type { Delivery, Payload } from '../../machines/step.js';
import type { Returned } from '../bus/chain-call.js';
import type { NotifierBlock } from '../bus/notifier-block.js';
import { NotifierChain } from '../bus/notifier-chain.js';
import { inside } from '../bus/wait-graph.js';
import type { Frame } from '../bus/wait-graph.js';
import type { WriteResult } from '../bus/write-result.js';
import { messageOf } from './scenario-error.js';

type Block = NotifierBlock<Payload, string> & { priority: number };
type Note<At extends ChainNote['at']> = Extract<ChainNote, { readonly at: At }>;

/** A chain on the bus. */
interface OnBus {
  readonly noted: NotedChain;
  readonly chain: NotifierChain<Payload, string>;
  /** What the writer waits for that the bus has given the lock. */
  change: Subject<never> | undefined;
  /** Writers that have queued, and which the bus has not been told of. */
  deferred: Writing[];
}

interface Writing {
  readonly thread: string;
  readonly on: OnBus;
  readonly note: Note<'writes'>;
  /** How often the schedule gives its thread the lock from there on. */
  readonly grants: number;
  /** On the bus, once it was told. */
  result: WriteResult | undefined;
  failure: unknown;
  change: Subject<never> | undefined;
  ret: number | undefined;
}

interface Calling {
  readonly on: OnBus;
  subscription: Subscription | undefined;
  /** What it waits for, unless it is in a callback or over. */
  turn: Subject<never> | undefined;
  entered: Entered | undefined;
  returned: Returned | undefined;
  failure: unknown;
}

/** A callback that was entered. */
interface Entered {
  readonly block: string;
  readonly action: string;
  readonly payload: Payload;
  readonly frame: Frame | undefined;
  /** Takes what it returns. */
  readonly answer: Subject<number>;
}

/** Threads that the rest of a schedule gives an rwsem for writing, in their order. */
export type WritersAhead = (rwsem: string) => readonly string[];

export class ChainsOnBus {
  private readonly chains = new Map<string, OnBus>();
  private readonly blocks = new Map<string, Block>();
  private readonly calls = new Map<string, Calling[]>();
  private readonly writes = new Map<string, Writing>();
  /** What the operation that runs came to; read by who made it go on. */
  private entered: Entered | undefined;
  private turn: Subject<never> | undefined;

  /** @param contextOf of an entity, at the start */
  constructor(
    private readonly contextOf: (entity: string) => unknown,
    private readonly ahead: WritersAhead,
  ) {}

  /** What is otherwise on the bus than `note` says of `thread`; undefined: nothing. */
  take(thread: string, note: ChainNote): string | undefined {
    switch (note.at) {
      case 'writes':
        return this.write(thread, note);
      case 'written':
        return this.written(thread, note);
      case 'quiesced':
        return this.quiesced(thread);
      case 'calls':
        return this.call(thread, note);
      case 'walks':
        return this.walk(thread);
      case 'enters':
        return this.enter(thread, note);
      case 'returns':
        return this.answer(thread, note);
      case 'returned':
        return this.over(thread, note);
    }
  }

  /**
   * Sends a delivery from within the callback that gets it.
   *
   * @returns why not, where the bus has called another block or with something else
   */
  deliver(thread: string, delivery: Delivery, send: () => void): string | undefined {
    const call = this.callOf(thread);
    if (call?.on.noted.name !== delivery.chain) {
      send();
      return undefined;
    }
    const { entered } = call;
    const { block, action, payload } = delivery;
    if (
      entered === undefined ||
      stable([entered.block, entered.action, entered.payload]) !== stable([block, action, payload])
    ) {
      return `the bus delivers ${toldOf(entered)}`;
    }
    inside.run(entered.frame, send);
    return undefined;
  }

  /**
   * At the end of a schedule, of a thread that waits.
   *
   * @param rwsem for which it waits as a reader, undefined for none
   * @returns why the bus would let it go on
   */
  letsGo(thread: string, rwsem: string | undefined): string | undefined {
    for (const on of this.chains.values()) this.tell(on, []);
    const write = this.writes.get(thread);
    if (
      write?.result !== undefined &&
      write.failure === undefined &&
      write.result.waitsFor().length === 0
    ) {
      return `the bus lets ${thread} go on with ${write.note.what} ${write.note.block}`;
    }
    const on = [...this.chains.values()].find(({ noted }) => noted.rwsem === rwsem);
    if (rwsem === undefined || on === undefined || on.chain.blocks.length === 0) return undefined;
    const { subscription, turn } = this.run(thread, () => on.chain.call('', {}).subscribe(HUSH));
    subscription?.unsubscribe();
    return turn === undefined ? undefined : `the bus lets ${thread} call ${on.noted.name}`;
  }

  /** Ends whatever is not over. */
  stop(): void {
    for (const calls of this.calls.values()) {
      for (const { subscription } of calls.toReversed()) subscription?.unsubscribe();
    }
  }

  private write(thread: string, note: Note<'writes'>): undefined {
    const on = this.onBus(note.chain);
    const { rwsem } = note.chain;
    const ahead = rwsem === undefined ? [] : this.ahead(rwsem);
    const writing: Writing = {
      thread,
      on,
      note,
      grants: timesIn(ahead, thread),
      result: undefined,
      failure: undefined,
      change: undefined,
      ret: undefined,
    };
    this.writes.set(thread, writing);
    if (rwsem === undefined || note.chain.booting === true) {
      this.submit(writing);
    } else {
      on.deferred.push(writing);
      this.tell(on, ahead);
    }
    return undefined;
  }

  /**
   * Tells the bus of writers that have queued. Its queue is first come first served, in the kernel
   * a writer may steal the lock; so who is overtaken in the schedule comes behind.
   */
  private tell(on: OnBus, ahead: readonly string[]): void {
    const passed = new Set<string>();
    for (const thread of ahead) {
      if (passed.has(thread)) return;
      passed.add(thread);
      const writing = on.deferred.find((each) => each.thread === thread);
      if (writing !== undefined) {
        on.deferred = on.deferred.filter((each) => each !== writing);
        this.submit(writing);
      } else {
        const told = this.writes.get(thread);
        // Who has had the lock already comes again, and has not queued yet.
        if (told?.on !== on || timesIn(ahead, thread) < told.grants) return;
      }
    }
    for (const writing of on.deferred.splice(0)) this.submit(writing);
  }

  private submit(writing: Writing): void {
    const { thread, on, note } = writing;
    const block = this.block(note.chain, note.block);
    const had = on.change;
    try {
      writing.result = inside.run(this.frameOf(thread), () => {
        if (note.what === 'unregister') return on.chain.unregister(block);
        return note.what === 'register'
          ? on.chain.register(block)
          : on.chain.registerUniquePriority(block);
      });
    } catch (error) {
      writing.failure = error;
    }
    if (on.change === had) return;
    writing.change = on.change;
    on.change = had;
  }

  private written(thread: string, { ret }: Note<'written'>): string | undefined {
    const writing = this.writes.get(thread)!;
    const { on, note, failure } = writing;
    const what = `${note.what} ${note.block}`;
    if (failure !== undefined) return `on the bus ${what} fails: ${messageOf(failure)}`;
    let { change } = writing;
    if (change === undefined) {
      change = on.change;
      on.change = undefined;
    }
    if (change === undefined) return `on the bus ${what} still waits${waitsText(writing.result)}`;
    if (note.priority !== undefined) {
      this.block(note.chain, note.block).priority = note.priority;
    }
    change.complete();
    writing.ret = ret;
    const waits = writing.result!.ret === undefined;
    const grace = waitsForReaders(note);
    if (!grace) this.writes.delete(thread);
    if (note.chain.rwsem !== undefined) this.tell(on, this.ahead(note.chain.rwsem));
    if (waits)
      return grace ? undefined : `on the bus ${what} still waits${waitsText(writing.result)}`;
    return unlike(what, writing.result!.ret, ret);
  }

  private quiesced(thread: string): string | undefined {
    const { note, result, ret } = this.writes.get(thread)!;
    this.writes.delete(thread);
    const what = `${note.what} ${note.block}`;
    if (result?.ret === undefined) return `on the bus ${what} still waits${waitsText(result)}`;
    return unlike(what, result.ret, ret);
  }

  private call(thread: string, note: Note<'calls'>): string | undefined {
    const on = this.onBus(note.chain);
    const { action, down, payload, nrToCall } = note;
    const call: Calling = {
      on,
      subscription: undefined,
      turn: undefined,
      entered: undefined,
      returned: undefined,
      failure: undefined,
    };
    const { subscription, turn } = this.run(thread, () =>
      (down === undefined
        ? on.chain.call(action, payload, { nrToCall })
        : on.chain.callRobust(action, down, payload)
      ).subscribe({
        next: (emitted) => {
          if (emitted.type === 'returned') call.returned = emitted;
        },
        error: (error: unknown) => {
          call.failure = error;
        },
      }),
    );
    call.subscription = subscription;
    call.turn = turn;
    const calls = this.calls.get(thread);
    if (calls === undefined) this.calls.set(thread, [call]);
    else calls.push(call);
    if (call.failure !== undefined) return `on the bus ${messageOf(call.failure)}`;
    if (turn === undefined && call.returned === undefined) {
      return `on the bus the call of ${note.chain.name} waits`;
    }
    return undefined;
  }

  private walk(thread: string): string | undefined {
    const call = this.callOf(thread)!;
    // A blocking chain that became empty between the peek and the lock.
    if (call.returned !== undefined) return undefined;
    const entered = this.goOn(thread, call);
    if (entered !== undefined) return `the bus delivers ${toldOf(entered)}`;
    return call.failure === undefined ? undefined : `on the bus ${messageOf(call.failure)}`;
  }

  private enter(thread: string, { block, action }: Note<'enters'>): string | undefined {
    const call = this.callOf(thread)!;
    call.entered = this.goOn(thread, call);
    if (call.failure !== undefined) return `on the bus ${messageOf(call.failure)}`;
    if (call.entered?.block === block && call.entered.action === action) return undefined;
    return call.entered === undefined
      ? `the bus does not call ${block}`
      : `the bus delivers ${toldOf(call.entered)}`;
  }

  private answer(thread: string, { ret }: Note<'returns'>): string | undefined {
    const call = this.callOf(thread)!;
    const { answer } = call.entered!;
    call.entered = undefined;
    call.turn = this.run(thread, () => {
      answer.next(ret);
      answer.complete();
      return undefined;
    }).turn;
    return call.failure === undefined ? undefined : `on the bus ${messageOf(call.failure)}`;
  }

  private over(thread: string, { ret, nrCalls }: Note<'returned'>): string | undefined {
    const call = this.callOf(thread)!;
    const entered = call.turn === undefined ? undefined : this.goOn(thread, call);
    this.calls.get(thread)!.pop();
    if (entered !== undefined) {
      call.subscription?.unsubscribe();
      return `the bus delivers ${toldOf(entered)}`;
    }
    if (call.failure !== undefined) return `on the bus ${messageOf(call.failure)}`;
    const { returned } = call;
    if (returned?.ret === ret && returned.nrCalls === nrCalls) return undefined;
    const says = returned === undefined ? 'nothing' : `${returned.ret} after ${returned.nrCalls}`;
    return `on the bus the call returns ${says}, not ${ret} after ${nrCalls}`;
  }

  /** Lets the call have its turn. Returns the callback that it enters, if it does. */
  private goOn(thread: string, call: Calling): Entered | undefined {
    const { turn } = call;
    call.turn = undefined;
    this.entered = undefined;
    call.turn = this.run(thread, () => {
      turn?.complete();
      return undefined;
    }).turn;
    return this.entered;
  }

  /** Runs something of a thread where the thread is: inside of its callbacks. */
  private run(
    thread: string,
    work: () => Subscription | undefined,
  ): {
    readonly subscription: Subscription | undefined;
    readonly turn: Subject<never> | undefined;
  } {
    this.turn = undefined;
    const subscription = inside.run(this.frameOf(thread), work);
    return { subscription, turn: this.turn };
  }

  private callOf(thread: string): Calling | undefined {
    return this.calls.get(thread)?.at(-1);
  }

  private frameOf(thread: string): Frame | undefined {
    return this.calls.get(thread)?.findLast(({ entered }) => entered !== undefined)?.entered?.frame;
  }

  private onBus(noted: NotedChain): OnBus {
    let on = this.chains.get(noted.name);
    if (on !== undefined) return on;
    const { name, kind, profile } = noted;
    const booting = noted.booting ?? false;
    let begun = false;
    const pace = (before: 'head' | 'next' | 'change') => {
      const turn = new Subject<never>();
      if (!begun) turn.complete();
      else if (before === 'change') on!.change = turn;
      else this.turn = turn;
      return turn;
    };
    const chain = new NotifierChain<Payload, string>({ kind, name, profile, booting, pace });
    on = { noted, chain, change: undefined, deferred: [] };
    this.chains.set(name, on);
    for (const { block, priority } of this.initial(noted)) {
      const nb = this.block(noted, block);
      nb.priority = priority;
      chain.register(nb);
    }
    begun = true;
    return on;
  }

  /** Who is registered at the start, in the order of the chain. */
  private initial({
    name,
    list,
  }: NotedChain): { readonly block: string; readonly priority: number }[] {
    if (typeof list !== 'string') return list.map((block) => ({ block, priority: 0 }));
    const { heads, blocks } = this.contextOf(list) as NotifierListMemory;
    const initial: { readonly block: string; readonly priority: number }[] = [];
    let at = heads[name] ?? null;
    for (; at !== null; at = blocks[at].next) {
      initial.push({ block: at, priority: blocks[at].priority });
    }
    return initial;
  }

  /** A block of one list is one object on all of its chains: the link is inside it. */
  private block({ name, list }: NotedChain, block: string): Block {
    const key = stable([typeof list === 'string' ? list : name, block]);
    let known = this.blocks.get(key);
    if (known === undefined) {
      known = {
        name: block,
        priority: 0,
        call: (action, payload) => {
          const answer = new Subject<number>();
          this.entered = { block, action, payload, frame: inside.getStore(), answer };
          return answer;
        },
      };
      this.blocks.set(key, known);
    }
    return known;
  }
}

/** Whether a grace period follows the change. */
function waitsForReaders({ what, chain }: Note<'writes'>): boolean {
  if (what !== 'unregister') return false;
  return chain.kind === 'atomic' || (chain.kind === 'srcu' && chain.booting !== true);
}

function timesIn(threads: readonly string[], thread: string): number {
  return threads.filter((each) => each === thread).length;
}

const HUSH = { error: () => undefined };

function toldOf(entered: Entered | undefined): string {
  return entered === undefined
    ? 'nothing'
    : `${entered.action} ${stable(entered.payload)} to ${entered.block}`;
}

function waitsText(result: WriteResult | undefined): string {
  const waits = result?.waitsFor() ?? [];
  return waits.length === 0
    ? ''
    : `: for ${waits.map(({ what, on }) => `${what}, held by ${on.who}`).join(' and ')}`;
}

function unlike(
  what: string,
  bus: number | undefined,
  ret: number | undefined,
): string | undefined {
  return bus === ret ? undefined : `on the bus ${what} returns ${bus}, not ${ret}`;
}
