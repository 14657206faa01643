/** A domain with an MSI geometry as entities of a scenario. Source: A2.1. */

import type { DmaAddr } from '../dma-addr.js';
import { joined, MAX_ADDR, plus } from '../dma-addr.js';
import { GRANULE, iovaDomainMachine } from '../iova-domain.js';
import type { IovaMemory, IovaRange } from '../iova-domain.js';
import { apertureFields, cookieOf } from '../kernel/msi-aperture.js';
import type { DomainType, MsiCode, MsiDomain, Words } from '../kernel/msi-aperture.js';
import { HEAP, pageTableOf } from '../kernel/msi-doorbell.js';
import { mutexMachine } from '../mutex.js';
import { NULL, nullPointerMachine } from '../null-pointer.js';
import { struct } from '../object.js';
import type { ObjectMemory } from '../object.js';
import { pageTableMachine } from '../page-table.js';
import type { PageTableMemory } from '../page-table.js';
import type { Entity, EntityView, Invariant } from '../scenario.js';

/** How an aperture that is not set is told. */
export type Unset = '(0, 0)' | '(MAX, 0)';

export const UNSET: Readonly<Record<Unset, readonly [DmaAddr, DmaAddr]>> = {
  '(0, 0)': ['0x0', '0x0'],
  '(MAX, 0)': [MAX_ADDR, '0x0'],
};

export interface DomainSetup {
  readonly type?: DomainType;
  readonly unset?: Unset;
  /** The aperture, where it is set when the threads begin. */
  readonly aperture?: IovaRange;
  /** Whether iommu_get_msi_cookie was called. */
  readonly cookie?: boolean;
  /** iommu_msi_supported or programmable; true where left out. */
  readonly flag?: boolean;
  /** Whether its driver answers DOMAIN_ATTR_MSI_GEOMETRY; true where left out. */
  readonly knowsGeometry?: boolean;
  /** doorbell_mappings that can be allocated. */
  readonly mappings?: number;
}

/** The plain way to load and store: both words whole, start first, nothing that keeps them apart. */
export function msiDomain(code: MsiCode, domain = 'D'): MsiDomain {
  return {
    code,
    domain,
    stores: 'start, end',
    loads: 'start, end',
    words: 'whole',
    kept: 'by nothing',
  };
}

/** The domain, its cookies, its page table, and what is at NULL. */
export function domainEntities(
  { code, domain, words }: MsiDomain,
  setup: DomainSetup = {},
): Readonly<Record<string, Entity>> {
  const { type = 'UNMANAGED', unset = '(0, 0)', aperture, cookie = true } = setup;
  const { flag = true, knowsGeometry = true, mappings = 0 } = setup;
  const { dmi, lock, iovad } = cookieOf(domain);
  const names = Array.from({ length: mappings }, (_, n) => `mapping.${n + 1}`);
  const [start, end] =
    aperture === undefined || code.aperture === 'is_aperture_set'
      ? UNSET[unset]
      : [aperture.start, aperture.end];
  return {
    [domain]: struct(
      {
        fields: {
          type,
          domain_get_attr: knowsGeometry,
          [code.flag]: flag,
          ...apertureFields(start, end, words),
          seq: 0,
          msi_cookie: cookie ? dmi : null,
          iova_cookie: cookie ? iovad : null,
        },
      },
      'INV-20',
    ),
    [`${domain}->mutex`]: mutexMachine,
    [dmi]: cookie
      ? struct({ fields: { list: [], is_aperture_set: aperture !== undefined } })
      : struct(),
    [lock]: mutexMachine,
    [iovad]: { machine: iovaDomainMachine, input: cookie ? aperture : undefined },
    [pageTableOf(domain)]: pageTableMachine,
    [HEAP]: struct({ fields: { mappings: names } }),
    ...Object.fromEntries(names.map((name) => [name, struct()])),
    [NULL]: nullPointerMachine,
  };
}

/** The aperture in the geometry of a domain, as it lies in memory. */
export function published(view: EntityView, words: Words): readonly [DmaAddr, DmaAddr] {
  const fields = (view.context as ObjectMemory).fields as Readonly<Record<string, DmaAddr>>;
  const word = (name: string) =>
    words === 'whole' ? fields[name] : joined(fields[`${name}.high`], fields[`${name}.low`]);
  return [word('aperture_start'), word('aperture_end')];
}

/** INV-48 as what holds at every moment: what is translated is allocated. */
export function mappedIsAllocated(domain: string): Invariant {
  const { iovad } = cookieOf(domain);
  const pgtable = pageTableOf(domain);
  return {
    id: 'INV-48',
    says: (view) => `${freeAndMapped(view).join(', ')} is free and translated still`,
    entities: [iovad, pgtable],
    holds: (view) => freeAndMapped(view).length === 0,
  };

  function freeAndMapped(view: Readonly<Record<string, EntityView>>): string[] {
    const { allocated } = view[iovad].context as IovaMemory;
    const { mapped } = view[pgtable].context as PageTableMemory;
    return Object.keys(mapped).filter((iova) => !(iova in allocated));
  }
}

/** An aperture of some pages, as VFIO would ask for it. */
export function aperture(start: DmaAddr, pages: number): IovaRange {
  return { start, end: plus(start, pages * GRANULE - 1) };
}
