/** A generator at work: one thread on its way through its replies. */

import { stable } from '../../machines/intern.js';
import type { Step, Thread, ThreadBody } from '../../machines/step.js';

export class ThreadRun {
  /** What it does next; undefined: it is over. */
  step: Step | undefined;
  /** The head of a loop that it stands at, by its state as text. */
  loop: string | undefined;
  /** Threads that it has spawned. */
  spawned = 0;
  /** What it threw. */
  failure: { readonly error: unknown } | undefined;
  readonly generator: Thread | undefined;

  constructor(body: ThreadBody, name: string) {
    try {
      const generator = body(name);
      this.generator = generator;
      this.take(generator, () => generator.next());
    } catch (error) {
      this.failure = { error };
    }
  }

  goOn(reply: unknown): void {
    if (this.step?.type === 'spawn') this.spawned++;
    const { generator } = this;
    try {
      this.take(generator!, () => generator!.next(reply));
    } catch (error) {
      this.failure = { error };
    }
  }

  private take(generator: Thread, next: () => IteratorResult<Step, unknown>): void {
    this.step = undefined;
    this.loop = undefined;
    let result = next();
    while (result.done !== true && (result.value.type === 'loop' || result.value.type === 'note')) {
      if (result.value.type === 'loop') this.loop = stable(result.value.state) ?? 'undefined';
      result = generator.next();
    }
    if (result.done !== true) this.step = result.value;
  }
}
