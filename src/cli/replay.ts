/** `hotrace replay FILE…` */

import { statSync } from 'node:fs';
import type { LogWriter } from '../../events/log.js';
import { replay } from '../replay/replay.js';
import type { ReplayResult } from '../replay/replay.js';
import { replayJson, stateJson } from '../report/replay-json.js';
import { printable, printableJson } from '../report/format.js';
import { outcome, replayText, wrongKernel } from '../report/replay-text.js';
import { deviceHistoryText, diffText, groupText, stateText } from '../report/state-text.js';
import { diff } from '../replay/state-diff.js';
import { whoBlocks } from '../replay/viability.js';
import { EXIT } from './exit-code.js';
import type { ExitCode } from './exit-code.js';
import { checkMoment, stateAtMoment } from './moment.js';
import { Progress } from './progress.js';
import { kernelOf } from './kernels.js';
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
  readonly color?: boolean | undefined;
}

/**
 * Runs the command, writes to `out` (stdout) and `err` (stderr: a line for each thing that makes
 * the answer incomplete) and returns the exit code. Throws UsageError, InputError.
 */
export async function runReplay(
  given: readonly string[],
  flags: ReplayFlags,
  out: (text: string) => void,
  err: (text: string) => void = () => undefined,
): Promise<ExitCode> {
  // `--diff A B FILE`: an option with several values takes all that follows.
  const files = [...(flags.diff?.slice(2) ?? []), ...given];
  if (files.length === 0) {
    throw new UsageError('no input: name one or more files, sysfs trees, or - for standard input');
  }
  const kernel = flags.kernel === undefined ? undefined : kernelOf(flags.kernel);
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
  if (flags.diff !== undefined && flags.diff.length < 2) {
    throw new UsageError('--diff takes two moments, such as --diff 140.95 142 or --diff #0 #412');
  }
  for (const moment of [flags.at, ...(flags.diff?.slice(0, 2) ?? [])]) {
    if (moment !== undefined) checkMoment(moment);
  }
  const group = flags.group === undefined ? undefined : wholeNumber(flags.group);
  if (group !== undefined && Number.isNaN(group)) {
    throw new UsageError(
      `"${flags.group}" is no group number: give the name of a directory in /sys/kernel/iommu_groups`,
    );
  }
  const violationsShown = flags.violations === undefined ? 3 : wholeNumber(flags.violations);
  if (Number.isNaN(violationsShown)) {
    throw new UsageError(`"${flags.violations}" is no number of violations: give 0, 1, 2, …`);
  }
  refuseTwice(files);
  if (flags.log !== undefined && flags.log !== '-') {
    const { sysfsBefore, sysfsAfter, probes } = flags;
    const others = [sysfsBefore, sysfsAfter, probes].filter((f) => f !== undefined);
    const input = [...files, ...others].find((file) => sameFile(file, flags.log!));
    if (input !== undefined) {
      throw new UsageError(
        `--log ${flags.log} would overwrite the input ${input}: name another file`,
      );
    }
  }
  if (flags.log === '-' && flags.json === true) {
    throw new UsageError('--json and --log - would both write to standard output');
  }
  const answer = flags.log === '-' ? err : out;

  const progress = new Progress(process.stderr.isTTY === true);
  let log: LogWriter | undefined;
  let result: ReplayResult;
  try {
    result = await replay({
      files,
      format: flags.format,
      kernel,
      ...(flags.probes === undefined
        ? {}
        : { probes: (await import('../../events/probe-file.js')).readProbeTable(flags.probes) }),
      sysfsBefore: flags.sysfsBefore,
      sysfsAfter: flags.sysfsAfter,
      history: flags.check !== true,
      keepText: flags.log !== undefined,
      onProgress: ({ taken, size, events }) => progress.update(taken, size, events),
      ...(flags.log === undefined
        ? {}
        : {
            onBatch: async (batch, { kernel: name, sources }) => {
              log ??= new (await import('../../events/log.js')).LogWriter(flags.log!, {
                ...(name === undefined ? {} : { kernel: name }),
                sources,
              });
              await log.write(batch);
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
      text.push(stateText(at, history.event(at.seq - 1)));
    }
    if (flags.diff !== undefined) {
      const [a, b] = flags.diff.slice(0, 2).map((moment) => stateAtMoment(history, moment));
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
  for (const note of incomplete(result)) err(`hotrace: ${printable(note)}\n`);
  if (flags.json === true) {
    const json = JSON.stringify({ ...replayJson(result), ...chosen }, undefined, 2);
    answer(`${printableJson(json)}\n`);
  } else if (text.length > 0) {
    answer(text.join('\n'));
  } else {
    const { sysfsBefore, sysfsAfter } = flags;
    answer(
      await replayText(result, {
        colour:
          flags.color ?? (process.stdout.isTTY === true && process.env['NO_COLOR'] === undefined),
        allRules: flags.rules === true,
        listUnparsed: flags.unparsed === true,
        violationsShown,
        quotable: new Set([...files, sysfsBefore, sysfsAfter].filter((f) => f !== undefined)),
      }),
    );
  }
  return exitCode(result, kernel !== undefined);
}

/** What the user must know before believing the answer. */
function incomplete(result: ReplayResult): string[] {
  const notes = result.inputs.map(({ problem }) => problem).filter((p) => p !== undefined);
  const wrong = wrongKernel(result);
  if (wrong !== undefined) notes.push(wrong);
  if (nothingRead(result)) {
    const read = result.inputs.filter(({ format }) => format !== undefined);
    const named = read.map(({ file, format }) => `${file} as ${format}`).join(', ');
    const given = read.some(({ detected }) => !detected);
    notes.push(
      `nothing could be read: ${named}; ${
        given ? 'leave out --format, or name another' : '--unparsed shows the lines'
      }`,
    );
  }
  return notes;
}

function exitCode(result: ReplayResult, kernelGiven: boolean): ExitCode {
  if (result.kernel.contradictions.length > 0) return EXIT.usage;
  const told = outcome(result.verdicts);
  if (told === 'violated') return EXIT.violated;
  if (result.inputs.some(({ format }) => format === undefined)) return EXIT.usage;
  switch (told) {
    case 'inconclusive':
      return kernelGiven && wrongKernel(result) !== undefined ? EXIT.usage : EXIT.inconclusive;
    default:
      return result.inputs.some((input) => input.problem !== undefined) || nothingRead(result)
        ? EXIT.inconclusive
        : EXIT.clean;
  }
}

/** Not one line made an event: whatever the format was taken for, it was not that. */
function nothingRead({ byType }: ReplayResult): boolean {
  return Object.keys(byType).every((type) => type === 'unparsed');
}

/** A number as it stands in sysfs, NaN for anything else. */
function wholeNumber(text: string): number {
  return /^\d{1,9}$/.test(text) ? Number(text) : NaN;
}

/** One file twice would be every event twice, which no kernel does. */
function refuseTwice(files: readonly string[]): void {
  files.forEach((file, n) => {
    const before = files.slice(0, n).find((other) => sameFile(other, file));
    if (before === undefined) return;
    throw new UsageError(
      file === '-'
        ? 'standard input can be read once'
        : `${file} is given twice${before === file ? '' : ` (as ${before})`}: name each input once`,
    );
  });
}

function sameFile(a: string, b: string): boolean {
  if (a === b) return true;
  if (a === '-' || b === '-') return false;
  try {
    const [one, other] = [statSync(a), statSync(b)];
    return one.dev === other.dev && one.ino === other.ino;
  } catch {
    return false;
  }
}
