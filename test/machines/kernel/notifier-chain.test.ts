import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { AnyStateMachine } from 'xstate';
import { notifierListMachine } from '../../../machines/notifier-list.js';
import type { NotifierListMemory } from '../../../machines/notifier-list.js';
import {
  __notifier_call_chain,
  notifier_call_chain,
  notifier_call_chain_robust,
  notifier_chain_register,
  notifier_chain_register_unique_prio,
  notifier_chain_unregister,
} from '../../../machines/kernel/notifier-chain.js';
import type { Chain, NotifierCall } from '../../../machines/kernel/notifier-chain.js';
import { mutexMachine } from '../../../machines/mutex.js';
import type { KernelProfile, NotifierKind } from '../../../machines/profiles/profile.js';
import { profileByName } from '../../../machines/profiles/timeline.js';
import { rcuMachine } from '../../../machines/rcu.js';
import { rwsemMachine } from '../../../machines/rwsem.js';
import { mayInCallback, readOracle, runScript } from '../../src/bus/oracle-script.js';
import type { Called, Subject } from '../../src/bus/oracle-script.js';
import { Alone } from './run-alone.js';

const KERNELS = ['5.10', '6.1', '6.12', '7.2'] as const;
const KINDS: readonly NotifierKind[] = ['blocking', 'atomic', 'raw', 'srcu'];

const LOCKS = { lock: mutexMachine, rwsem: rwsemMachine, rcu: rcuMachine };

function chainOf(
  kind: NotifierKind,
  profile: KernelProfile,
  callbacks: Readonly<Record<string, NotifierCall>>,
): Chain {
  const own = { name: 'chain', list: 'list', profile, callbacks };
  switch (kind) {
    case 'blocking':
      return { ...own, kind, rwsem: 'rwsem' };
    case 'atomic':
      return { ...own, kind, lock: 'lock', rcu: 'rcu' };
    case 'srcu':
      return { ...own, kind, mutex: 'lock', srcu: 'rcu' };
    case 'raw':
      return { ...own, kind };
  }
}

/** The operations, one thread that is alone. A callback's own operations are steps of the same thread. */
class OperationsSubject implements Subject {
  private static readonly lists = new Map<KernelProfile, AnyStateMachine>();
  private readonly alone: Alone;
  private readonly chain: Chain;
  private called: Called = () => 0;

  constructor(
    private readonly kind: NotifierKind,
    private readonly profile: KernelProfile,
  ) {
    let list = OperationsSubject.lists.get(profile);
    if (list === undefined) {
      list = notifierListMachine(profile);
      OperationsSubject.lists.set(profile, list);
    }
    this.alone = new Alone({ list, ...LOCKS });
    const called: Called = (block, val) => this.called(block, val);
    // eslint-disable-next-line require-yield
    const call: NotifierCall = function* ({ block, action }) {
      return called(Number(block), Number(action));
    };
    const callbacks = new Proxy<Record<string, NotifierCall>>({}, { get: () => call });
    this.chain = chainOf(kind, profile, callbacks);
  }

  register(block: number, priority: number | undefined, unique: boolean): number | undefined {
    if (unique && !this.profile.uniquePriority.includes(this.kind)) return undefined;
    const operation = unique ? notifier_chain_register_unique_prio : notifier_chain_register;
    return this.alone.run(operation(this.chain, String(block), priority));
  }

  unregister(block: number): number {
    return this.alone.run(notifier_chain_unregister(this.chain, String(block)));
  }

  call(val: number, nrToCall: number, called: Called) {
    let nrCalls = 0;
    this.called = (block, action) => {
      nrCalls++;
      return called(block, action);
    };
    const ret = this.alone.run(notifier_call_chain(this.chain, String(val), {}, nrToCall));
    return { ret, nrCalls };
  }

  callRobust(up: number, down: number, called: Called) {
    if (!this.profile.robustCall.includes(this.kind)) return undefined;
    this.called = called;
    const operation = notifier_call_chain_robust(this.chain, String(up), String(down), {});
    return { ret: this.alone.run(operation) };
  }

  get blocks(): readonly number[] {
    const { heads, blocks } = this.alone.context('list') as NotifierListMemory;
    const order: number[] = [];
    for (let nb = heads.chain ?? null; nb !== null; nb = blocks[nb].next) order.push(Number(nb));
    return order;
  }
}

describe.each(KERNELS)('what %s answered', (kernel) => {
  const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
  const own = here(`../../oracle/${kernel}.jsonl.gz`);
  const shared = here(`../../../../shared/oracle/${kernel}/notifier-oracle.jsonl.gz`);

  it.each([
    ['test/oracle', own],
    ['../shared/oracle', shared],
  ])('is what the operations answer, %s', (source, file) => {
    if (!existsSync(file)) return;
    const profile = profileByName(kernel)!;
    const scripts = readOracle(file);
    for (const recorded of scripts) {
      const { answers } = runScript(recorded, new OperationsSubject(recorded.chain, profile));
      expect({ id: recorded.id, answers }).toEqual({ id: recorded.id, answers: recorded.result });
    }
    expect(new Set(scripts.map(({ chain }) => chain))).toEqual(new Set(KINDS));
    process.stdout.write(`operations, ${kernel}, ${source}: ${scripts.length} scripts\n`);
  });
});

describe('what the recording module refused to do inside a callback', () => {
  it.each(KINDS.flatMap((kind) => ['R', 'U'].map((what) => ({ kind, what }))))(
    '$kind, $what: waits for itself exactly where it refused',
    ({ kind, what }) => {
      const profile = profileByName('7.2')!;
      const alone = new Alone({ list: notifierListMachine(profile), ...LOCKS });
      const callbacks: Record<string, NotifierCall> = {
        block: () =>
          what === 'R'
            ? notifier_chain_register(chain, 'other')
            : notifier_chain_unregister(chain, 'block'),
      };
      const chain = chainOf(kind, profile, callbacks);
      alone.run(notifier_chain_register(chain, 'block'));
      const call = () => alone.run(notifier_call_chain(chain, '1', {}));
      if (mayInCallback(kind, what)) expect(call()).toBe(0);
      else expect(call).toThrow(/^it waits at/);
    },
  );
});

describe('__notifier_call_chain', () => {
  it.each([
    [-1, { ret: 0x8002, nrCalls: 2 }, ['A', 'B']],
    [1, { ret: 0, nrCalls: 1 }, ['A']],
    [0, { ret: 0, nrCalls: 0 }, []],
  ])('says how many it called, of at most %i', (nrToCall, answer, called) => {
    const profile = profileByName('5.5')!;
    const alone = new Alone({ list: notifierListMachine(profile), ...LOCKS });
    const heard: string[] = [];
    const returns = (ret: number): NotifierCall =>
      // eslint-disable-next-line require-yield
      function* ({ block }) {
        heard.push(block);
        return ret;
      };
    const chain = chainOf('blocking', profile, {
      A: returns(0),
      B: returns(0x8002),
      C: returns(0),
    });
    expect(alone.run(__notifier_call_chain(chain, 'up', {}, nrToCall))).toEqual({
      ret: 0,
      nrCalls: 0,
    });
    for (const block of ['A', 'B', 'C']) alone.run(notifier_chain_register(chain, block));
    expect(alone.run(__notifier_call_chain(chain, 'up', {}, nrToCall))).toEqual(answer);
    expect(heard).toEqual(called);
  });
});
