/** One place in a wait cycle; it waits for something that the next place has, the last for the first. */
export interface WaitStep {
  /** `callback "vfio" in call(6) on "pci"` or `unregister("vfio") on "pci"` */
  readonly who: string;
  /** The lock that it has, undefined for none. */
  readonly holds: string | undefined;
  /** What it cannot go on without. */
  readonly waitsFor: string;
}

/** What would have hung the kernel: INV-16. Nothing was left waiting for it. */
export class DeadlockError extends Error {
  override readonly name = 'DeadlockError';

  constructor(readonly cycle: readonly WaitStep[]) {
    super(`deadlock:\n${cycleText(cycle)}`);
  }
}

/** The cycle in words, a line for each place in it. */
function cycleText(cycle: readonly WaitStep[]): string {
  return cycle
    .map(({ who, holds, waitsFor }) => {
      const has = holds === undefined ? '' : ` holds ${holds} and`;
      return `  ${who}${has} waits for ${waitsFor}`;
    })
    .concat(`  held by ${cycle[0].who}`)
    .join('\n');
}
