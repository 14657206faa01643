/** Where a test stands: the file that calls, and the command that runs the test again. */

import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FailuresOptions } from './failures.js';
import { FAILURES_FOLDER } from './failures.js';

export interface TestPlace {
  readonly file: string;
  /** The test's whole name; undefined where only the file is known. */
  readonly test: string | undefined;
}

const OWN = dirname(fileURLToPath(import.meta.url));

/** The file that called into this folder, undefined where the stack does not tell. */
export function callingFile(): string | undefined {
  for (const line of (new Error().stack ?? '').split('\n').slice(1)) {
    const told = /(?:\(|at (?:async )?)((?:file:\/\/)?\/?[^()]+?):\d+:\d+\)?$/.exec(line)?.[1];
    if (told === undefined || told.startsWith('node:')) continue;
    const file = told.startsWith('file://') ? fileURLToPath(told) : told;
    if (!file.startsWith(OWN)) return file;
  }
  return undefined;
}

/** One line for a shell that runs the test again, with the same random numbers. */
export function commandFor({ file, test }: TestPlace, seed: number): string {
  const path = relative(process.cwd(), file) || file;
  // vitest takes the name as a regular expression, with blanks between suites.
  const name = test?.replaceAll(' > ', ' ').replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const only = name === undefined ? '' : ` -t ${quoted(name)}`;
  return `HOTRACE_SEED=${seed} npx vitest run ${quoted(path)}${only}`;
}

/** The folder next to a test, for its failing cases. */
export function failuresNextTo(place: TestPlace, seed: number): FailuresOptions {
  return {
    folder: join(dirname(place.file), FAILURES_FOLDER),
    test: place.test,
    command: commandFor(place, seed),
  };
}

/** As one word of a shell. */
function quoted(text: string): string {
  return /^[\w./@:-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
