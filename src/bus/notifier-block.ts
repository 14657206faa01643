/**
 * struct notifier_block, and the link inside it.
 *
 * The link belongs to the block and not to a chain, so the same object registered on two chains
 * joins them, as in the kernel (K01). It is kept beside the object, which may be frozen.
 */

import type { ObservableInput } from 'rxjs';
import type { ChainMemory, LinkWrite } from '../../machines/notifier-chain.js';

/** A listener, as its owner wrote it. */
export interface NotifierBlock<Payload = unknown, Action = number> {
  readonly name: string;
  /** Higher ones are called first; 0 where left out. Read when a walk passes, as in the kernel. */
  readonly priority?: number;
  /**
   * notifier_call. Of an observable the last value counts, NOTIFY_DONE when there is none.
   *
   * @returns NOTIFY_*, notifierFromErrno or a raw negative errno
   */
  call(action: Action, payload: Payload): NotifierReturn;
}

export type NotifierReturn = number | Promise<number> | ObservableInput<number>;

/** A block of which a chain knows neither payload nor actions: it may be another chain's. */
export type AnyNotifierBlock = NotifierBlock<never, never>;

export class LinkedBlock {
  next: LinkedBlock | null = null;
  constructor(readonly block: AnyNotifierBlock) {}
}

/** struct *_notifier_head. */
export interface ChainHead {
  head: LinkedBlock | null;
}

const linked = new WeakMap<AnyNotifierBlock, LinkedBlock>();
let version = 0;

/** The link inside `block`. */
export function linkOf(block: AnyNotifierBlock): LinkedBlock {
  let link = linked.get(block);
  if (link === undefined) {
    link = new LinkedBlock(block);
    linked.set(block, link);
  }
  return link;
}

/** All chains of this process. */
export const memory: ChainMemory<ChainHead, LinkedBlock> = {
  head: (chain) => chain.head,
  next: (link) => link.next,
  priority: (link) => link.block.priority ?? 0,
  version: () => version,
};

export function write(writes: readonly LinkWrite<ChainHead, LinkedBlock>[]): void {
  for (const { link, to } of writes) {
    version++;
    if (link.in === 'head') link.chain.head = to;
    else link.block.next = to;
  }
}
