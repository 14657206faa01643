import type { Program } from '../program.js';
import type { RandomNumbers } from '../random-numbers.js';

/** Chooses who makes the next step of a run. */
export interface Sampler {
  /** A new run begins. `longest`: steps of the longest run so far, or a first guess. */
  begin(threads: number, longest: number): void;
  /** One of `enabled`, which is not empty. `step`: how many steps were made before. */
  pick(row: Int32Array, enabled: readonly number[], step: number): number;
  /**
   * The outcome, of so many, of the choice that the thread that was picked makes. Where left out,
   * each alike.
   */
  outcome?(outcomes: number, step: number): number;
  /** Thread `t` is about to make its step in `row`. */
  steps(row: Int32Array, t: number): void;
}

export type MakeSampler = (program: Program, random: RandomNumbers) => Sampler;
