/** What replay knows at one moment: plain immutable data, as sysfs would show it. */

import type { EventRef } from './verdicts.js';

/** `undefined` stands for "not known", `null` for "known to have none". */
export interface DeviceState {
  readonly name: string;
  readonly bus: string | undefined;
  /** State of the device automaton (B.3) in words: idle, binding, "bound, DEL sent", … */
  readonly life: string;
  readonly driver: string | null | undefined;
  /** Since when the driver is this one. */
  readonly driverSince: EventRef | undefined;
  readonly group: number | null | undefined;
  readonly groupSince: EventRef | undefined;
  /** Address and type of the domain that the device is attached to. */
  readonly domain: string | undefined;
  readonly domainType: string | undefined;
  /** Something that could have changed this was lost. */
  readonly uncertain: boolean;
}

export interface GroupState {
  readonly id: number;
  readonly members: readonly string[];
  /** Type of the default domain as sysfs prints it. */
  readonly type: string | undefined;
  /** Claimed by a DMA owner (v5.19 and later), or attached by VFIO before. undefined: not known. */
  readonly owned: boolean | undefined;
  readonly ownedSince: EventRef | undefined;
  readonly uncertain: boolean;
}

export interface SlotState {
  readonly name: string;
  readonly state: string;
  readonly since: EventRef | undefined;
}

export interface ReplayState {
  /** Events folded so far: the state is that before event `seq`. */
  readonly seq: number;
  /** Time of the newest event, ns; NaN before the first. */
  readonly time: number;
  readonly devices: ReadonlyMap<string, DeviceState>;
  readonly groups: ReadonlyMap<number, GroupState>;
  readonly slots: ReadonlyMap<string, SlotState>;
}

/** One entity's new state after event `seq`; undefined: it no longer exists. */
export type Change =
  | {
      readonly seq: number;
      readonly kind: 'device';
      readonly key: string;
      readonly state: DeviceState | undefined;
    }
  | {
      readonly seq: number;
      readonly kind: 'group';
      readonly key: number;
      readonly state: GroupState | undefined;
    }
  | {
      readonly seq: number;
      readonly kind: 'slot';
      readonly key: string;
      readonly state: SlotState | undefined;
    };

export const EMPTY_STATE: ReplayState = {
  seq: 0,
  time: NaN,
  devices: new Map(),
  groups: new Map(),
  slots: new Map(),
};
