/** Somebody waits for ever while others go on: found in the reduced graph where the whole one has it. */

import { describe, expect, test } from 'vitest';
import { mutexMachine } from '../../../machines/mutex.js';
import type { Scenario } from '../../../machines/scenario.js';
import { lock, loopHead, send, unlock } from '../../../machines/step.js';
import { variableMachine } from '../../../machines/variable.js';
import { explore } from '../../../src/explore/explore.js';
import { findPartialDeadlock, waitForEver } from '../../../src/explore/partial-deadlock.js';
import { Program } from '../../../src/explore/program.js';
import { NO_REDUCTION } from '../../../src/explore/search-options.js';
import { Kind } from '../../../src/explore/thread-trie.js';
import { exploreText } from '../../../src/report/explore-text.js';
import { randomScenario } from './random-scenario.js';

const LIMIT = 1500;

/** By the definition, state after state, with sets of the states that each can reach. */
function byDefinition(scenario: Scenario): boolean | undefined {
  let program = new Program(scenario);
  for (;;) {
    const threads = program.trie.threads.length;
    const answer = lookAt(program, threads);
    if (answer !== 'again') return answer;
    const met = program;
    program = new Program(scenario);
    for (const { name, body } of met.trie.threads) program.trie.addThread(name, body);
  }
}

function lookAt(program: Program, threads: number): boolean | undefined | 'again' {
  const numbers = new Map<string, number>();
  const rows: Int32Array[] = [];
  const successors: { readonly to: number; readonly by: number }[][] = [];
  const number = (row: Int32Array): number => {
    const key = row.join();
    let n = numbers.get(key);
    if (n === undefined) {
      n = rows.length;
      numbers.set(key, n);
      rows.push(row);
    }
    return n;
  };
  number(program.start(threads));
  for (let n = 0; n < rows.length; n++) {
    if (rows.length > LIMIT) return undefined;
    successors[n] = [];
    for (let t = 0; t < threads; t++) {
      if (!program.enabled(rows[n], t)) continue;
      for (let outcome = program.outcomes(rows[n], t) - 1; outcome >= 0; outcome--) {
        const next = rows[n].slice();
        program.step(next, t, outcome);
        if (program.trie.threads.length !== threads) return 'again';
        successors[n].push({ to: number(next), by: t });
      }
    }
  }
  const broken = (n: number) =>
    Array.from({ length: program.entities }, (_, e) => e).some(
      (e) => program.tables[e].rule(rows[n][e]) !== undefined,
    );
  const reachedFrom = (start: number, through: (n: number) => boolean) => {
    const reached = new Set(successors[start].map(({ to }) => to).filter(through));
    for (const at of reached) {
      for (const { to } of successors[at]) if (through(to)) reached.add(to);
    }
    return reached;
  };
  for (let n = 0; n < rows.length; n++) {
    // On a cycle that breaks no rule.
    if (broken(n) || !reachedFrom(n, (at) => !broken(at)).has(n)) continue;
    const reached = reachedFrom(n, () => true);
    if ([...reached].some((at) => successors[at].length === 0)) continue;
    const row = rows[n];
    for (let t = 0; t < threads; t++) {
      const node = row[program.entities + t];
      const kind = program.trie.kind[node];
      if (node === 0 || kind === Kind.Done || kind === Kind.Threw || kind === Kind.Cut) continue;
      const moves = [...reached].some((at) => successors[at].some(({ by }) => by === t));
      if (!moves) return true;
    }
  }
  return false;
}

describe.each([
  ['cyclic', { loops: true }],
  ['acyclic', {}],
] as const)('%s scenarios', (name, shape) => {
  test('as by the definition', { timeout: 300_000 }, () => {
    let found = 0;
    let compared = 0;
    for (let seed = 0; seed < 700; seed++) {
      const make = () => randomScenario(seed * 131 + 3, shape);
      const truth = byDefinition(make());
      if (truth === undefined) continue;
      compared++;
      if (truth) found++;
      for (const reductions of [NO_REDUCTION, { ...NO_REDUCTION, alone: true }, {}]) {
        const told = findPartialDeadlock(new Program(make()), reductions);
        expect(told, `seed ${seed}`).toEqual({ found: truth, cut: undefined });
      }
    }
    expect(compared).toBeGreaterThan(400);
    if (name === 'cyclic') expect(found).toBeGreaterThan(5);
    // Who goes in no loop comes to an end.
    else expect(found).toBe(0);
  });
});

const daemon = (polite: boolean): Scenario => ({
  name: 'a daemon and a mutex',
  entities: { mutex: mutexMachine, ticks: variableMachine(0) },
  threads: {
    *daemon() {
      if (!polite) yield* lock('mutex');
      for (;;) {
        yield* loopHead();
        if (polite) yield* lock('mutex');
        yield* send('ticks', { type: 'read' }, 'reads the clock');
        if (polite) yield* unlock('mutex');
      }
    },
    *worker() {
      yield* lock('mutex');
      yield* unlock('mutex');
    },
  },
});

test('a daemon that keeps a mutex', () => {
  const result = explore(daemon(false));
  expect(result.verdict).toBe('violated');
  expect(result.counterexamples.map(({ rule }) => rule)).toEqual(['partial-deadlock']);
  const [{ says, waiting, confirmed, steps }] = result.counterexamples;
  expect(says).toBe('worker waits for ever while others go on');
  expect(waiting[0]).toMatchObject({ thread: 'worker', holders: [{ thread: 'daemon' }] });
  expect(confirmed).toBe(true);
  expect(steps.map(({ what }) => what)).toEqual(['lock(mutex)']);
  expect(exploreText(result, false)).toContain(
    'worker waits for lock(mutex), held by daemon since lock(mutex)',
  );
});

test('one that gives it back', () => {
  expect(explore(daemon(true)).verdict).toBe('clean');
});

test('who may wait may wait', () => {
  expect(explore({ ...daemon(false), mayWait: ['worker'] }).verdict).toBe('clean');
});

test('what a bound cuts is not called clean', () => {
  const { verdict, cut } = explore(daemon(true), {
    bounds: { states: 2 },
    reductions: NO_REDUCTION,
  });
  expect([verdict, cut]).toEqual(['incomplete', 'states']);
});

test('an end that is reached is a deadlock, if somebody waits there', () => {
  const program = new Program(daemon(true));
  expect(waitForEver(program, program.start(2))).toEqual([]);
});
