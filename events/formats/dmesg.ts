/**
 * Kernel log text: dmesg in its many dresses, /dev/kmsg, syslog files, journalctl's short forms.
 *
 * One line is read as a row of prefix parts in front of a message (formats.md 2.7); tools stack
 * them in any number, so the parts are tried in turn until none fits. The monotonic stamp wins over
 * wall-clock ones: the latter are computed from it and are wrong after a suspend (dmesg(1)).
 *
 * Decisions:
 * - Wall clocks without a zone count as UTC: only differences and order are used. Where the year
 *   (classic syslog) or the order of day and month (05/09/2024) is unknown, the time is NaN. Once a
 *   source has shown its monotonic clock, its lines without one have time NaN too; two clocks in
 *   one source cannot be ordered.
 * - An indented line without a prefix belongs to the message before it (a message with line feeds
 *   as dmesg prints it, KEY=value lines of /dev/kmsg). It becomes a printk of its own with the time
 *   of that message; DEVICE= gives its `dev`.
 * - Syslog lines of other programs and journalctl's `-- … --` are `trace_event`s named `syslog`.
 * - A loss without a stamp of its own lies between its neighbours: it waits for the next line and
 *   takes that one's time.
 * - Blank lines say nothing and are passed over.
 */

import { Buffer } from 'node:buffer';
import type { EventBatch } from '../batch.js';
import type { NewEvent } from '../event.js';
import {
  levelNumber,
  messageLoss,
  namedDevice,
  nanoseconds,
  printkEvent,
} from '../printk-facts.js';
import { clip, TextReader } from '../reader.js';
import type { Format } from '../reader.js';

/** What stands in front of a message. */
interface Head {
  /** ns since boot; NaN: no such stamp. */
  mono: number;
  /** ns since the Unix epoch; NaN: no such stamp, or not a complete one. */
  wall: number;
  level: number | undefined;
  caller: string | undefined;
  /** Sequence number of a /dev/kmsg record. */
  seq: number | undefined;
  /** Set where the line is another program's: `sshd[12]`. */
  program: string | undefined;
  /** How much the prefix looks like a kernel log's, 0…1. */
  weight: number;
  /** Offset of the message in the line. */
  at: number;
}

const FACILITIES =
  'kern|user|mail|daemon|auth|syslog|lpr|news|uucp|cron|authpriv|ftp|res[0-9]|local[0-7]';
const SEVERITIES = 'emerg|panic|alert|crit|error|err|warning|warn|notice|info|debug';

// All sticky, all of bounded length: a hostile line costs no more than its first few hundred bytes.
const KMSG = /(\d{1,5}),(\d{1,15}),(\d{1,15}),[^,;]{0,8}((?:,[^,;]{1,64}){0,4});/y;
const PRIORITY = /<(\d{1,5})>(?:1 (?=\d{4}-))?/y;
const COLUMNS = new RegExp(`(?:${FACILITIES}) {0,8}:(${SEVERITIES}) {0,8}: {0,2}`, 'y');
const DOTTED = new RegExp(`(?:${FACILITIES})\\.(${SEVERITIES}):? {1,2}`, 'y');
const DELTA = '< {0,12}[+-]?\\d{1,12}\\.\\d{1,9}>';
const MONO = new RegExp(`\\[ {0,16}(\\d{1,12})\\.(\\d{1,9})(?: {1,2}${DELTA})?\\] ?`, 'y');
const MONO_TORN = /(\d{1,12})\.(\d{6})\] /y;
const DELTA_ONLY = new RegExp(`\\[(?:${DELTA}| {0,12}\\+ {0,12}\\d{1,12}\\.\\d{1,9})\\] ?`, 'y');
const CTIME = new RegExp(
  `\\[\\S{1,12} {1,2}(\\S{1,12}) {1,2}(\\d{1,2}) (\\d\\d):(\\d\\d):(\\d\\d) (\\d{4})(?: {1,2}${DELTA})?\\] ?`,
  'y',
);
const RELATIVE = /\[[^\s\d[\]]{1,12} {0,2}\d{1,2} \d\d:\d\d(?::\d\d)?\] ?/y;
const ISO =
  /(?:[^\s\d[\]<>:]{2,12} )?(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:([.,])(\d{1,9}))?(Z|[+-]\d\d:?\d\d)?(?: |$)/y;
const ZONE = /(?:UTC|GMT|([A-Z]{3,5}|[+-]\d{2,4})) /y;
const CLASSIC =
  /(?:[^\s\d[\]<>:]{2,12} )?([^\s[\]<>:]{2,16}) {1,2}(\d{1,2}) (?:(\d{4}) )?(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))? (?:(\d{4}) )?/y;
const SLASHED = /\d\d\/\d\d\/\d{4} \d\d:\d\d:\d\d(?:\.\d{1,9})? /y;
const UNIX = /(\d{9,11})\.(\d{6}) (?=\S{1,255} \S{1,128}: )/y;
const CALLER = / {0,2}(?:\[ {0,16}([TC]\d{1,10});?\] ?|([TC]\d{1,10});)/y;
const KERNEL_TAG = new RegExp(
  `(?:\\S{0,254}[^\\s:] )?(?:(?:${FACILITIES})\\.(${SEVERITIES}) )?kernel(?:\\[\\d{1,10}\\])?:(?: |$)`,
  'y',
);
const KERNEL_5424 = /\S{1,255} kernel \S{1,128} \S{1,32} - /y;
/** `host program[pid]: `; with a monotonic or ISO stamp the pid is what tells it from a message. */
const PROGRAM = /\S{0,254}[^\s:] ([^\s:[\]]{1,128}\[\d{1,10}\]): ?/y;
const PROGRAM_BARE = /\S{0,254}[^\s:] ([^\s:[\]]{1,128}): /y;
const PROPERTY = /^ ([A-Z][A-Z0-9_]{0,63})=(.{0,4096})$/;
const RSYSLOG_PROPERTIES = /#012 [A-Z][A-Z0-9_]{0,63}=/;
const RSYSLOG_DEVICE = /#012 DEVICE=([^#\s]{1,192})/;
const ANSI = /\u001b\[[0-9;:]{0,32}[A-Za-z]/g;

const MONTHS: readonly string[] = 'jan feb mar apr may jun jul aug sep oct nov dec'.split(' ');

/** ns since the epoch, fields taken as UTC; NaN where they are no date. */
function wallTime(
  date: readonly [year: string, month: number, day: string],
  clock: readonly [hour: string, minute: string, second: string],
  fraction: string | undefined,
): number {
  if (date[1] < 0 || date[1] > 11) return NaN;
  const ms = Date.UTC(
    Number(date[0]),
    date[1],
    Number(date[2]),
    Number(clock[0]),
    Number(clock[1]),
    Number(clock[2]),
  );
  return nanoseconds(String(ms / 1000), fraction);
}

/** Nanoseconds to add to a local time of zone `+01:00` to get UTC. */
function zoneShift(zone: string | undefined): number {
  if (zone === undefined || zone === 'Z') return 0;
  const digits = zone.replace(':', '');
  const seconds = (Number(digits.slice(1, 3)) * 60 + Number(digits.slice(3, 5))) * 60;
  return (zone.startsWith('-') ? seconds : -seconds) * 1e9;
}

/** 0 for January; -1 for a name that is not English. */
function month(name: string): number {
  return MONTHS.indexOf(name.slice(0, 3).toLowerCase());
}

/** Reads the prefix of one line; undefined where there is none. */
class HeadParser {
  private text = '';
  private head!: Head;

  parse(text: string): Head | undefined {
    this.text = text;
    this.head = {
      mono: NaN,
      wall: NaN,
      level: undefined,
      caller: undefined,
      seq: undefined,
      program: undefined,
      weight: 0,
      at: leadIn(text),
    };
    const { head } = this;
    const start = head.at;
    if (this.kmsg()) return head;
    let dated = false;
    let tagged = false;
    // Each round reads one part; no tool stacks more than a handful.
    for (let round = 0; round < 10; round++) {
      if (this.plain() || this.stamp(head.at === start)) continue;
      if (!dated && (dated = this.date())) continue;
      if (!tagged && (head.at > start || dated) && (tagged = this.tag(dated))) {
        if (head.program !== undefined) break;
        continue;
      }
      // Without a kernel tag in front, only a stamp can precede a message's caller.
      const caller = head.at > start ? this.match(CALLER) : undefined;
      if (caller !== undefined && head.caller === undefined) {
        head.caller = caller[1] ?? caller[2];
        continue;
      }
      break;
    }
    return head.at > start ? head : undefined;
  }

  private match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.head.at;
    const m = pattern.exec(this.text);
    if (m === null) return undefined;
    this.head.at = pattern.lastIndex;
    return m;
  }

  private weigh(weight: number): true {
    this.head.weight = Math.max(this.head.weight, weight);
    return true;
  }

  /** devkmsg_read(): `prio,seq,usec,flags[,caller=T1];msg` */
  private kmsg(): boolean {
    const m = this.match(KMSG);
    if (m === undefined) return false;
    const { head } = this;
    head.level = Number(m[1]) & 7;
    head.seq = Number(m[2]);
    const usec = m[3].padStart(7, '0');
    head.mono = nanoseconds(usec.slice(0, -6), usec.slice(-6));
    head.caller = /,caller=([^,;]{1,64})/.exec(m[4])?.[1];
    return this.weigh(1);
  }

  /** Priority and level parts. */
  private plain(): boolean {
    let m: RegExpExecArray | undefined;
    if ((m = this.match(PRIORITY)) !== undefined) {
      this.head.level ??= Number(m[1]) & 7;
      return this.weigh(0.6);
    }
    if ((m = this.match(COLUMNS)) !== undefined || (m = this.match(DOTTED)) !== undefined) {
      this.head.level ??= levelNumber(m[1]);
      return this.weigh(0.8);
    }
    return false;
  }

  /** Stamps in brackets. */
  private stamp(first: boolean): boolean {
    const { head } = this;
    let m: RegExpExecArray | undefined;
    if (
      (m = this.match(MONO)) !== undefined ||
      (first && (m = this.match(MONO_TORN)) !== undefined)
    ) {
      if (Number.isNaN(head.mono)) head.mono = nanoseconds(m[1], m[2]);
      // The kernel prints six digits. Others (Xorg) print fewer.
      return this.weigh(m[2].length === 6 ? 1 : 0.2);
    }
    if ((m = this.match(CTIME)) !== undefined) {
      head.wall = wallTime([m[6], month(m[1]), m[2]], [m[3], m[4], m[5]], undefined);
      return this.weigh(1);
    }
    if (this.match(DELTA_ONLY) !== undefined || this.match(RELATIVE) !== undefined) {
      return this.weigh(0.8);
    }
    return false;
  }

  /** Dates outside brackets. */
  private date(): boolean {
    const { head } = this;
    let m: RegExpExecArray | undefined;
    if ((m = this.match(ISO)) !== undefined) {
      let wall = wallTime([m[1], Number(m[2]) - 1, m[3]], [m[4], m[5], m[6]], m[8]);
      wall += zoneShift(m[9]);
      // journalctl -o short-full writes a zone's name, which says nothing about its offset.
      if (m[9] === undefined && this.match(ZONE)?.[1] !== undefined) wall = NaN;
      head.wall = wall;
      // A comma before the fraction is dmesg's own; any log may have the rest.
      return this.weigh(m[7] === ',' && m[9] !== undefined ? 1 : 0.3);
    }
    if ((m = this.match(UNIX)) !== undefined) {
      head.wall = nanoseconds(m[1], m[2]);
      return this.weigh(0.3);
    }
    if ((m = this.match(CLASSIC)) !== undefined) {
      const year = m[3] ?? m[8];
      if (year !== undefined) {
        head.wall = wallTime([year, month(m[1]), m[2]], [m[4], m[5], m[6]], m[7]);
      }
      return this.weigh(0.3);
    }
    return this.match(SLASHED) !== undefined && this.weigh(0.3);
  }

  /** `host kernel: ` or another program's tag. */
  private tag(dated: boolean): boolean {
    let m = this.match(KERNEL_TAG);
    if (m !== undefined) {
      if (m[1] !== undefined) this.head.level ??= levelNumber(m[1]);
      return this.weigh(1);
    }
    // journalctl -o short-monotonic shows neither level nor caller; with one of these, "a b[1]: "
    // is the kernel's own text.
    const { mono, level, caller } = this.head;
    if (!dated && (Number.isNaN(mono) || level !== undefined || caller !== undefined)) return false;
    if (dated && this.match(KERNEL_5424) !== undefined) return this.weigh(1);
    const before = this.head.at;
    m = this.match(PROGRAM);
    if (m === undefined && dated && Number.isNaN(mono)) {
      m = this.match(PROGRAM_BARE);
      // "pci 0000:00:18.5: Adding …" directly after a date: a driver and its device, no program.
      if (m !== undefined && !/^[A-Za-z][\w.-]{0,63}$/.test(m[1])) m = undefined;
      if (m === undefined) this.head.at = before;
    }
    if (m === undefined) return false;
    this.head.program = m[1];
    // A line of another program says little about whether this is a kernel log.
    this.head.weight = Math.min(this.head.weight, 0.4);
    return true;
  }
}

/** Offset behind blanks, quote marks of a mail, NULs that a crash left in a log file. */
function leadIn(text: string): number {
  let at = 0;
  for (; at < text.length; at++) {
    const c = text.charCodeAt(at);
    if (c !== 32 && c !== 9 && c !== 0x3e && c !== 0 && c !== 0xa0) break;
  }
  return at;
}

/** Undoes the kernel's escapes of a /dev/kmsg record (msg_print_ext_body(): `\xNN` per byte). */
function unescapeRecord(text: string): string {
  if (!text.includes('\\x')) return text;
  return text.replace(/(?:\\x[0-9a-f]{2}){1,512}/g, (run) =>
    Buffer.from(run.replaceAll('\\x', ''), 'hex').toString('utf8'),
  );
}

class DmesgReader extends TextReader {
  private readonly heads = new HeadParser();
  /** Set once a kernel message had a time: which clock this source has. */
  private clock: 'mono' | 'wall' | undefined;
  /** The last kernel message's time and level, for lines that continue it and for losses. */
  private lastTime = NaN;
  private lastLevel: number | undefined;
  private lastSeq: number | undefined;
  /** The line before was a message or continued one. */
  private open = false;
  /** A loss that waits for the time of the next line. */
  private pending:
    { line: number; count: number | undefined; since: number; text: string } | undefined;

  protected line(raw: string, batch: EventBatch): void {
    const text = (raw.includes('\u001b') ? raw.replace(ANSI, '') : raw).trimEnd();
    if (text === '') return;
    const loss = messageLoss(text);
    if (loss !== undefined) {
      // The mark may be glued to a message on either side.
      this.part(text.slice(0, loss.start), batch);
      this.settle(NaN, batch);
      this.pending = { line: this.lineNumber, count: loss.count, since: this.lastTime, text };
      this.part(text.slice(loss.end), batch);
      return;
    }
    if (this.message(text, batch)) return;
    this.settle(NaN, batch);
    if (this.open && /^[\s>]/.test(text)) this.continuation(text, batch);
    else if (/^\s{0,16}-- .{0,400} --$/.test(text)) this.other('syslog', text, NaN, batch);
    else if (text.startsWith('** ')) this.printk(text, NaN, batch);
    else {
      this.open = false;
      this.unparsed(text, 'no kernel log prefix', batch);
    }
  }

  override finish(batch: EventBatch): void {
    this.settle(NaN, batch);
  }

  override overlong(head: string, batch: EventBatch): void {
    this.settle(NaN, batch);
    this.open = false;
    super.overlong(head, batch);
  }

  /** What stands beside a loss mark: a message if it can be read, else it stays in the mark's text. */
  private part(text: string, batch: EventBatch): void {
    if (text.trim() !== '') this.message(text, batch);
  }

  /** A line with a prefix; false where there is none. */
  private message(text: string, batch: EventBatch): boolean {
    const head = this.heads.parse(text);
    if (head === undefined) return false;
    let body = text.slice(head.at);
    if (head.program !== undefined) {
      const time = this.clock === 'wall' ? head.wall : head.mono;
      const loss = messageLoss(body);
      if (loss === undefined) this.other('syslog', `${head.program}: ${body}`, time, batch);
      else this.loss(loss.count, Number.isNaN(time) ? undefined : time, text, batch);
      this.open = false;
      return true;
    }
    if (!Number.isNaN(head.mono)) this.clock = 'mono';
    else if (!Number.isNaN(head.wall)) this.clock ??= 'wall';
    const time = this.clock === 'mono' ? head.mono : head.wall;
    if (head.seq !== undefined) {
      const missing = this.lastSeq === undefined ? 0 : head.seq - this.lastSeq - 1;
      // A number that went back is another boot or a second read, not a loss.
      if (missing > 0) this.loss(missing, time, `seq ${this.lastSeq} … ${head.seq}`, batch);
      this.lastSeq = head.seq;
      body = unescapeRecord(body);
    }
    const inner = messageLoss(body);
    if (inner !== undefined) {
      this.loss(inner.count, time, text, batch);
      this.open = true;
      return true;
    }
    let dev: string | undefined;
    const tail = body.search(RSYSLOG_PROPERTIES);
    if (tail >= 0) {
      const named = RSYSLOG_DEVICE.exec(body)?.[1];
      if (named !== undefined) dev = namedDevice(named);
      body = body.slice(0, tail);
    }
    this.settle(time, batch);
    if (!Number.isNaN(time)) this.lastTime = time;
    this.lastLevel = head.level;
    this.open = true;
    const { level, caller } = head;
    this.append(
      printkEvent({ line: this.lineNumber, time, text: body, level, caller, dev }),
      batch,
    );
    return true;
  }

  private continuation(text: string, batch: EventBatch): void {
    const property = PROPERTY.exec(text);
    const dev = property?.[1] === 'DEVICE' ? namedDevice(property[2]) : undefined;
    this.printk(text.slice(leadIn(text)) || text, this.lastTime, batch, dev);
  }

  private printk(text: string, time: number, batch: EventBatch, dev?: string): void {
    const level = this.lastLevel;
    this.append(printkEvent({ line: this.lineNumber, time, text, level, dev }), batch);
  }

  private other(name: string, text: string, time: number, batch: EventBatch): void {
    this.settle(time, batch);
    this.append(
      {
        type: 'trace_event',
        name,
        time,
        line: this.lineNumber,
        ...(this.options.keepText ? { text: clip(text) } : {}),
      },
      batch,
    );
  }

  /** A loss whose time is known, or else (undefined) is the next line's. */
  private loss(
    count: number | undefined,
    time: number | undefined,
    text: string,
    batch: EventBatch,
  ): void {
    this.settle(time ?? NaN, batch);
    this.pending = { line: this.lineNumber, count, since: this.lastTime, text };
    if (time !== undefined && !Number.isNaN(time)) {
      this.lastTime = time;
      this.settle(time, batch);
    }
  }

  /** Emits the loss that waits: it ends at `time`. */
  private settle(time: number, batch: EventBatch): void {
    if (this.pending === undefined) return;
    const { line, count, since, text } = this.pending;
    this.pending = undefined;
    const event: NewEvent = {
      type: 'lost',
      time,
      line,
      ...(count === undefined ? {} : { count }),
      ...(Number.isNaN(since) ? {} : { since }),
      text: clip(text),
    };
    this.append(event, batch);
  }
}

/** Lines at which `sniff` looks. */
const SNIFFED_LINES = 60;

function sniff(head: string): number {
  const heads = new HeadParser();
  let lines = 0;
  let weight = 0;
  let before = false;
  for (const raw of head.split('\n', 4 * SNIFFED_LINES)) {
    const text = raw.replace(ANSI, '').trimEnd();
    if (text === '') continue;
    const parsed = heads.parse(text.slice(0, 2000));
    const continues = parsed === undefined && before && /^[\s>]/.test(text);
    if (continues || messageLoss(text.slice(0, 2000)) !== undefined) continue;
    before = parsed !== undefined && parsed.weight > 0.5;
    weight += parsed?.weight ?? 0;
    if (++lines === SNIFFED_LINES) break;
  }
  if (lines === 0) return 0;
  const share = weight / lines;
  return share > 0.5 ? Math.min(share, 1) * 0.9 : share > 0.25 ? share * 0.4 : 0;
}

/**
 * Kernel log text (formats.md 2.7). Times are ns of the kernel's monotonic log clock where the
 * lines show it, ns since the Unix epoch where they show a complete date, else NaN.
 */
export const dmesg: Format = {
  name: 'dmesg',
  description: 'kernel log text: dmesg, /dev/kmsg, syslog, journalctl -o short*',
  sniff,
  open: (options) => new DmesgReader(options),
};
