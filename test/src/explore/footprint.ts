/** Which events the literature exchanges. */

import type { Sent } from '../../../src/explore/sent.js';

/** The same cell, and at least one writes. A failed compare-and-swap reads. */
export function footprint(a: Sent, b: Sent): boolean {
  const writes = ({ event: { type }, changes }: Sent) =>
    !/^(read|await)$/.test(type) && (type !== 'compare_and_swap' || changes);
  return !writes(a) && !writes(b);
}

/** Concuerror's, in some of its suites: two writes of one value may be exchanged as well. */
export function sameValue(a: Sent, b: Sent): boolean {
  const value = ({ event }: Sent) => (event.type === 'write' ? JSON.stringify(event) : undefined);
  return footprint(a, b) || (value(a) !== undefined && value(a) === value(b));
}
