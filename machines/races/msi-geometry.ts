/**
 * iommu_msi_set_aperture beside iommu_domain_get_attr: "it will always be invalid or valid".
 * Source: A2.3, the thread of 2016.
 */

import type { IovaRange } from '../iova-domain.js';
import {
  iommu_domain_get_attr,
  iommu_msi_set_aperture,
  isValid,
  MSI_V9,
} from '../kernel/msi-aperture.js';
import type { Kept, MsiDomain, MsiGeometry, WordOrder, Words } from '../kernel/msi-aperture.js';
import { store } from '../kernel/memory.js';
import { mutexMachine } from '../mutex.js';
import { struct } from '../object.js';
import type { ObjectMemory } from '../object.js';
import type { EntityView, Scenario } from '../scenario.js';
import { lock, unlock } from '../step.js';
import type { ThreadBody } from '../step.js';
import { domainEntities, msiDomain, published } from './msi-domain.js';
import type { Unset } from './msi-domain.js';

export interface GeometrySetup {
  readonly unset: Unset;
  readonly stores: WordOrder;
  /** `at once`: as if nothing could come between its two loads. */
  readonly loads: WordOrder | 'at once';
  readonly words?: Words;
  readonly kept?: Kept;
  /** What set_aperture is called with. */
  readonly sets?: IovaRange;
}

export const APERTURE: IovaRange = { start: '0x8000000', end: '0x80fffff' };

/** One sets the aperture, one reads it. INV-28: the reader gets an invalid one, or the right one. */
export function apertureRead(given: GeometrySetup): Scenario {
  const { sets = APERTURE } = given;
  const m = domainOf(given);
  const atOnce = given.loads === 'at once';
  const reader: Record<string, ThreadBody> = {
    get_attr: function* () {
      const { geometry } = yield* iommu_domain_get_attr(m);
      yield* store('reader', 'msi_geometry', geometry ?? null);
    },
  };
  return {
    name: 'set_aperture beside get_attr',
    story: 'The MSI aperture of a domain is set while its geometry is read.',
    entities: {
      ...domainEntities(m, { unset: given.unset }),
      reader: struct({ fields: { msi_geometry: null } }),
    },
    threads: {
      set_aperture: () => iommu_msi_set_aperture(m, sets.start, sets.end),
      ...(atOnce ? {} : reader),
    },
    invariants: [
      {
        id: 'INV-28',
        says: (view) => {
          const { aperture_start, aperture_end } = seen(view);
          return `the reader gets (${aperture_start}, ${aperture_end}), which is valid and never was set`;
        },
        entities: [m.domain, 'reader'],
        holds: (view) => {
          const got = seen(view);
          return (
            !isValid(got) || (got.aperture_start === sets.start && got.aperture_end === sets.end)
          );
        },
      },
    ],
  };

  /** Who reads at once may see whatever is there at any moment. */
  function seen(view: Readonly<Record<string, EntityView>>) {
    const { fields } = view.reader.context as ObjectMemory;
    const [aperture_start, aperture_end] = published(view[m.domain], m.words);
    const got = fields.msi_geometry as MsiGeometry | null;
    return atOnce
      ? { aperture_start, aperture_end }
      : (got ?? { aperture_start: '0x0' as const, aperture_end: '0x0' as const });
  }
}

/** Two set another aperture each. */
export const TWO: Readonly<Record<'A' | 'B', IovaRange>> = {
  A: { start: '0x8000000', end: '0x80fffff' },
  B: { start: '0x9000000', end: '0x90fffff' },
};

export interface TwoSetters {
  readonly stores: WordOrder;
  /** C3: callers serialise set_aperture of one domain. */
  readonly serialised: boolean;
}

/**
 * Two call iommu_msi_set_aperture of one domain. INV-10: one of them is refused. INV-28: what is in
 * the geometry in the end was set by one of them.
 */
export function twoSetters({ stores, serialised }: TwoSetters): Scenario {
  const m: MsiDomain = { ...msiDomain(MSI_V9), stores };
  const setter = (name: 'A' | 'B'): ThreadBody =>
    function* () {
      if (serialised) yield* lock('caller->lock');
      const ret = yield* iommu_msi_set_aperture(m, TWO[name].start, TWO[name].end);
      if (serialised) yield* unlock('caller->lock');
      yield* store('returned', name, ret);
    };
  return {
    name: 'two set the aperture',
    story: 'Two callers set the MSI aperture of one domain.',
    entities: {
      ...domainEntities(m),
      'caller->lock': mutexMachine,
      returned: struct({ fields: { A: null, B: null } }),
    },
    threads: { 'set_aperture(A)': setter('A'), 'set_aperture(B)': setter('B') },
    invariants: [
      {
        id: 'INV-10',
        says: 'the aperture of a domain is set twice: both callers are told 0',
        entities: ['returned'],
        when: 'end',
        holds: ({ returned }) => {
          const { fields } = returned.context as ObjectMemory;
          return fields.A !== 0 || fields.B !== 0;
        },
      },
      {
        id: 'INV-28',
        says: (view) =>
          `the aperture is (${published(view[m.domain], 'whole').join(', ')}), which nobody has set`,
        entities: [m.domain],
        when: 'end',
        holds: (view) => {
          const [start, end] = published(view[m.domain], 'whole');
          return Object.values(TWO).some((each) => each.start === start && each.end === end);
        },
      },
    ],
  };
}

function domainOf({
  stores,
  loads,
  words = 'whole',
  kept = 'by nothing',
}: GeometrySetup): MsiDomain {
  return {
    ...msiDomain(MSI_V9),
    stores,
    loads: loads === 'at once' ? 'start, end' : loads,
    words,
    kept,
  };
}
