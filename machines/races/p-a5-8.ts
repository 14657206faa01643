/** PASIDs of processes that devices are bound to, and that exit. Source: P-A5-8, A5.5. */

import {
  entryOf,
  GLOBAL_PASIDS,
  iommu_sva_bind_device,
  iommu_sva_unbind_device,
  mmput,
  PASID_LOG,
  pasidArrayOf,
  SVA_LOCK,
  V7_2,
} from '../kernel/global-pasid.js';
import type { PasidCode, SvaDevice } from '../kernel/global-pasid.js';
import { kernelLogMachine } from '../kernel-log.js';
import { mutexMachine } from '../mutex.js';
import { struct } from '../object.js';
import type { ObjectMemory } from '../object.js';
import { pasidAllocatorMachine } from '../pasid-allocator.js';
import type { PasidMemory } from '../pasid-allocator.js';
import type { Entity, Scenario } from '../scenario.js';
import { xarrayMachine } from '../xarray.js';
import { race } from './race.js';
import type { Race } from './race.js';

const LAST = 2;
const PASIDS = Array.from({ length: LAST }, (_, i) => i + 1);

export const P_A5_8: Race = race({
  id: 'P-A5-8',
  title: 'A global PASID freed with the process that devices are bound to',
  story:
    'iommu_sva_bind_device gives a process one PASID for all devices. The process exits before its files are released, and another is bound. As long as the domain of a binding holds the struct mm, and the PASID is freed with that struct, no table has the PASID any more when it is given out again.',
  commits: [{ id: '2667ed10d9f0', subject: 'mm: Fix PASID use-after-free issue', since: 'v5.18' }],
  source: 'A5.5 P-A5-8, D K28, INV-31',
  variants: [
    {
      name: 'bug: freed in __mmput',
      expected: 'violated',
      breaks: ['INV-31'],
      kernel: 'v6.12 without 2667ed10d9f0',
      make: () => scenarioOf('__mmput'),
    },
    {
      name: 'fixed: freed in __mmdrop',
      expected: 'clean',
      kernel: 'v6.12',
      make: () => scenarioOf('__mmdrop'),
    },
  ],
});

const D0: SvaDevice = { dev: 'd0', group: 'g0', handle: 'sva(d0)' };
const D1: SvaDevice = { dev: 'd1', group: 'g1', handle: 'sva(d1)' };

/** Bound is d0 to mm_A. */
function scenarioOf(freedIn: PasidCode['freedIn']): Scenario {
  const code = { ...V7_2, freedIn };
  const device = ({ dev, group }: SvaDevice, mm: string | null): Record<string, Entity> => ({
    [dev]: struct({ fields: { max_pasids: LAST + 1, [entryOf(1)]: mm } }),
    [group]: struct({ fields: { devices: [dev] } }),
    [`${group}->mutex`]: mutexMachine,
    [pasidArrayOf(group)]: {
      machine: xarrayMachine,
      input: { entries: mm === null ? {} : { 1: D0.handle } },
    },
  });
  return {
    name: 'P-A5-8',
    story: P_A5_8.story,
    entities: {
      [SVA_LOCK]: mutexMachine,
      [PASID_LOG]: kernelLogMachine(['INV-30']),
      [GLOBAL_PASIDS]: {
        machine: pasidAllocatorMachine(LAST, 'INV-37'),
        input: { owners: { 1: 'mm_A' } },
      },
      mm_A: struct({ fields: { mm_users: 1, iommu_mm: 1 }, refs: 2 }),
      mm_B: struct({ fields: { mm_users: 1, iommu_mm: null }, refs: 1 }),
      ...device(D0, 'mm_A'),
      ...device(D1, null),
      [D0.handle]: struct({ fields: { domain: 'mm_A', users: 1, pasid: 1 } }),
      [D1.handle]: struct(),
    },
    threads: {
      'A: exit': function* () {
        yield* mmput(code, 'mm_A');
        // exit_files, the driver's release
        yield* iommu_sva_unbind_device(code, D0);
      },
      'B: bind, unbind, exit': function* () {
        yield* iommu_sva_bind_device(code, D1, 'mm_B');
        yield* iommu_sva_unbind_device(code, D1);
        yield* mmput(code, 'mm_B');
      },
    },
    invariants: [
      {
        id: 'INV-31',
        says: 'a PASID has an owner, and a table has it for another',
        entities: [GLOBAL_PASIDS, 'd0', 'd1'],
        holds: (view) => {
          const { owners } = view[GLOBAL_PASIDS].context as PasidMemory;
          return PASIDS.every((pasid) =>
            ['d0', 'd1'].every((dev) => {
              const { fields } = view[dev].context as ObjectMemory;
              const entry = fields[entryOf(pasid)] ?? null;
              return owners[pasid] === undefined || entry === null || entry === owners[pasid];
            }),
          );
        },
      },
    ],
  };
}
