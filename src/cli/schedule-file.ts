/** Schedules in files: what `--json` wrote, held against a scenario as it is now. */

import { readFileSync } from 'node:fs';
import { z } from 'zod';
import type { Scenario } from '../../machines/scenario.js';
import { confirm } from '../explore/confirm.js';
import type { ScheduledStep } from '../explore/schedule.js';
import { UsageError } from './usage-error.js';

const Step = z.object({
  thread: z.string(),
  number: z.number(),
  what: z.string(),
  entity: z.string().optional(),
  event: z.record(z.string(), z.unknown()).optional(),
  reply: z.unknown().optional(),
  preempts: z.boolean(),
});
const File = z.object({
  counterexamples: z.array(z.object({ rule: z.string(), steps: z.array(Step) })).min(1),
});

/** How a stored schedule goes now. */
export interface Replayed {
  readonly rule: string;
  readonly steps: number;
  /** Undefined: as it did. */
  readonly diverged:
    { readonly step: ScheduledStep; readonly number: number; readonly why: string } | undefined;
  /** The rule is broken again, as far as machines tell; undefined where only a search could. */
  readonly broken: boolean | undefined;
}

/** Throws UsageError for a file that holds no schedule. */
export function replaySchedules(file: string, scenario: Scenario): readonly Replayed[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new UsageError(`${file}: cannot be read: ${(error as Error).message}`);
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new UsageError(`${file}: is not JSON: ${(error as Error).message}`);
  }
  const parsed = File.safeParse(json);
  if (!parsed.success) {
    throw new UsageError(`${file}: holds no schedule; write one with hotrace explore --json`);
  }
  return parsed.data.counterexamples.map(({ rule, steps }) => {
    const planned = steps as readonly ScheduledStep[];
    const { diverged, broken, threw } = confirm(scenario, planned);
    const told =
      diverged === undefined
        ? undefined
        : { ...diverged, step: planned[diverged.step], number: diverged.step + 1 };
    const ofMachine = broken.includes(rule) || (rule === 'exception' && threw.length > 0);
    return { rule, steps: planned.length, diverged: told, broken: ofMachine ? true : undefined };
  });
}

/** For people. */
export function replayedText({ rule, steps, diverged, broken }: Replayed): string {
  if (diverged !== undefined) {
    const { number, step, why } = diverged;
    return `${rule}: diverges at step ${number} of ${steps}, ${step.what} (${step.thread}): ${why}\n`;
  }
  return broken === true
    ? `${rule}: broken again after ${steps} steps\n`
    : `${rule}: all ${steps} steps go as they did; hotrace explore tells what they lead to\n`;
}
