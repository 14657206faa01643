/** Rules of one's own: the same machine and the same predicate in exploration, test and replay. */

import { describe, expect, test } from 'vitest';
import { assign, createMachine, setup } from 'xstate';
import { device_add, device_del } from '../../../machines/kernel/driver-core.js';
import { hotplug } from '../../../machines/kernel/hotplug.js';
import type { Hotplug } from '../../../machines/kernel/hotplug.js';
import { scenario } from '../../../machines/scenario.js';
import { deliver } from '../../../machines/step.js';
import { check } from '../../../src/testing/check.js';
import { rule, ruled, RuleRun } from '../../../src/testing/own-rule.js';
import type { Heard, OwnRule } from '../../../src/testing/own-rule.js';

const HEAD = {
  sentence: 'What is told that it does not bind was told that it binds.',
  source: 'this test',
};

/** Clocks on at BIND_DRIVER, off at DRIVER_NOT_BOUND and UNBOUND_DRIVER (K07). */
const byPredicate = rule({
  ...HEAD,
  id: 'CLOCKS',
  holds: (heard) => {
    const count = (...actions: readonly string[]) =>
      heard.filter(({ action }) => actions.includes(action)).length;
    return count('DRIVER_NOT_BOUND', 'UNBOUND_DRIVER') <= count('BIND_DRIVER');
  },
});

const byMachine = rule({
  ...HEAD,
  id: 'CLOCKS',
  machine: setup({
    types: { context: {} as { on: number } },
    actions: {
      up: assign({ on: ({ context }) => context.on + 1 }),
      down: assign({ on: ({ context }) => context.on - 1 }),
    },
  }).createMachine({
    context: { on: 0 },
    initial: 'counting',
    states: {
      counting: {
        always: { guard: ({ context }) => context.on < 0, target: 'underflow' },
        on: {
          BIND_DRIVER: { actions: 'up' },
          DRIVER_NOT_BOUND: { actions: 'down' },
          UNBOUND_DRIVER: { actions: 'down' },
        },
      },
      underflow: { tags: ['violation'] },
    },
  }),
});

const told: Hotplug = {
  name: 'a probe that fails',
  buses: { pci: { iommu: false } },
  devices: { d0: {} },
  drivers: { nvme: {} },
  mayFail: ['dma_configure()'],
  run: {
    life: function* (k) {
      yield* device_add(k, 'd0');
      yield* device_del(k, 'd0');
    },
  },
};

const both: readonly (readonly [string, OwnRule])[] = [
  ['a machine', byMachine],
  ['a predicate', byPredicate],
];

describe.each(both)('%s', (_, own) => {
  test.each([
    ['v5.10', ['CLOCKS']],
    ['v6.12', []],
  ])('judges every interleaving on %s', (kernel, rules) => {
    const checked = check(hotplug(ruled(told, own)), { generations: [kernel] });
    expect(checked.rules).toEqual(rules);
    for (const { says, confirmed } of checked.on[0].counterexamples) {
      expect(says).toBe(HEAD.sentence);
      expect(confirmed).toBe(true);
    }
  });

  test('judges programs', () => {
    const program = {
      iommu: false,
      devices: { d0: {} },
      drivers: { r0: {} },
      groups: [],
      domains: [],
      // It stops the chain, and keeps nothing from the rule.
      listeners: { l0: { on: 'pci->bus_notifier', priority: 9, returns: { ADD_DEVICE: 0x8001 } } },
      threads: { T0: [['device_add', 'd0'] as const] },
      faults: 1,
    };
    const on = (kernel: string) => check({ ...program, kernel }, { rules: [own] }).rules;
    expect(on('v5.10')).toContain('CLOCKS');
    expect(on('v6.12')).not.toContain('CLOCKS');
  });

  test('judges what was recorded', () => {
    const run = (...actions: readonly string[]) => {
      const judge = new RuleRun(own);
      const told = actions.map((action): Heard => ({ action, dev: 'd0' }));
      return told.map((heard) => judge.hear(heard));
    };
    expect(run('ADD_DEVICE', 'BIND_DRIVER', 'UNBOUND_DRIVER')).toEqual([true, true, true]);
    expect(run('ADD_DEVICE', 'DRIVER_NOT_BOUND', 'BIND_DRIVER')).toEqual([true, false, false]);
  });
});

describe('of a scenario that hotplug() does not make', () => {
  const tells = scenario({
    name: 'tells',
    entities: { ears: createMachine({ on: { '*': { actions: () => {} } } }) },
    threads: {
      *T() {
        const payload = { dev: 'd0' };
        yield* deliver('ears', { chain: 'c', block: 'ears', action: 'DRIVER_NOT_BOUND', payload });
      },
    },
  });

  test('a rule says whose deliveries it hears', () => {
    const heard = { ...byMachine, listeners: ['ears'] };
    expect(check(tells, { rules: [heard] }).rules).toEqual(['CLOCKS']);
    expect(() => check(tells, { rules: [byMachine] })).toThrow('CLOCKS does not say whose');
  });
});
