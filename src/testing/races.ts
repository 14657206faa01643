/** `await races(scenario).toBeClean()`: a test in one call, for any test runner. */

import { seedFrom } from './budget.js';
import { check } from './check.js';
import type { Checked, CheckOptions } from './check.js';
import { checkText } from './check-text.js';
import type { Testable } from './generations.js';
import { smallestFailure } from './smallest-failure.js';
import { callingFile, commandFor, failuresNextTo } from './test-place.js';

/** A test that came to something else; `message` has the interleaving table. */
export class RaceError extends Error {
  override readonly name = 'RaceError';
  constructor(
    message: string,
    readonly checked: Checked,
  ) {
    super(message);
  }
}

/** What can be asked of the races of a scenario. */
export interface Races {
  /**
   * Every interleaving on every generation that can run it was covered, and no rule is broken.
   *
   * @throws RaceError, as a rejection: a rule is broken, or not every interleaving was covered
   */
  toBeClean(): Promise<Checked>;
  /**
   * Some interleaving on some generation breaks the rule.
   *
   * @throws RaceError, as a rejection: none was found
   */
  toViolate(rule: string): Promise<Checked>;
}

/**
 * The races of a scenario. In vitest failing cases are kept in `.hotrace-failures` next to the file
 * that calls, where options do not say otherwise.
 */
export function races(subject: Testable, options: CheckOptions = {}): Races {
  const seed = seedFrom(options.seed);
  const file = callingFile();
  const place =
    file === undefined || process.env['VITEST'] === undefined
      ? undefined
      : { file, test: undefined };
  const command = place === undefined ? undefined : commandFor(place, seed);
  const told = { ...options, seed };
  return {
    toBeClean: () =>
      settled(() => {
        const kept = place === undefined ? {} : { failures: failuresNextTo(place, seed) };
        const checked = check(subject, { ...kept, ...told });
        if (checked.verdict === 'clean') return checked;
        throw new RaceError(failureText(subject, checked, told, command), checked);
      }),
    toViolate: (rule) =>
      settled(() => {
        const checked = check(subject, told);
        if (checked.rules.includes(rule)) return checked;
        const text = checkText(checked, { command });
        throw new RaceError(`${rule} is not broken\n\n${text}`, checked);
      }),
  };
}

/** The message of a test that fails: of a program, that of the smallest one that does. */
export function failureText(
  subject: Testable,
  checked: Checked,
  options: CheckOptions,
  command: string | undefined,
): string {
  const smallest = smallestFailure(subject, checked.rules[0], options);
  if (smallest === undefined) return checkText(checked, { command });
  const { program } = smallest;
  return checkText({ ...smallest.checked, saved: checked.saved }, { command, program });
}

/** What it returns or throws, as a promise. */
async function settled<T>(work: () => T): Promise<T> {
  await Promise.resolve();
  return work();
}
