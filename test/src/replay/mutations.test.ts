/**
 * Recorded traces with something changed in them: what the change breaks must be reported, what it
 * does not break must not.
 *
 * The oracles are written by hand from kernel-semantics.md B.1 to B.3 and C.3, as plainly as they
 * can be, and share nothing with the code under test: `judge` is the automaton of B.3, `judgeCalls`
 * a stack for each task, `judgeChain` the callbacks of a chain's calls side by side,
 * `judgeMembership` who is in which group.
 */

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { profileByName } from '../../../machines/profiles/timeline.js';
import { replay } from '../../../src/replay/replay.js';
import type { ReplayResult } from '../../../src/replay/replay.js';
import type { Violation } from '../../../src/replay/verdicts.js';

/** A line of a trace: `head` + time + `tail`; a line without a time (header, blank) is all `head`. */
interface Line {
  readonly head: string;
  readonly time: string;
  readonly tail: string;
  readonly pid: number;
  readonly cpu: number;
  /** Event name and what stands behind it. */
  readonly name: string;
  readonly args: string;
}

const EVENT = /^(.{16}-(\d+) +\[(\d{3})\] \S+ +)(\d+\.\d{6})(: (\w+):(?: (.*))?)$/;

function parseLine(text: string): Line {
  const m = EVENT.exec(text);
  if (m === null) return { head: text, time: '', tail: '', pid: -1, cpu: -1, name: '', args: '' };
  return {
    head: m[1],
    time: m[4],
    tail: m[5],
    pid: Number(m[2]),
    cpu: Number(m[3]),
    name: m[6],
    args: m[7] ?? '',
  };
}

/** The lines as a file, with the times of the lines in ascending order: the file's order stays the time order. */
function stamp(lines: readonly Line[]): string {
  const times = lines.filter((l) => l.time !== '').map((l) => l.time);
  times.sort((a, b) => Number(a) - Number(b));
  let next = 0;
  return lines
    .map((l) => (l.time === '' ? l.head : `${l.head}${times[next++]}${l.tail}`))
    .join('\n')
    .concat('\n');
}

type Action =
  | 'ADD_DEVICE'
  | 'DEL_DEVICE'
  | 'REMOVED_DEVICE'
  | 'BIND_DRIVER'
  | 'BOUND_DRIVER'
  | 'UNBIND_DRIVER'
  | 'UNBOUND_DRIVER'
  | 'DRIVER_NOT_BOUND';
/** In the order of their numbers (B.4), which begin at 1 up to v6.2 and at 0 from v6.3. */
const ACTIONS: readonly Action[] = [
  'ADD_DEVICE',
  'DEL_DEVICE',
  'REMOVED_DEVICE',
  'BIND_DRIVER',
  'BOUND_DRIVER',
  'UNBIND_DRIVER',
  'UNBOUND_DRIVER',
  'DRIVER_NOT_BOUND',
];
const firstNumber = (kernel: string) => (kernel === '5.10' || kernel === '6.1' ? 1 : 0);

/** One bus notification: its own line, everything it called, its return, all of one task. */
interface Block {
  readonly dev: string;
  readonly bus: string;
  readonly action: Action;
  readonly pid: number;
  /** Indices of its lines, the first one is the notification's. */
  readonly lines: readonly number[];
  /** Holds a notification of another device. */
  readonly nests: boolean;
}

interface Recording {
  readonly name: string;
  readonly kernel: string;
  readonly lines: readonly Line[];
  readonly blocks: readonly Block[];
}

const quoted = (args: string, field: string) =>
  new RegExp(`\\b${field}="([\\w.:-]+)"`).exec(args)?.[1];
const BUS_CALLER = /^\((bus_notify|device_|__device_|driver_|really_probe)/;

/** The bus notifications of a trace that both begin and end in it, in the order of their first lines. */
function blocksOf(lines: readonly Line[], kernel: string): Block[] {
  interface Open {
    first: number;
    args: string;
    nests: boolean;
  }
  const open = new Map<number, Open[]>();
  const notify = new Map<number, number>();
  const blocks: Block[] = [];
  lines.forEach(({ name, args, pid }, i) => {
    if (name === 'bus_notify') {
      if (quoted(args, 'bus') !== undefined) notify.set(pid, i);
    } else if (name === 'blocking_notifier_call_chain') {
      const stack = open.get(pid) ?? [];
      open.set(pid, stack);
      stack.push({ first: notify.get(pid) ?? i, args, nests: false });
      notify.delete(pid);
    } else if (name === 'blocking_notifier_call_chain_ret') {
      const stack = open.get(pid) ?? [];
      const call = stack.pop();
      const dev = call && quoted(call.args, 'dev');
      const bus = call && quoted(call.args, 'bus');
      if (call === undefined || dev === undefined || bus === undefined) return;
      if (!BUS_CALLER.test(args)) return;
      for (const outer of stack) outer.nests = true;
      const number = Number(/ val=(0x[0-9a-f]+)/.exec(call.args)?.[1]);
      const own: number[] = [];
      for (let k = call.first; k <= i; k++) if (lines[k].pid === pid) own.push(k);
      const action = ACTIONS[number - firstNumber(kernel)];
      blocks.push({ dev, bus, action, pid, lines: own, nests: call.nests });
    }
  });
  return blocks.sort((a, b) => a.lines[0] - b.lines[0]);
}

/**
 * The bus notifications by their first line alone, whether or not they return: bus_notify where it
 * is probed, else the call of a chain that is a bus's in the recording as it was.
 */
function entriesOf(lines: readonly Line[], { kernel, blocks, lines: was }: Recording): Block[] {
  const chainOf = (line: Line) => /nh=(\w+)/.exec(line.args)?.[1];
  const announced = blocks.some((b) => was[b.lines[0]].name === 'bus_notify');
  const busChains = new Set(announced ? [] : blocks.map((b) => chainOf(was[b.lines[0]])));
  return lines.flatMap((line, i) => {
    if (announced ? line.name !== 'bus_notify' : !busChains.has(chainOf(line))) return [];
    const dev = quoted(line.args, 'dev');
    const bus = quoted(line.args, 'bus');
    if (dev === undefined || bus === undefined) return [];
    const number = Number(/ val(?:ue)?=(\w+)/.exec(line.args)![1]);
    const action = ACTIONS[number - firstNumber(kernel)];
    return [{ dev, bus, action, pid: line.pid, lines: [i], nests: false }];
  });
}

interface Step {
  readonly what: Action | 'device_add' | 'device_add failed';
  readonly pid: number;
  readonly line: number;
}

/** What happened to one device: its notifications and the entries and failures of device_add. */
function stepsOf(
  lines: readonly Line[],
  blocks: readonly Block[],
  dev: string,
  bus: string,
): Step[] {
  const steps: Step[] = blocks
    .filter((b) => b.dev === dev && b.bus === bus)
    .map((b) => ({ what: b.action, pid: b.pid, line: b.lines[0] }));
  const adding = new Map<number, string[]>();
  lines.forEach(({ name, args, pid }, line) => {
    if (name === 'device_add') {
      const added = `${quoted(args, 'bus')}/${quoted(args, 'dev')}`;
      adding.set(pid, [...(adding.get(pid) ?? []), added]);
      if (added === `${bus}/${dev}`) steps.push({ what: 'device_add', pid, line });
    } else if (name === 'device_add_ret') {
      const added = adding.get(pid)?.pop();
      const failed = /ret=(-\d+|4294967\d+)/.test(args);
      if (failed && added === `${bus}/${dev}`) steps.push({ what: 'device_add failed', pid, line });
    }
  });
  return steps.sort((a, b) => a.line - b.line);
}

interface Offence {
  readonly step: Step;
  /** The rules that a reader of B.3 may name for it. */
  readonly rules: readonly string[];
}

/**
 * B.3 by hand: the first step that the driver core cannot take, or undefined.
 *
 * `?` is a device that the trace finds in the middle of its life; `new` is inside device_add before
 * ADD_DEVICE. Whether DEL_DEVICE was sent is not known for a device found in the middle, until it
 * is sent, or a driver binds, which none does after DEL_DEVICE on the kernels recorded.
 */
function judge(steps: readonly Step[], kernel: string): Offence | undefined {
  let state: '?' | 'new' | 'idle' | 'binding' | 'bound' | 'unbinding' | 'removed' = '?';
  let deleted: boolean | undefined;
  /** The task between BIND and BOUND or UNBIND and UNBOUND: it holds device_lock (B.2). */
  let holder: number | undefined;
  for (const step of steps) {
    const { what, pid } = step;
    const illegal = (...rules: string[]): Offence => ({ step, rules });
    if (what === 'device_add') {
      // While a device of this name lives, the call fails for the name.
      if (state === 'removed' || (state === '?' && deleted !== true)) state = 'new';
      continue;
    }
    if (what === 'device_add failed') {
      if (state === 'new') state = '?';
      continue;
    }
    if (what === 'ADD_DEVICE') {
      if (state === 'idle' || state === 'binding' || state === 'bound' || state === 'unbinding')
        return illegal('B.3', 'INV-01b', 'INV-09');
      if (state === '?' && deleted === true) return illegal('B.3', 'INV-01b');
      state = 'idle';
      deleted = false;
      holder = undefined;
      continue;
    }
    if (state === 'new') return illegal('INV-01b');
    if (state === 'removed')
      return illegal('B.3', 'INV-01b', ...(what === 'BIND_DRIVER' ? ['INV-07'] : []));
    switch (what) {
      case 'BIND_DRIVER':
        if (deleted === true) return illegal('INV-07');
        if (state !== '?' && state !== 'idle') return illegal('B.3', 'INV-47');
        state = 'binding';
        deleted = false;
        holder = pid;
        break;
      case 'UNBIND_DRIVER':
        if (state !== '?' && state !== 'bound') return illegal('B.3', 'INV-47');
        state = 'unbinding';
        holder = pid;
        break;
      case 'BOUND_DRIVER':
      case 'UNBOUND_DRIVER':
        if (state !== '?' && state !== (what === 'BOUND_DRIVER' ? 'binding' : 'unbinding'))
          return illegal('B.3', 'INV-47');
        if (holder !== undefined && holder !== pid) return illegal('INV-47');
        state = what === 'BOUND_DRIVER' ? 'bound' : 'idle';
        holder = undefined;
        break;
      case 'DRIVER_NOT_BOUND':
        // Up to v5.16 a failing dma_configure sends it without BIND (K07).
        if (state !== '?' && state !== 'binding' && !(state === 'idle' && kernel === '5.10'))
          return illegal('INV-08', 'B.3');
        if (holder !== undefined && holder !== pid) return illegal('INV-47');
        state = 'idle';
        holder = undefined;
        break;
      case 'DEL_DEVICE':
        if (deleted === true) return illegal('B.3');
        if (holder === pid) return illegal('INV-47');
        deleted = true;
        break;
      case 'REMOVED_DEVICE':
        if (state !== '?' && state !== 'idle') return illegal('INV-09', 'B.3');
        if (deleted === false) return illegal('B.3');
        state = 'removed';
        deleted = undefined;
        holder = undefined;
        break;
    }
  }
  return undefined;
}

/** A changed trace: its lines, and where lines meet that did not before. */
interface Mutant {
  readonly lines: readonly Line[];
  /** Indices of lines before which something was inserted, moved or taken away. */
  readonly seams: readonly number[];
}

/**
 * The trace with `out` taken away and each list of `into` put before the line that it names.
 */
function rearrange(
  lines: readonly Line[],
  out: ReadonlySet<number>,
  into: ReadonlyMap<number, readonly Line[]>,
): Mutant {
  const result: Line[] = [];
  const seams = new Set<number>();
  for (let i = 0; i <= lines.length; i++) {
    const inserted = into.get(i);
    if (inserted !== undefined) {
      seams.add(result.length);
      result.push(...inserted);
      seams.add(result.length);
    }
    if (i === lines.length) break;
    if (out.has(i)) seams.add(result.length);
    else result.push(lines[i]);
  }
  return { lines: result, seams: [...seams] };
}

/** Entries of tasks at which no call of theirs can be open: user mode, the begin of a work item. */
const OUTERMOST =
  /^(tracing_mark_write|acpiphp_hotplug_notify|remove_store|dev_rescan_store|pciehp_handle_button_press|pciehp_handle_presence_or_link_change)$/;

/**
 * B.2 and B.1.3 for one task: calls return innermost first, bus_notify calls its chain at once, and
 * the chain of a bus is called by nothing else. The index of the first line that shows otherwise.
 *
 * A return without a call is only proof if another call of the task is open (an outer call cannot
 * return before it) or the task was seen outside any call; otherwise the call may be older than the
 * trace. A call without a return is only proof once something around it returned or the task is
 * seen outside; otherwise the trace may end before it returns. bus_notify without its chain, or a
 * bus's chain without bus_notify, is only proof once both were seen together for that bus: the
 * probe of either may have a filter. (A return probe also prints who called, which no event of the
 * catalogue keeps.)
 */
function judgeCalls(lines: readonly Line[], pid: number): number | undefined {
  const returning = new Set(
    lines.filter((l) => l.name.endsWith('_ret')).map((l) => l.name.slice(0, -'_ret'.length)),
  );
  const announces = lines.some((l) => l.name === 'bus_notify');
  /** Buses whose chain bus_notify was seen to call, and those chains. */
  const busesSeen = new Set<string>();
  const busChains = new Set<string>();
  /** What each task's bus_notify is about. */
  const notifying = new Map<number, { readonly dev: string; readonly bus: string }>();
  const open: string[] = [];
  let outside = false;
  for (let i = 0; i < lines.length; i++) {
    const { name, args, pid: task, time } = lines[i];
    if (time === '' || name === 'notifier_run') continue;
    const mine = task === pid;
    const about = notifying.get(task);
    notifying.delete(task);
    if (name === 'blocking_notifier_call_chain') {
      const chain = /nh=(\w+)/.exec(args)![1];
      if (about !== undefined && about.dev === quoted(args, 'dev')) {
        busesSeen.add(about.bus);
        busChains.add(chain);
      } else if (mine && announces && busChains.has(chain)) return i;
    } else if (mine && about !== undefined && busesSeen.has(about.bus)) return i;
    if (name === 'bus_notify') {
      const dev = quoted(args, 'dev');
      const bus = quoted(args, 'bus');
      if (dev !== undefined && bus !== undefined) notifying.set(task, { dev, bus });
    }
    if (!mine) continue;
    if (OUTERMOST.test(name)) {
      if (open.length > 0) return i;
      outside = true;
    } else if (name.endsWith('_ret')) {
      const call = name.slice(0, -'_ret'.length);
      if (open.at(-1) === call) open.pop();
      else if (open.length > 0 || outside) return i;
    } else if (returning.has(name)) open.push(name);
  }
  return undefined;
}

interface ChainCall {
  readonly chain: string;
  readonly first: number;
  readonly last: number;
  /** Callbacks by their own probes, and by notifier_run. */
  readonly calls: readonly string[];
  readonly runs: readonly string[];
}

/** The complete calls of bus chains, in the order in which they returned. */
function chainCalls(lines: readonly Line[], blocks: readonly Block[]): ChainCall[] {
  return blocks
    .map((block) => {
      const call = block.lines.find((i) => lines[i].name === 'blocking_notifier_call_chain')!;
      const calls: string[] = [];
      const runs: string[] = [];
      let depth = 0;
      for (const i of block.lines) {
        const { name, args } = lines[i];
        if (name === 'blocking_notifier_call_chain') depth++;
        else if (name === 'blocking_notifier_call_chain_ret') depth--;
        else if (depth === 1 && name === 'notifier_run') runs.push(args);
        else if (depth === 1 && / cb=/.test(args)) calls.push(name);
      }
      const chain = /nh=(\w+)/.exec(lines[call].args)![1];
      return { chain, first: block.lines[0], last: block.lines.at(-1)!, calls, runs };
    })
    .sort((a, b) => a.last - b.last);
}

/**
 * INV-13: whether the call that holds `line` lacks a callback, or ran one too much or in another
 * order, than both the call of the same chain before it and the one after it, with nothing in
 * between that registers or removes one.
 *
 * A chain's first and last call prove nothing: what they lack may have been registered after the
 * one or removed before the other.
 */
function judgeChain(lines: readonly Line[], blocks: readonly Block[], line: number): boolean {
  const calls = chainCalls(lines, blocks);
  const at = calls.findIndex((c) => c.first <= line && line <= c.last && owns(lines, c, line));
  if (at < 0) return false;
  const { chain } = calls[at];
  const before = calls.slice(0, at).findLast((c) => c.chain === chain);
  const after = calls.slice(at + 1).find((c) => c.chain === chain);
  if (before === undefined || after === undefined) return false;
  for (let i = before.first; i <= after.last; i++) {
    if (/register/.test(lines[i].name) && /notifier/.test(lines[i].name)) {
      // A registration names its callback (B.1.4) and excuses only that one.
      const fn = (/cb=(\w+)/.exec(lines[i].args)?.[1] ?? lines[i].args).trim();
      if ([...before.runs, ...before.calls, ...calls[at].runs].includes(fn)) return false;
    }
  }
  const differs = (by: 'calls' | 'runs') =>
    before[by].join() === after[by].join() && before[by].join() !== calls[at][by].join();
  return differs('calls') || differs('runs');
}

const owns = (lines: readonly Line[], call: ChainCall, line: number) =>
  lines[call.first].pid === lines[line].pid;

/**
 * INV-02, INV-03, INV-19: who is in which group. The rule that the trace breaks for `dev` first.
 * Read are the two tracepoints, dev->iommu_group as bus_notify prints it, iommu_group_release, and
 * the return of REMOVED_DEVICE, by which the IOMMU core has taken the device out (C.3).
 */
function judgeMembership(
  lines: readonly Line[],
  blocks: readonly Block[],
  entries: readonly Block[],
  dev: string,
): { readonly line: number; readonly rule: string } | undefined {
  const of = (action: Action) => (b: Block) => b.dev === dev && b.action === action;
  const born = new Set(entries.filter(of('ADD_DEVICE')).map((b) => b.lines[0]));
  const gone = new Set(blocks.filter(of('REMOVED_DEVICE')).map((b) => b.lines.at(-1)!));
  const leaving = lines.some(({ name }) => name === 'remove_device_from_group');
  let group: string | null | undefined;
  for (let line = 0; line < lines.length; line++) {
    const { name, args } = lines[line];
    if (born.has(line)) group = null;
    const moved = /^IOMMU: groupID=(\d+) device=(\S+)$/.exec(args);
    if (moved !== null && moved[2] === dev) {
      if (name === 'add_device_to_group') {
        if (typeof group === 'string') return { line, rule: 'INV-02' };
        group = moved[1];
      } else if (name === 'remove_device_from_group') {
        if (group === null || (group !== undefined && group !== moved[1]))
          return { line, rule: 'INV-03' };
        group = null;
      }
    } else if (name === 'iommu_group_release') {
      if (typeof group === 'string' && args.endsWith(` kobj="${group}"`))
        return { line, rule: 'INV-19' };
    } else if (name === 'bus_notify' && quoted(args, 'dev') === dev && !born.has(line)) {
      const pointer = / gptr=(\w+)/.exec(args)?.[1];
      if (pointer === undefined || group === undefined) continue;
      if ((pointer === '0x0') !== (group === null)) return { line, rule: 'INV-03' };
    }
    if (gone.has(line)) {
      // Where the tracepoint is nowhere in the trace it may not have been enabled.
      if (typeof group === 'string' && leaving) return { line, rule: 'INV-03' };
      group = undefined;
    }
  }
  return undefined;
}

// ---------------------------------------------------------------------------------------------
// The recordings.

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
const TRACES = path('../../../../shared/traces');
/** Longer recordings are left to sweep.test.ts. */
const LONGEST = 3000;

function folders(parent: string): string[] {
  if (!existsSync(parent)) return [];
  return readdirSync(parent, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => `${parent}/${entry.name}`);
}

function load(folder: string, name: string): string {
  const file = [`${folder}/${name}`, `${folder}/${name}.gz`].find((f) => existsSync(f))!;
  const bytes = readFileSync(file);
  return (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('latin1');
}

const RECORDINGS: readonly Recording[] = [
  ...folders(path('../../fixtures')),
  ...folders(path('../../../events/samples')),
  ...folders(TRACES).flatMap(folders),
].flatMap((folder) => {
  // What was lost while recording has made every rule inconclusive already.
  if (folder.endsWith('lost-events')) return [];
  const lines = load(folder, 'trace.txt').replace(/\n$/, '').split('\n').map(parseLine);
  if (lines.length > LONGEST) return [];
  const snapshot = load(folder, 'sysfs-before.txt');
  const kernel = /^# uname: Linux \S+ (\d+\.\d+)\./m.exec(snapshot)![1];
  const name = folder.split('/').slice(-2).join('/');
  return [{ name, kernel, lines, blocks: blocksOf(lines, kernel) }];
});
/** Those with notifications in them. */
const LIVELY = RECORDINGS.filter((r) => r.blocks.length > 0);

const scratch = mkdtempSync(join(tmpdir(), 'hotrace-mutations-'));
let files = 0;

/** Replays lines; with `stamp` unless their times ascend as they are. */
async function replayed(text: string, kernel: string): Promise<ReplayResult> {
  const file = join(scratch, `${files++}.txt`);
  writeFileSync(file, text, 'latin1');
  try {
    return await replay({ files: [file], history: false, kernel: profileByName(kernel)! });
  } finally {
    rmSync(file);
  }
}

const violationsOf = (result: ReplayResult) => result.verdicts.flatMap((v) => v.violations);

/** What a failing property shows: the lines around `line` of a changed trace, and what was said. */
function show(
  { name }: Recording,
  what: string,
  lines: readonly Line[],
  line: number,
  result: ReplayResult,
): string {
  const from = Math.max(0, line - 6);
  const shown = lines.slice(from, line + 7).map((l, k) => {
    const text = `${l.head}${l.time}${l.tail}`.slice(0, 220);
    return `${from + k === line ? '>' : ' '}${from + k + 1}: ${text}`;
  });
  const said = violationsOf(result).map((v) => `${v.rule} ${v.message} (line ${v.at.origin.line})`);
  const doubts = result.verdicts.flatMap((v) =>
    v.inconclusive
      .filter((d) => d.cause !== 'not recorded' && d.cause !== 'not in this kernel')
      .map((d) => `${v.rule.id}: ${d.cause}: ${d.detail}`),
  );
  return [
    `${name}: ${what}`,
    ...shown,
    `reported: ${said.slice(0, 5).join('; ') || 'nothing'}`,
    `doubts: ${[...new Set(doubts)].slice(0, 5).join('; ') || 'none'}`,
  ].join('\n');
}

// ---------------------------------------------------------------------------------------------
// Changes of whole notifications.

const KINDS = ['swap', 'drop', 'duplicate', 'delete first', 'renumber'] as const;

interface BlockDraw {
  readonly kind: (typeof KINDS)[number];
  readonly recording: number;
  readonly block: number;
  readonly other: number;
}

const nat = fc.nat(1_000_000);
const pick = <T>(list: readonly T[], n: number): T => list[n % list.length];

const blockDraw = fc.record<BlockDraw>({
  kind: fc.constantFrom(...KINDS),
  recording: nat,
  block: nat,
  other: nat,
});

interface BlockChange {
  readonly recording: Recording;
  readonly block: Block;
  readonly what: string;
  readonly mutant: Mutant;
}

/** The block with another action, in every line that prints it. */
function renumbered({ lines, kernel }: Recording, block: Block, action: Action): readonly Line[] {
  const first = firstNumber(kernel);
  const from = ACTIONS.indexOf(block.action) + first;
  const to = ACTIONS.indexOf(action) + first;
  let depth = 0;
  return block.lines.map((i) => {
    const line = lines[i];
    let { args } = line;
    if (line.name === 'bus_notify') args = args.replace(/ value=\d+$/, ` value=${to}`);
    else if (line.name === 'blocking_notifier_call_chain_ret') depth--;
    else if (line.name === 'blocking_notifier_call_chain') {
      // A chain called inside is a group's, with numbers of its own.
      if (depth++ === 0) args = args.replace(` val=0x${from} `, ` val=0x${to} `);
    } else args = args.replace(` action=0x${from} `, ` action=0x${to} `);
    return { ...line, args, tail: `: ${line.name}: ${args}` };
  });
}

function changeBlock({ kind, recording, block, other }: BlockDraw): BlockChange | undefined {
  const from = pick(LIVELY, recording);
  const { lines } = from;
  const whole = from.blocks.filter((b) => !b.nests);
  const chosen = pick(whole, block);
  const mine = whole.filter((b) => b.dev === chosen.dev && b.bus === chosen.bus);
  const text = (b: Block) => b.lines.map((i) => lines[i]);
  const change = (what: string, mutant: Mutant): BlockChange => ({
    recording: from,
    block: chosen,
    what: `${what} ${chosen.action} of ${chosen.dev}, line ${chosen.lines[0] + 1}`,
    mutant,
  });
  switch (kind) {
    case 'swap': {
      const second = mine[(mine.indexOf(chosen) + 1 + (other % 3)) % mine.length];
      if (second.action === chosen.action) return undefined;
      const out = new Set([...chosen.lines, ...second.lines]);
      const into = new Map([
        [chosen.lines[0], text(second)],
        [second.lines[0], text(chosen)],
      ]);
      return change(`swap ${second.action} and`, rearrange(lines, out, into));
    }
    case 'drop':
      return change('drop', rearrange(lines, new Set(chosen.lines), new Map()));
    case 'duplicate': {
      const into = new Map([[chosen.lines.at(-1)! + 1, text(chosen)]]);
      return change('duplicate', rearrange(lines, new Set(), into));
    }
    case 'delete first': {
      const del = mine.find((b) => b.action === 'DEL_DEVICE' && b.lines[0] > chosen.lines[0]);
      if (chosen.action !== 'ADD_DEVICE' || del === undefined) return undefined;
      const to = Math.max(0, chosen.lines[0] - (other % 6));
      return change(
        'DEL_DEVICE before',
        rearrange(lines, new Set(del.lines), new Map([[to, text(del)]])),
      );
    }
    case 'renumber': {
      const action = pick(ACTIONS, other);
      if (action === chosen.action) return undefined;
      const into = new Map([[chosen.lines[0], renumbered(from, chosen, action)]]);
      return change(`make ${action} of`, rearrange(lines, new Set(chosen.lines), into));
    }
  }
}

/** The rules of B.3 and of device_lock: what the order of one device's notifications can break. */
const ORDER_RULES = new Set(['INV-01b', 'INV-07', 'INV-08', 'INV-09', 'B.3', 'INV-47']);

// ---------------------------------------------------------------------------------------------
// Changes of single lines.

interface LineDraw {
  readonly kind: 'swap' | 'drop' | 'duplicate';
  readonly recording: number;
  readonly block: number;
  readonly line: number;
}

const lineDraw = fc.record<LineDraw>({
  kind: fc.constantFrom('swap' as const, 'drop' as const, 'duplicate' as const),
  recording: nat,
  block: nat,
  line: nat,
});

interface LineChange {
  readonly recording: Recording;
  readonly dev: string;
  readonly bus: string;
  readonly pid: number;
  readonly what: string;
  readonly mutant: Mutant;
  /** Where the changed line, or what took its place, stands in the mutant. */
  readonly at: number;
  /** Lines of the mutant that were lines of the block. */
  readonly ofBlock: ReadonlySet<number>;
}

function changeLine(
  from: Recording,
  block: Block,
  k: number,
  kind: LineDraw['kind'],
): LineChange | undefined {
  const { lines } = from;
  const i = block.lines[k];
  const next = block.lines[k + 1];
  let mutant: Mutant;
  if (kind === 'drop') mutant = rearrange(lines, new Set([i]), new Map());
  else if (kind === 'duplicate')
    mutant = rearrange(lines, new Set(), new Map([[i + 1, [lines[i]]]]));
  else {
    if (next === undefined) return undefined;
    // The second line goes before the first; other tasks' lines in between stay behind both.
    mutant = rearrange(lines, new Set([next]), new Map([[i, [lines[next]]]]));
  }
  const own = new Set(block.lines.map((n) => lines[n]));
  const ofBlock = new Set<number>();
  mutant.lines.forEach((line, n) => {
    if (own.has(line)) ofBlock.add(n);
  });
  const second = kind === 'swap' ? ` and ${lines[next].name}` : '';
  return {
    recording: from,
    dev: block.dev,
    bus: block.bus,
    pid: block.pid,
    what: `${kind} ${lines[i].name}${second} in ${block.action} of ${block.dev}, line ${i + 1}`,
    mutant,
    at: kind === 'duplicate' ? i + 1 : i,
    ofBlock,
  };
}

/**
 * The rules that a careful reader of the changed trace would name; empty: nothing proves it wrong.
 *
 * Nothing proves wrong, and no rule of the catalogue speaks of:
 * - a call without a probe on its return (pci_device_group, iommu_group_alloc, device_del, …): it
 *   may be made any number of times, and nothing pairs with it;
 * - an attach: an attempt that failed leaves a call without the tracepoint, a second one is legal;
 * - the last call of a task, and of a chain: the trace may end before what would contradict it;
 * - notifier_run and the entry of its own callback the wrong way round, where the callback has no
 *   probe on its return: the same callbacks ran in the same order.
 */
function expectedRules({ recording, dev, bus, pid, mutant, ofBlock }: LineChange): string[] {
  const { lines } = mutant;
  const blocks = blocksOf(lines, recording.kernel);
  const entries = entriesOf(lines, recording);
  const rules: string[] = [];
  if (judgeCalls(lines, pid) !== undefined) rules.push('B.2');
  const offence = judge(stepsOf(lines, entries, dev, bus), recording.kernel);
  if (offence !== undefined) rules.push(...offence.rules);
  // One line of the changed call is enough to find it.
  if (judgeChain(lines, blocks, Math.max(...ofBlock))) rules.push('INV-13', 'B.1');
  const member = judgeMembership(lines, blocks, entries, dev);
  if (member !== undefined) rules.push(member.rule, 'INV-03', 'INV-05', 'INV-42', 'INV-19');
  return rules;
}

// ---------------------------------------------------------------------------------------------

const tally = { changes: 0, illegal: 0, legal: 0, lost: 0, windows: 0 };
afterAll(() => {
  rmSync(scratch, { recursive: true, force: true });
  console.log(
    `mutations: ${tally.changes} of ${LIVELY.length} recordings, ${tally.illegal} illegal, ` +
      `${tally.legal} not; ${tally.lost} with a loss mark, ${tally.windows} windows`,
  );
});

/** Runs of each property. */
const RUNS = 300;

/** What is wrong with the report on a changed trace, or undefined. */
async function checkBlock(change: BlockChange): Promise<string | undefined> {
  const { recording, block, what, mutant } = change;
  const { kernel } = recording;
  const { lines } = mutant;
  const offence = judge(stepsOf(lines, blocksOf(lines, kernel), block.dev, block.bus), kernel);
  const result = await replayed(stamp(lines), kernel);
  const mine = violationsOf(result).filter((v) => v.dev === block.dev && ORDER_RULES.has(v.rule));
  tally.changes++;
  if (offence === undefined) {
    tally.legal++;
    if (mine.length === 0 && result.kernel.contradictions.length === 0) return undefined;
    return show(recording, `${what}: legal`, lines, mutant.seams[0], result);
  }
  tally.illegal++;
  const { line } = offence.step;
  const found = mine.some((v) => offence.rules.includes(v.rule) && v.at.origin.line === line + 1);
  if (found) return undefined;
  return show(recording, `${what}: ${offence.rules.join(' or ')}`, lines, line, result);
}

/** Whether a violation is about the device of the changed notification, or about its lines. */
function concerns(violation: Violation, dev: string, ofBlock: ReadonlySet<number>): boolean {
  return (
    violation.dev === dev ||
    [violation.at, ...violation.related].some((ref) => ofBlock.has(ref.origin.line - 1))
  );
}

/** The rules that the oracles of single lines judge in both directions. */
const EXACT_RULES = new Set([...ORDER_RULES, 'B.2', 'INV-02', 'INV-03']);

async function checkLine(change: LineChange): Promise<string | undefined> {
  const { recording, what, mutant, dev, ofBlock, at } = change;
  const rules = expectedRules(change);
  const result = await replayed(stamp(mutant.lines), recording.kernel);
  const violations = violationsOf(result);
  tally.changes++;
  if (rules.length === 0) {
    tally.legal++;
    const wrong = violations.filter((v) => EXACT_RULES.has(v.rule));
    if (wrong.length === 0 && result.kernel.contradictions.length === 0) return undefined;
    return show(recording, `${what}: nothing wrong to be seen`, mutant.lines, at, result);
  }
  tally.illegal++;
  if (violations.some((v) => rules.includes(v.rule) && concerns(v, dev, ofBlock))) return undefined;
  return show(recording, `${what}: ${[...new Set(rules)].join(' or ')}`, mutant.lines, at, result);
}

/** A mark of ftrace for lost events before each line at a seam, on that line's CPU. */
function marked({ lines, seams }: Mutant): Line[] {
  const at = new Set(seams);
  const result: Line[] = [];
  let cpu = 0;
  lines.forEach((line, i) => {
    if (line.cpu >= 0) ({ cpu } = line);
    if (at.has(i)) result.push(parseLine(`CPU:${cpu} [LOST 5 EVENTS]`));
    result.push(line);
  });
  return result;
}

async function checkLost(
  recording: Recording,
  what: string,
  mutant: Mutant,
): Promise<string | undefined> {
  const lines = marked(mutant);
  const result = await replayed(stamp(lines), recording.kernel);
  tally.lost++;
  const violated = violationsOf(result);
  const line = violated.length > 0 ? violated[0].at.origin.line - 1 : mutant.seams[0];
  const lossy = result.verdicts.filter((v) =>
    v.inconclusive.some((d) => d.cause === 'lost events'),
  );
  const rules = lossy.map((v) => v.rule.id);
  const doubted = ['B.2', 'B.3', 'INV-02', 'INV-09', 'INV-13'].every((id) => rules.includes(id));
  // A mark behind the last event is followed by nothing that it could be a gap before.
  const trailing = mutant.seams.every((i) => mutant.lines.slice(i).every((l) => l.time === ''));
  if (violated.length === 0 && result.kernel.contradictions.length === 0 && (doubted || trailing)) {
    return undefined;
  }
  return show(recording, `${what}, with loss marks`, lines, line, result);
}

type Cut = 'begins later' | 'ends earlier' | 'both' | 'lost';

/** A part of the recording, or the recording without a part and the marks of that loss. */
function cut(recording: Recording, how: Cut, a: number, b: number): Line[] | undefined {
  const { lines } = recording;
  const head = lines.findIndex((l) => l.time !== '');
  const from = head + (a % (lines.length - head));
  const to = from + 1 + (b % (lines.length - from));
  if (how === 'begins later') return lines.slice(from);
  if (how === 'ends earlier') return lines.slice(0, to);
  if (how === 'both') return lines.slice(from, to);
  const missing = new Set(lines.slice(from, to).map((l) => l.cpu));
  missing.delete(-1);
  const result = lines.slice(0, from);
  for (const line of lines.slice(to)) {
    // A CPU says with its next event that it had lost some.
    if (missing.delete(line.cpu)) result.push(parseLine(`CPU:${line.cpu} [LOST 5 EVENTS]`));
    result.push(line);
  }
  return missing.size === 0 ? result : undefined;
}

async function checkCut(
  recording: Recording,
  what: string,
  lines: readonly Line[],
): Promise<string | undefined> {
  tally.windows++;
  const result = await replayed(stamp(lines), recording.kernel);
  const violated = violationsOf(result);
  if (violated.length === 0 && result.kernel.contradictions.length === 0) return undefined;
  const line = (violated[0]?.at ?? result.kernel.contradictions[0]).origin?.line;
  return show(recording, what, lines, (line ?? 1) - 1, result);
}

function lineChange({ kind, recording, block, line }: LineDraw): LineChange | undefined {
  const from = pick(LIVELY, recording);
  const chosen = pick(
    from.blocks.filter((b) => !b.nests),
    block,
  );
  return changeLine(from, chosen, line % chosen.lines.length, kind);
}

/** Adding to and removing from a group: lines that a draw of any line seldom hits. */
const MEMBERSHIP = LIVELY.flatMap((recording) =>
  recording.blocks.flatMap((block) =>
    block.nests
      ? []
      : block.lines.flatMap((i, k) =>
          /^(add_device_to|remove_device_from)_group$/.test(recording.lines[i].name)
            ? [{ recording, block, k }]
            : [],
        ),
  ),
);

/** Fails with what is wrong, if anything is. */
async function holds(check: Promise<string | undefined>): Promise<void> {
  const wrong = await check;
  if (wrong !== undefined) throw new Error(wrong);
}

describe('what the oracles take for granted', () => {
  it.each(RECORDINGS.map((r) => [r.name, r] as const))('%s is clean', async (_name, recording) => {
    const { lines, blocks, kernel } = recording;
    for (const { dev, bus } of new Map(blocks.map((b) => [`${b.bus}/${b.dev}`, b])).values()) {
      expect(judge(stepsOf(lines, blocks, dev, bus), kernel), dev).toBeUndefined();
      expect(judgeMembership(lines, blocks, blocks, dev), dev).toBeUndefined();
    }
    for (const pid of new Set(lines.filter((l) => l.time !== '').map((l) => l.pid))) {
      expect(judgeCalls(lines, pid), `task ${pid}`).toBeUndefined();
    }
    for (const { lines: own } of blocks) expect(judgeChain(lines, blocks, own[0])).toBe(false);
    const result = await replayed(stamp(lines), kernel);
    expect(violationsOf(result)).toEqual([]);
  });
});

describe('whole notifications of a device, moved, dropped, doubled or renumbered', () => {
  it('are reported where they break the order, and only there', async () => {
    await fc.assert(
      fc.asyncProperty(blockDraw, async (draw) => {
        const change = changeBlock(draw);
        fc.pre(change !== undefined);
        await holds(checkBlock(change));
      }),
      { numRuns: 2 * RUNS },
    );
  });

  it('are inconclusive where a loss mark covers them', async () => {
    await fc.assert(
      fc.asyncProperty(blockDraw, async (draw) => {
        // A renumbered one contradicts itself, not what the marks cover.
        fc.pre(draw.kind !== 'renumber');
        const change = changeBlock(draw);
        fc.pre(change !== undefined);
        await holds(checkLost(change.recording, change.what, change.mutant));
      }),
      { numRuns: RUNS },
    );
  });
});

describe('single lines of a notification, dropped, doubled or swapped', () => {
  it('are reported where a reader sees it, and only there', async () => {
    await fc.assert(
      fc.asyncProperty(lineDraw, async (draw) => {
        const change = lineChange(draw);
        fc.pre(change !== undefined);
        await holds(checkLine(change));
      }),
      { numRuns: 2 * RUNS },
    );
  });

  it('are reported where they are additions to and removals from a group', async () => {
    const kind = fc.constantFrom('drop' as const, 'duplicate' as const, 'swap' as const);
    await fc.assert(
      fc.asyncProperty(kind, nat, async (how, n) => {
        const { recording, block, k } = pick(MEMBERSHIP, n);
        const change = changeLine(recording, block, k, how);
        fc.pre(change !== undefined);
        await holds(checkLine(change));
      }),
      { numRuns: RUNS },
    );
  });

  it('are inconclusive where a loss mark covers them', async () => {
    await fc.assert(
      fc.asyncProperty(lineDraw, async (draw) => {
        const change = lineChange(draw);
        fc.pre(change !== undefined);
        await holds(checkLost(change.recording, change.what, change.mutant));
      }),
      { numRuns: RUNS },
    );
  });
});

describe('a part of a recording', () => {
  it.each<Cut>(['begins later', 'ends earlier', 'both', 'lost'])(
    'proves nothing that the whole does not: %s',
    async (how) => {
      await fc.assert(
        fc.asyncProperty(nat, nat, nat, async (which, a, b) => {
          const recording = pick(LIVELY, which);
          const lines = cut(recording, how, a, b);
          fc.pre(lines?.some((l) => l.time !== '') === true);
          await holds(checkCut(recording, how, lines ?? []));
        }),
        { numRuns: RUNS },
      );
    },
  );
});
