/**
 * The question of 2016, answered by search: in which order must an MSI aperture be stored and
 * loaded so that a reader gets a valid one or an invalid one, and never a wrong one? The table of
 * kernel-semantics.md A2.3, and what it leaves out: words in halves, locks, two writers.
 */

import type { IovaRange } from '../../machines/iova-domain.js';
import type { WordOrder } from '../../machines/kernel/msi-aperture.js';
import { APERTURE, apertureRead, TWO, twoSetters } from '../../machines/races/msi-geometry.js';
import type { GeometrySetup, TwoSetters } from '../../machines/races/msi-geometry.js';
import { published } from '../../machines/races/msi-domain.js';
import type { Unset } from '../../machines/races/msi-domain.js';
import { explore } from '../explore/explore.js';
import { grid } from '../report/grid.js';
import { wrap } from '../report/format.js';
import { reached } from './reached.js';
import type { Question } from './reached.js';

/** How the two are kept apart, and how the words lie in memory. */
export type ApertureColumn =
  | 'words'
  | 'halves'
  /** In halves, and the aperture crosses 4 GiB. */
  | 'across'
  | 'seqcount'
  | 'mutex'
  /** An aperture that begins at 0: start does not change. */
  | 'from 0';

/** One kind of writer with one kind of reader. */
export interface ApertureRow {
  readonly unset: Unset;
  readonly stores: WordOrder;
  readonly loads: GeometrySetup['loads'];
  /** Whether the reader can get a pair that is valid and never was set; null: is no case. */
  readonly wrong: Readonly<Record<ApertureColumn, boolean | null>>;
  /** The wrong pair of the first column, where there is one, as a sentence. */
  readonly says: string | undefined;
  readonly states: number;
}

const ABOVE: IovaRange = { start: '0x108000000', end: '0x1080fffff' };
const ACROSS: IovaRange = { start: '0xfff00000', end: '0x1000fffff' };
const FROM_0: IovaRange = { start: '0x0', end: '0xfffff' };

const COLUMNS: Readonly<Record<ApertureColumn, Partial<GeometrySetup>>> = {
  words: { sets: APERTURE },
  halves: { sets: ABOVE, words: 'in halves' },
  across: { sets: ACROSS, words: 'in halves' },
  seqcount: { sets: APERTURE, kept: 'by a seqcount' },
  mutex: { sets: APERTURE, kept: 'by a mutex of the domain' },
  'from 0': { sets: FROM_0 },
};
const NAMES = Object.keys(COLUMNS) as ApertureColumn[];

/** Every row, each cell by a search of all interleavings. */
export function apertureTable(): readonly ApertureRow[] {
  const rows: ApertureRow[] = [];
  for (const unset of ['(0, 0)', '(MAX, 0)'] as const) {
    for (const stores of ['start, end', 'end, start'] as const) {
      for (const loads of ['start, end', 'end, start', 'either', 'at once'] as const) {
        rows.push(row({ unset, stores, loads }));
      }
    }
  }
  return rows;
}

function row(setup: GeometrySetup): ApertureRow {
  let states = 0;
  let says: string | undefined;
  const cell = (column: ApertureColumn): boolean | null => {
    // Who reads at once needs nothing that keeps them apart.
    if (setup.loads === 'at once' && (column === 'seqcount' || column === 'mutex')) return null;
    const found = explore(apertureRead({ ...setup, ...COLUMNS[column] }));
    if (found.verdict === 'incomplete') throw new Error(`the search of ${column} was cut`);
    states += found.stats.states;
    if (column === 'words') says = found.counterexamples[0]?.says;
    return found.verdict === 'violated';
  };
  const wrong = Object.fromEntries(NAMES.map((name) => [name, cell(name)]));
  return { ...setup, wrong: wrong as ApertureRow['wrong'], says, states };
}

/** What two concurrent iommu_msi_set_aperture(A), (B) can leave in the geometry. */
export interface SettersRow extends TwoSetters {
  /** `(A, A)`, `(A, B)`: whose start with whose end, of those that can come. */
  readonly published: readonly string[];
  /** Whether both callers may be told 0. */
  readonly bothSucceed: boolean;
  readonly states: number;
}

/** Two writers, serialised (contract C3) or not. */
export function settersTable(): readonly SettersRow[] {
  return [false, true].flatMap((serialised) =>
    (['start, end', 'end, start'] as const).map((stores): SettersRow => {
      const pairs = (['A', 'B'] as const).flatMap((start) =>
        (['A', 'B'] as const).map((end) => ({ name: `(${start}, ${end})`, start, end })),
      );
      const ends = pairs.map(({ name, start, end }): Question => ({
        id: name,
        entities: ['D'],
        is: ({ D }) => {
          const [s, e] = published(D, 'whole');
          return s === TWO[start].start && e === TWO[end].end;
        },
      }));
      const left = reached(twoSetters({ stores, serialised }), ends);
      const judged = explore(twoSetters({ stores, serialised }));
      return {
        stores,
        serialised,
        published: left.ids,
        bothSucceed: judged.counterexamples.some(({ rule }) => rule === 'INV-10'),
        states: left.states + judged.stats.states,
      };
    }),
  );
}

const WIDTH = 80;

/** Both tables, in 80 columns. */
export function apertureTableText(
  rows: readonly ApertureRow[],
  setters: readonly SettersRow[],
): string {
  const shown = (wrong: boolean | null) => (wrong === null ? '-' : wrong ? 'WRONG' : 'no');
  const first = grid(
    [
      ['not set', 'stores', 'loads', ...NAMES],
      ...rows.map(({ unset, stores, loads, wrong }) => [
        unset,
        stores,
        loads,
        ...NAMES.map((name) => shown(wrong[name])),
      ]),
    ],
    { width: WIDTH, folds: [], right: [] },
  );
  const second = grid(
    [
      ['callers', 'stores', 'left in the geometry: start and end of', 'both told 0'],
      ...setters.map(({ serialised, stores, published: left, bothSucceed }) => [
        serialised ? 'serialised' : 'at once',
        stores,
        left.join(' '),
        bothSucceed ? 'YES' : 'no',
      ]),
    ],
    { width: WIDTH, folds: [], right: [] },
  );
  const states = [...rows, ...setters].reduce((sum, each) => sum + each.states, 0);
  const out = [
    'Can a reader get an aperture that is valid and never was set?',
    '',
    ...first,
    '',
    ...wrap(
      'words: each word in one access. halves: a 32-bit CPU, both in one 4 GiB. across: the ' +
        'aperture crosses 4 GiB. from 0: the aperture begins at 0. either: no barrier, a struct copy.',
      WIDTH,
    ),
    '',
    'Two callers of iommu_msi_set_aperture, A and B:',
    '',
    ...second,
    '',
    `${states.toLocaleString('en-US')} states, every interleaving covered`,
  ];
  return `${out.join('\n')}\n`;
}
