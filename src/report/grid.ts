/** Columns of which several may be wrapped. */

import { wrap } from './format.js';

export interface GridLook {
  /** Of a line; more where the columns cannot be any narrower. */
  readonly width: number;
  /** Columns that may be wrapped, at blanks. */
  readonly folds: readonly number[];
  /** Columns of numbers. */
  readonly right: readonly number[];
}

const GAP = 2;

/** The rows, the first of them heads: the widest column is wrapped until all fit. */
export function grid(rows: readonly (readonly string[])[], look: GridLook): string[] {
  const widths = rows[0].map((_, c) => Math.max(...rows.map((row) => row[c].length)));
  const least = rows[0].map((_, c) => {
    const words = rows.flatMap((row) => row[c].split(' '));
    return Math.max(...words.map((word) => word.length));
  });
  const total = () => widths.reduce((sum, width) => sum + width + GAP, -GAP);
  while (total() > look.width) {
    const [widest] = look.folds
      .filter((c) => widths[c] > least[c])
      .sort((a, b) => widths[b] - widths[a]);
    if (widest === undefined) break;
    widths[widest]--;
  }
  return rows.flatMap((row) => {
    const cells = row.map((cell, c) => wrap(cell, widths[c]));
    const height = Math.max(...cells.map(({ length }) => length));
    return Array.from({ length: height }, (_, n) =>
      cells
        .map((lines, c) => {
          const text = lines[n] ?? '';
          return look.right.includes(c) ? text.padStart(widths[c]) : text.padEnd(widths[c]);
        })
        .join(' '.repeat(GAP))
        .trimEnd(),
    );
  });
}
