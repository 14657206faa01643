/** State, its changes and its history as text: a tree like /sys/kernel/iommu_groups. */

import type { ReplayResult } from '../replay/replay.js';
import { diff } from '../replay/state-diff.js';
import type { StateDifference } from '../replay/state-diff.js';
import type { DeviceState, GroupState, ReplayState } from '../replay/state.js';
import type { EventRef } from '../replay/verdicts.js';
import { whoBlocks } from '../replay/viability.js';
import type { Viability } from '../replay/viability.js';
import { place, plural, printable, seconds, shown, table, wrap } from './format.js';
import type { HotplugEvent } from '../../events/event.js';

const WIDTH = 80;

const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1);

function driver(device: DeviceState): string {
  if (device.driver === undefined) return 'driver not known';
  return device.driver === null ? 'no driver' : shown(device.driver);
}

function since(ref: EventRef | undefined): string {
  if (ref === undefined) return '';
  return Number.isNaN(ref.time)
    ? ` since ${place(ref)}`
    : ` since ${seconds(ref.time)} s (${place(ref)})`;
}

/**
 * Groups with their members, then devices outside any group that have a bus. `last`: the event that
 * the state is after.
 */
export function stateText(state: ReplayState, last?: HotplugEvent): string {
  if (state.seq === 0) return 'state before the first event: nothing is known\n';
  const after = `#${state.seq - 1}${last === undefined ? '' : ` (${place(last)})`}`;
  const when = Number.isNaN(state.time) ? 'state' : `state at ${seconds(state.time)} s,`;
  const out: string[] = wrap(`${when} after event ${after}`, WIDTH);
  for (const group of [...state.groups.values()].sort((a, b) => a.id - b.id)) {
    out.push(`iommu_groups/${group.id}${groupMarks(group)}`);
    for (const name of group.members) {
      const device = memberOf(state, name, group.id);
      out.push(
        device === undefined
          ? `  devices/${shown(name)} → being removed`
          : `  devices/${shown(name)} → ${driver(device)}${deviceMarks(device)}`,
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
      `  ${shown(device.bus ?? '?')}/${shown(device.name)} → ${driver(device)}${group}${deviceMarks(device)}`,
    );
  }
  for (const slot of state.slots.values())
    out.push(`slot ${shown(slot.name)}: ${printable(slot.state)}${since(slot.since)}`);
  return `${out.join('\n')}\n`;
}

function memberOf(state: ReplayState, name: string, group: number): DeviceState | undefined {
  const device = state.devices.get(name);
  if (device?.group === group) return device;
  return [...state.devices.values()].find((d) => d.name === name && d.group === group);
}

function groupMarks(group: GroupState): string {
  const marks = [
    group.type === undefined ? undefined : `type ${shown(group.type)}`,
    group.owned === true ? `owned${since(group.ownedSince)}` : undefined,
    group.members.length === 0 ? 'empty' : undefined,
    group.uncertain ? 'uncertain: events lost' : undefined,
  ].filter((m) => m !== undefined);
  return marks.length === 0 ? '' : `  (${marks.join(', ')})`;
}

function deviceMarks(device: DeviceState): string {
  const marks = [
    ['unknown', 'idle', 'bound'].includes(device.life) ? undefined : device.life,
    device.domainType === undefined ? undefined : `domain ${shown(device.domainType)}`,
    device.uncertain ? 'uncertain: events lost' : undefined,
  ].filter((m) => m !== undefined);
  return marks.length === 0 ? '' : `  (${marks.join(', ')})`;
}

export function diffText(a: ReplayState, b: ReplayState): string {
  const differences = diff(a, b);
  const moment = ({ seq, time }: ReplayState) =>
    seq === 0 ? 'before the first event' : `${seconds(time)} s (#${seq - 1})`;
  const head = `from ${moment(a)} to ${moment(b)}: ${plural(differences.length, 'difference')}`;
  const show = (value: StateDifference['before']) =>
    value === undefined
      ? 'not known'
      : value === null
        ? 'none'
        : String(value)
            .split(' ')
            .map((word) => shown(word))
            .join(' ');
  return `${[
    head,
    ...differences.map(
      ({ what, before, after }) =>
        `  ${what
          .split(' ')
          .map((word) => shown(word))
          .join(' ')}: ${show(before)} → ${show(after)}`,
    ),
  ].join('\n')}\n`;
}

/** Every change of a device's driver, group, life or domain. */
export function deviceHistoryText(result: ReplayResult, name: string): string | undefined {
  const { history } = result;
  if (history === undefined) return undefined;
  const steps = history.device(name);
  if (steps.length === 0) return undefined;
  return historyText(
    `history of ${shown(name)}`,
    ['life', 'driver', 'group', 'domain'],
    steps.map(({ seq, state }) => ({
      event: history.event(seq),
      columns:
        state === undefined
          ? ['gone', '', '', '']
          : [
              state.life,
              driver(state),
              state.group === undefined ? '?' : state.group === null ? '-' : String(state.group),
              state.domainType === undefined ? '-' : shown(state.domainType),
            ],
    })),
  );
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
  const text = historyText(
    `history of group ${id}`,
    ['type', 'owner', 'members'],
    steps.map(({ seq, state: group }) => ({
      event: history.event(seq),
      columns:
        group === undefined
          ? ['released', '', '']
          : [
              group.type === undefined ? '?' : shown(group.type),
              group.owned === undefined ? '?' : group.owned ? 'owned' : 'free',
              group.members.map((member) => shown(member)).join(' ') || 'empty',
            ],
    })),
  );
  const viability = whoBlocks(state, id);
  const last =
    viability === undefined
      ? `group ${id} does not exist ${Number.isNaN(state.time) ? 'at the start' : `at ${seconds(state.time)} s`}`
      : viabilityText(viability, state.time);
  return `${text}${wrap(last, WIDTH).join('\n')}\n`;
}

/** One row for each step that changes what is shown. The file is named once, or in each row. */
function historyText(
  title: string,
  head: readonly string[],
  steps: readonly { readonly event: HotplugEvent | undefined; readonly columns: string[] }[],
): string {
  const files = new Set(steps.map(({ event }) => event?.origin.file ?? ''));
  const [only] = files;
  const names = new Map([...files].map((file) => [file, file.replace(/^.*\//, '')]));
  const unique = new Set(names.values()).size === files.size;
  const where = (event: HotplugEvent | undefined) => {
    if (event === undefined) return '?';
    const { file, line } = event.origin;
    if (files.size === 1) return line > 0 ? String(line) : '-';
    const name = printable(unique ? names.get(file)! : file);
    return line > 0 ? `${name}:${line}` : name;
  };
  const rows = [['time'.padStart(12), 'line', ...head]];
  let last: string | undefined;
  for (const { event, columns } of steps) {
    const shownNow = columns.join('\n');
    if (shownNow === last) continue;
    last = shownNow;
    rows.push([seconds(event?.time ?? NaN).padStart(12), where(event), ...columns]);
  }
  const heading = files.size === 1 && only !== '' ? `${title}, lines of ${printable(only)}` : title;
  return `${[heading, ...table(rows, WIDTH)].join('\n')}\n`;
}

/** "group 20 is not viable at 12.34 s because …". */
function viabilityText(viability: Viability, time: number): string {
  const at = Number.isNaN(time) ? 'at the start' : `at ${seconds(time)} s`;
  const { group, blockers, unknown } = viability;
  if (blockers.length > 0) {
    const because = blockers.map((b) => {
      const line =
        b.since === undefined
          ? ''
          : ` since ${Number.isNaN(b.since.time) ? '' : `${seconds(b.since.time)} s, `}${place(b.since)}`;
      return `${shown(b.dev)} is bound to ${shown(b.driver)}${line}`;
    });
    return `group ${group} is not viable ${at} because ${because.join(' and ')}`;
  }
  return unknown.length > 0
    ? `whether group ${group} is viable ${at} is not known: the input does not show the driver of ${unknown.map((dev) => shown(dev)).join(', ')}`
    : `group ${group} is viable ${at}: no member is bound to a driver that uses the DMA API`;
}
