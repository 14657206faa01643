/**
 * group->owner and group->owner_cnt (v5.19 and later): INV-35. Source: C.1.
 *
 * A call takes effect somewhere between its entry and its return, so the events are settled facts:
 * `claimed` when iommu_group_claim_dma_owner has returned 0, `releasing` when the release is
 * entered, `used.*` when iommu_device_use_default_domain has returned 0 for a call that was
 * `within` an ownership from entry to return or that `overlapped` one of its ends.
 */

import { createMachine } from 'xstate';
import type { AnyStateMachine } from 'xstate';

export const DMA_OWNERSHIP_EVENTS = [
  'claimed',
  'claimed.inUse',
  'releasing',
  'used.within',
  'used.overlapped',
  'lost',
] as const;

export const dmaOwnershipMachine: AnyStateMachine = createMachine({
  id: 'dma-ownership',
  initial: 'unknown',
  states: {
    unknown: {
      on: {
        claimed: 'owned',
        'claimed.inUse': 'violated.claimedInUse',
        releasing: 'unowned',
        'used.within': 'unowned',
      },
    },
    unowned: {
      on: { claimed: 'owned', 'claimed.inUse': 'violated.claimedInUse', lost: 'unknown' },
    },
    owned: {
      on: {
        claimed: 'violated.claimedTwice',
        'claimed.inUse': 'violated.claimedTwice',
        releasing: 'unowned',
        'used.within': 'violated.usedWhileOwned',
        lost: 'unknown',
      },
    },
    violated: {
      initial: 'claimedTwice',
      states: Object.fromEntries(
        ['claimedTwice', 'claimedInUse', 'usedWhileOwned'].map((name) => [
          name,
          {
            tags: ['violation'],
            meta: { rule: 'INV-35' },
            on: {
              releasing: '#dma-ownership.unowned',
              lost: '#dma-ownership.unknown',
              'used.within': '#dma-ownership.violated.usedWhileOwned',
            },
          },
        ]),
      ),
    },
  },
});
