/**
 * What threads do to lists of the kernel, one step each. The lists are an entity of
 * machines/linked-list.ts, nodes and heads are told by name: `domain->auxd`. Source: D.x 1c;
 * include/linux/list.h.
 */

import type { LinkedListReply } from '../linked-list.js';
import { send } from '../step.js';
import type { Thread } from '../step.js';

/** Adds a node as the first. */
export function* list_add(lists: string, node: string, head: string): Thread<void> {
  yield* send(lists, { type: 'list_add', node, head }, `list_add(&${node}, &${head})`);
}

export function* list_add_tail(lists: string, node: string, head: string): Thread<void> {
  yield* send(lists, { type: 'list_add_tail', node, head }, `list_add_tail(&${node}, &${head})`);
}

/** Leaves the node's pointers poisoned. */
export function* list_del(lists: string, node: string): Thread<void> {
  yield* send(lists, { type: 'list_del', node }, `list_del(&${node})`);
}

/** Leaves the node an empty list of its own. */
export function* list_del_init(lists: string, node: string): Thread<void> {
  yield* send(lists, { type: 'list_del_init', node }, `list_del_init(&${node})`);
}

/** list_first_entry_or_null. Returns the node. */
export function* list_first(lists: string, head: string): Thread<string | null> {
  const label = `list_first_entry(&${head})`;
  const reply = yield* send<LinkedListReply>(lists, { type: 'list_first', node: head }, label);
  return reply.node;
}

/** kfree of an object that has nodes in it: from here on nobody may go to them. */
export function* kfree_nodes(
  lists: string,
  object: string,
  label = `kfree(${object})`,
): Thread<void> {
  yield* send(lists, { type: 'kfree', object }, label);
}
