/**
 * A page is unmapped and given back while a device uses it: the page table is changed, the IOTLB
 * invalidated, the page freed. Source: A3, P-A3-5; D.x 6.
 */

import type { IotlbEvent, IotlbReply } from '../iotlb.js';
import { iotlbMachine } from '../iotlb.js';
import { IOTLB } from '../kernel/invalidate.js';
import { access, kfree } from '../kernel/memory.js';
import { struct } from '../object.js';
import { pageTableMachine } from '../page-table.js';
import type { PageTableEvent, PageTableReply } from '../page-table.js';
import type { Scenario } from '../scenario.js';
import { send } from '../step.js';
import type { Thread } from '../step.js';

export interface UnmapOrder {
  readonly first: 'unmap' | 'invalidate';
  /** The invalidation has a wait descriptor: requests that came before it are over then. */
  readonly waits: boolean;
}

const IOVA = '0x4000';
const PAGE = 4;
const WHERE = { domain: 'D', pasid: 0, page: PAGE };

/** INV-24 is the device's access to the page that was freed. */
export function unmapOrder({ first, waits }: UnmapOrder): Scenario {
  function* unmap(): Thread<void> {
    const event: PageTableEvent = { type: 'unmap', iova: IOVA, size: 0x1000 };
    yield* send('D->pgtable', event, `clear PTE of ${IOVA}`);
  }
  function* invalidate(): Thread<void> {
    const meant = { cache: 'IOTLB', domain: 'D', first: PAGE, pages: 1 } as const;
    const event: IotlbEvent = { type: 'flush', meant, behalf: 'D', waits };
    yield* send(IOTLB, event, waits ? 'invalidate IOTLB, wait' : 'invalidate IOTLB');
  }
  return {
    name: 'unmap',
    story: 'A page is unmapped and freed while a device reads it.',
    entities: {
      'D->pgtable': {
        machine: pageTableMachine,
        input: { mapped: { [IOVA]: { paddr: 'page', size: 0x1000 } } },
      },
      [IOTLB]: iotlbMachine,
      page: struct({ fields: { data: 0 } }),
    },
    threads: {
      iommu_unmap: function* () {
        for (const step of first === 'unmap' ? [unmap, invalidate] : [invalidate, unmap]) {
          yield* step();
        }
        yield* kfree('page');
      },
      device: function* () {
        for (let n = 0; n < 2; n++) {
          yield* send(IOTLB, { type: 'begin' } satisfies IotlbEvent, `request for ${IOVA}`);
          const to = (yield* lookUp()) ?? (yield* walk());
          if (to !== null) {
            yield* access(to, { type: 'read', field: 'data' }, `DMA reads ${to}`);
          }
          yield* send(IOTLB, { type: 'end' } satisfies IotlbEvent, 'request is over');
        }
      },
    },
  };
}

function* lookUp(): Thread<string | null> {
  const event: IotlbEvent = { type: 'look_up', ...WHERE };
  return (yield* send<IotlbReply>(IOTLB, event, `look up ${IOVA}`)).to;
}

function* walk(): Thread<string | null> {
  const event: PageTableEvent = { type: 'walk', iova: IOVA };
  const reply = yield* send<PageTableReply>('D->pgtable', event, `read PTE of ${IOVA}`);
  const { paddr } = reply as Extract<PageTableReply, { type: 'paddr' }>;
  if (paddr === null) return null;
  const cached = { cache: 'IOTLB', ...WHERE, to: paddr } as const;
  const fill: IotlbEvent = { type: 'cache', cached };
  yield* send(IOTLB, fill, `cache ${IOVA} -> ${paddr}`);
  return paddr;
}
