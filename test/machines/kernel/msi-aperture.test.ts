import { describe, expect, it, test } from 'vitest';
import { MAX_ADDR } from '../../../machines/dma-addr.js';
import {
  cookieOf,
  iommu_domain_get_attr,
  iommu_get_msi_cookie,
  iommu_msi_domain,
  iommu_msi_set_aperture,
  iommu_put_msi_cookie,
  isValid,
  MSI_LAST,
  MSI_REPAIRED,
  MSI_V8,
  MSI_V9,
} from '../../../machines/kernel/msi-aperture.js';
import type { MsiCode } from '../../../machines/kernel/msi-aperture.js';
import { store } from '../../../machines/kernel/memory.js';
import {
  iommu_msi_get_doorbell_iova,
  iommu_msi_msg_pa_to_va,
} from '../../../machines/kernel/msi-doorbell.js';
import { struct } from '../../../machines/object.js';
import type { ObjectMemory } from '../../../machines/object.js';
import {
  aperture,
  domainEntities,
  msiDomain,
  published,
} from '../../../machines/races/msi-domain.js';
import type { DomainSetup } from '../../../machines/races/msi-domain.js';
import type { Invariant, Scenario } from '../../../machines/scenario.js';
import { explore } from '../../../src/explore/explore.js';
import { Alone } from './run-alone.js';

const CODES: readonly [string, MsiCode][] = [
  ['v8', MSI_V8],
  ['v9', MSI_V9],
  ['the last posting', MSI_LAST],
  ['the repaired one', MSI_REPAIRED],
];
const START = '0x8000000';
const END = '0x80fffff';
const DOORBELL = '0x2c1c0040';
const DEVICE = { group: 'group' };

function setUp(code: MsiCode, setup: DomainSetup = {}) {
  const m = msiDomain(code);
  const alone = new Alone({
    ...domainEntities(m, { mappings: 2, ...setup }),
    group: struct({ fields: { domain: 'D' }, refs: 1 }),
    msg: struct({ fields: { address: DOORBELL } }),
  });
  const field = (name: string, of = 'D') => (alone.context(of) as ObjectMemory).fields[name];
  return { m, alone, field };
}

describe.each(CODES)('%s', (_, code) => {
  it('gives a cookie once and takes it back', () => {
    const { m, alone, field } = setUp(code, { cookie: false });
    expect(alone.run(iommu_msi_set_aperture(m, START, END))).toBe(-19);
    expect(alone.run(iommu_get_msi_cookie(m))).toBe(0);
    expect(alone.run(iommu_get_msi_cookie(m))).toBe(-22);
    alone.run(iommu_put_msi_cookie(m));
    const left = [field('msi_cookie'), field('iova_cookie'), field('warned')];
    expect(left).toEqual([null, null, undefined]);
    // Of no cookie it does nothing.
    alone.run(iommu_put_msi_cookie(m));
  });

  it('refuses a cookie where there is a DMA cookie', () => {
    const { m, alone } = setUp(code, { cookie: false });
    alone.run(store('D', 'iova_cookie', cookieOf('D').iovad));
    expect(alone.run(iommu_get_msi_cookie(m))).toBe(-22);
  });

  it('warns where a cookie goes and doorbells are mapped', () => {
    const { m, alone, field } = setUp(code, { aperture: aperture(START, 2) });
    alone.run(iommu_msi_get_doorbell_iova(m, { addr: DOORBELL, size: 8 }));
    alone.run(iommu_put_msi_cookie(m));
    expect(field('warned')).toBe('WARN_ON(!list_empty(&dmi->list))');
  });

  it('has a stub without CONFIG_IOMMU_MSI', () => {
    const { alone, m } = setUp({ ...code, configured: false });
    expect(alone.run(iommu_msi_set_aperture(m, START, END))).toBe(-2);
  });

  it('leaves the geometry as it was where the IOVA domain refuses', () => {
    const { m, alone } = setUp(code);
    alone.run(store('D', 'iova_cookie', null));
    const before = alone.run(iommu_domain_get_attr(m));
    expect(alone.run(iommu_msi_set_aperture(m, START, END))).toBe(-19);
    expect(alone.run(iommu_domain_get_attr(m))).toEqual(before);
  });

  it('returns no domain of the DMA API, none that takes no part, and none at all (P-A2-3)', () => {
    const domainOf = (setup: DomainSetup) => {
      const { m, alone } = setUp(code, setup);
      return alone.run(iommu_msi_domain(m, DEVICE));
    };
    expect(domainOf({})).toBe('D');
    expect(domainOf({ type: 'DMA' })).toBe(null);
    expect(domainOf({ flag: false })).toBe(null);
    const { m, alone } = setUp(code);
    alone.run(store('group', 'domain', null));
    expect(alone.run(iommu_msi_domain(m, DEVICE))).toBe(null);
  });

  it('leaves a message alone only where there is no MSI domain (P-A2-7)', () => {
    const told = (setup: DomainSetup, mapped: boolean) => {
      const { m, alone, field } = setUp(code, { aperture: aperture(START, 1), ...setup });
      if (mapped) alone.run(iommu_msi_get_doorbell_iova(m, { addr: DOORBELL, size: 8 }));
      return [alone.run(iommu_msi_msg_pa_to_va(m, DEVICE, 'msg')), field('address', 'msg')];
    };
    expect(told({ type: 'DMA' }, false)).toEqual([0, DOORBELL]);
    expect(told({}, false)).toEqual([-22, DOORBELL]);
    expect(told({ cookie: false }, false)).toEqual([-22, DOORBELL]);
    expect(told({}, true)).toEqual([0, '0x8000040']);
  });
});

describe('P-A2-2: who sets an aperture sees it in the geometry', () => {
  const seen = (code: MsiCode) => {
    const { m, alone } = setUp(code);
    expect(alone.run(iommu_msi_set_aperture(m, START, END))).toBe(0);
    return alone.run(iommu_domain_get_attr(m)).geometry;
  };
  it('does not in v8, which is what the review found confusing', () => {
    expect(seen(MSI_V8)).toEqual({ aperture_start: '0x0', aperture_end: '0x0', flag: true });
  });
  it('does from v9 on', () => {
    expect(seen(MSI_V9)).toEqual({ aperture_start: START, aperture_end: END, flag: true });
  });
});

describe('P-A2-4: one flag says who takes part in the MSI API', () => {
  /** MSIs need no mapping there; of v8 the driver has a range that can be programmed all the same. */
  const msi = (code: MsiCode) => {
    const { m, alone } = setUp(code, { flag: code.flag === 'programmable', cookie: false });
    return alone.run(iommu_msi_msg_pa_to_va(m, DEVICE, 'msg'));
  };
  it('fails an MSI that needs no mapping where `programmable` is taken for it', () => {
    expect(msi(MSI_V8)).toBe(-22);
  });
  it('lets it pass where there is iommu_msi_supported', () => {
    expect(msi(MSI_V9)).toBe(0);
  });
});

describe('P-A2-5: an aperture becomes valid once', () => {
  const twice = (code: MsiCode, end: '0x80fffff' | '0x81fffff') => {
    const { m, alone } = setUp(code);
    alone.run(iommu_msi_set_aperture(m, START, END));
    return alone.run(iommu_msi_set_aperture(m, START, end));
  };
  it('is enlarged in v8', () => {
    expect([twice(MSI_V8, END), twice(MSI_V8, '0x81fffff')]).toEqual([0, 0]);
  });
  it('is refused from v9 on', () => {
    expect([twice(MSI_V9, END), twice(MSI_V9, '0x81fffff')]).toEqual([-22, -22]);
  });

  /** Whatever is valid stays as it is: looked at in every state of a writer and in all after it. */
  const stays = (code: MsiCode): Scenario => {
    const m = msiDomain(code);
    const set: Invariant = {
      id: 'P-A2-5',
      entities: ['D', cookieOf('D').iovad],
      holds: (view) => {
        const [aperture_start, aperture_end] = published(view.D, 'whole');
        const { range } = view[cookieOf('D').iovad].context as { range: { end: string } | null };
        if (code.aperture === 'start < end' && !isValid({ aperture_start, aperture_end }))
          return true;
        return range === null || range.end === END;
      },
    };
    return {
      name: 'set twice',
      entities: domainEntities(m),
      threads: {
        VFIO: function* () {
          yield* iommu_msi_set_aperture(m, START, END);
          yield* iommu_msi_set_aperture(m, START, '0x81fffff');
        },
      },
      invariants: [set],
    };
  };
  it.each([
    ['v8', MSI_V8, 'violated'],
    ['v9', MSI_V9, 'clean'],
  ] as const)('explored in %s', (_, code, verdict) => {
    expect(explore(stays(code)).verdict).toBe(verdict);
  });
});

test('start >= end is invalid, in whatever encoding', () => {
  const valid = (aperture_start: '0x0' | '0x1' | typeof MAX_ADDR, aperture_end: '0x0' | '0x1') =>
    isValid({ aperture_start, aperture_end });
  expect([valid('0x0', '0x0'), valid(MAX_ADDR, '0x0'), valid('0x1', '0x1')]).toEqual([
    false,
    false,
    false,
  ]);
  expect(valid('0x0', '0x1')).toBe(true);
});
