/**
 * Rule SYSFS: what replay ends with against what the machine's sysfs said afterwards.
 */

import type { SysfsDevice, SysfsGroup } from '../../events/event.js';
import { domainTypeName } from './domain-type.js';
import type { Device, World } from './world.js';

export interface SysfsDifference {
  readonly what: string;
  /** The snapshot's file and line. */
  readonly file: string;
  readonly line: number;
  /** Replay says that it does not know, or that something was lost: no contradiction. */
  readonly undecided: boolean;
}

export interface SysfsAgreement {
  /** Facts compared. */
  readonly compared: number;
  readonly differences: readonly SysfsDifference[];
}

/**
 * A snapshot taken this long after the log's last event may differ by what happened in between. ns
 */
const STALE = 15e9;

/**
 * Compares groups, members, drivers and default-domain types. `end`: time of the log's last
 * event, ns. Source: B.6.
 */
export function compareWithSysfs(
  world: World,
  snapshot: readonly (SysfsDevice | SysfsGroup)[],
  end: number,
): SysfsAgreement {
  const differences: SysfsDifference[] = [];
  let compared = 0;
  // Facts that no source in the input shows cannot be held against it.
  const membershipShown = world.authority.membership >= 3;
  const stale = (snapshot[0]?.time ?? NaN) - end > STALE;
  const listed = new Set<string>();
  const groups = new Set<number>();
  const differ = (event: SysfsDevice | SysfsGroup, what: string, undecided: boolean) => {
    differences.push({
      what,
      file: event.origin.file,
      line: event.origin.line,
      undecided: undecided || stale,
    });
  };
  const lookup = (name: string, bus: string | undefined): Device | undefined => {
    const device = world.devices.get(name);
    if (
      device !== undefined &&
      (bus === undefined || device.bus === undefined || device.bus === bus)
    )
      return device;
    return bus === undefined ? device : world.devices.get(`${bus}/${name}`);
  };

  for (const event of snapshot) {
    if (event.type === 'sysfs_device') {
      listed.add(event.dev);
      const device = lookup(event.dev, event.bus);
      compared++;
      if (device === undefined || !device.present) {
        differ(
          event,
          `${event.dev} exists, replay has it removed`,
          device === undefined || device.uncertain,
        );
        continue;
      }
      if (event.drv !== undefined) {
        compared++;
        if (device.driver !== event.drv) {
          differ(
            event,
            `${event.dev} has ${event.drv === null ? 'no driver' : `driver ${event.drv}`}, replay says ${device.driver ?? 'none'}`,
            device.driver === undefined || device.uncertain,
          );
        }
      }
      if (event.group !== undefined) {
        compared++;
        if (device.group !== event.group) {
          differ(
            event,
            `${event.dev} is in ${event.group === null ? 'no group' : `group ${event.group}`}, replay says ${device.group ?? 'none'}`,
            device.group === undefined || device.uncertain || !membershipShown,
          );
        }
      }
      continue;
    }
    groups.add(event.group);
    const group = world.groups.get(event.group);
    compared++;
    const members = [...(group?.members ?? [])].filter((d) => d.present);
    const names = members.map((d) => d.name).sort();
    const expected = [...event.devices].sort();
    if (names.join(' ') !== expected.join(' ')) {
      differ(
        event,
        `group ${event.group} holds ${expected.join(' ') || 'nothing'}, replay says ${names.join(' ') || 'nothing'}`,
        group === undefined || group.uncertain || !membershipShown,
      );
    }
    if (event.domainType !== undefined) {
      compared++;
      const type = typeof group?.type === 'number' ? domainTypeName(group.type) : group?.type;
      if (type !== event.domainType) {
        differ(
          event,
          `group ${event.group} has type ${event.domainType}, replay says ${type ?? 'unknown'}`,
          type === undefined || group?.uncertain === true,
        );
      }
    }
  }
  const at = snapshot[0];
  if (at !== undefined) {
    for (const device of world.devices.values()) {
      if (device.bus !== 'pci' || !device.present || listed.has(device.name)) continue;
      compared++;
      differ(
        at,
        `${device.name} does not exist, replay has it`,
        device.uncertain || world.authority.driver < 2,
      );
    }
    for (const group of world.groups.values()) {
      if (groups.has(group.id)) continue;
      const members = [...group.members].filter((d) => d.present);
      if (members.length === 0) continue;
      compared++;
      differ(
        at,
        `group ${group.id} does not exist, replay has ${members.map((d) => d.name).join(' ')} in it`,
        group.uncertain || !membershipShown,
      );
    }
  }
  return { compared, differences };
}
