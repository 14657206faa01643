/** kill -9 at any moment, and on from the file: the same answer. */

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { random } from '../explore/random-scenario.js';
import { build, ROOT } from './command.js';

const BIN = join(ROOT, 'dist', 'bin', 'hotrace.js');
const dir = mkdtempSync(join(tmpdir(), 'hotrace-'));
beforeAll(build, 120_000);
afterAll(() => rmSync(dir, { recursive: true }));

interface Ended {
  readonly signal: NodeJS.Signals | null;
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs the command, and kills it `patience` ms after it has written a checkpoint once more. */
async function run(args: readonly string[], file: string, patience: number): Promise<Ended> {
  const child = spawn(process.execPath, [BIN, 'explore', ...args, '--json']);
  const written = () => (existsSync(file) ? statSync(file).mtimeMs : 0);
  const before = written();
  let out = '';
  let err = '';
  child.stdout.on('data', (data: Buffer) => (out += data.toString()));
  child.stderr.on('data', (data: Buffer) => (err += data.toString()));
  const ended = new Promise<Ended>((resolve) => {
    child.on('close', (code, signal) => resolve({ signal, code, out, err }));
  });
  const over = { yes: false };
  void ended.then(() => (over.yes = true));
  while (!over.yes && written() === before) await delay(5);
  await delay(patience);
  child.kill('SIGKILL');
  return ended;
}

/** All but the size that the tables have grown to. */
function told(json: string): unknown {
  const exploration = JSON.parse(json) as { stats: object };
  return { ...exploration, stats: { ...exploration.stats, bytes: 0 } };
}

describe.each([
  ['violated', "storm(5, 'remembers')", [], 1],
  ['clean', "storm(6, 'accepts')", ['--no-symmetry'], 0],
] as const)('%s', (verdict, scenario, flags, code) => {
  test('killed again and again', { timeout: 300_000 }, async () => {
    const source = join(dir, `${verdict}.ts`);
    writeFileSync(source, `import { storm } from 'hotrace';\nexport default ${scenario};\n`);
    const whole = spawnSync(process.execPath, [BIN, 'explore', source, ...flags, '--json']);
    expect(whole.status).toBe(code);
    const file = join(dir, `${verdict}.checkpoint`);
    const rand = random(code);
    const keep = ['--checkpoint', file, '--checkpoint-every', '0.01'];
    let kills = 0;
    let ended: Ended;
    for (;;) {
      const on = existsSync(file) ? ['--resume', file] : [];
      ended = await run([source, ...flags, ...keep, ...on], file, rand(kills < 6 ? 30 : 10_000));
      if (ended.signal === null) break;
      kills++;
      expect(ended.err).toBe('');
    }
    expect(ended.err).toBe('');
    expect(ended.code).toBe(code);
    expect(told(ended.out)).toEqual(told(whole.stdout.toString()));
    expect(kills).toBeGreaterThan(3);
    // What is told is not kept.
    expect(readdirSync(dir).filter((name) => name.startsWith(`${verdict}.checkpoint`))).toEqual([]);
  });
});

describe('a checkpoint that is of no use', () => {
  const explore = (...args: string[]) =>
    spawnSync(process.execPath, [BIN, 'explore', ...args], { encoding: 'utf8' });

  test('is refused with what is wrong with it', () => {
    const file = join(dir, 'bad');
    writeFileSync(file, 'no checkpoint');
    for (const [args, says] of [
      [['add-remove', '--resume', file], 'is no checkpoint of hotrace explore'],
      [['add-remove', '--resume', join(dir, 'none')], 'cannot be read'],
      [['add-remove', '--resume', file, '--strategy', 'pct'], '--strategy exhaustive'],
    ] as const) {
      const { status, stderr } = explore(...args);
      expect(stderr).toContain(says);
      expect(stderr.trim().split('\n')).toHaveLength(1);
      expect(status).toBe(2);
    }
  });
});
