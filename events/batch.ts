/**
 * A run of events as columns.
 *
 * Objects per line would cost more than reading the line. A batch holds some thousand events in
 * typed arrays with its own string table, so that it can be checked and dropped (constant memory),
 * or kept as the in-memory log at about a hundred bytes per event. `event(i)` makes the immutable
 * object of the catalogue for whoever wants to look at one.
 */

import { ABSENT, ByteInterner, NULL_POINTER } from './intern.js';
import { CODE_OF, EVENT_TYPES } from './event.js';
import type { EventType, HotplugEvent, NewEvent, Origin } from './event.js';

/** "No number here" in the integer columns `group` and `devGroup`. */
export const NO_NUMBER = -2147483648;

/** Events per batch. Small enough to stay in the cache, large enough that per-batch work vanishes. */
export const BATCH_CAPACITY = 4096;

export interface Source {
  readonly format: string;
  readonly file: string;
}

/** Columns that hold string ids. */
export type StringColumn = 'dev' | 'bus' | 'drv' | 'fn' | 'ptr' | 'obj' | 'gptr';
/** Columns that hold numbers. */
export type NumberColumn = 'group' | 'devGroup' | 'a' | 'b' | 'c';
export type Column = StringColumn | NumberColumn;

/** Where each field of the frequent types lies. What is not here travels in `extra`. */
export const FIELD_COLUMNS = {
  dev: 'dev',
  bus: 'bus',
  drv: 'drv',
  fn: 'fn',
  name: 'fn',
  chain: 'ptr',
  domain: 'ptr',
  object: 'obj',
  groupPtr: 'gptr',
  group: 'group',
  devGroup: 'devGroup',
  action: 'a',
  ret: 'a',
  iova: 'a',
  priority: 'b',
  size: 'b',
  domainType: 'b',
  paddr: 'c',
  unmapped: 'c',
  flags: 'c',
} as const satisfies Record<string, Column>;
export type ColumnField = keyof typeof FIELD_COLUMNS;

const DEVICE_FIELDS = ['dev', 'bus', 'drv', 'object', 'devGroup', 'groupPtr'] as const;

/** The fields that each frequent type keeps in columns. */
export const COLUMN_FIELDS: { readonly [T in EventType]?: readonly ColumnField[] } = {
  bus_notify: [...DEVICE_FIELDS, 'action'],
  chain_call: [...DEVICE_FIELDS, 'chain', 'action'],
  chain_return: ['ret'],
  callback_call: [...DEVICE_FIELDS, 'fn', 'priority', 'action'],
  callback_return: ['fn', 'ret'],
  notifier_run: ['fn'],
  chain_register: ['chain', 'fn', 'priority'],
  chain_unregister: ['chain', 'fn', 'priority'],
  function_call: [...DEVICE_FIELDS, 'fn', 'group', 'domain', 'domainType'],
  function_return: ['fn', 'ret'],
  add_device_to_group: ['group', 'dev'],
  remove_device_from_group: ['group', 'dev'],
  attach_device_to_domain: ['dev'],
  detach_device_from_domain: ['dev'],
  map: ['iova', 'size', 'paddr', 'dev'],
  unmap: ['iova', 'size', 'unmapped', 'dev'],
  io_page_fault: ['dev', 'drv', 'iova', 'flags'],
  pci_hp_event: ['dev'],
  trace_event: ['name'],
};

type Extra = Readonly<Record<string, unknown>>;

export class EventBatch {
  length = 0;
  firstSeq = 0;
  readonly capacity: number;
  readonly sources: readonly Source[];
  readonly type: Uint8Array;
  readonly time: Float64Array;
  readonly cpu: Int16Array;
  readonly pid: Int32Array;
  readonly comm: Int32Array;
  readonly line: Int32Array;
  readonly source: Uint8Array;
  readonly dev: Int32Array;
  readonly bus: Int32Array;
  readonly drv: Int32Array;
  readonly fn: Int32Array;
  readonly ptr: Int32Array;
  readonly obj: Int32Array;
  readonly gptr: Int32Array;
  readonly group: Int32Array;
  readonly devGroup: Int32Array;
  readonly a: Float64Array;
  readonly b: Float64Array;
  readonly c: Float64Array;
  readonly strings: ByteInterner;
  /** Newest string of each string column, by column code: the likely next one. */
  readonly newest = new Int32Array(8);
  /** Payload parts that have no column, by position in the batch. */
  readonly extra = new Map<number, Extra>();

  constructor(sources: readonly Source[], capacity = BATCH_CAPACITY) {
    this.sources = sources;
    this.capacity = capacity;
    this.type = new Uint8Array(capacity);
    this.time = new Float64Array(capacity);
    this.cpu = new Int16Array(capacity);
    this.pid = new Int32Array(capacity);
    this.comm = new Int32Array(capacity);
    this.line = new Int32Array(capacity);
    this.source = new Uint8Array(capacity);
    this.dev = new Int32Array(capacity);
    this.bus = new Int32Array(capacity);
    this.drv = new Int32Array(capacity);
    this.fn = new Int32Array(capacity);
    this.ptr = new Int32Array(capacity);
    this.obj = new Int32Array(capacity);
    this.gptr = new Int32Array(capacity);
    this.group = new Int32Array(capacity);
    this.devGroup = new Int32Array(capacity);
    this.a = new Float64Array(capacity);
    this.b = new Float64Array(capacity);
    this.c = new Float64Array(capacity);
    this.strings = new ByteInterner();
    this.blank(0, capacity);
  }

  get full(): boolean {
    return this.length === this.capacity;
  }

  /** Empties the batch for reuse; what was read from it before is gone. */
  clear(): void {
    this.blank(0, this.length);
    this.length = 0;
    this.strings.clear();
    this.newest.fill(ABSENT);
    this.extra.clear();
  }

  /** Sets every field of the rows [from, to) to absent, which is how rows wait to be opened. */
  private blank(from: number, to: number): void {
    this.cpu.fill(-1, from, to);
    this.pid.fill(-1, from, to);
    for (const column of STRING_COLUMNS) this[column].fill(ABSENT, from, to);
    this.group.fill(NO_NUMBER, from, to);
    this.devGroup.fill(NO_NUMBER, from, to);
    this.a.fill(NaN, from, to);
    this.b.fill(NaN, from, to);
    this.c.fill(NaN, from, to);
  }

  /**
   * Opens a row with every field absent and returns its position. The caller fills the columns; a
   * row is part of the batch from here on.
   */
  row(type: number, source: number, line: number, time: number): number {
    const i = this.length++;
    this.type[i] = type;
    this.source[i] = source;
    this.line[i] = line;
    this.time[i] = time;
    return i;
  }

  /** Takes back the row opened last. */
  dropRow(): void {
    const i = --this.length;
    this.extra.delete(i);
    this.blank(i, i + 1);
  }

  /** Appends an event given as an object. Throws RangeError when the batch is full. */
  append(event: NewEvent, source: number): number {
    if (this.full) throw new RangeError('batch is full');
    const i = this.row(CODE_OF[event.type], source, event.line, event.time);
    if (event.cpu !== undefined) this.cpu[i] = event.cpu;
    if (event.task !== undefined) {
      this.pid[i] = event.task.pid;
      this.comm[i] = this.strings.internText(event.task.comm);
    }
    const inColumns: readonly string[] = COLUMN_FIELDS[event.type] ?? [];
    let extra: Record<string, unknown> | undefined;
    for (const [field, value] of Object.entries(event)) {
      if (value === undefined || BASE_FIELDS.has(field)) continue;
      if (!inColumns.includes(field) || !this.setColumn(i, field as ColumnField, value)) {
        (extra ??= Object.create(null) as Record<string, unknown>)[field] = value;
        // The names that a fold looks up by id stand in columns as well.
        if ((field === 'dev' || field === 'drv') && typeof value === 'string') {
          this[field][i] = this.strings.internText(value);
        }
      }
    }
    if (extra !== undefined) this.extra.set(i, extra);
    return i;
  }

  private setColumn(i: number, field: ColumnField, value: unknown): boolean {
    const column = FIELD_COLUMNS[field];
    if (typeof value === 'number') {
      if (
        column === 'group' ||
        column === 'devGroup' ||
        column === 'a' ||
        column === 'b' ||
        column === 'c'
      ) {
        this[column][i] = value;
        return true;
      }
      return false;
    }
    if (
      column === 'group' ||
      column === 'devGroup' ||
      column === 'a' ||
      column === 'b' ||
      column === 'c'
    ) {
      return false;
    }
    if (value === null) this[column][i] = NULL_POINTER;
    else if (typeof value === 'string') this[column][i] = this.strings.internText(value);
    else return false;
    return true;
  }

  /** The string of a column, undefined where absent, null for a NULL pointer. */
  string(column: StringColumn, i: number): string | null | undefined {
    const id = this[column][i];
    return id === NULL_POINTER ? null : this.strings.text(id);
  }

  /** Where event `i` was first read: a log keeps the origin that its events had before. */
  origin(i: number): Origin {
    const own = this.extra.get(i)?.['origin'];
    if (own !== undefined) return own as Origin;
    const { format, file } = this.sources[this.source[i]] ?? { format: '?', file: '?' };
    return { format, file, line: this.line[i] };
  }

  /** The event at position `i` as an object of the catalogue. */
  event(i: number): HotplugEvent {
    const type = EVENT_TYPES[this.type[i]];
    const event: Record<string, unknown> = {
      seq: this.firstSeq + i,
      time: this.time[i],
      type,
      origin: this.origin(i),
    };
    if (this.cpu[i] >= 0) event['cpu'] = this.cpu[i];
    if (this.pid[i] >= 0) {
      event['task'] = { comm: this.strings.text(this.comm[i]) ?? '', pid: this.pid[i] };
    }
    for (const field of COLUMN_FIELDS[type] ?? []) {
      const column = FIELD_COLUMNS[field];
      let value: unknown;
      if (column === 'group' || column === 'devGroup') {
        const n = this[column][i];
        value = n === NO_NUMBER ? undefined : n;
      } else if (column === 'a' || column === 'b' || column === 'c') {
        const n = this[column][i];
        value = Number.isNaN(n) ? undefined : n;
      } else {
        value = this.string(column, i);
      }
      if (value !== undefined) event[field] = value;
    }
    const extra = this.extra.get(i);
    if (extra !== undefined) for (const key of Object.keys(extra)) event[key] = extra[key];
    return event as unknown as HotplugEvent;
  }

  /** Copies row `i` of `from` to the end of this batch; `remap` caches string ids of `from`. */
  copyRow(from: EventBatch, i: number, remap: Int32Array): number {
    const to = this.row(from.type[i], from.source[i], from.line[i], from.time[i]);
    this.cpu[to] = from.cpu[i];
    this.pid[to] = from.pid[i];
    for (const column of STRING_COLUMNS) {
      const id = from[column][i];
      this[column][to] = id <= NULL_POINTER ? id : this.remapped(from, id, remap);
    }
    this.group[to] = from.group[i];
    this.devGroup[to] = from.devGroup[i];
    this.a[to] = from.a[i];
    this.b[to] = from.b[i];
    this.c[to] = from.c[i];
    const extra = from.extra.get(i);
    if (extra !== undefined) this.extra.set(to, extra);
    return to;
  }

  private remapped(from: EventBatch, id: number, remap: Int32Array): number {
    if (remap[id] !== 0) return remap[id];
    return (remap[id] = this.strings.internText(from.strings.text(id) ?? ''));
  }
}

const STRING_COLUMNS = ['comm', 'dev', 'bus', 'drv', 'fn', 'ptr', 'obj', 'gptr'] as const;
const BASE_FIELDS = new Set(['type', 'time', 'line', 'cpu', 'task', 'seq', 'origin']);
