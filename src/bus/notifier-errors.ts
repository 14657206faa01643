import type { NotifierKind } from '../../machines/profiles/profile.js';

/** A callback of an atomic or raw chain returned something that has to be waited for. */
export class SleepingCallbackError extends Error {
  override readonly name = 'SleepingCallbackError';
  constructor(
    readonly kind: NotifierKind,
    readonly chain: string,
    readonly block: string,
  ) {
    super(
      `callback "${block}" of the ${kind} chain "${chain}" returned something asynchronous: ` +
        'only callbacks of blocking and srcu chains may sleep',
    );
  }
}

/** The kernel would go round the same blocks for ever: K05. */
export class EndlessWalkError extends Error {
  override readonly name = 'EndlessWalkError';
  constructor(
    readonly chain: string,
    /** Names of the blocks, each the next of the one before it, the first of the last. */
    readonly cycle: readonly string[],
  ) {
    super(`the chain "${chain}" has no end: ${[...cycle, cycle[0]].join(' -> ')}`);
  }
}
