import { describe, expect, it } from 'vitest';
import { Kernel } from '../../../machines/kernel/kernel.js';
import type { KernelSetup } from '../../../machines/kernel/kernel.js';
import { iommu_group_store_type } from '../../../machines/kernel/store-type.js';
import type { ObjectMemory } from '../../../machines/object.js';
import { profileByName } from '../../../machines/profiles/timeline.js';
import { Alone } from './run-alone.js';

const EPERM = -1;
const EBUSY = -16;
const EINVAL = -22;

const ONE = { d0: { group: 'g0' } } as const;
const TWO = { ...ONE, d1: { group: 'g0' } } as const;
const BOUND = { d0: { group: 'g0', driver: 'nvme' } } as const;
const DRIVERS = { nvme: {} };
const NO_DEFAULT = { g0: { default_domain: null, domain: null } };

/** C.1: "Sysfs type store". */
describe.each<[string, Omit<KernelSetup, 'profile'>, number, number]>([
  ['one device', { devices: ONE }, 0, 0],
  ['two devices', { devices: TWO }, EINVAL, 0],
  ['a device that is bound', { devices: BOUND, drivers: DRIVERS }, EBUSY, EPERM],
  ['no device', { devices: {}, groups: { g0: { held: 1 } } }, EINVAL, EPERM],
  ['no default domain', { devices: ONE, groups: NO_DEFAULT }, EINVAL, EINVAL],
])('iommu_group_store_type of a group with %s', (_, setup, old, now) => {
  it.each([
    ['v6.1', old],
    ['v6.3', old],
    ['v6.4', now],
    ['v6.12', now],
    ['v7.2', now],
  ])('%s returns %i, and only where that is 0 the domain is another', (kernel, ret) => {
    const k = new Kernel({ profile: profileByName(kernel)!, ...setup });
    const alone = new Alone(k.entities);
    const domain = (of: string) => (alone.context(of) as ObjectMemory).fields.domain;
    const before = domain('g0');
    expect(alone.run(iommu_group_store_type(k, 'g0'))).toBe(ret);
    expect(domain('g0') !== before).toBe(ret === 0);
    for (const dev of Object.keys(k.devices)) expect(domain(dev)).toBe(domain('g0'));
  });
});
