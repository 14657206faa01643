/** Counterexamples as logs: replay judges them as the search did. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { HotplugEvent } from '../../../events/event.js';
import { readLog, readLogHeader } from '../../../events/log.js';
import { addRemove } from '../../../machines/races/add-remove.js';
import { CATALOGUE } from '../../../machines/races/catalogue.js';
import type { Scenario } from '../../../machines/scenario.js';
import { send } from '../../../machines/step.js';
import { variableMachine } from '../../../machines/variable.js';
import { filesFor, writeLogs } from '../../../src/cli/counterexample-files.js';
import type { Counterexample } from '../../../src/explore/counterexample.js';
import { explore } from '../../../src/explore/explore.js';
import { replay } from '../../../src/replay/replay.js';
import { build, hotrace } from '../cli/command.js';
import { HOSTILE_NAMES, hostileScenario } from './hostile-scenario.js';

const folder = mkdtempSync(join(tmpdir(), 'hotrace-log-'));
beforeAll(build);
afterAll(() => rmSync(folder, { recursive: true }));

let files = 0;
async function written(scenario: Scenario, found: Counterexample): Promise<string> {
  const file = join(folder, `${files++}.ndjson`);
  await writeLogs(file, scenario, [found]);
  return file;
}

async function eventsOf(file: string): Promise<HotplugEvent[]> {
  const events: HotplugEvent[] = [];
  for await (const event of readLog(file)) events.push(event);
  return events;
}

/** What the log says of the steps, as the counterexample says it. */
function stepsIn(events: readonly HotplugEvent[]) {
  return events
    .filter((event) => event.type === 'model_step')
    .map(({ thread, number, what, entity, event, reply }) => ({
      thread,
      number,
      what,
      entity,
      event: event === undefined ? undefined : (JSON.parse(event) as unknown),
      reply: reply === undefined ? undefined : (JSON.parse(reply) as unknown),
    }));
}

const told = (found: Counterexample) =>
  found.steps.map(({ thread, number, what, entity, event, reply }) => ({
    thread,
    number,
    what,
    entity,
    event,
    reply,
  }));

/**
 * Rules that replay can decide from what is in these logs. INV-03 it reads from tracepoints that
 * v3.6 does not have, and a deadlock is no rule of a trace.
 */
const JUDGED = ['INV-01'];

const found = [
  ...CATALOGUE.map((entry) => [entry.name, entry.make()] as const),
  ['two devices', addRemove({ devices: 2 })] as const,
  ['as posted, walking', addRemove({ walks: true })] as const,
].flatMap(([name, scenario]) =>
  explore(scenario).counterexamples.map((each) => [name, each.rule, scenario, each] as const),
);

test('there is something to judge', () => {
  const judged = found.filter(([, rule, { log }]) => log !== undefined && JUDGED.includes(rule));
  expect(judged.length).toBeGreaterThan(3);
});

test.each(found)('%s: replay of the schedule that breaks %s', async (_, rule, scenario, each) => {
  const file = await written(scenario, each);
  const events = await eventsOf(file);
  expect(stepsIn(events)).toEqual(told(each));
  // Facts follow their step, in its thread and at its time.
  let seen = 0;
  for (const event of events) {
    if (event.type === 'model_step') seen++;
    expect(event.time).toBe(seen * 1000);
    expect(event.origin).toEqual({ format: 'schedule', file: scenario.name, line: seen });
    if (seen > 0) expect(event.task?.comm).toBe(each.steps[seen - 1].thread);
  }
  expect(await readLogHeader(file)).toMatchObject({ clock: 'steps' });

  const result = await replay({ files: [file] });
  expect(result.unparsedCount).toBe(0);
  expect(result.events).toBe(events.length);
  expect(result.byType['model_step']).toBe(each.steps.length);
  const broken = result.verdicts.filter(({ status }) => status === 'violated');
  if (scenario.log === undefined) {
    // Its steps say nothing in the kernel's words.
    expect(broken).toEqual([]);
    return;
  }
  expect(result.kernel).toMatchObject({ by: 'stated', contradictions: [] });
  expect(result.kernel.profile.name).toBe('v3.6');
  if (JUDGED.includes(rule)) expect(broken.map((v) => v.rule.id)).toEqual([rule]);
  // Such a schedule may break one of these besides.
  else for (const { rule: other } of broken) expect(JUDGED).toContain(other.id);
  const doubts = result.verdicts.flatMap(({ inconclusive }) => inconclusive);
  for (const { cause } of doubts) expect(['not recorded', 'not in this kernel']).toContain(cause);
});

test('replay finds nothing in the other order of a race, where the search says that it holds', async () => {
  let judged = 0;
  for (const [, , scenario, each] of found) {
    if (each.otherOrder?.outcome !== 'holds') continue;
    const file = await written(scenario, { ...each, steps: each.otherOrder.steps });
    const { verdicts } = await replay({ files: [file] });
    expect(verdicts.filter(({ status }) => status === 'violated')).toEqual([]);
    // Its steps say nothing in the kernel's words.
    if (scenario.log === undefined) continue;
    expect(verdicts.find(({ rule }) => rule.id === 'INV-01')?.status).toBe('holds');
    judged++;
  }
  expect(judged).toBeGreaterThan(3);
});

test('model steps change no verdict', async () => {
  for (const [, , scenario, each] of found) {
    const whole = await written(scenario, each);
    const bare = await written(scenario, { ...each, steps: [] });
    const facts = (await eventsOf(whole)).filter(({ type }) => type !== 'model_step');
    const before = await eventsOf(bare);
    expect(facts.length).toBeGreaterThanOrEqual(before.length);
    const [header, ...lines] = readFileSync(whole, 'utf8').trimEnd().split('\n');
    const kept = lines.filter((line) => !line.includes('"type":"model_step"'));
    expect(kept).toHaveLength(facts.length);
    const without = join(folder, `${files++}.ndjson`);
    writeFileSync(without, `${[header, ...kept].join('\n')}\n`);
    const verdicts = async (file: string) =>
      (await replay({ files: [file] })).verdicts.map(({ rule, status, checks }) => [
        rule.id,
        status,
        checks,
      ]);
    expect(await verdicts(whole)).toEqual(await verdicts(without));
  }
});

test('as a user: the race of 2012 is found again by replay', () => {
  const log = join(folder, 'race.ndjson');
  expect(hotrace(['explore', 'add-remove', '--log', log]).code).toBe(1);
  const { out, err, code } = hotrace(['replay', log]);
  expect(code).toBe(1);
  expect(err).toBe('');
  expect(out).toMatch(/^INV-01 +add-before-del +violated 1x/m);
  expect(out).toContain('read        21 events, 0 lines not read');
  expect(out).toContain('model_step 7');
  expect(hotrace(['replay', join(folder, 'race.INV-03.ndjson')]).err).toBe('');
});

test('hostile names survive', async () => {
  const scenario = hostileScenario();
  const { counterexamples } = explore(scenario);
  expect(counterexamples.map(({ rule }) => rule).sort()).toEqual([
    '../../../etc/passwd',
    '__proto__',
  ]);
  const whole = counterexamples.find(({ rule }) => rule === '__proto__')!;
  const file = await written(scenario, whole);
  const events = await eventsOf(file);
  expect(JSON.stringify(stepsIn(events))).toBe(JSON.stringify(told(whole)));
  const comms = new Set(events.filter((e) => e.type === 'model_step').map((e) => e.task?.comm));
  expect([...comms].sort()).toEqual([...HOSTILE_NAMES].sort());
  const facts = events.flatMap((e) => (e.type === 'function_call' ? [e.fn, e.dev, e.bus] : []));
  expect(new Set(facts)).toEqual(new Set(HOSTILE_NAMES));
  const { unparsedCount, byType } = await replay({ files: [file] });
  expect(unparsedCount).toBe(0);
  expect(byType['model_step']).toBe(whole.steps.length);
});

test('a fact that is no event is told with its step', async () => {
  const scenario: Scenario = {
    name: 'x',
    entities: { n: variableMachine(0) },
    threads: {
      *T() {
        yield* send('n', { type: 'write', value: 1 }, undefined, [
          { type: 'lost', when: 3 } as never,
        ]);
      },
    },
    invariants: [
      {
        id: 'I',
        entities: ['n'],
        holds: ({ n }) => (n.context as { value: number }).value === 0,
      },
    ],
  };
  await expect(written(scenario, explore(scenario).counterexamples[0])).rejects.toThrow(
    'x: thread "T", step 1: a fact: unknown key "when"',
  );
});

describe('names of files', () => {
  test.each([
    ['x.ndjson', ['INV-01', 'INV-03'], ['x.ndjson', 'x.INV-03.ndjson']],
    ['a.b/x.itf.json', ['INV-01', 'deadlock'], ['a.b/x.itf.json', 'a.b/x.deadlock.itf.json']],
    ['x.ndjson.gz', ['a', 'b'], ['x.ndjson.gz', 'x.b.ndjson.gz']],
    ['a.b/x', ['a', 'b'], ['a.b/x', 'a.b/x.b']],
    ['.x', ['a', 'b'], ['.x', '.x.b']],
    ['x.j', ['a', '../b', '.._b', '..\u0000b'], ['x.j', 'x..._b.j', 'x..._b.2.j', 'x..._b.3.j']],
    ['x.j', ['a', 'y'.repeat(300)], ['x.j', `x.${'y'.repeat(60)}.j`]],
  ])('%s of %j', (file, rules, names) => expect(filesFor(file, rules)).toEqual(names));
});
