/**
 * Lists of the kernel as the pointers that they are: a node has `next` and `prev`, a head is a node,
 * and the operations do the stores of include/linux/list.h, whatever the nodes hold. So a node that
 * is added while it is on a list corrupts that list, as in the kernel. Source: D.x 1c, K27, K37.
 */

import { assign, emit, setup } from 'xstate';
import type { AnyStateMachine } from 'xstate';
import type { Says } from './intern.js';
import { NULL } from './null-pointer.js';

/** What list_del leaves behind: include/linux/poison.h. */
export const LIST_POISON1 = 'LIST_POISON1';
export const LIST_POISON2 = 'LIST_POISON2';

/** Null in memory that kzalloc has cleared. */
export interface ListHead {
  readonly next: string | null;
  readonly prev: string | null;
}

/** Plain JSON: nodes by name. `group->node` is in the object `group`. */
export interface LinkedListMemory {
  readonly nodes: Readonly<Record<string, ListHead>>;
  /** Objects. */
  readonly freed: Readonly<Record<string, true>>;
}

/** Each is one list operation of a thread. */
export type LinkedListEvent =
  | { readonly type: 'INIT_LIST_HEAD'; readonly node: string }
  | { readonly type: 'list_add'; readonly node: string; readonly head: string }
  | { readonly type: 'list_add_tail'; readonly node: string; readonly head: string }
  | { readonly type: 'list_del'; readonly node: string }
  | { readonly type: 'list_del_init'; readonly node: string }
  /** Answers the first node with `node`, null of an empty list. */
  | { readonly type: 'list_first'; readonly node: string }
  /** Answers what node->next is with `node`: of who walks, whatever became of the list. */
  | { readonly type: 'list_next'; readonly node: string }
  /** Answers the only node with `node`, null where next and prev of the head are not the same. */
  | { readonly type: 'list_is_singular'; readonly node: string }
  /** Of an object with all the nodes that are in it. */
  | { readonly type: 'kfree'; readonly object: string };

export interface LinkedListReply {
  readonly type: 'node';
  readonly node: string | null;
}

/** What the machine starts from: the lists, each with its nodes in their order. */
export type LinkedListStart = Readonly<Record<string, readonly string[]>>;

export interface LinkedListOptions {
  /** What a corrupt list breaks: INV-32, a node on two lists. */
  readonly rule?: string;
  /** Objects that are to be on one list at a time, whichever of their nodes is linked: INV-32. */
  readonly oneListOnly?: readonly string[];
  /** What an access to a freed node breaks. */
  readonly afterFree?: string;
  /**
   * When a corrupt list is a violation: as soon as a store makes it so, or not before somebody
   * follows a pointer that leads nowhere.
   */
  readonly breaks?: 'when made' | 'when met';
}

const SAYS = {
  owners: ({ event }) =>
    `${operation(event)}: ${objectOf(String(event.node))} is on another list already`,
  twice: ({ event }) => `${operation(event)}: ${String(event.node)} is on a list already`,
  malformed: ({ event }) => `${operation(event)} leaves a list that is not a ring`,
  poison: ({ event, context }) =>
    `${operation(event)} follows ${poisonIn(context as LinkedListMemory, event as LinkedListEvent)}: general protection fault`,
  afterFree: ({ event }) => `${operation(event)} goes to memory that was freed`,
  freedTwice: ({ event }) => `${operation(event)}, which was freed before`,
} as const satisfies Readonly<Record<string, Says>>;
type Breach = keyof typeof SAYS;

interface Outcome {
  readonly memory: LinkedListMemory;
  readonly reply?: LinkedListReply;
  readonly breach?: Breach;
}

interface MachineTypes {
  context: LinkedListMemory;
  events: LinkedListEvent;
  input: LinkedListStart;
  emitted: LinkedListReply;
}
const TYPES = {} as MachineTypes;

/** `lists`; `violated.<breach>`, which accepts nothing. Its input: the lists at the start. */
export function linkedListMachine({
  rule = 'INV-32',
  afterFree = 'INV-24',
  breaks = 'when made',
  oneListOnly = [],
}: LinkedListOptions = {}): AnyStateMachine {
  /** Every guard and action of one event asks for its outcome. */
  let last: { context: LinkedListMemory; event: LinkedListEvent; outcome: Outcome } | undefined;
  const of = ({
    context,
    event,
  }: {
    context: LinkedListMemory;
    event: LinkedListEvent;
  }): Outcome => {
    if (last?.context !== context || last.event !== event) {
      last = { context, event, outcome: judged(context, event) };
    }
    return last.outcome;
  };
  const judged = (context: LinkedListMemory, event: LinkedListEvent): Outcome => {
    const came = outcome(context, event);
    const { breach, ...harmless } = came;
    if (breach === undefined && oneListOnly.some((object) => lists(came.memory, object) > 1)) {
      return { ...came, breach: 'owners' };
    }
    const made = breach === 'twice' || breach === 'malformed';
    return made && breaks === 'when met' ? harmless : came;
  };
  const machine = setup({
    types: TYPES,
    actions: {
      change: assign((heard) => of(heard).memory),
      answer: emit((heard) => of(heard).reply ?? { type: 'node', node: null }),
    },
    guards: { breaks: (heard, breach: Breach) => of(heard).breach === breach },
  });
  const actions = ['answer' as const, 'change' as const];
  const handled = [
    ...(Object.keys(SAYS) as Breach[]).map((breach) => ({
      guard: { type: 'breaks' as const, params: breach },
      target: `violated.${breach}` as const,
      actions: 'answer' as const,
    })),
    { actions },
  ];
  const broken = (breach: Breach) => ({
    tags: ['violation'],
    meta: {
      rule: breach === 'afterFree' || breach === 'freedTwice' ? afterFree : rule,
      says: SAYS[breach],
    },
  });
  return machine.createMachine({
    id: 'linked-list',
    context: ({ input }) => ({ nodes: rings(input ?? {}), freed: {} }),
    initial: 'lists',
    states: {
      lists: {
        on: {
          INIT_LIST_HEAD: handled,
          list_add: handled,
          list_add_tail: handled,
          list_del: handled,
          list_del_init: handled,
          list_first: handled,
          list_next: handled,
          list_is_singular: handled,
          kfree: handled,
        },
      },
      violated: {
        initial: 'twice',
        states: {
          owners: broken('owners'),
          twice: broken('twice'),
          malformed: broken('malformed'),
          poison: broken('poison'),
          afterFree: broken('afterFree'),
          freedTwice: broken('freedTwice'),
        },
      },
    },
  });
}

/** Whether a node is on a list: it was added, and not deleted since. */
export function isListed({ nodes }: LinkedListMemory, node: string): boolean {
  const next = nodes[node]?.next ?? null;
  return next !== null && next !== node && !isPoison(next);
}

/** On how many lists an object is by the nodes in it. */
function lists(memory: LinkedListMemory, object: string): number {
  if (object in memory.freed) return 0;
  const nodes = Object.keys(memory.nodes).filter((node) => objectOf(node) === object);
  return nodes.filter((node) => isListed(memory, node)).length;
}

function rings(lists: LinkedListStart): Record<string, ListHead> {
  const nodes: Record<string, ListHead> = {};
  for (const [head, entries] of Object.entries(lists)) {
    const ring = [head, ...entries];
    ring.forEach((node, i) => {
      nodes[node] = { next: ring[(i + 1) % ring.length], prev: ring.at(i - 1)! };
    });
  }
  return nodes;
}

function outcome(memory: LinkedListMemory, event: LinkedListEvent): Outcome {
  if (event.type === 'kfree') {
    const { object } = event;
    if (object in memory.freed) return { memory, breach: 'freedTwice' };
    return { memory: { ...memory, freed: { ...memory.freed, [object]: true } } };
  }
  const stores = new Stores(memory);
  switch (event.type) {
    case 'INIT_LIST_HEAD':
      stores.write(event.node, { next: event.node, prev: event.node });
      break;
    case 'list_add':
      stores.link(event.node, event.head, stores.read(event.head).next);
      break;
    case 'list_add_tail':
      stores.link(event.node, stores.read(event.head).prev, event.head);
      break;
    case 'list_del':
      stores.unlink(event.node);
      stores.write(event.node, { next: LIST_POISON1, prev: LIST_POISON2 });
      break;
    case 'list_del_init':
      stores.unlink(event.node);
      stores.write(event.node, { next: event.node, prev: event.node });
      break;
    case 'list_first': {
      const { next } = stores.read(event.node);
      const node = next === event.node ? null : next;
      return { ...stores.came(), reply: { type: 'node', node } };
    }
    case 'list_next': {
      const { next } = stores.read(event.node);
      return { ...stores.came(), reply: { type: 'node', node: next } };
    }
    case 'list_is_singular': {
      const { next, prev } = stores.read(event.node);
      const node = next === prev && next !== event.node ? next : null;
      return { ...stores.came(), reply: { type: 'node', node } };
    }
  }
  const came = stores.came();
  if (came.breach !== undefined || areRings(came.memory)) return came;
  const again = event.type === 'list_add' || event.type === 'list_add_tail';
  return { ...came, breach: again && isListed(memory, event.node) ? 'twice' : 'malformed' };
}

/** The stores of one operation, up to the first that cannot be made. */
class Stores {
  private nodes: Record<string, ListHead>;
  private breach: Breach | undefined;

  constructor(private readonly memory: LinkedListMemory) {
    this.nodes = { ...memory.nodes };
  }

  read(node: string | null): ListHead {
    if (this.breach !== undefined || node === null || isPoison(node)) {
      this.breach ??= 'poison';
      return { next: null, prev: null };
    }
    if (objectOf(node) in this.memory.freed) this.breach = 'afterFree';
    return this.nodes[node] ?? { next: null, prev: null };
  }

  write(node: string | null, fields: Partial<ListHead>): void {
    const before = this.read(node);
    if (this.breach === undefined) this.nodes[node!] = { ...before, ...fields };
  }

  /** __list_add */
  link(node: string, prev: string | null, next: string | null): void {
    this.write(next, { prev: node });
    this.write(node, { next, prev });
    this.write(prev, { next: node });
  }

  /** __list_del_entry */
  unlink(node: string): void {
    const { next, prev } = this.read(node);
    this.write(next, { prev });
    this.write(prev, { next });
  }

  came(): Outcome {
    if (this.breach !== undefined) return { memory: this.memory, breach: this.breach };
    return { memory: { ...this.memory, nodes: this.nodes } };
  }
}

/** Whether whoever follows a node's pointers comes back to it both ways. */
function areRings(memory: LinkedListMemory): boolean {
  const { nodes, freed } = memory;
  const lives = (node: string) => !(objectOf(node) in freed);
  return Object.entries(nodes).every(([node, { next, prev }]) => {
    if (!lives(node) || next === null || isPoison(next)) return true;
    const ahead = !lives(next) || nodes[next]?.prev === node;
    return ahead && (prev === null || !lives(prev) || nodes[prev]?.next === node);
  });
}

function isPoison(pointer: string): boolean {
  return pointer === LIST_POISON1 || pointer === LIST_POISON2 || pointer === NULL;
}

/** `group` of `group->node`; a head may be an object of its own. */
function objectOf(node: string): string {
  return node.split('->', 1)[0];
}

function poisonIn({ nodes }: LinkedListMemory, event: LinkedListEvent): string {
  const at = 'head' in event ? event.head : 'node' in event ? event.node : '';
  const { next = null } = nodes[at] ?? {};
  return next === null ? 'NULL' : next;
}

function operation(event: Parameters<Says>[0]['event']): string {
  const { type, node, head, object } = event;
  const operands = [node, head, object].filter((each) => each !== undefined);
  return `${type}(${operands.join(', ')})`;
}
