/** State, its changes and its history as text: a tree like /sys/kernel/iommu_groups. */

import type { ReplayResult } from '../replay/replay.js';
import type { DeviceState, GroupState, ReplayState } from '../replay/state.js';
import type { EventRef } from '../replay/verdicts.js';
import { whoBlocks } from '../replay/viability.js';
import type { Viability } from '../replay/viability.js';
import { place, printable, seconds } from './format.js';

const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1);

function driver(device: DeviceState): string {
  if (device.driver === undefined) return 'driver not known';
  return device.driver === null ? 'no driver' : printable(device.driver);
}

function since(ref: EventRef | undefined): string {
  return ref === undefined ? '' : ` since ${seconds(ref.time)} s (${printable(place(ref))})`;
}

/** Groups with their members, then devices outside any group that have a bus. */
export function stateText(state: ReplayState): string {
  const out: string[] = [`state at ${seconds(state.time)} s, after ${state.seq} events`];
  for (const group of [...state.groups.values()].sort((a, b) => a.id - b.id)) {
    out.push(`iommu_groups/${group.id}${groupMarks(group)}`);
    for (const name of group.members) {
      const device = memberOf(state, name, group.id);
      out.push(
        device === undefined
          ? `  devices/${printable(name)} → being removed`
          : `  devices/${printable(name)} → ${driver(device)}${deviceMarks(device)}`,
      );
    }
  }
  const outside = [...state.devices.values()]
    .filter((d) => typeof d.group !== 'number')
    .sort(byName);
  if (outside.length > 0) out.push('outside any group, or group not known');
  for (const device of outside) {
    const group = device.group === undefined ? '' : ', no group';
    out.push(
      `  ${device.bus ?? '?'}/${printable(device.name)} → ${driver(device)}${group}${deviceMarks(device)}`,
    );
  }
  for (const slot of state.slots.values())
    out.push(`slot ${printable(slot.name)}: ${slot.state}${since(slot.since)}`);
  return `${out.join('\n')}\n`;
}

function memberOf(state: ReplayState, name: string, group: number): DeviceState | undefined {
  const device = state.devices.get(name);
  if (device?.group === group) return device;
  return [...state.devices.values()].find((d) => d.name === name && d.group === group);
}

function groupMarks(group: GroupState): string {
  const marks = [
    group.type === undefined ? undefined : `type ${group.type}`,
    group.owned === true ? `owned${since(group.ownedSince)}` : undefined,
    group.members.length === 0 ? 'empty' : undefined,
    group.uncertain ? 'uncertain: events lost' : undefined,
  ].filter((m) => m !== undefined);
  return marks.length === 0 ? '' : `  (${marks.join(', ')})`;
}

function deviceMarks(device: DeviceState): string {
  const marks = [
    ['unknown', 'idle', 'bound'].includes(device.life) ? undefined : device.life,
    device.domainType === undefined ? undefined : `domain ${device.domainType}`,
    device.uncertain ? 'uncertain: events lost' : undefined,
  ].filter((m) => m !== undefined);
  return marks.length === 0 ? '' : `  (${marks.join(', ')})`;
}

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
  const group = typeof device.group === 'number' ? `group ${device.group}` : 'no group';
  return `${driver(device)}, ${group}`;
}

export function diffText(a: ReplayState, b: ReplayState): string {
  const differences = diff(a, b);
  const head = `from ${seconds(a.time)} s to ${seconds(b.time)} s: ${differences.length} differences`;
  const show = (value: StateDifference['before']) =>
    value === undefined ? 'not known' : value === null ? 'none' : printable(String(value));
  return `${[head, ...differences.map((d) => `  ${printable(d.what)}: ${show(d.before)} → ${show(d.after)}`)].join('\n')}\n`;
}

/** Every change of a device's driver, group, life or domain. */
export function deviceHistoryText(result: ReplayResult, name: string): string | undefined {
  const { history } = result;
  if (history === undefined) return undefined;
  const steps = history.device(name);
  if (steps.length === 0) return undefined;
  const out = [
    `history of ${printable(name)}`,
    '        time  line       life         driver            group  domain',
  ];
  let last = '';
  for (const { seq, state } of steps) {
    const event = history.event(seq);
    const columns =
      state === undefined
        ? 'gone'
        : [
            state.life.padEnd(12),
            driver(state).padEnd(17),
            (state.group === undefined
              ? '?'
              : state.group === null
                ? '-'
                : String(state.group)
            ).padEnd(6),
            state.domainType ?? '-',
          ].join(' ');
    if (columns === last) continue;
    last = columns;
    out.push(
      `${seconds(event?.time ?? NaN).padStart(12)}  ${String(event?.origin.line ?? '').padEnd(9)}  ${columns}`,
    );
  }
  return `${out.join('\n')}\n`;
}

/** The group's members and owner over time, and who blocks it in `state`. */
export function groupText(
  result: ReplayResult,
  id: number,
  state: ReplayState,
): string | undefined {
  const { history } = result;
  if (history === undefined) return undefined;
  const steps = history.group(id);
  if (steps.length === 0) return undefined;
  const out = [`history of group ${id}`, '        time  line       type       owner  members'];
  let last = '';
  for (const { seq, state: group } of steps) {
    const event = history.event(seq);
    const columns =
      group === undefined
        ? 'released'
        : [
            (group.type ?? '?').padEnd(10),
            (group.owned === undefined ? '?' : group.owned ? 'owned' : 'free').padEnd(6),
            group.members.map(printable).join(' ') || 'empty',
          ].join(' ');
    if (columns === last) continue;
    last = columns;
    out.push(
      `${seconds(event?.time ?? NaN).padStart(12)}  ${String(event?.origin.line ?? '').padEnd(9)}  ${columns}`,
    );
  }
  const viability = whoBlocks(state, id);
  out.push(
    viability === undefined
      ? `group ${id} does not exist at ${seconds(state.time)} s`
      : viabilityText(viability, state.time),
  );
  return `${out.join('\n')}\n`;
}

/** "group 20 is not viable at 12.34 s because …". */
export function viabilityText(viability: Viability, time: number): string {
  const at = `at ${seconds(time)} s`;
  const { group, blockers, unknown } = viability;
  if (blockers.length > 0) {
    const because = blockers.map((b) => {
      const line =
        b.since === undefined
          ? ''
          : ` since ${seconds(b.since.time)} s, ${printable(place(b.since))}`;
      return `${printable(b.dev)} is bound to ${printable(b.driver)}${line}`;
    });
    return `group ${group} is not viable ${at} because ${because.join(' and ')}`;
  }
  return unknown.length > 0
    ? `whether group ${group} is viable ${at} is not known: the input does not show the driver of ${unknown.map(printable).join(', ')}`
    : `group ${group} is viable ${at}: no member is bound to a driver that uses the DMA API`;
}
