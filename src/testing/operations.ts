/**
 * The operations of a program by their kernel names: what each takes, what it undoes, and the steps
 * that it is made of (machines/kernel). Source: B.2, A1.2, A1.3, C.1.
 */

import { ENODEV } from '../../machines/errno.js';
import {
  iommu_group_claim_dma_owner,
  iommu_group_release_dma_owner,
} from '../../machines/kernel/dma-owner.js';
import {
  device_add,
  device_attach,
  device_del,
  device_driver_attach,
  device_release_driver,
  driver_register,
  driver_unregister,
} from '../../machines/kernel/driver-core.js';
import { iommu_attach_group, iommu_detach_group } from '../../machines/kernel/iommu-domain.js';
import {
  iommu_group_add_device,
  iommu_group_for_each_dev,
  iommu_group_get,
  iommu_group_put,
  iommu_group_remove_device,
} from '../../machines/kernel/iommu-group.js';
import { iommu_probe_device, iommu_release_device } from '../../machines/kernel/iommu-probe.js';
import type { Kernel } from '../../machines/kernel/kernel.js';
import { load } from '../../machines/kernel/memory.js';
import {
  bus_register_notifier,
  bus_unregister_notifier,
  iommu_group_register_notifier,
  iommu_group_unregister_notifier,
} from '../../machines/kernel/register.js';
import type { KernelProfile } from '../../machines/profiles/profile.js';
import type { Thread } from '../../machines/step.js';

/** What the argument of an operation names. */
export type Role = 'dev' | 'driver' | 'group' | 'domain' | 'bus' | 'block' | 'owner';

interface Kind<T extends readonly Role[] = readonly Role[]> {
  readonly takes: T;
  readonly run: (k: Kernel, ...args: { readonly [I in keyof T]: string }) => Thread;
  /** Which argument it is about; the first where left out. */
  readonly about?: number;
  /** The operation that it undoes: where that one failed in the same thread, it is not called. */
  readonly undoes?: string;
  /** Whether the generation has it; so it has where left out. */
  readonly on?: (profile: KernelProfile) => boolean;
}

function kind<const T extends readonly Role[]>(told: Kind<T>): Kind<T> {
  return told;
}

const hasGroupNotifier = ({ groupNotifier }: KernelProfile) => groupNotifier;
const hasOwners = ({ dmaOwnership }: KernelProfile) => dmaOwnership;
const hasProbe = ({ probeDevice }: KernelProfile) => probeDevice;

const KINDS = {
  device_add: kind({ takes: ['dev'], run: device_add }),
  device_del: kind({ takes: ['dev'], run: device_del, undoes: 'device_add' }),
  device_attach: kind({ takes: ['dev'], run: onBus(device_attach) }),
  device_driver_attach: kind({ takes: ['dev', 'driver'], run: bind }),
  device_release_driver: kind({ takes: ['dev'], run: onBus(device_release_driver) }),
  driver_register: kind({ takes: ['driver'], run: driver_register }),
  driver_unregister: kind({
    takes: ['driver'],
    run: driver_unregister,
    undoes: 'driver_register',
  }),
  iommu_probe_device: kind({ takes: ['dev'], run: iommu_probe_device, on: hasProbe }),
  iommu_release_device: kind({
    takes: ['dev'],
    run: iommu_release_device,
    undoes: 'iommu_probe_device',
    on: hasProbe,
  }),
  iommu_group_add_device: kind({
    takes: ['group', 'dev'],
    run: iommu_group_add_device,
    about: 1,
  }),
  iommu_group_remove_device: kind({
    takes: ['dev'],
    run: iommu_group_remove_device,
    undoes: 'iommu_group_add_device',
  }),
  iommu_group_for_each_dev: kind({
    takes: ['group'],
    run: (k, group) => iommu_group_for_each_dev(k, group, nothing),
  }),
  /** Looks up the group of a device and puts it: what every user of iommu_group_get does. */
  iommu_group_get: kind({ takes: ['dev'], run: getAndPut }),
  iommu_attach_group: kind({ takes: ['domain', 'group'], run: iommu_attach_group, about: 1 }),
  iommu_detach_group: kind({
    takes: ['domain', 'group'],
    run: iommu_detach_group,
    about: 1,
    undoes: 'iommu_attach_group',
  }),
  iommu_group_claim_dma_owner: kind({
    takes: ['group', 'owner'],
    run: iommu_group_claim_dma_owner,
    on: hasOwners,
  }),
  iommu_group_release_dma_owner: kind({
    takes: ['group'],
    run: iommu_group_release_dma_owner,
    undoes: 'iommu_group_claim_dma_owner',
    on: hasOwners,
  }),
  bus_register_notifier: kind({
    takes: ['bus', 'block'],
    run: bus_register_notifier,
    about: 1,
  }),
  bus_unregister_notifier: kind({
    takes: ['bus', 'block'],
    run: bus_unregister_notifier,
    about: 1,
    undoes: 'bus_register_notifier',
  }),
  iommu_group_register_notifier: kind({
    takes: ['group', 'block'],
    run: iommu_group_register_notifier,
    about: 1,
    on: hasGroupNotifier,
  }),
  iommu_group_unregister_notifier: kind({
    takes: ['group', 'block'],
    run: iommu_group_unregister_notifier,
    about: 1,
    undoes: 'iommu_group_register_notifier',
    on: hasGroupNotifier,
  }),
} as const;

type Kinds = typeof KINDS;

/** `device_add` */
export type OperationName = keyof Kinds;

/** One call of a program, plain JSON: `['device_driver_attach', 'd0', 'nvme']`. */
export type Operation = {
  [N in OperationName]: readonly [name: N, ...args: Names<Kinds[N]['takes']>];
}[OperationName];

type Names<Roles extends readonly Role[]> = { readonly [I in keyof Roles]: string };

/** Every operation that a program may call. */
export const OPERATION_NAMES = Object.keys(KINDS) as readonly OperationName[];

function kindOf(name: OperationName): Kind {
  return KINDS[name];
}

/** Whether the generation has the operation. */
export function hasOperation(name: OperationName, profile: KernelProfile): boolean {
  return kindOf(name).on?.(profile) ?? true;
}

/** What the arguments of an operation name, in their order. */
export function rolesOf(name: OperationName): readonly Role[] {
  return kindOf(name).takes;
}

/** The names that an operation gives, of one role. */
export function namesIn([name, ...args]: Operation, role: Role): readonly string[] {
  return args.filter((_, i) => rolesOf(name)[i] === role);
}

/** As C: `device_driver_attach(d0, nvme)`. */
export function operationText([name, ...args]: Operation): string {
  return `${name}(${args.join(', ')})`;
}

/**
 * The operations of a thread, one after the other. What failed is not undone: who could not add a
 * device does not delete it.
 */
export function* runOperations(k: Kernel, operations: readonly Operation[]): Thread<void> {
  const failed = new Set<string>();
  for (const [name, ...args] of operations) {
    const { run, about = 0, undoes } = kindOf(name);
    const made = `${undoes} ${args[about]}`;
    if (undoes !== undefined && failed.has(made)) continue;
    const ret = yield* run(k, ...args);
    const own = `${name} ${args[about]}`;
    if (typeof ret === 'number' && ret < 0) failed.add(own);
    else failed.delete(own);
  }
}

/**
 * Whether a file of sysfs leads to a device or a driver: who writes to it names one, and it is there
 * or not (bus_find_device_by_name, drivers/base/bus.c).
 */
function* isOnBus(bus: string, what: 'devices' | 'drivers', name: string): Thread<boolean> {
  const entries = yield* load<readonly unknown[]>(bus, what);
  return entries.includes(name);
}

/** drivers_probe and unbind of sysfs. */
function onBus(operation: (k: Kernel, dev: string) => Thread) {
  return function* (k: Kernel, dev: string): Thread {
    if (!(yield* isOnBus(k.busOf(dev), 'devices', dev))) return -ENODEV;
    return yield* operation(k, dev);
  };
}

/** bind of sysfs: a file of the driver, to which the name of a device is written. */
function* bind(k: Kernel, dev: string, driver: string): Thread {
  const bus = k.busOf(dev);
  if (!(yield* isOnBus(bus, 'drivers', driver))) return -ENODEV;
  if (!(yield* isOnBus(bus, 'devices', dev))) return -ENODEV;
  return yield* device_driver_attach(k, dev, driver);
}

function* getAndPut(k: Kernel, dev: string): Thread<void> {
  const group = yield* iommu_group_get(k, dev);
  if (group !== null) yield* iommu_group_put(k, group);
}

// eslint-disable-next-line require-yield
function* nothing(): Thread<number> {
  return 0;
}
