/** `hotrace explore --kernel`. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PROFILES } from '../../../machines/profiles/timeline.js';
import { build, hotrace } from './command.js';

const folder = mkdtempSync(join(tmpdir(), 'hotrace-kernels-'));
beforeAll(build);
afterAll(() => rmSync(folder, { recursive: true }));

/** A counter to which two threads add; `make` says how, for a kernel. */
function file(name: string, make: string): string {
  const path = join(folder, name);
  writeFileSync(
    path,
    `import { scenario, send, variableMachine } from 'hotrace';
const counter = (kernel, atomic) => {
  function* increment() {
    if (atomic) return void (yield* send('n', { type: 'add', value: 1 }));
    const { value } = yield* send('n', { type: 'read' });
    yield* send('n', { type: 'write', value: value + 1 });
  }
  return scenario({
    name: 'counter of ' + kernel,
    entities: { n: variableMachine(0) },
    threads: { A: increment, B: increment },
    invariants: [{ id: 'both', entities: ['n'], when: 'end', says: 'an increment is lost',
      holds: ({ n }) => n.context.value === 2 }],
  });
};
export default ${make};
`,
  );
  return path;
}

const PER_KERNEL = 'async (profile) => counter(profile.name, profile.dmaOwnership)';

describe('several kernels', () => {
  test('all: a table, and each schedule once', () => {
    const { out, err, code } = hotrace(['explore', 'chain-register-twice', '--kernel', 'all']);
    expect([code, err]).toEqual([1, '']);
    expect(out).toMatch(/^kernel {2}verdict +simplest schedule +states +rules\n/);
    expect(out).toMatch(/^v3\.6 +violated {2}7 steps, 0 preemptions +\d+ +INV-14$/m);
    for (const { name } of PROFILES.slice(1)) {
      expect(out).toMatch(new RegExp(`^${name.replace('.', '\\.')} +clean +- +\\d+ +-$`, 'm'));
    }
    expect(out).toContain('\nOn v3.6:\n\nCPU0: register(B) ');
    expect(out).toMatch(/: violated on v3\.6; clean on v5\.10, v6\.1, v6\.12 and v7\.2\.\n$/);
    for (const line of out.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
  });

  test('a schedule that several have stands there once, with their names', () => {
    const kernels = ['--kernel', '6.12,v5.10,v6.12'];
    const { out } = hotrace(['explore', 'chain-unregister-raw', ...kernels]);
    expect(out.match(/^On .*$/gm)).toEqual(['On v5.10 and v6.12:', 'On v5.10 and v6.12:']);
    expect(out.match(/^INV-17 quiesce: /gm)).toHaveLength(1);
    expect(out.match(/^INV-24 no-uaf: /gm)).toHaveLength(1);
  });

  test('--json is an array', () => {
    const args = ['explore', file('json.ts', PER_KERNEL), '--kernel', 'v5.18,v5.19', '--json'];
    const { out, code } = hotrace(args);
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject([
      { kernel: 'v5.18', verdict: 'violated', scenario: 'counter of v5.18 on v5.18' },
      { kernel: 'v5.19', verdict: 'clean', scenario: 'counter of v5.19 on v5.19' },
    ]);
  });

  test('the exit code is that of the worst', () => {
    const codeOf = (...args: string[]) => hotrace(['explore', ...args]).code;
    const twice = ['chain-register-twice', '--kernel'];
    expect(codeOf(...twice, 'v5.10,v6.12')).toBe(0);
    const none = ['--strategy', 'bounded', '--max-preemptions', '0'];
    expect(codeOf('chain-unregister-raw', '--kernel', 'v5.10,v6.12', ...none)).toBe(3);
    expect(codeOf(...twice, 'v3.6,v5.10', '--strategy', 'random', '--runs', '20')).toBe(1);
    expect(codeOf(...twice, 'v5.10,v6.12', '--strategy', 'random', '--runs', '20')).toBe(3);
  });

  test.each([
    ['--jobs', '2'],
    ['--checkpoint', 'x'],
    ['--resume', 'x'],
    ['--itf', 'x'],
    ['--log', 'x'],
    ['--schedule', 'x'],
    ['--mermaid'],
    ['--count'],
    ['--stats'],
  ])('not with %s', (...flag) => {
    const kernels = ['--kernel', 'v5.10,v6.12'];
    const { out, err, code } = hotrace(['explore', 'chain-register-twice', ...kernels, ...flag]);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain(`${flag[0]} goes with one kernel, and --kernel names 2`);
  });
});

describe('one kernel', () => {
  test.each([
    [['--kernel', 'v3.6'], 1, 'chain-register-twice on v3.6: violated: INV-14'],
    [['--kernel', '3.6', '--jobs', '2'], 1, 'chain-register-twice on v3.6: violated: INV-14'],
    [['--kernel', 'v5.10'], 0, 'chain-register-twice on v5.10: clean.'],
    // The newest.
    [[], 0, 'chain-register-twice: clean.'],
  ])('%j', (flags, expected, says) => {
    const { out, code } = hotrace(['explore', 'chain-register-twice', ...flags]);
    expect(out).toContain(says);
    expect(code).toBe(expected);
  });

  test('a schedule is stored, and goes again', () => {
    const of = ['explore', 'chain-register-twice', '--kernel'];
    const stored = join(folder, 'stored.json');
    const { out } = hotrace([...of, 'v3.6', '--json']);
    expect(JSON.parse(out)).toMatchObject({ kernel: 'v3.6', verdict: 'violated' });
    writeFileSync(stored, out);
    const again = hotrace([...of, 'v3.6', '--schedule', stored]);
    expect(again.out).toContain('INV-14: broken again after 7 steps');
    expect(hotrace([...of, 'v5.10', '--schedule', stored]).code).not.toBe(1);
  });
});

describe('a file', () => {
  test('may export a function of the profile, called with the newest where none is named', () => {
    const path = file('per-kernel.ts', PER_KERNEL);
    expect(hotrace(['explore', path]).out).toContain(`counter of ${PROFILES.at(-1)!.name}: clean.`);
    const { out, code } = hotrace(['explore', path, '--kernel', 'v5.10']);
    expect(out).toContain('counter of v5.10 on v5.10: violated: both');
    expect(code).toBe(1);
    expect(hotrace(['explore', path, '--kernel', 'v5.10', '--jobs', '2']).code).toBe(1);
  });

  test('may export a function without parameters, which is called without any', () => {
    const path = file('plain.ts', '(...given) => counter(given.length, true)');
    expect(hotrace(['explore', path]).out).toContain('counter of 0: clean.');
  });

  test.each([
    ["counter('any', true)", /it exports no function/],
    ["() => counter('any', true)", /its function takes no profile/],
  ])('%s does not depend on the kernel', (make, says) => {
    const { err, code } = hotrace(['explore', file('same.ts', make), '--kernel', 'v5.10']);
    expect(err).toMatch(says);
    expect(err).toMatch(/does not depend on the kernel .*: leave out --kernel/);
    expect(code).toBe(2);
  });

  test.each([
    ['add-remove', 'all', /add-remove does not depend on the kernel/],
    ['chain-register-twice', 'v2.6', /"v2\.6" is no kernel version from 3\.6 on; profiles: v3\.6/],
    ['chain-register-twice', 'v5.10,', /"" is no kernel version/],
  ])('%s --kernel %s', (name, kernel, says) => {
    const { err, code } = hotrace(['explore', name, '--kernel', kernel]);
    expect(err).toMatch(says);
    expect(code).toBe(2);
  });
});
