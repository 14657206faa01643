/**
 * Matchers for vitest. Importing this file registers them; in `setupFiles` it does so for all tests.
 */

import { expect } from 'vitest';
import { seedFrom } from './budget.js';
import { check } from './check.js';
import type { CheckOptions } from './check.js';
import { checkText, summary } from './check-text.js';
import type { Testable } from './generations.js';
import type { OwnRule } from './own-rule.js';
import { failureText } from './races.js';
import { respects, respectText } from './respects.js';
import type { Log, RespectOptions } from './respects.js';
import { commandFor, failuresNextTo } from './test-place.js';

/** What a matcher is told by vitest of the test that runs. */
interface State {
  readonly isNot: boolean;
  readonly testPath?: string | undefined;
  readonly currentTestName?: string | undefined;
}

interface Result {
  readonly pass: boolean;
  readonly message: () => string;
}

/** The seed, the command that runs the test again, and where its failing cases are kept. */
function placeOf({ testPath, currentTestName }: State, options: CheckOptions) {
  const seed = seedFrom(options.seed);
  if (testPath === undefined) return { seed, command: undefined, failures: undefined };
  const place = { file: testPath, test: currentTestName };
  return { seed, command: commandFor(place, seed), failures: failuresNextTo(place, seed) };
}

/** Every interleaving on every generation was covered, and no rule is broken. */
function toBeRaceFree(this: State, subject: Testable, options: CheckOptions = {}): Result {
  const { seed, command, failures } = placeOf(this, options);
  // What is expected to fail is no failing case.
  const kept = this.isNot || failures === undefined ? {} : { failures };
  const told = { ...kept, ...options, seed };
  const checked = check(subject, told);
  // Neither is shown by what was not covered.
  if (checked.verdict === 'incomplete') {
    return { pass: this.isNot, message: () => checkText(checked, { command }) };
  }
  const pass = checked.verdict === 'clean';
  const message = () =>
    pass
      ? `no race was found: ${checkText(checked, { command })}`
      : failureText(subject, checked, told, command);
  return { pass, message };
}

/** Some interleaving on some generation breaks the rule. */
function toViolate(
  this: State,
  subject: Testable,
  rule: string,
  options: CheckOptions = {},
): Result {
  const { seed, command } = placeOf(this, options);
  const checked = check(subject, { ...options, seed });
  const pass = checked.rules.includes(rule);
  if (!pass && this.isNot && checked.on.some(({ verdict }) => verdict === 'incomplete')) {
    const text = () => `whether ${rule} is broken was not found out\n\n`;
    return { pass: true, message: () => text() + checkText(checked, { command }) };
  }
  const message = () =>
    pass
      ? checkText(checked, { command })
      : `${rule} is not broken: ${summary(checked)}\n\n${checkText(checked, { command })}`;
  return { pass, message };
}

/** The log puts the rule to the test, and it holds. */
async function toRespect(
  this: State,
  log: Log,
  rule: string | OwnRule,
  options: RespectOptions = {},
): Promise<Result> {
  const told = await respects(log, rule, options);
  // What cannot be told is neither.
  const pass = told.status === 'inconclusive' ? this.isNot : told.status === 'holds';
  return { pass, message: () => respectText(told) };
}

expect.extend({ toBeRaceFree, toViolate, toRespect });

/** The matchers, typed by what they can be asked of. */
export interface HotraceMatchers<T> {
  /**
   * Every interleaving on every generation that can run it was covered, and no rule is broken.
   * Failing cases are kept in `.hotrace-failures` next to the test.
   */
  toBeRaceFree: T extends Testable ? (options?: CheckOptions) => void : never;
  /** Some interleaving on some generation breaks the rule: `INV-01`, `deadlock`. */
  toViolate: T extends Testable ? (rule: string, options?: CheckOptions) => void : never;
  /** The log puts the rule to the test, and it holds: of hotrace by its id, or of one's own. */
  toRespect: T extends Log
    ? (rule: string | OwnRule, options?: RespectOptions) => Promise<void>
    : never;
}

declare module 'vitest' {
  // A declaration that merges must have the members in an interface.
  // eslint-disable-next-line @typescript-eslint/no-empty-object-type
  interface Matchers<T> extends HotraceMatchers<T> {}
}
