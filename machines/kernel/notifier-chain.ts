/**
 * The operations of kernel/notifier.c on the four kinds of chains, step by step: every access to a
 * lock or to the list is a step, and so is the boundary of every callback. Source: B.1.
 */

import type { ChainNote, ChainWrite, NotedChain } from '../chain-note.js';
import { stops } from '../notifier-chain.js';
import type { NotifierListReply } from '../notifier-list.js';
import {
  deliver,
  downRead,
  lock,
  note,
  rcuReadLock,
  rcuReadUnlock,
  SELF,
  send,
  synchronizeRcu,
  unlock,
  upRead,
  upWrite,
} from '../step.js';
import type { Delivery, Payload, Thread } from '../step.js';
import type { KernelProfile } from '../profiles/profile.js';
import { UnsupportedByKernelError } from '../unsupported-by-kernel.js';

/** notifier_call: what a block's owner does in it. Returns NOTIFY_*, or a raw negative errno. */
export type NotifierCall = (called: Delivery) => Thread<number>;

/** The names of what a chain is made of: entities, but for `name`. */
export type Chain = {
  readonly name: string;
  readonly profile: KernelProfile;
  /** A notifierListMachine. */
  readonly list: string;
  /** By block. */
  readonly callbacks: Readonly<Record<string, NotifierCall>>;
  /** What the owners of blocks have set in them, where that is not 0. */
  readonly priorities?: Readonly<Record<string, number>>;
  /**
   * system_state == SYSTEM_BOOTING: blocking and srcu chains register and unregister without their
   * lock and without waiting.
   */
  readonly booting?: boolean;
} & (
  | { readonly kind: 'blocking'; readonly rwsem: string }
  /** A spinlock; rcu is that of the whole kernel. */
  | { readonly kind: 'atomic'; readonly lock: string; readonly rcu: string }
  | { readonly kind: 'raw' }
  /** A mutex; an rcuMachine of its own. */
  | { readonly kind: 'srcu'; readonly mutex: string; readonly srcu: string }
);

/**
 * A callback that passes what it is told to a machine: one step, the delivery.
 *
 * @param listener the entity; what it emits may say what the callback returns, as `ret`, else that
 *   is NOTIFY_DONE
 */
export function listenerCall(listener: string): NotifierCall {
  return function* (called) {
    const reply = yield* deliver<ListenerReply | undefined>(
      listener,
      called,
      `notify ${called.action} ${told(called.payload)} -> listener ${listener}`,
    );
    return reply?.ret ?? NOTIFY_DONE;
  };
}

/** What a listener's machine may answer. */
export interface ListenerReply {
  readonly type: string;
  readonly ret?: number;
}

const NOTIFY_DONE = 0;

/**
 * *_notifier_chain_register.
 *
 * @param priority set in the block first, where given
 * @returns 0; for a block that is on the chain what the generation says
 */
export function* notifier_chain_register(
  chain: Chain,
  block: string,
  priority?: number,
): Thread<number> {
  return yield* change(chain, 'register', block, priority ?? chain.priorities?.[block]);
}

/**
 * *_notifier_chain_register_unique_prio.
 *
 * @returns as notifier_chain_register; -EBUSY when a block has the same priority
 */
export function* notifier_chain_register_unique_prio(
  chain: Chain,
  block: string,
  priority?: number,
): Thread<number> {
  if (!chain.profile.uniquePriority.includes(chain.kind)) {
    const symbol = `${chain.kind}_notifier_chain_register_unique_prio`;
    throw new UnsupportedByKernelError(symbol, chain.profile.name);
  }
  return yield* change(chain, 'register_unique_prio', block, priority);
}

/**
 * *_notifier_chain_unregister. Except on a raw chain no callback of the block runs any more when it
 * returns.
 *
 * @returns 0, or -ENOENT for a block that is not on this chain
 */
export function* notifier_chain_unregister(chain: Chain, block: string): Thread<number> {
  return yield* change(chain, 'unregister', block, undefined);
}

/**
 * *_notifier_call_chain.
 *
 * @param nrToCall most callbacks to call; -1: all
 * @returns what the last callback returned, 0 where none was called
 */
export function* notifier_call_chain(
  chain: Chain,
  action: string,
  payload: Payload,
  nrToCall = -1,
): Thread<number> {
  return (yield* __notifier_call_chain(chain, action, payload, nrToCall)).ret;
}

/**
 * __*_notifier_call_chain: says how many callbacks were called too, which before v5.10 whoever
 * rolled back asked for (K06).
 *
 * @param nrToCall most callbacks to call; -1: all
 */
export function* __notifier_call_chain(
  chain: Chain,
  action: string,
  payload: Payload,
  nrToCall: number,
): Thread<{ readonly ret: number; readonly nrCalls: number }> {
  const calls = { at: 'calls', action, payload, nrToCall } as const;
  if (!(yield* enter(chain, calls, false))) return { ret: NOTIFY_DONE, nrCalls: 0 };
  const { ret, nrCalls } = yield* walk(chain, action, payload, nrToCall);
  yield* leave(chain, false);
  yield* say(chain, { at: 'returned', ret, nrCalls });
  return { ret, nrCalls };
}

/**
 * *_notifier_call_chain_robust: where a callback stops `up`, those before it are called again with
 * `down`, in the same order and under the same lock (K06, INV-18).
 *
 * @returns what the last callback of `up` returned
 */
export function* notifier_call_chain_robust(
  chain: Chain,
  up: string,
  down: string,
  payload: Payload,
): Thread<number> {
  if (!chain.profile.robustCall.includes(chain.kind)) {
    const symbol = `${chain.kind}_notifier_call_chain_robust`;
    throw new UnsupportedByKernelError(symbol, chain.profile.name);
  }
  const calls = { at: 'calls', action: up, down, payload, nrToCall: -1 } as const;
  if (!(yield* enter(chain, calls, true))) return NOTIFY_DONE;
  const { ret, nrCalls } = yield* walk(chain, up, payload, -1);
  if (stops(ret)) yield* walk(chain, down, payload, nrCalls - 1);
  yield* leave(chain, true);
  yield* say(chain, { at: 'returned', ret, nrCalls });
  return ret;
}

/** A block of a chain that nobody changes while it is explored. */
export interface FixedBlock {
  readonly block: string;
  /** 0 where left out. */
  readonly priority?: number;
  readonly call: NotifierCall;
}

/** A blocking chain that nobody changes: nobody waits for its rwsem, so it has none. */
export interface FixedChain {
  readonly name: string;
  readonly profile: KernelProfile;
  /** In the order of their registration. */
  readonly blocks: readonly FixedBlock[];
}

/**
 * blocking_notifier_call_chain while nobody registers: the callbacks and nothing else.
 *
 * @returns what the last callback returned, 0 where none was called
 */
export function* call_fixed_chain(
  chain: FixedChain,
  action: string,
  payload: Payload,
): Thread<number> {
  const blocks = chain.blocks.toSorted((a, b) => (b.priority ?? 0) - (a.priority ?? 0));
  const list = blocks.map(({ block }) => block);
  const noted: NotedChain = { name: chain.name, kind: 'blocking', profile: chain.profile, list };
  yield* note({ at: 'calls', chain: noted, action, payload, nrToCall: -1 });
  yield* note({ at: 'walks', chain: noted });
  let ret = NOTIFY_DONE;
  let nrCalls = 0;
  for (const { block, call } of blocks) {
    yield* note({ at: 'enters', chain: noted, block, action });
    ret = yield* call({ chain: chain.name, block, action, payload });
    yield* note({ at: 'returns', chain: noted, ret });
    nrCalls++;
    if (stops(ret)) break;
  }
  yield* note({ at: 'returned', chain: noted, ret, nrCalls });
  return ret;
}

/** The block's owner frees it, or unloads the module that its callback is in. */
export function* free_notifier_block(chain: Chain, block: string): Thread<void> {
  yield* send(chain.list, { type: 'free', block }, `kfree(${block})`);
}

/** notifier_call_chain, the static one. */
function* walk(
  chain: Chain,
  action: string,
  payload: Payload,
  nrToCall: number,
): Thread<{ readonly ret: number; readonly nrCalls: number }> {
  let ret = NOTIFY_DONE;
  let nrCalls = 0;
  let nb = yield* head(chain);
  yield* say(chain, { at: 'walks' });
  for (let left = nrToCall; nb !== null && left !== 0; left--) {
    const block: string = nb;
    const { block: next } = yield* send<Extract<NotifierListReply, { type: 'block' }>>(
      chain.list,
      { type: 'call', block },
      `${block}->notifier_call(${action})`,
    );
    yield* say(chain, { at: 'enters', block, action });
    ret = yield* chain.callbacks[block]({ chain: chain.name, block, action, payload });
    yield* send(chain.list, { type: 'return', block }, `${block}->notifier_call() returns`);
    yield* say(chain, { at: 'returns', ret });
    nrCalls++;
    if (stops(ret)) break;
    nb = next;
  }
  return { ret, nrCalls };
}

function* head({ list, name }: Chain): Thread<string | null> {
  const { block } = yield* send<Extract<NotifierListReply, { type: 'block' }>>(
    list,
    { type: 'head', chain: name },
    `${name}->head`,
  );
  return block;
}

/**
 * What a call does before it reads the head.
 *
 * @param robust the robust call of an atomic chain takes the spinlock: under RCU the chain could
 *   change between `up` and `down`
 * @returns false: the chain was seen to be empty, without the lock
 */
function* enter(chain: Chain, calls: NoteOf<'calls'>, robust: boolean): Thread<boolean> {
  switch (chain.kind) {
    case 'blocking':
      if ((yield* head(chain)) === null) {
        yield* say(chain, calls);
        yield* say(chain, { at: 'returned', ret: NOTIFY_DONE, nrCalls: 0 });
        return false;
      }
      yield* downRead(chain.rwsem);
      break;
    case 'atomic':
      if (robust) yield* lock(chain.lock);
      else yield* rcuReadLock(chain.rcu);
      break;
    case 'srcu':
      yield* send(chain.srcu, { type: 'rcu_read_lock', by: SELF }, `srcu_read_lock(${chain.srcu})`);
      break;
    case 'raw':
      break;
  }
  yield* say(chain, calls);
  return true;
}

function* leave(chain: Chain, robust: boolean): Thread<void> {
  switch (chain.kind) {
    case 'blocking':
      yield* upRead(chain.rwsem);
      break;
    case 'atomic':
      if (robust) yield* unlock(chain.lock);
      else yield* rcuReadUnlock(chain.rcu);
      break;
    case 'srcu':
      yield* send(
        chain.srcu,
        { type: 'rcu_read_unlock', by: SELF },
        `srcu_read_unlock(${chain.srcu})`,
      );
      break;
    case 'raw':
      break;
  }
}

function* change(
  chain: Chain,
  what: ChainWrite,
  block: string,
  priority: number | undefined,
): Thread<number> {
  const field = priority === undefined ? {} : { priority };
  const writes = { at: 'writes', what, block, ...field } as const;
  if (chain.booting === true && (chain.kind === 'blocking' || chain.kind === 'srcu')) {
    yield* say(chain, writes);
    return yield* write(chain, writes);
  }
  let ret: number;
  switch (chain.kind) {
    case 'blocking':
      // As downWrite.
      yield* send(
        chain.rwsem,
        { type: 'queue_write', by: SELF },
        `down_write(${chain.rwsem}) queues`,
      );
      yield* say(chain, writes);
      yield* send(chain.rwsem, { type: 'down_write', by: SELF }, `down_write(${chain.rwsem})`);
      ret = yield* write(chain, writes);
      yield* upWrite(chain.rwsem);
      return ret;
    case 'atomic':
      yield* lock(chain.lock);
      yield* say(chain, writes);
      ret = yield* write(chain, writes);
      yield* unlock(chain.lock);
      if (what === 'unregister') {
        yield* synchronizeRcu(chain.rcu);
        yield* say(chain, { at: 'quiesced' });
      }
      return ret;
    case 'srcu':
      yield* lock(chain.mutex);
      yield* say(chain, writes);
      ret = yield* write(chain, writes);
      yield* unlock(chain.mutex);
      if (what === 'unregister') {
        yield* synchronizeRcu(chain.srcu);
        yield* say(chain, { at: 'quiesced' });
      }
      return ret;
    case 'raw':
      yield* say(chain, writes);
      return yield* write(chain, writes);
  }
}

/** The change of the list, one step: nobody sees the two stores in the wrong order. */
function* write(chain: Chain, { what, block, priority }: NoteOf<'writes'>): Thread<number> {
  const reply = yield* send<NotifierListReply>(
    chain.list,
    {
      type: what === 'unregister' ? 'remove' : 'insert',
      chain: chain.name,
      block,
      ...(priority === undefined ? {} : { priority }),
      ...(what === 'register_unique_prio' ? { unique: true } : {}),
    },
    `${what} ${block} ${what === 'unregister' ? 'from' : 'on'} ${chain.name}`,
  );
  // Where the kernel would look for the place for ever, the list is violated.
  if (reply.type !== 'returned') return NOTIFY_DONE;
  yield* say(chain, { at: 'written', ret: reply.ret });
  return reply.ret;
}

type Distributed<T> = T extends unknown ? Omit<T, 'chain'> : never;
type Said = Distributed<ChainNote>;
type NoteOf<At extends Said['at']> = Extract<Said, { readonly at: At }>;

function* say(chain: Chain, said: Said): Thread<void> {
  yield* note({ ...said, chain: noted(chain) });
}

function noted(chain: Chain): NotedChain {
  const { name, kind, profile, list, booting } = chain;
  return {
    name,
    kind,
    profile,
    list,
    ...(booting === undefined ? {} : { booting }),
    ...(chain.kind === 'blocking' ? { rwsem: chain.rwsem } : {}),
  };
}

function told(payload: Payload): string {
  return (
    Object.entries(payload)
      // The first membership of a device is the usual one.
      .filter(([name, field]) => name !== 'membership' || field !== 1)
      .map(([name, field]) => (name === 'membership' ? `(${String(field)})` : field))
      .map((field) => (typeof field === 'string' ? field : JSON.stringify(field)))
      .join(' ')
  );
}
