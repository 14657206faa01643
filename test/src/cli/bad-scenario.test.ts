/** Files that hold no scenario that can be explored: each is told in a line, with its place. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { build, hotrace } from './command.js';

const folder = mkdtempSync(join(tmpdir(), 'hotrace-bad-'));
beforeAll(build);
afterAll(() => rmSync(folder, { recursive: true }));

function run(text: string, ...flags: string[]) {
  const path = join(folder, 'bad.ts');
  writeFileSync(path, text);
  return hotrace(['explore', path, ...flags]);
}

const IMPORTS = `import * as h from 'hotrace'; const { scenario, send, choose, join, spawn, mayFail, loopHead, variableMachine, faultBudgetMachine } = h; import { createMachine, assign } from 'xstate';`;

/** Line 1 imports, line 2 is the thread's, line 3 has the rest. */
function withThread(body: string, more = '', entities = 'n: variableMachine(0)'): string {
  return `${IMPORTS} const threads = { *A() {
${body}
} }; export default scenario({ name: 'x', entities: { ${entities} }, threads, ${more} });\n`;
}

/** The machine stands on line 2. */
function withMachine(machine: string): string {
  return `${IMPORTS} const m = createMachine(
${machine});
export default scenario({ name: 'x', entities: { m }, threads: { *A() { yield* send('m', { type: 'GO' }); } } });\n`;
}

const read = "yield* send('n', { type: 'read' });";
const assigned = (text: string) =>
  withMachine(`{ id: 'm', context: { n: [] }, on: { GO: { actions: assign(${text}) } } }`);
const generated = (text: string, count: number) =>
  `...Object.fromEntries(Array.from({ length: ${count} }, (_, i) => ['e' + i, ${text}]))`;

/** What stands on line 2 calls an operation of the library. */
const hotplugged = (body: string) =>
  `${IMPORTS} export default h.hotplug({ name: 'x', devices: { d0: {} }, run: { A:
${body} } });\n`;

describe('exit code 2, and one line', () => {
  test.each<[string, string, RegExp]>([
    [
      'an operation on what is not there',
      hotplugged("function* (k) { yield* h.device_add(k, 'd1'); }"),
      /bad\.ts:2: thread "A", step 2: there is no entity "BUS events of d1"/,
    ],
    [
      'the same where the file has no thread of its own',
      hotplugged("(k) => h.device_add(k, 'd1')"),
      /bad\.ts: thread "A", step 2: there is no entity "BUS events of d1"/,
    ],
    [
      'a set-up with a slip of the pen',
      hotplugged("(k) => h.device_add(k, 'd0'), }, listeners: { l: { on: 'pci->bus_notifer' }"),
      /bad\.ts: listener l: there is no chain pci->bus_notifer; there are pci->bus_notifier/,
    ],
    ['no machine', withThread(read, '', 'n: {}'), /bad\.ts: entity "n" is no machine; export/],
    ['half a machine', withThread(read, '', 'n: { machine: {}, input: 1 }'), /"n" is no machine/],
    ['no event', withThread("yield* send('n');"), /bad\.ts:2: .*an event without a type/],
    ['a type that is no text', withThread("yield* send('n', { type: 7 });"), /without a type/],
    ['nothing yielded', withThread('yield;'), /bad\.ts:2: .* yields undefined, which is no step/],
    ['null yielded', withThread('yield null;'), /:2: .* yields null/],
    ['what is no JSON yielded', withThread('yield 7n;'), /:2: .* yields 7n/],
    ['no star', withThread("yield send('n', { type: 'read' });"), /:2: .* a star is missing/],
    ['no choice', withThread('yield* choose();'), /:2: .*a choice among nothing/],
    ['a choice of no JSON', withThread('yield* choose([1n]);'), /:2: .*BigInt.*plain JSON/],
    [
      'an event without end',
      withThread("const a: any = {}; a.a = a; yield* send('n', { type: 'write', value: a });"),
      /bad\.ts:2: thread "A", step 1: its step cannot be written down/,
    ],
    [
      'a label that is no text',
      withThread("yield* send('n', { type: 'read' }, 7);"),
      /:2: .*label/,
    ],
    ['a spawn of nothing', withThread('yield* spawn();'), /thread "A\.0", .* is no generator/],
    [
      'an async thread',
      `${IMPORTS} export default scenario({ name: 'x', entities: {}, threads: { async *A() {} } });`,
      /which is no generator; write it as function\*/,
    ],
    ['no such thread', withThread("yield* join('Z');"), /:2: .*no thread "Z"; there are A/],
    ['a loop without a step', withThread('for (;;) yield* loopHead();'), /:2: .*without a step/],
    [
      'an unknown initial state',
      withMachine("{ id: 'm', initial: 'nope', states: { a: {} } }"),
      /bad\.ts.*entity "m": the machine does not start: Initial state node "nope"/,
    ],
    [
      'a context that throws',
      withMachine("{ id: 'm', context: () => { throw new Error('boo'); }, on: { GO: {} } }"),
      /bad\.ts:2:\d+: entity "m": the machine does not start: boo/,
    ],
    [
      'dice in a context',
      withMachine("{ id: 'm', context: () => ({ n: Math.random() }), on: { GO: {} } }"),
      /machine "m" is not pure/,
    ],
    ['dice in a step', assigned('{ n: () => Math.random() }'), /bad\.ts:3: .*"m" is not pure/],
    [
      'a context changed in place',
      assigned('({ context }) => { context.n.push(1); return { n: context.n }; }'),
      /bad\.ts:3: .*machine "m" changes its context in place/,
    ],
    ['a Map in a context', assigned('{ n: () => new Map() }'), /:3: .*a Map is no plain JSON/],
    [
      'an action that nobody wrote',
      withMachine("{ id: 'm', on: { GO: { actions: 'nope' } } }"),
      /bad\.ts:3: .*machine "m" has no action "nope"/,
    ],
    [
      'time',
      withMachine(
        "{ id: 'm', initial: 'a', states: { a: { on: { GO: 'b' } }, b: { after: { 9: 'a' } } } }",
      ),
      /machine "m" waits for time/,
    ],
    ['invariants of no list', withThread(read, 'invariants: 7'), /invariants are no list/],
    [
      'an invariant of nothing',
      withThread(read, "invariants: [{ id: 'i', holds: () => true }]"),
      /invariant "i" does not say/,
    ],
    [
      'an invariant that answers later',
      withThread(read, "invariants: [{ id: 'i', entities: ['n'], holds: async () => false }]"),
      /invariant i: it answers neither true nor false/,
    ],
    ['a symmetry of no lists', withThread(read, 'symmetry: [{ a: 7 }]'), /its symmetry/],
    ['mayWait of no list', withThread(read, 'mayWait: 7'), /mayWait is no list/],
    ['a monitor without machine', withThread(read, 'monitors: { m: {} }'), /"m" has no machine/],
    ['no such module', "import x from './nope.js';\nexport default x;", /bad\.ts.*nope\.js/],
    [
      'a rejected promise',
      "export default Promise.reject(\n  new Error('later'));",
      /:2:\d+: later/,
    ],
    [
      'a function that rejects',
      "export default async () => {\n  throw new Error('later'); };",
      /:2:\d+: later/,
    ],
    ['a promise for ever', 'export default new Promise(() => {});', /waits for what never comes/],
    ['names that act', withThread("yield* send('\\n\\u001b[31m', {});"), /bad\.ts:2: /],
    [
      '31 threads',
      `${IMPORTS} export default scenario({ name: 'x', entities: {}, threads: { ${generated('function* () {}', 31)} } });`,
      /there are 31 threads; at most 30/,
    ],
    [
      '10,000 names',
      withThread(
        "yield* send('e', { type: 'read' });",
        '',
        `...(() => { const v = variableMachine(0); return { ${generated('v', 10_000)} }; })()`,
      ),
      /e11 and 9,988 more$/,
    ],
    [
      'a name of 10 kB',
      withThread("yield* send('x'.repeat(1e4), { type: 'read' });"),
      /^.{1,900}$/,
    ],
    [
      'faults without a number',
      withThread("yield* mayFail('f', 'x');", '', 'f: faultBudgetMachine'),
      /nothing says how many faults/,
    ],
  ])('%s', (_, text, says) => {
    const { out, err, code } = run(text);
    expect(err.trimEnd()).toMatch(says);
    expect(err).toMatch(/^hotrace: .*bad\.ts[^\n\u001b]*\n$/);
    expect(err).not.toContain('internal error');
    expect(out).toBe('');
    expect(code).toBe(2);
  });
});

describe('exit code 1: a thread that throws', () => {
  test.each([
    ['before its first step', "throw new Error('oops');", 'A threw Error: oops'],
    ['what is no error', "throw 'oops';", 'A threw oops'],
    ['what has no text', 'throw Object.create(null);', 'A threw [object Object]'],
    [
      'in one that it starts',
      "yield* spawn(function* () { throw new Error('oops'); });",
      'A.0 threw Error: oops',
    ],
    ['a name that there is not', 'yield* send(n, {});', 'A threw ReferenceError: n is not defined'],
  ])('%s', (_, body, says) => {
    for (const flags of [[], ['--strategy', 'bounded'], ['--strategy', 'random'], ['--no-alone']]) {
      const { out, err, code } = run(withThread(body), ...flags);
      expect(err).toBe('');
      expect(out).toContain(`exception: ${says}`);
      expect(code).toBe(1);
    }
  });
});

test('a promise of a scenario is waited for', () => {
  const text = withThread(read).replace('default scenario(', 'default (async (s) => s)(');
  expect(run(text)).toMatchObject({ code: 0, err: '' });
});

test('no step at all is not looked at and called clean', () => {
  const { err, code } = run(withThread(read), '--max-steps', '0');
  expect(err).toMatch(/0 steps of a thread; look at 1 or more/);
  expect(code).toBe(2);
});

test('--max-faults', () => {
  const text = withThread(
    "if (yield* mayFail('f', 'oom')) throw new Error('oops');",
    'faults: 0',
    'f: faultBudgetMachine',
  );
  expect(run(text).out).toMatch(/Every interleaving with at most 0 faults was/);
  for (const jobs of ['1', '2']) {
    const { out, code } = run(text, '--max-faults', '1', '--jobs', jobs);
    expect(out).toContain('oom\nexception: A threw Error: oops');
    expect(code).toBe(1);
  }
  expect(run(withThread(read), '--max-faults', '1').err).toMatch(/nothing to count them/);
});
