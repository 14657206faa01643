/**
 * An interleaving as kernel commit messages show it: a column per CPU, time downwards, ready to be
 * pasted into an e-mail.
 */

import type { ScheduledStep } from '../explore/schedule.js';
import { printable } from './format.js';

/** Lines of an e-mail. */
const WIDTH = 72;
const GAP = 2;
/** A column that is narrower cannot be read. */
const MIN_COLUMN = 20;

/**
 * The table, without what broke.
 *
 * @returns lines of at most 72 characters; one column per thread where they fit, else one step a
 *   line with its CPU before it; none for what is broken at the start
 */
export function interleavingTable(steps: readonly ScheduledStep[]): string[] {
  if (steps.length === 0) return [];
  const threads = [...new Set(steps.map(({ thread }) => thread))];
  const heads = threads.map((thread, cpu) => `CPU${cpu}: ${printable(thread)}`);
  const starts = columnStarts(threads, heads, steps);
  return starts === undefined
    ? listed(threads, heads, steps)
    : inColumns(threads, heads, steps, starts);
}

/** Where each column begins: as far right as its heads ask, as far left as the last column needs. */
function columnStarts(
  threads: readonly string[],
  heads: readonly string[],
  steps: readonly ScheduledStep[],
): readonly number[] | undefined {
  if (threads.length * (MIN_COLUMN + GAP) - GAP > WIDTH) return undefined;
  const last = threads.length - 1;
  const needed = Math.max(
    heads[last].length,
    ...steps.filter((s) => s.thread === threads[last]).map(({ what }) => printable(what).length),
  );
  const starts = [0];
  for (let i = 1; i < threads.length; i++) {
    const asked = starts[i - 1] + heads[i - 1].length + GAP;
    const room = Math.floor(((WIDTH - needed) * i) / last);
    const least = starts[i - 1] + MIN_COLUMN + GAP;
    const most = WIDTH - (threads.length - i) * (MIN_COLUMN + GAP) + GAP;
    starts.push(Math.min(most, Math.max(least, Math.min(asked, room))));
  }
  return starts;
}

function inColumns(
  threads: readonly string[],
  heads: readonly string[],
  steps: readonly ScheduledStep[],
  starts: readonly number[],
): string[] {
  const widths = starts.map((start, i) => (starts[i + 1] ?? WIDTH + GAP) - start - GAP);
  const out: string[] = [];
  const row = (cells: readonly string[]) =>
    cells
      .reduce((line, cell, i) => (cell === '' ? line : line.padEnd(starts[i]) + cell), '')
      .trimEnd();
  const wrapped = heads.map((head, i) => folded(head, widths[i]));
  for (let n = 0; n < Math.max(...wrapped.map((lines) => lines.length)); n++) {
    out.push(row(wrapped.map((lines) => lines[n] ?? '')));
  }
  out.push(row(wrapped.map((lines) => '-'.repeat(Math.max(...lines.map((l) => l.length))))));
  for (const { thread, what } of steps) {
    // Nothing stands to the right of a step: it may use the whole line.
    const start = starts[threads.indexOf(thread)];
    for (const line of folded(printable(what), WIDTH - start))
      out.push((' '.repeat(start) + line).trimEnd());
  }
  return out;
}

/**
 * In lines of a width, the further ones indented. Broken at blanks; where that would leave a line
 * less than half full, between the parts of a name; what has none is cut.
 */
function folded(text: string, width: number): string[] {
  const lines: string[] = [];
  let rest = text;
  let indent = '';
  while (rest.length > width - indent.length) {
    const end = breakAt(rest, width - indent.length);
    lines.push(`${indent}${rest.slice(0, end).trimEnd()}`);
    rest = rest.slice(end).trimStart();
    indent = '  ';
  }
  if (rest !== '' || lines.length === 0) lines.push(`${indent}${rest}`);
  return lines;
}

/** Characters behind which a name may be broken: `iommu_group_|add_device(|g0)`. */
const JOINTS = /[_(,./:>-](?=[\w(])/g;

/** Where the first line of at most `width` characters ends. */
function breakAt(text: string, width: number): number {
  const blank = text.lastIndexOf(' ', width);
  if (blank >= width / 2) return blank;
  const joints = [...text.slice(0, width + 1).matchAll(JOINTS)];
  const joint = joints.map(({ index }) => index + 1).findLast((end) => end <= width);
  if (joint !== undefined && joint >= width / 2) return joint;
  // A character of two halves stays whole.
  const half = /[\ud800-\udbff]/.test(text[width - 1]) && width > 1;
  return blank > 0 && joint === undefined ? blank : half ? width - 1 : width;
}

function listed(
  threads: readonly string[],
  heads: readonly string[],
  steps: readonly ScheduledStep[],
): string[] {
  const label = (thread: string) => `CPU${threads.indexOf(thread)}`;
  const indent = `CPU${threads.length - 1}`.length + GAP;
  const out = [...heads.flatMap((head) => folded(head, WIDTH)), '-'.repeat(WIDTH)];
  let last = '';
  for (const { thread, what } of steps) {
    const [first, ...rest] = folded(printable(what), WIDTH - indent);
    out.push((thread === last ? '' : label(thread)).padEnd(indent) + first);
    for (const line of rest) out.push(' '.repeat(indent) + line);
    last = thread;
  }
  return out;
}
