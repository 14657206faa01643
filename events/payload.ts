/**
 * The payload of a trace event, `(sym+0x4/0x50) dev="0000:04:00.0" value=3`, into batch columns.
 *
 * This is where most bytes of a trace are looked at, so it works on the bytes themselves: each
 * event name is compiled once into the list of its keys, and a known key's value goes straight
 * into its column. Source of the grammars: formats.md 2.5, kernel/trace/trace_probe.c.
 */

import { Buffer } from 'node:buffer';
import type { EventBatch } from './batch.js';
import { FIELD_COLUMNS } from './batch.js';
import type { Column } from './batch.js';
import { ABSENT, hashWords, NULL_POINTER } from './intern.js';
import type { ByteInterner, TextBytes } from './intern.js';
import { CODE_OF, TypeCode } from './event.js';
import type { Probe, ProbeTable } from './probes.js';
import { clip, decode } from './reader.js';

/** Column codes in a compiled event: what to do with a key's value. */
const COLUMN_CODES = [
  'dev',
  'bus',
  'drv',
  'fn',
  'ptr',
  'obj',
  'gptr',
  'group',
  'devGroup',
  'a',
  'b',
  'c',
] as const satisfies readonly Column[];
const CODE = Object.fromEntries(COLUMN_CODES.map((c, i) => [c, i])) as Record<Column, number>;

/** How the payload of an event is written. */
const enum Shape {
  /** `key=value` pairs, perhaps after text that has none. */
  Pairs,
  /** A symbol, `pvclock_gtod_notify [kvm]`: notifier_run. */
  Symbol,
  /** `IOMMU:drv dev iova=… flags=…`: io_page_fault. */
  Fault,
  /** `dev slot:N, event:E`: pci_hp_event. */
  Slot,
  /** Free text: tracing_mark_write, and what the model does not look at. */
  Text,
}

/** What one event name means, compiled from the probe table. */
export class EventSpec {
  readonly code: number;
  readonly shape: Shape;
  readonly returns: boolean;
  /** `print` of trace-cmd and perf: the caller's symbol stands before the text. */
  readonly callerFirst: boolean;
  private readonly keyHashes: Int32Array;
  private readonly keyColumns: Uint8Array;
  private fnId = ABSENT;
  /** Length of the parenthesis that the payload began with last time. */
  parenthesis = 0;
  /** The events that followed this one the last two times: most often one of them does again. */
  follower: EventSpec | undefined;
  otherFollower: EventSpec | undefined;
  private readonly nameWords: Int32Array;
  private readonly tailMask: number;
  private fnOwner: ByteInterner | undefined;
  private fnGeneration = -1;

  constructor(
    readonly nameBytes: Uint8Array,
    readonly name: string,
    readonly probe: Probe | undefined,
  ) {
    this.code = probe === undefined ? TypeCode.trace_event : CODE_OF[probe.type];
    this.returns = probe !== undefined && probe.type.endsWith('_return');
    const bare = name.slice(name.lastIndexOf(':') + 1);
    this.shape = shapeOf(probe, bare);
    this.callerFirst = bare === 'print';
    const keys = Object.entries(probe?.fields ?? {});
    this.keyHashes = Int32Array.from(keys, ([key]) => hashText(key));
    this.keyColumns = Uint8Array.from(keys, ([, field]) => CODE[FIELD_COLUMNS[field]]);
    const padded = new Uint8Array((nameBytes.length + 3) & ~3);
    padded.set(nameBytes);
    const view = new DataView(padded.buffer);
    this.nameWords = Int32Array.from({ length: padded.length / 4 }, (_, w) =>
      view.getInt32(w * 4, true),
    );
    const tail = nameBytes.length & 3;
    this.tailMask = tail === 0 ? -1 : (1 << (tail * 8)) - 1;
  }

  /** Whether this event's name stands at `start`, with a colon and a blank behind it. */
  at(text: TextBytes, start: number, eol: number): boolean {
    const end = start + this.nameBytes.length;
    const { bytes } = text;
    return (
      end + 1 < eol && bytes[end] === COLON && bytes[end + 1] === SPACE && this.named(text, start)
    );
  }

  /** Whether the bytes from `start` on begin with this event's name. */
  named({ view }: TextBytes, start: number): boolean {
    const words = this.nameWords;
    const last = words.length - 1;
    for (let w = 0; w < last; w++) {
      if (words[w] !== view.getInt32(start + w * 4, true)) return false;
    }
    return words[last] === (view.getInt32(start + last * 4, true) & this.tailMask);
  }

  /** Column code of the key with this hash, or -1. */
  column(hash: number): number {
    const hashes = this.keyHashes;
    for (let k = 0; k < hashes.length; k++) if (hashes[k] === hash) return this.keyColumns[k];
    return -1;
  }

  /** Id of the function (or, for an unmodelled event, of its name) in the batch's strings. */
  functionId(strings: ByteInterner): number {
    if (this.fnOwner !== strings || this.fnGeneration !== strings.generation) {
      const text = this.probe === undefined ? this.name : this.probe.fn;
      this.fnId = text === undefined ? ABSENT : strings.internText(text);
      this.fnOwner = strings;
      this.fnGeneration = strings.generation;
    }
    return this.fnId;
  }
}

function shapeOf(probe: Probe | undefined, name: string): Shape {
  if (probe === undefined || probe.type === 'mark') return Shape.Text;
  if (probe.type === 'notifier_run') return Shape.Symbol;
  if (name === 'notifier_register' || name === 'notifier_unregister') return Shape.Symbol;
  if (probe.type === 'io_page_fault') return Shape.Fault;
  if (probe.type === 'pci_hp_event') return Shape.Slot;
  return Shape.Pairs;
}

/** Hash of a key, computed byte by byte because a key is hashed while its end is looked for. */
function hashText(text: string): number {
  let hash = 0;
  for (const byte of Buffer.from(text, 'utf8')) hash = (Math.imul(hash, 31) + byte) | 0;
  return hash;
}

/** Names that one trace may introduce before they are looked up afresh each time. */
const MAX_KNOWN_NAMES = 4096;

/** The events of one source by name, compiled as they appear. */
export class EventSpecs {
  private readonly known = new Map<number, EventSpec>();

  constructor(private readonly probes: ProbeTable) {}

  /**
   * The meaning of the event whose name is [start, end) of `bytes` and whose payload begins at
   * `payload`. A name that the table lacks is known by the probed function that ftrace prints in
   * parentheses, `(really_probe+0x0/0x340)` or `(caller+0x1/0x2 <- really_probe)`.
   */
  find(text: TextBytes, start: number, end: number, payload: number, eol: number): EventSpec {
    const { bytes } = text;
    const hash = hashWords(text.view, start, end);
    const known = this.known.get(hash);
    if (known !== undefined && known.nameBytes.length === end - start && known.named(text, start)) {
      return known;
    }
    const name = decode(bytes, start, end);
    const nameBytes = bytes.slice(start, end);
    const bare = name.slice(name.lastIndexOf(':') + 1);
    const probe =
      this.probes.get(name) ??
      this.probes.get(bare) ??
      this.probes.get(bare.replace(/__return$/, '_ret')) ?? // perf probe 'f%return'
      this.bySymbol(bytes, payload, eol);
    const spec = new EventSpec(nameBytes, name, probe);
    if (this.known.size < MAX_KNOWN_NAMES) this.known.set(hash, spec);
    return spec;
  }

  private bySymbol(bytes: Uint8Array, payload: number, eol: number): Probe | undefined {
    if (bytes[payload] !== OPEN) return undefined;
    const close = bytes.indexOf(CLOSE, payload);
    if (close < 0 || close > eol || close - payload > 300) return undefined;
    const inner = decode(bytes, payload + 1, close);
    const arrow = inner.indexOf(' <- ');
    const symbol = arrow < 0 ? inner : inner.slice(arrow + 4);
    const [fn, offset = '0x0'] = symbol.split(/[+/ ]/, 2);
    // A probe in the middle of a function says nothing about its entry.
    if (arrow < 0 && Number(offset) > ENTRY) return undefined;
    return this.probes.get(arrow < 0 ? fn : `${fn}_ret`);
  }
}

/** How far behind its symbol a function's entry may be probed: endbr64 or bti, and the ftrace call. */
const ENTRY = 0x10;

const SPACE = 0x20;
const QUOTE = 0x22;
const OPEN = 0x28;
const CLOSE = 0x29;
const PLUS = 0x2b;
const MINUS = 0x2d;
const ZERO = 0x30;
const NINE = 0x39;
const COLON = 0x3a;
const EQUALS = 0x3d;
const LOWER_B = 0x62;
const LOWER_C = 0x63;
const LOWER_X = 0x78;

/**
 * Fills row `i` of `batch`, opened with `spec.code`, from the payload [at, eol). Returns false
 * when the payload lacks what its type cannot be without; the caller makes it an unparsed line.
 */
export function readPayload(
  spec: EventSpec,
  text: TextBytes,
  at: number,
  eol: number,
  batch: EventBatch,
  i: number,
  keepText: boolean,
): boolean {
  const { bytes } = text;
  switch (spec.shape) {
    case Shape.Pairs:
      batch.fn[i] = spec.functionId(batch.strings);
      readPairs(spec, text, at, eol, batch, i);
      break;
    case Shape.Symbol: {
      let start = at;
      if (bytes[at] === LOWER_C && bytes[at + 1] === LOWER_B && bytes[at + 2] === EQUALS)
        start += 3; // trace-cmd -R
      if (start >= eol) return false;
      let end = start;
      while (end < eol && bytes[end] !== SPACE && bytes[end] !== PLUS) end++;
      batch.fn[i] = batch.strings.intern(text, start, end);
      break;
    }
    case Shape.Fault:
      return readFault(spec, text, at, eol, batch, i);
    case Shape.Slot:
      return readSlot(bytes, at, eol, batch, i);
    case Shape.Text:
      if (spec.probe === undefined) batch.fn[i] = spec.functionId(batch.strings);
      if (keepText || spec.probe !== undefined) {
        batch.extra.set(i, { text: clip(markText(spec, decode(bytes, at, eol))) });
      }
      return true;
  }
  return complete(spec.code, batch, i);
}

/** `print` of trace-cmd carries the caller's symbol before the text; tracing_mark_write does not. */
function markText(spec: EventSpec, text: string): string {
  if (!spec.callerFirst) return text;
  const colon = text.indexOf(': ');
  return colon > 0 && colon < 80 && !text.slice(0, colon).includes(' ')
    ? text.slice(colon + 2).trimStart()
    : text;
}

/** Whether the row has the fields without which its type says nothing. */
function complete(code: number, batch: EventBatch, i: number): boolean {
  switch (code) {
    case TypeCode.bus_notify:
    case TypeCode.chain_call:
    case TypeCode.map:
    case TypeCode.unmap:
      return !Number.isNaN(batch.a[i]);
    case TypeCode.add_device_to_group:
    case TypeCode.remove_device_from_group:
      return batch.group[i] >= 0 && batch.dev[i] > NULL_POINTER;
    case TypeCode.attach_device_to_domain:
    case TypeCode.detach_device_from_domain:
      return batch.dev[i] > NULL_POINTER;
    default:
      return true;
  }
}

function readPairs(
  spec: EventSpec,
  text: TextBytes,
  from: number,
  eol: number,
  batch: EventBatch,
  i: number,
): void {
  const { bytes } = text;
  let at = from;
  if (bytes[at] === OPEN) {
    // `(really_probe+0x0/0x340) ` or `(caller+0x5a/0xd0 <- callee) `, most often as long as before.
    let close = at + spec.parenthesis;
    if (bytes[close] !== CLOSE || bytes[close + 1] !== SPACE) {
      close = at;
      while (close < eol && bytes[close] !== CLOSE) close++;
      spec.parenthesis = close - at;
    }
    at = close + 2;
  }
  while (at < eol) {
    // A key: bytes up to '='. Text without '=' before the next blank is passed over.
    let hash = 0;
    let byte = bytes[at];
    while (at < eol && byte !== EQUALS && byte !== SPACE) {
      hash = (Math.imul(hash, 31) + byte) | 0;
      byte = bytes[++at];
    }
    if (at >= eol) return;
    at++;
    if (byte === SPACE) continue;
    const column = spec.column(hash);
    at = column < 0 ? skipValue(bytes, at, eol) : readValue(column, text, at, eol, batch, i);
  }
}

function skipValue(bytes: Uint8Array, from: number, eol: number): number {
  let at = from;
  if (bytes[at] === QUOTE) {
    at++;
    while (at < eol && bytes[at] !== QUOTE) at++;
    return at < eol ? at + 1 : at;
  }
  while (at < eol && bytes[at] !== SPACE) at++;
  return at;
}

/** Hexadecimal digit value by byte, 255 for anything else. */
const HEX = new Uint8Array(256).fill(255);
for (let d = 0; d < 16; d++) {
  HEX['0123456789abcdef'.charCodeAt(d)] = d;
  HEX['0123456789ABCDEF'.charCodeAt(d)] = d;
}

/** Stores the value at `from` and returns the offset after it. */
function readValue(
  column: number,
  text: TextBytes,
  from: number,
  eol: number,
  batch: EventBatch,
  i: number,
): number {
  switch (column) {
    case 0:
      return readString(batch.dev, column, text, from, eol, batch, i);
    case 1:
      return readString(batch.bus, column, text, from, eol, batch, i);
    case 2:
      return readString(batch.drv, column, text, from, eol, batch, i);
    case 3:
      return readSymbol(text, from, eol, batch, i);
    case 4:
      return readString(batch.ptr, column, text, from, eol, batch, i);
    case 5:
      return readString(batch.obj, column, text, from, eol, batch, i);
    case 6:
      return readString(batch.gptr, column, text, from, eol, batch, i);
    case 7:
      return readNumber(batch.group, text.bytes, from, eol, i, false);
    case 8:
      return readNumber(batch.devGroup, text.bytes, from, eol, i, false);
    case 9:
      return readNumber(batch.a, text.bytes, from, eol, i, isReturn(batch, i));
    case 10:
      return readNumber(batch.b, text.bytes, from, eol, i, false);
    default:
      return readNumber(batch.c, text.bytes, from, eol, i, false);
  }
}

/** `"0000:04:00.0"`, `(fault)`, or a bare word such as an address. */
function readString(
  column: Int32Array,
  code: number,
  text: TextBytes,
  from: number,
  eol: number,
  batch: EventBatch,
  i: number,
): number {
  const { bytes } = text;
  const { strings, newest } = batch;
  const guess = newest[code];
  if (bytes[from] === QUOTE) {
    const start = from + 1;
    const same = strings.same(guess, text, start, QUOTE);
    if (same !== ABSENT) {
      column[i] = same;
      return start + strings.byteLength(same) + 1;
    }
    let at = start;
    while (at < eol && bytes[at] !== QUOTE) at++;
    column[i] = at === start ? NULL_POINTER : (newest[code] = strings.intern(text, start, at));
    return at < eol ? at + 1 : at;
  }
  const same = strings.same(guess, text, from, SPACE);
  if (same !== ABSENT) {
    column[i] = same;
    return from + strings.byteLength(same);
  }
  let at = from;
  while (at < eol && bytes[at] !== SPACE) at++;
  if (bytes[from] === OPEN)
    column[i] = NULL_POINTER; // (fault)
  else if (at > from) column[i] = newest[code] = strings.intern(text, from, at);
  return at;
}

/** A symbol with its offset, `iommu_bus_notifier+0x0/0x70`: the offset is dropped. */
function readSymbol(
  text: TextBytes,
  from: number,
  eol: number,
  batch: EventBatch,
  i: number,
): number {
  const { bytes } = text;
  let at = from;
  while (at < eol && bytes[at] !== SPACE && bytes[at] !== PLUS) at++;
  if (at > from) batch.fn[i] = batch.strings.intern(text, from, at);
  while (at < eol && bytes[at] !== SPACE) at++;
  return at;
}

/**
 * A decimal or `0x` number. `errno`: a return value, for which 0xfffffff0 and 0xfffffffffffffff0
 * are the same negative number. Values of `iova=0x1000 - 0x2000` end at the first blank.
 */
function readNumber(
  column: Int32Array | Float64Array,
  bytes: Uint8Array,
  from: number,
  eol: number,
  i: number,
  errno: boolean,
): number {
  let at = from;
  if (bytes[at] === ZERO && bytes[at + 1] === LOWER_X) {
    const start = (at += 2);
    let low = 0;
    let high = 0;
    while (at < eol) {
      const digit = HEX[bytes[at]];
      if (digit === 255) break;
      high = (high << 4) | (low >>> 28);
      low = (low << 4) | digit;
      at++;
    }
    if (at === start) return skipValue(bytes, at, eol);
    column[i] =
      errno && low < 0 && (high === 0 || high === -1)
        ? low
        : (high >>> 0) * 4294967296 + (low >>> 0);
    return at;
  }
  const negative = bytes[at] === MINUS;
  if (negative) at++;
  const start = at;
  let value = 0;
  let byte = bytes[at];
  while (at < eol && byte >= ZERO && byte <= NINE) {
    value = value * 10 + (byte - ZERO);
    byte = bytes[++at];
  }
  if (at === start || at - start > 20) return skipValue(bytes, at, eol);
  column[i] = negative && value !== 0 ? -value : value;
  return at;
}

function isReturn(batch: EventBatch, i: number): boolean {
  const code = batch.type[i];
  return (
    code === TypeCode.function_return ||
    code === TypeCode.chain_return ||
    code === TypeCode.callback_return
  );
}

/** `IOMMU:ath12k_pci 0000:c2:00.0 iova=0x… flags=0x…`; the driver may be `[drvname]` or `(null)`. */
function readFault(
  spec: EventSpec,
  text: TextBytes,
  from: number,
  eol: number,
  batch: EventBatch,
  i: number,
): boolean {
  const shown = decode(text.bytes, from, Math.min(eol, from + 512));
  const match = /^IOMMU:(\S{1,128}) (\S{1,256}) iova=/.exec(shown);
  if (match !== null) {
    batch.drv[i] = match[1] === '(null)' ? NULL_POINTER : batch.strings.internText(match[1]);
    batch.dev[i] = batch.strings.internText(match[2]);
  }
  readPairs(spec, text, from, eol, batch, i);
  return batch.dev[i] > NULL_POINTER && !Number.isNaN(batch.a[i]);
}

/** enum pci_hotplug_event (include/uapi/linux/pci.h), which raw output prints as a number. */
const SLOT_EVENTS: readonly string[] = ['LINK_UP', 'LINK_DOWN', 'CARD_PRESENT', 'CARD_NOT_PRESENT'];

/** `0000:00:02.0 slot:10, event:CARD_PRESENT`. */
function readSlot(
  bytes: Uint8Array,
  from: number,
  eol: number,
  batch: EventBatch,
  i: number,
): boolean {
  const text = decode(bytes, from, Math.min(eol, from + 512));
  const match =
    /^(\S{1,256}) slot:([^,]{1,128}), event:\s?(\S{1,64})/.exec(text) ??
    /^port_name=(\S{1,256}) slot=(\S{1,128}) event=(\S{1,64})/.exec(text); // trace-cmd -R
  if (match === null) return false;
  batch.dev[i] = batch.strings.internText(match[1]);
  batch.extra.set(i, { slot: match[2], event: SLOT_EVENTS[Number(match[3])] ?? match[3] });
  return true;
}
