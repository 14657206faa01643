import type { ObservableInput } from 'rxjs';

/**
 * Holds the operations of a chain where others may overtake them, so that a schedule can be run on
 * it: before a call reads the head, before it takes the next block or ends, and before a writer,
 * which has the lock, changes the list. The operation goes on when what is returned completes.
 *
 * Callbacks of a chain with a pace may be asynchronous, whatever its kind: they do not sleep, other
 * CPUs go on meanwhile.
 */
export type Pace = (before: 'head' | 'next' | 'change') => ObservableInput<unknown>;
