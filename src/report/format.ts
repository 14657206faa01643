/** How times, counts and places are written. */

import type { EventRef } from '../replay/verdicts.js';

/** Nanoseconds as seconds with microseconds, as dmesg and ftrace print them: `140.955415`. */
export function seconds(ns: number): string {
  if (Number.isNaN(ns)) return '?';
  const micros = Math.round(ns / 1000);
  const whole = Math.floor(micros / 1e6);
  return `${whole}.${String(micros - whole * 1e6).padStart(6, '0')}`;
}

/** A duration in ns, in the unit that reads best. */
export function duration(ns: number): string {
  if (Number.isNaN(ns)) return '?';
  if (ns < 1e3) return `${Math.round(ns)} ns`;
  if (ns < 1e6) return `${(ns / 1e3).toFixed(1)} us`;
  if (ns < 1e9) return `${(ns / 1e6).toFixed(1)} ms`;
  return `${(ns / 1e9).toFixed(2)} s`;
}

/** `1,365`. */
export function count(n: number): string {
  return n.toLocaleString('en-US');
}

/** `2 lines`, `1 line`. */
export function plural(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** `trace.txt:412`, with the file alone where there are no lines. */
export function place(ref: EventRef): string {
  const { file, line } = ref.origin;
  return line > 0 ? `${file}:${line}` : file;
}

/** Control characters and terminal sequences of a foreign text made visible. */
export function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, (c) => {
    const code = c.charCodeAt(0);
    return c === '\t' ? ' ' : `\\x${code.toString(16).padStart(2, '0')}`;
  });
}

/** Text broken into lines of at most `width`, at blanks where possible. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  if (line !== '') lines.push(line);
  return lines;
}
