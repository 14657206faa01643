/** A replay as one JSON value. */

import type { ReplayResult } from '../replay/replay.js';
import type { DeviceState, GroupState, ReplayState, SlotState } from '../replay/state.js';
import type { KernelProfile } from '../../machines/profiles/profile.js';
import { outcome } from './replay-text.js';

/** NaN has no place in JSON: a time that is not known is null. */
const known = (n: number): number | null => (Number.isNaN(n) ? null : n);

export interface ReplayJson {
  readonly outcome: 'clean' | 'violated' | 'inconclusive';
  readonly kernel: {
    readonly profile: KernelProfile;
    readonly by: string;
    readonly because: string;
  };
  readonly [key: string]: unknown;
}

/** Everything in the result except the history. Times in ns. */
export function replayJson(result: ReplayResult): ReplayJson {
  const { history, verdicts, ...rest } = result;
  void history;
  return {
    outcome: outcome(verdicts),
    ...rest,
    firstTime: known(result.firstTime),
    lastTime: known(result.lastTime),
    verdicts: verdicts.map(({ rule, ...verdict }) => ({
      rule: rule.id,
      name: rule.name,
      sentence: rule.sentence,
      source: rule.source,
      ...verdict,
    })),
  };
}

export interface StateJson {
  readonly seq: number;
  readonly time: number | null;
  readonly devices: readonly DeviceState[];
  readonly groups: readonly GroupState[];
  readonly slots: readonly SlotState[];
}

export function stateJson(state: ReplayState): StateJson {
  return {
    seq: state.seq,
    time: known(state.time),
    devices: [...state.devices.values()],
    groups: [...state.groups.values()].sort((a, b) => a.id - b.id),
    slots: [...state.slots.values()],
  };
}
