/** A recorded log held against one rule: of hotrace, or of one's own. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EventBatch } from '../../events/batch.js';
import type { EventFact, HotplugEvent } from '../../events/event.js';
import { LogWriter } from '../../events/log.js';
import { REPLAY_RULES } from '../../machines/rules.js';
import { profileByName } from '../../machines/profiles/timeline.js';
import { Replay } from '../replay/replay.js';
import type { ReplayOptions } from '../replay/replay.js';
import { RuleRun } from './own-rule.js';
import type { OwnRule } from './own-rule.js';

/** A file that `hotrace replay` reads, or events; facts without a time come a microsecond apart. */
export type Log = string | readonly (HotplugEvent | EventFact)[];

export interface RespectOptions {
  /** The generation that was recorded; concluded from the log where left out. */
  readonly kernel?: string;
}

/** What a log tells of a rule. */
export interface Respect {
  readonly rule: string;
  /** The rule in one sentence. */
  readonly sentence: string;
  readonly status: 'holds' | 'violated' | 'inconclusive';
  /** How often the rule was put to the test. */
  readonly checks: number;
  /** What happened, each with its place in the log. */
  readonly violations: readonly string[];
  /** Why it cannot be told. */
  readonly doubts: readonly string[];
}

/**
 * Holds a log against a rule. A gap in the log makes no violation, and no proof.
 *
 * @param rule an id of hotrace's rules, or a rule of one's own
 * @throws RangeError for a rule that replay does not check; InputError for a file that cannot be read
 */
export async function respects(
  log: Log,
  rule: string | OwnRule,
  options: RespectOptions = {},
): Promise<Respect> {
  const { kernel } = options;
  const profile = kernel === undefined ? undefined : profileByName(kernel);
  if (kernel !== undefined && profile === undefined) {
    throw new RangeError(`"${kernel}" is no version of a kernel`);
  }
  if (typeof log === 'string') return judged({ files: [log], kernel: profile }, rule);
  const folder = mkdtempSync(join(tmpdir(), 'hotrace-events-'));
  try {
    const file = join(folder, 'events.ndjson');
    await writeEvents(file, log, kernel);
    return await judged({ files: [file], kernel: profile }, rule);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function judged(options: ReplayOptions, rule: string | OwnRule): Promise<Respect> {
  const replay = new Replay({ ...options, history: false });
  if (typeof rule === 'string') {
    const known = REPLAY_RULES.find(({ id }) => id === rule);
    if (known === undefined) throw new RangeError(`replay checks no rule ${rule}`);
    const { verdicts } = await replay.run();
    const verdict = verdicts.find((each) => each.rule.id === rule)!;
    return {
      rule,
      sentence: known.sentence,
      status: verdict.status,
      checks: verdict.checks,
      violations: verdict.violations.map(
        ({ message, at }) => `${at.origin.file}:${at.origin.line}: ${message}`,
      ),
      doubts: verdict.inconclusive.map(({ cause, detail }) => `${cause}: ${detail}`),
    };
  }
  const runs = new Map<string, RuleRun>();
  const violations: string[] = [];
  replay.notifications$.subscribe(({ chain, action, dev, bus, group, origin }) => {
    if (chain !== rule.chain) return;
    const name = `${chain} ${chain === 'bus' ? bus : group}`;
    const run = runs.get(name) ?? new RuleRun(rule);
    runs.set(name, run);
    if (run.broken || run.hear({ action, dev })) return;
    const place = origin === undefined ? '' : `${origin.file}:${origin.line}: `;
    violations.push(`${place}${action} ${dev} on ${name}`);
  });
  const { lossCount, losses } = await replay.run();
  const checks = [...runs.values()].reduce((sum, run) => sum + run.heard, 0);
  const doubts = [
    ...(lossCount > 0
      ? [`lost events: ${lossCount} times, first ${JSON.stringify(losses[0])}`]
      : []),
    ...(checks === 0 ? [`not recorded: no notification of a ${rule.chain}`] : []),
  ];
  return {
    rule: rule.id,
    sentence: rule.sentence,
    status: doubts.length > 0 ? 'inconclusive' : violations.length > 0 ? 'violated' : 'holds',
    checks,
    violations,
    doubts,
  };
}

const STEP = 1000;

async function writeEvents(
  file: string,
  events: readonly (HotplugEvent | EventFact)[],
  kernel: string | undefined,
): Promise<void> {
  const source = { format: 'test', file: 'events' };
  const log = new LogWriter(file, {
    ...(kernel === undefined ? {} : { kernel }),
    sources: [source],
  });
  let batch = new EventBatch([source]);
  for (const [i, event] of events.entries()) {
    if (batch.full) {
      await log.write(batch);
      const firstSeq = batch.firstSeq + batch.length;
      batch = new EventBatch([source]);
      batch.firstSeq = firstSeq;
    }
    const time = 'time' in event ? event.time : i * STEP;
    batch.append({ ...event, time, line: i + 1 }, 0);
  }
  await log.write(batch);
  await log.close();
}

/** What a log tells of a rule, for people. */
export function respectText({ rule, sentence, status, checks, ...told }: Respect): string {
  const { violations, doubts } = told;
  const out = [`${rule}: ${sentence}`, `${status}, put to the test ${checks} times`];
  return [...out, ...violations, ...doubts].join('\n');
}
