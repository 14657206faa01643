/** What threads do to xarrays, one step each. The entities are machines/xarray.ts. Source: D.x 1c. */

import { send } from '../step.js';
import type { Thread } from '../step.js';
import type { XarrayEvent, XarrayReply } from '../xarray.js';

/** Returns the index, null where none of min … max is free. */
export function* xa_alloc(
  xa: string,
  entry: string,
  min: number,
  max: number,
): Thread<number | null> {
  const label = `xa_alloc(${xa}, ${entry}, ${min}..${max})`;
  return indexOf(yield* access(xa, { type: 'xa_alloc', entry, min, max }, label));
}

/** Returns whether the index was free. */
export function* xa_insert(xa: string, index: number, entry: string): Thread<boolean> {
  const label = `xa_insert(${xa}, ${index}, ${entry})`;
  return indexOf(yield* access(xa, { type: 'xa_insert', index, entry }, label)) !== null;
}

/** Stores the entry whatever was there. */
export function* xa_store(xa: string, index: number, entry: string): Thread<void> {
  yield* access(xa, { type: 'xa_store', index, entry }, `xa_store(${xa}, ${index}, ${entry})`);
}

/** Returns the entry, null for none. */
export function* xa_load(xa: string, index: number): Thread<string | null> {
  return entryOf(yield* access(xa, { type: 'xa_load', index }, `xa_load(${xa}, ${index})`));
}

/** Returns what it took out, null for nothing. */
export function* xa_erase(xa: string, index: number): Thread<string | null> {
  return entryOf(yield* access(xa, { type: 'xa_erase', index }, `xa_erase(${xa}, ${index})`));
}

/** Returns whether nothing is in it. */
export function* xa_empty(xa: string): Thread<boolean> {
  const reply = yield* access(xa, { type: 'xa_empty' }, `xa_empty(${xa})`);
  return (reply as Extract<XarrayReply, { type: 'empty' }>).empty;
}

function* access(xa: string, event: XarrayEvent, label: string): Thread<XarrayReply | undefined> {
  const reply = yield* send<XarrayReply | undefined>(xa, event, label);
  // A violation: the thread does not get past it.
  if (reply === undefined) yield* send(xa, event, label);
  return reply;
}

function indexOf(reply: XarrayReply | undefined): number | null {
  return (reply as Extract<XarrayReply, { type: 'index' }>).index;
}

function entryOf(reply: XarrayReply | undefined): string | null {
  return (reply as Extract<XarrayReply, { type: 'entry' }>).entry;
}
