import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import {
  concat,
  defer,
  EMPTY,
  firstValueFrom,
  from,
  lastValueFrom,
  map,
  mergeMap,
  NEVER,
  Observable,
  of,
  Subject,
  take,
  throwError,
  timer,
  toArray,
} from 'rxjs';
import { describe, expect, it } from 'vitest';
import type { NotifierKind } from '../../../machines/profiles/profile.js';
import { profileByName } from '../../../machines/profiles/timeline.js';
import type { Delivery } from '../../../src/bus/chain-call.js';
import { DeadlockError } from '../../../src/bus/deadlock-error.js';
import type { NotifierBlock, NotifierReturn } from '../../../src/bus/notifier-block.js';
import { NotifierChain } from '../../../src/bus/notifier-chain.js';
import { EndlessWalkError, SleepingCallbackError } from '../../../src/bus/notifier-errors.js';
import { UnsupportedByKernelError } from '../../../machines/unsupported-by-kernel.js';
import {
  NOTIFY_BAD,
  NOTIFY_DONE,
  NOTIFY_OK,
  NOTIFY_STOP,
  NOTIFY_STOP_MASK,
  notifierFromErrno,
  notifierToErrno,
  stops,
} from '../../../src/bus/notify-return.js';
import { scheduleWork } from '../../../src/bus/schedule-work.js';
import { emissions, settled } from './oracle-script.js';

const KINDS: readonly NotifierKind[] = ['blocking', 'atomic', 'raw', 'srcu'];
const SLEEPING: readonly NotifierKind[] = ['blocking', 'srcu'];

function chainOf(kind: NotifierKind, kernel = 'v7.2', name = 'pci'): NotifierChain<string> {
  return new NotifierChain<string>({ kind, name, profile: profileByName(kernel)! });
}

type Listener = (action: number, payload: string) => NotifierReturn;

function block(name: string, call: Listener = () => 0, priority = 0): NotifierBlock<string> {
  return { name, priority, call };
}

/** A promise and what settles it. */
function gate<T = number>() {
  let open!: (value: T) => void;
  let fail!: (error: Error) => void;
  const closed = new Promise<T>((resolve, reject) => {
    open = resolve;
    fail = reject;
  });
  return { closed, open, fail };
}

/** Everything that can happen without time passing has happened. */
const idle = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Fails instead of waiting: nothing may hang. */
async function soon<T>(what: PromiseLike<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('hangs')), 2000);
  });
  try {
    return await Promise.race([what, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Subscribes and remembers. */
function run(call: ReturnType<NotifierChain<string>['call']>) {
  const names: string[] = [];
  const state = { names, ret: undefined as number | undefined, error: undefined as unknown };
  const subscription = call.subscribe({
    next: (emitted) => {
      if (emitted.type === 'delivery') names.push(emitted.block);
      else state.ret = emitted.ret;
    },
    error: (error: unknown) => {
      state.error = error;
    },
  });
  return Object.assign(state, { stop: () => subscription.unsubscribe() });
}

async function deadlock(what: () => unknown): Promise<DeadlockError> {
  const error: unknown = await soon(
    (async () => {
      await what();
    })().then(
      () => undefined,
      (error: unknown) => error,
    ),
  );
  expect(error).toBeInstanceOf(DeadlockError);
  return error as DeadlockError;
}

describe('return values', () => {
  it('are those of linux/notifier.h', () => {
    expect([NOTIFY_DONE, NOTIFY_OK, NOTIFY_BAD, NOTIFY_STOP, NOTIFY_STOP_MASK]).toEqual([
      0, 1, 0x8002, 0x8001, 0x8000,
    ]);
  });

  it.each([0, -1, -12, -16, -19, -4095])('hold errno %i and give it back', (err) => {
    expect(notifierToErrno(notifierFromErrno(err))).toBe(err);
    expect(stops(notifierFromErrno(err))).toBe(err !== 0);
  });

  it('-EPERM is NOTIFY_BAD', () => expect(notifierFromErrno(-1)).toBe(NOTIFY_BAD));

  it('a raw negative errno stops and is lost: INV-41', () => {
    for (const err of [-1, -12, -19, -517, -4095]) {
      expect([stops(err), notifierToErrno(err)]).toEqual([true, 0]);
    }
  });
});

describe.each(KINDS)('a call of a %s chain', (kind) => {
  it('tells its deliveries in order and then the last value, before subscribe returns', () => {
    const chain = chainOf(kind);
    chain.register(block('low', () => 5, -1));
    chain.register(block('first', () => NOTIFY_OK));
    chain.register(block('second', () => NOTIFY_DONE));
    const { deliveries, returned } = emissions(chain.call(3, 'dev'));
    const common = { type: 'delivery', chain: 'pci', action: 3, payload: 'dev', call: 0 };
    expect(deliveries).toEqual([
      { ...common, block: 'first', ret: 1, order: 0 },
      { ...common, block: 'second', ret: 0, order: 1 },
      { ...common, block: 'low', ret: 5, order: 2 },
    ]);
    expect(returned).toEqual({ type: 'returned', ret: 5, nrCalls: 3 });
  });

  it('is cold: each subscription calls', () => {
    const chain = chainOf(kind);
    let called = 0;
    chain.register(block('a', () => called++));
    const call = chain.call(1, '');
    expect(called).toBe(0);
    emissions(call);
    emissions(call);
    expect(called).toBe(2);
  });

  it('of nobody returns 0', () => {
    expect(emissions(chainOf(kind).call(1, ''))).toEqual({
      deliveries: [],
      returned: { type: 'returned', ret: 0, nrCalls: 0 },
    });
  });

  it.each([-19, NOTIFY_STOP, NOTIFY_BAD, 0x8017])('is stopped by %i', (ret) => {
    const chain = chainOf(kind);
    chain.register(block('stops', () => ret, 1));
    chain.register(block('never', () => 0));
    const { deliveries, returned } = emissions(chain.call(1, ''));
    expect([deliveries.length, returned.ret]).toEqual([1, ret]);
  });

  it('calls nrToCall callbacks at most', () => {
    const chain = chainOf(kind);
    for (const name of ['a', 'b', 'c']) chain.register(block(name, () => 7));
    const called = (nrToCall: number) => emissions(chain.call(1, '', { nrToCall })).returned;
    expect([-1, -2, 3, 4, 2].map((nr) => called(nr).nrCalls)).toEqual([3, 3, 3, 3, 2]);
    expect(called(0)).toEqual({ type: 'returned', ret: 0, nrCalls: 0 });
  });

  it('fails with what a callback throws, and leaves no lock', async () => {
    const chain = chainOf(kind);
    const bad = block('throws', () => {
      throw new Error('oops');
    });
    chain.register(bad);
    chain.register(block('never'));
    expect(() => emissions(chain.call(1, ''))).toThrow('oops');
    expect(await soon(chain.unregister(bad))).toBe(0);
    expect(emissions(chain.call(1, '')).deliveries).toHaveLength(1);
  });

  it('ends where the subscriber unsubscribes, and leaves no lock', () => {
    const chain = chainOf(kind);
    const a = block('a');
    chain.register(a);
    chain.register(block('b', () => expect.unreachable()));
    const seen: unknown[] = [];
    chain
      .call(1, '')
      .pipe(take(1))
      .subscribe((delivery) => seen.push(delivery));
    expect(seen).toHaveLength(1);
    expect(settled(chain.unregister(a))).toBe(0);
  });

  it('goes out on notifications$, in the order of the returns', () => {
    const chain = chainOf(kind);
    const heard: Delivery<string>[] = [];
    chain.register(block('a', () => 1));
    chain.register(block('b', () => 2));
    emissions(chain.call(1, 'unheard'));
    const listening = chain.notifications$.subscribe((delivery) => heard.push(delivery));
    const { deliveries } = emissions(chain.call(2, 'heard'));
    listening.unsubscribe();
    emissions(chain.call(3, 'unheard'));
    expect(heard).toEqual(deliveries);
    expect(heard.map(({ call, order }) => [call, order])).toEqual([
      [1, 2],
      [1, 3],
    ]);
  });

  it('may unregister a block of its own from the subscriber, which is no callback', async () => {
    const chain = chainOf(kind);
    const a = block('a');
    const b = block('b');
    chain.register(a);
    chain.register(b);
    let result: PromiseLike<number> | undefined;
    chain.call(1, '').subscribe((emitted) => {
      if (emitted.type === 'delivery' && emitted.block === 'a') result = chain.unregister(b);
    });
    expect(await soon(result!)).toBe(0);
    expect(chain.blocks).toEqual(['a']);
  });
});

describe('asynchronous callbacks', () => {
  it.each(SLEEPING)('of a %s chain run one after the other', async (kind) => {
    const chain = chainOf(kind);
    const { closed, open } = gate();
    let entered = '';
    const enter = (name: string, value: NotifierReturn) =>
      block(name, () => {
        entered += name;
        return value;
      });
    chain.register(enter('a', closed));
    chain.register(enter('b', of(7, 8, 9)));
    chain.register(enter('c', EMPTY));
    chain.register(enter('d', timer(1).pipe(map(() => 4))));
    chain.register(enter('e', concat(of(0), timer(1).pipe(map(() => NOTIFY_STOP)))));
    chain.register(enter('f', 0));
    const all = lastValueFrom(chain.call(1, '').pipe(toArray()));
    await idle();
    expect(entered).toBe('a');
    open(NOTIFY_OK);
    const rets = (await soon(all)).map(({ ret }) => ret);
    expect(entered).toBe('abcde');
    expect(rets).toEqual([1, 9, 0, 4, NOTIFY_STOP, NOTIFY_STOP]);
  });

  it.each(SLEEPING)('of a %s chain that fail, fail the call', async (kind) => {
    for (const failing of [
      () => Promise.reject(new Error('oops')),
      () => throwError(() => new Error('oops')),
      () =>
        timer(1).pipe(
          map((): number => {
            throw new Error('oops');
          }),
        ),
    ]) {
      const chain = chainOf(kind);
      const bad = block('bad', failing);
      chain.register(bad);
      await expect(soon(lastValueFrom(chain.call(1, '')))).rejects.toThrow('oops');
      expect(settled(chain.unregister(bad))).toBe(0);
    }
  });

  it.each(SLEEPING)('of a %s chain that come to no number, fail the call', async (kind) => {
    for (const value of [undefined, Promise.resolve(), of('0'), of(of(0))]) {
      const chain = chainOf(kind);
      chain.register(block('void', () => value as never));
      await expect(soon(lastValueFrom(chain.call(1, '')))).rejects.toThrow(TypeError);
    }
  });

  it.each(['atomic', 'raw'] as const)('of a %s chain are an error', async (kind) => {
    for (const value of [Promise.resolve(0), Promise.reject(new Error('lost')), of(0), NEVER]) {
      const chain = chainOf(kind);
      const bad = block('sleeps', () => value as NotifierReturn);
      chain.register(bad);
      const { error } = run(chain.call(1, ''));
      expect(error).toBeInstanceOf(SleepingCallbackError);
      expect(error).toMatchObject({ kind, chain: 'pci', block: 'sleeps' });
      expect(settled(chain.unregister(bad))).toBe(0);
    }
    await idle();
  });

  it('that answer at once do not pile up', () => {
    const chain = chainOf('blocking');
    for (let n = 0; n < 2_000; n++) chain.register(block(String(n), () => of(0), -n));
    expect(emissions(chain.call(1, '')).returned.nrCalls).toBe(2_000);
  });

  it('two calls at once: order tells who entered first, notifications$ who returned first', async () => {
    const chain = chainOf('blocking');
    const gates = [gate(), gate()];
    chain.register(block('a', (action) => gates[action].closed));
    const heard: number[][] = [];
    chain.notifications$.subscribe(({ action, call, order }) => heard.push([action, call, order]));
    const calls = [0, 1].map((action) => lastValueFrom(chain.call(action, '')));
    gates[1].open(0);
    await idle();
    gates[0].open(0);
    await soon(Promise.all(calls));
    expect(heard).toEqual([
      [1, 1, 1],
      [0, 0, 0],
    ]);
  });
});

describe('the walk', () => {
  it('has read next before a callback unregisters itself', () => {
    const chain = chainOf('raw');
    const a = block('a', () => settled(chain.unregister(a)));
    chain.register(a);
    chain.register(block('b'));
    expect(run(chain.call(1, '')).names).toEqual(['a', 'b']);
    expect(run(chain.call(1, '')).names).toEqual(['b']);
  });

  it('calls the next one though it was unregistered meanwhile', () => {
    const chain = chainOf('raw');
    const b = block('b');
    chain.register(block('a', () => settled(chain.unregister(b)) & 1));
    chain.register(b);
    chain.register(block('c'));
    expect(run(chain.call(1, '')).names).toEqual(['a', 'b', 'c']);
  });

  it('misses what is registered right behind the running block, and sees what comes later', () => {
    const chain = chainOf('raw');
    const near = block('near', () => 0, 5);
    const far = block('far', () => 0, -5);
    chain.register(
      block(
        'a',
        () => {
          chain.register(near);
          chain.register(far);
          return 0;
        },
        9,
      ),
    );
    chain.register(block('b'));
    expect(run(chain.call(1, '')).names).toEqual(['a', 'b', 'far']);
  });

  it('goes over to another chain with a block that is registered there: K01', () => {
    const pci = chainOf('blocking', 'v7.2', 'pci');
    const vio = chainOf('blocking', 'v7.2', 'vio');
    const nb = block('iommu');
    pci.register(nb);
    vio.register(nb);
    const payloads: string[] = [];
    pci.register(block('vgaarb', (_action, dev) => payloads.push(dev)));
    emissions(vio.call(1, 'a vio device'));
    expect(payloads).toEqual(['a vio device']);
    expect([pci.blocks, vio.blocks]).toEqual([
      ['iommu', 'vgaarb'],
      ['iommu', 'vgaarb'],
    ]);
  });

  it('without end is an error: K05 cases 1, 2 and 4', async () => {
    for (const kind of KINDS) {
      const chain = chainOf(kind, 'v3.6');
      const a = block('a');
      chain.register(a);
      expect(settled(chain.register(a))).toBe(0);
      expect(run(chain.call(1, ''))).toMatchObject({
        names: ['a'],
        error: { name: 'EndlessWalkError', chain: 'pci', cycle: ['a'] },
      });
      expect(() => chain.register(block('b'))).toThrow(EndlessWalkError);
      expect(() => chain.unregister(block('b'))).toThrow(EndlessWalkError);
      expect(await soon(chain.unregister(a))).toBe(0);
      expect(run(chain.call(1, '')).error).toBeInstanceOf(EndlessWalkError);
      expect(emissions(chain.call(1, '', { nrToCall: 3 })).returned.nrCalls).toBe(3);
    }
  });

  it('loses a block to a second registration: K05 case 3', () => {
    const chain = chainOf('blocking', 'v3.6');
    const [a, b] = [block('a'), block('b')];
    for (const nb of [a, b, a]) expect(settled(chain.register(nb))).toBe(0);
    expect(run(chain.call(1, '')).names).toEqual(['a']);
    expect(settled(chain.unregister(b))).toBe(-2);
  });

  it.each([
    ['v5.10', 0, /a: double register detected/],
    ['v7.2', -17, /a already registered|a: already registered/],
  ])('%s answers a second registration with %i and a WARN', (kernel, ret, warning) => {
    const chain = chainOf('srcu', kernel);
    const a = block('a');
    expect(chain.register(a).warning).toBeUndefined();
    const again = chain.register(a);
    expect(again.ret).toBe(ret);
    expect(again.warning).toMatch(warning);
    expect(chain.blocks).toEqual(['a']);
  });

  it('reads the priority when it passes, as the kernel does', () => {
    const chain = chainOf('raw');
    const a = { ...block('a'), priority: 0 };
    chain.register(a);
    a.priority = 9;
    chain.register(block('b', () => 0, 5));
    expect(chain.blocks).toEqual(['a', 'b']);
  });

  it('takes a frozen block', () => {
    const chain = chainOf('raw');
    chain.register(Object.freeze(block('a')));
    expect(chain.blocks).toEqual(['a']);
  });
});

describe('what a generation does not have', () => {
  it.each([
    ['v3.6', []],
    ['v5.10', ['blocking', 'atomic', 'raw']],
    ['v6.1', ['blocking', 'raw']],
    ['v7.2', ['blocking', 'raw']],
  ])('%s: call_chain_robust of %j', (kernel, having) => {
    for (const kind of KINDS) {
      const robust = () => chainOf(kind, kernel).callRobust(1, 2, '');
      if (having.includes(kind)) expect(robust).not.toThrow();
      else expect(robust).toThrow(UnsupportedByKernelError);
    }
  });

  it.each([
    ['v5.10', []],
    ['v6.1', ['blocking', 'atomic']],
    ['v7.2', ['blocking', 'atomic']],
  ])('%s: register_unique_prio of %j', (kernel, having) => {
    for (const kind of KINDS) {
      const unique = () => settled(chainOf(kind, kernel).registerUniquePriority(block('a')));
      if (having.includes(kind)) expect(unique()).toBe(0);
      else expect(unique).toThrow(`${kernel} has no ${kind}_notifier_chain_register_unique_prio`);
    }
  });
});

describe('the robust call: INV-18', () => {
  it('rolls back those before the one that failed, forwards', () => {
    const chain = chainOf('blocking');
    const calls: string[] = [];
    const member = (name: string, ret: number) =>
      chain.register(block(name, (action) => (calls.push(`${name}${action}`), ret)));
    member('a', 1);
    member('b', 0);
    member('c', notifierFromErrno(-16));
    member('d', 0);
    const { returned } = emissions(chain.callRobust(1, 2, ''));
    expect(calls).toEqual(['a1', 'b1', 'c1', 'a2', 'b2']);
    expect(returned).toEqual({ type: 'returned', ret: notifierFromErrno(-16), nrCalls: 3 });
    expect(notifierToErrno(returned.ret)).toBe(-16);
  });

  it('has nobody to roll back when the first fails, and no reason to when nobody does', () => {
    for (const ret of [NOTIFY_BAD, NOTIFY_OK]) {
      const chain = chainOf('raw');
      chain.register(block('a', () => ret));
      expect(emissions(chain.callRobust(1, 2, '')).deliveries).toHaveLength(1);
    }
  });

  it('keeps writers out between up and down: K06', async () => {
    const chain = chainOf('blocking');
    const fails = gate();
    const calls: string[] = [];
    chain.register(block('a', (action) => (calls.push(`a${action}`), 0), 2));
    chain.register(
      block(
        'b',
        (action) => {
          calls.push(`b${action}`);
          return fails.closed;
        },
        1,
      ),
    );
    const robust = lastValueFrom(chain.callRobust(1, 2, ''));
    const late = chain.register(block('z', (action) => (calls.push(`z${action}`), 0), 99));
    expect(late.ret).toBeUndefined();
    fails.open(NOTIFY_BAD);
    await soon(robust);
    expect(await soon(late)).toBe(0);
    expect(calls).toEqual(['a1', 'b1', 'a2']);
  });

  it('of an atomic chain holds the lock that register takes', () => {
    const chain = chainOf('atomic', 'v5.10');
    chain.register(block('a', () => settled(chain.register(block('b')))));
    const { error } = run(chain.callRobust(1, 2, ''));
    expect(error).toBeInstanceOf(DeadlockError);
    expect((error as DeadlockError).message).toContain('pci.lock');
    expect(emissions(chain.call(1, '')).returned.ret).toBe(0);
    expect(chain.blocks).toEqual(['a', 'b']);
  });
});

describe('the rwsem of a blocking chain', () => {
  it('lets readers run together', async () => {
    const chain = chainOf('blocking');
    const { closed, open } = gate();
    let inside = 0;
    chain.register(block('a', () => (inside++, closed)));
    const calls = [1, 2, 3].map((action) => lastValueFrom(chain.call(action, '')));
    expect(inside).toBe(3);
    open(0);
    await soon(Promise.all(calls));
  });

  it('holds new readers back behind a queued writer, who waits for the old ones', async () => {
    const chain = chainOf('blocking');
    const { closed, open } = gate();
    const log: string[] = [];
    const a = block('a', (action) => {
      log.push(`in ${action}`);
      return closed.then((ret) => {
        log.push(`out ${action}`);
        return ret;
      });
    });
    chain.register(a);
    const first = lastValueFrom(chain.call(1, ''));
    const gone = chain.unregister(a);
    void gone.then(() => log.push('unregistered'));
    const second = lastValueFrom(chain.call(2, ''));
    const back = chain.register(block('late', (action) => (log.push(`late ${action}`), 0)));
    await idle();
    expect([gone.ret, back.ret, log]).toEqual([undefined, undefined, ['in 1']]);
    open(0);
    await soon(Promise.all([first, second, back]));
    expect(log.filter((line) => !line.startsWith('late'))).toEqual([
      'in 1',
      'out 1',
      'unregistered',
    ]);
    expect([gone.ret, chain.blocks]).toEqual([0, ['late']]);
  });

  it('is not taken for an empty chain', () => {
    const chain = chainOf('blocking');
    expect(emissions(chain.call(1, '')).returned.ret).toBe(0);
  });

  it('is released by who unsubscribes, at once from an observable', async () => {
    const chain = chainOf('blocking');
    let stopped = false;
    const endless = new Observable<number>(() => () => {
      stopped = true;
    });
    const a = block('a', () => endless);
    chain.register(a);
    const call = run(chain.call(1, ''));
    const gone = chain.unregister(a);
    await idle();
    expect(gone.ret).toBeUndefined();
    call.stop();
    expect([stopped, gone.ret]).toEqual([true, 0]);
  });

  it('is released when the promise is over that nobody can stop: INV-17', async () => {
    const chain = chainOf('blocking');
    const { closed, open } = gate();
    const a = block('a', () => closed);
    chain.register(a);
    chain.register(block('b', () => expect.unreachable()));
    const call = run(chain.call(1, ''));
    const gone = chain.unregister(a);
    call.stop();
    await idle();
    expect(gone.ret).toBeUndefined();
    open(0);
    expect(await soon(gone)).toBe(0);
  });

  it('is not taken by a call that was given up in the queue', async () => {
    const chain = chainOf('blocking');
    const { closed, open } = gate();
    chain.register(block('a', (action) => (action === 1 ? closed : expect.unreachable())));
    const first = run(chain.call(1, ''));
    const writer = chain.register(block('b'));
    const second = run(chain.call(2, ''));
    second.stop();
    open(0);
    expect(await soon(writer)).toBe(0);
    await idle();
    expect([first.ret, second.ret]).toEqual([0, undefined]);
  });

  it('is gone round while the system boots', () => {
    for (const kind of SLEEPING) {
      const chain = new NotifierChain<string>({
        kind,
        name: 'early',
        profile: profileByName('v7.2')!,
        booting: true,
      });
      const b = block('b');
      const a = block('a', () => settled(chain.register(b)) + settled(chain.unregister(a)));
      chain.register(a);
      expect(emissions(chain.call(1, '')).returned.ret).toBe(0);
      expect(chain.blocks).toEqual(['b']);
      chain.booting = false;
      const c = block('c', () => settled(chain.unregister(c)));
      chain.register(c);
      expect(run(chain.call(1, '')).error).toBeInstanceOf(DeadlockError);
    }
  });
});

describe('the grace period of an srcu chain', () => {
  it('waits for the calls that ran before it, not for later ones', async () => {
    const chain = chainOf('srcu');
    const gates = [gate(), gate()];
    const a = block('a', (action) => gates[action].closed);
    chain.register(a);
    chain.register(block('b', (action) => gates[action].closed));
    const first = lastValueFrom(chain.call(0, ''));
    const gone = chain.unregister(a);
    expect([gone.ret, chain.blocks]).toEqual([undefined, ['b']]);
    const second = lastValueFrom(chain.call(1, ''));
    gates[0].open(0);
    expect(await soon(gone)).toBe(0);
    gates[1].open(0);
    await soon(Promise.all([first, second]));
  });

  it('is waited for even when there was nothing to unregister', async () => {
    const chain = chainOf('srcu');
    const { closed, open } = gate();
    chain.register(block('a', () => closed));
    run(chain.call(1, ''));
    const gone = chain.unregister(block('b'));
    expect(gone.ret).toBeUndefined();
    open(0);
    expect(await soon(gone)).toBe(-2);
  });
});

describe('deadlocks', () => {
  /** Whatever a callback does goes through a promise too. */
  const later = async <T>(what: () => T): Promise<Awaited<T>> => {
    await Promise.resolve();
    return await what();
  };
  const ways = [
    { way: 'at once', wrap: (what: () => PromiseLike<number>) => what() },
    { way: 'after an await', wrap: later },
    { way: 'after a timer', wrap: (what: () => PromiseLike<number>) => sleep(1).then(what) },
    {
      way: 'in an observable',
      wrap: (what: () => PromiseLike<number>) => defer(() => from(what())),
    },
  ] as const;

  describe.each(ways)('$way', ({ wrap }) => {
    it.each([
      ['blocking', 'register'],
      ['blocking', 'unregister'],
      ['srcu', 'unregister'],
    ] as const)('inside a callback of the same %s chain: %s (K03)', async (kind, what) => {
      const chain = chainOf(kind);
      const other = block('other');
      const vfio = block('vfio', () => wrap(() => chain[what](other)) as NotifierReturn);
      chain.register(vfio);
      const { cycle, message } = await deadlock(() => lastValueFrom(chain.call(6, '')));
      const lock = kind === 'blocking' ? 'pci.rwsem for reading' : 'srcu_read_lock of pci';
      expect(cycle).toEqual([
        {
          who: 'callback "vfio" in call(6) on "pci"',
          holds: lock,
          waitsFor: `${what}("other") on "pci"`,
        },
        {
          who: `${what}("other") on "pci"`,
          holds: undefined,
          waitsFor: kind === 'blocking' ? 'pci.rwsem for writing' : 'synchronize_srcu of pci',
        },
      ]);
      expect(message).toContain(
        `  callback "vfio" in call(6) on "pci" holds ${lock} and waits for`,
      );
      expect(message).toContain('held by callback "vfio" in call(6) on "pci"');
      expect(await soon(chain.unregister(vfio))).toBe(0);
    });

    it('a nested call while a writer is queued', async () => {
      const chain = chainOf('blocking');
      const { closed, open } = gate();
      const nested = async () => (await lastValueFrom(chain.call(2, ''))).ret;
      chain.register(
        block('outer', (action) =>
          action === 1 ? from(closed).pipe(mergeMap(() => wrap(nested))) : 0,
        ),
      );
      const call = lastValueFrom(chain.call(1, ''));
      const writer = chain.register(block('writer'));
      open(0);
      const { cycle } = await deadlock(() => call);
      expect(cycle.map(({ who }) => who)).toEqual([
        'callback "outer" in call(1) on "pci"',
        'call(2) on "pci"',
        'register("writer") on "pci"',
      ]);
      expect(await soon(writer)).toBe(0);
    });

    it.each(SLEEPING)('awaiting a queued writer of the same %s chain', async (kind) => {
      const chain = chainOf(kind);
      const { closed, open } = gate();
      const box: { writer?: PromiseLike<number> } = {};
      chain.register(
        block('waits', () => from(closed).pipe(mergeMap(() => wrap(() => box.writer!)))),
      );
      const call = lastValueFrom(chain.call(1, ''));
      const writer = (box.writer = chain.unregister(block('gone')));
      open(0);
      const { message } = await deadlock(() => call);
      expect(message).toContain('unregister("gone") on "pci"');
      expect(await soon(writer)).toBe(-2);
    });
  });

  it('a nested call without a queued writer is none', async () => {
    const chain = chainOf('blocking');
    chain.register(
      block('outer', async (action) =>
        action === 1 ? (await lastValueFrom(chain.call(2, ''))).ret : 7,
      ),
    );
    expect((await soon(lastValueFrom(chain.call(1, '')))).ret).toBe(7);
  });

  it('unregister inside a callback of another atomic chain: RCU has one grace period', () => {
    const [pci, usb] = [chainOf('atomic'), chainOf('atomic', 'v7.2', 'usb')];
    pci.register(block('a', () => settled(usb.unregister(block('b')))));
    expect(run(pci.call(1, '')).error).toBeInstanceOf(DeadlockError);
  });

  it('unregister inside a callback of another chain is none', () => {
    for (const kind of ['blocking', 'srcu', 'raw'] as const) {
      const [pci, usb] = [chainOf(kind), chainOf(kind, 'v7.2', 'usb')];
      const b = block('b');
      usb.register(b);
      pci.register(block('a', () => settled(usb.unregister(b))));
      expect(emissions(pci.call(1, '')).returned.ret).toBe(0);
    }
  });

  it('two chains whose callbacks unregister on each other', async () => {
    const [pci, usb] = [chainOf('blocking'), chainOf('blocking', 'v7.2', 'usb')];
    const both = gate();
    const waits = (chain: () => NotifierChain<string>) => async () => {
      await both.closed;
      return await chain().unregister(block('x'));
    };
    pci.register(
      block(
        'p',
        waits(() => usb),
      ),
    );
    usb.register(
      block(
        'u',
        waits(() => pci),
      ),
    );
    const calls = [pci, usb].map((chain) => lastValueFrom(chain.call(1, '')));
    both.open(0);
    const ends = await soon(Promise.allSettled(calls));
    const failed = ends.filter((end) => end.status === 'rejected');
    expect(failed).toHaveLength(1);
    expect(failed[0].reason).toBeInstanceOf(DeadlockError);
    expect((failed[0].reason as DeadlockError).cycle).toHaveLength(4);
  });

  it('a worker that the callback scheduled may unregister: the repair of K03', async () => {
    const chain = chainOf('blocking');
    const { closed, open } = gate();
    const result: { gone?: PromiseLike<number> } = {};
    const vfio = block('vfio', () => {
      scheduleWork(() => {
        result.gone = chain.unregister(vfio);
        open(0);
      });
      return closed;
    });
    chain.register(vfio);
    expect((await soon(lastValueFrom(chain.call(1, '')))).ret).toBe(0);
    expect(await soon(result.gone!)).toBe(0);
  });

  it('what a callback leaves behind may unregister after the call', async () => {
    const chain = chainOf('blocking');
    const { closed, open } = gate<PromiseLike<number>>();
    const a = block('a', () => {
      setTimeout(() => open(chain.unregister(a)), 5);
      return 0;
    });
    chain.register(a);
    emissions(chain.call(1, ''));
    expect(await soon(closed)).toBe(0);
  });

  it('who hears notifications$ is in no callback', async () => {
    const chain = chainOf('blocking');
    const a = block('a');
    chain.register(a);
    const gone = firstValueFrom(
      chain.notifications$.pipe(map(() => ({ result: chain.unregister(a) }))),
    );
    emissions(chain.call(1, ''));
    expect(await soon((await gone).result)).toBe(0);
  });
});

it('100,000 rounds leave no subscription and no memory behind', () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const used = () => {
    collect();
    return process.memoryUsage().heapUsed / 1e6;
  };
  let observed = 0;
  for (const kind of KINDS) {
    const chain = chainOf(kind);
    let before = 0;
    // The table of a WeakMap grows once, to what lives between two collections: not a leak.
    for (let n = 0; n < 200_000; n++) {
      if (n === 100_000) before = used();
      const source = new Subject<number>();
      const waits = SLEEPING.includes(kind) && n % 2 === 0;
      const nb = block('nb', () => (waits ? source : 0));
      settled(chain.register(nb));
      const { stop } = run(chain.call(1, ''));
      if (n % 4 === 0) stop();
      else source.complete();
      if (source.observed) observed++;
      settled(chain.unregister(nb));
    }
    expect(used() - before).toBeLessThan(2);
  }
  expect(observed).toBe(0);
});
