/** What A1.5 tells of the groups of v3.6 is found, and is not where its cause is not. */

import { describe, expect, it } from 'vitest';
import { createMachine } from 'xstate';
import { bus_set_iommu } from '../../../machines/kernel/iommu-bus.js';
import {
  iommu_group_add_device,
  iommu_group_get_by_id,
  iommu_group_put,
  iommu_group_remove_device,
  iommu_group_set_iommudata,
  iommu_group_set_name,
} from '../../../machines/kernel/iommu-group.js';
import { kernelScenario } from '../../../machines/kernel/kernel-scenario.js';
import type { KernelScenario } from '../../../machines/kernel/kernel-scenario.js';
import { struct } from '../../../machines/object.js';
import { profileForVersion } from '../../../machines/profiles/timeline.js';
import { chainOf } from '../../../machines/races/chain-unregister.js';
import { notifierListMachine } from '../../../machines/notifier-list.js';
import { send } from '../../../machines/step.js';
import { explore } from '../../../src/explore/explore.js';

const V3_6 = profileForVersion([3, 6]);
const V5_10 = profileForVersion([5, 10]);

/** What a complete search of all interleavings says, by rule. */
function found(told: Omit<KernelScenario, 'name'>): Record<string, string> {
  const { verdict, counterexamples } = explore(kernelScenario({ name: 'test', ...told }));
  expect(verdict).toBe(counterexamples.length === 0 ? 'clean' : 'violated');
  return Object.fromEntries(counterexamples.map(({ rule, says }) => [rule, says]));
}

describe('D-A1-3: iommu_data and its release are two stores', () => {
  /** Breaks the rule where one's destructor is given the other's data. */
  const destructor = createMachine({
    id: 'destructor',
    initial: 'uncalled',
    states: {
      uncalled: { on: { own: 'called', foreign: 'wrong' } },
      called: {},
      wrong: { tags: ['violation'], meta: { rule: 'D-A1-3', says: () => 'not its destructor' } },
    },
  });
  const run = (held: boolean) =>
    found({
      profile: V3_6,
      devices: { d0: { present: true } },
      groups: { g0: { held: held ? 2 : 1 } },
      entities: { destructor },
      releaseData: function* (release, data) {
        const type = release === `free_${data}` ? 'own' : 'foreign';
        yield* send('destructor', { type }, `${release}(${data})`);
      },
      run: {
        set: function* (k) {
          yield* iommu_group_set_iommudata(k, 'g0', 'old', 'free_old');
          yield* iommu_group_set_iommudata(k, 'g0', 'new', 'free_new');
          if (held) yield* iommu_group_put(k, 'g0');
        },
        put: (k) => iommu_group_put(k, 'g0'),
      },
    });

  it('who has no reference lets the release see new data with the old destructor', () => {
    expect(run(false)).toMatchObject({ 'D-A1-3': 'not its destructor' });
  });

  it('who has one keeps the release from seeing half of it', () => {
    expect(Object.keys(run(true))).not.toContain('D-A1-3');
  });
});

describe('D-A1-4: iommu_group_set_name takes no lock', () => {
  const run = (other: boolean) =>
    found({
      profile: V3_6,
      devices: { d0: { present: true } },
      groups: { g0: { held: 1 } },
      entities: { a: struct(), b: struct(), c: struct() },
      run: {
        T1: function* (k) {
          yield* iommu_group_set_name(k, 'g0', 'a');
          yield* iommu_group_set_name(k, 'g0', 'b');
        },
        ...(other ? { T2: (k) => iommu_group_set_name(k, 'g0', 'c') } : {}),
      },
    });

  it('two callers free one name twice', () => {
    expect(run(true)['INV-24']).toMatch(/^kfree\(\w\) though/);
  });

  it('one caller does not', () => {
    expect(run(false)).toEqual({});
  });
});

describe('D-A1-5: iommu_group_remove_device of a device without a group', () => {
  const run = (profile: typeof V3_6) =>
    found({
      profile,
      devices: { d0: { present: true } },
      groups: { g0: { held: 1 } },
      run: { T1: (k) => iommu_group_remove_device(k, 'd0') },
    });

  it('v3.6 calls the notifier chain of NULL', () => {
    expect(run(V3_6)).toEqual({ 'INV-24': 'access to NULL->notifier before it was allocated' });
  });

  it('v5.10 looks', () => {
    expect(run(V5_10)).toEqual({});
  });
});

describe('D-A1-11: bus_set_iommu looks and then sets', () => {
  const run = (callers: readonly string[]) => {
    // eslint-disable-next-line require-yield
    const silent = function* () {
      return 0;
    };
    const { chain, entities } = chainOf('blocking', V3_6, { iommu_bus_nb: silent });
    return found({
      profile: V3_6,
      buses: { pci: { iommu: false } },
      entities: {
        ...entities,
        [chain.list]: { machine: notifierListMachine(V3_6), input: { [chain.name]: [] } },
      },
      run: Object.fromEntries(callers.map((name) => [name, (k) => bus_set_iommu(k, 'pci', chain)])),
    });
  };

  it('two callers both find no IOMMU and register the one block twice', () => {
    expect(Object.keys(run(['T1', 'T2']))).toContain('INV-14');
  });

  it('one caller does not', () => {
    expect(run(['T1'])).toEqual({});
  });
});

describe('D-A1-12: iommu_group_get_by_id', () => {
  const run = (held: number) =>
    found({
      profile: V5_10,
      devices: { d0: { group: 'g0' } },
      groups: { g0: { held, default_domain: null, domain: null } },
      foundById: true,
      run: {
        find: function* (k) {
          const group = yield* iommu_group_get_by_id(k, 'g0');
          if (group !== null) yield* iommu_group_put(k, group);
        },
        remove: (k) => iommu_group_remove_device(k, 'd0'),
      },
    });

  it('gets devices_kobj although its count is zero', () => {
    expect(run(0)).toEqual({ 'INV-24': 'get of g0 though its count was zero' });
  });

  it('does not where somebody holds the group', () => {
    expect(run(1)).toEqual({});
  });
});

describe('A1.3 AD2: a device that is added twice', () => {
  it('is refused by its link alone, and stays where it is', () => {
    expect(
      found({
        profile: V3_6,
        devices: { d0: { present: true } },
        groups: { g0: { held: 1 }, g1: { held: 1 } },
        run: {
          T1: (k) => iommu_group_add_device(k, 'g0', 'd0'),
          T2: (k) => iommu_group_add_device(k, 'g1', 'd0'),
        },
      }),
    ).toEqual({});
  });
});
