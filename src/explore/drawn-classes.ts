/** What is known of the classes of interleavings when schedules were drawn, and what it is worth. */

import { ClassCounts, classCounts } from './class-counts.js';
import type { ClassCountLimits, Uncounted } from './class-counts.js';
import { ClassCoverage, expectedShare } from './class-coverage.js';
import { aboutText, percent } from './class-words.js';
import { estimateClasses } from './class-estimate.js';
import type { ClassEstimate } from './class-estimate.js';
import type { Program } from './program.js';
import { POPULATION } from './samplers/uniform.js';
import type { Move } from './schedule.js';

/** Which of the classes of a program a set of schedules was in. */
export interface Coverage {
  /** Different classes that were drawn; undefined where it was not asked for. */
  readonly drawn: number | undefined;
  /** How many there are; exact up to 2^53 - 1, undefined where they are too many to be counted. */
  readonly classes: number | undefined;
  /** Of those that were not counted; undefined where some interleaving never ends. */
  readonly estimate: ClassEstimate | undefined;
  /** Some thread makes more steps than are looked at: what follows them is no part of it. */
  readonly truncated: boolean;
}

export interface DrawnClassesOptions {
  /** The schedules are drawn by the counts. */
  readonly uniform: boolean;
  /** The classes that are drawn are to be told in any case. */
  readonly asked: boolean;
  readonly limits: ClassCountLimits;
}

/** For the number that stands beside a coverage. */
const POPULATIONS = 8;

export class DrawnClasses {
  /** Hears every complete schedule that was drawn. */
  readonly onEnd: ((moves: readonly Move[]) => void) | undefined;
  private readonly met: ClassCoverage | undefined;
  private counted: ClassCounts | Uncounted | undefined;

  /** Counts, where schedules are drawn by it. */
  constructor(
    private readonly program: Program,
    private readonly options: DrawnClassesOptions,
  ) {
    if (options.uniform) this.counted = classCounts(program, options.limits);
    const { counts } = this;
    if (counts === undefined && !options.asked) return;
    const met = (this.met = new ClassCoverage(program));
    this.onEnd = counts === undefined ? (moves) => met.add(moves) : (moves) => met.addFirst(moves);
  }

  get counts(): ClassCounts | undefined {
    return this.counted instanceof ClassCounts ? this.counted : undefined;
  }

  /**
   * Not before the runs: some strategies draw by what the program has shown of itself. Undefined where
   * nobody asked.
   *
   * @param seed of the estimate
   */
  coverage(seed: number): Coverage | undefined {
    const { program, options, met } = this;
    if (!options.uniform && !options.asked) return undefined;
    const drawn = met?.drawn;
    const counted = (this.counted ??= classCounts(program, options.limits));
    if (counted instanceof ClassCounts) {
      const { total, truncated } = counted;
      return { drawn, classes: Number(total), estimate: undefined, truncated };
    }
    if (counted === 'endless') {
      return { drawn, classes: undefined, estimate: undefined, truncated: false };
    }
    const estimate = estimateClasses(program, { seed, populations: POPULATIONS });
    return { drawn, classes: undefined, estimate, truncated: estimate.truncated };
  }
}

/** `31 % of 12,400 classes`, `3,861 of about 2.1e+20 ± 3e+19 classes` */
export function coverageText(coverage: Coverage): string {
  const { drawn, classes, truncated } = coverage;
  const all = `${classesText(coverage)}${truncated ? ', up to the bound on steps' : ''}`;
  if (drawn === undefined) return all;
  return classes === undefined
    ? `${drawn.toLocaleString('en')} of ${all}`
    : `${percent(drawn / classes)} of ${all}`;
}

function classesText({ classes, estimate }: Coverage): string {
  if (classes !== undefined) return `${classes.toLocaleString('en')} classes`;
  return estimate === undefined
    ? 'classes without end'
    : `${aboutText(estimate.mean, estimate.plusMinus)} classes`;
}

/** What `runs` draws of the strategy `uniform` guarantee. */
export function uniformGuarantee(coverage: Coverage, runs: number): string {
  const { drawn = 0, classes } = coverage;
  if (classes === undefined) {
    return (
      `no guarantee: there are ${classesText(coverage)} of interleavings, which were not counted; ` +
      `schedules were grown ${POPULATION} at a time, which draws classes only nearly uniformly`
    );
  }
  return (
    `each of ${classes.toLocaleString('en')} classes of interleavings is drawn with the same probability: ` +
    `${percent(expectedShare(classes, runs))} of them are expected in ${runs.toLocaleString('en')} schedules, and ` +
    `${percent(drawn / classes)} were drawn`
  );
}
