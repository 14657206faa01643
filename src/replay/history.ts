/**
 * Time travel: the state after any event, from immutable checkpoints and the changes between them.
 *
 * One immer draft per batch makes a checkpoint that shares with the one before whatever did not
 * change; a moment inside a batch is the checkpoint before it plus at most one batch of changes.
 * So a look-up costs the same in a short log and in a long one.
 */

import { enableMapSet, produce } from 'immer';
import type { EventBatch } from '../../events/batch.js';
import type { HotplugEvent } from '../../events/event.js';
import { EMPTY_STATE } from './state.js';
import { whoBlocks } from './viability.js';
import type { Viability } from './viability.js';
import type { Change, DeviceState, GroupState, ReplayState, SlotState } from './state.js';

enableMapSet();

/** The state that event `seq` brought; undefined: it no longer exists. */
export interface Past<State> {
  readonly seq: number;
  readonly state: State | undefined;
}

/** A domain while a device is attached to it. */
export interface DomainUse {
  /** As sysfs prints it; undefined: not known. */
  readonly type: string | undefined;
  readonly devices: readonly string[];
}

export class History {
  /** State after the last event of each batch. */
  private readonly checkpoints: ReplayState[] = [];
  /** Newest time up to and including each batch, ns, for finding a time. */
  private readonly newest: number[] = [];
  private readonly changes: Change[] = [];
  /** Where each batch's changes begin in `changes`. */
  private readonly firstChange: number[] = [];
  private readonly batches: EventBatch[] = [];
  private state: ReplayState = EMPTY_STATE;

  /** Takes over a folded batch and the changes that its events made, in order. */
  add(batch: EventBatch, changes: readonly Change[]): void {
    this.firstChange.push(this.changes.length);
    for (const change of changes) this.changes.push(change);
    let newest = this.newest.at(-1) ?? NaN;
    for (let i = 0; i < batch.length; i++) {
      if (!(batch.time[i] <= newest) && !Number.isNaN(batch.time[i])) newest = batch.time[i];
    }
    this.newest.push(newest);
    this.batches.push(batch);
    this.state = produce(this.state, (draft) => {
      draft.seq = batch.firstSeq + batch.length;
      draft.time = newest;
      for (const change of changes) apply(change, draft);
    });
    this.checkpoints.push(this.state);
  }

  /** Number of events. */
  get length(): number {
    const last = this.batches.at(-1);
    return last === undefined ? 0 : last.firstSeq + last.length;
  }

  /** Event number `seq`, or undefined beyond the end. */
  event(seq: number): HotplugEvent | undefined {
    const batch = this.batches[this.batchOf(seq)];
    return batch === undefined || seq < 0 || seq >= batch.firstSeq + batch.length
      ? undefined
      : batch.event(seq - batch.firstSeq);
  }

  /** The state after event `seq`; before the first event for a negative number. */
  stateAfter(seq: number): ReplayState {
    if (seq < 0 || this.batches.length === 0) return EMPTY_STATE;
    const b = this.batchOf(seq);
    const batch = this.batches[b];
    if (seq >= batch.firstSeq + batch.length - 1) return this.checkpoints[b];
    const base = b === 0 ? EMPTY_STATE : this.checkpoints[b - 1];
    const devices = new Map(base.devices);
    const groups = new Map(base.groups);
    const slots = new Map(base.slots);
    const end = this.firstChange[b + 1] ?? this.changes.length;
    for (let c = this.firstChange[b]; c < end && this.changes[c].seq <= seq; c++) {
      apply(this.changes[c], { devices, groups, slots });
    }
    const { time } = batch.event(seq - batch.firstSeq);
    return { seq: seq + 1, time, devices, groups, slots };
  }

  /** The state at a moment, ns: after the last event whose time is not later. */
  stateAt(time: number): ReplayState {
    return this.stateAfter(this.seqAt(time));
  }

  /** The newest event that is not later than `time` (ns), -1 when all are. */
  seqAt(time: number): number {
    let low = 0;
    let high = this.batches.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.newest[middle] > time) high = middle;
      else low = middle + 1;
    }
    const batch = this.batches[low];
    if (batch === undefined) return this.length - 1;
    let seq = batch.firstSeq - 1;
    for (let i = 0; i < batch.length && !(batch.time[i] > time); i++) seq = batch.firstSeq + i;
    return seq;
  }

  /** Who blocks group `id` at a moment, ns; undefined when there is no such group then. */
  whoBlocks(id: number, time: number): Viability | undefined {
    return whoBlocks(this.stateAt(time), id);
  }

  /** Every state that a device had, oldest first, each with the event that brought it. */
  device(key: string): readonly Past<DeviceState>[] {
    return this.changes.filter((c) => c.kind === 'device').filter((c) => c.key === key);
  }

  /** Every state that a group had, oldest first, each with the event that brought it. */
  group(id: number): readonly Past<GroupState>[] {
    return this.changes.filter((c) => c.kind === 'group').filter((c) => c.key === id);
  }

  /** Who was attached to the domain at `address`, oldest first; addresses are used again. */
  domain(address: string): readonly Past<DomainUse>[] {
    const past: Past<DomainUse>[] = [];
    let devices: readonly string[] = [];
    for (const { seq, kind, key, state } of this.changes) {
      if (kind !== 'device' || (state?.domain === address) === devices.includes(key)) continue;
      const attached = state?.domain === address;
      devices = attached ? [...devices, key] : devices.filter((name) => name !== key);
      const type = attached ? state.domainType : past.at(-1)?.state?.type;
      past.push({ seq, state: devices.length === 0 ? undefined : { type, devices } });
    }
    return past;
  }

  private batchOf(seq: number): number {
    let low = 0;
    let high = this.batches.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.batches[middle].firstSeq > seq) high = middle - 1;
      else low = middle;
    }
    return low;
  }
}

interface Entities {
  readonly devices: Map<string, DeviceState>;
  readonly groups: Map<number, GroupState>;
  readonly slots: Map<string, SlotState>;
}

function apply(change: Change, to: Entities | object): void {
  const { devices, groups, slots } = to as Entities;
  switch (change.kind) {
    case 'device':
      if (change.state === undefined) devices.delete(change.key);
      else devices.set(change.key, change.state);
      break;
    case 'group':
      if (change.state === undefined) groups.delete(change.key);
      else groups.set(change.key, change.state);
      break;
    case 'slot':
      if (change.state === undefined) slots.delete(change.key);
      else slots.set(change.key, change.state);
  }
}
