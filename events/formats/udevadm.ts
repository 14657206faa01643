/**
 * `udevadm monitor`, with and without `--property`.
 *
 * Sources: formats.md 2.6; systemd src/udev/udevadm-monitor.c, which prints
 * `%-6s[%sec.%06usec] %-8s %s (%s)`, then with `--property` a KEY=VALUE line per property and an
 * empty line. The stamp is CLOCK_MONOTONIC when udevadm received the event.
 */

import { clip, TextReader } from '../reader.js';
import type { EventBatch } from '../batch.js';
import type { NewEvent } from '../event.js';
import type { Format } from '../reader.js';

/** Properties kept of one event; the kernel allows 64 (UEVENT_NUM_ENVP), udev rules add more. */
export const MOST_PROPERTIES = 256;
/** Characters kept of one property value. */
export const LONGEST_VALUE = 4096;
const LONGEST_KEY = 256;
/** Characters of a head. A devpath has at most PATH_MAX (4096) of them. */
const LONGEST_HEAD = 8192;
/** A prefix longer than this is not looked for on the property lines. */
const LONGEST_PREFIX = 200;

/** Every part is bounded, so that a search costs time linear in the line. */
const STAMP = /(?<![A-Za-z0-9_])(KERNEL|UDEV) {0,8}\[ {0,12}(\d{1,12})\.(\d{1,9})\](?=[ \t]|$)/;
const QUOTE = /^[ \t]*(?:>[ \t]?)+/;
const COLOUR = /\x1b\[[0-9;:?]*[A-Za-z]/g;
/** What certainly is a property even where its value looks like an event. */
const PROPERTY = /^[A-Z0-9_]+=/;

const GREETING = 'monitor will print the received events for:';
const HEADINGS = [
  GREETING,
  'UDEV - the event which udev sends out after rule processing',
  'KERNEL - the kernel uevent',
];
/** The recordings of a boot have this instead of events: no udev ran yet. */
const NO_MONITOR = 'boot: no monitor';

interface Head {
  readonly from: 'kernel' | 'udev';
  readonly time: number;
  readonly action: string;
  readonly devpath: string;
  /** What stands in the parentheses. */
  readonly subsystem: string;
  readonly prefix: string;
}

type HeadResult =
  | { readonly kind: 'head'; readonly head: Head }
  /** The line was wrapped; `next` is how its continuation must begin. */
  | { readonly kind: 'torn'; readonly next: '/' | '(' }
  | { readonly kind: 'bad'; readonly reason: string };

interface Block {
  readonly head: Head;
  readonly line: number;
  readonly properties: Record<string, string>;
  count: number;
}

/** Removes what mail and terminals add: ANSI colours and quote marks. */
function plain(text: string): string {
  const bare = text.includes('\x1b') ? text.replace(COLOUR, '') : text;
  return bare.replace(QUOTE, '');
}

/** The head in a line, undefined where no `KERNEL[time]` or `UDEV  [time]` stands in it. */
function findHead(text: string): HeadResult | undefined {
  const stamp = STAMP.exec(text);
  if (stamp === null) return undefined;
  if (text.length > LONGEST_HEAD) {
    return { kind: 'bad', reason: `event line longer than ${LONGEST_HEAD} characters` };
  }
  const body = text.slice(stamp.index + stamp[0].length).trim();
  const blank = body.search(/[ \t]/);
  const action = blank < 0 ? body : body.slice(0, blank);
  if (action.startsWith('/')) return { kind: 'bad', reason: 'event without an action' };
  if (blank < 0) return { kind: 'torn', next: '/' };
  const rest = body.slice(blank).trimStart();
  if (!rest.startsWith('/')) return { kind: 'bad', reason: 'event without a devpath' };
  // The devpath may hold blanks and parentheses: the subsystem is what the last " (" opens.
  const open = rest.lastIndexOf(' (');
  if (open < 0 || !rest.endsWith(')')) return { kind: 'torn', next: '(' };
  const devpath = rest.slice(0, open);
  if (devpath.endsWith('/')) return { kind: 'bad', reason: 'devpath without a device name' };
  return {
    kind: 'head',
    head: {
      from: stamp[1] === 'KERNEL' ? 'kernel' : 'udev',
      time: Number(stamp[2] + stamp[3].padEnd(9, '0')),
      action,
      devpath,
      subsystem: rest.slice(open + 2, -1),
      prefix: text.slice(0, stamp.index),
    },
  };
}

/** A foreign prefix carries a clock of its own: words are compared with their digits masked. */
function shapes(prefix: string): string[] {
  if (prefix.length > LONGEST_PREFIX) return [];
  const words = prefix.trim();
  return words === '' ? [] : words.split(/\s+/).map(shape);
}

function shape(word: string): string {
  return word.replace(/\d+/g, '0');
}

/** `text` without a prefix of those shapes, undefined where it does not begin with them. */
function withoutPrefix(text: string, prefix: readonly string[]): string | undefined {
  const word = /\s*(\S+)/y;
  for (const expected of prefix) {
    const match = word.exec(text);
    if (match === null || match[1].length > LONGEST_PREFIX || shape(match[1]) !== expected) {
      return undefined;
    }
  }
  return text.slice(word.lastIndex);
}

/** Where in a line one of the monitor's headings begins; undefined where there is none. */
function headingAt(line: string): number | undefined {
  const text = line.trimEnd();
  if (/^\s*(?:UDEV|KERNEL) - /.test(text)) return 0;
  const heading = HEADINGS.find((h) => text.endsWith(h));
  return heading === undefined ? undefined : text.length - heading.length;
}

class UdevadmReader extends TextReader {
  private block: Block | undefined;
  /** Shapes of the words that a foreign program put before the last head or heading. */
  private prefix: readonly string[] = [];
  private torn: { text: string; line: number; next: '/' | '(' } | undefined;

  protected line(text: string, batch: EventBatch): void {
    const line = plain(text);
    if (this.continued(line, batch)) return;
    const bare = withoutPrefix(line, this.prefix) ?? line;
    const start = bare.trimStart();
    if (start === '') {
      this.close(batch);
      return;
    }
    if (this.block !== undefined && PROPERTY.test(start)) {
      this.property(this.block, start, batch);
      return;
    }
    const found = findHead(line);
    if (found !== undefined) {
      this.close(batch);
      if (found.kind === 'head') this.open(found.head, this.lineNumber);
      else if (found.kind === 'torn') {
        this.torn = { text: line, line: this.lineNumber, next: found.next };
      } else this.unparsed(text, found.reason, batch);
      return;
    }
    const heading = headingAt(line);
    if (heading !== undefined) {
      this.close(batch);
      this.prefix = shapes(line.slice(0, heading));
    } else if (start.trimEnd() === NO_MONITOR) {
      this.close(batch);
      this.append(
        {
          type: 'trace_event',
          time: NaN,
          line: this.lineNumber,
          name: 'no_monitor',
          text: NO_MONITOR,
        },
        batch,
      );
    } else if (this.block !== undefined) {
      this.property(this.block, start, batch);
    } else {
      this.unparsed(
        text,
        start.indexOf('=') > 0 ? 'property without an event' : 'not a line of udevadm monitor',
        batch,
      );
    }
  }

  override finish(batch: EventBatch): void {
    this.dropTorn(batch);
    this.close(batch);
  }

  override overlong(head: string, batch: EventBatch): void {
    this.dropTorn(batch);
    // The properties that follow an unreadable head are not those of the event before it.
    if (findHead(plain(head.slice(0, LONGEST_HEAD))) !== undefined) this.close(batch);
    super.overlong(head, batch);
  }

  /** Joins a wrapped head with its second half. True: the line is used up. */
  private continued(line: string, batch: EventBatch): boolean {
    const torn = this.torn;
    if (torn === undefined) return false;
    const rest = line.trim();
    if (rest.startsWith(torn.next)) {
      const text = `${torn.text.trimEnd()} ${rest}`;
      const joined = findHead(text);
      if (joined?.kind === 'head') {
        this.torn = undefined;
        this.open(joined.head, torn.line);
        return true;
      }
      if (torn.next === '/' && joined?.kind === 'torn') {
        this.torn = { text, line: torn.line, next: joined.next };
        return true;
      }
    }
    this.dropTorn(batch);
    return false;
  }

  private dropTorn(batch: EventBatch): void {
    const torn = this.torn;
    if (torn === undefined) return;
    this.torn = undefined;
    const reason = 'event line without "(subsystem)"';
    this.append(
      { type: 'unparsed', time: NaN, line: torn.line, text: clip(torn.text), reason },
      batch,
    );
  }

  private open(head: Head, line: number): void {
    this.prefix = shapes(head.prefix);
    this.block = {
      head,
      line,
      // Without a prototype a property named __proto__ is a name like any other.
      properties: Object.create(null) as Record<string, string>,
      count: 0,
    };
  }

  private property(block: Block, text: string, batch: EventBatch): void {
    const equals = text.indexOf('=');
    const key = text.slice(0, Math.min(Math.max(equals, 0), LONGEST_KEY + 1));
    if (key === '' || /\s/.test(key)) {
      this.unparsed(text, 'not a property', batch);
    } else if (key.length > LONGEST_KEY) {
      this.unparsed(text, `property name longer than ${LONGEST_KEY} characters`, batch);
    } else {
      const value = clip(text.slice(equals + 1), LONGEST_VALUE - 1);
      const known = block.properties[key];
      if (known !== undefined) {
        if (known !== value) this.unparsed(text, 'second value of a property', batch);
      } else if (block.count === MOST_PROPERTIES) {
        this.unparsed(text, `more than ${MOST_PROPERTIES} properties`, batch);
      } else {
        block.properties[key] = value;
        block.count++;
      }
    }
  }

  /** Emits the event whose block ended. */
  private close(batch: EventBatch): void {
    const block = this.block;
    if (block === undefined) return;
    this.block = undefined;
    const { head, properties } = block;
    let { subsystem } = head;
    const slash = subsystem.indexOf('/');
    if (slash > 0 && properties['SUBSYSTEM'] !== subsystem) {
      // Some versions print the devtype behind the subsystem: the same fact as the property.
      if (properties['DEVTYPE'] === undefined && slash + 1 < subsystem.length) {
        properties['DEVTYPE'] = subsystem.slice(slash + 1);
        block.count++;
      }
      subsystem = subsystem.slice(0, slash);
    }
    const drv = properties['DRIVER'];
    const seqnum = sequence(properties['SEQNUM']);
    const event: NewEvent = {
      type: 'uevent',
      time: head.time,
      line: block.line,
      action: head.action,
      devpath: head.devpath,
      subsystem,
      dev: head.devpath.slice(head.devpath.lastIndexOf('/') + 1),
      from: head.from,
      ...(drv === undefined || drv === '' ? {} : { drv }),
      ...(seqnum === undefined ? {} : { seqnum }),
      ...(block.count === 0 ? {} : { properties }),
    };
    this.append(event, batch);
  }
}

/** A number that a double holds exactly; a longer one stays a property only. */
function sequence(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,16}$/.test(text)) return undefined;
  const n = Number(text);
  return Number.isSafeInteger(n) ? n : undefined;
}

/**
 * The share of lines that are udevadm's, 0…1. An event behind a foreign prefix counts half: a
 * trace or a journal may quote some.
 */
function sniff(head: string): number {
  let events = 0;
  let own = 0;
  let all = 0;
  let greeting = 0;
  let inBlock = false;
  for (const raw of head.split('\n', 2000)) {
    const line = plain(raw).trim();
    if (line === '') {
      inBlock = false;
      continue;
    }
    all++;
    const stamp = STAMP.exec(line);
    if (stamp !== null && !(inBlock && PROPERTY.test(line))) {
      inBlock = true;
      events++;
      own += stamp.index === 0 ? 1 : 0.5;
    } else if (inBlock && PROPERTY.test(line)) own++;
    else if (HEADINGS.includes(line) || line === NO_MONITOR) {
      own++;
      greeting++;
    }
  }
  return events + greeting === 0 ? 0 : own / all;
}

/**
 * Reads `udevadm monitor`. One `uevent` per KERNEL or UDEV line when its property block ends;
 * `time` in integer ns of CLOCK_MONOTONIC at receipt, `line` that of the KERNEL or UDEV line.
 * Source: formats.md 2.6, systemd src/udev/udevadm-monitor.c.
 */
export const udevadm: Format = {
  name: 'udevadm',
  description: 'udevadm monitor, with or without --property',
  sniff,
  open: (options) => new UdevadmReader(options),
};
