/** Counterexamples in the Informal Trace Format, held against ADR-015. */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CATALOGUE } from '../../../machines/races/catalogue.js';
import type { Scenario } from '../../../machines/scenario.js';
import { confirm } from '../../../src/explore/confirm.js';
import type { Counterexample } from '../../../src/explore/counterexample.js';
import { explore } from '../../../src/explore/explore.js';
import { itfValue, scheduleItf } from '../../../src/report/schedule-itf.js';
import { build, hotrace } from '../cli/command.js';
import { randomScenario } from '../explore/random-scenario.js';
import { HOSTILE_NAMES, hostileScenario } from './hostile-scenario.js';

const folder = mkdtempSync(join(tmpdir(), 'hotrace-itf-'));
beforeAll(build);
afterAll(() => rmSync(folder, { recursive: true }));

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
type Trace = {
  readonly '#meta': Record<string, Json>;
  readonly vars: string[];
  readonly states: { readonly [name: string]: Json }[];
};

/** Where an expression is none of ADR-015; undefined: it is one. */
function problem(value: Json, path: string): string | undefined {
  const all = (values: readonly Json[], where: string) =>
    values.map((v, n) => problem(v, `${where}[${n}]`)).find((p) => p !== undefined);
  if (typeof value === 'string' || typeof value === 'boolean') return undefined;
  if (typeof value === 'number') return Number.isSafeInteger(value) ? undefined : `${path}: number`;
  if (value === null) return `${path}: null`;
  if (Array.isArray(value)) return all(value as readonly Json[], path);
  const object = value as { readonly [key: string]: Json };
  const keys = Object.keys(object);
  if (!keys.some((key) => key.startsWith('#'))) {
    return keys.map((key) => problem(object[key], `${path}.${key}`)).find((p) => p !== undefined);
  }
  const [[kind, inner]] = Object.entries(object);
  if (keys.length > 1) return `${path}: ${keys.join()}`;
  switch (kind) {
    case '#bigint':
      return typeof inner === 'string' && /^-?\d+$/.test(inner) ? undefined : `${path}: ${kind}`;
    case '#unserializable':
      return typeof inner === 'string' ? undefined : `${path}: ${kind}`;
    case '#tup':
    case '#set':
      return Array.isArray(inner) ? all(inner as readonly Json[], path) : `${path}: ${kind}`;
    case '#map': {
      if (!Array.isArray(inner)) return `${path}: ${kind}`;
      const pairs = inner as readonly Json[];
      if (pairs.some((p) => !Array.isArray(p) || p.length !== 2)) return `${path}: no pairs`;
      const texts = pairs.map((p) => JSON.stringify((p as readonly Json[])[0]));
      return new Set(texts).size < texts.length ? `${path}: a key twice` : all(pairs, path);
    }
    default:
      return `${path}: ${kind}`;
  }
}

/** What ADR-015 demands of a whole trace, and what hotrace says of its own. */
function checkTrace(scenario: Scenario, found: Counterexample): void {
  const trace = JSON.parse(JSON.stringify(scheduleItf(scenario, found))) as Trace;
  const { vars, states } = trace;
  expect(new Set(vars).size).toBe(vars.length);
  expect(states).toHaveLength(found.steps.length + 1);
  states.forEach((state, i) => {
    const { '#meta': meta, ...values } = state;
    expect(Object.keys(values)).toEqual(vars);
    for (const [name, value] of Object.entries(values))
      expect(problem(value, name)).toBeUndefined();
    expect((meta as { index: number }).index).toBe(i);
    // itf-rs reads all but the index as text.
    for (const [key, value] of Object.entries(meta as object)) {
      if (key !== 'index') expect(typeof value).toBe('string');
    }
  });
  for (const name of Object.keys(scenario.entities)) expect(vars).toContain(`entity::${name}`);
  const breaks = states.map(({ '#meta': meta }) => (meta as { breaks?: string }).breaks);
  expect(breaks.at(-1)?.split(', ')).toContain(found.rule);
  expect(breaks.slice(0, -1).some((b) => b?.split(', ').includes(found.rule))).toBe(false);
  // Each state is the one that plain actors come to.
  states.forEach((state, i) => {
    const { diverged, snapshots } = confirm(scenario, found.steps.slice(0, i));
    expect(diverged).toBeUndefined();
    for (const [name, snapshot] of Object.entries(snapshots)) {
      const { state: value, context } = state[`entity::${name}`] as {
        state: string;
        context: Json;
      };
      const plain = snapshot as { value: unknown; context: Record<string, unknown> };
      if (typeof plain.value === 'string') expect(value).toBe(plain.value);
      const fields = Object.entries(plain.context).map(([key, v]) => [key, itfValue(v)]);
      const wanted = JSON.stringify(Object.fromEntries(fields));
      expect(JSON.stringify(context)).toBe(wanted);
    }
    if (i === 0) return;
    const { thread, what } = found.steps[i - 1];
    expect(state['#meta']).toMatchObject({ thread, step: what });
    expect(state[`thread::${thread}`]).toMatchObject({ last: what });
    // What a thread did is what it was said to do next.
    const { status, next } = states[i - 1][`thread::${thread}`] as { status: string; next: string };
    expect(status).toBe('ready');
    expect(next.split(' or ')).toContain(what);
  });
}

describe('the scenarios that come with hotrace', () => {
  const found = CATALOGUE.flatMap((entry) => {
    const { name } = entry;
    const scenario = entry.make();
    return explore(scenario).counterexamples.map(
      (each) => [name, each.rule, scenario, each] as const,
    );
  });
  test.each(found)('%s, %s', (_, __, scenario, each) => checkTrace(scenario, each));
});

test('random scenarios', () => {
  let checked = 0;
  for (let seed = 0; seed < 300; seed++) {
    const scenario = randomScenario(seed, { invariants: true });
    for (const found of explore(scenario).counterexamples) {
      checkTrace(scenario, found);
      checked++;
    }
  }
  expect(checked).toBeGreaterThan(200);
});

test('hostile names', () => {
  const scenario = hostileScenario();
  const { counterexamples } = explore(scenario);
  const whole = counterexamples.find(({ rule }) => rule === '__proto__')!;
  const trace = scheduleItf(scenario, whole);
  expect(trace.vars.filter((name) => name.startsWith('entity::'))).toEqual(
    HOSTILE_NAMES.map((name) => `entity::${name}`),
  );
  const parsed = JSON.parse(JSON.stringify(trace)) as Trace;
  for (const state of parsed.states) {
    const values = Object.entries(state).filter(([name]) => name !== '#meta');
    expect(values.map(([name]) => name)).toEqual(parsed.vars);
    for (const [name, value] of values) expect(problem(value, name)).toBeUndefined();
  }
  const { context } = parsed.states.at(-1)!['entity::__proto__'] as {
    context: { value: { '#map': [string, string][] } };
  };
  expect(context.value['#map'].map(([key]) => key)).toEqual(HOSTILE_NAMES);
});

test('any value of JSON is an expression', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      expect(problem(JSON.parse(JSON.stringify(itfValue(value))) as Json, '')).toBeUndefined();
    }),
  );
  expect(itfValue([1, -2, 2 ** 70, 0.5, null, { a: [] }])).toEqual([
    { '#bigint': '1' },
    { '#bigint': '-2' },
    { '#bigint': '1180591620717411303424' },
    { '#unserializable': '0.5' },
    { tag: 'Null', value: {} },
    { '#map': [['a', []]] },
  ]);
});

test('as a user: one file for each counterexample', () => {
  const file = join(folder, 'x.itf.json');
  expect(hotrace(['explore', 'add-remove', '--itf', file]).code).toBe(1);
  const rules = ['x.itf.json', 'x.INV-03.itf.json'].map((name) => {
    const { states } = JSON.parse(readFileSync(join(folder, name), 'utf8')) as Trace;
    return (states.at(-1)!['#meta'] as { breaks: string }).breaks;
  });
  expect(rules).toEqual(['INV-01', 'INV-01, INV-03']);
});

test.each([
  [['--itf', '-'], /--itf -: name a file/],
  [['--log', '-'], /--log -: name a file/],
  [['--itf', '/nowhere/at/all'], /\/nowhere\/at\/all: cannot be written/],
  [['--log', '/nowhere/at/all'], /\/nowhere\/at\/all: cannot be written/],
  [['--schedule', 'x', '--log', 'y'], /leave out --itf and --log/],
])('%j', (flags, says) => {
  const { err, code } = hotrace(['explore', 'add-remove', ...flags]);
  expect(err).toMatch(says);
  expect(code).toBe(2);
});
