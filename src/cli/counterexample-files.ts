/** Counterexamples written to files, one each. */

import { writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { LogWriter } from '../../events/log.js';
import type { Scenario } from '../../machines/scenario.js';
import type { Counterexample } from '../explore/counterexample.js';
import { scheduleItf } from '../report/schedule-itf.js';
import { scheduleLog } from '../report/schedule-log.js';
import type { ScheduleLog } from '../report/schedule-log.js';
import { ScenarioError } from '../explore/scenario-error.js';
import { UsageError } from './usage-error.js';

/** Characters of a rule's name that go into a file's. */
const LONGEST_RULE = 60;

/**
 * A name for each rule's file: the first has `file` itself, so that who named it finds it however
 * many rules are broken; in the others the rule stands before the extension: `x.INV-03.itf.json`.
 */
export function filesFor(file: string, rules: readonly string[]): string[] {
  const [, stem, extension] = /^(.+?)((?:\.itf)?\.json|\.[^.]*(?:\.gz)?)?$/s.exec(basename(file))!;
  const taken = new Set<string>();
  return rules.map((rule, n) => {
    const told = rule.replace(/[^\w.-]/g, '_').slice(0, LONGEST_RULE);
    let name = n === 0 ? basename(file) : `${stem}.${told}${extension ?? ''}`;
    for (let again = 2; taken.has(name); again++) {
      name = `${stem}.${told}.${again}${extension ?? ''}`;
    }
    taken.add(name);
    return n === 0 ? file : join(dirname(file), name);
  });
}

/** Writes traces in the Informal Trace Format. Throws UsageError. */
export function writeItf(file: string, scenario: Scenario, found: readonly Counterexample[]): void {
  const names = filesFor(
    file,
    found.map(({ rule }) => rule),
  );
  found.forEach((each, n) => {
    const text = `${JSON.stringify(scheduleItf(scenario, each), undefined, 2)}\n`;
    try {
      writeFileSync(names[n], text);
    } catch (error) {
      throw new UsageError(`${names[n]}: cannot be written: ${(error as Error).message}`);
    }
  });
}

/** Writes event logs. Throws InputError for a file, UsageError for a fact that is no event. */
export async function writeLogs(
  file: string,
  scenario: Scenario,
  found: readonly Counterexample[],
): Promise<void> {
  const names = filesFor(
    file,
    found.map(({ rule }) => rule),
  );
  for (const [n, each] of found.entries()) {
    const { header, batches } = logOf(scenario, each);
    const log = new LogWriter(names[n], header);
    for (const batch of batches) await log.write(batch);
    await log.close();
  }
}

function logOf(scenario: Scenario, found: Counterexample): ScheduleLog {
  try {
    return scheduleLog(scenario, found);
  } catch (error) {
    throw error instanceof ScenarioError
      ? new UsageError(`${scenario.name}: ${error.message}`)
      : error;
  }
}

/** Standard output holds the report, and there may be several counterexamples. */
export function refuseStdout(flag: string, file: string | undefined): void {
  if (file === '-' || file === '') throw new UsageError(`${flag} ${file}: name a file`);
}
