/**
 * Lines of the form `comm-pid [cpu] flags time: event: payload`.
 *
 * The kernel's `trace` and `trace_pipe` files and `trace-cmd report` share them and differ in the
 * columns between: an optional thread group, 0 or 4…7 flag letters, microseconds, nanoseconds or a
 * bare counter. The usual layout is read in one pass over the bytes; everything else takes a slower
 * way that looks for the last `-digits` before the CPU bracket, because a comm may hold anything.
 * Sources: kernel/trace/trace_output.c, formats.md 2.1 and 2.2.
 */

import { Buffer } from 'node:buffer';
import type { EventBatch } from '../batch.js';
import { TypeCode } from '../event.js';
import { textBytes } from '../intern.js';
import type { TextBytes } from '../intern.js';
import { EventSpec, EventSpecs, readPayload } from '../payload.js';
import { clip, decode, LONGEST_LINE, ROWS_PER_LINE } from '../reader.js';
import type { FormatReader, ReaderOptions } from '../reader.js';

const TAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const HASH = 0x23;
const OPEN = 0x28;
const CLOSE = 0x29;
const PLUS = 0x2b;
const MINUS = 0x2d;
const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const COLON = 0x3a;
const LESS = 0x3c;
const GREATER = 0x3e;
const LEFT = 0x5b;
const RIGHT = 0x5d;

/** Column of the dash: the comm has at most 15 bytes and is padded to 16. */
const DASH_COLUMN = 16;

const FOUR_SPACES = 0x20202020;

const SCALE = [1e9, 1e8, 1e7, 1e6, 1e5, 1e4, 1e3, 1e2, 10, 1];

const MAX_CPUS = 4096;

/** Place of the comm among a batch's newest strings, behind the string columns. */
const COMM = 7;

/** No clock has counted so many nanoseconds: a time with more digits is garbage. */
const TIME_DIGITS = 20;

/** `schedule <-do_idle`: a line of the function tracer. trace-cmd gives them this name. */
const FUNCTION_LINE = new EventSpec(new Uint8Array(0), 'function', undefined);

export class TaskTraceReader implements FormatReader {
  private lineNumber = 0;
  private readonly specs: EventSpecs;
  private readonly source: number;
  private readonly keepText: boolean;
  /** Time of the newest event of each CPU, for the beginning of a gap. NaN: none yet. */
  private readonly newest = new Float64Array(MAX_CPUS).fill(NaN);
  /** Events that the ring buffer overwrote before the trace was read; the header says how many. */
  private overwritten = 0;
  /** CPUs whose events are known to begin late, because older ones were overwritten. */
  private readonly announced = new Uint8Array(MAX_CPUS);
  /** Gaps whose end is the next event of their CPU: `CPU:1 [LOST 53 EVENTS]`. */
  private readonly pendingLosses: { cpu: number; count: number; line: number; text: string }[] = [];

  // The parts of the line read last.
  private commStart = 0;
  private commEnd = 0;
  private pid = -1;
  private cpu = -1;
  private time = NaN;
  private nameStart = 0;
  private nameEnd = 0;
  private payload = 0;
  private functionLine = false;
  /** The event of the line before. */
  private spec: EventSpec | undefined;
  /** The event of this line, where its name was expected. */
  private found: EventSpec | undefined;
  /** Nanoseconds per unit of a time without a dot; NaN: not known yet. */
  private wholeUnit: number;

  /**
   * `shortTimes`: trace-cmd report prints the times of a clock's first second as whole
   * microseconds (with -t nanoseconds), tep_print_event's `%6.1000d`.
   */
  constructor(options: ReaderOptions, shortTimes = false) {
    this.wholeUnit = shortTimes ? NaN : 1;
    this.specs = new EventSpecs(options.probes);
    this.source = options.source;
    this.keepText = options.keepText;
  }

  read(bytes: Uint8Array, start: number, end: number, batch: EventBatch): number {
    // Node's Buffer looks for a byte many times faster than a loop or a plain Uint8Array does.
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const text = textBytes(bytes, end);
    let at = start;
    while (at < end) {
      if (batch.capacity - batch.length < ROWS_PER_LINE) return at;
      const eol = buffer.indexOf(LF, at);
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
    if (eol === start) return; // pci_hp_event prints its own line feed: an empty line follows
    const { bytes } = text;
    if (!this.usualHead(text, start, eol) && !this.anyHead(text, start, eol)) {
      this.notAnEvent(bytes, start, eol, batch);
      return;
    }
    const spec = (this.spec = this.named(text, eol));
    if (this.pendingLosses.length > 0) this.settleLosses(this.time, batch);
    const cpu = this.cpu;
    if (this.overwritten > 0 && this.announced[cpu] === 0) this.announceOverwritten(batch);
    if (cpu >= 0) this.newest[cpu] = this.time;
    const i = batch.row(spec.code, this.source, this.lineNumber, this.time);
    batch.cpu[i] = cpu;
    batch.pid[i] = this.pid;
    const { strings } = batch;
    const same = strings.same(batch.newest[COMM], text, this.commStart, MINUS);
    batch.comm[i] = batch.newest[COMM] =
      same > 0 && strings.byteLength(same) === this.commEnd - this.commStart
        ? same
        : strings.intern(text, this.commStart, this.commEnd);
    if (!readPayload(spec, text, this.payload, eol, batch, i, this.keepText)) {
      batch.dropRow();
      this.unparsed(decode(bytes, start, eol), `fields missing in ${spec.name}`, batch);
    }
  }

  /** The event of the line, with `payload` set behind its name. */
  private named(text: TextBytes, eol: number): EventSpec {
    const { spec } = this;
    if (this.nameEnd < 0) {
      // The name was recognised as the one that follows the event before.
      return this.found!;
    }
    if (this.functionLine) return FUNCTION_LINE;
    const found = this.specs.find(text, this.nameStart, this.nameEnd, this.payload, eol);
    if (spec !== undefined) {
      spec.otherFollower = spec.follower;
      spec.follower = found;
    }
    return found;
  }

  /** `%16s-%-7d [%03d] flags %5lu.%06lu: name: ` with the columns where the kernel puts them. */
  private usualHead(text: TextBytes, start: number, eol: number): boolean {
    const { bytes } = text;
    let at = start + DASH_COLUMN;
    if (at >= eol || bytes[at] !== MINUS) return false;
    at++;
    const digits = at;
    let pid = 0;
    let byte = bytes[at];
    while (byte >= ZERO && byte <= NINE) {
      pid = pid * 10 + (byte - ZERO);
      byte = bytes[++at];
    }
    if (at === digits || byte !== SPACE) return false;
    let comm = start;
    while (text.view.getInt32(comm, true) === FOUR_SPACES) comm += 4;
    while (bytes[comm] === SPACE) comm++;
    if (comm >= start + DASH_COLUMN) comm = start + DASH_COLUMN - 1;
    this.commStart = comm;
    this.commEnd = start + DASH_COLUMN;
    this.pid = pid;
    return this.afterPid(text, at, eol);
  }

  /** Any comm and any padding: the last `-digits` that a CPU column follows. */
  private anyHead(text: TextBytes, start: number, eol: number): boolean {
    const { bytes } = text;
    const limit = Math.min(eol, start + 300);
    for (let at = start + 1; at < limit; at++) {
      if (
        bytes[at] === LEFT &&
        isBlank(bytes[at - 1]) &&
        isDigit(bytes[at + 1]) &&
        this.pidBefore(bytes, start, at) &&
        this.afterPid(text, at, eol)
      ) {
        return true;
      }
    }
    return this.latencyHead(text, start, eol);
  }

  /** Takes comm and pid from the text before the CPU bracket at `bracket`, if they are there. */
  private pidBefore(bytes: Uint8Array, start: number, bracket: number): boolean {
    let at = bracket - 1;
    while (at > start && isBlank(bytes[at])) at--;
    if (bytes[at] === CLOSE) {
      // (  1234) or (-------): the thread group.
      while (at > start && bytes[at] !== OPEN) at--;
      at--;
      while (at > start && isBlank(bytes[at])) at--;
    }
    const end = at + 1;
    while (at >= start && isDigit(bytes[at])) at--;
    if (at < start || at + 1 === end || bytes[at] !== MINUS) return false;
    this.pid = digitsAt(bytes, at + 1, end);
    // A mail quote or a file name (trace-cmd with several inputs) may stand before the comm.
    let comm = Math.max(start, at - DASH_COLUMN);
    while (comm < at && isBlank(bytes[comm])) comm++;
    if (bytes[comm] === GREATER && comm === start) {
      do comm++;
      while (comm < at && isBlank(bytes[comm]));
    }
    this.commStart = comm;
    this.commEnd = at;
    return at > comm;
  }

  /**
   * `%8.8s-%-7d %3d<flags> %4lldus<mark>: name: payload` (option latency-format, trace-cmd -l) or,
   * with option verbose, `%16s %7d %3d %d %08x %08lx [%08llx] %ld.%03ldms (+%ld.%03ldms): `.
   */
  private latencyHead(text: TextBytes, start: number, eol: number): boolean {
    // One character per byte, so that offsets in the string are offsets in the bytes.
    const line = latin1(text.bytes, start, Math.min(eol, start + 300));
    const verbose = VERBOSE_HEAD.exec(line);
    const match = verbose ?? LATENCY_HEAD.exec(line);
    if (match === null) return false;
    const [head, comm, pid, cpu, time, fraction, us] = match;
    this.commStart = start + head.indexOf(comm);
    this.commEnd = this.commStart + comm.trimEnd().length;
    this.pid = Number(pid);
    this.cpu = Number(cpu);
    if (verbose !== null) {
      // In brackets the time since boot in microseconds; a counter clock has 16 digits there.
      this.time = parseInt(time, 16) * (time.length === 16 ? 1 : 1000);
    } else if (fraction === undefined) {
      const value = Number(time);
      this.time = value * (us === undefined ? this.unitOf(value) : 1000);
    } else {
      this.time = Number(time) * 1e9 + Number(fraction.padEnd(9, '0'));
    }
    return this.cpu < MAX_CPUS && this.nameAndPayload(text, start + head.length, eol);
  }

  private unitOf(whole: number): number {
    if (Number.isNaN(this.wholeUnit)) this.wholeUnit = whole <= 1e6 ? 1000 : 1;
    return this.wholeUnit;
  }

  /** From the blanks before `[cpu]` (or `(tgid)`) to the payload. */
  private afterPid(text: TextBytes, from: number, eol: number): boolean {
    const { bytes } = text;
    let at = from;
    while (at < eol && bytes[at] === SPACE) at++;
    if (bytes[at] === OPEN) {
      while (at < eol && bytes[at] !== CLOSE) at++;
      at++;
      while (at < eol && bytes[at] === SPACE) at++;
    }
    if (bytes[at] !== LEFT) return false;
    at++;
    let cpu = 0;
    const cpuStart = at;
    let byte = bytes[at];
    while (byte >= ZERO && byte <= NINE) {
      cpu = cpu * 10 + (byte - ZERO);
      byte = bytes[++at];
    }
    if (at === cpuStart || byte !== RIGHT || cpu >= MAX_CPUS) return false;
    at++;
    while (at < eol && bytes[at] === SPACE) at++;
    // Flags, where they are on: 4…7 letters, digits and dots, and no colon behind. `....` and
    // `12.5` are told apart by what follows: a time ends in a colon, flags in a blank.
    let word = at;
    while (word < eol && bytes[word] !== SPACE && bytes[word] !== COLON) word++;
    if (bytes[word] === SPACE) {
      at = word;
      while (at < eol && bytes[at] === SPACE) at++;
    }
    this.cpu = cpu;
    at = this.timestamp(bytes, at, eol);
    if (at < 0) return false;
    return this.nameAndPayload(text, at, eol);
  }

  /** Reads `seconds.fraction:` or `counter:`; returns the offset behind the colon or -1. */
  private timestamp(bytes: Uint8Array, from: number, eol: number): number {
    let at = from;
    let whole = 0;
    let byte = bytes[at];
    while (byte >= ZERO && byte <= NINE) {
      whole = whole * 10 + (byte - ZERO);
      byte = bytes[++at];
    }
    if (at === from || at - from > TIME_DIGITS) return -1;
    if (byte === DOT) {
      let fraction = 0;
      const start = ++at;
      byte = bytes[at];
      while (byte >= ZERO && byte <= NINE) {
        if (at - start < 9) fraction = fraction * 10 + (byte - ZERO);
        byte = bytes[++at];
      }
      if (at === start) return -1;
      this.time = whole * 1e9 + fraction * SCALE[Math.min(at - start, 9)];
    } else {
      this.time = whole * this.unitOf(whole);
    }
    if (byte !== COLON || at >= eol) return -1;
    return at + 1;
  }

  private nameAndPayload(text: TextBytes, from: number, eol: number): boolean {
    const { bytes } = text;
    let at = from;
    while (at < eol && bytes[at] === SPACE) at++;
    const likely = this.likely(text, at, eol);
    if (likely !== undefined) {
      this.found = likely;
      this.functionLine = false;
      this.nameEnd = -1;
      at += likely.nameBytes.length + 1;
      while (at < eol && bytes[at] === SPACE) at++;
      this.payload = at;
      return true;
    }
    if (bytes[at] === OPEN && bytes[at + 1] === PLUS) {
      // --ts-diff: (+1234)
      while (at < eol && bytes[at] !== CLOSE) at++;
      at++;
      while (at < eol && bytes[at] === SPACE) at++;
    }
    this.nameStart = at;
    let byte = bytes[at];
    // `sys:name:` keeps its inner colon: a name ends at a colon that a blank or the end follows.
    while (
      at < eol &&
      byte !== SPACE &&
      !(byte === COLON && (at + 1 >= eol || bytes[at + 1] === SPACE))
    ) {
      byte = bytes[++at];
    }
    if (at >= eol || byte !== COLON || at === this.nameStart) {
      this.payload = this.nameStart;
      this.nameEnd = at;
      return (this.functionLine =
        at > this.nameStart && at + 2 < eol && bytes[at + 1] === LESS && bytes[at + 2] === MINUS);
    }
    this.functionLine = false;
    this.nameEnd = at++;
    while (at < eol && bytes[at] === SPACE) at++;
    this.payload = at;
    return true;
  }

  /** The event whose name stands at `at`, if it is one that followed the last event before. */
  private likely(text: TextBytes, at: number, eol: number): EventSpec | undefined {
    const first = this.spec?.follower;
    if (first === undefined || first.at(text, at, eol)) return first;
    const second = this.spec!.otherFollower;
    return second?.at(text, at, eol) === true ? second : undefined;
  }

  /** Headers, loss marks, stack traces, and what cannot be read. */
  private notAnEvent(bytes: Uint8Array, start: number, eol: number, batch: EventBatch): void {
    let at = start;
    while (at < eol && isBlank(bytes[at])) at++;
    if (at === eol) return;
    const text = decode(bytes, at, Math.min(eol, at + 2048));
    if (bytes[at] === HASH) {
      this.header(text, batch);
      return;
    }
    const loss = LOSS.exec(text);
    if (loss !== null) {
      this.lossBefore(
        Number(loss[1]),
        loss[2] === undefined ? NaN : Number(loss[2]),
        loss[0],
        batch,
      );
      return;
    }
    if (text.startsWith('=> ') || STACK_TRACE.test(text) || NOTICE.test(text)) return;
    this.unparsed(text, 'not a trace line', batch);
  }

  /** Something of this CPU is missing before the next event. */
  private lossBefore(cpu: number, count: number, text: string, batch: EventBatch): void {
    this.pendingLosses.push({ cpu, count, line: this.lineNumber, text });
    if (this.pendingLosses.length >= ROWS_PER_LINE - 2) this.settleLosses(NaN, batch);
  }

  private header(text: string, batch: EventBatch): void {
    // Option annotate, only in a buffer that overran; the counts are gone where a head was cut off.
    const started = /^##### CPU (\d{1,5}) buffer started ####/.exec(text);
    if (started !== null && this.overwritten === 0) {
      this.lossBefore(Number(started[1]), NaN, started[0], batch);
    }
    const counts = /^# entries-in-buffer\/entries-written: (\d{1,20})\/(\d{1,20})/.exec(text);
    if (counts === null) return;
    // A second header: another trace follows in the same file.
    this.announced.fill(0);
    this.newest.fill(NaN);
    const missing = Number(counts[2]) - Number(counts[1]);
    this.overwritten = Math.max(0, missing);
    if (missing <= 0) return;
    const i = batch.row(TypeCode.lost, this.source, this.lineNumber, NaN);
    batch.extra.set(i, {
      count: missing,
      text,
      inferred: 'events written minus events in the buffer: the oldest were overwritten',
    });
  }

  /** The first event of a CPU after an overwritten beginning ends the gap of that CPU. */
  private announceOverwritten(batch: EventBatch): void {
    this.announced[this.cpu] = 1;
    const i = batch.row(TypeCode.lost, this.source, this.lineNumber, this.time);
    batch.cpu[i] = this.cpu;
    batch.extra.set(i, {
      inferred: `the buffer was overwritten; CPU ${this.cpu} begins here`,
    });
  }

  /** Ends the open gaps at `until`, the time of the event behind the mark. */
  private settleLosses(until: number, batch: EventBatch): void {
    for (const loss of this.pendingLosses) {
      const i = batch.row(TypeCode.lost, this.source, loss.line, until);
      const since = loss.cpu < MAX_CPUS ? this.newest[loss.cpu] : NaN;
      if (loss.cpu < MAX_CPUS) batch.cpu[i] = loss.cpu;
      batch.extra.set(i, {
        text: loss.text,
        ...(Number.isNaN(loss.count) ? {} : { count: loss.count }),
        ...(Number.isNaN(since) ? {} : { since }),
      });
    }
    this.pendingLosses.length = 0;
  }

  private unparsed(text: string, reason: string, batch: EventBatch): void {
    const i = batch.row(TypeCode.unparsed, this.source, this.lineNumber, NaN);
    batch.extra.set(i, { text: clip(text), reason });
  }
}

/** trace-cmd with several inputs names the file before a mark: `  host.dat: CPU:1 [EVENTS DROPPED]`. */
const LOSS = /^(?:\S{1,256}: )?CPU:(\d{1,5}) \[(?:LOST )?(\d{1,20})? ?EVENTS(?: DROPPED)?\]/;

const NOTICE =
  /^(?:\S{1,256}: )?(?:cpus=\d|version = \d|CPU \d+ is empty|CPU:\d+ \[SUBBUFFER START\])/;

const STACK_TRACE = /(?:^|: )<(?:user )?stack trace ?>$/;

const LATENCY_HEAD =
  /^[ \t]*([^[ \t][^[]{0,39}?)-(\d{1,10})[ \t]+(\d{1,4})[dDbX.][nNplLbBX.][zZhHs.][0-9a-f.]{1,6}(?:-0x[0-9a-f]{1,8})?[ \t]+(\d{1,20})(?:\.(\d{1,9}))?(us)?[$@*#!+ ]{0,2}[ \t]?:[ \t]*(?=\S)/;

const VERBOSE_HEAD =
  /^[ \t]*([^[ \t][^[]{0,39}?)[ \t]+(\d{1,10})[ \t]+(\d{1,4}) \d{1,10} [0-9a-f]{8} [0-9a-f]{8,16} \[([0-9a-f]{8,16})\] \d{1,20}(?:\.\d{3}ms)? \(\+\d{1,20}(?:\.\d{3}ms)?\): /;

function isDigit(byte: number): boolean {
  return byte >= ZERO && byte <= NINE;
}

function isBlank(byte: number): boolean {
  return byte === SPACE || byte === TAB;
}

function latin1(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');
}

function digitsAt(bytes: Uint8Array, start: number, end: number): number {
  let value = 0;
  for (let at = start; at < end; at++) value = value * 10 + (bytes[at] - ZERO);
  return value;
}
