import { iommu_group_add_device } from '../kernel/iommu-group.js';
import { failedAddIsNeutral } from '../kernel/invariants.js';
import { kernelScenario } from '../kernel/kernel-scenario.js';
import { Kernel } from '../kernel/kernel.js';
import type { KernelSetup } from '../kernel/kernel.js';
import { store } from '../kernel/memory.js';
import { struct } from '../object.js';
import type { KernelProfile } from '../profiles/profile.js';
import { profileForVersion } from '../profiles/timeline.js';
import { race } from './race.js';
import type { Race } from './race.js';

/** What the add returned, for who judges it. */
const ADD = 'add';

const make = (profile: KernelProfile) => () => {
  const setup: KernelSetup = {
    profile,
    devices: { d0: { present: true } },
    groups: { g0: { held: 1 } },
    mayFail: true,
  };
  return kernelScenario({
    name: 'k21',
    ...setup,
    entities: { [ADD]: struct({ fields: { ret: 0 } }) },
    invariants: [failedAddIsNeutral(new Kernel(setup), { dev: 'd0', ret: ADD })],
    run: {
      T1: function* (k) {
        yield* store(ADD, 'ret', yield* iommu_group_add_device(k, 'g0', 'd0'));
      },
    },
  });
};

/** D K21. */
export const K21: Race = race({
  id: 'K21',
  title: 'Partial state after failed add',
  story:
    'A device joins a group, and the attach to the domain of the group fails. First nobody looked at that, and the device was a member on no domain. Then the add was undone, but for the link in the directory of the group: the next add of that device is called d0.0 there, and the link may outlive the device.',
  commits: [
    {
      id: '797a8b4d768c',
      subject: 'iommu: Handle default domain attach failure',
      since: 'v4.15',
    },
    {
      id: '7d4e6ccd1fb0',
      subject: 'iommu: Remove device link to group on failure',
      since: 'v5.5',
    },
  ],
  source: 'D K21, INV-03, INV-04, INV-11',
  variants: [
    {
      name: 'bug: failure ignored',
      expected: 'violated',
      breaks: ['INV-11'],
      kernel: 'v4.14',
      make: make(profileForVersion([4, 14])),
    },
    {
      name: 'bug: link left',
      expected: 'violated',
      breaks: ['INV-03', 'INV-04'],
      kernel: '797a8b4d768c (v4.15), v5.4',
      make: make(profileForVersion([5, 4])),
    },
    {
      name: 'fixed',
      expected: 'clean',
      kernel: '7d4e6ccd1fb0 (v5.5)',
      make: make(profileForVersion([5, 5])),
    },
  ],
});
