import { frames, waitIn } from './wait-graph.js';
import type { Frame, Queuer, Wait } from './wait-graph.js';

/**
 * What register or unregister returns, when the kernel's function returns.
 *
 * `ret` is there at once when nothing had to be waited for; awaiting gives it in any case. Awaiting
 * inside a callback that it waits for rejects with a DeadlockError. `then` is read at the `await`,
 * so that is where the callback is known: pass the WriteResult itself on, not its `then`.
 */
export class WriteResult implements PromiseLike<number>, Queuer {
  readonly holds = undefined;
  private value: number | undefined;
  private warn: string | undefined;
  private failure: { readonly error: unknown } | undefined;
  private waiting: (() => void)[] = [];

  /**
   * @param who for people: `unregister("vfio") on "pci"`
   * @param waits whom it waits for at present
   * @param granted called when it has the lock that it queued for
   */
  constructor(
    readonly who: string,
    private readonly waits: (waiter: WriteResult) => readonly Wait[],
    readonly granted: () => void,
  ) {}

  /** The kernel's return value, 0 or a negative errno; undefined while it waits. */
  get ret(): number | undefined {
    return this.value;
  }

  /** The WARN that the kernel would have printed. */
  get warning(): string | undefined {
    return this.warn;
  }

  waitsFor(): readonly Wait[] {
    return this.waits(this);
  }

  settle(ret: number, warn?: string): void {
    this.value = ret;
    this.warn = warn;
    this.wakeAll();
  }

  fail(error: unknown): void {
    this.failure = { error };
    this.wakeAll();
  }

  get then(): PromiseLike<number>['then'] {
    const waiting = frames();
    return (onFulfilled, onRejected) => this.promise(waiting).then(onFulfilled, onRejected);
  }

  private wakeAll(): void {
    const woken = this.waiting;
    this.waiting = [];
    for (const wake of woken) wake();
  }

  private get settled(): boolean {
    return this.value !== undefined || this.failure !== undefined;
  }

  private async promise(waiting: readonly Frame[]): Promise<number> {
    if (!this.settled) {
      const goOn = waitIn(
        waiting.filter((frame) => frame.running),
        this,
      );
      await new Promise<void>((resolve) => this.waiting.push(resolve));
      goOn();
    }
    if (this.failure !== undefined) throw this.failure.error;
    return this.value!;
  }
}
