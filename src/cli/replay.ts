/** `hotrace replay FILE…` */

import { LogWriter } from '../../events/log.js';
import { readProbeTable } from '../../events/probes.js';
import { PROFILES, profileByName } from '../../machines/profiles/timeline.js';
import { replay } from '../replay/replay.js';
import type { ReplayResult } from '../replay/replay.js';
import { replayJson, stateJson } from '../report/replay-json.js';
import { outcome, replayText } from '../report/replay-text.js';
import { deviceHistoryText, diff, diffText, groupText, stateText } from '../report/state-text.js';
import { whoBlocks } from '../replay/viability.js';
import { EXIT } from './exit-code.js';
import type { ExitCode } from './exit-code.js';
import { stateAtMoment } from './moment.js';
import { Progress } from './progress.js';
import { UsageError } from './usage-error.js';

export interface ReplayFlags {
  readonly at?: string;
  readonly diff?: readonly string[];
  readonly device?: string;
  readonly group?: string;
  readonly sysfsBefore?: string;
  readonly sysfsAfter?: string;
  readonly kernel?: string;
  readonly format?: string;
  readonly probes?: string;
  readonly log?: string;
  readonly rules?: boolean;
  readonly check?: boolean;
  readonly unparsed?: boolean;
  readonly violations?: string;
  readonly json?: boolean;
  readonly color?: boolean;
}

/** Runs the command, writes to `out` (stdout) and returns the exit code. Throws UsageError, InputError. */
export async function runReplay(
  files: readonly string[],
  flags: ReplayFlags,
  out: (text: string) => void,
): Promise<ExitCode> {
  const kernel = flags.kernel === undefined ? undefined : profileByName(flags.kernel);
  if (flags.kernel !== undefined && kernel === undefined) {
    throw new UsageError(
      `"${flags.kernel}" is no kernel version from 3.6 on; profiles: ${PROFILES.map((p) => p.name).join(', ')}`,
    );
  }
  if (files.filter((f) => f === '-').length > 1)
    throw new UsageError('standard input can be read once');
  const looksBack =
    flags.at !== undefined ||
    flags.diff !== undefined ||
    flags.device !== undefined ||
    flags.group !== undefined;
  if (flags.check === true && looksBack) {
    throw new UsageError(
      '--check keeps no history: leave it out for --at, --diff, --device and --group',
    );
  }
  if (flags.diff !== undefined && flags.diff.length !== 2)
    throw new UsageError('--diff takes two moments');
  const group = flags.group === undefined ? undefined : Number(flags.group);
  if (group !== undefined && !Number.isInteger(group))
    throw new UsageError(`"${flags.group}" is no group number`);
  const violationsShown = flags.violations === undefined ? 3 : Number(flags.violations);
  if (!Number.isInteger(violationsShown) || violationsShown < 0) {
    throw new UsageError(`"${flags.violations}" is no number of violations`);
  }
  if (flags.log !== undefined && flags.log !== '-' && files.includes(flags.log)) {
    throw new UsageError(`--log ${flags.log} would overwrite an input`);
  }

  const progress = new Progress(process.stderr.isTTY === true);
  let log: LogWriter | undefined;
  let result: ReplayResult;
  try {
    result = await replay({
      files,
      format: flags.format,
      kernel,
      ...(flags.probes === undefined ? {} : { probes: readProbeTable(flags.probes) }),
      sysfsBefore: flags.sysfsBefore,
      sysfsAfter: flags.sysfsAfter,
      history: flags.check !== true,
      keepText: flags.log !== undefined,
      onProgress: ({ taken, size, events }) => progress.update(taken, size, events),
      ...(flags.log === undefined
        ? {}
        : {
            onBatch: (batch) => {
              log ??= new LogWriter(flags.log!, {
                ...(kernel === undefined ? {} : { kernel: kernel.name }),
                sources: [...batch.sources],
              });
              return log.write(batch);
            },
          }),
    });
  } finally {
    progress.stop();
    await log?.close();
  }

  const { history } = result;
  const chosen: Record<string, unknown> = {};
  const text: string[] = [];
  if (history !== undefined && looksBack) {
    const end = history.stateAfter(history.length - 1);
    const at = flags.at === undefined ? undefined : stateAtMoment(history, flags.at);
    if (at !== undefined && flags.device === undefined && group === undefined) {
      chosen['state'] = stateJson(at);
      text.push(stateText(at));
    }
    if (flags.diff !== undefined) {
      const [a, b] = flags.diff.map((moment) => stateAtMoment(history, moment));
      chosen['diff'] = diff(a, b);
      text.push(diffText(a, b));
    }
    if (flags.device !== undefined) {
      const told = deviceHistoryText(result, flags.device);
      if (told === undefined) throw new UsageError(`the input has no device "${flags.device}"`);
      chosen['history'] = history.device(flags.device);
      text.push(told);
    }
    if (group !== undefined) {
      const told = groupText(result, group, at ?? end);
      if (told === undefined) throw new UsageError(`the input has no group ${group}`);
      chosen['group'] = {
        history: history.group(group),
        viability: whoBlocks(at ?? end, group) ?? null,
      };
      text.push(told);
    }
  }
  if (flags.json === true) {
    out(`${JSON.stringify({ ...replayJson(result), ...chosen }, undefined, 2)}\n`);
  } else if (text.length > 0) {
    out(text.join('\n'));
  } else {
    out(
      await replayText(result, {
        colour:
          flags.color ?? (process.stdout.isTTY === true && process.env['NO_COLOR'] === undefined),
        allRules: flags.rules === true,
        listUnparsed: flags.unparsed === true,
        violationsShown,
      }),
    );
  }
  return exitCode(result);
}

function exitCode(result: ReplayResult): ExitCode {
  switch (outcome(result.verdicts)) {
    case 'violated':
      return EXIT.violated;
    case 'inconclusive':
      return result.kernel.contradictions.length > 0 ? EXIT.usage : EXIT.inconclusive;
    default:
      if (result.kernel.contradictions.length > 0) return EXIT.usage;
      return result.inputs.some((input) => input.problem !== undefined) || nothingRead(result)
        ? EXIT.inconclusive
        : EXIT.clean;
  }
}

/** Not one line made an event: whatever the format was taken for, it was not that. */
function nothingRead(result: ReplayResult): boolean {
  return result.events === result.unparsedCount;
}
