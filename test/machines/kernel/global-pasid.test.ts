/** PASIDs of the global space, by one thread. */

import { EBUSY, EINVAL, ENOSPC, EOVERFLOW } from '../../../machines/errno.js';
import { describe, expect, test } from 'vitest';
import { kernelLogMachine } from '../../../machines/kernel-log.js';
import {
  entryOf,
  GLOBAL_PASIDS,
  iommu_alloc_global_pasid,
  iommu_attach_device_pasid,
  iommu_free_global_pasid,
  IOMMU_PASID_INVALID,
  iommu_sva_bind_device,
  iommu_sva_unbind_device,
  mmput,
  page_request,
  PASID_LOG,
  pasidArrayOf,
  SVA_LOCK,
  V7_2,
} from '../../../machines/kernel/global-pasid.js';
import { mutexMachine } from '../../../machines/mutex.js';
import { struct } from '../../../machines/object.js';
import type { ObjectMemory } from '../../../machines/object.js';
import { pasidAllocatorMachine } from '../../../machines/pasid-allocator.js';
import { xarrayMachine } from '../../../machines/xarray.js';
import { Alone } from './run-alone.js';

function machine(max_pasids = 3, last = 2): Alone {
  return new Alone({
    [SVA_LOCK]: mutexMachine,
    [PASID_LOG]: kernelLogMachine(['INV-30']),
    [GLOBAL_PASIDS]: pasidAllocatorMachine(last, 'INV-37'),
    g0: struct({ fields: { devices: ['d0', 'd1', 'none'] } }),
    'g0->mutex': mutexMachine,
    [pasidArrayOf('g0')]: xarrayMachine,
    d0: struct({ fields: { max_pasids } }),
    d1: struct({ fields: { max_pasids: 2 } }),
    none: struct({ fields: { max_pasids: 0 } }),
    mm: struct({ fields: { mm_users: 1, iommu_mm: null }, refs: 1 }),
    sva: struct(),
    handle: struct({ fields: { domain: 'D0' } }),
  });
}

const SVA = { dev: 'd0', group: 'g0', handle: 'sva' };
const attach = (pasid: number) =>
  iommu_attach_device_pasid(V7_2, { domain: 'D0', group: 'g0', pasid, handle: 'handle' });
const field = (alone: Alone, entity: string, name: string) =>
  (alone.context(entity) as ObjectMemory).fields[name];

describe('iommu_alloc_global_pasid', () => {
  test('gives 1 to max_pasids - 1', () => {
    const alone = machine(3, 9);
    const given = [1, 2, 3].map(() => alone.run(iommu_alloc_global_pasid('d0', 'x')));
    expect(given).toEqual([1, 2, IOMMU_PASID_INVALID]);
  });

  test('gives none to a device without PASIDs', () => {
    expect(machine().run(iommu_alloc_global_pasid('none', 'x'))).toBe(IOMMU_PASID_INVALID);
  });

  test('a PASID is freed once; IOMMU_PASID_INVALID is only warned of', () => {
    const alone = machine();
    alone.run(iommu_free_global_pasid(IOMMU_PASID_INVALID));
    const pasid = alone.run(iommu_alloc_global_pasid('d0', 'x'));
    alone.run(iommu_free_global_pasid(pasid));
    expect(() => alone.run(iommu_free_global_pasid(pasid))).toThrow('INV-37');
  });
});

describe('iommu_attach_device_pasid', () => {
  test('sets the entry of every device that has PASIDs, then publishes', () => {
    const alone = machine();
    expect(alone.run(page_request('g0', 1))).toBe(false);
    expect(alone.run(attach(1))).toBe(0);
    expect(['d0', 'd1', 'none'].map((dev) => field(alone, dev, entryOf(1)))).toEqual([
      'D0',
      'D0',
      undefined,
    ]);
    expect(alone.run(page_request('g0', 1))).toBe(true);
  });

  test('refuses a PASID that a device has not, and one that is attached', () => {
    const alone = machine();
    expect(alone.run(attach(2))).toBe(-EINVAL);
    expect(alone.run(attach(1))).toBe(0);
    expect(alone.run(attach(1))).toBe(-EBUSY);
  });
});

describe('iommu_sva_bind_device', () => {
  test('counts the users of a binding; the last reference of mm frees the PASID', () => {
    const alone = machine();
    expect(alone.run(iommu_sva_bind_device(V7_2, SVA, 'mm'))).toBe(0);
    expect(alone.run(iommu_sva_bind_device(V7_2, SVA, 'mm'))).toBe(0);
    alone.run(mmput(V7_2, 'mm'));
    alone.run(iommu_sva_unbind_device(V7_2, SVA));
    expect(field(alone, 'd0', entryOf(1))).toBe('mm');
    expect(alone.context(GLOBAL_PASIDS)).toEqual({ owners: { 1: 'mm' } });
    alone.run(iommu_sva_unbind_device(V7_2, SVA));
    expect(field(alone, 'd0', entryOf(1))).toBeNull();
    expect(alone.context(GLOBAL_PASIDS)).toEqual({ owners: {} });
  });

  test('-ENOSPC without a PASID left, -EOVERFLOW for a device with fewer', () => {
    const alone = machine(2);
    alone.run(iommu_alloc_global_pasid('d0', 'x'));
    expect(alone.run(iommu_sva_bind_device(V7_2, SVA, 'mm'))).toBe(-ENOSPC);
    const other = machine();
    expect(other.run(iommu_sva_bind_device(V7_2, SVA, 'mm'))).toBe(0);
    const none = { ...SVA, dev: 'none' };
    expect(other.run(iommu_sva_bind_device(V7_2, none, 'mm'))).toBe(-EOVERFLOW);
  });
});
