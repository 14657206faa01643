/** A scenario that does not fit what it is set up with. */

/** What a thread throws where not the kernel but the set-up is at fault: no finding. */
export class SetupError extends Error {
  override readonly name = 'SetupError';
  constructor(
    message: string,
    /** What to do. */
    readonly advice: string,
  ) {
    super(message);
  }
}

/** Told by its name: a scenario's file may throw that of another copy of this module. */
export function isSetupError(error: unknown): error is SetupError {
  return error instanceof Error && error.name === 'SetupError';
}
