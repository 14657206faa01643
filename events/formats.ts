/** The formats, in the order in which they are asked whose a file is. */

import { dmesg } from './formats/dmesg.js';
import { dmesgJson } from './formats/dmesg-json.js';
import { ftrace, traceCmd } from './formats/ftrace.js';
import { journal } from './formats/journal.js';
import { perfScript } from './formats/perf-script.js';
import { sysfsSnapshot } from './formats/sysfs-snapshot.js';
import { udevadm } from './formats/udevadm.js';
import { LOG_HEAD } from './log-head.js';
import { headText } from './reader.js';
import type { Format } from './reader.js';

/** A format that is known by its head and loaded when a file has it. */
export type KnownFormat = Pick<Format, 'name' | 'description' | 'sniff'> &
  (Pick<Format, 'open'> | { load(): Promise<Format> });

const hotraceLog: KnownFormat = {
  ...LOG_HEAD,
  load: async () => (await import('./log.js')).hotraceLog,
};

export const FORMATS: readonly KnownFormat[] = [
  hotraceLog,
  sysfsSnapshot,
  udevadm,
  journal,
  dmesgJson,
  ftrace,
  traceCmd,
  perfScript,
  dmesg,
];

export function formatByName(name: string): KnownFormat | undefined {
  return FORMATS.find((format) => format.name === name);
}

/** Below this nothing is certain enough to be read without being told. */
const CERTAIN = 0.3;

/** The format of a file that begins with `head`, or undefined when it looks like none of them. */
export function detectFormat(head: Uint8Array): KnownFormat | undefined {
  const text = headText(head);
  let best: KnownFormat | undefined;
  let bestScore = CERTAIN;
  for (const format of FORMATS) {
    const score = format.sniff(text);
    if (score > bestScore) {
      best = format;
      bestScore = score;
    }
  }
  return best;
}
