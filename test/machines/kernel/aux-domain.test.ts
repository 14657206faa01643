/** Auxiliary domains of v5.10 and the calls for groups, by one thread. */

import { EBUSY, EINVAL, ENODEV, EPERM } from '../../../machines/errno.js';
import { describe, expect, test } from 'vitest';
import {
  ALT_1,
  ALT_2,
  ALT_2_WHOLE,
  ALT_3,
  iommu_attach_group,
  iommu_aux_attach_device,
  iommu_aux_detach_device,
  iommu_aux_get_pasid,
  iommu_get_domain_for_dev,
  V3,
  VFIO_5_10,
} from '../../../machines/kernel/aux-domain.js';
import type { AuxApi, AuxCore } from '../../../machines/kernel/aux-domain.js';
import { auxScenario } from '../../../machines/kernel/aux-scenario.js';
import type { AuxSetup } from '../../../machines/kernel/aux-scenario.js';
import { auxEntryOf, VTD_5_11 } from '../../../machines/kernel/vtd-aux.js';
import type { ObjectMemory } from '../../../machines/object.js';
import { Alone } from './run-alone.js';

const MEMBERS: AuxSetup['members'] = {
  m0: { group: 'g0', parent: 'p0' },
  m1: { group: 'g0', parent: 'p1' },
};

function machine(api: AuxApi, setup: Partial<AuxSetup> = {}): { alone: Alone; core: AuxCore } {
  const told = { name: 'alone', api, members: MEMBERS, parents: { p0: true, p1: true }, run: {} };
  const { entities } = auxScenario({ ...told, ...setup });
  return {
    alone: new Alone(entities),
    core: { vtd: { code: VTD_5_11 }, guardsGroup: api.guardsGroup },
  };
}

const field = (alone: Alone, entity: string, name: string) =>
  (alone.context(entity) as ObjectMemory).fields[name];

describe('a device', () => {
  test('has an entry while the domain is attached to it, and the domain a PASID', () => {
    const { alone, core } = machine(VFIO_5_10);
    expect(alone.run(iommu_aux_get_pasid(core, 'D1'))).toBe(-EINVAL);
    expect(alone.run(iommu_aux_attach_device(core, 'D1', 'p0'))).toBe(0);
    expect(alone.run(iommu_aux_attach_device(core, 'D1', 'p0'))).toBe(0);
    expect(alone.run(iommu_aux_get_pasid(core, 'D1'))).toBe(1);
    alone.run(iommu_aux_detach_device(core, 'D1', 'p0'));
    expect(field(alone, 'p0', auxEntryOf(1))).toBe('D1');
    alone.run(iommu_aux_detach_device(core, 'D1', 'p0'));
    expect(field(alone, 'p0', auxEntryOf(1))).toBeNull();
  });

  test('without FEAT_AUX is refused, and one with it refuses to be attached as any', () => {
    const { alone, core } = machine(ALT_1, { parents: { p0: false, p1: true } });
    expect(alone.run(iommu_aux_attach_device(core, 'D1', 'p0'))).toBe(-EPERM);
    expect(alone.run(ALT_1.attach(core, 'D1', 'g0'))).toBe(-EPERM);
    expect(alone.run(ALT_2.attach(core, 'D1', 'g0'))).toBe(0);
    expect(field(alone, 'p0', 'domain')).toBe('D1');
  });

  test('is refused where no PASID is left', () => {
    const { alone, core } = machine(VFIO_5_10, { domains: ['D1', 'D2', 'D3'] });
    expect(alone.run(iommu_aux_attach_device(core, 'D1', 'p0'))).toBe(0);
    expect(alone.run(iommu_aux_attach_device(core, 'D2', 'p0'))).toBe(0);
    expect(alone.run(iommu_aux_attach_device(core, 'D3', 'p0'))).toBe(-ENODEV);
  });
});

describe('a group', () => {
  test.each([V3, ALT_1, ALT_2, ALT_3, ALT_2_WHOLE].map((api) => [api.name, api] as const))(
    '%s: has its domain until it is detached, and no second one',
    (_, api) => {
      const { alone, core } = machine(api);
      expect(alone.run(api.attach(core, 'D1', 'g0'))).toBe(0);
      expect(alone.run(iommu_get_domain_for_dev('m1'))).toBe('D1');
      expect(alone.run(api.attach(core, 'D2', 'g0'))).toBe(-EBUSY);
      alone.run(api.detach(core, 'D1', 'g0'));
      expect(alone.run(iommu_get_domain_for_dev('m1'))).toBeNull();
      expect(alone.run(api.attach(core, 'D2', 'g0'))).toBe(0);
    },
  );

  test('v3 warns of a domain that is not attached, and leaves what is', () => {
    const { alone, core } = machine(V3);
    alone.run(V3.attach(core, 'D1', 'g0'));
    alone.run(V3.detach(core, 'D2', 'g0'));
    expect(alone.run(iommu_get_domain_for_dev('m0'))).toBe('D1');
  });

  test('is refused a normal domain by the guard alone', () => {
    const members = { m0: { group: 'g0', parent: 'p0', iommu: true } };
    const bare = machine(ALT_2, { members });
    bare.alone.run(ALT_2.attach(bare.core, 'D1', 'g0'));
    expect(bare.alone.run(iommu_attach_group(bare.core, 'D2', 'g0'))).toBe(0);
    const whole = machine(ALT_2_WHOLE, { members });
    whole.alone.run(ALT_2_WHOLE.attach(whole.core, 'D1', 'g0'));
    expect(whole.alone.run(iommu_attach_group(whole.core, 'D2', 'g0'))).toBe(-EINVAL);
    whole.alone.run(ALT_2_WHOLE.detach(whole.core, 'D1', 'g0'));
    expect(whole.alone.run(iommu_attach_group(whole.core, 'D2', 'g0'))).toBe(0);
  });
});
