/** `hotrace explore` as a user meets it. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { build, hotrace } from './command.js';

const folder = mkdtempSync(join(tmpdir(), 'hotrace-explore-'));
beforeAll(build);
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

describe('the 2012 review', () => {
  test('as posted: the listener hears DEL before ADD', () => {
    const { out, code } = hotrace(['explore', 'add-remove']);
    expect(code).toBe(1);
    expect(out).toContain(`\
CPU0: iommu_group_add_device(g0,    CPU1: iommu_group_remove_device(d0)
  d0)
--------------------------------    -----------------------------------
d0->iommu_group = g0
lock(group->mutex)
list_add_tail(d0)
                                    group = d0->iommu_group
                                    notify DEL_DEVICE d0  -> listener l0
unlock(group->mutex)
notify ADD_DEVICE d0  -> listener l0
INV-01 add-before-del: l0 saw ADD_DEVICE d0 after DEL_DEVICE d0

1 preemption; 0 is impossible; 7 steps
`);
    for (const line of out.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
  });

  test.each([
    ['add-remove-notify-first', 1, /^INV-03 /m],
    ['add-remove-group-mutex', 1, /^deadlock: .*\n.*wait for ever/m],
    ['add-remove-second-mutex', 0, /clean\. Every interleaving was covered/],
    ['add-remove-serialised', 0, /clean\. Every interleaving was covered/],
  ])('%s', (name, expected, says) => {
    const { out, code } = hotrace(['explore', name]);
    expect(out).toMatch(says);
    expect(code).toBe(expected);
    // The reductions change nothing of that.
    const plain = ['--no-sleep', '--no-alone', '--no-sections', '--no-symmetry'];
    expect(hotrace(['explore', name, ...plain]).code).toBe(expected);
    expect(hotrace(['explore', name, '--strategy', 'bounded']).code).toBe(expected);
  });

  test('a deadlock says who waits for whom', () => {
    const { out } = hotrace(['explore', 'add-remove-group-mutex']);
    expect(out.replace(/\s+/g, ' ')).toContain(
      'waits for lock(group->mutex), held by itself since lock(group->mutex)',
    );
  });

  test('what a bound leaves out is not called clean', () => {
    const zero = ['--strategy', 'bounded', '--max-preemptions', '0'];
    const { out, code } = hotrace(['explore', 'add-remove', ...zero]);
    expect(code).toBe(3);
    expect(out).toContain('incomplete');
    expect(out).toContain('bound on preemptions');
  });

  test('--json', () => {
    const { out } = hotrace(['explore', 'add-remove', '--json']);
    const { verdict, counterexamples } = JSON.parse(out) as {
      verdict: string;
      counterexamples: { rule: string; preemptions: number; confirmed: boolean }[];
    };
    expect(verdict).toBe('violated');
    expect(counterexamples.map(({ rule, preemptions }) => [rule, preemptions])).toEqual([
      ['INV-01', 1],
      ['INV-03', 1],
    ]);
    expect(counterexamples.every(({ confirmed }) => confirmed)).toBe(true);
  });
});

describe('classes of interleavings', () => {
  test('are counted', () => {
    const { out, code } = hotrace(['explore', 'add-remove', '--count']);
    expect(out).toMatch(/^add-remove: 4 classes of interleavings \(exact; 42 states/);
    expect(code).toBe(0);
    const { out: json } = hotrace(['explore', 'add-remove', '--count', '--json']);
    expect(JSON.parse(json)).toMatchObject({ exact: true, classes: 4, plusMinus: 0, digits: '4' });
  });

  test('or estimated', () => {
    const program = file(
      'many.ts',
      `import { scenario, send, variableMachine } from 'hotrace';
const writer = (k: number) => function* () {
  for (let i = 0; i < 4; i++) yield* send('x', { type: 'write', value: 4 * k + i + 1 });
};
export default scenario({
  name: 'many',
  entities: { x: variableMachine(0) },
  threads: { A: writer(0), B: writer(1), C: writer(2) },
});`,
    );
    const exact = JSON.parse(hotrace(['explore', program, '--count', '--json']).out) as Counted;
    expect(exact).toMatchObject({ exact: true, classes: 34650 });
    const bounded = ['explore', program, '--count', '--max-states', '100'];
    const near = JSON.parse(hotrace([...bounded, '--json']).out) as Counted;
    expect(near).toMatchObject({ exact: false, cut: 'pairs' });
    expect(near.plusMinus).toBeGreaterThan(0);
    expect(Math.abs(near.classes - 34650)).toBeLessThan(2 * near.plusMinus);
    expect(hotrace(bounded).out).toMatch(/^many: about [\d,]+ ± [\d,]+ classes .*\(95 %;/);
    expect(hotrace(bounded).out).toBe(hotrace(bounded).out);
  });

  interface Counted {
    readonly exact: boolean;
    readonly classes: number;
    readonly plusMinus: number;
  }

  test('a loop has no end of them', () => {
    const program = file(
      'loop.ts',
      `import { loopHead, scenario, send, variableMachine } from 'hotrace';
export default scenario({
  name: 'loop',
  entities: { x: variableMachine(0) },
  threads: { *A() { for (;;) { yield* loopHead('again'); yield* send('x', { type: 'read' }); } } },
});`,
    );
    expect(hotrace(['explore', program, '--count']).out).toMatch(/without end: some interleaving/);
  });

  test('drawn alike, and which part of them', () => {
    const drawn = ['explore', 'add-remove-serialised', '--runs', '50', '--strategy'];
    const { out, code } = hotrace([...drawn, 'uniform']);
    expect(out.replace(/\s+/g, ' ')).toContain(
      'each of 2 classes of interleavings is drawn with the same probability',
    );
    expect(code).toBe(3);
    expect(hotrace([...drawn, 'pos', '--stats']).out).toMatch(/^ {2}drawn +100 % of 2 classes$/m);
  });
});

describe('schedules', () => {
  test('a stored one goes again; held against an edited scenario it tells where it diverges', () => {
    const stored = file('stored.json', hotrace(['explore', 'add-remove', '--json']).out);
    const again = hotrace(['explore', 'add-remove', '--schedule', stored]);
    expect(again.out).toContain('INV-01: broken again after 7 steps');
    expect(again.code).toBe(1);
    const edited = hotrace(['explore', 'add-remove-notify-first', '--schedule', stored]);
    expect(edited.out).toMatch(
      /^INV-01: diverges at step 2 of 7, lock\(group->mutex\) \(.*\): thread ".*" now sends .*ADD_DEVICE/m,
    );
    expect(edited.code).toBe(3);
  });

  test.each([
    ['nothing', /cannot be read/],
    [file('junk.json', '{'), /is not JSON/],
    [file('other.json', '{"a": 1}'), /holds no schedule/],
  ])('%s', (path, says) => {
    const { err, code } = hotrace(['explore', 'add-remove', '--schedule', path]);
    expect(err).toMatch(says);
    expect(code).toBe(2);
  });

  test('as Mermaid', () => {
    const { out } = hotrace(['explore', 'add-remove', '--mermaid']);
    expect(out).toMatch(/^sequenceDiagram\n {2}participant T0 as CPU0: iommu_group_add_device/);
    expect(out).toContain('notify DEL_DEVICE d0 -#62; listener l0');
    expect(out.match(/^sequenceDiagram$/gm)).toHaveLength(2);
  });
});

describe('a scenario of one’s own', () => {
  const counter = (body: string) => `
import { scenario, send, variableMachine } from 'hotrace';
function* increment() {
  ${body}
}
export default scenario({
  name: 'lost update',
  entities: { n: variableMachine(0) },
  threads: { A: increment, B: increment },
  invariants: [
    { id: 'both', entities: ['n'], when: 'end', says: 'an increment is lost',
      holds: ({ n }) => n.context.value === 2 },
  ],
});
`;
  test('TypeScript without a build step', () => {
    const racy = file(
      'racy.ts',
      counter(`const reply: { value: number } = yield* send('n', { type: 'read' });
  yield* send('n', { type: 'write', value: reply.value + 1 });`),
    );
    const { out, code } = hotrace(['explore', racy]);
    expect(code).toBe(1);
    expect(out).toContain('both: an increment is lost (n is {"value":1})');
    expect(out).toContain('1 preemption; 0 is impossible; 4 steps');
    const atomic = file('atomic.ts', counter("yield* send('n', { type: 'add', value: 1 });"));
    expect(hotrace(['explore', atomic]).code).toBe(0);
  });

  test.each([
    [
      'a syntax error',
      "export default { name: 'x'\n  threads: {} };",
      /bad\.ts:2:\d+: Unexpected token/,
    ],
    [
      'an error of its own',
      "\n\nthrow new TypeError('no such thing');",
      /bad\.ts:3:\d+: no such thing/,
    ],
    [
      'nothing exported',
      'export const x = 1;',
      /bad\.ts: the scenario has no name; export default/,
    ],
    [
      'an unknown event',
      counter("yield* send('n', { type: 'raed' });"),
      /bad\.ts:4: thread "A", step 1: "n" accepts no "raed" .* knows read/,
    ],
    [
      'an unknown entity',
      counter("yield* send('m', { type: 'read' });"),
      /bad\.ts:4: thread "A", step 1: there is no entity "m"; there are n/,
    ],
    [
      'no step',
      counter('yield 7 as never;'),
      /bad\.ts:4: thread "A", step 1: it yields 7, which is no step/,
    ],
    [
      'a thread that throws',
      counter("yield* send('n', { type: 'read' });\n  throw new Error('oops');"),
      /exception: A threw Error: oops/,
    ],
    [
      'too many threads',
      "import { scenario, variableMachine } from 'hotrace';\nexport default scenario({ name: 'x', entities: { n: variableMachine(0) }, threads: Object.fromEntries(Array.from({ length: 10000 }, (_, i) => [`T${i}`, function* () {}])) });",
      /there are 10000 threads; at most 30/,
    ],
    [
      'an unknown state',
      "import { scenario, send } from 'hotrace';\nimport { createMachine } from 'xstate';\nconst m = createMachine({ id: 'm', initial: 'a', states: { a: { on: { GO: 'nowhere' } } } });\nexport default scenario({ name: 'x', entities: { m }, threads: { *A() { yield* send('m', { type: 'GO' }); } } });",
      /Child state 'nowhere' does not exist/,
    ],
    [
      'dice',
      "import { scenario, send } from 'hotrace';\nimport { createMachine, assign } from 'xstate';\nconst m = createMachine({ id: 'dice', context: { n: 0 }, on: { GO: { actions: assign({ n: () => Math.random() }) } } });\nexport default scenario({ name: 'x', entities: { m }, threads: { *A() { yield* send('m', { type: 'GO' }); } } });",
      /machine "dice" is not pure/,
    ],
  ])('%s', (_, text, says) => {
    const { out, err, code } = hotrace(['explore', file('bad.ts', text)]);
    expect(`${out}${err}`.replace(/\n(?!$)/g, ' ')).toMatch(says);
    expect(code).toBe(out === '' ? 2 : 1);
    expect(`${out}${err}`).not.toMatch(/^\s+at /m);
  });

  test('threads without end stop at the bound', () => {
    const endless = file(
      'endless.ts',
      counter("for (;;) yield* send('n', { type: 'add', value: 1 });"),
    );
    for (const bound of [
      ['--max-time', '1'],
      ['--max-states', '500'],
      ['--max-memory', '300'],
      ['--max-steps', '3'],
    ]) {
      const { out, code } = hotrace(['explore', endless, ...bound]);
      expect(out).toContain('incomplete');
      expect(code).toBe(3);
    }
  });

  test.each([
    [['nope.ts'], /neither a file nor a scenario/],
    [[], /no scenario/],
    [['add-remove', '--max-states', 'x'], /--max-states x: give a whole number/],
    [
      ['add-remove', '--strategy', 'luck'],
      /there are exhaustive, bounded, random, pct, pos, surw, uniform/,
    ],
    [['add-remove', '--max-preemptions', '1'], /goes with --strategy bounded/],
  ])('%j', (args, says) => {
    const { err, code } = hotrace(['explore', ...args]);
    expect(err).toMatch(says);
    expect(code).toBe(2);
  });
});
