/**
 * Several inputs in one order of time.
 *
 * Each source keeps its own order; between sources the time stamps decide, as far as they are of
 * one kind of clock. An event without a time stays behind the one before it in its source. Whoever
 * compares events of two sources has to allow for what their clocks may differ: the merged order is
 * a reading aid, not a fact.
 */

import { EventBatch } from './batch.js';
import type { Source } from './batch.js';

/** Times above this are wall-clock times since 1970, not uptime: three years. ns */
const WALL_CLOCK = 1e17;

class Cursor {
  batch: EventBatch | undefined;
  i = 0;
  time = -Infinity;
  remap = new Int32Array(0);
  remapFor: EventBatch | undefined;

  constructor(private readonly batches: AsyncIterator<EventBatch>) {}

  /** Moves to the next event of the batch at hand; false when another batch is needed. */
  step(): boolean {
    this.i++;
    return this.here();
  }

  /** Fetches the next batch. Returns false at the end of the source. */
  async load(): Promise<boolean> {
    do {
      const next = await this.batches.next();
      if (next.done === true) return false;
      this.batch = next.value;
      this.i = 0;
    } while (!this.here());
    return true;
  }

  private here(): boolean {
    if (this.batch === undefined || this.i >= this.batch.length) return false;
    const time = this.batch.time[this.i];
    if (time === time) this.time = time;
    return true;
  }
}

/**
 * Merges batches by time. The batches that come out are new; those that go in may be reused. A
 * source on the wall clock cannot be placed among sources on the uptime clock: it comes after them.
 * `aligned` tells afterwards whether all sources had one kind of clock.
 */
export async function* mergeByTime(
  inputs: readonly AsyncIterable<EventBatch>[],
  sources: readonly Source[],
  mode: { readonly reuse: boolean },
  report: { aligned: boolean } = { aligned: true },
): AsyncGenerator<EventBatch> {
  const cursors: Cursor[] = [];
  for (const input of inputs) {
    const cursor = new Cursor(input[Symbol.asyncIterator]());
    if (await cursor.load()) cursors.push(cursor);
  }
  report.aligned = new Set(cursors.map((c) => c.time > WALL_CLOCK)).size <= 1;
  let out = new EventBatch(sources);
  let seq = 0;
  while (cursors.length > 0) {
    let first = cursors[0];
    for (let c = 1; c < cursors.length; c++) if (cursors[c].time < first.time) first = cursors[c];
    const batch = first.batch!;
    if (out.full) {
      out.firstSeq = seq;
      seq += out.length;
      yield out;
      if (mode.reuse) out.clear();
      else out = new EventBatch(sources);
      for (const cursor of cursors) cursor.remapFor = undefined;
    }
    if (first.remapFor !== batch || first.i === 0 || first.remap.length < batch.strings.size) {
      first.remap = new Int32Array(batch.strings.size);
      first.remapFor = batch;
    }
    out.copyRow(batch, first.i, first.remap);
    if (!first.step() && !(await first.load())) cursors.splice(cursors.indexOf(first), 1);
  }
  out.firstSeq = seq;
  if (out.length > 0) yield out;
}
