import { describe, expect, it } from 'vitest';
import {
  device_attach,
  device_del,
  device_driver_attach,
} from '../../../machines/kernel/driver-core.js';
import { DRIVERS_BASE } from '../../../machines/kernel/entity-names.js';
import { Kernel } from '../../../machines/kernel/kernel.js';
import type { ObjectMemory } from '../../../machines/object.js';
import { listed } from '../../../machines/object.js';
import { profileByName } from '../../../machines/profiles/timeline.js';
import { Alone } from './run-alone.js';

/** Two devices and their driver. */
function kernel(version: string, deferred: readonly string[] = []) {
  const k = new Kernel({
    profile: profileByName(version)!,
    buses: { pci: { iommu: false } },
    devices: { d0: { present: true }, d1: { present: true } },
    drivers: { nvme: {} },
    deferred,
  });
  const alone = new Alone(k.entities);
  const memory = (name: string) => alone.context(name) as ObjectMemory;
  return { k, alone, memory };
}

// v4.15 knows no dead flag, v5.8 does not look at it on every path, v5.9 does.
describe.each(['v4.15', 'v5.8', 'v5.9', 'v7.2'])('a probe that comes late in %s', (version) => {
  it('binds while the device is there, and not once device_del is over', () => {
    const { k, alone, memory } = kernel(version);
    expect(alone.run(device_attach(k, 'd0'))).toBe(1);
    expect(memory('d0').fields.driver).toBe('nvme');

    alone.run(device_del(k, 'd1'));
    expect(alone.run(device_attach(k, 'd1'))).toBe(0);
    expect(alone.run(device_driver_attach(k, 'd1', 'nvme'))).toBeLessThan(0);
    expect(memory('d1').fields.driver).toBeNull();
  });

  it('is forgotten by device_del, and of no other device', () => {
    const { k, alone, memory } = kernel(version, ['d0', 'd1']);
    alone.run(device_del(k, 'd0'));
    expect(listed(memory(DRIVERS_BASE), 'deferred')).toEqual(['d1']);
  });
});
