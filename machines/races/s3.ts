import {
  iommu_group_get,
  iommu_group_put,
  iommu_group_remove_device,
} from '../kernel/iommu-group.js';
import { kernelScenario } from '../kernel/kernel-scenario.js';
import type { Kernel } from '../kernel/kernel.js';
import type { KernelProfile } from '../profiles/profile.js';
import { profileForVersion } from '../profiles/timeline.js';
import type { Thread } from '../step.js';
import { race } from './race.js';
import type { Race } from './race.js';

const V3_6 = profileForVersion([3, 6]);
const V5_10 = profileForVersion([5, 10]);

const remove = (k: Kernel) => iommu_group_remove_device(k, 'd0');

function* getAndPut(k: Kernel): Thread<void> {
  const group = yield* iommu_group_get(k, 'd0');
  if (group !== null) yield* iommu_group_put(k, group);
}

const make =
  (profile: KernelProfile, other: (k: Kernel) => Thread<void>, held = 0) =>
  () =>
    kernelScenario({
      name: other === remove ? 's3-remove' : 's3-get',
      profile,
      devices: { d0: { group: 'g0' } },
      groups: { g0: { held, default_domain: null, domain: null } },
      spareGroups: 0,
      run: { remove, [other === remove ? 'remove too' : 'get, put']: other },
    });

/** D S3: D-A1-6 and D-A1-7. */
export const S3: Race = race({
  id: 'S3',
  title: 'Group used beside its last put (D-A1-6, D-A1-7)',
  story:
    'dev->iommu_group is loaded with nothing that keeps the group alive. Who then takes a reference, or the mutex in it, may be late: the device has left, its reference was the last, and the group is freed. It helps that the caller has a reference of its own; it does not help v3.6, where the second of two removals finds NULL and does not look.',
  commits: [],
  source: 'D S3, A1.5 D-A1-5, D-A1-6, D-A1-7, INV-24',
  variants: [
    {
      name: 'bug: removed twice',
      expected: 'violated',
      breaks: ['INV-24'],
      kernel: 'v3.6',
      make: make(V3_6, remove),
    },
    {
      name: 'bug: removed twice, group held',
      expected: 'violated',
      breaks: ['INV-24'],
      kernel: 'v3.6, the caller holds the group',
      make: make(V3_6, remove, 1),
    },
    {
      name: 'bug: removed twice, NULL checked',
      expected: 'violated',
      breaks: ['INV-24'],
      kernel: 'v5.10',
      make: make(V5_10, remove),
    },
    {
      name: 'fixed: removed twice, group held',
      expected: 'clean',
      kernel: 'v5.10, the caller holds the group',
      make: make(V5_10, remove, 1),
    },
    {
      name: 'bug: get',
      expected: 'violated',
      breaks: ['INV-24'],
      kernel: 'v3.6',
      make: make(V3_6, getAndPut),
    },
    {
      name: 'fixed: get, group held',
      expected: 'clean',
      kernel: 'v3.6, the caller holds the group',
      make: make(V3_6, getAndPut, 1),
    },
  ],
});
