/** What a generation of kernels does not have. */

/** The generation has no such function. */
export class UnsupportedByKernelError extends Error {
  override readonly name = 'UnsupportedByKernelError';
  constructor(
    /** The function's name in the kernel. */
    readonly symbol: string,
    /** The profile's name: v5.10. */
    readonly kernel: string,
  ) {
    super(`${kernel} has no ${symbol}`);
  }
}

/** Told by its name: a scenario's file may throw that of another copy of this module. */
export function isUnsupported(error: unknown): error is UnsupportedByKernelError {
  return error instanceof Error && error.name === 'UnsupportedByKernelError';
}
