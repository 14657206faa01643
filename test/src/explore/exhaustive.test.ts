/**
 * Right before fast: each reduction alone and all together against the unreduced search, and that
 * against a naive one, over random scenarios.
 */

import { describe, expect, test } from 'vitest';
import { setup } from 'xstate';
import type { AnyStateMachine } from 'xstate';
import { Exhaustive } from '../../../src/explore/exhaustive.js';
import { NO_REDUCTION } from '../../../src/explore/search-options.js';
import type { Reductions, SearchStats } from '../../../src/explore/search-options.js';
import { Program } from '../../../src/explore/program.js';
import type { Scenario } from '../../../machines/scenario.js';
import { send } from '../../../machines/step.js';
import { naive, sorted } from './naive.js';
import { randomScenario } from './random-scenario.js';
import type { Shape } from './random-scenario.js';

const LIMIT = 4000;

interface Found {
  readonly finals: ReadonlySet<string>;
  readonly violated: ReadonlySet<string>;
  readonly stats: SearchStats;
}

/** The finals as text: snapshots of the entities, and the replies of the threads that have begun. */
function finalText(program: Program, row: Int32Array): string {
  const { trie, entities, values } = program;
  const threads = trie.threads
    .map(({ name }, t) => [name, row[entities + t]] as const)
    .filter(([, node]) => node !== 0)
    .map(([name, node]) => {
      const replies: unknown[] = [];
      let at = node;
      for (; trie.parent[at] !== 0 && !trie.loopHead[at]; at = trie.parent[at]) {
        replies.unshift(values.value(trie.reply[at]));
      }
      return [name, sorted([trie.loopHead[at] ? trie.headOf(at) : '', replies])];
    });
  return JSON.stringify([
    program.entityNames.map((name, e) => {
      const snapshot = program.tables[e].interned.snapshot(row[e]);
      return [name, sorted([snapshot.value, snapshot.context])];
    }),
    threads.sort((a, b) => (a[0] < b[0] ? -1 : 1)),
  ]);
}

/** Undefined where there are more states than are looked at. */
function search(
  scenario: Scenario,
  reductions: Partial<Reductions>,
  orbits: boolean,
  walks?: number,
): Found | undefined {
  const program = new Program(scenario);
  let finals = new Set<string>();
  const result = new Exhaustive(program, {
    reductions,
    bounds: { states: LIMIT },
    ...(walks === undefined ? {} : { walks }),
    onRound: () => {
      finals = new Set();
    },
    onFinal: (row) => {
      finals.add(finalText(program, row));
    },
  }).run();
  if (result.cut !== undefined) return undefined;
  return {
    finals: orbits ? new Set([...finals].map((f) => orbit(scenario, f))) : finals,
    violated: new Set(result.violated.keys()),
    stats: result.stats,
  };
}

/** The least of a final's images: which one stands for the orbit does not matter. */
function orbit(scenario: Scenario, final: string): string {
  const [families] = scenario.symmetry ?? [];
  if (families === undefined) return final;
  const lists = Object.values(families);
  const images = permutations(lists[0].length).map((order) => {
    const names = new Map(lists.flatMap((list) => list.map((name, i) => [name, list[order[i]]])));
    const rename = (value: unknown): unknown => {
      if (typeof value === 'string') {
        if (/^[[{]/.test(value)) return sorted(rename(JSON.parse(value)));
        const [head, ...rest] = value.split('.');
        return [names.get(head) ?? head, ...rest].join('.');
      }
      if (Array.isArray(value)) return value.map(rename);
      if (value === null || typeof value !== 'object') return value;
      return Object.fromEntries(
        Object.entries(value).map(([k, v]) => [names.get(k) ?? k, rename(v)]),
      );
    };
    const [entities, threads] = rename(JSON.parse(final)) as [string[][], string[][]];
    const byName = (a: string[], b: string[]) => (a[0] < b[0] ? -1 : 1);
    return JSON.stringify([[...entities].sort(byName), [...threads].sort(byName)]);
  });
  return images.sort()[0];
}

function permutations(n: number): number[][] {
  if (n === 0) return [[]];
  return permutations(n - 1).flatMap((rest) =>
    Array.from({ length: n }, (_, at) => rest.toSpliced(at, 0, n - 1)),
  );
}

/** With how many walks ahead; none: all is learned by the rounds. */
const REDUCTIONS: readonly (readonly [string, Partial<Reductions>, number?])[] = [
  ['sleep', { ...NO_REDUCTION, sleep: true }],
  ['alone', { ...NO_REDUCTION, alone: true }],
  ['alone and sections', { ...NO_REDUCTION, alone: true, sections: true }],
  ['symmetry', { ...NO_REDUCTION, symmetry: true }],
  ['all', {}],
  ['all, by rounds', {}, 0],
];

/** Of each class. HOTRACE_SCENARIOS for more or fewer. */
const COUNT = Number(process.env.HOTRACE_SCENARIOS ?? 5000);

const CLASSES: readonly (readonly [string, number, Shape])[] = [
  ['acyclic', COUNT, {}],
  ['with invariants', COUNT, { invariants: true }],
  ['symmetric', COUNT, { symmetric: true }],
  ['cyclic', COUNT, { loops: true }],
  ['cyclic with invariants', COUNT / 5, { loops: true, invariants: true }],
];

describe.each(CLASSES)('%s', (name, count, shape) => {
  test(
    'every reduction keeps verdicts and final states; the unreduced search is the naive one',
    { timeout: 600_000 },
    () => {
      let states = 0;
      let skipped = 0;
      let compared = 0;
      const kept = new Map<string, number>();
      const violated = new Set<string>();
      for (let seed = 0; seed < count; seed++) {
        const scenario = randomScenario(seed * 7919 + name.length, shape);
        const full = search(scenario, NO_REDUCTION, false);
        if (full === undefined) {
          skipped++;
          continue;
        }
        states += full.stats.states;
        for (const rule of full.violated) violated.add(rule);
        if (seed % 5 === 0) {
          const reference = naive(scenario, LIMIT)!;
          // In a loop the naive one forgets which spawn a thread comes from; the search keeps that.
          if (name.startsWith('cyclic')) {
            expect(full.stats.states, scenario.name).toBeGreaterThanOrEqual(reference.states);
          } else expect(full.stats.states, scenario.name).toBe(reference.states);
          expect(full.violated, scenario.name).toEqual(reference.violated);
          expect(full.finals, scenario.name).toEqual(reference.finals);
          compared++;
        }
        const finals = new Set([...full.finals].map((f) => orbit(scenario, f)));
        for (const [which, reductions, walks] of REDUCTIONS) {
          const reduced = search(scenario, reductions, true, walks)!;
          const where = `${scenario.name}, ${which}`;
          expect(reduced.violated, where).toEqual(full.violated);
          expect(reduced.finals, where).toEqual(finals);
          kept.set(which, (kept.get(which) ?? 0) + reduced.stats.states);
        }
      }
      console.log(
        `${name}: ${count - skipped} scenarios, ${states} states, ${compared} against the naive search; kept ${[
          ...kept,
        ]
          .map(([which, n]) => `${which} ${(n / states).toFixed(3)}`)
          .join(', ')}`,
      );
      expect(violated.size).toBeGreaterThan(1);
      expect(skipped).toBeLessThan(count / 10);
    },
  );
});

test('a section whose body may have to wait is not run alone', () => {
  // One section lets the other's body go on; the other first waits in it with the lock held.
  const scenario = randomScenario(4_244_590, { loops: true });
  expect(search(scenario, NO_REDUCTION, false)!.violated).toEqual(new Set(['deadlock']));
  for (const [which, reductions] of REDUCTIONS) {
    expect(search(scenario, reductions, true)!.violated, which).toEqual(new Set(['deadlock']));
  }
});

describe('a machine in a symmetry', () => {
  const counts = setup({
    types: {},
    guards: { second: ({ event }) => event.of === 'd1' },
  }).createMachine({
    id: 'counts',
    initial: 'a',
    states: { a: { on: { see: [{ guard: 'second', target: 'b' }, 'c'] } }, b: {}, c: {} },
  }) as AnyStateMachine;
  const storm = (treated: (dev: string) => string): Scenario => ({
    name: 'treated',
    entities: { shared: counts },
    threads: Object.fromEntries(
      ['d0', 'd1'].map((dev) => [
        `T${dev}`,
        function* () {
          yield* send('shared', { type: 'see', of: treated(dev) });
        },
      ]),
    ),
    symmetry: [{ devices: ['d0', 'd1'], threads: ['Td0', 'Td1'] }],
  });

  test('that knows a member by its name is named', () => {
    expect(() => search(storm(String), {}, false)).toThrow(/machine "counts".*names exchanged/s);
    expect(search(storm(String), { symmetry: false }, false)).toBeDefined();
  });

  test('that does not see names is searched', () => {
    expect(
      search(
        storm(() => 'd9'),
        {},
        false,
      ),
    ).toBeDefined();
  });
});
