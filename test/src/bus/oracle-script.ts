/** The scripts of oracle/*\/notifier-oracle.jsonl.gz, and how the bus and the machine run them. */

import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { InternedMachine } from '../../../machines/intern.js';
import { notifierChainMachine } from '../../../machines/notifier-chain.js';
import type { NotifierChainEvent, NotifierChainReply } from '../../../machines/notifier-chain.js';
import type { KernelProfile, NotifierKind } from '../../../machines/profiles/profile.js';
import type { Delivery, Returned } from '../../../src/bus/chain-call.js';
import type { NotifierBlock } from '../../../src/bus/notifier-block.js';
import { NotifierChain } from '../../../src/bus/notifier-chain.js';
import { UnsupportedByKernelError } from '../../../machines/unsupported-by-kernel.js';
import { stops } from '../../../src/bus/notify-return.js';
import type { WriteResult } from '../../../src/bus/write-result.js';

export interface Recorded {
  readonly id: number;
  readonly chain: NotifierKind;
  readonly script: readonly string[];
  readonly result: readonly Answer[];
}

export interface Answer {
  readonly op: string;
  readonly ret?: number;
  readonly calls?: readonly Call[];
  readonly nr_calls?: number;
  readonly status?: 'unsupported';
}

type Call = readonly [block: number, val: number, ret: number, sideEffect?: string];

export function readOracle(file: string): readonly Recorded[] {
  return gunzipSync(readFileSync(file))
    .toString()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Recorded);
}

/** What a script needs of whoever answers it. */
export interface Subject {
  /** undefined: unsupported. `priority` undefined: the block as it is. */
  register(block: number, priority: number | undefined, unique: boolean): number | undefined;
  unregister(block: number): number;
  call(val: number, nrToCall: number, called: Called): { ret: number; nrCalls: number };
  /** undefined: unsupported. */
  callRobust(up: number, down: number, called: Called): { ret: number } | undefined;
  /** The blocks in the chain's order. */
  readonly blocks: readonly number[];
}

/** A block's callback. */
export type Called = (block: number, val: number) => number;

export interface Run {
  readonly answers: readonly Answer[];
  /** The chain after each operation. */
  readonly structure: readonly (readonly number[])[];
}

/** Runs a script as the recording module did. */
export function runScript(
  { chain, script }: Pick<Recorded, 'chain' | 'script'>,
  subject: Subject,
): Run {
  const registered = new Set<number>();
  const returns = new Map<number, number>();
  const armed = new Map<number, readonly string[]>();
  let calls: Call[] = [];
  let mayAct = true;

  const doRegister = (block: number, prio: number, ret: number, unique: boolean) => {
    const again = registered.has(block);
    const result = subject.register(block, again ? undefined : prio, unique);
    if (result === undefined) return undefined;
    if (!again) returns.set(block, ret);
    if (result === 0) registered.add(block);
    return result;
  };
  const doUnregister = (block: number) => {
    const result = subject.unregister(block);
    if (result === 0) registered.delete(block);
    return result;
  };
  const called: Called = (block, val) => {
    const ret = returns.get(block)!;
    const effect = mayAct ? armed.get(block) : undefined;
    if (effect === undefined) {
      calls.push([block, val, ret]);
      return ret;
    }
    armed.delete(block);
    // The recording has its callbacks in the order of entry.
    const at = calls.push([block, val, ret]) - 1;
    const [what, other, prio, value] = effect;
    const result =
      what === 'R'
        ? doRegister(Number(other), Number(prio), Number(value), false)
        : doUnregister(Number(other));
    calls[at] = [block, val, ret, `${what}${other}=${result}`];
    return ret;
  };

  const answers: Answer[] = [];
  const structure: (readonly number[])[] = [];
  for (const op of script) {
    calls = [];
    mayAct = true;
    const [what, ...words] = op.split(' ');
    const [a, b, c] = words.map(Number);
    answers.push({ op, ...perform() });
    structure.push(subject.blocks);

    function perform(): Omit<Answer, 'op'> {
      switch (what) {
        case 'R':
        case 'Q':
          return answer(doRegister(a, b, c, what === 'Q'));
        case 'U':
          return answer(doUnregister(a));
        case 'C':
          return answer(subject.call(a, -1, called).ret);
        case 'N': {
          const { ret, nrCalls } = subject.call(a, b, called);
          return { ...answer(ret), nr_calls: nrCalls };
        }
        case 'V':
          // atomic_notifier_call_chain_robust holds the lock that register takes (5.10): the
          // module left what was armed for a later call.
          mayAct = chain !== 'atomic';
          return answer(subject.callRobust(a, b, called)?.ret);
        case 'E':
          if (!mayInCallback(chain, words[1])) return answer(undefined);
          armed.set(a, words.slice(1));
          return answer(0);
        default:
          throw new Error(`no such operation: ${op}`);
      }
    }
    function answer(ret: number | undefined): Omit<Answer, 'op'> {
      return ret === undefined ? { status: 'unsupported' } : { ret, calls };
    }
  }
  return { answers, structure };
}

/** Everything else deadlocks; the module refused to try. */
export function mayInCallback(kind: NotifierKind, what: string): boolean {
  return kind === 'raw' || (kind !== 'blocking' && what === 'R');
}

/** src/bus, one chain and its blocks. */
export class BusSubject implements Subject {
  private readonly chain: NotifierChain;
  private readonly known = new Map<number, NotifierBlock & { priority: number }>();
  private called: Called = () => 0;

  constructor(kind: NotifierKind, profile: KernelProfile) {
    this.chain = new NotifierChain({ kind, name: kind, profile });
  }

  register(block: number, priority: number | undefined, unique: boolean): number | undefined {
    const nb = this.block(block);
    if (priority !== undefined) nb.priority = priority;
    return supported(() =>
      settled(unique ? this.chain.registerUniquePriority(nb) : this.chain.register(nb)),
    );
  }

  unregister(block: number): number {
    return settled(this.chain.unregister(this.block(block)));
  }

  call(val: number, nrToCall: number, called: Called) {
    this.called = called;
    const { returned } = emissions(this.chain.call(val, undefined, { nrToCall }));
    return returned;
  }

  callRobust(up: number, down: number, called: Called) {
    this.called = called;
    return supported(() => emissions(this.chain.callRobust(up, down, undefined)).returned);
  }

  get blocks(): readonly number[] {
    return this.chain.blocks.map(Number);
  }

  private block(n: number) {
    let block = this.known.get(n);
    if (block === undefined) {
      block = { name: String(n), priority: 0, call: (val) => this.called(n, val) };
      this.known.set(n, block);
    }
    return block;
  }
}

function supported<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch (error) {
    if (error instanceof UnsupportedByKernelError) return undefined;
    throw error;
  }
}

/** The value of a writer that had nothing to wait for. */
export function settled(result: WriteResult): number {
  if (result.ret === undefined) throw new Error(`${result.who} waits`);
  return result.ret;
}

/** What a call with synchronous callbacks emitted; throws its error, and when it is not over. */
export function emissions<P, A>(
  call: ReturnType<NotifierChain<P, A>['call']>,
): {
  readonly deliveries: readonly Delivery<P, A>[];
  readonly returned: Returned;
} {
  const deliveries: Delivery<P, A>[] = [];
  let returned: Returned | undefined;
  let complete = false;
  let failure: { readonly error: unknown } | undefined;
  call.subscribe({
    next: (emitted) => {
      if (emitted.type === 'returned') returned = emitted;
      else deliveries.push(emitted);
    },
    error: (error: unknown) => {
      failure = { error };
    },
    complete: () => {
      complete = true;
    },
  });
  const failed = failure as { readonly error: unknown } | undefined;
  if (failed !== undefined) throw failed.error;
  if (!complete || returned === undefined) throw new Error('the call is not over');
  return { deliveries, returned };
}

/** The machine, interned; the callbacks run between its `head` and `next`. */
export class MachineSubject implements Subject {
  private static readonly interned = new Map<string, InternedMachine>();
  private readonly machine: InternedMachine;
  private state: number;

  constructor(
    private readonly kind: NotifierKind,
    private readonly profile: KernelProfile,
  ) {
    let machine = MachineSubject.interned.get(profile.name);
    if (machine === undefined) {
      machine = new InternedMachine(notifierChainMachine(profile));
      MachineSubject.interned.set(profile.name, machine);
    }
    this.machine = machine;
    this.state = machine.initial;
  }

  register(block: number, priority: number | undefined, unique: boolean): number | undefined {
    const which = {
      chain: 'chain',
      block: String(block),
      ...(priority !== undefined && { priority }),
    };
    const reply = this.send(
      unique
        ? { type: 'register_unique_prio', kind: this.kind, ...which }
        : { type: 'register', ...which },
    );
    return reply.type === 'returned' ? reply.ret : undefined;
  }

  unregister(block: number): number {
    const reply = this.send({ type: 'unregister', chain: 'chain', block: String(block) });
    if (reply.type !== 'returned') throw new Error(reply.type);
    return reply.ret;
  }

  call(val: number, nrToCall: number, called: Called) {
    let ret = 0;
    let nrCalls = 0;
    let nb = this.read({ type: 'head', chain: 'chain' });
    for (let left = nrToCall; nb !== null && left !== 0; left--) {
      const next = this.read({ type: 'next', block: nb });
      ret = called(Number(nb), val);
      nrCalls++;
      if (stops(ret)) break;
      nb = next;
    }
    return { ret, nrCalls };
  }

  callRobust(up: number, down: number, called: Called) {
    if (!this.profile.robustCall.includes(this.kind)) return undefined;
    const { ret, nrCalls } = this.call(up, -1, called);
    if (stops(ret)) this.call(down, nrCalls - 1, called);
    return { ret };
  }

  get blocks(): readonly number[] {
    const reply = this.send({ type: 'walk', chain: 'chain' });
    if (reply.type !== 'walked') throw new Error(reply.type);
    return reply.blocks.map(Number);
  }

  private read(event: NotifierChainEvent): string | null {
    const reply = this.send(event);
    if (reply.type !== 'block') throw new Error(reply.type);
    return reply.block;
  }

  private send(event: NotifierChainEvent): NotifierChainReply {
    const id = this.machine.event(event);
    const reply = this.machine.replies(this.state, id)[0] as NotifierChainReply;
    const broken = this.machine.breaks(this.state, id);
    if (broken !== undefined) throw new Error(`${JSON.stringify(event)} breaks ${broken}`);
    this.state = this.machine.next(this.state, id);
    return reply;
  }
}
