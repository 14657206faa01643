import { describe, expect, it, test } from 'vitest';
import type { Cached, IotlbMemory } from '../../../machines/iotlb.js';
import {
  askedBy,
  DISTINCT,
  generic,
  iommu_invalidate,
  iommu_tlb_invalidate,
  iommu_uapi_cache_invalidate,
  IOTLB,
  meantBy,
  opaque,
  QUOTED,
  returns,
} from '../../../machines/kernel/invalidate.js';
import type { CacheInvalidateInfo, Wish } from '../../../machines/kernel/invalidate.js';
import { store } from '../../../machines/kernel/memory.js';
import { invalidationEntities, WELL_FORMED } from '../../../machines/races/invalidations.js';
import type { InvalidationSetup } from '../../../machines/races/invalidations.js';
import { unmapOrder } from '../../../machines/races/unmap-order.js';
import { explore } from '../../../src/explore/explore.js';
import { Alone } from './run-alone.js';

const D0 = { domain: 'D', dev: 'd0' };
const PAGE: Wish = { granularity: 'page', pasid: 5, first: 4, pages: 1 };

function setUp(setup: InvalidationSetup = {}) {
  const alone = new Alone(invalidationEntities(setup));
  const cached = (): readonly Cached[] => (alone.context(IOTLB) as IotlbMemory).cached;
  return { alone, cached };
}

describe('P-A3-1, INV-44: without an operation', () => {
  const none = { ops: [] };
  it.each([
    ['as posted', () => iommu_invalidate(D0, opaque('VT-d', PAGE), 'nothing')],
    [
      'generic',
      () =>
        iommu_tlb_invalidate(D0, generic(DISTINCT, PAGE), {
          encoding: DISTINCT,
          tests: ['page', 'pasid', 'domain'],
          attachedChecked: true,
        }),
    ],
    ['v5.10', () => iommu_uapi_cache_invalidate(D0, WELL_FORMED)],
    // Before anything of the user is looked at.
    ['v5.10, fault', () => iommu_uapi_cache_invalidate(D0, { ...WELL_FORMED, readable: 0 })],
  ])('%s returns -ENODEV and does nothing', (_, operation) => {
    const { alone, cached } = setUp(none);
    const before = cached();
    const ret = alone.run(operation());
    expect([ret, cached()]).toEqual([-19, before]);
    alone.run(returns(ret, []));
  });
});

describe('iommu_uapi_cache_invalidate', () => {
  const run = (info: Partial<CacheInvalidateInfo>, setup: InvalidationSetup = {}, of = D0) =>
    setUp(setup).alone.run(iommu_uapi_cache_invalidate(of, { ...WELL_FORMED, ...info }));

  /** Each breaks the check of its line and all of those below; A3.2 (2) to (5). */
  const BREAKS: readonly [string, number, Partial<CacheInvalidateInfo>][] = [
    ['the header is not readable', -14, { readable: 15 }],
    ['argsz has not even the header', -22, { argsz: 15 }],
    ['the rest is not readable', -14, { readable: 55 }],
    ['the version is another one', -22, { version: 2 }],
    ['a cache is unknown', -22, { cache: 8 }],
    ['the granularity is unknown', -22, { granularity: 3 }],
    ['a padding byte is set', -22, { padding: 1 }],
    ['the domain is not nested', -22, {}],
  ];

  it.each(BREAKS.map(([what, ret], n) => [what, ret, n] as const))(
    'where %s returns %d, whatever comes after',
    (_, ret, n) => {
      const info = Object.assign(
        {},
        ...BREAKS.slice(n)
          .toReversed()
          .map(([, , each]) => each),
      ) as Partial<CacheInvalidateInfo>;
      // argsz too small would hide the second copy from its own line.
      expect(run(info, { nested: false })).toBe(ret);
      expect(run(BREAKS[n][2], { nested: BREAKS[n][0] !== 'the domain is not nested' })).toBe(ret);
    },
  );

  it.each([
    [0, 15, -22],
    [0, 16, 0],
    [1, 31, -22],
    [1, 32, 0],
    [2, 55, -22],
    [2, 56, 0],
    // A newer user has more than is copied.
    [2, 1000, 0],
  ])('granularity %d with argsz %d: %d', (granularity, argsz, ret) => {
    expect(run({ granularity, argsz, readable: Math.min(Math.max(argsz, 16), 56) })).toBe(ret);
  });

  it('faults on the second copy only as far as it goes', () => {
    expect(run({ granularity: 0, argsz: 16, readable: 16 })).toBe(0);
    expect(run({ granularity: 1, argsz: 32, readable: 31 })).toBe(-14);
  });

  it('needs a PCI device behind an IOMMU, attached to something', () => {
    expect(run({}, { pci: false })).toBe(-19);
    expect(run({}, { translated: false })).toBe(-19);
    const none = setUp().alone.run(
      iommu_uapi_cache_invalidate({ domain: 'D', dev: null }, WELL_FORMED),
    );
    expect(none).toBe(-19);
    const { alone } = setUp();
    alone.run(store('d0', 'domain', null));
    expect(alone.run(iommu_uapi_cache_invalidate(D0, WELL_FORMED))).toBe(-22);
  });

  it('flushes the TLB of the device with the IOTLB where it has one', () => {
    const left = (ats: boolean) => {
      const { alone, cached } = setUp({ ats });
      alone.run(iommu_uapi_cache_invalidate(D0, WELL_FORMED));
      return cached().filter(
        ({ domain, pasid, page }) => domain === 'D' && pasid === 5 && page === 4,
      );
    };
    expect([left(true), left(false)]).toEqual([[], []]);
    const { alone, cached } = setUp();
    const before = cached().filter(({ cache }) => cache === 'DEV_IOTLB').length;
    alone.run(iommu_uapi_cache_invalidate(D0, WELL_FORMED));
    expect(cached().filter(({ cache }) => cache === 'DEV_IOTLB').length).toBe(before - 1);
  });

  it('keeps the tables where only leaves are meant', () => {
    const tables = (flags: number) => {
      const { alone, cached } = setUp();
      alone.run(iommu_uapi_cache_invalidate(D0, { ...WELL_FORMED, flags }));
      return cached().filter(({ leaf }) => leaf === false).length;
    };
    expect([tables(1), tables(1 | 4)]).toEqual([0, 1]);
  });

  it('invalidates PASID 0 where the flag for a PASID is not set', () => {
    const { alone, cached } = setUp();
    const info = { ...WELL_FORMED, granularity: 1, flags: 0 };
    const ret = alone.run(iommu_uapi_cache_invalidate(D0, info));
    alone.run(returns(ret, askedBy(D0, info)));
    expect(cached().filter(({ domain, pasid }) => domain === 'D' && pasid === 0)).toEqual([]);
    expect(cached().filter(({ domain, pasid }) => domain === 'D' && pasid === 5)).not.toEqual([]);
  });
});

describe('P-A3-6: a device that is attached to another domain', () => {
  const e0 = { domain: 'D', dev: 'e0' };
  it('has its TLB flushed by v5.10, which looks at the device alone', () => {
    const { alone } = setUp();
    expect(() => alone.run(iommu_uapi_cache_invalidate(e0, WELL_FORMED))).toThrow('P-A3-6');
  });

  const wanted = (attachedChecked: boolean) =>
    iommu_tlb_invalidate(e0, generic(DISTINCT, PAGE), {
      encoding: DISTINCT,
      tests: ['page', 'pasid', 'domain'],
      attachedChecked,
    });
  it('is refused where it is looked at', () => {
    const { alone, cached } = setUp();
    const before = cached();
    expect([alone.run(wanted(true)), cached()]).toEqual([-22, before]);
    expect(() => alone.run(wanted(false))).toThrow('P-A3-6');
  });
});

describe('the generic interface', () => {
  const code = {
    encoding: DISTINCT,
    tests: ['page', 'pasid', 'domain'],
    attachedChecked: true,
  } as const;
  const run = (change: object) =>
    setUp().alone.run(iommu_tlb_invalidate(D0, { ...generic(DISTINCT, PAGE), ...change }, code));

  it('refuses granularities and flags that it does not know', () => {
    expect([run({ granularity: 0 }), run({ granularity: 3 }), run({ granularity: 8 })]).toEqual([
      -22, -22, -22,
    ]);
    expect([run({ flags: 2 }), run({ flags: 1 }), run({})]).toEqual([-22, 0, 0]);
  });

  it('P-A3-3: has distinct numbers, which the quoted one has not', () => {
    const distinct = (encoding: object) => new Set(Object.values(encoding)).size;
    expect([distinct(DISTINCT), distinct(QUOTED)]).toEqual([3, 2]);
  });

  it('P-A3-5: is held against what was meant', () => {
    const { alone } = setUp();
    expect(() => alone.run(returns(0, [meantBy('IOTLB', D0, PAGE)]))).toThrow('P-A3-5');
    const again = setUp().alone;
    again.run(iommu_tlb_invalidate(D0, generic(DISTINCT, PAGE), code));
    again.run(returns(0, [meantBy('IOTLB', D0, PAGE)]));
  });
});

describe('unmap, invalidate, free', () => {
  test.each([
    ['unmap', true, 'clean'],
    ['unmap', false, 'violated'],
    ['invalidate', true, 'violated'],
    ['invalidate', false, 'violated'],
  ] as const)('%s first, waits: %s', (first, waits, verdict) => {
    const found = explore(unmapOrder({ first, waits }));
    expect(found.verdict).toBe(verdict);
    for (const { rule, confirmed } of found.counterexamples) {
      expect([rule, confirmed]).toEqual(['INV-24', true]);
    }
  });
});
