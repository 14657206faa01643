/** The frames of the depth-first search, as columns. */

import { doubled } from './doubled.js';

export class Frames {
  depth = 0;
  state: Int32Array = new Int32Array(256);
  /** Threads that are to be run from here. */
  todo: Int32Array = new Int32Array(256);
  /** Threads asleep, with those that were run already. */
  asleep: Int32Array = new Int32Array(256);
  /** The thread that is being run, -1 for none, and its outcome. */
  thread: Int32Array = new Int32Array(256);
  outcome: Int32Array = new Int32Array(256);
  steps: Int32Array = new Int32Array(256);

  /** All columns, as far as they are filled. */
  save(): Int32Array[] {
    const { state, todo, asleep, thread, outcome, steps, depth } = this;
    return [state, todo, asleep, thread, outcome, steps].map((c) => c.subarray(0, depth));
  }

  restore(saved: readonly Int32Array[]): void {
    this.depth = saved[0].length;
    while (this.state.length < this.depth) this.grow();
    const { state, todo, asleep, thread, outcome, steps } = this;
    [state, todo, asleep, thread, outcome, steps].forEach((c, i) => c.set(saved[i]));
  }

  push(state: number, todo: number, asleep: number, steps: number): void {
    const at = this.depth++;
    if (at === this.state.length) this.grow();
    this.state[at] = state;
    this.todo[at] = todo;
    this.asleep[at] = asleep;
    this.thread[at] = -1;
    this.outcome[at] = 0;
    this.steps[at] = steps;
  }

  private grow(): void {
    this.state = doubled(this.state);
    this.todo = doubled(this.todo);
    this.asleep = doubled(this.asleep);
    this.thread = doubled(this.thread);
    this.outcome = doubled(this.outcome);
    this.steps = doubled(this.steps);
  }
}
