import { iommu_attach_group } from '../kernel/iommu-domain.js';
import { iommu_attach_device_pasid } from '../kernel/iommu-pasid.js';
import { kernelScenario } from '../kernel/kernel-scenario.js';
import type { GroupSetup } from '../kernel/kernel.js';
import type { KernelProfile } from '../profiles/profile.js';
import { profileForVersion } from '../profiles/timeline.js';
import { race } from './race.js';
import type { Race } from './race.js';

const TWO = { d0: { group: 'g0' }, d1: { group: 'g0' } } as const;
const NO_DEFAULT: GroupSetup = { default_domain: null, domain: null };

const attach =
  (profile: KernelProfile, start: GroupSetup = {}) =>
  () =>
    kernelScenario({
      name: 'k39',
      profile,
      devices: TWO,
      groups: { g0: start },
      domains: ['U'],
      mayFail: true,
      run: { 'attach U': (k) => iommu_attach_group(k, 'U', 'g0') },
    });

const attachPasid = (profile: KernelProfile) => () =>
  kernelScenario({
    name: 'k39-pasid',
    profile,
    devices: TWO,
    domains: ['U'],
    mayFail: true,
    run: { 'attach U at a PASID': (k) => iommu_attach_device_pasid(k, 'U', 'g0') },
  });

/** D K39. */
export const K39: Race = race({
  id: 'K39',
  title: "Group attach failure leaves devices on neither domain (seed 004's missing rollback)",
  story:
    'A group of two devices is attached to a domain. The first device goes over, the second fails, and nobody takes the first one back: the group says that it is on its old domain, and a device of it is not. First the old domain was attached again where there was one, later also a group without one was taken back. The same at a PASID erred the other way: it undid the attach also where it had not been made.',
  commits: [
    {
      id: '2cc73c5712f9',
      subject: 'iommu: Attach device group to old domain in error path',
      since: 'v6.3',
    },
    {
      id: 'dcf40ed3a20d',
      subject: 'iommu: Make __iommu_group_set_domain() handle error unwind',
      since: 'v6.5',
    },
    {
      id: 'b025dea63cde',
      subject: 'iommu: Undo pasid attachment only for the devices that have succeeded',
      since: 'v6.10',
    },
  ],
  source: 'D K39, P-A1-5, C.2, INV-11, INV-30',
  variants: [
    {
      name: 'bug',
      expected: 'violated',
      breaks: ['INV-11'],
      kernel: 'v6.2',
      make: attach(profileForVersion([6, 2])),
    },
    {
      name: 'fixed',
      expected: 'clean',
      kernel: '2cc73c5712f9 (v6.3)',
      make: attach(profileForVersion([6, 3])),
    },
    {
      name: 'bug: no old domain',
      expected: 'violated',
      breaks: ['INV-11'],
      kernel: '2cc73c5712f9 (v6.3), v6.4',
      make: attach(profileForVersion([6, 4]), NO_DEFAULT),
    },
    {
      name: 'fixed: no old domain',
      expected: 'clean',
      kernel: 'dcf40ed3a20d (v6.5)',
      make: attach(profileForVersion([6, 5]), NO_DEFAULT),
    },
    {
      name: 'bug: at a PASID',
      expected: 'violated',
      breaks: ['INV-30'],
      kernel: 'v6.9',
      make: attachPasid(profileForVersion([6, 9])),
    },
    {
      name: 'fixed: at a PASID',
      expected: 'clean',
      kernel: 'b025dea63cde (v6.10)',
      make: attachPasid(profileForVersion([6, 10])),
    },
  ],
});
