/** Runs the command for the tests: as a process, or in this one. */

import { spawnSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { InputError } from '../../../events/input-error.js';
import { runReplay } from '../../../src/cli/replay.js';
import type { ReplayFlags } from '../../../src/cli/replay.js';
import { UsageError } from '../../../src/cli/usage-error.js';

export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const BIN = join(ROOT, 'dist', 'bin', 'hotrace.js');
/** Samples and fixtures as the README names them: relative to the root. */
export const SAMPLE = 'events/samples/vfio-nonviable';
export const FIXTURES = 'test/fixtures';

const NEVER = 0;

function modified(path: string): number {
  try {
    return statSync(path).mtimeMs;
  } catch {
    return NEVER;
  }
}

function newestSource(directory: string): number {
  let newest = NEVER;
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (entry.isFile() && entry.name.endsWith('.ts'))
      newest = Math.max(newest, modified(join(entry.parentPath, entry.name)));
  }
  return newest;
}

function stale(): boolean {
  const sources = ['events', 'machines', 'src'].map((room) => newestSource(join(ROOT, room)));
  return modified(BIN) < Math.max(...sources, modified(join(ROOT, 'package.json')));
}

const sleep = (ms: number) => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

/** Builds the command when a source is newer than it. Test files run in parallel: one of them builds. */
export function build(): void {
  const lock = join(ROOT, 'node_modules', '.hotrace-build');
  const until = Date.now() + 100_000;
  while (stale()) {
    try {
      mkdirSync(lock);
    } catch {
      // A lock this old belongs to a build that was killed.
      if (Date.now() - modified(lock) > 60_000 && modified(lock) !== NEVER) rmdirSync(lock);
      if (Date.now() > until) throw new Error('another test has been building for too long');
      sleep(100);
      continue;
    }
    try {
      const { status, stdout, stderr } = spawnSync('npm', ['run', '--silent', 'build'], {
        cwd: ROOT,
        encoding: 'utf8',
      });
      if (status !== 0) throw new Error(`the build failed:\n${stdout}${stderr}`);
      return;
    } finally {
      rmdirSync(lock);
    }
  }
}

export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs `hotrace ARGS` in the root of the repository or elsewhere, with `input` on standard input. */
export function hotrace(args: readonly string[], input: string | Uint8Array = '', cwd = ROOT): Ran {
  const { status, stdout, stderr, error } = spawnSync(process.execPath, [BIN, ...args], {
    cwd,
    encoding: 'utf8',
    input,
    timeout: 60_000,
    maxBuffer: 1 << 28,
  });
  if (error !== undefined) throw error;
  return { code: status, out: stdout, err: stderr };
}

/** Runs a line of shell in the root of the repository; `hotrace` in it is the command. */
export function shell(line: string): Ran {
  const { status, stdout, stderr, error } = spawnSync(
    'bash',
    ['-c', `hotrace() { "${process.execPath}" "${BIN}" "$@"; }; ${line}`],
    { cwd: ROOT, encoding: 'utf8', timeout: 60_000, maxBuffer: 1 << 28 },
  );
  if (error !== undefined) throw error;
  return { code: status, out: stdout, err: stderr };
}

/** `hotrace replay FILES` in this process; what it throws becomes stderr and the code, as in main.ts. */
export async function replayed(files: readonly string[], flags: ReplayFlags = {}): Promise<Ran> {
  let out = '';
  let err = '';
  try {
    const code = await runReplay(
      files,
      flags,
      (text) => (out += text),
      (text) => (err += text),
    );
    return { code, out, err };
  } catch (error) {
    if (!(error instanceof UsageError) && !(error instanceof InputError)) throw error;
    return { code: 2, out, err: `${err}hotrace: ${error.message}\n` };
  }
}

/** A file of the repository as text, decompressed. */
export function text(path: string): string {
  const bytes = readFileSync(join(ROOT, path));
  return (path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
}

/** A folder for the files of one test file; call the second function at the end. */
export function folder(): [string, () => void] {
  const path = mkdtempSync(join(tmpdir(), 'hotrace-cli-'));
  return [path, () => rmSync(path, { recursive: true, force: true })];
}

/** The text with every run of blanks as one: for sentences that may be broken anywhere. */
export const flat = (text: string): string => text.replace(/\s+/g, ' ');

/** Runs the command and tells how much memory it held at most, MB. */
export function peak(args: readonly string[]): Ran & { readonly megabytes: number } {
  const probe =
    'data:text/javascript,process.on("exit",()=>process.stderr.write("\\npeak "+process.resourceUsage().maxRSS))';
  const { status, stdout, stderr, error } = spawnSync(
    process.execPath,
    ['--import', probe, BIN, ...args],
    { cwd: ROOT, encoding: 'utf8', timeout: 60_000, maxBuffer: 1 << 28 },
  );
  if (error !== undefined) throw error;
  const [err, kilobytes] = stderr.split('\npeak ');
  return { code: status, out: stdout, err, megabytes: Number(kilobytes) / 1024 };
}
