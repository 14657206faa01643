import { describe, expect, it } from 'vitest';
import { dma_map, dma_unmap } from '../../../machines/kernel/dma-map.js';
import { Kernel } from '../../../machines/kernel/kernel.js';
import type { KernelSetup } from '../../../machines/kernel/kernel.js';
import { kfree } from '../../../machines/kernel/memory.js';
import { profileByName } from '../../../machines/profiles/timeline.js';
import { Alone } from './run-alone.js';

function kernel(version: string, setup: Omit<KernelSetup, 'profile'>) {
  const k = new Kernel({ profile: profileByName(version)!, ...setup });
  return { k, alone: new Alone(k.entities) };
}

describe.each([
  ['dma_map', dma_map],
  ['dma_unmap', dma_unmap],
])('%s', (_name, use) => {
  it.each(['v3.6', 'v5.10', 'v7.2'])('of a member is translated in %s', (version) => {
    const { k, alone } = kernel(version, { devices: { d0: { group: 'g0' } } });
    expect(() => alone.run(use(k, 'd0'))).not.toThrow();
  });

  it.each(['v3.6', 'v5.10', 'v7.2'])('without a group breaks INV-06 in %s', (version) => {
    const { k, alone } = kernel(version, { devices: { d0: { present: true } } });
    expect(() => alone.run(use(k, 'd0'))).toThrow('INV-06');
  });

  it('needs no group on a bus without an IOMMU', () => {
    const buses = { pci: { iommu: false } };
    const { k, alone } = kernel('v7.2', { devices: { d0: { present: true } }, buses });
    expect(() => alone.run(use(k, 'd0'))).not.toThrow();
  });

  it('without a default domain breaks INV-22, once groups have one', () => {
    const setup = {
      devices: { d0: { group: 'g0' } },
      groups: { g0: { default_domain: null, domain: null } },
    };
    const late = kernel('v4.2', setup);
    expect(() => late.alone.run(use(late.k, 'd0'))).toThrow('INV-22');
    const early = kernel('v4.1', setup);
    expect(() => early.alone.run(use(early.k, 'd0'))).not.toThrow();
  });

  it('finds a group that is freed', () => {
    const { k, alone } = kernel('v5.10', { devices: { d0: { group: 'g0' } } });
    alone.run(kfree('g0'));
    expect(() => alone.run(use(k, 'd0'))).toThrow('INV-24');
  });
});
