/**
 * Notifier chains as memory: heads, and blocks that carry the link. B.1, kernel/notifier.c.
 *
 * The link is inside the block, so what a chain is depends on every block that anybody linked: a
 * block on two chains joins them (K01), a block linked twice cuts its chain or bites its own tail
 * (K05). Nothing here knows who is registered; like the kernel it knows `next` and `priority`.
 *
 * The functions read a ChainMemory and say what to write. The machine below runs them over plain
 * data with names for pointers, src/bus over objects: there is one definition.
 */

import { EBUSY, EEXIST, ENOENT } from './errno.js';
import { produce } from 'immer';
import { assign, emit, setup } from 'xstate';
import type { AnyStateMachine } from 'xstate';
import type { KernelProfile, NotifierKind } from './profiles/profile.js';

/** No callback is called after one whose value has this bit. */
export const NOTIFY_STOP_MASK = 0x8000;

/** Whether a callback's value ends the call; every negative errno has the bit too (INV-41). */
export function stops(ret: number): boolean {
  return (ret & NOTIFY_STOP_MASK) !== 0;
}

/** What the algorithms read. */
export interface ChainMemory<Chain, Block> {
  head(chain: Chain): Block | null;
  next(block: Block): Block | null;
  priority(block: Block): number;
  /** Changes with every write to a head or a `next`: tells whether a walk saw one memory. */
  version(): number;
}

/** A pointer variable, the kernel's `struct notifier_block **nl`: a head or a block's `next`. */
export type Link<Chain, Block> =
  { readonly in: 'head'; readonly chain: Chain } | { readonly in: 'block'; readonly block: Block };

export interface LinkWrite<Chain, Block> {
  readonly link: Link<Chain, Block>;
  readonly to: Block | null;
}

/** What a writer's function came to. */
export type ChainChange<Chain, Block> =
  | {
      readonly type: 'returned';
      /** 0 or a negative errno. */
      readonly ret: number;
      /** The WARN that the kernel prints. */
      readonly warn?: string;
      /** To be done in this order. */
      readonly writes: readonly LinkWrite<Chain, Block>[];
    }
  /** It goes round these blocks for ever, with the chain's lock held. */
  | { readonly type: 'hang'; readonly cycle: readonly Block[] };

/** Brent's search for a cycle: the first block is remembered, then others at growing distances. */
interface Round<Block> {
  mark: Block | null;
  /** Of the memory when the block was remembered. */
  version: number;
  steps: number;
  nextMark: number;
}

function newRound<Chain, Block>(memory: ChainMemory<Chain, Block>, chain: Chain): Round<Block> {
  return { mark: memory.head(chain), version: memory.version(), steps: 0, nextMark: FIRST_MARK };
}
const FIRST_MARK = 8;

/** Whether the walk was at `at` before, in the same memory. */
function comesRound<Block>(
  round: Round<Block>,
  at: Block,
  memory: Pick<ChainMemory<never, Block>, 'version'>,
): boolean {
  if (at === round.mark && round.steps > 0 && round.version === memory.version()) return true;
  if (++round.steps === round.nextMark) {
    round.mark = at;
    round.version = memory.version();
    round.nextMark *= 2;
  }
  return false;
}

/**
 * notifier_chain_register: goes before the first block of lower priority, so equal ones stay in
 * the order of their registration.
 *
 * @param unique as *_register_unique_prio
 * @returns 0; -EBUSY: `unique`, and the priority is taken; for a block that the walk meets, what
 *   `duplicates` says: 0 with a WARN, -EEXIST with a WARN, or 0 with a corrupt chain. The walk ends
 *   at the insertion point: a linked block whose priority was raised since is not met (B.1.1).
 */
export function notifierChainRegister<Chain, Block>(
  memory: ChainMemory<Chain, Block>,
  chain: Chain,
  block: Block,
  duplicates: KernelProfile['duplicateRegistration'],
  unique = false,
): ChainChange<Chain, Block> {
  const priority = memory.priority(block);
  const round = newRound(memory, chain);
  let link: Link<Chain, Block> = { in: 'head', chain };
  let at = memory.head(chain);
  while (at !== null) {
    if (at === block && duplicates === 'ignored') {
      return { type: 'returned', ret: 0, warn: 'double register detected', writes: [] };
    }
    if (at === block && duplicates === 'refused') {
      return { type: 'returned', ret: -EEXIST, warn: 'already registered', writes: [] };
    }
    if (priority > memory.priority(at)) break;
    if (unique && priority === memory.priority(at)) {
      return { type: 'returned', ret: -EBUSY, writes: [] };
    }
    if (comesRound(round, at, memory)) return { type: 'hang', cycle: cycleFrom(memory, at) };
    link = { in: 'block', block: at };
    at = memory.next(at);
  }
  const writes = [
    { link: { in: 'block', block }, to: at },
    { link, to: block },
  ] satisfies LinkWrite<Chain, Block>[];
  return { type: 'returned', ret: 0, writes };
}

/**
 * notifier_chain_unregister: unlinks the first link to the block and leaves its `next` as it is,
 * for readers that are past it.
 *
 * @returns 0; -ENOENT: not on this chain
 */
export function notifierChainUnregister<Chain, Block>(
  memory: ChainMemory<Chain, Block>,
  chain: Chain,
  block: Block,
): ChainChange<Chain, Block> {
  const round = newRound(memory, chain);
  let link: Link<Chain, Block> = { in: 'head', chain };
  let at = memory.head(chain);
  while (at !== null) {
    if (at === block) {
      return { type: 'returned', ret: 0, writes: [{ link, to: memory.next(block) }] };
    }
    if (comesRound(round, at, memory)) return { type: 'hang', cycle: cycleFrom(memory, at) };
    link = { in: 'block', block: at };
    at = memory.next(at);
  }
  return { type: 'returned', ret: -ENOENT, writes: [] };
}

/**
 * notifier_call_chain, one callback at a time: `take` the block to call, say what it `answered`.
 * A block's `next` is read before its callback: a callback may unlink its own block, and a block
 * unlinked by the one before it is called all the same. Source: B.1.3.
 */
export class ChainWalk<Chain, Block> implements Round<Block> {
  /** The value of the last callback, NOTIFY_DONE (0) while there was none. */
  ret = 0;
  nrCalls = 0;
  /**
   * Set when the walk came round to a block with no link written since: it would call these for
   * ever, unless one of them thought better of it.
   */
  declare cycle?: readonly Block[];
  /** As of a Round, in this object: a call makes one and not two. */
  steps = 0;
  nextMark = FIRST_MARK;
  declare mark: Block | null;
  declare version: number;
  declare private nb: Block | null;
  declare private readonly memory: ChainMemory<Chain, Block>;
  declare private nrToCall: number;

  /** @param nrToCall most callbacks to call; negative: all */
  constructor(memory: ChainMemory<Chain, Block>, chain: Chain, nrToCall = -1) {
    this.memory = memory;
    this.nb = this.mark = memory.head(chain);
    this.version = memory.version();
    this.nrToCall = nrToCall;
  }

  /** The block to call now; null at the end, and when the walk is seen to go round (`cycle`). */
  take(): Block | null {
    const nb = this.nb;
    if (nb === null || this.nrToCall === 0) return null;
    // A walk with a limit ends.
    if (this.nrToCall < 0 && comesRound(this, nb, this.memory)) {
      this.cycle = cycleFrom(this.memory, nb);
      return null;
    }
    this.nb = this.memory.next(nb);
    return nb;
  }

  answered(ret: number): void {
    this.ret = ret;
    this.nrCalls++;
    this.nrToCall--;
    if (stops(ret)) this.nb = null;
  }
}

function cycleFrom<Block>(
  memory: Pick<ChainMemory<never, Block>, 'next'>,
  first: Block,
): readonly Block[] {
  const cycle: Block[] = [];
  let at: Block | null = first;
  while (at !== null && !(cycle.length > 0 && at === first)) {
    cycle.push(at);
    at = memory.next(at);
  }
  return cycle;
}

/** The blocks from a head on, each once, and the cycle in which they end, if they do. */
export function chainBlocks<Chain, Block>(
  memory: ChainMemory<Chain, Block>,
  chain: Chain,
): { readonly blocks: readonly Block[]; readonly cycle: readonly Block[] | undefined } {
  const blocks = new Set<Block>();
  let at = memory.head(chain);
  while (at !== null && !blocks.has(at)) {
    blocks.add(at);
    at = memory.next(at);
  }
  return { blocks: [...blocks], cycle: at === null ? undefined : cycleFrom(memory, at) };
}

/** Chains and blocks by name. Plain JSON; what is in no link is not on a chain. */
export interface NotifierMemory {
  readonly heads: Readonly<Record<string, string | null>>;
  readonly blocks: Readonly<Record<string, NotifierBlockMemory>>;
}

export interface NotifierBlockMemory {
  readonly next: string | null;
  readonly priority: number;
}

/**
 * What the machine hears. `priority` is the field of the block, which its owner may have changed;
 * left out, the field stays as it is (0 in a new block). `head` and `next` are the single reads of
 * a walk whose callbacks do something in between; `walk` is one over a chain that nobody changes.
 */
export type NotifierChainEvent =
  | {
      readonly type: 'register';
      readonly chain: string;
      readonly block: string;
      readonly priority?: number;
    }
  | {
      readonly type: 'register_unique_prio';
      readonly kind: NotifierKind;
      readonly chain: string;
      readonly block: string;
      readonly priority?: number;
    }
  | { readonly type: 'unregister'; readonly chain: string; readonly block: string }
  | { readonly type: 'head'; readonly chain: string }
  | { readonly type: 'next'; readonly block: string }
  | {
      readonly type: 'walk';
      readonly chain: string;
      /** Most callbacks to call; all where left out or negative. */
      readonly nrToCall?: number;
      /** What the callbacks return, by block; NOTIFY_DONE where left out. */
      readonly returns?: Readonly<Record<string, number>>;
    };

/** What the machine answers. */
export type NotifierChainReply =
  | { readonly type: 'returned'; readonly ret: number; readonly warn?: string }
  | { readonly type: 'block'; readonly block: string | null }
  | {
      readonly type: 'walked';
      readonly blocks: readonly string[];
      readonly ret: number;
      readonly nrCalls: number;
    }
  /** The kernel would go round `cycle` for ever; `blocks`: whom a walk called before that showed. */
  | {
      readonly type: 'hang';
      readonly cycle: readonly string[];
      readonly blocks?: readonly string[];
    }
  /** This generation has no such function for this kind of chain. */
  | { readonly type: 'unsupported' };

/** The rules that a write or a walk can break, by the state that it leads to. */
export const NOTIFIER_CHAIN_VIOLATIONS = {
  /** A block linked to a chain that it was on: K05. */
  duplicate: 'INV-14',
  /** A block linked to a chain while on another one: K01. */
  shared: 'INV-15',
  /** Unregistered with 0 and still linked: K05 case 4. */
  stillLinked: 'INV-17',
  /** A walk without end: K05 cases 1 and 2. */
  endless: 'INV-14',
} as const;
type Breach = keyof typeof NOTIFIER_CHAIN_VIOLATIONS;

interface Outcome {
  readonly memory: NotifierMemory;
  readonly reply: NotifierChainReply;
  readonly breach: Breach | undefined;
}

function names(memory: NotifierMemory): ChainMemory<string, string> {
  return {
    head: (chain) => memory.heads[chain] ?? null,
    next: (block) => memory.blocks[block]?.next ?? null,
    priority: (block) => memory.blocks[block]?.priority ?? 0,
    version: () => 0,
  };
}

function written(
  memory: NotifierMemory,
  writes: readonly LinkWrite<string, string>[],
): NotifierMemory {
  return produce(memory, (draft) => {
    for (const { link, to } of writes) {
      if (link.in === 'head') draft.heads[link.chain] = to;
      else draft.blocks[link.block].next = to;
    }
  });
}

/** One event: the memory after it, the answer, and the rule that it broke. */
function outcome(
  profile: KernelProfile,
  memory: NotifierMemory,
  event: NotifierChainEvent,
): Outcome {
  switch (event.type) {
    case 'register':
      return registered(profile, memory, event, false);
    case 'register_unique_prio':
      return profile.uniquePriority.includes(event.kind)
        ? registered(profile, memory, event, true)
        : { memory, reply: { type: 'unsupported' }, breach: undefined };
    case 'unregister': {
      const change = notifierChainUnregister(names(memory), event.chain, event.block);
      if (change.type === 'hang') return hung(memory, change.cycle);
      const after = written(memory, change.writes);
      const still =
        change.ret === 0 && chainBlocks(names(after), event.chain).blocks.includes(event.block);
      return {
        memory: after,
        reply: { type: 'returned', ret: change.ret },
        breach: still ? 'stillLinked' : undefined,
      };
    }
    case 'head':
      return { memory, reply: block(names(memory).head(event.chain)), breach: undefined };
    case 'next':
      return { memory, reply: block(names(memory).next(event.block)), breach: undefined };
    case 'walk': {
      const walk = new ChainWalk(names(memory), event.chain, event.nrToCall ?? -1);
      const blocks: string[] = [];
      for (let nb = walk.take(); nb !== null; nb = walk.take()) {
        blocks.push(nb);
        const returns = event.returns ?? {};
        walk.answered(Object.hasOwn(returns, nb) ? returns[nb] : 0);
      }
      if (walk.cycle !== undefined) return hung(memory, walk.cycle, blocks);
      return {
        memory,
        reply: { type: 'walked', blocks, ret: walk.ret, nrCalls: walk.nrCalls },
        breach: undefined,
      };
    }
  }
}

function registered(
  profile: KernelProfile,
  before: NotifierMemory,
  event: { readonly chain: string; readonly block: string; readonly priority?: number },
  unique: boolean,
): Outcome {
  const memory = produce(before, (draft) => {
    const known = draft.blocks[event.block];
    if (known === undefined) {
      draft.blocks[event.block] = { next: null, priority: event.priority ?? 0 };
    } else if (event.priority !== undefined) {
      known.priority = event.priority;
    }
  });
  const change = notifierChainRegister(
    names(memory),
    event.chain,
    event.block,
    profile.duplicateRegistration,
    unique,
  );
  if (change.type === 'hang') return hung(memory, change.cycle);
  const { ret, warn } = change;
  return {
    memory: written(memory, change.writes),
    reply: { type: 'returned', ret, ...(warn === undefined ? {} : { warn }) },
    breach: change.writes.length > 0 ? linkedAgain(memory, event.chain, event.block) : undefined,
  };
}

/** Linking a block that some head leads to already. */
function linkedAgain(memory: NotifierMemory, chain: string, block: string): Breach | undefined {
  const on = (head: string) => chainBlocks(names(memory), head).blocks.includes(block);
  if (on(chain)) return 'duplicate';
  return Object.keys(memory.heads).some(on) ? 'shared' : undefined;
}

function hung(
  memory: NotifierMemory,
  cycle: readonly string[],
  blocks?: readonly string[],
): Outcome {
  const called = blocks === undefined ? {} : { blocks };
  return { memory, reply: { type: 'hang', cycle, ...called }, breach: 'endless' };
}

function block(name: string | null): NotifierChainReply {
  return { type: 'block', block: name };
}

/** Whether every chain is a finite list and no block is on two: INV-14, INV-15 as they stand. */
function wellFormed(memory: NotifierMemory): boolean {
  const seen = new Set<string>();
  return Object.keys(memory.heads).every((head) => {
    const { blocks, cycle } = chainBlocks(names(memory), head);
    const alone = blocks.every((nb) => !seen.has(nb));
    for (const nb of blocks) seen.add(nb);
    return alone && cycle === undefined;
  });
}

interface MachineTypes {
  context: NotifierMemory;
  events: NotifierChainEvent;
  emitted: NotifierChainReply;
}
const TYPES = {} as MachineTypes;

interface Heard {
  readonly context: NotifierMemory;
  readonly event: NotifierChainEvent;
}

/**
 * All notifier chains and blocks of one kernel. `wellFormed` and `corrupt` say what the memory is;
 * an event that breaks a rule leads to `violated.<breach>`, tagged `violation`, which goes on with
 * whatever memory it left. Every event is answered by one emitted NotifierChainReply.
 */
export function notifierChainMachine(profile: KernelProfile): AnyStateMachine {
  const of = ({ context, event }: Heard) => outcome(profile, context, event);
  const broken = (breach: Breach) => ({
    tags: ['violation'],
    meta: { rule: NOTIFIER_CHAIN_VIOLATIONS[breach] },
  });
  const machine = setup({
    types: TYPES,
    actions: {
      answer: emit((heard) => of(heard).reply),
      write: assign((heard) => of(heard).memory),
    },
    guards: {
      breaks: (heard, breach: Breach) => of(heard).breach === breach,
      corrupts: (heard) => !wellFormed(of(heard).memory),
    },
  });
  const actions = ['answer' as const, 'write' as const];
  const breaking = (breach: Breach) => ({
    guard: { type: 'breaks' as const, params: breach },
    target: `.violated.${breach}` as const,
    actions,
  });
  const answered = [
    breaking('duplicate'),
    breaking('shared'),
    breaking('stillLinked'),
    breaking('endless'),
    { guard: 'corrupts' as const, target: '.corrupt' as const, actions },
    { target: '.wellFormed' as const, actions },
  ];
  return machine.createMachine({
    id: 'notifier-chain',
    // No prototype: a block may be called `__proto__`.
    context: {
      heads: Object.create(null) as NotifierMemory['heads'],
      blocks: Object.create(null) as NotifierMemory['blocks'],
    },
    initial: 'wellFormed',
    on: {
      register: answered,
      register_unique_prio: answered,
      unregister: answered,
      head: answered,
      next: answered,
      walk: answered,
    },
    states: {
      wellFormed: {},
      corrupt: {},
      violated: {
        initial: 'duplicate',
        states: {
          duplicate: broken('duplicate'),
          shared: broken('shared'),
          stillLinked: broken('stillLinked'),
          endless: broken('endless'),
        },
      },
    },
  });
}
