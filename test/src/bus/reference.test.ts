/** The bus against the kernel's C, written down again as plainly as possible. */

import fc from 'fast-check';
import { lastValueFrom } from 'rxjs';
import { describe, expect, it } from 'vitest';
import type { NotifierKind } from '../../../machines/profiles/profile.js';
import { profileByName } from '../../../machines/profiles/timeline.js';
import { DeadlockError } from '../../../src/bus/deadlock-error.js';
import type { NotifierBlock } from '../../../src/bus/notifier-block.js';
import { NotifierChain } from '../../../src/bus/notifier-chain.js';
import { EndlessWalkError } from '../../../src/bus/notifier-errors.js';
import { emissions, settled } from './oracle-script.js';

/** struct notifier_block. */
interface Nb {
  readonly name: string;
  priority: number;
  next: Nb | null;
}

class Hang extends Error {}

/** kernel/notifier.c, `duplicates` as the generation has it. A loop of a thousand rounds is one. */
class Reference {
  readonly heads = new Map<string, Nb | null>();

  constructor(private readonly kernel: string) {}

  register(chain: string, n: Nb): number {
    let before: Nb | null = null;
    let at = this.heads.get(chain) ?? null;
    for (let rounds = 0; at !== null; rounds++) {
      if (rounds > 1000) throw new Hang();
      if (at === n && this.kernel === 'v5.10') return 0;
      if (at === n && this.kernel !== 'v3.6') return -17;
      if (n.priority > at.priority) break;
      before = at;
      at = at.next;
    }
    n.next = at;
    if (before === null) this.heads.set(chain, n);
    else before.next = n;
    return 0;
  }

  unregister(chain: string, n: Nb): number {
    let before: Nb | null = null;
    let at = this.heads.get(chain) ?? null;
    for (let rounds = 0; at !== null; rounds++) {
      if (rounds > 1000) throw new Hang();
      if (at === n) {
        if (before === null) this.heads.set(chain, n.next);
        else before.next = n.next;
        return 0;
      }
      before = at;
      at = at.next;
    }
    return -2;
  }

  call(chain: string, nrToCall: number, called: (nb: Nb) => number): [ret: number, nr: number] {
    let ret = 0;
    let nr = 0;
    let nb = this.heads.get(chain) ?? null;
    while (nb !== null && nrToCall !== 0) {
      if (nr > 1000) throw new Hang();
      const next: Nb | null = nb.next;
      ret = called(nb);
      nr++;
      if ((ret & 0x8000) !== 0) break;
      nb = next;
      nrToCall--;
    }
    return [ret, nr];
  }
}

const NAMES = ['a', 'b', 'c', 'd', 'e'];
const CHAINS = ['pci', 'vio'];
const KERNELS = ['v3.6', 'v5.10', 'v7.2'];

type Op =
  | {
      readonly do: 'register';
      readonly chain: string;
      readonly nb: string;
      readonly priority: number;
    }
  | { readonly do: 'unregister'; readonly chain: string; readonly nb: string }
  | { readonly do: 'call'; readonly chain: string; readonly nrToCall: number }
  | { readonly do: 'robust'; readonly chain: string };

const chainName = fc.constantFrom(...CHAINS);
const blockName = fc.constantFrom(...NAMES);
const returnValue = fc.constantFrom(0, 0, 0, 1, 5, 0x8001, 0x8002, -19);
const anyOp: fc.Arbitrary<Op> = fc.oneof(
  fc.record({
    do: fc.constant('register' as const),
    chain: chainName,
    nb: blockName,
    priority: fc.integer({ min: -2, max: 2 }),
  }),
  fc.record({ do: fc.constant('unregister' as const), chain: chainName, nb: blockName }),
  fc.record({
    do: fc.constant('call' as const),
    chain: chainName,
    nrToCall: fc.constantFrom(-1, -1, -1, 0, 1, 2, 7),
  }),
  fc.record({ do: fc.constant('robust' as const), chain: chainName }),
);
/** At the top, or in the callback of a block when it is called next. */
const anyStep = fc.record({
  op: anyOp,
  inside: fc.option(blockName, { nil: undefined, freq: 3 }),
});

/** Runs steps; `perform` does one operation and calls `called` for each callback. */
function logOf(
  steps: readonly { readonly op: Op; readonly inside: string | undefined }[],
  returns: Readonly<Record<string, number>>,
  perform: (op: Op, called: (nb: string) => number) => string,
  isHang: (error: unknown) => boolean,
): string[] {
  const log: string[] = [];
  const armed = new Map<string, Op[]>();
  const called = (nb: string): number => {
    log.push(nb);
    for (const op of armed.get(nb)?.splice(0) ?? []) log.push(`(${perform(op, called)})`);
    return returns[nb];
  };
  for (const { op, inside } of steps) {
    if (inside !== undefined) {
      armed.set(inside, [...(armed.get(inside) ?? []), op]);
      continue;
    }
    const before = log.length;
    try {
      log.push(perform(op, called));
    } catch (error) {
      if (!isHang(error)) throw error;
      // How often it went round before it was seen is nobody's promise.
      return [...log.slice(0, before), 'hang'];
    }
  }
  return log;
}

describe('synchronous callbacks, nested operations, two chains and shared blocks', () => {
  it.each(KERNELS)('raw chains of %s do what the C does', (kernel) => {
    const profile = profileByName(kernel)!;
    fc.assert(
      fc.property(
        fc.array(anyStep, { minLength: 1, maxLength: 40 }),
        fc.record(Object.fromEntries(NAMES.map((name) => [name, returnValue]))),
        (steps, returns) => {
          const reference = new Reference(kernel);
          const nbs = new Map(NAMES.map((name) => [name, { name, priority: 0, next: null }]));
          const expected = logOf(
            steps,
            returns,
            (op, called) => {
              switch (op.do) {
                case 'register':
                  nbs.get(op.nb)!.priority = op.priority;
                  return String(reference.register(op.chain, nbs.get(op.nb)!));
                case 'unregister':
                  return String(reference.unregister(op.chain, nbs.get(op.nb)!));
                case 'call':
                  return reference.call(op.chain, op.nrToCall, (nb) => called(nb.name)).join();
                case 'robust': {
                  if (kernel === 'v3.6') return 'unsupported';
                  const [ret, nr] = reference.call(op.chain, -1, (nb) => called(nb.name));
                  if ((ret & 0x8000) !== 0)
                    reference.call(op.chain, nr - 1, (nb) => called(nb.name));
                  return `${ret},${nr}`;
                }
              }
            },
            (error) => error instanceof Hang,
          );

          let now: (nb: string) => number = () => 0;
          const blocks = new Map(
            NAMES.map((name) => [name, { name, priority: 0, call: () => now(name) }]),
          );
          const chains = new Map(
            CHAINS.map((name) => [name, new NotifierChain({ kind: 'raw', name, profile })]),
          );
          const told = logOf(
            steps,
            returns,
            (op, called) => {
              const chain = chains.get(op.chain)!;
              now = called;
              switch (op.do) {
                case 'register':
                  blocks.get(op.nb)!.priority = op.priority;
                  return String(settled(chain.register(blocks.get(op.nb)!)));
                case 'unregister':
                  return String(settled(chain.unregister(blocks.get(op.nb)!)));
                case 'call': {
                  const { returned } = emissions(chain.call(1, 0, { nrToCall: op.nrToCall }));
                  return `${returned.ret},${returned.nrCalls}`;
                }
                case 'robust': {
                  if (kernel === 'v3.6') return 'unsupported';
                  const { returned } = emissions(chain.callRobust(1, 2, 0));
                  return `${returned.ret},${returned.nrCalls}`;
                }
              }
            },
            (error) => error instanceof EndlessWalkError,
          );
          expect(told).toEqual(expected);
        },
      ),
      { numRuns: 1500 },
    );
  });
});

type Task =
  | { readonly do: 'register' | 'unregister'; readonly nb: number }
  | { readonly do: 'call' }
  /** Unsubscribes from the n-th call, if it was made. */
  | { readonly do: 'stop'; readonly nth: number };

const anyTask: fc.Arbitrary<Task> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom('register' as const, 'unregister' as const),
      nb: fc.nat(3),
    }),
  },
  { weight: 4, arbitrary: fc.constant({ do: 'call' as const }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('stop' as const), nth: fc.nat(4) }) },
);

/** A block whose callback sleeps, and then may call the chain itself. */
interface Sleeper {
  /** Stays as it is: changed in a registered block it would corrupt the chain (B.1.1). */
  readonly priority: number;
  readonly ret: number;
  readonly nests: boolean;
}

/** One call in the reference. */
interface RefCall {
  readonly id: number;
  at: number | undefined;
  next: Nb | null;
  stopped: boolean;
}

/**
 * Readers, a queue and grace periods. It is told what happens (an operation, the end of a callback's
 * sleep) and says what must follow.
 */
class SleepingReference {
  private readonly chain = new Reference('v7.2');
  private readonly nbs: readonly Nb[];
  private readonly readers = new Set<RefCall>();
  private readonly queue: ({ write: () => void } | { read: RefCall })[] = [];
  private readonly periods: { readers: Set<RefCall>; over: () => void }[] = [];
  private readonly calls = new Map<number, RefCall>();
  private follows: string[] = [];

  constructor(
    private readonly kind: NotifierKind,
    private readonly sleepers: readonly Sleeper[],
  ) {
    this.nbs = sleepers.map(({ priority }, n) => ({ name: String(n), priority, next: null }));
  }

  /** What followed since. */
  taken(): string[] {
    const follows = this.follows;
    this.follows = [];
    return follows;
  }

  issue(id: number, task: Task): void {
    if (task.do === 'stop') {
      const call = this.calls.get(task.nth);
      if (call === undefined) return;
      call.stopped = true;
      const queued = this.queue.findIndex((waits) => 'read' in waits && waits.read === call);
      if (queued >= 0) this.queue.splice(queued, 1);
      this.pump();
      return;
    }
    if (task.do === 'call') {
      const call: RefCall = { id, at: undefined, next: null, stopped: false };
      this.calls.set(this.calls.size, call);
      if (this.head === null) this.follows.push(`${id} returned 0`);
      else if (this.kind === 'blocking' && this.queue.length > 0) this.queue.push({ read: call });
      else this.start(call);
      return;
    }
    const nb = this.nbs[task.nb];
    const change = () =>
      task.do === 'register' ? this.chain.register('', nb) : this.chain.unregister('', nb);
    const write = () => this.follows.push(`${id} is ${change()}`);
    if (this.kind === 'blocking') {
      this.queue.push({ write });
      this.pump();
    } else if (task.do === 'register' || this.readers.size === 0) {
      write();
    } else {
      const ret = change();
      this.periods.push({
        readers: new Set(this.readers),
        over: () => this.follows.push(`${id} is ${ret}`),
      });
    }
  }

  wake(id: number): void {
    const call = [...this.readers].find((reader) => reader.id === id)!;
    const { ret, nests } = this.sleepers[call.at!];
    if (nests && this.kind === 'blocking' && this.queue.length > 0) {
      if (!call.stopped) this.follows.push(`${id} deadlock`);
      this.leave(call);
      return;
    }
    if (nests) {
      this.chain.call('', -1, (nb) => {
        this.follows.push(`nested in ${id}: ${nb.name}`);
        return this.sleepers[Number(nb.name)].ret;
      });
    }
    if (call.stopped) this.leave(call);
    else if ((ret & 0x8000) !== 0) this.end(call, ret);
    else this.advance(call, ret);
  }

  private get head(): Nb | null {
    return this.chain.heads.get('') ?? null;
  }

  private start(call: RefCall): void {
    this.readers.add(call);
    call.next = this.head;
    this.advance(call, 0);
  }

  private advance(call: RefCall, ret: number): void {
    const nb = call.next;
    if (nb === null) {
      this.end(call, ret);
      return;
    }
    call.next = nb.next;
    call.at = Number(nb.name);
    this.follows.push(`${call.id} in ${nb.name}`);
  }

  private end(call: RefCall, ret: number): void {
    this.follows.push(`${call.id} returned ${ret}`);
    this.leave(call);
  }

  private leave(call: RefCall): void {
    this.readers.delete(call);
    for (const period of [...this.periods]) {
      if (!period.readers.delete(call) || period.readers.size > 0) continue;
      this.periods.splice(this.periods.indexOf(period), 1);
      period.over();
    }
    this.pump();
  }

  private pump(): void {
    for (let first = this.queue[0]; first !== undefined; first = this.queue[0]) {
      if ('write' in first && this.readers.size > 0) return;
      this.queue.shift();
      if ('write' in first) first.write();
      else this.start(first.read);
    }
  }
}

describe('callbacks that sleep, under a scheduler', () => {
  it.each(['blocking', 'srcu'] as const)('a %s chain does what its locks allow', async (kind) => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.array(anyTask, { minLength: 3, maxLength: 14 }),
        fc.array(
          fc.record({
            priority: fc.integer({ min: -1, max: 1 }),
            ret: returnValue,
            nests: fc.boolean(),
          }),
          {
            minLength: 4,
            maxLength: 4,
          },
        ),
        async (scheduler, tasks, sleepers) => {
          const reference = new SleepingReference(kind, sleepers);
          const chain = new NotifierChain<number>({
            kind,
            name: 'chain',
            profile: profileByName('v7.2')!,
          });
          let follows: string[] = [];
          const NESTED = 1;
          const blocks: NotifierBlock<number>[] = sleepers.map(({ priority, ret, nests }, n) => ({
            name: String(n),
            priority,
            call: (action, id) => {
              if (action === NESTED) {
                follows.push(`nested in ${id}: ${n}`);
                return ret;
              }
              follows.push(`${id} in ${n}`);
              const sleeps = scheduler.schedule(Promise.resolve(), `${id} sleeps in ${n}`);
              return sleeps.then(async () => {
                reference.wake(id);
                if (nests) await lastValueFrom(chain.call(NESTED, id));
                return ret;
              });
            },
          }));
          const stops: (() => void)[] = [];
          const issue = (task: Task, id: number) => {
            reference.issue(id, task);
            switch (task.do) {
              case 'call': {
                const subscription = chain.call(0, id).subscribe({
                  next: (emitted) => {
                    if (emitted.type === 'returned') follows.push(`${id} returned ${emitted.ret}`);
                  },
                  error: (error) => {
                    expect(error).toBeInstanceOf(DeadlockError);
                    follows.push(`${id} deadlock`);
                  },
                });
                stops.push(() => subscription.unsubscribe());
                return;
              }
              case 'stop':
                stops[task.nth]?.();
                return;
              default: {
                const result = chain[task.do](blocks[task.nb]);
                void result.then((ret) => follows.push(`${id} is ${ret}`));
              }
            }
          };
          tasks.forEach((task, id) => {
            void scheduler.schedule(Promise.resolve(), `${id} ${task.do}`).then(() => {
              issue(task, id);
            });
          });
          while (scheduler.count() > 0) {
            await scheduler.waitNext(1);
            await new Promise((resolve) => setImmediate(resolve));
            expect(follows.sort()).toEqual(reference.taken().sort());
            follows = [];
          }
        },
      ),
      { numRuns: 400 },
    );
  });
});
