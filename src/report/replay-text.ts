/** The one-screen summary of a replay, and its violations with their lines, for a terminal or a mail. */

import pc from 'picocolors';
import { sourceLines } from '../../events/source-lines.js';
import type { ReplayResult } from '../replay/replay.js';
import type { EventRef, Verdict, Violation } from '../replay/verdicts.js';
import { undecided } from '../replay/verdicts.js';
import type { Bound } from '../replay/evidence.js';
import {
  count,
  duration,
  place,
  plural,
  printable,
  seconds,
  sentence,
  shown,
  wrap,
} from './format.js';

type Colours = ReturnType<typeof pc.createColors>;

export interface TextOptions {
  readonly colour: boolean;
  /** Every rule with its sentence, the ones without anything to look at included. */
  readonly allRules: boolean;
  /** List the lines that could not be read. */
  readonly listUnparsed: boolean;
  /** Violations shown per rule. */
  readonly violationsShown: number;
  /**
   * Files whose lines may be quoted: those that the user named. A log that comes from elsewhere may
   * name any file of this machine as its origin.
   */
  readonly quotable: ReadonlySet<string>;
}

const WIDTH = 80;
/** Lines of the file shown before and after an offending one. */
const AROUND = 2;

export async function replayText(result: ReplayResult, options: TextOptions): Promise<string> {
  const c = pc.createColors(options.colour);
  const out: string[] = [];
  summary(result, out, c);
  rules(result, out, c, options.allRules);
  await violations(result, out, c, options);
  faults(result, out, c);
  sysfs(result, out);
  if (options.listUnparsed) unread(result, out);
  return `${out.join('\n')}\n`;
}

function label(
  out: string[],
  name: string,
  text: string,
  paint: (text: string) => string = (text) => text,
): void {
  const lines = wrap(text, WIDTH - 12);
  lines.forEach((line, n) => {
    const head = (n === 0 ? name : '').padEnd(11);
    out.push(`${n === 0 ? paint(head) : head} ${line}`);
  });
}

function summary(result: ReplayResult, out: string[], c: Colours): void {
  for (const input of result.inputs) {
    const { format, detected } = input;
    const how = format === undefined ? 'not read' : `${format}${detected ? '' : ', as told'}`;
    label(out, 'input', `${printable(input.file)} (${how})`);
    if (input.problem !== undefined)
      label(out, '  broken', printable(withoutFile(input.problem, input.file)), c.red);
  }
  const { profile, by, because, contradictions } = result.kernel;
  const how = by === 'given' ? because : `${by}: ${because}`;
  label(out, 'kernel', `${profile.name} (${printable(how)})`);
  for (const bound of contradictions) {
    label(out, '  but', boundText(bound), c.red);
  }
  if (contradictions.length > 0) label(out, '', whatToDo(result), c.red);
  const span = result.lastTime - result.firstTime;
  label(
    out,
    'time',
    Number.isNaN(span)
      ? 'the input has no times'
      : `${seconds(result.firstTime)} … ${seconds(result.lastTime)} s, ${duration(span)}${
          result.clockSteps > 0
            ? `; the clock stepped back ${plural(result.clockSteps, 'time')}`
            : ''
        }`,
  );
  if (!result.clocksAligned) {
    label(out, '', 'the inputs have clocks that cannot be aligned: wall-clock input comes last');
  }
  label(
    out,
    'read',
    `${plural(result.events - (result.byType['unparsed'] ?? 0), 'event')}, ${plural(result.unparsedCount, 'line')} not read${
      result.unparsedCount > 0 ? ' (--unparsed lists them)' : ''
    }`,
  );
  label(out, 'lost', losses(result));
  label(
    out,
    'state',
    `${plural(result.devices, 'device')} and ${plural(result.groups, 'group')} at the end; ${plural(result.notifications, 'bus notification')}`,
  );
  const kinds = Object.entries(result.byType)
    .filter(([type]) => type !== 'unparsed')
    .sort(([, a], [, b]) => b - a)
    .map(([type, n]) => `${type}\u00a0${count(n)}`);
  if (kinds.length > 0)
    label(out, 'events', kinds.slice(0, 12).join(', ') + (kinds.length > 12 ? ', …' : ''));
  for (const complaint of result.complaints.slice(0, 3)) {
    label(
      out,
      'complaint',
      `${printable(complaint.file)}:${complaint.line}: ${printable(complaint.text).slice(0, 160)}`,
      c.yellow,
    );
  }
  if (result.complaints.length > 3) {
    label(out, '', `and ${plural(result.complaints.length - 3, 'more complaint')} of the kernel`);
  }
}

function losses(result: ReplayResult): string {
  if (result.losses.length === 0) return 'nothing';
  const first = result.losses[0];
  const where = `${printable(first.file)}:${first.line}`;
  const known = result.losses.some((l) => l.count !== undefined);
  return `${known ? plural(result.lossCount, 'event') : 'an unknown number of events'}, first at ${where}: ${sentence(first.text)}`;
}

/** `trace.txt:18: tracepoint notifier_run (v6.4 or later)`: the line that proves which kernel it is. */
function boundText({ kind, version, because, origin }: Bound): string {
  const name = `v${version.join('.')}`;
  const means =
    kind === 'from' ? ` (${name} or later)` : kind === 'before' ? ` (older than ${name})` : '';
  return `${place({ seq: 0, time: NaN, origin })}: ${sentence(because)}${means}`;
}

function whatToDo({ kernel }: ReplayResult): string {
  return kernel.by === 'given'
    ? 'leave out --kernel, or give the one that wrote this input'
    : 'replay inputs of one kernel at a time';
}

/**
 * Why no verdict can be believed: the input contradicts the kernel profile. One sentence with the
 * places that prove it and what to do; undefined when nothing does.
 */
export function wrongKernel(result: ReplayResult): string | undefined {
  const { by, because, profile, contradictions } = result.kernel;
  const facts = contradictions.slice(0, 2).map((bound) => boundText(bound));
  if (facts.length > 0) {
    if (by === 'given')
      return `${facts[0]}, but --kernel says ${profile.name}; ${whatToDo(result)}`;
    if (by === 'stated') return `${facts[0]}, but ${sentence(because)}; ${whatToDo(result)}`;
    return `${facts.join(', but ')}; ${whatToDo(result)}`;
  }
  for (const { inconclusive } of result.verdicts) {
    const doubt = inconclusive.find(({ cause }) => cause === 'wrong kernel');
    if (doubt === undefined) continue;
    return `${sentence(doubt.detail)}; ${
      by === 'given' ? whatToDo(result) : 'give the kernel that wrote this input with --kernel'
    }`;
  }
  return undefined;
}

/** `problem` without the file in front of it, for where the file stands above. */
function withoutFile(problem: string, file: string): string {
  return problem.startsWith(`${file}: `) ? problem.slice(file.length + 2) : problem;
}

function rules(result: ReplayResult, out: string[], c: Colours, all: boolean): void {
  const shown = result.verdicts.filter((v) => v.checks > 0 || v.violationCount > 0 || undecided(v));
  const silent = result.verdicts.filter((v) => !shown.includes(v));
  out.push('');
  if (shown.length > 0) out.push(c.bold('rule       name                  verdict       checks'));
  const order = { violated: 0, inconclusive: 1, holds: 2 };
  for (const verdict of [...shown].sort((a, b) => order[a.status] - order[b.status])) {
    const { rule, status, checks, violationCount } = verdict;
    const colour = status === 'violated' ? c.red : status === 'holds' ? c.green : c.yellow;
    const text = status === 'violated' ? `violated ${count(violationCount)}x` : status;
    out.push(
      `${rule.id.padEnd(10)} ${rule.name.padEnd(21)} ${colour(text.padEnd(13))} ${count(checks).padStart(6)}`,
    );
    if (all)
      for (const line of wrap(rule.sentence, WIDTH - 11))
        out.push(`${' '.repeat(11)}${c.dim(line)}`);
  }
  const causes = new Map<string, string[]>();
  for (const verdict of shown) {
    for (const { cause, detail } of verdict.inconclusive) {
      if (verdict.status === 'holds') continue;
      const key = `${cause}: ${detail}`;
      causes.set(key, [...(causes.get(key) ?? []), verdict.rule.id]);
    }
  }
  for (const [cause, ids] of causes) {
    out.push(
      ...wrap(
        `inconclusive: ${ids.length > 4 ? `${plural(ids.length, 'rule')}` : ids.join(', ')}, because of ${sentence(cause)}`,
        WIDTH,
      ),
    );
  }
  if (all) {
    for (const { rule, inconclusive } of silent) {
      out.push(`${rule.id.padEnd(10)} ${rule.name}`);
      const why = inconclusive.map(({ cause, detail }) => `${cause}: ${sentence(detail)}`);
      for (const line of why.flatMap((text) => wrap(text, WIDTH - 11)))
        out.push(`${' '.repeat(11)}${c.dim(line)}`);
    }
  } else if (silent.length > 0) {
    out.push(
      ...wrap(
        `nothing to check: ${silent.map((v) => v.rule.id).join(', ')} (--rules says why)`,
        WIDTH,
      ).map((line) => c.dim(line)),
    );
  }
}

async function violations(
  result: ReplayResult,
  out: string[],
  c: Colours,
  { violationsShown: most, quotable }: TextOptions,
): Promise<void> {
  const violated = result.verdicts.filter((v) => v.violationCount > 0);
  if (violated.length === 0) return;
  const shown = violated.flatMap((v) => v.violations.slice(0, most));
  const lines = await linesAround(shown, quotable);
  for (const verdict of violated) {
    out.push('', c.bold(c.red(`${verdict.rule.id} ${verdict.rule.name}`)));
    out.push(...wrap(verdict.rule.sentence, WIDTH));
    out.push(...wrap(`(${verdict.rule.source})`, WIDTH).map((l) => c.dim(l)));
    const under = verdict.rule.under(result.kernel.profile);
    if (under !== undefined)
      out.push(...wrap(`${result.kernel.profile.name}: ${under}`, WIDTH).map((l) => c.dim(l)));
    for (const violation of verdict.violations.slice(0, most)) one(violation, lines, out, c);
    const rest = verdict.violationCount - Math.min(most, verdict.violations.length);
    if (rest > 0)
      out.push(
        '',
        `  and ${plural(rest, 'more violation')} of ${verdict.rule.id} (--violations N shows more)`,
      );
  }
}

function one(violation: Violation, lines: Lines, out: string[], c: Colours): void {
  const { at } = violation;
  const when = Number.isNaN(at.time) ? '' : ` at ${seconds(at.time)} s`;
  out.push('', `  ${c.bold(place(at))}${when}`);
  for (const line of wrap(sentence(violation.message), WIDTH - 2)) out.push(`  ${line}`);
  // Other files first: the broken line and what is around it come last.
  const files = new Set(violation.related.map((ref) => ref.origin.file));
  files.delete(at.origin.file);
  for (const file of [...files, at.origin.file]) {
    const known = lines.get(file);
    if (known === undefined) continue;
    if (file !== at.origin.file) out.push(`  in ${printable(file)}`);
    quote(violation, file, known, out, c);
  }
}

/** Lines of one file in their order, `>` before the one that broke the rule, `-` before related ones. */
function quote(
  { at, related }: Violation,
  file: string,
  known: ReadonlyMap<number, string>,
  out: string[],
  c: Colours,
): void {
  const marks = new Map<number, string>();
  if (file === at.origin.file) {
    const { line } = at.origin;
    for (let n = line - AROUND; n <= line + AROUND; n++) marks.set(n, ' ');
  }
  for (const { origin } of related) if (origin.file === file) marks.set(origin.line, '-');
  if (file === at.origin.file) marks.set(at.origin.line, '>');
  let last: number | undefined;
  for (const [n, mark] of [...marks].sort(([a], [b]) => a - b)) {
    const text = known.get(n);
    if (text === undefined) continue;
    if (last !== undefined && n > last + 1) out.push(c.dim(`   ${'…'.padStart(7)}`));
    last = n;
    const line = `  ${mark}${String(n).padStart(7)}  ${printable(text).trim()}`;
    out.push(mark === ' ' ? c.dim(line) : line);
  }
}

type Lines = ReadonlyMap<string, ReadonlyMap<number, string>>;

async function linesAround(
  violations: readonly Violation[],
  quotable: ReadonlySet<string>,
): Promise<Lines> {
  const wanted = new Map<string, Set<number>>();
  const want = ({ origin }: EventRef, around: number) => {
    if (origin.line <= 0 || !quotable.has(origin.file)) return;
    const numbers = wanted.get(origin.file) ?? new Set();
    wanted.set(origin.file, numbers);
    for (let n = origin.line - around; n <= origin.line + around; n++) if (n > 0) numbers.add(n);
  };
  for (const { at, related } of violations) {
    want(at, AROUND);
    for (const ref of related) want(ref, 0);
  }
  const lines = new Map<string, ReadonlyMap<number, string>>();
  for (const [file, numbers] of wanted) lines.set(file, await sourceLines(file, numbers));
  return lines;
}

function faults(result: ReplayResult, out: string[], c: Colours): void {
  if (result.faultCount === 0) return;
  out.push('', c.bold(`${plural(result.faultCount, 'IOMMU fault')} (no rule: the device did it)`));
  for (const fault of result.faults.slice(0, 10)) {
    const when = Number.isNaN(fault.at.time) ? '' : ` at ${seconds(fault.at.time)} s`;
    const how = fault.access === 'unknown' ? 'access to' : `${fault.access} of`;
    out.push(
      `  ${place(fault.at)}${when}`,
      `    ${shown(fault.dev)}: ${how} iova 0x${fault.iova.toString(16)}`,
    );
    if (fault.candidates.length === 0 && fault.mapped) {
      out.push('      no map or unmap in this log covers the address');
    }
    for (const candidate of fault.candidates) {
      const before = fault.at.time - candidate.at.time;
      out.push(
        ...wrap(
          `candidate: ${candidate.kind} of 0x${candidate.iova.toString(16)}+0x${candidate.size.toString(16)}, ${
            Number.isNaN(before)
              ? ''
              : `${duration(Math.abs(before))} ${before < 0 ? 'after' : 'before'} it, `
          }at ${place(candidate.at)}`,
          WIDTH - 6,
        ).map((line) => `      ${line}`),
      );
    }
  }
  if (result.faultCount > 10)
    out.push(`  and ${plural(result.faultCount - 10, 'more fault')} (--json has them)`);
}

function sysfs(result: ReplayResult, out: string[]): void {
  const open = result.sysfs?.differences.filter((d) => d.undecided) ?? [];
  if (open.length === 0) return;
  out.push('', `not told by the input, so not held against sysfs: ${plural(open.length, 'fact')}`);
  for (const { what, file, line } of open.slice(0, 5)) {
    const where = place({ seq: -1, time: NaN, origin: { format: '', file, line } });
    for (const text of wrap(`${where}: ${sentence(what)}`, WIDTH - 2)) out.push(`  ${text}`);
  }
  if (open.length > 5) out.push(`  and ${plural(open.length - 5, 'more fact')}`);
}

function unread(result: ReplayResult, out: string[]): void {
  out.push('', `${plural(result.unparsedCount, 'line')} not read`);
  for (const { file, line, text, reason } of result.unparsed) {
    out.push(
      `  ${printable(file)}:${line}: ${printable(reason)}: ${printable(text).slice(0, 120)}`,
    );
  }
  if (result.unparsedCount > result.unparsed.length) {
    out.push(`  and ${plural(result.unparsedCount - result.unparsed.length, 'more line')}`);
  }
}

/** The verdict in one word for a script's log, as the exit code says it. */
export function outcome(verdicts: readonly Verdict[]): 'clean' | 'violated' | 'inconclusive' {
  if (verdicts.some((v) => v.status === 'violated')) return 'violated';
  return verdicts.some(undecided) ? 'inconclusive' : 'clean';
}
