/**
 * What threads do to lists of the kernel, one step each. The lists are an entity of
 * machines/linked-list.ts, nodes and heads are told by name: `domain->auxd`. Source: D.x 1c;
 * include/linux/list.h.
 */

import type { LinkedListReply } from '../linked-list.js';
import { NULL } from '../null-pointer.js';
import { loopHead, send } from '../step.js';
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

/** list_empty. Returns whether it is. */
export function* list_empty(lists: string, head: string): Thread<boolean> {
  const event = { type: 'list_first', node: head };
  const reply = yield* send<LinkedListReply>(lists, event, `list_empty(&${head})`);
  return reply.node === null;
}

/** list_is_singular: looks at the head alone. Returns whether it is. */
export function* list_is_singular(lists: string, head: string): Thread<boolean> {
  const event = { type: 'list_is_singular', node: head };
  const reply = yield* send<LinkedListReply>(lists, event, `list_is_singular(&${head})`);
  return reply.node !== null;
}

/**
 * list_for_each_entry, to the node that is looked for. A list that leads back to a node other than
 * its head is walked for ever.
 *
 * @returns the first node of which `is` is true; null at the end
 */
export function* list_find(
  lists: string,
  head: string,
  is: (node: string) => Thread<boolean>,
): Thread<string | null> {
  const met = new Set<string>();
  let node = yield* next(lists, head);
  while (node !== head) {
    // Only a walk that has come round needs a head of its loop.
    if (met.has(node)) yield* loopHead({ head, node });
    met.add(node);
    if (yield* is(node)) return node;
    node = yield* next(lists, node);
  }
  return null;
}

function* next(lists: string, node: string): Thread<string> {
  const event = { type: 'list_next', node };
  const reply = yield* send<LinkedListReply>(lists, event, `next of ${node}`);
  return reply.node ?? NULL;
}

/** The object that a node is in: container_of. */
export function container_of(node: string): string {
  return node.split('->', 1)[0];
}

/** kfree of an object that has nodes in it: from here on nobody may go to them. */
export function* kfree_nodes(
  lists: string,
  object: string,
  label = `kfree(${object})`,
): Thread<void> {
  yield* send(lists, { type: 'kfree', object }, label);
}
