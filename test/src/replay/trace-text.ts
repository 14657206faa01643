/**
 * Traces as the recordings have them, from a shorthand of one line per event:
 *
 *     a ADD [d2]              bus notification: entry of the bus's chain, numbered as the kernel does
 *     a group DEL [d2]        notification on the group's own chain
 *     a bus_notify BIND …     bus_notify, with further fields
 *     a name: payload         any other event; D, D2 stand for dev= and bus= of a device
 *     CPU:0 [LOST 5 EVENTS]   as it is
 *
 * The task is a letter, `a@1` the same on CPU 1. `!` in front marks the line that breaks the rule.
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ReplayOptions, ReplayResult } from '../../../src/replay/replay.js';
import { replay } from '../../../src/replay/replay.js';
import { profileByName } from '../../../machines/profiles/timeline.js';

export const BUS_CHAIN = '0xffff8880100010f0';
const GROUP_CHAIN = '0xffff888010002050';

const DEVICES: Readonly<Record<string, string>> = {
  D: '0000:04:00.0',
  D2: '0000:04:00.1',
};
const TASKS: Readonly<Record<string, string>> = {
  a: 'irq/25-pciehp-53',
  b: 'kworker/u8:4-118',
  c: '(udev-worker)-541',
};

/** The numbers of B.4, by the first version that has them. */
const BUS_NUMBERS: readonly (readonly [[number, number], readonly string[]])[] = [
  [[6, 3], 'ADD DEL REMOVED BIND BOUND UNBIND UNBOUND NOTBOUND'.split(' ')],
  [[3, 18], '- ADD DEL REMOVED BIND BOUND UNBIND UNBOUND NOTBOUND'.split(' ')],
  [[3, 6], '- ADD DEL BIND BOUND UNBIND UNBOUND'.split(' ')],
];
const GROUP_NUMBERS = '- ADD DEL BIND BOUND UNBIND UNBOUND'.split(' ');

function busNumber(kernel: string, action: string): number {
  const [major, minor] = profileByName(kernel)!.version;
  const [, names] = BUS_NUMBERS.find(([[x, y]]) => major > x || (major === x && minor >= y))!;
  const number = names.indexOf(action);
  if (number < 0) throw new Error(`${kernel} has no action ${action}`);
  return number;
}

function device(short = 'D'): string {
  return `dev="${DEVICES[short.toUpperCase()]}" bus="pci"`;
}

function chainCall(nh: string, value: number, short?: string): string {
  return `blocking_notifier_call_chain: (blocking_notifier_call_chain+0x4/0x60) nh=${nh} val=0x${value.toString(16)} ${device(short)} data=0xffff88805e68f0d0`;
}

function event(kernel: string, text: string): string {
  const [first, second, third] = text.split(' ');
  if (/^[A-Z]+$/.test(first)) return chainCall(BUS_CHAIN, busNumber(kernel, first), second);
  if (first === 'group') return chainCall(GROUP_CHAIN, GROUP_NUMBERS.indexOf(second), third);
  if (first === 'bus_notify') {
    const rest = text.split(' ').slice(2).join(' ');
    return `bus_notify: (bus_notify+0x4/0x70) ${device()} ${rest} value=${busNumber(kernel, second)}`;
  }
  return text
    .replace(/ D(2?)(?= |$)/g, (_all, two: string) => ` ${device(`D${two}`)}`)
    .replace(/=D(2?)(?= |$)/g, (_all, two: string) => `=${DEVICES[`D${two}`]}`);
}

export interface TraceText {
  readonly text: string;
  /** Lines marked with `!`, from 1. */
  readonly marked: readonly number[];
}

/** `script` as a trace, a millisecond from line to line. */
export function traceText(kernel: string, script: string, startMs = 140_000): TraceText {
  const marked: number[] = [];
  const lines = scriptLines(script).map((raw, n) => {
    if (raw.startsWith('!')) marked.push(n + 1);
    const line = raw.replace(/^!\s*/, '');
    const match = /^([abc])(?:@(\d))? (.*)$/.exec(line);
    if (match === null) return line;
    const [, task, cpu = '0', what] = match;
    const time = ((startMs + n) / 1000).toFixed(6);
    const [, comm, pid] = /^(.*)-(\d+)$/.exec(TASKS[task])!;
    return `${comm.padStart(16)}-${pid.padEnd(7)} [00${cpu}] ..... ${time.padStart(12)}: ${event(kernel, what)}`;
  });
  return { text: `${lines.join('\n')}\n`, marked };
}

/** Lines of any other source, with the `!` taken off. */
export function markedText(script: string): TraceText {
  const marked: number[] = [];
  const lines = script.split('\n').map((line, n) => {
    if (line.startsWith('!')) marked.push(n + 1);
    return line.replace(/^!/, '');
  });
  return { text: `${lines.join('\n')}\n`, marked };
}

function scriptLines(script: string): string[] {
  return script
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}

/** Replays texts written to files of a directory of their own, which is gone afterwards. */
export async function replayTexts(
  kernel: string,
  texts: Readonly<Record<string, string>>,
  options: (path: (name: string) => string) => Partial<ReplayOptions> = () => ({}),
): Promise<ReplayResult> {
  const folder = mkdtempSync(join(tmpdir(), 'hotrace-rules-'));
  const path = (name: string) => join(folder, name);
  try {
    for (const [name, text] of Object.entries(texts)) writeFileSync(path(name), text);
    return await replay({
      files: Object.keys(texts).map(path),
      kernel: profileByName(kernel)!,
      ...options(path),
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}
