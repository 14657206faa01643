/**
 * `perf script`: `comm pid [cpu] time: period sys:event: payload`.
 *
 * -F drops columns and adds others, so a line is read word by word up to the time (or, without one,
 * up to `sys:event:`); what stands before it is told by its look. Payloads are those of ftrace but
 * for probes, which name addresses instead of symbols.
 * Source: tools/perf/builtin-script.c (perf_sample__fprintf_start, process_event), formats.md 2.4.
 */

import type { EventBatch } from '../batch.js';
import { TypeCode } from '../event.js';
import { textBytes } from '../intern.js';
import type { TextBytes } from '../intern.js';
import { EventSpecs, readPayload } from '../payload.js';
import { clip, decode, LONGEST_LINE, ROWS_PER_LINE } from '../reader.js';
import type { Format, FormatReader, ReaderOptions } from '../reader.js';

const TAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const HASH = 0x23;
const DOT = 0x2e;
const SLASH = 0x2f;
const ZERO = 0x30;
const NINE = 0x39;
const COLON = 0x3a;
const LEFT = 0x5b;
const RIGHT = 0x5d;
const UPPER_P = 0x50;

/** Microseconds, or nanoseconds with --ns. */
const TIME_SCALE = [0, 0, 0, 0, 0, 0, 1000, 100, 10, 1];

const MAX_CPUS = 4096;

/** No head is longer: a comm of 15 bytes and a dozen columns. */
const LONGEST_HEAD = 300;

class PerfScriptReader implements FormatReader {
  private lineNumber = 0;
  private readonly specs: EventSpecs;
  private readonly source: number;
  private readonly keepText: boolean;
  /** Time of the newest line of each CPU, for the beginning of a gap. NaN: none yet. */
  private readonly newest = new Float64Array(MAX_CPUS).fill(NaN);
  private newestOfAll = NaN;
  /** Losses told without a time: they end at the next event. */
  private readonly pendingLosses: { line: number; text: string; count: number }[] = [];

  // The parts of the line read last.
  private commStart = 0;
  private commEnd = 0;
  private pid = -1;
  private cpu = -1;
  private time = NaN;
  private nameStart = 0;
  private nameEnd = 0;
  private payload = 0;

  constructor(options: ReaderOptions) {
    this.specs = new EventSpecs(options.probes);
    this.source = options.source;
    this.keepText = options.keepText;
  }

  read(bytes: Uint8Array, start: number, end: number, batch: EventBatch): number {
    const text = textBytes(bytes, end);
    let at = start;
    while (at < end) {
      if (batch.capacity - batch.length < ROWS_PER_LINE) return at;
      let eol = at;
      while (bytes[eol] !== LF) eol++;
      this.lineNumber++;
      this.line(text, at, eol > at && bytes[eol - 1] === CR ? eol - 1 : eol, batch);
      at = eol + 1;
    }
    return end;
  }

  finish(batch: EventBatch): void {
    this.settleLosses(NaN, batch);
  }

  overlong(head: string, batch: EventBatch): void {
    this.lineNumber++;
    this.unparsed(`${head.slice(0, 200)}…`, `line longer than ${LONGEST_LINE} bytes`, batch);
  }

  private line(text: TextBytes, start: number, eol: number, batch: EventBatch): void {
    const { bytes } = text;
    if (eol === start || bytes[start] === HASH) return;
    const after = this.head(bytes, start, eol);
    if (after < 0 || !this.nameAndPayload(bytes, after, eol)) {
      this.notAnEvent(bytes, start, after, eol, batch);
      return;
    }
    if (bytes[this.payload] === UPPER_P && this.record(bytes, this.payload, eol, batch)) return;
    const spec = this.specs.find(text, this.nameStart, this.nameEnd, this.payload, eol);
    if (spec.name === 'IOMMU') {
      this.unparsed(decode(bytes, start, eol), 'no event name (-F without event)', batch);
      return;
    }
    if (this.pendingLosses.length > 0) this.settleLosses(this.time, batch);
    const i = this.row(spec.code, batch);
    this.passTime();
    if (this.pid >= 0) {
      batch.pid[i] = this.pid;
      const strings = batch.strings;
      const same = i > 0 ? strings.same(batch.comm[i - 1], text, this.commStart, SPACE) : 0;
      batch.comm[i] =
        same > 0 && strings.byteLength(same) === this.commEnd - this.commStart
          ? same
          : strings.intern(text, this.commStart, this.commEnd);
    }
    if (!readPayload(spec, text, this.payload, eol, batch, i, this.keepText)) {
      batch.dropRow();
      this.unparsed(decode(bytes, start, eol), `fields missing in ${spec.name}`, batch);
    }
  }

  /**
   * The columns before the event. Returns the offset behind the time, or of the event's name where
   * the line has no time, or -1 where neither is found.
   */
  private head(bytes: Uint8Array, start: number, eol: number): number {
    const limit = Math.min(eol, start + LONGEST_HEAD);
    this.cpu = -1;
    this.pid = -1;
    let first = -1;
    // The number seen last, and the one that stood right before the CPU: that is the pid.
    let numberStart = -1;
    let numberEnd = -1;
    let pidStart = -1;
    let pidEnd = -1;
    let previousEnd = -1;
    let at = start;
    for (;;) {
      while (at < limit && isBlank(bytes[at])) at++;
      if (at >= limit) return -1;
      const word = at;
      if (first < 0) first = word;
      while (at < limit && !isBlank(bytes[at])) at++;
      if (bytes[at - 1] === COLON) {
        const timed = this.readTime(bytes, word, at - 1);
        if (timed || isEventName(bytes, word, at - 1)) {
          if (!timed) this.time = NaN;
          if (this.cpu < 0) this.readTask(bytes, first, numberStart, numberEnd);
          else this.readTask(bytes, first, pidStart, pidEnd);
          return timed ? at : word;
        }
        if (isFraction(bytes, word, at - 1)) return -1; // a time of too few digits
      } else if (bytes[word] === LEFT && bytes[at - 1] === RIGHT) {
        const cpu = digitsAt(bytes, word + 1, at - 1);
        const afterPid = numberEnd >= 0 && numberEnd === previousEnd;
        if (cpu >= 0 && cpu < MAX_CPUS && (afterPid || this.cpu < 0)) {
          this.cpu = cpu;
          pidStart = afterPid ? numberStart : -1;
          pidEnd = numberEnd;
        }
      } else if (isPid(bytes, word, at)) {
        numberStart = word;
        numberEnd = at;
      }
      previousEnd = at;
    }
  }

  /** `seconds.micros` or `seconds.nanos` in [from, end). */
  private readTime(bytes: Uint8Array, from: number, end: number): boolean {
    let dot = from;
    let whole = 0;
    while (dot < end && isDigit(bytes[dot])) whole = whole * 10 + (bytes[dot++] - ZERO);
    const digits = end - dot - 1;
    if (dot === from || dot - from > 11 || bytes[dot] !== DOT || digits < 6 || digits > 9)
      return false;
    const fraction = digitsAt(bytes, dot + 1, end);
    if (fraction < 0) return false;
    this.time = whole * 1e9 + fraction * TIME_SCALE[digits];
    return true;
  }

  /** The comm is all from the first word to the pid; `pid/tid` names the thread, as ftrace does. */
  private readTask(bytes: Uint8Array, first: number, pidStart: number, pidEnd: number): void {
    if (pidStart < 0) return;
    let slash = pidStart;
    while (slash < pidEnd && bytes[slash] !== SLASH) slash++;
    this.pid = digitsAt(bytes, slash < pidEnd ? slash + 1 : pidStart, pidEnd);
    this.commStart = first;
    let end = pidStart;
    while (end > first && isBlank(bytes[end - 1])) end--;
    this.commEnd = end;
  }

  /** From behind the time: a period perhaps, the event's name, a colon. */
  private nameAndPayload(bytes: Uint8Array, from: number, eol: number): boolean {
    let at = from;
    while (at < eol && isBlank(bytes[at])) at++;
    let end = at;
    while (end < eol && isDigit(bytes[end])) end++;
    if (end > at && isBlank(bytes[end])) {
      at = end;
      while (at < eol && isBlank(bytes[at])) at++;
    }
    this.nameStart = at;
    while (at < eol && !isBlank(bytes[at])) at++;
    this.nameEnd = at - 1;
    if (this.nameEnd <= this.nameStart || bytes[this.nameEnd] !== COLON) return false;
    while (at < eol && isBlank(bytes[at])) at++;
    this.payload = at;
    return true;
  }

  private row(code: number, batch: EventBatch): number {
    const i = batch.row(code, this.source, this.lineNumber, this.time);
    batch.cpu[i] = this.cpu;
    return i;
  }

  private passTime(): void {
    if (Number.isNaN(this.time)) return;
    if (this.cpu >= 0) this.newest[this.cpu] = this.time;
    this.newestOfAll = this.time;
  }

  /** Records that are no samples (--show-lost-events, --show-task-events …), call chains, the rest. */
  private notAnEvent(
    bytes: Uint8Array,
    start: number,
    afterTime: number,
    eol: number,
    batch: EventBatch,
  ): void {
    if (afterTime >= 0 && this.record(bytes, this.nameStart, eol, batch)) return;
    const text = decode(bytes, start, Math.min(eol, start + 2048));
    if (text.trim() === '' || CALL_CHAIN.test(text)) return;
    const loss = LOSS_WITHOUT_TIME.exec(text);
    if (loss === null) {
      this.unparsed(text, 'not a line of perf script', batch);
      return;
    }
    const count = Number(loss[1] ?? (loss[3] === 'chunks' ? NaN : loss[2]));
    this.pendingLosses.push({ line: this.lineNumber, text: clip(text), count });
    if (this.pendingLosses.length >= ROWS_PER_LINE - 1) this.settleLosses(NaN, batch);
  }

  /** `PERF_RECORD_LOST lost 12` at `from`. */
  private record(bytes: Uint8Array, from: number, eol: number, batch: EventBatch): boolean {
    const text = decode(bytes, from, Math.min(eol, from + 2048));
    const match = /^PERF_RECORD_([A-Z0-9_]{1,64})\b(?:.*?\blost[ =](\d{1,20}))?/.exec(text);
    if (match === null) return false;
    if (!/^LOST(_SAMPLES)?$/.test(match[1])) {
      const i = this.row(TypeCode.trace_event, batch);
      batch.fn[i] = batch.strings.internText(`PERF_RECORD_${match[1]}`);
      if (this.keepText) batch.extra.set(i, { text: clip(text) });
      return true;
    }
    const since = this.cpu >= 0 ? this.newest[this.cpu] : this.newestOfAll;
    const i = this.row(TypeCode.lost, batch);
    batch.extra.set(i, {
      text: clip(text),
      ...(match[2] === undefined ? {} : { count: Number(match[2]) }),
      ...(Number.isNaN(since) ? {} : { since }),
    });
    this.passTime();
    return true;
  }

  private settleLosses(until: number, batch: EventBatch): void {
    for (const loss of this.pendingLosses) {
      const i = batch.row(TypeCode.lost, this.source, loss.line, until);
      batch.extra.set(i, {
        text: loss.text,
        ...(Number.isNaN(loss.count) ? {} : { count: loss.count }),
        ...(Number.isNaN(this.newestOfAll) ? {} : { since: this.newestOfAll }),
      });
    }
    this.pendingLosses.length = 0;
  }

  private unparsed(text: string, reason: string, batch: EventBatch): void {
    const i = batch.row(TypeCode.unparsed, this.source, this.lineNumber, NaN);
    batch.extra.set(i, { text: clip(text), reason });
  }
}

/** `\tffffffff81234567 iommu_map+0x27 ([kernel.kallsyms])`, below the event that it belongs to. */
const CALL_CHAIN = /^[ \t]+(?:[0-9a-f]{8,16}(?:[ \t].*)?|[0-9a-f]{1,7}[ \t].*\))$/;

/** Without a head: columns dropped, or what perf wrote to its error output. */
const LOSS_WITHOUT_TIME =
  /PERF_RECORD_LOST(?:_SAMPLES)?(?:\b.*?\blost[ =](\d{1,20}))?|\blost (\d{1,20}) (events|samples|chunks)\b/i;

/** comm pid[/tid] [cpu] time: */
const FULL_HEAD =
  /^\s*\S.{0,60}?\s\d{1,10}(?:\/\d{1,10})?\s+\[\d{1,4}\]\s+(?:\S{1,16}\s+)?\d{1,11}\.\d{6,9}:\s/;
/** time: sys:event: */
const SHORT_HEAD = /\b\d{1,11}\.\d{6,9}:\s+(?:\d{1,20}\s+)?[A-Za-z_]\w{0,63}:[\w-]{1,128}:/;

/** Text that perf script printed. */
export const perfScript: Format = {
  name: 'perf-script',
  description: 'output of perf script',
  sniff(head) {
    if (/^# (captured on|perf version) *: /m.test(head.slice(0, 4096))) return 1;
    const lines = head
      .split('\n', 200)
      .map((line) => line.slice(0, 300))
      .filter((line) => line.trim() !== '' && !line.startsWith('#') && !CALL_CHAIN.test(line));
    if (lines.length === 0) return 0;
    const known = lines.filter((line) => FULL_HEAD.test(line) || SHORT_HEAD.test(line));
    return (known.length / lines.length) * 0.9;
  },
  open: (options) => new PerfScriptReader(options),
};

/** `sys:event` in [from, end): a word of letters, one colon, a word. */
function isEventName(bytes: Uint8Array, from: number, end: number): boolean {
  const colon = bytes.indexOf(COLON, from);
  if (colon <= from || colon >= end - 1 || isDigit(bytes[from])) return false;
  for (let at = from; at < end; at++) if (at !== colon && !isWord(bytes[at])) return false;
  return true;
}

/** `13.5`: digits around a dot. */
function isFraction(bytes: Uint8Array, from: number, end: number): boolean {
  const dot = bytes.indexOf(DOT, from);
  return dot < end && digitsAt(bytes, from, dot) >= 0 && digitsAt(bytes, dot + 1, end) >= 0;
}

/** `517` or `517/518`. */
function isPid(bytes: Uint8Array, from: number, end: number): boolean {
  let slashes = 0;
  for (let at = from; at < end; at++) {
    if (bytes[at] === SLASH && at > from && at < end - 1) slashes++;
    else if (!isDigit(bytes[at])) return false;
  }
  return slashes < 2 && end - from < 24;
}

/** The number in [from, end), or -1 where it is not all digits. */
function digitsAt(bytes: Uint8Array, from: number, end: number): number {
  if (from >= end) return -1;
  let value = 0;
  for (let at = from; at < end; at++) {
    if (!isDigit(bytes[at])) return -1;
    value = value * 10 + (bytes[at] - ZERO);
  }
  return value;
}

function isDigit(byte: number): boolean {
  return byte >= ZERO && byte <= NINE;
}

function isBlank(byte: number): boolean {
  return byte === SPACE || byte === TAB;
}

function isWord(byte: number): boolean {
  return (
    isDigit(byte) ||
    (byte >= 0x41 && byte <= 0x5a) ||
    (byte >= 0x61 && byte <= 0x7a) ||
    byte === 0x5f ||
    byte === 0x2d
  );
}
