/**
 * The blocks of one or several notifier chains as memory that can be freed: what the steps of
 * machines/kernel/notifier-chain.ts read and write. The functions are those of notifier-chain.ts, so
 * a block on two chains joins them here as well. Source: B.1.1, B.1.2, B.1.3, D.x 3.
 */

import { produce } from 'immer';
import { assign, emit, setup } from 'xstate';
import type { AnyStateMachine } from 'xstate';
import type { Says } from './intern.js';
import { chainBlocks, notifierChainRegister, notifierChainUnregister } from './notifier-chain.js';
import type { ChainChange, ChainMemory, LinkWrite, NotifierBlockMemory } from './notifier-chain.js';
import type { KernelProfile } from './profiles/profile.js';

/** Of a block, plain JSON. */
export interface ListedBlock extends NotifierBlockMemory {
  /** Callbacks of it that run. */
  readonly running: number;
  readonly freed: boolean;
}

/** Plain JSON: heads by chain, blocks by name. */
export interface NotifierListMemory {
  readonly heads: Readonly<Record<string, string | null>>;
  readonly blocks: Readonly<Record<string, ListedBlock>>;
}

/** Each is one access of a thread; `insert` and `remove` are made with the chain's lock held. */
export type NotifierListEvent =
  | { readonly type: 'head'; readonly chain: string }
  /** The link is read, and the callback entered. */
  | { readonly type: 'call'; readonly block: string }
  | { readonly type: 'return'; readonly block: string }
  | {
      readonly type: 'insert';
      readonly chain: string;
      readonly block: string;
      /** The field of the block, where its owner sets it first. */
      readonly priority?: number;
      /** As *_register_unique_prio. */
      readonly unique?: boolean;
    }
  | { readonly type: 'remove'; readonly chain: string; readonly block: string }
  /** kfree of the block, or of the module that its callback is in. */
  | { readonly type: 'free'; readonly block: string };

/** `block`: the head, or the one after the block that was called. */
export type NotifierListReply =
  | { readonly type: 'block'; readonly block: string | null }
  | { readonly type: 'returned'; readonly ret: number; readonly warn?: string }
  /** The kernel would look for the place for ever: K05. */
  | { readonly type: 'hang' }
  /** Of `return` and `free`. */
  | { readonly type: 'done' };

const VIOLATIONS = {
  /** A block was read that is freed: INV-24. */
  useAfterFree: 'INV-24',
  /** A block was freed while its callback runs. */
  freedInCallback: 'INV-17',
  /** A block was linked to a chain that it was on: K05. */
  duplicate: 'INV-14',
  /** A walk over a chain that leads back to itself: K05 cases 1 and 2. */
  endless: 'INV-14',
  /** A block was linked to a chain while on another: K01. */
  shared: 'INV-15',
} as const;
type Breach = keyof typeof VIOLATIONS;

interface Outcome {
  readonly memory: NotifierListMemory;
  readonly reply: NotifierListReply;
  readonly breach?: Breach;
}

interface MachineTypes {
  context: NotifierListMemory;
  events: NotifierListEvent;
  input: Readonly<Record<string, readonly InitialBlock[]>>;
  emitted: NotifierListReply;
}
const TYPES = {} as MachineTypes;

/** Who is registered at the start. */
export interface InitialBlock {
  readonly block: string;
  readonly priority: number;
}

const NEW: ListedBlock = { next: null, priority: 0, running: 0, freed: false };

/**
 * When a block that is linked a second time is a violation: at once; or not before somebody comes to
 * harm, so that what such a chain does can be seen: K01, K05.
 */
export type NotifierListBreaks = 'when linked' | 'when met';

/**
 * `list`; `violated.<breach>`, which accepts nothing. Its input: the blocks that are registered at
 * the start, by chain, in the order of their registration.
 *
 * @param profile what a second registration comes to
 */
export function notifierListMachine(
  profile: KernelProfile,
  breaks: NotifierListBreaks = 'when linked',
): AnyStateMachine {
  const of = ({
    context,
    event,
  }: {
    context: NotifierListMemory;
    event: NotifierListEvent;
  }): Outcome => {
    const came = outcome(profile, context, event);
    const { breach, ...harmless } = came;
    const linked = breach === 'duplicate' || breach === 'shared';
    return linked && breaks === 'when met' ? harmless : came;
  };
  const machine = setup({
    types: TYPES,
    actions: {
      write: assign((heard) => of(heard).memory),
      answer: emit((heard) => of(heard).reply),
    },
    guards: { breaks: (heard, breach: Breach) => of(heard).breach === breach },
  });
  const actions = ['answer' as const, 'write' as const];
  const handled = [
    ...(Object.keys(VIOLATIONS) as Breach[]).map((breach) => ({
      guard: { type: 'breaks' as const, params: breach },
      target: `violated.${breach}` as const,
      actions,
    })),
    { actions },
  ];
  const broken = (breach: Breach) => ({
    tags: ['violation'],
    meta: { rule: VIOLATIONS[breach], says: SAYS[breach] },
  });
  return machine.createMachine({
    id: 'notifier-list',
    context: ({ input }) => registered(profile, input ?? {}),
    initial: 'list',
    states: {
      list: {
        on: {
          head: handled,
          call: handled,
          return: handled,
          insert: handled,
          remove: handled,
          free: handled,
        },
      },
      violated: {
        initial: 'useAfterFree',
        states: {
          useAfterFree: broken('useAfterFree'),
          freedInCallback: broken('freedInCallback'),
          duplicate: broken('duplicate'),
          endless: broken('endless'),
          shared: broken('shared'),
        },
      },
    },
  });
}

function registered(profile: KernelProfile, input: MachineTypes['input']): NotifierListMemory {
  let memory: NotifierListMemory = { heads: {}, blocks: {} };
  for (const [chain, blocks] of Object.entries(input)) {
    for (const each of blocks) {
      const { memory: next, breach } = outcome(profile, memory, { type: 'insert', chain, ...each });
      if (breach !== undefined) throw new Error(`${chain}: "${each.block}" is on a chain already`);
      memory = next;
    }
  }
  return memory;
}

function outcome(
  profile: KernelProfile,
  memory: NotifierListMemory,
  event: NotifierListEvent,
): Outcome {
  switch (event.type) {
    case 'head': {
      const block = field(memory.heads, event.chain) ?? null;
      return { memory, reply: { type: 'block', block } };
    }
    case 'call': {
      const { next: block, running, freed } = blockOf(memory, event.block);
      const after = changed(memory, event.block, { running: running + 1 });
      const reply = { type: 'block' as const, block };
      if (freed) return { memory, reply, breach: 'useAfterFree' };
      return returns(memory, event.block)
        ? { memory, reply, breach: 'endless' }
        : { memory: after, reply };
    }
    case 'return': {
      const { running } = blockOf(memory, event.block);
      const after = changed(memory, event.block, { running: running - 1 });
      return { memory: after, reply: DONE };
    }
    case 'insert':
      return inserted(profile, memory, event);
    case 'remove': {
      const reads = new Reads(memory);
      const change = notifierChainUnregister(reads, event.chain, event.block);
      return outcomeOf(memory, change, reads.freed ? 'useAfterFree' : undefined);
    }
    case 'free': {
      const { running, freed } = blockOf(memory, event.block);
      if (freed) return { memory, reply: DONE, breach: 'useAfterFree' };
      if (running > 0) return { memory, reply: DONE, breach: 'freedInCallback' };
      return { memory: changed(memory, event.block, { freed: true }), reply: DONE };
    }
  }
}

const DONE = { type: 'done' } as const;

function inserted(
  profile: KernelProfile,
  before: NotifierListMemory,
  { chain, block, priority, unique }: Extract<NotifierListEvent, { type: 'insert' }>,
): Outcome {
  const memory = changed(before, block, priority === undefined ? {} : { priority });
  const reads = new Reads(memory);
  const duplicates = profile.duplicateRegistration;
  const change = notifierChainRegister(reads, chain, block, duplicates, unique === true);
  if (reads.freed || blockOf(memory, block).freed) {
    return outcomeOf(memory, change, 'useAfterFree');
  }
  const links = change.type === 'returned' && change.writes.length > 0;
  return outcomeOf(memory, change, links ? linkedAgain(memory, chain, block) : undefined);
}

/** Linking a block that some head leads to already. */
function linkedAgain(memory: NotifierListMemory, chain: string, block: string): Breach | undefined {
  const on = (head: string) => chainBlocks(new Reads(memory), head).blocks.includes(block);
  if (on(chain)) return 'duplicate';
  return Object.keys(memory.heads).some(on) ? 'shared' : undefined;
}

/** Whether its link leads back to a block: who calls the chain comes round for ever. */
function returns(memory: NotifierListMemory, block: string): boolean {
  const seen = new Set<string>();
  let { next } = blockOf(memory, block);
  while (next !== null && next !== block && !seen.has(next)) {
    seen.add(next);
    next = blockOf(memory, next).next;
  }
  return next === block;
}

function outcomeOf(
  memory: NotifierListMemory,
  change: ChainChange<string, string>,
  breach: Breach | undefined,
): Outcome {
  if (change.type === 'hang') {
    return { memory, reply: { type: 'hang' }, breach: breach ?? 'endless' };
  }
  const { ret, warn, writes } = change;
  return {
    memory: written(memory, writes),
    reply: { type: 'returned', ret, ...(warn === undefined ? {} : { warn }) },
    ...(breach === undefined ? {} : { breach }),
  };
}

/** Memory that remembers whether a freed block was read. */
class Reads implements ChainMemory<string, string> {
  freed = false;
  constructor(private readonly memory: NotifierListMemory) {}

  head(chain: string): string | null {
    return field(this.memory.heads, chain) ?? null;
  }

  next(block: string): string | null {
    return this.read(block).next;
  }

  priority(block: string): number {
    return this.read(block).priority;
  }

  version(): number {
    return 0;
  }

  private read(name: string): ListedBlock {
    const block = blockOf(this.memory, name);
    this.freed ||= block.freed;
    return block;
  }
}

/** A block may be called `__proto__`. */
function field<T>(record: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}

function blockOf(memory: NotifierListMemory, name: string): ListedBlock {
  return field(memory.blocks, name) ?? NEW;
}

function changed(
  memory: NotifierListMemory,
  name: string,
  fields: Partial<ListedBlock>,
): NotifierListMemory {
  const block = { ...blockOf(memory, name), ...fields };
  return { ...memory, blocks: { ...memory.blocks, [name]: block } };
}

function written(
  memory: NotifierListMemory,
  writes: readonly LinkWrite<string, string>[],
): NotifierListMemory {
  return produce(memory, (draft) => {
    for (const { link, to } of writes) {
      if (link.in === 'head') draft.heads[link.chain] = to;
      else draft.blocks[link.block].next = to;
    }
  });
}

type Told = Parameters<Says>[0];

const SAYS: Readonly<Record<Breach, Says>> = {
  useAfterFree: (told) => {
    const { type, block } = told.event as NotifierListEvent & { readonly block: string };
    const memory = told.context as NotifierListMemory;
    if (blockOf(memory, block).freed) return `${type} of ${block} after it was freed`;
    return `${type} of ${block} goes by a block that was freed`;
  },
  freedInCallback: ({ event }: Told) => `${String(event.block)} is freed while its callback runs`,
  duplicate: ({ event }: Told) => `${String(event.block)} is linked to a chain that it is on`,
  endless: ({ event }: Told) => {
    const { type, block } = event as NotifierListEvent & { readonly block: string };
    const what = type === 'insert' ? 'register' : type === 'remove' ? 'unregister' : type;
    return `${what} of ${block} goes round for ever: the chain has no end`;
  },
  shared: ({ event }: Told) => `${String(event.block)} is linked to a second chain`,
};
