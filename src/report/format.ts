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

/** `trace.txt:412`, with the file alone where there are no lines; safe to print. */
export function place(ref: EventRef): string {
  const { file, line } = ref.origin;
  const name = printable(file);
  return line > 0 ? `${name}:${line}` : name;
}

/**
 * Characters that act on a terminal or on the reading order: C0 and C1, soft hyphen, zero-width
 * and bidirectional marks, line and paragraph separators, and the tags beyond the BMP.
 */
const ACTING =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;

/** Control characters, terminal sequences and bidirectional marks of a foreign text made visible. */
export function printable(text: string): string {
  return text.replace(ACTING, (c) => {
    if (c === '\t') return ' ';
    const code = c.codePointAt(0)!;
    const hex = code.toString(16);
    return code <= 0xff ? `\\x${hex.padStart(2, '0')}` : `\\u${hex.padStart(4, '0')}`;
  });
}

/** The same for JSON, where such characters stand only in strings: `\u009b` for U+009B. */
export function printableJson(json: string): string {
  return json.replace(
    /[\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** The longest name shown whole. Characters. */
const LONGEST_NAME = 48;

/** A name from the input: printable, and cut in the middle when nobody could read it anyway. */
export function shown(name: string, most = LONGEST_NAME): string {
  const text = printable(
    name.length <= 2 * most ? name : `${name.slice(0, most)}${name.slice(-most)}`,
  );
  if (text.length <= most) return text;
  const tail = Math.floor(most / 4);
  return `${text.slice(0, most - tail - 1)}…${text.slice(-tail)}`;
}

/** A sentence with names from the input in it: printable, endless words cut. */
export function sentence(text: string): string {
  return text
    .split(' ')
    .map((word) => shown(word, 240))
    .join(' ');
}

/**
 * Text broken into lines of at most `width`, at blanks where possible; a longer word is broken.
 * A no-break space keeps two words together.
 */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = '';
    }
    let rest = word;
    while (rest.length > width) {
      lines.push(rest.slice(0, width));
      rest = rest.slice(width);
    }
    line = line === '' ? rest : `${line} ${rest}`;
  }
  if (line !== '') lines.push(line);
  return lines.map((l) => l.replaceAll('\u00a0', ' '));
}

/** Columns under their heads; the last one is wrapped so that lines fit `width`. */
export function table(rows: readonly (readonly string[])[], width: number): string[] {
  const last = rows[0].length - 1;
  const widths = rows[0]
    .slice(0, last)
    .map((_, c) => rows.reduce((most, row) => Math.max(most, row[c].length), 0));
  const indent = widths.reduce((sum, w) => sum + w + 2, 0);
  return rows.flatMap((row) => {
    const start = widths.map((w, c) => `${row[c].padEnd(w)}  `).join('');
    const end = wrap(row[last], Math.max(width - indent, 24));
    if (end.length === 0) return [start.trimEnd()];
    return end.map((text, n) => `${n === 0 ? start : ' '.repeat(indent)}${text}`);
  });
}
