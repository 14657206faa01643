/**
 * What a thread says of its steps on a notifier chain, for whoever holds them against another chain:
 * src/explore/confirm.ts does, against those of src/bus. A note takes no time and changes nothing;
 * no search looks at it.
 */

import type { KernelProfile, NotifierKind } from './profiles/profile.js';
import type { Payload } from './step.js';

/** A chain, as far as another one like it can be made from that. */
export interface NotedChain {
  readonly name: string;
  readonly kind: NotifierKind;
  readonly profile: KernelProfile;
  readonly booting?: boolean;
  /**
   * Who is on it at the start: the entity of machines/notifier-list.ts that tells; or the blocks in
   * their order, on a chain that nobody changes.
   */
  readonly list: string | readonly string[];
  /** The rwsem for which writers queue. */
  readonly rwsem?: string;
}

export type ChainWrite = 'register' | 'register_unique_prio' | 'unregister';

export type ChainNote = { readonly chain: NotedChain } & (
  | {
      /** It has queued for the lock; where there is none to queue for: it is about to change the list. */
      readonly at: 'writes';
      readonly what: ChainWrite;
      readonly block: string;
      readonly priority?: number;
    }
  /** The list was changed, or not; what the kernel's function will return. */
  | { readonly at: 'written'; readonly ret: number }
  /** The grace period after it is over. */
  | { readonly at: 'quiesced' }
  | {
      /** It has the lock, or has seen an empty chain; the head is not read yet. */
      readonly at: 'calls';
      readonly action: string;
      /** Of a robust call: the action of the rollback. */
      readonly down?: string;
      readonly payload: Payload;
      readonly nrToCall: number;
    }
  /** The head was read: once, and once more for the rollback. */
  | { readonly at: 'walks' }
  /** The callback of a block is entered. */
  | { readonly at: 'enters'; readonly block: string; readonly action: string }
  | { readonly at: 'returns'; readonly ret: number }
  /** The call is over; of a robust call: what `up` returned. */
  | { readonly at: 'returned'; readonly ret: number; readonly nrCalls: number }
);
