/**
 * The package as a user has it: packed, unpacked into an empty folder, and nothing of this repository
 * beside it but what the package depends on.
 */

import { spawnSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { build, ROOT } from '../src/cli/command.js';

const blocks = (language: string) =>
  [...EXAMPLE.matchAll(/^```(\w*)\n(.*?)^```/gms)]
    .filter((m) => m[1] === language)
    .map((m) => m[2]);

let folder: string;
const PROJECT = join(import.meta.dirname, 'project');
const README = readFileSync(join(ROOT, 'README.md'), 'utf8');
const EXAMPLE = README.slice(
  README.indexOf('\n## In your own tests'),
  README.indexOf('\n## As a library'),
);

function run(command: string, args: readonly string[], cwd: string) {
  // What vitest says of itself is not for the vitest inside.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('VITEST') && name !== 'TEST'),
  );
  const done = spawnSync(command, args, {
    cwd,
    encoding: 'utf8',
    env: { ...env, CI: '1', HOTRACE_SEED: '' },
  });
  return { code: done.status, out: done.stdout + done.stderr };
}

/** The files of a package that `npx` would run. */
const bin = (name: string, file: string) => [join(folder, 'node_modules', name, file)];

beforeAll(() => {
  build();
  folder = mkdtempSync(join(tmpdir(), 'hotrace-package-'));
  cpSync(PROJECT, folder, { recursive: true });
  const pack = ['pack', '--ignore-scripts', '--silent', '--pack-destination', folder];
  const packed = run('npm', pack, ROOT);
  expect(packed.code, packed.out).toBe(0);
  const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz'))!;
  const modules = join(folder, 'node_modules');
  mkdirSync(join(modules, 'hotrace'), { recursive: true });
  const unpack = [
    '-xzf',
    join(folder, tarball),
    '-C',
    join(modules, 'hotrace'),
    '--strip-components=1',
  ];
  expect(run('tar', unpack, folder).code).toBe(0);
  rmSync(join(folder, tarball));
  // What an installation would bring, of the versions that are locked here.
  for (const name of dependencies()) {
    mkdirSync(dirname(join(modules, name)), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules', name), join(modules, name));
  }
}, 300_000);
afterAll(() => rmSync(folder, { recursive: true }));

/** Of the package, and of the project. */
function dependencies(): readonly string[] {
  const read = (file: string) =>
    JSON.parse(readFileSync(file, 'utf8')) as Record<string, Record<string, string> | undefined>;
  const own = Object.keys(read(join(ROOT, 'package.json')).dependencies ?? {});
  const project = Object.keys(read(join(PROJECT, 'package.json')).devDependencies ?? {});
  return [...new Set([...own, ...project, '@types/node'])].filter((name) => name !== 'hotrace');
}

test('the project and the examples of the README compile', () => {
  for (const [i, text] of blocks('ts').entries()) {
    writeFileSync(join(folder, `example${i}.test.ts`), text);
  }
  const { code, out } = run(process.execPath, bin('typescript', 'bin/tsc'), folder);
  expect(out).toBe('');
  expect(code).toBe(0);
});

test('its tests pass', () => {
  const args = [...bin('vitest', 'vitest.mjs'), 'run'];
  const { code, out } = run(process.execPath, args, folder);
  expect(out).toContain('5 passed');
  expect(code, out).toBe(0);
});

test('the first test of the README fails with its table, and passes with the fix', () => {
  const [text] = blocks('ts');
  expect(text.trimEnd().split('\n').length).toBeLessThan(20);
  const file = join(folder, 'add-remove.race.ts');
  const vitest = [...bin('vitest', 'vitest.mjs'), 'run', 'add-remove'];
  writeFileSync(file, text);
  const bug = run(process.execPath, vitest, folder);
  expect(bug.code).toBe(1);
  const [shown] = blocks('');
  const plain = bug.out.replaceAll(/\u001b\[[\d;]*m/g, '');
  for (const part of shown.split(/^ *\[\.\.\.\]\n/m)) {
    expect(plain).toContain(part.replace('add-remove.test.ts', 'add-remove.race.ts').trimEnd());
  }
  expect(readdirSync(join(folder, '.hotrace-failures'))).toHaveLength(1);

  writeFileSync(file, text.replace("'as posted'", "'under a second mutex'"));
  const fixed = run(process.execPath, vitest, folder);
  expect(fixed.code, fixed.out).toBe(0);
  // It does not fail any more.
  expect(readdirSync(join(folder, '.hotrace-failures'))).toEqual([]);
});
