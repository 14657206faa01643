/** Doorbells that are mapped at the same time. Source: A2.2, D-A2-3, S5. */

import { EEXIST } from '../errno.js';
import { alarmMachine } from '../alarm.js';
import type { DmaAddr } from '../dma-addr.js';
import { GRANULE } from '../iova-domain.js';
import type { MsiCode } from '../kernel/msi-aperture.js';
import {
  iommu_msi_get_doorbell_iova,
  iommu_msi_put_doorbell_iova,
} from '../kernel/msi-doorbell.js';
import type { Invariant, Scenario } from '../scenario.js';
import { send } from '../step.js';
import type { ThreadBody } from '../step.js';
import { aperture, domainEntities, mappedIsAllocated, msiDomain } from './msi-domain.js';

/** Two doorbells: GIC frames. */
export const DOORBELLS: Readonly<Record<'A' | 'B', DmaAddr>> = {
  A: '0x2c1c0000',
  B: '0x2c1d0000',
};

export interface Doorbells {
  readonly code: MsiCode;
  /** Threads by name, and what they do one after another. */
  readonly threads: Readonly<Record<string, readonly ('get A' | 'get B' | 'put A' | 'put B')[]>>;
  /** What is looked for: a moment, or somebody who is harmed. */
  readonly harm: 'freed while mapped' | 'mapped over';
  /** Pages in the aperture. */
  readonly pages?: number;
}

/** Threads take and put doorbells of one domain, whose aperture is set. */
export function doorbells({ code, threads, harm, pages = 2 }: Doorbells): Scenario {
  const m = msiDomain(code);
  const gets = Object.values(threads)
    .flat()
    .filter((does) => does.startsWith('get')).length;
  const body = (todo: readonly string[]): ThreadBody =>
    function* () {
      for (const does of todo) {
        const addr = DOORBELLS[does.at(-1) as 'A' | 'B'];
        if (does.startsWith('put')) {
          yield* iommu_msi_put_doorbell_iova(m, addr);
          continue;
        }
        const { ret } = yield* iommu_msi_get_doorbell_iova(m, { addr, size: GRANULE });
        if (ret === -EEXIST && harm === 'mapped over') {
          const says = 'a doorbell gets an IOVA that is translated to another one still';
          yield* send('WARN', { type: 'alarm', rule: 'INV-48', says }, 'return -EEXIST');
        }
      }
    };
  const freedLast: readonly Invariant[] = [mappedIsAllocated(m.domain)];
  return {
    name: 'doorbells',
    story: 'Devices that share an MSI doorbell have it mapped at the same time.',
    entities: {
      ...domainEntities(m, { aperture: aperture('0x8000000', pages), mappings: gets }),
      WARN: alarmMachine(['INV-48']),
    },
    threads: Object.fromEntries(Object.entries(threads).map(([name, todo]) => [name, body(todo)])),
    invariants: harm === 'freed while mapped' ? freedLast : [],
  };
}
