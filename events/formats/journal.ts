/**
 * `journalctl -o json`: one JSON object per line (systemd's Journal JSON Format).
 *
 * Kernel messages (_TRANSPORT=kernel) are printk events; their clock is the kernel's,
 * _SOURCE_MONOTONIC_TIMESTAMP in microseconds. Lines of other programs are readable but not
 * modelled: `trace_event` named `journal`, with journald's own monotonic time.
 */

import { Buffer } from 'node:buffer';
import type { EventBatch } from '../batch.js';
import {
  LONGEST_MESSAGE,
  levelNumber,
  lossEvent,
  messageLoss,
  namedDevice,
  nanoseconds,
  printkEvent,
} from '../printk-facts.js';
import { clip, TextReader } from '../reader.js';
import type { Format } from '../reader.js';

/**
 * A field's text. The journal's fields are bytes: what is not UTF-8 text comes as an array of
 * numbers, a field that occurs more than once as an array of values (the first counts), one that
 * is too large as null.
 */
function fieldText(entry: object, name: string): string | undefined {
  if (!Object.hasOwn(entry, name)) return undefined;
  let value: unknown = (entry as Readonly<Record<string, unknown>>)[name];
  if (Array.isArray(value) && (typeof value[0] === 'string' || Array.isArray(value[0]))) {
    value = value[0];
  }
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return String(value);
  if (!Array.isArray(value)) return undefined;
  const bytes = value
    .slice(0, LONGEST_MESSAGE)
    .map((byte) => (typeof byte === 'number' ? byte : 0));
  return Buffer.from(bytes).toString('utf8');
}

/** ns of a field in µs; NaN where it is absent or no number. */
function fieldTime(entry: object, name: string): number {
  const text = fieldText(entry, name);
  if (text === undefined || !/^\d{1,16}$/.test(text)) return NaN;
  const digits = text.padStart(7, '0');
  return nanoseconds(digits.slice(0, -6), digits.slice(-6));
}

class JournalReader extends TextReader {
  private lastTime = NaN;

  protected line(raw: string, batch: EventBatch): void {
    // -o json-seq puts a record separator, json-sse "data: " in front.
    const text = raw.replace(/^\u001e?(?:data: )?/, '').trim();
    if (text === '') return;
    let entry: unknown;
    try {
      entry = JSON.parse(text);
    } catch {
      this.unparsed(text, 'not a JSON object', batch);
      return;
    }
    if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) {
      this.unparsed(text, 'not a JSON object', batch);
      return;
    }
    const transport = fieldText(entry, '_TRANSPORT');
    const message = fieldText(entry, 'MESSAGE');
    if (
      transport === undefined &&
      message === undefined &&
      !Object.hasOwn(entry, '__REALTIME_TIMESTAMP') &&
      !Object.hasOwn(entry, '__CURSOR')
    ) {
      this.unparsed(text, 'not a journal entry', batch);
      return;
    }
    let time = fieldTime(entry, '_SOURCE_MONOTONIC_TIMESTAMP');
    if (Number.isNaN(time)) time = fieldTime(entry, '__MONOTONIC_TIMESTAMP');
    this.entry(entry, transport, message ?? '', time, batch);
  }

  private entry(
    entry: object,
    transport: string | undefined,
    text: string,
    time: number,
    batch: EventBatch,
  ): void {
    const line = this.lineNumber;
    const loss = messageLoss(text);
    if (loss !== undefined) {
      this.append(lossEvent(loss, { line, time, since: this.lastTime, text }), batch);
      return;
    }
    if (transport !== 'kernel') {
      const program =
        fieldText(entry, 'SYSLOG_IDENTIFIER') ?? fieldText(entry, '_COMM') ?? transport ?? '?';
      this.append(
        {
          type: 'trace_event',
          name: 'journal',
          time,
          line,
          ...(this.options.keepText ? { text: clip(`${program}: ${text}`) } : {}),
        },
        batch,
      );
      return;
    }
    if (!Number.isNaN(time)) this.lastTime = time;
    const device = fieldText(entry, '_KERNEL_DEVICE');
    const priority = fieldText(entry, 'PRIORITY');
    this.append(
      printkEvent({
        line,
        time,
        text,
        level: priority === undefined ? undefined : levelNumber(priority),
        dev: device === undefined ? undefined : namedDevice(device),
      }),
      batch,
    );
  }
}

const JOURNAL_FIELD =
  /"(?:__CURSOR|__REALTIME_TIMESTAMP|__MONOTONIC_TIMESTAMP|_TRANSPORT|_BOOT_ID|SYSLOG_IDENTIFIER|_SOURCE_MONOTONIC_TIMESTAMP)"\s{0,4}:/;

function sniff(head: string): number {
  const text = head.trimStart().replace(/^\u001e?(?:data: )?/, '');
  if (!text.startsWith('{')) return 0;
  const end = text.indexOf('\n');
  return JOURNAL_FIELD.test(end < 0 ? text : text.slice(0, end)) ? 0.95 : 0;
}

/** `journalctl -o json` (formats.md 2.7). Times are ns since boot. */
export const journal: Format = {
  name: 'journal',
  description: 'journalctl -o json',
  sniff,
  open: (options) => new JournalReader(options),
};
