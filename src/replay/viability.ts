/**
 * Who keeps a group from being given to VFIO, and since when.
 *
 * A group is viable when none of its devices is bound to a driver that uses the DMA API. Up to
 * v5.18 VFIO looked at each device's driver; since v5.19 such a driver holds owner_cnt through
 * iommu_device_use_default_domain unless it sets driver_managed_dma. The answer is the same.
 * Sources: C.1, drivers/vfio/vfio.c vfio_dev_viable, drivers/iommu/iommu.c.
 */

import type { DeviceState, ReplayState } from './state.js';
import type { EventRef } from './verdicts.js';

export interface Blocker {
  readonly dev: string;
  readonly driver: string;
  /** Since when it is bound; undefined where the input does not show it. */
  readonly since: EventRef | undefined;
}

export interface Viability {
  readonly group: number;
  /** undefined: not known, because a member's driver is not. */
  readonly viable: boolean | undefined;
  readonly blockers: readonly Blocker[];
  /** Members whose driver is not known. */
  readonly unknown: readonly string[];
  readonly members: readonly string[];
}

/** Drivers outside VFIO that set driver_managed_dma or stood on VFIO's list. */
const MANAGED = new Set(['pci-stub', 'pcieport', 'xen-pciback', 'pciback']);

/** Whether a bound `driver` leaves the group to others: VFIO's own, stubs and bridges. */
function leavesDmaAlone(driver: string): boolean {
  return MANAGED.has(driver) || /vfio/.test(driver);
}

/** Who blocks `group` in `state`; undefined when there is no such group. */
export function whoBlocks(state: ReplayState, group: number): Viability | undefined {
  const known = state.groups.get(group);
  if (known === undefined) return undefined;
  const devices = [...state.devices.values()].filter((d) => d.group === group);
  const blockers = devices.filter(blocks).map((d) => ({
    dev: d.name,
    driver: d.driver as string,
    since: d.driverSince,
  }));
  const unknown = devices.filter((d) => d.driver === undefined).map((d) => d.name);
  return {
    group,
    viable: blockers.length > 0 ? false : unknown.length > 0 ? undefined : true,
    blockers,
    unknown,
    members: devices.map((d) => d.name),
  };
}

function blocks(device: DeviceState): boolean {
  return typeof device.driver === 'string' && !leavesDmaAlone(device.driver);
}
