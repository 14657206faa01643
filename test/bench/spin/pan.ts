/**
 * SPIN as a rival: makes a verifier from storm.pml, compiles and runs it, reads what it prints.
 * Its times are by the clock or of processor time, whichever is less: that the machine is busy is
 * not held against it.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { freemem, tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** What storm.pml is made with; see there. */
export type StormModel = readonly ('COLLAPSED' | 'SPLIT_COUNT')[];

export interface PanOptions {
  readonly model: StormModel;
  readonly devices: number;
  /** For gcc; `-O2` where left out. */
  readonly optimise?: '-O0' | '-O1' | '-O2' | '-O3';
  /** Without SPIN's partial-order reduction. */
  readonly unreduced?: boolean;
  /** s */
  readonly limit: number;
}

export interface PanRun {
  /** Undefined: the search was complete. */
  readonly cut: 'time' | 'memory' | undefined;
  /** s: spin and gcc. */
  readonly make: number;
  /** s */
  readonly search: number;
  readonly states: number;
  /** Steps made, and matched. SPIN counts the first state and the monitor's step of each final state. */
  readonly transitions: number;
  /** MB that the verifier allocated. */
  readonly memory: number;
  /** Final states in which a listener heard something wrong. */
  readonly wrongFinals: number;
}

const MODEL = findUp(path.dirname(fileURLToPath(import.meta.url)), 'test/bench/spin/storm.pml');
/** 2 to this power: places in SPIN's hash table, by number of devices; it grows by itself. */
const HASH = [10, 10, 14, 18, 24, 26];

function findUp(from: string, name: string): string {
  const here = path.join(from, name);
  return existsSync(here) ? here : findUp(path.dirname(from), name);
}

const runs = (command: string, ...args: string[]): boolean =>
  spawnSync(command, args, { stdio: 'ignore' }).status === 0;

/** Whether `spin`, gcc and what measures them are there. */
export function spinIsThere(): boolean {
  return (
    runs('spin', '-V') &&
    runs('gcc', '--version') &&
    runs('bash', '-c', 'true') &&
    runs('timeout', '--version')
  );
}

/** Installs Debian's `spin` where it is missing and this may. Returns why it is not there, if so. */
export function getSpin(): string | undefined {
  if (spinIsThere()) return undefined;
  if (process.getuid?.() !== 0) return 'spin or gcc is missing, and only root may install them';
  if (!runs('apt-get', '--version')) return 'spin or gcc is missing, and there is no apt-get';
  const install = () =>
    runs(
      'timeout',
      '120',
      'apt-get',
      'install',
      '-y',
      '--no-install-recommends',
      'spin',
      'gcc',
      'libc6-dev',
    );
  if (!install()) {
    runs('timeout', '120', 'apt-get', 'update');
    if (!install()) return 'spin is missing and could not be installed';
  }
  return spinIsThere() ? undefined : 'spin was installed and does not run';
}

/** SPIN, gcc or the verifier did not do as it should. */
export class PanError extends Error {}

/** Throws PanError. */
export function runPan({ model, devices, optimise = '-O2', unreduced, limit }: PanOptions): PanRun {
  const folder = mkdtempSync(path.join(tmpdir(), 'hotrace-spin-'));
  try {
    const defines = [`-DN=${devices}`, ...model.map((define) => `-D${define}`)].join(' ');
    // What other processes need stays theirs.
    const memory = Math.floor((freemem() / 2 ** 20) * 0.8);
    const flags = `${optimise} -w -DSAFETY -DMEMLIM=${memory}${unreduced ? ' -DNOREDUCE' : ''}`;
    const make = timed(folder, `spin ${defines} -a "${MODEL}" && gcc ${flags} -o pan pan.c`);
    const hash = HASH[Math.min(devices, HASH.length - 1)];
    // -c0: counts all errors and stops at none. An interrupted pan prints its figures as well.
    const ran = timed(folder, `timeout -s INT ${limit} ./pan -c0 -m1000 -w${hash}`, [0, 124]);
    return { make: make.seconds, search: ran.seconds, ...figures(ran.text) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs a line of bash. */
function timed(cwd: string, line: string, fine = [0]): { text: string; seconds: number } {
  const { stdout, stderr, status } = spawnSync(
    'bash',
    ['-c', `TIMEFORMAT='took %R %U %S'; time { ${line}; }`],
    { cwd, encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' }, maxBuffer: 2 ** 26 },
  );
  const took = /took (\S+) (\S+) (\S+)\s*$/.exec(stderr);
  if (took === null || status === null || !fine.includes(status)) {
    throw new PanError(`${line}: ${stdout.slice(-500)}${stderr.slice(-500)}`);
  }
  const [clock, user, system] = took.slice(1).map(Number);
  return { text: stdout, seconds: Math.min(clock, user + system) };
}

function figures(text: string): Omit<PanRun, 'make' | 'search'> {
  const number = (pattern: RegExp) => {
    const found = pattern.exec(text);
    if (found === null) throw new PanError(`no ${pattern.source} in what pan printed: ${text}`);
    return Number(found[1]);
  };
  const complete = !text.includes('Search not completed');
  const outOfMemory = /reached -DMEMLIM|out of memory/i.test(text);
  return {
    cut: complete ? undefined : outOfMemory ? 'memory' : 'time',
    states: number(/(\S+) states, stored/),
    transitions: number(/(\S+) transitions \(= stored\+matched\)/),
    memory: number(/(\S+)\s+total actual memory usage/),
    wrongFinals: number(/errors: (\d+)/),
  };
}
