/** The range of a PASID that a process has already. Source: D-A5-10. */

import {
  GLOBAL_PASIDS,
  IOMMU_PASID_INVALID,
  iommu_sva_alloc_pasid,
  PASID_LOG,
  SVA_LOCK,
  V7_2,
} from '../kernel/global-pasid.js';
import type { PasidCode } from '../kernel/global-pasid.js';
import { store } from '../kernel/memory.js';
import { kernelLogMachine } from '../kernel-log.js';
import { mutexMachine } from '../mutex.js';
import { struct } from '../object.js';
import type { ObjectMemory } from '../object.js';
import { pasidAllocatorMachine } from '../pasid-allocator.js';
import type { EntityView, Scenario } from '../scenario.js';
import type { Thread } from '../step.js';
import { race } from './race.js';
import type { Race } from './race.js';

const MAX = 1;

export const D_A5_10: Race = race({
  id: 'D-A5-10',
  title: 'The greatest PASID of a range is refused to who has it',
  story:
    'iommu_sva_alloc_pasid gives a process a PASID of min to max, both included. Where the process has one already it refuses max itself with -EOVERFLOW. Two devices with the same limits bind one process: the first to come is given the greatest PASID, the second is told that it is too great.',
  commits: [
    {
      id: '4e14176ab13f',
      subject: 'iommu/sva: Stop using ioasid_set for SVA',
      since: 'v6.4',
    },
  ],
  source: 'A5.3 D-A5-10, P-A5-2, INV-37',
  variants: [
    {
      name: 'bug: max is excluded the second time',
      expected: 'violated',
      breaks: ['INV-37'],
      kernel: 'v6.1',
      make: () => scenarioOf('excluded'),
    },
    {
      name: 'fixed: max is included',
      expected: 'clean',
      kernel: '4e14176ab13f (v6.4)',
      make: () => scenarioOf('included'),
    },
  ],
});

function scenarioOf(max: PasidCode['max']): Scenario {
  function* bind(dev: string): Thread<void> {
    yield* store(dev, 'ret', yield* iommu_sva_alloc_pasid({ ...V7_2, max }, 'mm', 1, MAX));
  }
  return {
    name: 'D-A5-10',
    story: D_A5_10.story,
    entities: {
      [SVA_LOCK]: mutexMachine,
      [PASID_LOG]: kernelLogMachine(['INV-30']),
      [GLOBAL_PASIDS]: pasidAllocatorMachine(MAX, 'INV-37'),
      mm: struct({ fields: { pasid: IOMMU_PASID_INVALID } }),
      d0: struct({ fields: { ret: 0 } }),
      d1: struct({ fields: { ret: 0 } }),
    },
    threads: { 'd0: bind': () => bind('d0'), 'd1: bind': () => bind('d1') },
    invariants: [
      {
        id: 'INV-37',
        says: `the process has a PASID of 1 to ${MAX}, and a device with that range is refused it`,
        entities: ['mm', 'd0', 'd1'],
        holds: ({ mm, d0, d1 }) => {
          const pasid = Number(field(mm, 'pasid'));
          const fits = pasid >= 1 && pasid <= MAX;
          return !fits || (field(d0, 'ret') === 0 && field(d1, 'ret') === 0);
        },
      },
    ],
  };
}

function field(view: EntityView, name: string): unknown {
  return (view.context as ObjectMemory).fields[name];
}
