import { ENODEV } from '../../../machines/errno.js';
import { describe, expect, it } from 'vitest';
import {
  device_driver_attach,
  device_release_driver,
} from '../../../machines/kernel/driver-core.js';
import {
  arch_setup_dma_ops,
  arch_teardown_dma_ops,
  devres_release_all,
  dmam_alloc_coherent,
} from '../../../machines/kernel/devres.js';
import { Kernel } from '../../../machines/kernel/kernel.js';
import type { ObjectMemory } from '../../../machines/object.js';
import { profileByName } from '../../../machines/profiles/timeline.js';
import { Alone } from './run-alone.js';

function kernel(version: string, probed = 0) {
  const k = new Kernel({
    profile: profileByName(version)!,
    buses: { pci: { iommu: false } },
    devices: { d0: { present: true, dmaOps: 'iommu_ops' } },
    drivers: {
      sata: {
        probe: function* (dev, core) {
          yield* dmam_alloc_coherent(core, dev);
          return probed;
        },
      },
    },
  });
  return { k, alone: new Alone(k.entities) };
}

describe('managed DMA memory', () => {
  it('goes back to the ops that it came from', () => {
    const { k, alone } = kernel('v5.2');
    alone.run(arch_setup_dma_ops(k, 'd0'));
    alone.run(dmam_alloc_coherent(k, 'd0'));
    alone.run(dmam_alloc_coherent(k, 'd0'));
    alone.run(devres_release_all(k, 'd0'));
    expect((alone.context('d0') as ObjectMemory).fields.devres).toEqual([]);
  });

  it('that goes to others breaks INV-33', () => {
    const { k, alone } = kernel('v5.2');
    alone.run(arch_setup_dma_ops(k, 'd0'));
    alone.run(dmam_alloc_coherent(k, 'd0'));
    alone.run(arch_teardown_dma_ops(k, 'd0'));
    expect(() => alone.run(devres_release_all(k, 'd0'))).toThrow('INV-33');
  });

  it('that was direct may be freed when the ops are gone', () => {
    const { k, alone } = kernel('v5.2');
    alone.run(dmam_alloc_coherent(k, 'd0'));
    alone.run(devres_release_all(k, 'd0'));
    expect((alone.context('d0') as ObjectMemory).fields.devres).toEqual([]);
  });

  it.each([
    ['v4.20', true],
    ['v5.0', false],
    ['v7.2', false],
  ])('of a driver that is unbound in %s: breaks %s', (version, breaks) => {
    const { k, alone } = kernel(version);
    expect(alone.run(device_driver_attach(k, 'd0', 'sata'))).toBe(0);
    const unbind = () => alone.run(device_release_driver(k, 'd0'));
    if (breaks) expect(unbind).toThrow('INV-33');
    else expect(unbind).not.toThrow();
  });

  it.each([
    ['v5.1', true],
    ['v5.2', false],
    ['v7.2', false],
  ])('of a probe that fails in %s: breaks %s', (version, breaks) => {
    const { k, alone } = kernel(version, -ENODEV);
    const bind = () => alone.run(device_driver_attach(k, 'd0', 'sata'));
    if (breaks) expect(bind).toThrow('INV-33');
    else expect(bind()).toBe(-ENODEV);
  });
});
