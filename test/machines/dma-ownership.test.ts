import { describe, expect, it } from 'vitest';
import { dmaOwnershipMachine } from '../../machines/dma-ownership.js';
import { walk } from './walk.js';

describe('group->owner: INV-35', () => {
  it.each([
    ['claimed and released, again and again', 'claimed releasing claimed releasing', 'unowned'],
    ['owned before the trace began', 'releasing claimed', 'owned'],
    ['used while nobody owns it', 'used.within claimed', 'owned'],
    ['a use that overlaps a claim', 'releasing used.overlapped claimed', 'owned'],
    ['a use that overlaps a release', 'claimed used.overlapped releasing', 'unowned'],
    ['something was lost', 'claimed lost claimed lost used.within', 'unowned'],
  ])('holds: %s', (_title, events, end) => {
    expect(walk(dmaOwnershipMachine, events)).toMatchObject({ end, broken: [] });
  });

  it.each([
    ['claimed twice', 'claimed claimed', 'claimed INV-35'],
    ['claimed while a DMA-API driver is bound', 'releasing claimed.inUse', 'claimed.inUse INV-35'],
    ['the same as the first that is seen', 'claimed.inUse', 'claimed.inUse INV-35'],
    ['used while owned', 'claimed used.within', 'used.within INV-35'],
  ])('broken: %s', (_title, events, broken) => {
    expect(walk(dmaOwnershipMachine, events).broken).toEqual([broken]);
    expect(walk(dmaOwnershipMachine, `${events} releasing claimed`)).toMatchObject({
      end: 'owned',
      broken: [broken],
    });
    expect(walk(dmaOwnershipMachine, `${events} lost`).end).toBe('unknown');
  });
});
