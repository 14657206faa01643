/** A scenario whose set-up is at fault: no kernel does what it came to, so it is no finding. */
export class SetUpError extends Error {
  override readonly name = 'SetUpError';
  constructor(
    readonly what: string,
    readonly advice: string,
  ) {
    super(`${what}; ${advice}`);
  }
}

/** Told by its name: a scenario's file may throw that of another copy of this module. */
export function isSetUpError(error: unknown): error is SetUpError {
  return error instanceof Error && error.name === 'SetUpError';
}
