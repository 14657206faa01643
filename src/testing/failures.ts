/** Failing cases in files, to be tried first the next time. */

import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { Counterexample } from '../explore/counterexample.js';
import type { HotplugProgram } from './hotplug-program.js';
import { isProgram } from './hotplug-program.js';
import type { PlannedStep } from './recur.js';

export interface FailuresOptions {
  /** The folder; it is made where there is none. */
  readonly folder: string;
  /** Which test it is, where several have scenarios of one name. */
  readonly test?: string | undefined;
  /** The command that runs the test again, for who reads the file. */
  readonly command?: string | undefined;
}

/** The name of the folder where a test's failing cases are kept, next to it. */
export const FAILURES_FOLDER = '.hotrace-failures';

const VERSION = 1;

const Step = z.looseObject({
  thread: z.string(),
  entity: z.string().optional(),
  event: z.record(z.string(), z.unknown()).optional(),
  reply: z.unknown().optional(),
});
/** Its `counterexamples` are read by `hotrace explore --schedule` as well. */
const File = z.looseObject({
  hotrace: z.literal('failure'),
  version: z.literal(VERSION),
  test: z.string().optional(),
  scenario: z.string(),
  kernel: z.string().optional(),
  seed: z.number(),
  program: z.unknown().optional(),
  counterexamples: z.array(z.looseObject({ rule: z.string(), steps: z.array(Step) })).min(1),
});

/** One failing case that was kept. */
export interface SavedFailure {
  readonly file: string;
  readonly scenario: string;
  readonly kernel: string | undefined;
  readonly test: string | undefined;
  /** Where the case is a program. */
  readonly program: HotplugProgram | undefined;
  readonly schedules: readonly { readonly rule: string; readonly steps: readonly PlannedStep[] }[];
}

/** The failing cases in a folder, by the names of their files; what is no such file is left alone. */
export function allFailures({ folder, test }: FailuresOptions): readonly SavedFailure[] {
  let names: readonly string[];
  try {
    names = readdirSync(folder);
  } catch {
    return [];
  }
  return names
    .filter((name) => name.endsWith('.json'))
    .sort()
    .flatMap((name) => read(join(folder, name)) ?? [])
    .filter((saved) => saved.test === test);
}

/** The failing cases of one scenario on one generation. */
export function savedFailures(
  options: FailuresOptions,
  scenario: string,
  kernel: string | undefined,
): readonly SavedFailure[] {
  return allFailures(options).filter(
    (saved) => saved.scenario === scenario && saved.kernel === kernel,
  );
}

function read(file: string): SavedFailure | undefined {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
  const parsed = File.safeParse(json);
  if (!parsed.success) return undefined;
  const { scenario, kernel, test, program, counterexamples } = parsed.data;
  return {
    file,
    scenario,
    kernel,
    test,
    program: isProgram(program) ? program : undefined,
    schedules: counterexamples.map(({ rule, steps }) => ({
      rule,
      steps: steps.map(({ thread, entity, event, reply }) => ({ thread, entity, event, reply })),
    })),
  };
}

/** A failing case to keep. */
export interface Failure {
  readonly scenario: string;
  readonly kernel: string | undefined;
  readonly seed: number;
  readonly program: HotplugProgram | undefined;
  readonly found: Counterexample;
}

/** Writes a failing case; one file for each scenario, generation and rule. Returns its name. */
export function saveFailure(options: FailuresOptions, failure: Failure): string {
  const { folder, test, command } = options;
  const { scenario, kernel, seed, program, found } = failure;
  const told = [test, scenario, kernel, found.rule].filter((part) => part !== undefined);
  const file = join(folder, `${slug(told.slice(0, -1).join(' '))}.${slug(found.rule)}.json`);
  const { rule, says, steps, preemptions } = found;
  const content = {
    hotrace: 'failure',
    version: VERSION,
    ...(command === undefined ? {} : { command }),
    ...(test === undefined ? {} : { test }),
    scenario,
    ...(kernel === undefined ? {} : { kernel }),
    seed,
    ...(program === undefined ? {} : { program }),
    counterexamples: [{ rule, says, preemptions, steps }],
  };
  mkdirSync(folder, { recursive: true });
  writeFileSync(file, `${JSON.stringify(content, undefined, 1)}\n`);
  return file;
}

/** Removes cases that do not fail any more: every interleaving was covered. */
export function settleFailures(kept: readonly SavedFailure[]): void {
  for (const { file } of kept) rmSync(file, { force: true });
}

/** Characters of a file's name that come from names. */
const LONGEST = 80;

/** A name for a file: readable, and with a number for what was lost. */
function slug(name: string): string {
  const readable = name.replace(/[^\w.-]+/g, '-').replace(/^[-.]+|-+$/g, '');
  if (readable === name && name.length <= LONGEST) return readable;
  let hash = 7;
  for (const character of name) hash = (Math.imul(hash, 31) + character.codePointAt(0)!) | 0;
  return `${readable.slice(0, LONGEST)}-${(hash >>> 0).toString(36)}`;
}
