/**
 * Notification actions by name.
 *
 * The numbers behind the names changed between kernels (`kernel-semantics.md` B.4), so a number is
 * turned into a name where a trace is read and never travels further.
 */

/** BUS_NOTIFY_* of include/linux/device/bus.h, without the prefix. */
export const BUS_ACTIONS = [
  'ADD_DEVICE',
  'DEL_DEVICE',
  'REMOVED_DEVICE',
  'BIND_DRIVER',
  'BOUND_DRIVER',
  'UNBIND_DRIVER',
  'UNBOUND_DRIVER',
  'DRIVER_NOT_BOUND',
] as const;
export type BusAction = (typeof BUS_ACTIONS)[number];

/** IOMMU_GROUP_NOTIFY_* of include/linux/iommu.h up to v5.18, without the prefix; values 1…6. */
export const GROUP_ACTIONS = [
  'ADD_DEVICE',
  'DEL_DEVICE',
  'BIND_DRIVER',
  'BOUND_DRIVER',
  'UNBIND_DRIVER',
  'UNBOUND_DRIVER',
] as const;
export type GroupAction = (typeof GROUP_ACTIONS)[number];

/** Which number stands for which bus action in one generation of kernels. */
export type ActionNumbering = 'v3.6' | 'v3.18' | 'v6.3';

const NUMBERED: Record<ActionNumbering, readonly (BusAction | undefined)[]> = {
  'v3.6': [
    undefined,
    'ADD_DEVICE',
    'DEL_DEVICE',
    'BIND_DRIVER',
    'BOUND_DRIVER',
    'UNBIND_DRIVER',
    'UNBOUND_DRIVER',
  ],
  'v3.18': [undefined, ...BUS_ACTIONS],
  'v6.3': BUS_ACTIONS,
};

/**
 * The bus action that `value` means under `numbering`, or undefined for a value that this
 * generation does not have. Source: B.4.
 */
export function busAction(numbering: ActionNumbering, value: number): BusAction | undefined {
  return NUMBERED[numbering][value];
}

/** The number of `action` under `numbering`, or undefined where that generation lacks it. */
export function busActionValue(numbering: ActionNumbering, action: BusAction): number | undefined {
  const value = NUMBERED[numbering].indexOf(action);
  return value < 0 ? undefined : value;
}

/** The group action that `value` means (1…6), or undefined. Source: A1.1. */
export function groupAction(value: number): GroupAction | undefined {
  return value >= 1 ? GROUP_ACTIONS[value - 1] : undefined;
}
