/** What differs between two moments. */

import type { DeviceState, GroupState, ReplayState } from './state.js';

export interface StateDifference {
  readonly what: string;
  /** undefined: not known; null: none. */
  readonly before: string | number | boolean | null | undefined;
  readonly after: string | number | boolean | null | undefined;
}

/** What differs between two states: devices and groups that came, went or changed. */
export function diff(a: ReplayState, b: ReplayState): readonly StateDifference[] {
  const differences: StateDifference[] = [];
  const fields = ['driver', 'group', 'life', 'domainType'] as const;
  for (const key of new Set([...a.devices.keys(), ...b.devices.keys()])) {
    const before = a.devices.get(key);
    const after = b.devices.get(key);
    if (before === after) continue;
    if (before === undefined || after === undefined) {
      differences.push({
        what: key,
        before: before === undefined ? 'absent' : describe(before),
        after: after === undefined ? 'absent' : describe(after),
      });
      continue;
    }
    for (const field of fields) {
      if (before[field] !== after[field]) {
        differences.push({ what: `${key} ${field}`, before: before[field], after: after[field] });
      }
    }
  }
  for (const id of new Set([...a.groups.keys(), ...b.groups.keys()])) {
    const before = a.groups.get(id);
    const after = b.groups.get(id);
    if (before === after) continue;
    const members = (g: GroupState | undefined) =>
      g === undefined ? 'absent' : g.members.join(' ') || 'empty';
    if (members(before) !== members(after)) {
      differences.push({
        what: `group ${id} members`,
        before: members(before),
        after: members(after),
      });
    }
    for (const field of ['type', 'owned'] as const) {
      if (before?.[field] !== after?.[field] && before !== undefined && after !== undefined) {
        differences.push({
          what: `group ${id} ${field}`,
          before: before[field],
          after: after[field],
        });
      }
    }
  }
  return differences;
}

function describe(device: DeviceState): string {
  const known = device.group === null ? 'no group' : `group ${device.group}`;
  const group = device.group === undefined ? 'group not known' : known;
  const driver = device.driver === undefined ? 'driver not known' : (device.driver ?? 'no driver');
  return `${driver}, ${group}`;
}
