/** A generator at work: one thread on its way through its replies. */

import { inspect } from 'node:util';
import type { EventFact } from '../../events/event.js';
import { stable } from '../../machines/intern.js';
import type { Step, Thread, ThreadBody } from '../../machines/step.js';
import { isSetUpError } from '../../machines/set-up-error.js';
import { isUnsupported } from '../../machines/unsupported-by-kernel.js';

const USE = 'yield what send(), choose(), spawn(), join() and loopHead() make, with yield*';
/** Heads of loops, all different, with no step between them. */
const MAX_HEADS = 10_000;
/** Characters of a value that is told. */
const LONGEST = 60;

/**
 * A thread that computes for ever between two steps is not noticed: nothing but a step gives way.
 */
export class ThreadRun {
  /** What it does next; undefined: it is over. */
  step: Step | undefined;
  /** The head of a loop that it stands at, by its state as text. */
  loop: string | undefined;
  /** Threads that it has spawned. */
  spawned = 0;
  /** What it threw. */
  failure: { readonly error: unknown } | undefined;
  /** Why it is no thread: of a generator that yields what is no step, or of no generator. */
  fault: { readonly what: string; readonly advice: string; readonly cause?: Error } | undefined;
  readonly generator: Thread | undefined;

  constructor(body: ThreadBody, name: string) {
    try {
      const generator: unknown = typeof body === 'function' ? body(name) : body;
      if (!isGenerator(generator)) {
        const what = `its body gives ${told(generator)}, which is no generator`;
        this.fault = { what, advice: 'write it as function* () { … }, not async' };
        return;
      }
      this.generator = generator;
      this.take(generator, () => generator.next());
    } catch (error) {
      this.fail(error);
    }
  }

  goOn(reply: unknown): void {
    if (this.step?.type === 'spawn') this.spawned++;
    const { generator } = this;
    try {
      this.take(generator!, () => generator!.next(reply));
    } catch (error) {
      this.fail(error);
    }
  }

  /** What the kernel or the set-up does not have cannot be explored; all else thrown is a finding. */
  private fail(error: unknown): void {
    if (isUnsupported(error)) {
      const { message: what } = error;
      this.fault = { what, advice: 'choose another kernel', cause: error };
    } else if (isSetUpError(error)) {
      this.fault = { what: error.what, advice: error.advice, cause: error };
    } else this.failure = { error };
  }

  private take(generator: Thread, next: () => IteratorResult<Step, unknown>): void {
    this.step = undefined;
    this.loop = undefined;
    let result = next();
    const traced: EventFact[] = [];
    const heads = new Set<string>();
    while (result.done !== true) {
      const yielded: unknown = result.value;
      if (!isStep(yielded)) {
        const star = isGenerator(yielded) ? ': a star is missing' : '';
        this.fault = { what: `it yields ${told(yielded)}, which is no step${star}`, advice: USE };
        return;
      }
      if (yielded.type === 'trace') traced.push(...yielded.facts);
      if (yielded.type !== 'loop' && yielded.type !== 'note' && yielded.type !== 'trace') {
        this.step = traced.length === 0 ? yielded : withFacts(yielded, traced);
        return;
      }
      if (yielded.type === 'loop') {
        this.loop = stable(yielded.state) ?? 'undefined';
        // It would do there what it did, which was no step.
        if (heads.has(this.loop) || heads.size === MAX_HEADS) {
          const what = 'it comes from the head of a loop to such a head again, without a step';
          this.fault = { what, advice: 'a loop that does nothing has no end: let it make a step' };
          return;
        }
        heads.add(this.loop);
      }
      result = generator.next();
    }
  }
}

/** What was traced before a step is shown with it; only an access of memory shows anything. */
function withFacts(step: Step, traced: readonly EventFact[]): Step {
  return step.type === 'send' ? { ...step, facts: [...traced, ...(step.facts ?? [])] } : step;
}

function isGenerator(value: unknown): value is Thread {
  return (
    value !== null &&
    typeof value === 'object' &&
    typeof (value as Partial<Thread>).next === 'function' &&
    Symbol.iterator in value
  );
}

const STEPS: ReadonlySet<unknown> = new Set<Step['type']>([
  'send',
  'choose',
  'spawn',
  'join',
  'loop',
  'note',
  'trace',
]);

function isStep(value: unknown): value is Step {
  return value !== null && typeof value === 'object' && STEPS.has((value as Step).type);
}

/** A value of any kind, in a line. */
function told(value: unknown): string {
  const text = inspect(value, { depth: 1, breakLength: Infinity });
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
}
