/** The contract of a format: whole lines in, rows of a batch out. */

import { Buffer } from 'node:buffer';
import { StringDecoder } from 'node:string_decoder';
import type { EventBatch } from './batch.js';
import type { NewEvent } from './event.js';
import type { ProbeTable } from './probes.js';

/** A reader stops when fewer rows than this are free; one line never makes more. */
export const ROWS_PER_LINE = 8;

/** A longer line is cut here, reported, and the rest of it passed over. Bytes. */
export const LONGEST_LINE = 1024 * 1024;

export interface ReaderOptions {
  readonly probes: ProbeTable;
  /** Number of the source in the batch's `sources`. */
  readonly source: number;
  /** Keep the text of events that the model does not look at (for a log or a listing). */
  readonly keepText: boolean;
}

export interface FormatReader {
  /**
   * Reads whole lines from [start, end) of `bytes` into `batch` until the lines or the rows run
   * out. `bytes[end - 1]` is a line feed. Returns the offset of the first byte not read.
   */
  read(bytes: Uint8Array, start: number, end: number, batch: EventBatch): number;
  /** The input ended: appends what was still being put together (at most ROWS_PER_LINE rows). */
  finish(batch: EventBatch): void;
  /** The kernel that the input says it is of, once that was read. */
  readonly kernel?: string | undefined;
  /** A line longer than LONGEST_LINE began with `head`; it counts as one line. */
  overlong(head: string, batch: EventBatch): void;
}

export interface Format {
  /** Name for `--format` and for `origin.format`. */
  readonly name: string;
  readonly description: string;
  /**
   * How sure the format is, 0…1, that a file which begins with `head` (up to 64 KiB, whole lines)
   * is its own.
   */
  sniff(head: string): number;
  open(options: ReaderOptions): FormatReader;
}

/** A reader for formats whose lines are rare enough to be looked at as strings. */
export abstract class TextReader implements FormatReader {
  protected lineNumber = 0;

  constructor(protected readonly options: ReaderOptions) {}

  /** One line without its line feed (and carriage return). Appends at most ROWS_PER_LINE rows. */
  protected abstract line(text: string, batch: EventBatch): void;

  finish(_batch: EventBatch): void {}

  read(bytes: Uint8Array, start: number, end: number, batch: EventBatch): number {
    let at = start;
    while (at < end) {
      if (batch.capacity - batch.length < ROWS_PER_LINE) return at;
      let eol = bytes.indexOf(10, at);
      if (eol < 0 || eol > end) eol = end;
      let stop = eol;
      if (stop > at && bytes[stop - 1] === 13) stop--;
      this.lineNumber++;
      this.line(decode(bytes, at, stop), batch);
      at = eol + 1;
    }
    return end;
  }

  overlong(head: string, batch: EventBatch): void {
    this.lineNumber++;
    this.unparsed(`${head.slice(0, 200)}…`, `line longer than ${LONGEST_LINE} bytes`, batch);
  }

  protected append(event: NewEvent, batch: EventBatch): void {
    batch.append(event, this.options.source);
  }

  /** Counts a line that this format does not know. `time` NaN: it has no time of its own. */
  protected unparsed(text: string, reason: string, batch: EventBatch): void {
    this.append(
      { type: 'unparsed', time: NaN, line: this.lineNumber, text: clip(text), reason },
      batch,
    );
  }
}

/** Text of `bytes` as UTF-8; what is not UTF-8 becomes U+FFFD. */
export function decode(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('utf8');
}

/** What is kept of a line that could not be read: enough to recognise it. */
export function clip(text: string, limit = 400): string {
  return text.length <= limit ? text : `${text.slice(0, limit)}…`;
}

/** Head of a file as text for `sniff`: an incomplete last character is left out. */
export function headText(bytes: Uint8Array): string {
  return new StringDecoder('utf8').write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
}
