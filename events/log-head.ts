/**
 * How an event log is recognised. It stands apart from the log itself, which needs the schemas of
 * all events: most inputs are no logs, and loading the schemas takes longer than reading a trace.
 */

import { EVENT_TYPES } from './event.js';

export const LOG_HEAD = {
  name: 'hotrace-log',
  description: "hotrace's own event log (NDJSON)",
  sniff(head: string): number {
    const end = head.indexOf('\n');
    const first = withoutByteOrderMark(end < 0 ? head : head.slice(0, end)).trim();
    // A header that names hundreds of sources may be longer than the head of a file.
    if (first.startsWith('{"hotrace":"log"')) return 1;
    try {
      const json: unknown = JSON.parse(first);
      if (!isObject(json)) return 0;
      if (json['hotrace'] === 'log') return 1;
      // Events without a header: the reader says what is missing.
      return (EVENT_TYPES as readonly unknown[]).includes(json['type']) ? 0.3 : 0;
    } catch {
      return 0;
    }
  },
};

export function withoutByteOrderMark(line: string): string {
  return line.startsWith('\uFEFF') ? line.slice(1) : line;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
