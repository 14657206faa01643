/**
 * The calls that each task is in, from the probes on entries and returns.
 *
 * Only functions whose return probe fires in this input are tracked. A return whose call is not on
 * top tells that the calls above it never returned; a return without a call that something was
 * missed. Rule B.2.
 */

import type { Context } from './context.js';
import type { CheckCounter } from './verdicts.js';
import type { Frame, FunctionInfo, Task } from './world.js';

export class CallTracker {
  /** Called for each call that ends, by its return or because its caller returned. */
  onEnd: (task: Task, frame: Frame, ret: number) => void = () => {};

  private readonly counter: CheckCounter;

  constructor(private readonly ctx: Context) {
    this.counter = ctx.verdicts.counter('B.2');
  }

  /** Whether calls of `fn` by `task` can be followed: the return is probed and the task is known. */
  tracked(task: Task, fn: FunctionInfo): boolean {
    return fn.hasReturn && task.pid >= 0;
  }

  push(task: Task, fn: FunctionInfo): Frame {
    const frame = task.push();
    frame.fn = fn;
    frame.place.set(this.ctx.batch, this.ctx.i);
    return frame;
  }

  /** Takes the call of `fn` that returns now off the stack; undefined when there is none. */
  pop(task: Task, fn: FunctionInfo): Frame | undefined {
    const { ctx } = this;
    fn.returns++;
    if (task.pid < 0) return undefined;
    this.counter.checks++;
    let depth = task.depth;
    while (depth > 0 && task.frames[depth - 1].fn !== fn) depth--;
    if (depth === 0) {
      if (!fn.hasReturn) {
        fn.hasReturn = true;
      } else if (task.atRoot || task.depth > 0) {
        // With an inner call open an outer one cannot return, whenever that began.
        ctx.violate('B.2', `${fn.name} returned in ${task.name}, which had not entered it`);
      } else {
        ctx.verdicts.doubt(
          'B.2',
          'starts in the middle',
          `${fn.name} returned in ${task.name}, which may have entered it before the trace began`,
        );
      }
      return undefined;
    }
    while (task.depth > depth) this.abandon(task, `${fn.name} returned before it`);
    return task.frames[--task.depth];
  }

  /** A function at which nothing of the task can be open, or user mode: open calls never returned. */
  root(task: Task, where: string): void {
    while (task.depth > 0) this.abandon(task, where);
    task.atRoot = true;
  }

  private abandon(task: Task, because: string): void {
    const frame = task.frames[--task.depth];
    this.ctx.violate(
      'B.2',
      `${frame.fn.name} was entered in ${task.name} and did not return: ${because}`,
      { dev: frame.dev, related: [frame.place] },
    );
    this.onEnd(task, frame, NaN);
  }

  /** Something is missing: no stack can be relied on. */
  forget(): void {
    for (const task of this.ctx.world.tasks.values()) {
      while (task.depth > 0) {
        const frame = task.frames[--task.depth];
        if (frame.group !== undefined) frame.group.inFlight = 0;
        if (frame.dev !== undefined) frame.dev.probing = 0;
      }
      task.atRoot = false;
      task.notifying = undefined;
      task.attaching = undefined;
      task.settling = undefined;
      task.unregistering = undefined;
    }
  }
}
