/** Programs that are drawn: what they are, that they shrink, and that what is reported is minimal. */

import fc from 'fast-check';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { PROFILES, profileByName } from '../../../machines/profiles/timeline.js';
import { explore } from '../../../src/explore/explore.js';
import { brokenRules } from '../../../src/testing/broken-rules.js';
import { check } from '../../../src/testing/check.js';
import { assertPrograms, checkPrograms } from '../../../src/testing/check-programs.js';
import { programs } from '../../../src/testing/arbitraries.js';
import {
  isProgram,
  programProblem,
  programScenario,
  programText,
} from '../../../src/testing/hotplug-program.js';
import type { HotplugProgram } from '../../../src/testing/hotplug-program.js';
import type { Operation } from '../../../src/testing/operations.js';
import { hasOperation } from '../../../src/testing/operations.js';
import { smallestFailure } from '../../../src/testing/smallest-failure.js';
import { LATE_DRIVER } from './small.js';

const BUDGET = { states: 3000, runs: 50 };

describe('a program that is drawn', () => {
  test.each(['valid', 'any'] as const)('is plain data that names what it has: %s', (lives) => {
    fc.assert(
      fc.property(programs({ lives, maxFaults: 1, maxThreads: 3 }), (program) => {
        expect(isProgram(program)).toBe(true);
        expect(programProblem(program)).toBeUndefined();
        expect(JSON.parse(JSON.stringify(program))).toEqual(program);
        const profile = profileByName(program.kernel!)!;
        for (const [name] of Object.values(program.threads).flat()) {
          expect(hasOperation(name, profile)).toBe(true);
        }
        // Written once more from what is printed, it would be the same.
        expect(programText(program)).toContain(`kernel    ${program.kernel}`);
      }),
    );
  });

  test('can be explored: no thread throws', () => {
    const drawn = fc.sample(programs({ lives: 'any', maxFaults: 1 }), { numRuns: 80, seed: 1 });
    for (const program of drawn) {
      const { rules } = brokenRules(program, { budget: { states: 500 } });
      expect([...rules], programText(program)).not.toContain('exception');
    }
  });

  test('meets every kind of operation', () => {
    const names = (lives: 'valid' | 'any', kernels: readonly string[]) => {
      const drawn = fc.sample(programs({ lives, kernels }), { numRuns: 2000, seed: 2 });
      return new Set(
        drawn.flatMap(({ threads }) =>
          Object.values(threads)
            .flat()
            .map(([n]) => n),
        ),
      );
    };
    const all = PROFILES.map(({ name }) => name);
    expect(names('any', all).size).toBe(21);
    // Whoever calls this is a driver's own business.
    expect(names('valid', all).size).toBe(21);
  });

  test('of valid lives: one thread at a time says what becomes of a thing', () => {
    const owning = /^(device_(add|del)|driver_(un)?register|iommu_group_(add|remove)_device)$/;
    fc.assert(
      fc.property(programs({ maxThreads: 3, maxLives: 2 }), ({ threads }) => {
        const owners = new Map<string, string>();
        for (const [thread, calls] of Object.entries(threads)) {
          for (const [name, ...args] of calls) {
            if (!owning.test(name)) continue;
            const thing = args.at(-1)!;
            expect(owners.get(thing) ?? thread).toBe(thread);
            owners.set(thing, thread);
          }
        }
      }),
    );
  });

  test('what failed is not undone', () => {
    const program: HotplugProgram = {
      kernel: 'v6.12',
      devices: { d0: { group: 'g0', driver: 'r0' } },
      drivers: { r0: {} },
      groups: ['g0'],
      domains: [],
      listeners: {},
      threads: {
        T0: [
          ['iommu_group_claim_dma_owner', 'g0', 'vfio'],
          ['iommu_group_release_dma_owner', 'g0'],
        ],
      },
      faults: 0,
    };
    // A driver uses the group: the claim fails, and a release would take the driver's count.
    expect(check(program)).toMatchObject({ verdict: 'clean' });
    const { invariants = [] } = programScenario(program)(profileByName('v6.12')!);
    expect(invariants.map(({ id }) => id)).toContain('INV-35');
    const released = programScenario(program, {
      invariants: [
        {
          id: 'counted',
          entities: ['g0'],
          when: 'end',
          holds: ({ g0 }) =>
            (g0.context as { fields: { owner_cnt: number } }).fields.owner_cnt === 1,
        },
      ],
    });
    expect(explore(released(profileByName('v6.12')!)).verdict).toBe('clean');
  });
});

/** Everything that can be left out of a program, written apart from the minimiser. */
function smaller(program: HotplugProgram): readonly HotplugProgram[] {
  const { threads, devices, drivers, listeners } = program;
  const drop = <T>(of: Readonly<Record<string, T>>, name: string) =>
    Object.fromEntries(Object.entries(of).filter(([each]) => each !== name));
  const kept = (gone: (call: Operation) => boolean) =>
    Object.fromEntries(
      Object.entries(threads)
        .map(([thread, calls]) => [thread, calls.filter((call) => !gone(call))] as const)
        .filter(([, calls]) => calls.length > 0),
    );
  const names = (call: Operation, name: string) => call.slice(1).includes(name);
  return [
    ...Object.keys(threads).map((thread) => ({ ...program, threads: drop(threads, thread) })),
    ...Object.entries(threads).flatMap(([thread, calls]) =>
      calls.map((_, i) => {
        const rest = calls.filter((__, j) => j !== i);
        const left = rest.length === 0 ? drop(threads, thread) : { ...threads, [thread]: rest };
        return { ...program, threads: left };
      }),
    ),
    ...Object.keys(devices).map((dev) => ({
      ...program,
      devices: drop(devices, dev),
      threads: kept((call) => names(call, dev)),
    })),
    ...Object.keys(drivers).map((driver) => ({
      ...program,
      drivers: drop(drivers, driver),
      devices: Object.fromEntries(
        Object.entries(devices).map(([name, { driver: bound, ...rest }]) => [
          name,
          bound === undefined || bound === driver ? rest : { ...rest, driver: bound },
        ]),
      ),
      threads: kept((call) => names(call, driver)),
    })),
    ...Object.keys(listeners).map((block) => ({
      ...program,
      listeners: drop(listeners, block),
      threads: kept((call) => names(call, block)),
    })),
  ];
}

describe('what is reported', () => {
  test('of 100 random programs that fail, nothing can be left out of the reported one', () => {
    const wanted = 100;
    const failing: { readonly program: HotplugProgram; readonly rule: string }[] = [];
    const constraints = { maxLives: 2, maxListeners: 2, maxFaults: 1 } as const;
    const options = { budget: BUDGET };
    let tried = 0;
    for (let seed = 1; failing.length < wanted; seed++) {
      const lives = seed % 2 === 0 ? 'valid' : 'any';
      const maxThreads = seed % 3 === 0 ? 3 : 2;
      const drawn = programs({ ...constraints, maxThreads, lives });
      for (const program of fc.sample(drawn, { numRuns: 10, seed })) {
        const [rule] = brokenRules(program, { budget: { states: 500 } }).rules;
        if (rule === undefined) continue;
        if (failing.length < wanted) failing.push({ program, rule });
      }
    }
    let removed = 0;
    for (const { program, rule } of failing) {
      const found = smallestFailure(program, rule, options)!;
      expect(found.checked.rules, programText(program)).toContain(rule);
      const [counterexample] = found.checked.on[0].counterexamples.filter(
        (each) => each.rule === rule,
      );
      expect(counterexample.cheapest).toBe(true);
      removed += smaller(program).length - smaller(found.program).length;
      for (const less of smaller(found.program)) {
        tried++;
        const { rules } = check(less, options);
        const text = `${programText(found.program)}\n\nstill breaks ${rule} as\n\n${programText(less)}`;
        expect(rules, text).not.toContain(rule);
      }
    }
    expect(failing).toHaveLength(wanted);
    // Something was tried, and something had been left out.
    expect(tried).toBeGreaterThan(3 * wanted);
    expect(removed).toBeGreaterThan(wanted);
  }, 600_000);

  test('is known to the last part for a known race', () => {
    const found = smallestFailure(LATE_DRIVER, 'INV-01b', { budget: BUDGET })!;
    expect(found.program).toEqual({
      kernel: 'v6.12',
      devices: { d0: {} },
      drivers: { r0: { registered: false } },
      groups: [],
      domains: [],
      listeners: {},
      threads: { T0: [['device_add', 'd0']], T1: [['driver_register', 'r0']] },
      faults: 0,
    });
  });
});

describe('a property of programs', () => {
  const only = { kernels: ['v6.12'], maxListeners: 0 };
  const judges = ['INV-01b'];
  const SEED = 1;

  test('finds the race, makes it small, keeps it, and tries it first the next time', () => {
    const folder = mkdtempSync(join(tmpdir(), 'hotrace-programs-'));
    const options = { judges, seed: SEED, failures: { folder } };
    const found = checkPrograms(programs(only), options);
    expect(found.failure).toMatchObject({ rule: 'INV-01b', again: undefined });
    const { threads, groups, devices } = found.failure!.program;
    expect(Object.values(threads)).toHaveLength(2);
    expect([groups, Object.keys(devices)]).toEqual([[], ['d0']]);
    expect(readdirSync(folder)).toHaveLength(1);
    expect(found.saved).toHaveLength(1);

    const again = checkPrograms(programs(only), { ...options, seed: 99 });
    expect(again.programs).toBe(1);
    expect(again.failure?.again).toBe(found.saved[0]);
    expect(again.failure?.program).toEqual(found.failure?.program);
    rmSync(folder, { recursive: true });
  });

  test('the same seed draws the same', () => {
    const drawn = () => checkPrograms(programs(only), { judges, seed: SEED });
    expect(drawn()).toEqual(drawn());
  });

  test('is not broken where the kernel has the fix', () => {
    const v7_2 = { ...only, kernels: ['v7.2'] };
    const {
      verdict,
      programs: tested,
      covered,
    } = checkPrograms(programs(v7_2), {
      judges,
      seed: SEED,
    });
    expect([verdict, tested]).toEqual(['incomplete', 100]);
    expect(covered).toBeGreaterThan(80);
  });

  test('throws the program, the table, the seed and the command', () => {
    const folder = mkdtempSync(join(tmpdir(), 'hotrace-programs-'));
    const options = { judges, seed: SEED, failures: { folder } };
    expect(() => assertPrograms(programs(only), options)).toThrow(
      /^T\d +device_add\(d0\)[^]*INV-01b bus-add-first[^]*seed: 1[^]*again: HOTRACE_SEED=1 npx vitest/m,
    );
    rmSync(folder, { recursive: true });
  });
});
