/** Exit codes of every command. Source: design section 7. */
export const EXIT = { clean: 0, violated: 1, usage: 2, inconclusive: 3 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];
