/**
 * A scheduler that is told who goes on: nothing that waits at a point of it goes on by itself. One
 * run of asynchronous code is then one schedule, which the same choices make again.
 */

import { Subscription } from 'rxjs';
import type { SchedulerAction, SchedulerLike } from 'rxjs';

/** Where somebody waits until it is chosen. */
interface Point {
  readonly thread: string;
  readonly what: string;
  readonly go: () => void;
  /** Of a hop of the scheduler: when, on its clock. Those of one thread keep their order. */
  readonly due?: number;
}

/** What went on, in its order. */
export interface Chosen {
  readonly thread: string;
  readonly what: string;
}

/** Chooses one of several who wait; undefined ends the run. */
export type Choose = (waiting: readonly Chosen[]) => number | undefined;

export class ControlledSchedule {
  /** What went on. */
  readonly steps: Chosen[] = [];
  /** Who goes on at present. */
  current = '';
  private points: Point[] = [];
  private time = 0;

  /** Waits until it is chosen; of the thread that goes on where none is named. */
  hold(what: string, thread = this.current): Promise<number> {
    return new Promise((resolve) => this.wait({ thread, what, go: () => resolve(0) }));
  }

  /** Says what a thread does, for the table: no choice. */
  tell(what: string): void {
    this.steps.push({ thread: this.current, what });
  }

  /**
   * For rxjs: each hop of it is a point. Time goes on by one with each; what one thread has
   * scheduled comes in the order of its delays, as with any scheduler.
   */
  readonly scheduler: SchedulerLike = {
    now: () => this.time,
    schedule: (work, delay, state) =>
      new ControlledAction(this, work as never).schedule(state, delay),
  };

  /** @internal */
  wait(point: Point): void {
    this.points.push(point);
  }

  /** @internal */
  forget(point: Point): void {
    this.points = this.points.filter((each) => each !== point);
  }

  /**
   * Lets those who wait go on, one at a time, until nobody does.
   *
   * @returns whether it came to its end; false: `choose` ended it
   */
  async run(choose: Choose): Promise<boolean> {
    for (;;) {
      await quiet();
      if (this.points.length === 0) return true;
      const ready = this.points.filter((point) => !this.hasEarlier(point));
      const next = choose(ready);
      if (next === undefined) return false;
      const point = ready[next];
      this.forget(point);
      this.current = point.thread;
      this.time++;
      this.steps.push({ thread: point.thread, what: point.what });
      point.go();
    }
  }

  /** Whether its thread has scheduled something that comes before it. */
  private hasEarlier(point: Point): boolean {
    const { due, thread } = point;
    if (due === undefined) return false;
    const at = this.points.indexOf(point);
    return this.points.some(
      (other, i) =>
        other.due !== undefined &&
        other.thread === thread &&
        (other.due < due || (other.due === due && i < at)),
    );
  }
}

/** When all that goes on by itself is over: promises, and what they lead to. */
function quiet(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** A piece of work of rxjs, which may schedule itself again. */
class ControlledAction<T> extends Subscription implements SchedulerAction<T> {
  constructor(
    private readonly schedules: ControlledSchedule,
    private readonly work: (this: SchedulerAction<T>, state?: T) => void,
  ) {
    super();
  }

  schedule(state?: T, delay = 0): Subscription {
    const point: Point = {
      due: this.schedules.scheduler.now() + delay,
      thread: this.schedules.current,
      what: 'hop of a scheduler',
      go: () => {
        if (!this.closed) this.work.call(this, state);
      },
    };
    this.schedules.wait(point);
    this.add(() => this.schedules.forget(point));
    return this;
  }
}
