/** One IOMMU group with vfio as its listener: what K03, K04 and K43 have in common. */

import { alarmMachine } from '../alarm.js';
import { vfio_iommu_group_notifier } from '../kernel/vfio.js';
import type { Vfio } from '../kernel/vfio.js';
import { mutexMachine } from '../mutex.js';
import { notifierListMachine } from '../notifier-list.js';
import { struct } from '../object.js';
import type { KernelProfile } from '../profiles/profile.js';
import { rwsemMachine } from '../rwsem.js';
import type { Entity } from '../scenario.js';

export interface VfioGroupOptions {
  /** References to the vfio_group beside that of the vfio_device: open files. */
  readonly files?: number;
  /** References to the vfio_device beside that of its driver: open files. */
  readonly deviceFiles?: number;
}

/**
 * d0 is bound to vfio-pci and vfio knows it; d1 is of the same group.
 *
 * @returns the names, and the entities that they are of
 */
export function vfioGroup(
  profile: KernelProfile,
  { files = 0, deviceFiles = 0 }: VfioGroupOptions = {},
): { readonly v: Vfio; readonly entities: Readonly<Record<string, Entity>> } {
  const v: Vfio = {
    profile,
    vfio: 'vfio',
    groupLock: 'vfio.group_lock',
    group: 'group',
    deviceLock: 'group->device_lock',
    unboundLock: 'group->unbound_lock',
    block: 'group->nb',
    chain: {
      name: 'notifier',
      kind: 'blocking',
      profile,
      list: 'notifier->blocks',
      rwsem: 'notifier->rwsem',
      callbacks: { 'group->nb': (called) => vfio_iommu_group_notifier(v, called) },
    },
    releaseQ: 'vfio.release_q',
    warnings: 'kernel log',
    device: (dev) => `vfio_device(${dev})`,
  };
  const device = v.device('d0');
  return {
    v,
    entities: {
      d0: struct({ fields: { driver: 'vfio-pci', iommu_group: 'g0', drvdata: device } }),
      [v.vfio]: struct({ fields: { group_list: [v.group] } }),
      [v.groupLock]: mutexMachine,
      // A reference to a device is one to its group.
      [v.group]: struct({ fields: { device_list: [device] }, refs: 1 + deviceFiles + files }),
      [v.deviceLock]: mutexMachine,
      ...(profile.vfioUnboundList ? { [v.unboundLock]: mutexMachine } : {}),
      [device]: struct({ fields: { dev: 'd0' }, refs: 1 + deviceFiles }),
      'notifier->rwsem': rwsemMachine,
      [v.chain.list]: {
        machine: notifierListMachine(profile),
        input: { [v.chain.name]: [{ block: v.block, priority: 0 }] },
      },
      [v.releaseQ]: struct({ fields: { woken: false } }),
      [v.warnings]: alarmMachine(['INV-02', 'INV-05', 'INV-13']),
    },
  };
}
