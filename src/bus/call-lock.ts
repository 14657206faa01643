import type { Queuer, Wait } from './wait-graph.js';

/** What a call of a chain holds while it walks. */
export interface CallLock {
  /** For people: `pci.rwsem for reading`. */
  readonly holds: string;
  /** @returns true: taken; false: queued, and it is `granted` later */
  enter(call: Queuer): boolean;
  leave(call: Queuer): void;
  /** Leaves the queue. */
  cancel(call: Queuer): void;
  waitsFor(call: Queuer): readonly Wait[];
}
