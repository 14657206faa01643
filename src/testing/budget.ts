/** How much a test may search, and where its random numbers come from. */

/** What a test may spend on one scenario on one generation. */
export interface Budget {
  /** States of the search of every interleaving; 50,000 where left out. */
  readonly states?: number;
  /** ms of that search, and of the schedules drawn beyond it; unlimited where left out. */
  readonly time?: number;
  /** Schedules drawn by each strategy where not every interleaving was covered; 1,000. */
  readonly runs?: number;
  /** The depth of bugs that pct draws for; 3. */
  readonly bugDepth?: number;
}

export const DEFAULT_BUDGET = { states: 50_000, runs: 1000, bugDepth: 3 } as const;

/**
 * The seed of a test: what is asked for, else HOTRACE_SEED (`random` draws one), else 0.
 *
 * @throws RangeError for a HOTRACE_SEED that is neither
 */
export function seedFrom(asked: number | undefined): number {
  if (asked !== undefined) return asked;
  const told = process.env['HOTRACE_SEED'];
  if (told === undefined || told === '') return 0;
  if (told === 'random') return Math.floor(Math.random() * 0x7fffffff);
  if (!/^-?\d{1,10}$/.test(told)) {
    throw new RangeError(`HOTRACE_SEED=${told}: give a whole number, or random`);
  }
  return Number(told);
}
