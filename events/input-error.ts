/** An input that cannot be used: what, where and why, in one sentence without a stack. */
export class InputError extends Error {
  override readonly name = 'InputError';

  /**
   * @param file the path as the user gave it, `-` for standard input
   * @param where `line 12`, `byte 4096`, or undefined for the file as a whole
   * @param why what is wrong and, where it helps, what to do
   */
  constructor(
    readonly file: string,
    readonly where: string | undefined,
    readonly why: string,
  ) {
    super(where === undefined ? `${file}: ${why}` : `${file}: ${where}: ${why}`);
  }
}
