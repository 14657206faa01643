import { describe, expect, it } from 'vitest';
import type { DmaAddr } from '../../../machines/dma-addr.js';
import {
  iommu_dma_compose_msi_msg,
  iommu_dma_prepare_msi,
  iommu_domain_free,
  iommu_replace_group_handle,
} from '../../../machines/kernel/msi.js';
import type { MsiCookie, MsiDevice } from '../../../machines/kernel/msi.js';
import { iommu_get_msi_cookie } from '../../../machines/kernel/msi-cookie.js';
import { mutexMachine } from '../../../machines/mutex.js';
import { NULL, nullPointerMachine } from '../../../machines/null-pointer.js';
import { struct } from '../../../machines/object.js';
import type { ObjectMemory } from '../../../machines/object.js';
import { Alone } from './run-alone.js';

const BASES: Readonly<Record<'D1' | 'D2', DmaAddr>> = { D1: '0x8000000', D2: '0x9000000' };
const COOKIES: readonly MsiCookie[] = ['pointer', 'IOVA', 'IOVA, under group->mutex'];

function setUp(cookie: MsiCookie): { m: MsiDevice; alone: Alone } {
  const m: MsiDevice = {
    cookie,
    group: 'group',
    mutex: 'group->mutex',
    prepareLock: 'prepare',
    desc: 'desc',
    message: 'msg',
    ictx: 'ictx',
    doorbell: '0x2c1c0000',
    page: (domain) => `${domain}.page`,
    iova: (domain) => BASES[domain as 'D1' | 'D2'],
  };
  const alone = new Alone({
    group: struct({ fields: { domain: 'D1' } }),
    [m.mutex]: mutexMachine,
    [m.prepareLock]: mutexMachine,
    D1: struct({ fields: { type: 'UNMANAGED', iova_cookie: null } }, 'INV-20'),
    D2: struct({ fields: { type: 'UNMANAGED', iova_cookie: null } }, 'INV-20'),
    [NULL]: nullPointerMachine,
    'D1.cookie': struct(),
    'D2.cookie': struct(),
    'D1.page': struct(),
    'D2.page': struct(),
    desc: struct({ fields: {} }),
    msg: struct({ fields: {} }),
    ictx: struct({ fields: {} }),
  });
  for (const [domain, base] of Object.entries(BASES)) {
    expect(alone.run(iommu_get_msi_cookie(domain, base))).toBe(0);
  }
  return { m, alone };
}

const field = (alone: Alone, object: string, name: string) =>
  (alone.context(object) as ObjectMemory).fields[name];

describe.each(COOKIES)('an MSI whose descriptor keeps the %s', (cookie) => {
  it('has an address that the domain maps, also when it is set up twice', () => {
    const { m, alone } = setUp(cookie);
    for (let n = 0; n < 2; n++) {
      alone.run(iommu_dma_prepare_msi(m));
      alone.run(iommu_dma_compose_msi_msg(m));
      expect(field(alone, 'msg', 'address')).toBe(BASES.D1);
      expect(field(alone, 'D1', 'mapped')).toBe(BASES.D1);
    }
  });

  it('is mapped in a new domain where iommufd knows of it', () => {
    const { m, alone } = setUp(cookie);
    alone.run(iommu_dma_prepare_msi(m));
    alone.run(iommu_replace_group_handle(m, 'D2'));
    expect(field(alone, 'D2', 'mapped')).toBe(
      cookie === 'IOVA, under group->mutex' ? BASES.D1 : undefined,
    );
  });

  it('is composed after its domain was freed where it keeps no pointer', () => {
    const { m, alone } = setUp(cookie);
    alone.run(iommu_dma_prepare_msi(m));
    alone.run(iommu_replace_group_handle(m, 'D2'));
    alone.run(iommu_domain_free('D1'));
    const compose = () => alone.run(iommu_dma_compose_msi_msg(m));
    if (cookie === 'pointer') expect(compose).toThrow('breaks INV-24');
    else expect(compose).not.toThrow();
  });

  it('is set up in the domain that is attached now', () => {
    const { m, alone } = setUp(cookie);
    alone.run(iommu_replace_group_handle(m, 'D2'));
    alone.run(iommu_domain_free('D1'));
    alone.run(iommu_dma_prepare_msi(m));
    alone.run(iommu_dma_compose_msi_msg(m));
    expect(field(alone, 'msg', 'address')).toBe(BASES.D2);
  });
});
