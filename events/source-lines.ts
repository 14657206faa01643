/** The text of some lines of an input, read again for showing them. */

import { closeSync, createReadStream, openSync, readSync, statSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { clip } from './reader.js';

/** What is shown of a line. Characters. */
const SHOWN = 400;

/**
 * The lines with the given numbers (from 1), as far as they can still be read: not from standard
 * input or a pipe. Reads up to the last of them and no further.
 */
export async function sourceLines(
  file: string,
  numbers: ReadonlySet<number>,
): Promise<Map<number, string>> {
  const lines = new Map<number, string>();
  if (file === '-' || numbers.size === 0) return lines;
  const last = Math.max(...numbers);
  let stream: Readable;
  try {
    // To open a pipe again would wait for a writer who is gone.
    if (!statSync(file).isFile()) return lines;
    const raw = createReadStream(file, { highWaterMark: 1 << 20 });
    stream = isGzip(file) ? raw.pipe(createGunzip()) : raw;
    raw.on('error', (error) => stream.destroy(error));
    let number = 1;
    let pending = '';
    for await (const chunk of stream) {
      const bytes = chunk as Buffer;
      let at = 0;
      for (;;) {
        const eol = bytes.indexOf(10, at);
        if (numbers.has(number) && pending.length < SHOWN * 4) {
          pending += bytes.toString(
            'utf8',
            at,
            Math.min(eol < 0 ? bytes.length : eol, at + SHOWN * 4),
          );
        }
        if (eol < 0) break;
        if (numbers.has(number)) lines.set(number, clip(pending.replace(/\r$/, ''), SHOWN));
        pending = '';
        number++;
        at = eol + 1;
        if (number > last) break;
      }
      if (number > last) break;
    }
    if (pending !== '') lines.set(number, clip(pending, SHOWN));
    stream.destroy();
    raw.destroy();
  } catch {
    // The file was readable a moment ago; without its text the numbers still stand.
  }
  return lines;
}

function isGzip(file: string): boolean {
  const fd = openSync(file, 'r');
  try {
    const magic = new Uint8Array(2);
    return readSync(fd, magic, 0, 2, 0) === 2 && magic[0] === 0x1f && magic[1] === 0x8b;
  } finally {
    closeSync(fd);
  }
}
