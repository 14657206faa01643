/**
 * `dmesg -J` (util-linux): {"dmesg":[{"pri":6,"time":0.000000,"caller":"T1","msg":"…"},…]}.
 *
 * The whole is one JSON value, which may be larger than memory; so the array is cut into its
 * entries by looking at quotes and braces, and each entry is parsed by itself. A reader keeps at
 * most one entry. dmesg prints an entry on several lines, other tools put all on one line: the
 * reader stops between entries, in the middle of a line if need be, when the batch is full.
 *
 * A raw line feed cannot stand inside a JSON string: there the reader finds its feet again after a
 * torn entry. `line` of an event is the line on which its entry began.
 */

import { Buffer } from 'node:buffer';
import type { EventBatch } from '../batch.js';
import type { NewEvent } from '../event.js';
import { levelNumber, lossEvent, messageLoss, nanoseconds, printkEvent } from '../printk-facts.js';
import { clip, decode, LONGEST_LINE, ROWS_PER_LINE } from '../reader.js';
import type { Format, FormatReader, ReaderOptions } from '../reader.js';

const TAB = 9;
const LF = 10;
const CR = 13;
const SPACE = 32;
const QUOTE = 34;
const COMMA = 44;
const BACKSLASH = 92;
const OPEN_BRACE = 123;
const CLOSE_BRACE = 125;
const OPEN_BRACKET = 91;
const CLOSE_BRACKET = 93;

/** An entry that is longer is given up. Bytes. */
const LONGEST_ENTRY = LONGEST_LINE;

/** Bytes in which the opening must be complete. */
const LONGEST_OPENING = 1024;

/** What may stand before the first entry, and all that may stand on the way there. */
const OPENING = /^\s{0,256}\{\s{0,256}"dmesg"\s{0,256}:\s{0,256}\[$/;
const OPENING_SO_FAR = /^\s{0,256}(?:\{\s{0,256}(?:"dmesg"\s{0,256}(?::\s{0,256})?)?)?$/;
/** dmesg -J -F of util-linux 2.38 lets a message run on into the next records of the file. */
const RUN_ON = /\n<\d{1,3}>\[/;

/** What stands where an entry could begin or has begun. */
type Place = 'before' | 'between' | 'entry' | 'after';

class DmesgJsonReader implements FormatReader {
  private lineNumber = 1;
  private place: Place = 'before';
  /** Bytes of the opening, of an entry or of stray text that earlier calls have seen. */
  private kept: Buffer[] = [];
  private keptLength = 0;
  /** Line on which the entry began. */
  private entryLine = 1;
  private depth = 0;
  private inString = false;
  private escaped = false;
  /** Something that is no entry stands on this line; it is reported at the line's end. */
  private stray = false;
  private lastTime = NaN;

  constructor(private readonly options: ReaderOptions) {}

  read(bytes: Uint8Array, start: number, end: number, batch: EventBatch): number {
    /** Begin of what is being put together, in this call's bytes. */
    let from = start;
    for (let at = start; at < end; at++) {
      const c = bytes[at];
      if (batch.capacity - batch.length < ROWS_PER_LINE) {
        this.keep(bytes, from, at);
        return at;
      }
      if (this.place === 'entry') {
        if (this.inString && c !== LF) {
          if (this.escaped) this.escaped = false;
          else if (c === BACKSLASH) this.escaped = true;
          else if (c === QUOTE) this.inString = false;
          continue;
        }
        if (c === QUOTE) this.inString = true;
        else if (c === OPEN_BRACE || c === OPEN_BRACKET) this.depth++;
        else if (c === CLOSE_BRACE || c === CLOSE_BRACKET) {
          if (--this.depth === 0) {
            this.entry(this.take(bytes, from, at + 1), batch);
            this.place = 'between';
            from = at + 1;
          }
        } else if (c === LF) {
          const tooLong = this.keptLength + (at - from) > LONGEST_ENTRY;
          if (this.inString || tooLong) {
            const reason = tooLong ? `entry longer than ${LONGEST_ENTRY} bytes` : 'torn entry';
            this.unparsed(this.take(bytes, from, at), reason, this.entryLine, batch);
            this.place = 'between';
            from = at + 1;
          }
          this.lineNumber++;
        }
        continue;
      }
      if (c === LF) {
        this.endLine(this.take(bytes, from, this.place === 'before' ? at + 1 : at), batch);
        from = at + 1;
        this.lineNumber++;
      } else if (this.place === 'before') {
        // A longer text cannot be the opening; not looking at it keeps a line of brackets linear.
        const length = this.keptLength + (at + 1 - from);
        if (c === OPEN_BRACKET && length <= LONGEST_OPENING) {
          const text = Buffer.concat([...this.kept, bytes.subarray(from, at + 1)]).toString('utf8');
          if (OPENING.test(text)) {
            this.forget();
            from = at + 1;
            this.place = 'between';
          }
        }
      } else if (c === OPEN_BRACE && this.place === 'between' && !this.stray) {
        this.forget();
        from = at;
        this.place = 'entry';
        this.entryLine = this.lineNumber;
        this.depth = 1;
        this.inString = false;
        this.escaped = false;
      } else if (c === CLOSE_BRACKET && this.place === 'between' && !this.stray) {
        this.place = 'after';
      } else if (c === CLOSE_BRACE && this.place === 'after' && !this.stray) {
        this.place = 'before';
        this.forget();
        from = at + 1;
      } else if (c !== SPACE && c !== TAB && c !== CR && c !== COMMA) this.stray = true;
    }
    this.keep(bytes, from, end);
    return end;
  }

  finish(batch: EventBatch): void {
    if (this.place === 'entry') {
      this.unparsed(
        this.take(EMPTY, 0, 0),
        'the input ends inside an entry',
        this.entryLine,
        batch,
      );
    } else if (this.place === 'before' && this.keptLength > 0) {
      const text = this.take(EMPTY, 0, 0);
      if (text.trim() !== '')
        this.unparsed(text, 'no dmesg -J', Math.max(1, this.lineNumber - 1), batch);
    }
  }

  overlong(head: string, batch: EventBatch): void {
    this.unparsed(
      head.slice(0, 200),
      `line longer than ${LONGEST_LINE} bytes`,
      this.lineNumber,
      batch,
    );
    this.forget();
    this.stray = false;
    if (this.place === 'entry') this.place = 'between';
    this.lineNumber++;
  }

  /** A line ended outside of an entry: what stands on it was expected there, or is reported. */
  private endLine(text: string, batch: EventBatch): void {
    if (this.place === 'before') {
      // The opening may go on on the next line.
      if (text.trim() === '') {
        // Nothing yet.
      } else if (OPENING_SO_FAR.test(text)) {
        this.kept = [Buffer.from(text)];
        this.keptLength = this.kept[0].length;
      } else this.unparsed(text.trim(), 'no dmesg -J', this.lineNumber, batch);
    } else if (this.stray) this.unparsed(text.trim(), 'no dmesg -J entry', this.lineNumber, batch);
    this.stray = false;
  }

  private keep(bytes: Uint8Array, from: number, to: number): void {
    if (to <= from) return;
    this.kept.push(Buffer.from(bytes.subarray(from, to)));
    this.keptLength += to - from;
  }

  /** The text put together so far and up to `to`; forgets it. */
  private take(bytes: Uint8Array, from: number, to: number): string {
    if (this.keptLength === 0) return decode(bytes, from, to);
    this.keep(bytes, from, to);
    const text = Buffer.concat(this.kept).toString('utf8');
    this.forget();
    return text;
  }

  private forget(): void {
    this.kept = [];
    this.keptLength = 0;
  }

  private entry(text: string, batch: EventBatch): void {
    const line = this.entryLine;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      this.unparsed(text, 'not a JSON object', line, batch);
      return;
    }
    const entry = value as { readonly [field: string]: unknown };
    const msg = own(entry, 'msg');
    if (typeof msg !== 'string') {
      this.unparsed(text, 'entry without "msg"', line, batch);
      return;
    }
    const pri = own(entry, 'pri');
    const caller = own(entry, 'caller');
    const time = seconds(own(entry, 'time'));
    const cut = msg.search(RUN_ON);
    const message = (cut < 0 ? msg : msg.slice(0, cut)).trimEnd();
    const loss = messageLoss(message);
    if (loss !== undefined) {
      this.append(lossEvent(loss, { line, time, since: this.lastTime, text: message }), batch);
      return;
    }
    if (!Number.isNaN(time)) this.lastTime = time;
    this.append(
      printkEvent({
        line,
        time,
        text: message,
        // A number, facility included; with -x the level's name.
        level:
          typeof pri === 'number'
            ? pri & 7
            : typeof pri === 'string'
              ? levelNumber(pri)
              : undefined,
        caller: typeof caller === 'string' ? caller.trim() : undefined,
      }),
      batch,
    );
  }

  private unparsed(text: string, reason: string, line: number, batch: EventBatch): void {
    this.append({ type: 'unparsed', time: NaN, line, text: clip(text), reason }, batch);
  }

  private append(event: NewEvent, batch: EventBatch): void {
    batch.append(event, this.options.source);
  }
}

const EMPTY = new Uint8Array(0);

function own(entry: { readonly [field: string]: unknown }, field: string): unknown {
  return Object.hasOwn(entry, field) ? entry[field] : undefined;
}

/**
 * ns of dmesg's seconds. They are printed with six digits; toFixed gives back exactly those, which
 * a product with 1e9 would not.
 */
function seconds(value: unknown): number {
  if (typeof value !== 'number' || !(value >= 0 && value < 1e12)) return NaN;
  const [whole, fraction] = value.toFixed(6).split('.');
  return nanoseconds(whole, fraction);
}

/** `dmesg -J` (formats.md 2.7). Times are ns since boot. */
export const dmesgJson: Format = {
  name: 'dmesg-json',
  description: 'dmesg -J',
  sniff: (head) => (/^\s{0,256}\{\s{0,256}"dmesg"\s{0,256}:\s{0,256}\[/.test(head) ? 1 : 0),
  open: (options) => new DmesgJsonReader(options),
};
