/**
 * The event log: append-only NDJSON. The first line is the header, every other line one event in
 * the catalogue's own shape.
 *
 * A log keeps each event's `origin`, so that a verdict over a log still names the line of the trace
 * that it was made from. `seq` is written for those who read the file with other tools, and is
 * counted anew at reading: logs can be cut, filtered and appended to.
 */

import { Buffer } from 'node:buffer';
import { createReadStream, createWriteStream } from 'node:fs';
import { realpath, rename, rm, stat, truncate } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import { finished, pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import { z } from 'zod';
import { EventBatch } from './batch.js';
import type { HotplugEvent } from './event.js';
import { InputError } from './input-error.js';
import { clip, decode, LONGEST_LINE, TextReader } from './reader.js';
import type { Format, ReaderOptions } from './reader.js';
import { isObject, LOG_HEAD, withoutByteOrderMark } from './log-head.js';
import { EVENT_SCHEMA, LONGEST_STRING, schemaProblem } from './schema.js';

/** The version of the log's own shape, which the header carries. */
export const LOG_VERSION = 1;

/** What the first line says besides `"hotrace":"log"` and the version. */
export interface LogHeader {
  /** The kernel profile that the events were recorded under, `v6.12`. */
  readonly kernel?: string | undefined;
  /** What the events were read from, in the order in which the sources were given. */
  readonly sources: readonly LogSource[];
  /** The clock of every `time`, where all sources share one. */
  readonly clock?: string | undefined;
}

export interface LogSource {
  readonly format: string;
  readonly file: string;
  readonly clock?: string | undefined;
}

const LINE_FEED = 10;
const text = z.string().max(LONGEST_STRING);

const HEADER = z.strictObject({
  hotrace: z.literal('log'),
  version: z.literal(LOG_VERSION),
  kernel: text.exactOptional(),
  sources: z
    .array(z.strictObject({ format: text, file: text, clock: text.exactOptional() }))
    .readonly(),
  clock: text.exactOptional(),
});

/** A header, or why an object that calls itself one cannot be used; undefined for anything else. */
type HeaderReading =
  | { readonly header: LogHeader }
  | { readonly problem: string; readonly later: boolean }
  | undefined;

function readHeader(json: unknown): HeaderReading {
  if (!isObject(json) || !Object.hasOwn(json, 'hotrace')) return undefined;
  const version = json['version'];
  if (json['hotrace'] === 'log' && typeof version === 'number' && version > LOG_VERSION) {
    const problem = `log version ${version}: this hotrace reads versions up to ${LOG_VERSION}`;
    return { problem, later: true };
  }
  const parsed = HEADER.safeParse(json);
  if (!parsed.success) {
    return { problem: `header: ${schemaProblem(parsed.error, json)}`, later: false };
  }
  const { kernel, sources, clock } = parsed.data;
  return {
    header: {
      sources,
      ...(kernel === undefined ? {} : { kernel }),
      ...(clock === undefined ? {} : { clock }),
    },
  };
}

function headerLine({ kernel, sources, clock }: LogHeader): string {
  return `${JSON.stringify({ hotrace: 'log', version: LOG_VERSION, kernel, sources, clock })}\n`;
}

/** One event as a line. A number that JSON has no word for, such as an unknown time, is left out. */
function eventLine(batch: EventBatch, i: number): string {
  const event = batch.event(i);
  const fields = event as unknown as Record<string, unknown>;
  for (const key in fields) {
    const value = fields[key];
    if (typeof value === 'number' && !Number.isFinite(value)) delete fields[key];
  }
  const line = JSON.stringify(event);
  if (line.length * 3 < LONGEST_LINE || Buffer.byteLength(line) < LONGEST_LINE) return `${line}\n`;
  // Every reader cuts such a line. To say so here keeps the event's place and origin.
  const { seq, time, origin } = event;
  const reason = `${event.type} longer than a line of the log may be (${LONGEST_LINE} bytes)`;
  const short = { seq, time, type: 'unparsed', origin, text: clip(line), reason };
  return `${JSON.stringify(short)}\n`;
}

/** Text is handed to the stream in pieces of about this many characters. */
const PIECE = 64 * 1024;

/** What `append` found out about the file. */
interface Continuation {
  readonly gzip: boolean;
  /** The last line is whole but for its line feed. */
  readonly needsLineFeed: boolean;
}

/** Writes a log as a stream: what is held in memory does not grow with the log. */
export class LogWriter {
  private readonly sink: Writable;
  /** Settles, never rejects, when the file is closed. */
  private readonly done: Promise<void>;
  private failure: Error | undefined;
  private wake: (() => void) | undefined;
  private closing: Promise<void> | undefined;

  /**
   * Starts a new log; a file of that name is overwritten. `-` is standard output; a name that ends
   * in `.gz` is compressed. What goes wrong with the file is thrown by `write` and `close`.
   */
  constructor(file: string, header: LogHeader);
  /** @internal */
  constructor(file: string, header: undefined, continuation: Continuation);
  constructor(
    private readonly file: string,
    header: LogHeader | undefined,
    continuation?: Continuation,
  ) {
    if (file === '-') {
      this.sink = process.stdout;
      this.sink.on('error', this.fail);
      this.done = Promise.resolve();
    } else {
      const out = createWriteStream(file, { flags: continuation === undefined ? 'w' : 'a' });
      const gzip = (continuation?.gzip ?? file.endsWith('.gz')) ? createGzip() : undefined;
      this.sink = gzip ?? out;
      this.done = (gzip === undefined ? finished(out) : pipeline(gzip, out)).catch(this.fail);
    }
    if (header !== undefined) this.sink.write(headerLine(header));
    if (continuation?.needsLineFeed === true) this.sink.write('\n');
  }

  /**
   * Opens an existing log to add events at its end. A last line that a crash cut short is cut off;
   * one that lacks only its line feed is kept. A compressed log that ends early is written anew up
   * to its last whole line, under another name until that is done.
   *
   * Throws InputError when the file cannot be read, is not a log, is of a later version, or is
   * compressed and damaged before its end.
   */
  static async append(file: string): Promise<LogWriter> {
    if (file === '-') throw new InputError(file, undefined, 'cannot be appended to; name a file');
    await readLogHeader(file);
    const { gzip, ending, torn, damage, keep, size, needsLineFeed } = await survey(file);
    if (damage !== undefined && !torn) throw new InputError(file, undefined, damage);
    try {
      if (gzip && (ending > 0 || torn || keep < size)) await rewrite(file, keep);
      else if (keep < size) await truncate(file, keep);
    } catch (error) {
      throw unwritable(file, error);
    }
    return new LogWriter(file, undefined, { gzip, needsLineFeed });
  }

  /**
   * Appends the events of a batch. Wait for the promise, if there is one, before the batch is
   * cleared or the next one written. Throws InputError when the file cannot be written.
   */
  write(batch: EventBatch): Promise<void> | void {
    if (this.closing !== undefined) throw new Error('this log is closed');
    this.check();
    return this.writeFrom(batch, 0);
  }

  /** Resolves when everything is written. Throws InputError when the file cannot be written. */
  close(): Promise<void> {
    return (this.closing ??= this.finish());
  }

  private writeFrom(batch: EventBatch, from: number): Promise<void> | void {
    let piece = '';
    for (let i = from; i < batch.length; i++) {
      piece += eventLine(batch, i);
      if (piece.length < PIECE && i + 1 < batch.length) continue;
      if (!this.sink.write(piece)) return this.drained().then(() => this.writeFrom(batch, i + 1));
      piece = '';
    }
  }

  private async drained(): Promise<void> {
    if (this.failure === undefined) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
        this.sink.once('drain', resolve);
      });
    }
    this.check();
  }

  private async finish(): Promise<void> {
    if (this.sink === process.stdout) {
      await new Promise<void>((resolve) => this.sink.write('', () => resolve()));
      this.sink.off('error', this.fail);
    } else {
      this.sink.end();
      await this.done;
    }
    this.check();
  }

  private readonly fail = (error: unknown): void => {
    this.failure ??= error instanceof Error ? error : new Error(String(error));
    this.wake?.();
  };

  private check(): void {
    if (this.failure !== undefined) throw unwritable(this.file, this.failure);
  }
}

function unwritable(file: string, error: unknown): InputError {
  return new InputError(file, undefined, `cannot be written: ${(error as Error).message}`);
}

/** Reads a log. Blank lines say nothing and make no event; every other line does, or is the header. */
export class LogReader extends TextReader {
  /** The header, once it was read; undefined as long as it was not, and where it is unusable. */
  header: LogHeader | undefined;
  get kernel(): string | undefined {
    return this.header?.kernel;
  }
  private beforeHeader = true;
  /** Why no line of this log can be trusted. */
  private laterVersion: string | undefined;

  protected line(line: string, batch: EventBatch): void {
    if (line.trim() === '') return;
    if (this.laterVersion !== undefined) {
      this.unparsed(line, this.laterVersion, batch);
      return;
    }
    const first = this.beforeHeader;
    this.beforeHeader = false;
    let json: unknown;
    try {
      json = JSON.parse(first ? withoutByteOrderMark(line) : line);
    } catch (error) {
      const problem = `not JSON: ${clip((error as Error).message, 120)}`;
      this.unparsed(line, first ? `no header, and ${problem}` : problem, batch);
      return;
    }
    const reading = readHeader(json);
    if (reading !== undefined) {
      if (!first) this.unparsed(line, 'a header inside the log', batch);
      else if ('header' in reading) this.header = reading.header;
      else {
        if (reading.later) this.laterVersion = reading.problem;
        this.unparsed(line, reading.problem, batch);
      }
      return;
    }
    this.event(json, line, first, batch);
  }

  override finish(batch: EventBatch): void {
    if (this.beforeHeader) this.unparsed('', 'empty: a log begins with its header', batch);
  }

  override overlong(head: string, batch: EventBatch): void {
    this.beforeHeader = false;
    super.overlong(head, batch);
  }

  private event(json: unknown, line: string, first: boolean, batch: EventBatch): void {
    const parsed = EVENT_SCHEMA.safeParse(json);
    if (!parsed.success) {
      const problem = schemaProblem(parsed.error, json);
      this.unparsed(line, first ? `no header, and ${problem}` : problem, batch);
      return;
    }
    // The line is an event and stays one; that the log does not say its version is told beside it.
    if (first) this.unparsed('', `no header: read as version ${LOG_VERSION}`, batch);
    const event = parsed.data;
    const { origin } = event;
    if (!this.options.keepText && event.type === 'trace_event') delete event.text;
    // The schema made this object: adding to it is cheaper than another copy.
    const row = Object.assign(event, { line: this.lineNumber });
    const i = batch.append(row, this.options.source);
    if (isObject(json) && Object.hasOwn(json, 'origin')) {
      // What stands in `extra` goes before what the batch knows: event(i) shows the first origin.
      const extra = batch.extra.get(i);
      batch.extra.set(i, extra === undefined ? { origin } : { ...extra, origin });
    }
  }
}

/** The log as a format. Its reader gives the header as `reader.header`, once that was read. */
export const hotraceLog = {
  ...LOG_HEAD,
  open: (options: ReaderOptions): LogReader => new LogReader(options),
} satisfies Format;

/**
 * The events of a log, compressed or not, `-` for standard input, one after the other in constant
 * memory. As in every reader, a line that cannot be read is an `unparsed` event, and so is a
 * compressed file that ends early, after everything that could be had from it. To refuse what is
 * not a log, ask `readLogHeader` first. Throws InputError when the file cannot be read.
 */
export async function* readLog(file: string): AsyncGenerator<HotplugEvent> {
  const batch = new EventBatch([{ format: LOG_HEAD.name, file }]);
  const reader = new LogReader({ probes: new Map(), source: 0, keepText: true });
  const state = newFileState();
  for await (const block of lineBlocks(fileBytes(file, state))) {
    if (typeof block === 'string') {
      reader.overlong(block, batch);
      yield* drain(batch);
      continue;
    }
    for (let at = 0; at < block.length;) {
      at = reader.read(block, at, block.length, batch);
      yield* drain(batch);
    }
  }
  reader.finish(batch);
  if (state.damage !== undefined) {
    batch.append({ type: 'unparsed', time: NaN, line: 0, text: '', reason: state.damage }, 0);
  }
  yield* drain(batch);
}

function* drain(batch: EventBatch): Generator<HotplugEvent> {
  for (let i = 0; i < batch.length; i++) yield batch.event(i);
  batch.firstSeq += batch.length;
  batch.clear();
}

/**
 * The header of a log. (Of standard input it would take away the events too.) Throws InputError
 * when the file cannot be read, does not begin with the header of a log, or is of a later version.
 */
export async function readLogHeader(file: string): Promise<LogHeader> {
  let lineNumber = 0;
  const state = newFileState();
  for await (const block of lineBlocks(fileBytes(file, state))) {
    if (typeof block === 'string') break;
    for (const line of decode(block, 0, block.length - 1).split('\n')) {
      lineNumber++;
      if (line.trim() === '') continue;
      const where = `line ${lineNumber}`;
      let reading: HeaderReading;
      try {
        reading = readHeader(JSON.parse(withoutByteOrderMark(line)));
      } catch {
        // Not JSON: not a header either.
      }
      if (reading === undefined) {
        throw new InputError(file, where, 'not a hotrace log: it does not begin with a header');
      }
      if ('problem' in reading) throw new InputError(file, where, reading.problem);
      return reading.header;
    }
  }
  throw new InputError(file, undefined, state.damage ?? 'not a hotrace log: it has no header');
}

/** What is known about a file after its bytes were read. */
interface FileState {
  gzip: boolean;
  /** Bytes at the end of a compressed file that belong to no compressed data. */
  ending: number;
  /** The compressed data end in the middle. */
  torn: boolean;
  /** What is wrong with the compressed data. */
  damage: string | undefined;
}

function newFileState(): FileState {
  return { gzip: false, ending: 0, torn: false, damage: undefined };
}

/** The content of a file, decompressed where it begins with gzip's magic number. */
async function* fileBytes(file: string, state: FileState): AsyncGenerator<Buffer> {
  const source = rawBytes(file);
  let head: Buffer = Buffer.alloc(0);
  while (head.length < 2) {
    const next = await source.next();
    if (next.done === true) break;
    head = Buffer.concat([head, next.value]);
  }
  state.gzip = head[0] === 0x1f && head[1] === 0x8b;
  const whole = prepend(head, source);
  yield* state.gzip ? inflated(whole, state) : whole;
}

async function* rawBytes(file: string): AsyncGenerator<Buffer> {
  try {
    yield* (file === '-' ? process.stdin : createReadStream(file)) as AsyncIterable<Buffer>;
  } catch (error) {
    throw new InputError(file, undefined, `cannot be read: ${(error as Error).message}`);
  }
}

async function* prepend(head: Buffer, rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield head;
  yield* rest;
}

/** Compressed bytes that are inflated at once: gzip makes at most a thousandfold of them. */
const SLICE = 4096;

/**
 * Decompresses slice by slice and gives what each slice yielded before the next is looked at: an
 * error destroys the stream of node:zlib together with all that it holds.
 */
async function* inflated(source: AsyncIterable<Buffer>, state: FileState): AsyncGenerator<Buffer> {
  const gunzip = createGunzip();
  const pieces: Buffer[] = [];
  let given = 0;
  let failure: NodeJS.ErrnoException | undefined;
  gunzip.on('data', (piece: Buffer) => pieces.push(piece));
  gunzip.on('error', (error) => (failure = error));
  const closed = new Promise<void>((resolve) => gunzip.once('close', resolve));
  try {
    for await (const chunk of source) {
      for (let at = 0; at < chunk.length && failure === undefined; at += SLICE) {
        const slice = chunk.subarray(at, at + SLICE);
        given += slice.length;
        const taken = new Promise<void>((resolve) => gunzip.write(slice, () => resolve()));
        await Promise.race([taken, closed]);
        yield* pieces.splice(0);
      }
      if (failure !== undefined) break;
    }
    if (failure === undefined) {
      gunzip.end();
      await closed;
      yield* pieces.splice(0);
    }
    state.ending = given - gunzip.bytesWritten;
    if (failure !== undefined) {
      state.torn = failure.code === 'Z_BUF_ERROR';
      state.damage = state.torn
        ? 'the compressed data end early'
        : `the compressed data are damaged: ${failure.message}`;
    }
  } finally {
    gunzip.destroy();
  }
}

/**
 * Whole lines, each block ending with a line feed, also where the input lacks the last one. A
 * string is the head of a line that is too long; the rest of it is passed over.
 */
async function* lineBlocks(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer | string> {
  let pending: Buffer[] = [];
  let length = 0;
  let skipping = false;
  for await (const chunk of source) {
    let start = 0;
    if (skipping) {
      const end = chunk.indexOf(LINE_FEED);
      if (end < 0) continue;
      start = end + 1;
      skipping = false;
    }
    const last = chunk.lastIndexOf(LINE_FEED);
    if (last >= start) {
      yield Buffer.concat([...pending, chunk.subarray(start, last + 1)]);
      pending = [];
      length = 0;
      start = last + 1;
    }
    if (start === chunk.length) continue;
    pending.push(chunk.subarray(start));
    length += chunk.length - start;
    if (length > LONGEST_LINE) {
      yield decode(Buffer.concat(pending, 1024), 0, 1024);
      pending = [];
      length = 0;
      skipping = true;
    }
  }
  if (length > 0) yield Buffer.concat([...pending, Buffer.from('\n')]);
}

interface Survey extends FileState {
  /** Bytes of content, decompressed. */
  readonly size: number;
  /** Bytes of content that stay when the log is appended to. */
  readonly keep: number;
  readonly needsLineFeed: boolean;
}

/** Looks where the last whole line of a log ends. */
async function survey(file: string): Promise<Survey> {
  const state = newFileState();
  let size = 0;
  let tail: Buffer[] = [];
  let tailLength = 0;
  for await (const chunk of fileBytes(file, state)) {
    size += chunk.length;
    const last = chunk.lastIndexOf(LINE_FEED);
    if (last >= 0) {
      tail = [];
      tailLength = 0;
    }
    if (tailLength <= LONGEST_LINE) tail.push(chunk.subarray(last + 1));
    tailLength += chunk.length - last - 1;
  }
  const whole =
    tailLength > 0 && tailLength <= LONGEST_LINE && isWhole(Buffer.concat(tail).toString('utf8'));
  return {
    ...state,
    size,
    keep: whole ? size : size - tailLength,
    needsLineFeed: whole,
  };
}

/** A line that was cut short has lost its closing brace. */
function isWhole(line: string): boolean {
  try {
    return isObject(JSON.parse(withoutByteOrderMark(line)));
  } catch {
    return false;
  }
}

/** Replaces a compressed file by one that holds the first `keep` bytes of its content. */
async function rewrite(file: string, keep: number): Promise<void> {
  const target = await realpath(file);
  const { mode } = await stat(target);
  const partial = `${target}.${process.pid}.partial`;
  try {
    const out = createWriteStream(partial, { flags: 'wx', mode });
    await pipeline(firstBytes(fileBytes(target, newFileState()), keep), createGzip(), out);
    await rename(partial, target);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
}

async function* firstBytes(source: AsyncIterable<Buffer>, count: number): AsyncGenerator<Buffer> {
  let left = count;
  for await (const chunk of source) {
    if (left <= 0) return;
    yield chunk.length <= left ? chunk : chunk.subarray(0, left);
    left -= chunk.length;
  }
}
