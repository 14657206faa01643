import { describe, expect, it } from 'vitest';
import { createActor } from 'xstate';
import { InternedMachine } from '../../machines/intern.js';
import { chainBlocks, ChainWalk, notifierChainMachine } from '../../machines/notifier-chain.js';
import type {
  NotifierChainEvent,
  NotifierChainReply,
  NotifierMemory,
} from '../../machines/notifier-chain.js';
import { profileByName } from '../../machines/profiles/timeline.js';

/** `+A` register, `+A/5` with a priority, `!A/5` by unique priority, `-A` unregister, `call`. */
function events(text: string): NotifierChainEvent[] {
  return text.split(' ').map((word) => {
    const [, chain = 'chain', op, block, prio] = /^(?:(\w+):)?(\+|-|!|call)(\w*)\/?(-?\d+)?$/.exec(
      word,
    )!;
    const priority = prio === undefined ? {} : { priority: Number(prio) };
    switch (op) {
      case '+':
        return { type: 'register', chain, block, ...priority };
      case '!':
        return { type: 'register_unique_prio', kind: 'blocking', chain, block, ...priority };
      case '-':
        return { type: 'unregister', chain, block };
      default:
        return { type: 'walk', chain };
    }
  });
}

interface Run {
  readonly replies: readonly NotifierChainReply[];
  readonly broken: readonly (string | undefined)[];
  readonly state: string;
  readonly memory: NotifierMemory;
  /** Replies in short: return values, names of the blocks walked, `hang`. */
  readonly told: string;
}

const machines = new Map<string, InternedMachine>();

function run(kernel: string, text: string): Run {
  let machine = machines.get(kernel);
  if (machine === undefined) {
    machine = new InternedMachine(notifierChainMachine(profileByName(kernel)!));
    machines.set(kernel, machine);
  }
  let state = machine.initial;
  const replies: NotifierChainReply[] = [];
  const broken: (string | undefined)[] = [];
  for (const event of events(text)) {
    const id = machine.event(event);
    expect(machine.replies(state, id)).toHaveLength(1);
    replies.push(machine.replies(state, id)[0] as NotifierChainReply);
    broken.push(machine.breaks(state, id));
    state = machine.next(state, id);
  }
  const told = replies.map((reply) => {
    if (reply.type === 'returned') return String(reply.ret);
    return reply.type === 'walked' ? reply.blocks.join('') : reply.type;
  });
  return {
    replies,
    broken: broken.filter((rule) => rule !== undefined),
    state: machine.stateName(state),
    memory: machine.context(state) as NotifierMemory,
    told: told.join(' '),
  };
}

const ALL = ['v3.6', 'v5.4', 'v5.5', 'v5.10', 'v5.16', 'v5.17', 'v6.1', 'v6.12', 'v7.2'];

describe('a chain that nobody corrupts', () => {
  it.each(ALL)('%s: descending priority, first come first among equals', (kernel) => {
    const { told, broken, state } = run(kernel, '+A/1 +B/5 +C/1 +D/-3 +E/5 +F call -B -C -C call');
    expect(told).toBe('0 0 0 0 0 0 BEACFD 0 0 -2 EAFD');
    expect({ broken, state }).toEqual({ broken: [], state: 'wellFormed' });
  });

  it.each(ALL)('%s: an unregistered block keeps its next', (kernel) => {
    expect(run(kernel, '+A +B -A').memory.blocks['A']).toEqual({ next: 'B', priority: 0 });
  });

  it('does not mind what a block is called', () => {
    const { told } = run('v7.2', '+__proto__ +constructor __proto__:call call -__proto__ call');
    expect(told).toBe('0 0  __proto__constructor 0 constructor');
  });

  it('stops, counts and returns as notifier_call_chain does', () => {
    const machine = new InternedMachine(notifierChainMachine(profileByName('v7.2')!));
    let state = machine.initial;
    for (const event of events('+A +B +C')) state = machine.next(state, machine.event(event));
    const walk = (more: object) =>
      machine.replies(state, machine.event({ type: 'walk', chain: 'chain', ...more } as never))[0];
    expect(walk({ returns: { A: 1, B: 0x8001, C: 5 } })).toEqual({
      type: 'walked',
      blocks: ['A', 'B'],
      ret: 0x8001,
      nrCalls: 2,
    });
    expect(walk({ returns: { A: 1 } })).toMatchObject({ ret: 0, nrCalls: 3 });
    expect(walk({ returns: { A: -19 } })).toMatchObject({ ret: -19, nrCalls: 1 });
    expect(walk({ nrToCall: 2, returns: { B: 7 } })).toMatchObject({ ret: 7, nrCalls: 2 });
    expect(walk({ nrToCall: 0 })).toMatchObject({ blocks: [], ret: 0, nrCalls: 0 });
  });
});

describe('duplicate registration', () => {
  it.each([
    ['v3.6', '0 0 0 A', ['INV-14']],
    ['v5.4', '0 0 0 A', ['INV-14']],
    ['v5.5', '0 0 0 AB', []],
    ['v5.16', '0 0 0 AB', []],
    ['v5.17', '0 0 -17 AB', []],
    ['v7.2', '0 0 -17 AB', []],
  ])('%s answers %s', (kernel, told, rules) => {
    const { broken, ...answer } = run(kernel, '+A +B +A call');
    expect({ told: answer.told, broken }).toEqual({ told, broken: rules });
  });

  it.each([
    ['v5.10', 'double register detected'],
    ['v6.1', 'already registered'],
  ])('warns in %s', (kernel, warn) => {
    expect(run(kernel, '+A +A').replies[1]).toMatchObject({ warn });
  });

  it.each(ALL)('%s does not see one whose priority was raised: B.1.1', (kernel) => {
    const { broken, told, state } = run(kernel, '+B/5 +A/1 +A/9 call');
    expect(told).toBe('0 0 0 hang');
    expect({ broken, state }).toEqual({ broken: ['INV-14', 'INV-14'], state: 'violated.endless' });
  });

  it.each(['v5.10', 'v5.16'])('%s: two that returned 0 and one unregister that does', (kernel) => {
    expect(run(kernel, '+A +A -A -A').told).toBe('0 0 0 -2');
  });
});

describe('K05: duplicate registration corrupts the chain of v3.6', () => {
  it('case 1: A, A, B: register never returns', () => {
    const { told, broken, replies } = run('v3.6', '+A +A +B');
    expect(told).toBe('0 0 hang');
    expect(replies[2]).toEqual({ type: 'hang', cycle: ['A'] });
    expect(broken).toEqual(['INV-14', 'INV-14']);
  });

  it('case 2: A, A and a call that never returns', () => {
    const { replies } = run('v3.6', '+A +A call');
    expect(replies[2]).toEqual({ type: 'hang', cycle: ['A'], blocks: ['A'] });
  });

  it('case 3: A, B, A: B is lost', () => {
    const { told, broken } = run('v3.6', '+A +B +A call -B');
    expect(told).toBe('0 0 0 A -2');
    expect(broken).toEqual(['INV-14']);
  });

  it('case 4: unregistered with 0 and still linked', () => {
    const { told, broken, state } = run('v3.6', '+A +A -A call');
    expect(told).toBe('0 0 0 hang');
    expect(broken).toEqual(['INV-14', 'INV-17', 'INV-14']);
    expect(state).toBe('violated.endless');
  });

  it('a call with a limit, or with a callback that stops it, ends', () => {
    const machine = new InternedMachine(notifierChainMachine(profileByName('v3.6')!));
    let state = machine.initial;
    for (const event of events('+A +A')) state = machine.next(state, machine.event(event));
    const walk = (more: object) =>
      machine.replies(state, machine.event({ type: 'walk', chain: 'chain', ...more } as never))[0];
    expect(walk({ nrToCall: 3 })).toMatchObject({ type: 'walked', blocks: ['A', 'A', 'A'] });
    expect(walk({ returns: { A: 0x8002 } })).toMatchObject({ blocks: ['A'], ret: 0x8002 });
  });
});

describe('K01: one block on two chains, which no generation notices', () => {
  it.each(ALL)('%s: what is put behind it on one chain is called on the other', (kernel) => {
    const { told, broken, state } = run(kernel, 'P:+nb V:+nb P:+x V:call P:call');
    expect(told).toBe('0 0 0 nbx nbx');
    expect({ broken, state }).toEqual({ broken: ['INV-15'], state: 'corrupt' });
  });

  it.each(ALL)('%s: the tail of the first chain is lost', (kernel) => {
    const { told, broken } = run(kernel, 'P:+nb P:+x V:+nb P:call V:call P:-x');
    expect(told).toBe('0 0 0 nb nb -2');
    expect(broken).toEqual(['INV-15']);
  });

  it.each(ALL)('%s: or the second chain is adopted by the first', (kernel) => {
    expect(run(kernel, 'V:+x P:+nb/9 V:+nb/9 P:call').told).toBe('0 0 0 nbx');
  });

  it.each(ALL)('%s: one after the other is legal', (kernel) => {
    expect(run(kernel, 'P:+nb P:-nb V:+nb V:call')).toMatchObject({ broken: [], told: '0 0 0 nb' });
  });
});

describe('register_unique_prio', () => {
  it.each(['v6.1', 'v6.12', 'v7.2'])('%s: -EBUSY for a priority that is taken', (kernel) => {
    expect(run(kernel, '!A/1 !B/1 !B/2 +C/1 call !A/1').told).toBe('0 -16 0 0 BAC -17');
  });

  it.each(['v3.6', 'v5.10'])('%s has none', (kernel) => {
    expect(run(kernel, '!A/1 call').told).toBe('unsupported ');
  });

  it('is there for atomic and blocking chains', () => {
    const machine = new InternedMachine(notifierChainMachine(profileByName('v7.2')!));
    const type = (kind: string) => {
      const event = { type: 'register_unique_prio', kind, chain: 'c', block: 'A' };
      return (machine.replies(machine.initial, machine.event(event))[0] as NotifierChainReply).type;
    };
    expect(['blocking', 'atomic', 'raw', 'srcu'].map(type)).toEqual([
      'returned',
      'returned',
      'unsupported',
      'unsupported',
    ]);
  });
});

describe('the machine', () => {
  it('says the same as an actor', () => {
    const heard: NotifierChainReply[] = [];
    const actor = createActor(notifierChainMachine(profileByName('v3.6')!));
    actor.on('*', (reply) => heard.push(reply as never));
    actor.start();
    const text = '+A +B P:+A call +A -B call';
    for (const event of events(text)) actor.send(event);
    expect(heard).toEqual(run('v3.6', text).replies);
  });

  it('has plain data for its context', () => {
    const { memory } = run('v3.6', '+A +B P:+A');
    expect(JSON.parse(JSON.stringify(memory))).toEqual({ ...memory });
  });
});

describe('the algorithm over objects', () => {
  interface Node {
    next: Node | null;
  }
  const memory = {
    head: (chain: { head: Node | null }) => chain.head,
    next: (node: Node) => node.next,
    priority: () => 0,
    version: () => 0,
  };

  it.each([0, 1, 2, 3, 10, 1000])('finds the cycle behind a tail of %i blocks', (tail) => {
    for (const length of [1, 2, 3, 7, 64]) {
      const nodes: Node[] = Array.from({ length: tail + length }, () => ({ next: null }));
      nodes.forEach((node, n) => (node.next = nodes[n + 1] ?? nodes[tail]));
      const chain = { head: nodes[0] };
      const walk = new ChainWalk(memory, chain);
      let calls = 0;
      while (walk.take() !== null) {
        walk.answered(0);
        calls++;
      }
      expect(new Set(walk.cycle)).toEqual(new Set(nodes.slice(tail)));
      expect(calls).toBeLessThanOrEqual(4 * (tail + length) + 16);
      expect(chainBlocks(memory, chain)).toMatchObject({ blocks: nodes });
    }
  });

  it('does not take a long list for a cycle', () => {
    const nodes: Node[] = Array.from({ length: 5000 }, () => ({ next: null }));
    nodes.forEach((node, n) => (node.next = nodes[n + 1] ?? null));
    const walk = new ChainWalk(memory, { head: nodes[0] });
    while (walk.take() !== null) walk.answered(0);
    expect([walk.nrCalls, walk.cycle]).toEqual([5000, undefined]);
  });
});
