/**
 * One fault in a run, wherever one can be: an allocation, a file, a link, an attach, a probe. What is
 * broken then is what the corpus and A1.5 say of the generation, no more and no less.
 */

import { describe, expect, it } from 'vitest';
import { device_add } from '../../../machines/kernel/driver-core.js';
import { failedAddIsNeutral } from '../../../machines/kernel/invariants.js';
import { iommu_attach_group } from '../../../machines/kernel/iommu-domain.js';
import {
  iommu_group_add_device,
  iommu_group_alloc,
  iommu_group_put,
  iommu_group_remove_device,
} from '../../../machines/kernel/iommu-group.js';
import { add_device, iommu_probe_device } from '../../../machines/kernel/iommu-probe.js';
import { kernelScenario } from '../../../machines/kernel/kernel-scenario.js';
import { Kernel } from '../../../machines/kernel/kernel.js';
import type { KernelSetup } from '../../../machines/kernel/kernel.js';
import { store } from '../../../machines/kernel/memory.js';
import { listenerCall } from '../../../machines/kernel/notifier-chain.js';
import type { NotifierCall } from '../../../machines/kernel/notifier-chain.js';
import { membershipListenerMachine } from '../../../machines/membership-listener.js';
import { struct } from '../../../machines/object.js';
import type { KernelProfile } from '../../../machines/profiles/profile.js';
import { profileByName } from '../../../machines/profiles/timeline.js';
import type { Thread } from '../../../machines/step.js';
import { explore } from '../../../src/explore/explore.js';

/** Why a fault breaks a rule, by where that is told, and the facts of a kernel in which it does not. */
const CAUSES = {
  /** kfree of a kobject that should have been put: its name leaks. */
  'D-A1-2': { failedKobjectAdd: 'put' },
  /** The id is freed, and freed again by the put. */
  'D-A1-2b': { failedKobjectAdd: 'put' },
  /** An attribute that cannot be made: the group is put by nobody. */
  K22: { allocUnwinds: true },
  /** The attach of a device that joins. */
  K21: { failedAttach: 'unwound' },
  /** The attach of a group, of which v3.6 does not know on which domain it was. */
  'P-A1-5': { groupDomain: true, attachUndo: 'unwinds' },
  K39: { attachUndo: 'unwinds' },
} as const satisfies Readonly<Record<string, Partial<KernelProfile>>>;
type Cause = keyof typeof CAUSES;

interface Operation {
  readonly setup: Omit<KernelSetup, 'profile'>;
  readonly run: (k: Kernel) => Thread<number>;
}

const OPERATIONS: Readonly<Record<string, Operation>> = {
  'alloc, add, remove': {
    setup: { devices: { d0: { present: true } } },
    run: function* (k) {
      const group = yield* iommu_group_alloc(k);
      if (group === null) return 0;
      const ret = yield* iommu_group_add_device(k, group, 'd0');
      yield* iommu_group_put(k, group);
      if (ret === 0) yield* iommu_group_remove_device(k, 'd0');
      return ret;
    },
  },
  /** What came before v5.8 is ops->add_device. */
  iommu_probe_device: {
    setup: { devices: { d0: { present: true } } },
    run: (k) => (k.profile.probeDevice ? iommu_probe_device(k, 'd0') : add_device(k, 'd0')),
  },
  /** The group is there, and so is its domain. */
  'iommu_probe_device, second': {
    setup: { devices: { d0: { present: true, alias: 'id' }, d1: { group: 'g0', alias: 'id' } } },
    run: (k) => (k.profile.probeDevice ? iommu_probe_device(k, 'd0') : add_device(k, 'd0')),
  },
  iommu_attach_group: {
    setup: { devices: { d0: { group: 'g0' }, d1: { group: 'g0' } }, domains: ['U'] },
    run: function* (k) {
      yield* iommu_attach_group(k, 'U', 'g0');
      return 0;
    },
  },
  device_add: {
    setup: { devices: { d0: {} }, drivers: { nvme: {} } },
    run: (k) => device_add(k, 'd0'),
  },
};

type Cell = Readonly<Partial<Record<Cause, readonly string[]>>>;
const SOUND: Cell = {};

/** AL7 as v3.6 has it, until kobject_put came beside ida_simple_remove. */
const KFREE = { 'D-A1-2': ['INV-19'] } as const;
/** AL9: v4.11 and later have an attribute. */
const ATTRIBUTE = { K22: ['INV-19'] } as const;
/** v4.2 – v4.14: "attach failure ignored (device in group, not attached)". */
const IGNORED = { K21: ['INV-11'] } as const;
/** v4.15 – v5.4: "error path forgot sysfs_remove_link". */
const STALE_LINK = { K21: ['INV-03', 'INV-04'] } as const;
/** Until v6.2: "d1 on U, d2 on nothing". */
const NO_ROLLBACK = { K39: ['INV-11'] } as const;
/** A1.3 AL7 "5.10.262 … double id free", AL9. */
const V5_10 = { 'D-A1-2b': ['INV-19'], ...ATTRIBUTE } as const;

/** What each cause breaks. */
const EXPECTED: Readonly<Record<string, Readonly<Record<keyof typeof OPERATIONS, Cell>>>> = {
  'v3.6': {
    'alloc, add, remove': KFREE,
    iommu_probe_device: KFREE,
    'iommu_probe_device, second': SOUND,
    iommu_attach_group: { 'P-A1-5': ['INV-11'] },
    device_add: KFREE,
  },
  'v4.14': {
    'alloc, add, remove': { ...KFREE, ...ATTRIBUTE },
    iommu_probe_device: { ...KFREE, ...ATTRIBUTE, ...IGNORED },
    'iommu_probe_device, second': IGNORED,
    iommu_attach_group: NO_ROLLBACK,
    device_add: { ...KFREE, ...ATTRIBUTE, ...IGNORED },
  },
  'v5.4': {
    'alloc, add, remove': { ...KFREE, ...ATTRIBUTE },
    // The link that is left goes with a group that has nobody else.
    iommu_probe_device: { ...KFREE, ...ATTRIBUTE },
    'iommu_probe_device, second': STALE_LINK,
    iommu_attach_group: NO_ROLLBACK,
    device_add: { ...KFREE, ...ATTRIBUTE },
  },
  'v5.10': {
    'alloc, add, remove': V5_10,
    iommu_probe_device: V5_10,
    'iommu_probe_device, second': SOUND,
    iommu_attach_group: NO_ROLLBACK,
    device_add: V5_10,
  },
  'v6.1': {
    'alloc, add, remove': ATTRIBUTE,
    iommu_probe_device: ATTRIBUTE,
    'iommu_probe_device, second': SOUND,
    iommu_attach_group: NO_ROLLBACK,
    device_add: ATTRIBUTE,
  },
  'v6.12': {
    'alloc, add, remove': SOUND,
    iommu_probe_device: SOUND,
    'iommu_probe_device, second': SOUND,
    iommu_attach_group: SOUND,
    device_add: SOUND,
  },
  'v7.2': {
    'alloc, add, remove': SOUND,
    iommu_probe_device: SOUND,
    'iommu_probe_device, second': SOUND,
    iommu_attach_group: SOUND,
    device_add: SOUND,
  },
};

/** The rules that a complete search of all runs with one fault at most finds broken. */
function found(profile: KernelProfile, { setup, run }: Operation, faults = 1): readonly string[] {
  const hears = listenerCall('l0');
  const call: NotifierCall = function* (called) {
    return /^(ADD|DEL)_DEVICE$/.test(called.action) ? yield* hears(called) : 0;
  };
  const told: KernelSetup = {
    profile,
    ...setup,
    mayFail: true,
    blocks: { 'g0->notifier': [{ block: 'l0', call }] },
  };
  const { verdict, counterexamples } = explore(
    kernelScenario({
      name: 'faults',
      ...told,
      faults,
      entities: { l0: membershipListenerMachine, result: struct({ fields: { ret: 0 } }) },
      invariants: [
        failedAddIsNeutral(new Kernel(told), { dev: 'd0', ret: 'result', listener: 'l0' }),
      ],
      run: {
        T1: function* (k) {
          yield* store('result', 'ret', yield* run(k));
        },
      },
    }),
  );
  expect(verdict).toBe(counterexamples.length === 0 ? 'clean' : 'violated');
  return counterexamples.map(({ rule }) => rule);
}

const CELLS = Object.entries(EXPECTED).flatMap(([kernel, row]) =>
  Object.entries(row).map(([operation, cell]) => ({
    kernel,
    operation,
    cell,
    causes: Object.keys(cell) as Cause[],
  })),
);

describe.each(CELLS)('$kernel, $operation: $causes', ({ kernel, operation, cell, causes }) => {
  const profile = profileByName(kernel)!;
  const what = OPERATIONS[operation];
  const without = (...cured: readonly Cause[]): KernelProfile =>
    Object.assign({}, profile, ...cured.map((cause) => CAUSES[cause])) as KernelProfile;

  it('breaks what its causes break', () => {
    expect(new Set(found(profile, what))).toEqual(new Set(Object.values(cell).flat()));
  });

  it('breaks nothing without a fault', () => {
    expect(found(profile, what, 0)).toEqual([]);
  });

  it.runIf(causes.length > 0)('breaks nothing without its causes', () => {
    expect(found(without(...causes), what)).toEqual([]);
  });

  it.runIf(causes.length > 1)('each cause alone breaks what it is said to', () => {
    for (const cause of causes) {
      const others = causes.filter((other) => other !== cause);
      expect({ cause, rules: found(without(...others), what) }).toEqual({
        cause,
        rules: cell[cause],
      });
    }
  });
});
