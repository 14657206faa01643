import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import type { DmaAddr } from '../../../machines/dma-addr.js';
import { hex, plus } from '../../../machines/dma-addr.js';
import { cookieOf, MSI_LAST, MSI_REPAIRED } from '../../../machines/kernel/msi-aperture.js';
import type { MsiCode } from '../../../machines/kernel/msi-aperture.js';
import {
  iommu_msi_get_doorbell_iova,
  iommu_msi_put_doorbell_iova,
  pageTableOf,
} from '../../../machines/kernel/msi-doorbell.js';
import type { DoorbellIova } from '../../../machines/kernel/msi-doorbell.js';
import type { IovaMemory } from '../../../machines/iova-domain.js';
import type { PageTableMemory } from '../../../machines/page-table.js';
import { listed } from '../../../machines/object.js';
import type { ObjectMemory } from '../../../machines/object.js';
import { aperture, domainEntities, msiDomain } from '../../../machines/races/msi-domain.js';
import { doorbells } from '../../../machines/races/msi-doorbells.js';
import type { Invariant, Scenario } from '../../../machines/scenario.js';
import { explore } from '../../../src/explore/explore.js';
import { Alone } from './run-alone.js';

const PAGE = 0x1000;
const FIRST = 0x8000000;
const PAGES = 3;
const MAPPINGS = Array.from({ length: 10 }, (_, n) => `mapping.${n + 1}`);

type Op =
  | { readonly do: 'get'; readonly addr: DmaAddr; readonly size: number }
  | { readonly do: 'put'; readonly addr: DmaAddr };

/** Three pages of doorbells next to each other, addressed anywhere in a page. */
const addr = fc
  .tuple(fc.integer({ min: 0, max: 2 }), fc.constantFrom(0, 0x40, 0xff8))
  .map(([page, offset]) => hex(0x2c1c0000 + page * PAGE + offset));
const op: fc.Arbitrary<Op> = fc.oneof(
  fc.record({ do: fc.constant('get' as const), addr, size: fc.constantFrom(8, PAGE, 2 * PAGE) }),
  fc.record({ do: fc.constant('put' as const), addr }),
);
const program = fc.array(op, { minLength: 1, maxLength: 10 });

/** The API told in the plainest way: mappings newest first, counted, IOVAs page by page from the top. */
class Reference {
  private readonly mappings: { page: number; pages: number; iova: number; count: number }[] = [];

  apply(op: Op): DoorbellIova | undefined {
    const at = Number(op.addr);
    const page = Math.floor(at / PAGE);
    const pages = op.do === 'put' ? 1 : Math.ceil((at + op.size) / PAGE) - page;
    const has = this.mappings.find(
      (each) => each.page <= page && page + pages <= each.page + each.pages,
    );
    if (op.do === 'put') {
      if (has !== undefined && --has.count === 0) {
        this.mappings.splice(this.mappings.indexOf(has), 1);
      }
      return undefined;
    }
    if (has !== undefined) has.count++;
    const iova = has?.iova ?? this.room(pages);
    if (iova === undefined) return { ret: -12 };
    if (has === undefined) this.mappings.unshift({ page, pages, iova, count: 1 });
    return { ret: 0, iova: hex((iova + page - (has?.page ?? page)) * PAGE + (at % PAGE)) };
  }

  private room(pages: number): number | undefined {
    for (let iova = FIRST / PAGE + PAGES - pages; iova >= FIRST / PAGE; iova--) {
      const free = this.mappings.every(
        (each) => each.iova + each.pages <= iova || iova + pages <= each.iova,
      );
      if (free) return iova;
    }
    return undefined;
  }

  /** Physical pages by IOVA page. */
  translations(): Record<string, number> {
    return Object.fromEntries(
      this.mappings.map(({ iova, page, pages }) => [hex(iova * PAGE), page * PAGE + pages]),
    );
  }
}

function setUp(code: MsiCode, pages = PAGES) {
  const m = msiDomain(code);
  const alone = new Alone(
    domainEntities(m, { aperture: aperture(hex(FIRST), pages), mappings: MAPPINGS.length }),
  );
  const apply = (op: Op) =>
    op.do === 'get'
      ? alone.run(iommu_msi_get_doorbell_iova(m, op))
      : alone.run(iommu_msi_put_doorbell_iova(m, op.addr));
  const translations = () =>
    Object.fromEntries(
      Object.entries((alone.context(pageTableOf('D')) as PageTableMemory).mapped).map(
        ([iova, { paddr, size }]) => [iova, Number(paddr) + size / PAGE],
      ),
    );
  const allocated = () =>
    Object.keys((alone.context(cookieOf('D').iovad) as IovaMemory).allocated).sort();
  /** doorbell_mappings that are not freed: what is freed has no fields. */
  const live = () =>
    MAPPINGS.filter((name) => 'addr' in (alone.context(name) as ObjectMemory).fields).length;
  return { alone, m, apply, translations, allocated, live };
}

test('a thread alone does what the reference does', { timeout: 120_000 }, () => {
  fc.assert(
    fc.property(program, (ops) => {
      const { apply, translations, allocated, live } = setUp(MSI_LAST);
      const reference = new Reference();
      for (const op of ops) {
        expect(apply(op)).toEqual(reference.apply(op));
        expect(translations()).toEqual(reference.translations());
        expect(live()).toBe(Object.keys(translations()).length);
        // INV-48 at rest.
        expect(allocated()).toEqual(Object.keys(translations()).sort());
      }
    }),
    { numRuns: 10_000 },
  );
});

describe('a doorbell', () => {
  const at = '0x2c1c0040';

  it('is mapped once, shared, and unmapped with the last reference', () => {
    const { apply, translations } = setUp(MSI_LAST);
    const first = apply({ do: 'get', addr: at, size: 8 });
    expect(apply({ do: 'get', addr: plus(at, 8), size: 8 })).toEqual({
      ret: 0,
      iova: plus((first as { iova: DmaAddr }).iova, 8),
    });
    apply({ do: 'put', addr: at });
    expect(Object.keys(translations()).length).toBe(1);
    apply({ do: 'put', addr: at });
    expect(translations()).toEqual({});
  });

  it('that is not mapped is put in vain', () => {
    const { apply, translations } = setUp(MSI_LAST);
    apply({ do: 'put', addr: at });
    expect(translations()).toEqual({});
  });

  it('has no IOVA without a cookie, without an aperture, and without room', () => {
    const of = (setup: object) => {
      const m = msiDomain(MSI_LAST);
      const alone = new Alone(domainEntities(m, { mappings: 1, ...setup }));
      return alone.run(iommu_msi_get_doorbell_iova(m, { addr: at, size: 2 * PAGE })).ret;
    };
    expect(of({ cookie: false })).toBe(-19);
    expect(of({})).toBe(-22);
    expect(of({ aperture: aperture('0x8000000', 2) })).toBe(-12);
    expect(of({ aperture: aperture('0x8000000', 3) })).toBe(0);
  });

  it('mapped again in another size is taken from who has the larger: put knows no size', () => {
    const { apply, translations } = setUp(MSI_REPAIRED);
    const page = '0x2c1c0000';
    apply({ do: 'get', addr: page, size: PAGE });
    const larger = apply({ do: 'get', addr: page, size: 2 * PAGE }) as { iova: DmaAddr };
    // By who has the one page.
    apply({ do: 'put', addr: page });
    expect(larger.iova in translations()).toBe(false);
  });
});

/** In the end the mappings that are not freed are those on the list. */
function noLeak({ entities }: Scenario): Invariant {
  const { dmi } = cookieOf('D');
  const mappings = Object.keys(entities).filter((name) => name.startsWith('mapping.'));
  return {
    id: 'leak',
    entities: [dmi, ...mappings],
    when: 'end',
    holds: (view) => {
      const list = listed(view[dmi].context as ObjectMemory, 'list');
      return mappings.every((name) => (view[name].state === 'live') === list.includes(name));
    },
  };
}

describe('threads beside each other', () => {
  it.each([
    ['two share one', { CPU0: ['get A', 'put A'], CPU1: ['get A', 'put A'] }, 1],
    ['two have one each', { CPU0: ['get A', 'put A'], CPU1: ['get B', 'put B'] }, 2],
    ['three', { CPU0: ['get A'], CPU1: ['get A'], CPU2: ['get B', 'put B'] }, 2],
  ] as const)(
    '%s: INV-48 breaks in the last posting, and not where repaired',
    (_, threads, doors) => {
      const verdict = (code: MsiCode) => {
        const scenario = doorbells({ code, threads, harm: 'freed while mapped', pages: 3 });
        const invariants = [...(scenario.invariants ?? []), noLeak(scenario)];
        return explore({ ...scenario, invariants }).counterexamples.map(({ rule }) => rule);
      };
      const shares = doors === 1 || 'CPU2' in threads;
      expect(verdict(MSI_LAST)).toEqual(shares ? ['INV-48'] : []);
      expect(verdict(MSI_REPAIRED)).toEqual([]);
    },
  );
});
