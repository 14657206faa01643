/**
 * One operation of the driver core at work: a generator of machines/kernel, run step by step. It is
 * over at once when nothing has to be waited for, and can be awaited in any case.
 */

import { from } from 'rxjs';
import type { ObservableInput } from 'rxjs';
import type { Operation } from '../../machines/kernel/driver-core.js';
import type { NotifierReturn } from './notifier-block.js';
import type { ReadSections } from './read-sections.js';
import type { RwSem } from './rwsem.js';
import { frames, inside, refuseCycle, waitIn } from './wait-graph.js';
import type { Frame, Queuer, Wait, Waiter } from './wait-graph.js';
import { WriteResult } from './write-result.js';

/** What an operation asks of its run. */
export type Request =
  | { readonly lock: RwSem }
  | { readonly unlock: RwSem }
  /** Begins and ends a section, and waits for those that are open. */
  | { readonly enter: ReadSections }
  | { readonly leave: ReadSections }
  | { readonly synchronize: ReadSections }
  | { readonly call: () => NotifierReturn }
  | { readonly pause: PausePoint };

/**
 * Where others may overtake an operation: before it takes a device's lock, after it released one,
 * before and after it calls the chain.
 */
export type PausePoint = 'lock' | 'unlock' | 'notify' | 'notified';

/** What holds operations at such points: nothing returned, and the operation goes on at once. */
export type Pause = (operation: number, at: PausePoint) => NotifierReturn | undefined;

export class OperationRun implements Frame, Queuer {
  readonly outer: Frame | undefined = inside.getStore();
  running = true;
  readonly awaited = new Set<Waiter>();
  /** What the operation returns, when it does. */
  readonly result: WriteResult;
  private readonly held: RwSem[] = [];
  private readonly sections: ReadSections[] = [];
  private wanted: RwSem | undefined;
  private grace: ReadSections | undefined;
  private leaveQueue: (() => void) | undefined;

  /**
   * @param who for people: `device_del("0000:01:00.0") on "pci"`
   * @param number which operation of the bus, from 0: for `pause`
   */
  constructor(
    readonly who: string,
    private readonly operation: Operation<number, Request>,
    private readonly number: number,
    private readonly pause: Pause | undefined,
  ) {
    const waits = () => [{ what: who, on: this }];
    this.result = new WriteResult(who, waits, () => undefined);
    this.advance(undefined);
  }

  get holds(): string | undefined {
    const names = [
      ...this.held.map((lock) => lock.writing.holds),
      ...this.sections.map((section) => section.holds),
    ];
    return names.length === 0 ? undefined : names.join(' and ');
  }

  waitsFor(): readonly Wait[] {
    const queued = this.wanted ?? this.grace;
    if (queued !== undefined) return queued.waitsFor(this);
    return [...this.awaited].map((on) => ({ what: on.who, on }));
  }

  granted(): void {
    this.leaveQueue?.();
    this.held.push(this.wanted!);
    this.wanted = undefined;
    inside.run(this.outer, () => this.advance(undefined));
  }

  private advance(value: unknown): void {
    try {
      let { done, value: request } = this.operation.next(value);
      while (done !== true) {
        const answer = this.serve(request as Request);
        if (answer === 'later') return;
        ({ done, value: request } = this.operation.next(answer));
      }
      this.running = false;
      this.result.settle(request as number);
    } catch (error) {
      this.fail(error);
    }
  }

  /** The answer, or 'later': `advance` brings it. */
  private serve(request: Request): number | undefined | 'later' {
    if ('lock' in request) return this.take(request.lock);
    if ('unlock' in request) {
      this.held.splice(this.held.indexOf(request.unlock), 1);
      request.unlock.upWrite();
      return undefined;
    }
    if ('enter' in request) {
      request.enter.enter(this);
      this.sections.push(request.enter);
      return undefined;
    }
    if ('leave' in request) {
      this.sections.splice(this.sections.indexOf(request.leave), 1);
      request.leave.leave(this);
      return undefined;
    }
    if ('synchronize' in request) return this.synchronize(request.synchronize);
    const value =
      'pause' in request
        ? (this.pause?.(this.number, request.pause) ?? 0)
        : inside.run(this, request.call);
    return typeof value === 'number' ? value : this.await(value);
  }

  private take(lock: RwSem): undefined | 'later' {
    if (lock.downWrite(this)) {
      this.held.push(lock);
      return undefined;
    }
    this.wanted = lock;
    try {
      this.queue();
    } catch (error) {
      this.wanted = undefined;
      lock.cancel(this);
      throw error;
    }
    return 'later';
  }

  private synchronize(sections: ReadSections): undefined | 'later' {
    const over = () => {
      this.grace = undefined;
      this.leaveQueue?.();
      inside.run(this.outer, () => this.advance(undefined));
    };
    if (sections.synchronize(this, over)) return undefined;
    this.grace = sections;
    try {
      this.queue();
    } catch (error) {
      this.grace = undefined;
      sections.cancel(this);
      throw error;
    }
    return 'later';
  }

  /** The callbacks around it wait with it. Throws where that closes a cycle. */
  private queue(): void {
    const around = frames(this.outer);
    this.leaveQueue = waitIn(around, this);
    if (around.length === 0) refuseCycle([this], this);
  }

  private await(value: Promise<number> | ObservableInput<number>): number | 'later' {
    let atOnce = true;
    let last = 0;
    let over = false;
    let failure: { readonly error: unknown } | undefined;
    const settle = () => {
      over = true;
      if (atOnce) return;
      if (failure !== undefined) this.fail(failure.error);
      else this.advance(last);
    };
    inside.run(this, () =>
      from(value).subscribe({
        next: (ret) => {
          last = ret;
        },
        error: (error: unknown) => {
          failure = { error };
          inside.run(this.outer, settle);
        },
        complete: () => inside.run(this.outer, settle),
      }),
    );
    atOnce = false;
    if (!over) return 'later';
    const failed = failure as { readonly error: unknown } | undefined;
    if (failed !== undefined) throw failed.error;
    return last;
  }

  private fail(error: unknown): void {
    this.running = false;
    for (const lock of this.held.splice(0)) lock.upWrite();
    for (const section of this.sections.splice(0)) section.leave(this);
    this.result.fail(error);
  }
}
