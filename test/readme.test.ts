/** What the README shows is what happens. */

import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { beforeAll, describe, expect, test } from 'vitest';
import { BUS_ACTIONS } from '../events/actions.js';
import { build, hotrace, ROOT } from './src/cli/command.js';

const README = readFileSync(join(ROOT, 'README.md'), 'utf8');
const blocks = (language: string) =>
  [...README.matchAll(/^```(\w*)\n(.*?)^```/gms)].filter((m) => m[1] === language).map((m) => m[2]);

/** A file of this name, as its first line says. */
const NAMED = /^\/\/ ([\w-]+\.scenario\.ts)\n/;
const named = blocks('ts').flatMap((text) => {
  const name = NAMED.exec(text)?.[1];
  return name === undefined ? [] : [{ name, text }];
});
/** Inside the package, so that what stands there finds it under its own name, by its `exports`. */
const folder = join(ROOT, 'dist', 'readme');

beforeAll(() => {
  build();
  mkdirSync(folder, { recursive: true });
  for (const { name, text } of named) writeFileSync(join(folder, name), text);
  return () => rmSync(folder, { recursive: true });
});

describe('commands', () => {
  const shown = blocks('').filter((block) => block.startsWith('$ '));

  test('there is one with its output', () => expect(shown.length).toBeGreaterThan(0));

  test.each(shown.map((block) => block.trimEnd().split('\n')))('%s', (command, ...output) => {
    const args = command.replace(/^\$ npx hotrace /, '').split(' ');
    const { code, out } = hotrace(
      args,
      '',
      named.some(({ name }) => args.includes(name)) ? folder : ROOT,
    );
    // A violation that is found is shown with its exit code.
    expect(code).toBe(command.includes(' explore ') ? 1 : 0);
    // `[...]` stands for lines left out.
    for (const part of output.join('\n').split(/^ *\[\.\.\.\]\n/m)) expect(out).toContain(part);
  });
});

const OTHERS = ['scenario.ts', 'listener.ts', 'bus.ts', 'chain.ts'];

describe('the library', () => {
  // What is tested with hotrace/testing is run by test/package.
  const [scenario, listener, bus, chain] = blocks('ts').filter(
    (text) => !NAMED.test(text) && !text.includes("'hotrace/testing"),
  );

  beforeAll(() => {
    writeFileSync(join(folder, 'listener.ts'), listener);
    writeFileSync(join(folder, 'scenario.ts'), scenario);
    writeFileSync(join(folder, 'bus.ts'), bus);
    writeFileSync(join(folder, 'chain.ts'), chain);
  });

  function run(program: string): string {
    const { stdout, stderr } = spawnSync(process.execPath, [join(folder, program)], {
      cwd: ROOT,
      encoding: 'utf8',
    });
    expect(stderr).toBe('');
    return stdout;
  }

  test('the examples compile under strict rules', () => {
    const flags = ['--strict', '--module', 'nodenext', '--target', 'es2022', '--types', 'node'];
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
    const { status, stdout } = spawnSync(
      process.execPath,
      [tsc, '--ignoreConfig', ...flags, ...named.map(({ name }) => name), ...OTHERS],
      { cwd: folder, encoding: 'utf8' },
    );
    expect(stdout).toBe('');
    expect(status).toBe(0);
  });

  test('the listener hears the recorded notifications in their order', () => {
    const lines = run('listener.js').trimEnd().split('\n');
    expect(lines.pop()).toBe('virtio-pci false');
    const trace = gunzipSync(
      readFileSync(join(ROOT, 'events/samples/vfio-nonviable/trace.txt.gz')),
    );
    const recorded = trace
      .toString('latin1')
      .matchAll(/ (\d+\.\d+): bus_notify: .*dev="0000:04:00\.0" .*value=(\d+)/g);
    expect(lines).toEqual([...recorded].map(([, time, value]) => `${time} ${BUS_ACTIONS[+value]}`));
    expect(lines.length).toBeGreaterThan(10);
  });

  test('the scenario is explored as it stands', () => {
    const { code, out } = hotrace(['explore', join(folder, 'scenario.ts')]);
    expect(out).toContain('both: an increment is lost');
    expect(code).toBe(1);
  });

  test('the bus tells its groups what drivers do', () => {
    expect(run('bus.js')).toBe('0000:01:00.0 true\n');
  });

  test('the chain says who waits for whom', () => {
    expect(blocks('')).toContain(run('chain.js'));
  });
});
