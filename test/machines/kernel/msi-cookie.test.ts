import { describe, expect, it, test } from 'vitest';
import type { DmaAddr } from '../../../machines/dma-addr.js';
import { faultBudgetMachine } from '../../../machines/fault-budget.js';
import {
  cookieStruct,
  iommu_dma_get_msi_page,
  iommu_get_msi_cookie,
  iommu_put_dma_cookie,
  MSI_IOVA_BASE,
  swMsiBase,
} from '../../../machines/kernel/msi-cookie.js';
import { store } from '../../../machines/kernel/memory.js';
import { NULL, nullPointerMachine } from '../../../machines/null-pointer.js';
import { struct } from '../../../machines/object.js';
import type { ObjectMemory } from '../../../machines/object.js';
import type { Invariant } from '../../../machines/scenario.js';
import { explore } from '../../../src/explore/explore.js';
import { Alone } from './run-alone.js';

const GIC: DmaAddr = '0x2c1c0000';

const entities = (type: string) => ({
  D: struct({ fields: { type, iova_cookie: null } }, 'INV-20'),
  [cookieStruct('D')]: struct(),
  page: struct(),
  'page.2': struct(),
  [NULL]: nullPointerMachine,
});

describe('iommu_get_msi_cookie of v4.11', () => {
  it.each(['DMA', 'IDENTITY', 'BLOCKED'])('is refused to a domain that is %s', (type) => {
    const alone = new Alone(entities(type));
    expect(alone.run(iommu_get_msi_cookie('D', MSI_IOVA_BASE))).toBe(-22);
  });

  it('is given once', () => {
    const alone = new Alone(entities('UNMANAGED'));
    expect(alone.run(iommu_get_msi_cookie('D', MSI_IOVA_BASE))).toBe(0);
    expect(alone.run(iommu_get_msi_cookie('D', MSI_IOVA_BASE))).toBe(-17);
    alone.run(iommu_put_dma_cookie('D'));
    alone.run(iommu_put_dma_cookie('D'));
  });

  it('gives doorbells one page after the other, and the same to the same', () => {
    const alone = new Alone(entities('UNMANAGED'));
    alone.run(iommu_get_msi_cookie('D', MSI_IOVA_BASE));
    const page = (name: string, doorbell: DmaAddr) =>
      alone.run(iommu_dma_get_msi_page('D', name, doorbell));
    const iova = (name: string) => (alone.context(name) as ObjectMemory).fields.iova;
    expect(page('page', GIC)).toBe('page');
    expect(page('page.2', GIC)).toBe('page');
    expect(page('page.2', '0x2c1d0000')).toBe('page.2');
    expect([iova('page'), iova('page.2')]).toEqual([MSI_IOVA_BASE, '0x8001000']);
    alone.run(iommu_put_dma_cookie('D'));
    expect(() => alone.run(store('page.2', 'phys', GIC))).toThrow('INV-24');
  });
});

test('a cookie or a page that cannot be had leaves nothing behind', () => {
  const cookie = cookieStruct('D');
  const nothing: Invariant = {
    id: 'INV-04',
    entities: ['returned', 'D', 'page', cookie],
    holds: (view) => {
      const fields = (name: string) => (view[name].context as ObjectMemory).fields;
      const { ret, page } = fields('returned');
      if (ret === -12) return fields('D').iova_cookie === null && view[cookie].state === 'absent';
      if (page !== null) return true;
      const { msi_iova, msi_page_list } = fields(cookie);
      return (
        view.page.state !== 'live' &&
        fields('D').mapped === undefined &&
        msi_iova === MSI_IOVA_BASE &&
        (msi_page_list as readonly string[]).length === 0
      );
    },
  };
  const found = explore({
    name: 'faults',
    faults: 1,
    entities: {
      ...entities('UNMANAGED'),
      faults: faultBudgetMachine,
      returned: struct({ fields: { ret: 0, page: 'page' } }),
    },
    threads: {
      VFIO: function* () {
        const ret = yield* iommu_get_msi_cookie('D', MSI_IOVA_BASE, 'faults');
        yield* store('returned', 'ret', ret);
        if (ret !== 0) return;
        yield* store('returned', 'page', yield* iommu_dma_get_msi_page('D', 'page', GIC, 'faults'));
      },
    },
    invariants: [nothing],
  });
  expect(found.verdict).toBe('clean');
  // The three points that can fail are three ends beside the one that does not.
  expect(found.stats.states).toBeGreaterThan(4);
});

test('the base is that of the software region, unless the hardware has one of its own', () => {
  const sw = { type: 'SW_MSI', start: MSI_IOVA_BASE } as const;
  const hw = { type: 'MSI', start: '0xfee00000' } as const;
  expect(swMsiBase([sw])).toBe(MSI_IOVA_BASE);
  expect(swMsiBase([sw, hw])).toBe(null);
  expect(swMsiBase([hw])).toBe(null);
  expect(swMsiBase([])).toBe(null);
});
