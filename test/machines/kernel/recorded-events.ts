/** What a recording shows of the operations that the model has, task by task. */

import type { HotplugEvent } from '../../../events/event.js';
import { openInput } from '../../../events/open.js';

/** An event of a recording, as far as it is compared. */
export interface Shown {
  readonly type: string;
  readonly fn?: string;
  /** null: the pointer was NULL. */
  readonly dev?: string | null;
  readonly bus?: string | null;
  readonly drv?: string | null;
  readonly action?: number;
  readonly ret?: number;
  readonly group?: number;
  /** dev->iommu_group of `dev`: its id, null for none; undefined where the probe does not say. */
  readonly devGroup?: number | null;
  readonly domain?: string;
  /** Of a notification: the chain of the bus, or one of its own that a group has. */
  readonly chain?: 'bus' | 'group';
  readonly line: number;
}

/** The events of one task without a gap between them, in their order. */
export interface TaskEvents {
  readonly file: string;
  readonly pid: number;
  /** The task may have been inside an operation when it begins. */
  readonly opensInside: boolean;
  readonly events: readonly Shown[];
}

export interface Recording {
  readonly file: string;
  readonly tasks: readonly TaskEvents[];
  /** Callbacks of bus chains that were heard at all. */
  readonly listeners: ReadonlySet<string>;
  /** Buses on which the IOMMU core listens. */
  readonly iommuBuses: ReadonlySet<string>;
}

/** The functions whose entries the model's operations say. */
export const FUNCTIONS: ReadonlySet<string> = new Set([
  'device_add',
  'device_del',
  'really_probe',
  'driver_bound',
  'device_unbind_cleanup',
  '__device_release_driver',
  'device_release_driver_internal',
  'iommu_probe_device',
  '__iommu_probe_device',
  'iommu_release_device',
  'iommu_deinit_device',
  'iommu_group_alloc',
  'iommu_group_release',
  'iommu_group_add_device',
  'iommu_group_alloc_device',
  'iommu_group_remove_device',
  '__iommu_group_remove_device',
  '__iommu_attach_device',
  'iommu_attach_group',
  '__iommu_attach_group',
  'iommu_detach_group',
  '__iommu_detach_group',
  '__iommu_group_set_domain',
  '__iommu_group_set_domain_internal',
  '__iommu_device_set_domain',
  'iommu_setup_default_domain',
  'iommu_create_device_direct_mappings',
  'iommu_get_domain_for_dev',
  'iommu_domain_alloc',
  'iommu_paging_domain_alloc_flags',
  'iommu_domain_free',
  'iommu_group_claim_dma_owner',
  'iommu_group_release_dma_owner',
  '__iommu_take_dma_ownership',
  'iommu_device_use_default_domain',
  'iommu_device_unuse_default_domain',
  'pci_device_group',
  'iommu_group_register_notifier',
  'iommu_group_unregister_notifier',
]);

/** The callbacks on the chains of the buses; vfio's is on those of groups. */
export const LISTENERS: readonly string[] = [
  'dmar_pci_bus_notifier',
  'iommu_bus_notifier',
  'pci_notify',
];
export const GROUP_LISTENER = 'vfio_iommu_group_notifier';

const PLAIN: ReadonlySet<string> = new Set([
  'bus_notify',
  'add_device_to_group',
  'remove_device_from_group',
  'attach_device_to_domain',
]);

export async function readRecording(file: string): Promise<Recording> {
  const events: HotplugEvent[] = [];
  const input = await openInput(file);
  for await (const batch of input.batches({ reuse: true })) {
    for (let i = 0; i < batch.length; i++) events.push(batch.event(i));
  }
  return recordingOf(file, events);
}

function recordingOf(file: string, events: readonly HotplugEvent[]): Recording {
  const chains = chainsOf(events);
  const listeners = new Set<string>();
  const iommuBuses = new Set<string>();
  const done: TaskEvents[] = [];
  interface Open {
    shown: Shown[];
    opensInside: boolean;
    calls: boolean[];
  }
  let open = new Map<number, Open>();
  let lost = true;
  const flush = () => {
    for (const [pid, { shown, opensInside }] of open) {
      if (shown.length > 0) done.push({ file, pid, opensInside, events: shown });
    }
    open = new Map();
  };
  for (const event of events) {
    if (event.type === 'lost') {
      flush();
      lost = true;
      continue;
    }
    const pid = event.task?.pid;
    if (pid === undefined) continue;
    let task = open.get(pid);
    if (task === undefined) {
      task = { shown: [], opensInside: lost, calls: [] };
      open.set(pid, task);
    }
    const shown = shownOf(event, chains, task.calls);
    if (shown === undefined) continue;
    task.shown.push(shown);
    if (shown.type === 'callback_call' && shown.fn !== undefined) {
      listeners.add(shown.fn);
      if (shown.fn === 'iommu_bus_notifier' && shown.bus) iommuBuses.add(shown.bus);
    }
  }
  flush();
  return { file, tasks: done, listeners, iommuBuses };
}

/** Which chain is a bus's, by its address: the one that most notifications of the bus go to. */
function chainsOf(events: readonly HotplugEvent[]): (event: HotplugEvent) => Shown['chain'] {
  const buses = new Map<string, string>();
  for (const event of events) {
    if (event.type === 'function_call' && event.dev && event.bus) buses.set(event.dev, event.bus);
  }
  const counts = new Map<string, Map<string, number>>();
  for (const event of events) {
    if (event.type !== 'chain_call' || !event.dev || !event.bus) continue;
    if (buses.get(event.dev) !== event.bus) continue;
    const of = counts.get(event.bus) ?? new Map<string, number>();
    counts.set(event.bus, of.set(event.chain ?? '', (of.get(event.chain ?? '') ?? 0) + 1));
  }
  const own = new Map(
    [...counts].map(([bus, of]) => [bus, [...of].toSorted((a, b) => b[1] - a[1])[0][0]]),
  );
  return (event) => {
    if (event.type !== 'chain_call' || !event.dev || !event.bus) return undefined;
    if (buses.get(event.dev) !== event.bus) return undefined;
    return own.get(event.bus) === event.chain ? 'bus' : 'group';
  };
}

/** @param calls of each notification that is going on in the task, whether it is one to look at */
function shownOf(
  event: HotplugEvent,
  chainOf: (event: HotplugEvent) => Shown['chain'],
  calls: boolean[],
): Shown | undefined {
  const { line } = event.origin;
  if (event.type === 'chain_call') {
    const chain = chainOf(event);
    calls.push(chain !== undefined);
    if (chain === undefined) return undefined;
    return { type: event.type, dev: event.dev ?? null, action: event.action, chain, line };
  }
  if (event.type === 'chain_return') {
    return (calls.pop() ?? true) ? { type: event.type, ret: event.ret, line } : undefined;
  }
  if (event.type === 'function_call' && FUNCTIONS.has(event.fn)) {
    const { type, fn, bus, drv, domain, groupPtr, devGroup } = event;
    // The kobject of a group has its id for a name.
    const released = fn === 'iommu_group_release';
    const dev = released ? undefined : event.dev;
    const group = released ? Number(event.dev) : event.group;
    return {
      type,
      fn,
      line,
      ...(dev === undefined ? {} : { dev }),
      ...(bus === undefined ? {} : { bus }),
      ...(drv === undefined ? {} : { drv }),
      ...(group === undefined ? {} : { group }),
      ...(domain === undefined || fn === 'iommu_group_claim_dma_owner' ? {} : { domain }),
      ...(groupPtr === undefined
        ? {}
        : { devGroup: groupPtr === '0x0' ? null : (devGroup ?? null) }),
    };
  }
  if (event.type === 'function_return' && FUNCTIONS.has(event.fn)) {
    const { type, fn, ret } = event;
    return { type, fn, line, ...(ret === undefined ? {} : { ret }) };
  }
  if (event.type === 'callback_call' && isListener(event.fn)) {
    const { type, fn, dev, bus, action } = event;
    return {
      type,
      fn,
      line,
      ...(dev === undefined ? {} : { dev }),
      ...(bus === undefined ? {} : { bus }),
      ...(action === undefined ? {} : { action }),
    };
  }
  if (event.type === 'callback_return' && isListener(event.fn)) {
    return { type: event.type, fn: event.fn, ret: event.ret, line };
  }
  if (!PLAIN.has(event.type)) return undefined;
  const { dev, action, group, drv, devGroup, groupPtr } = event as {
    readonly dev?: string | null;
    readonly action?: number;
    readonly group?: number;
    readonly drv?: string | null;
    readonly devGroup?: number;
    readonly groupPtr?: string;
  };
  return {
    type: event.type,
    line,
    ...(drv === undefined ? {} : { drv }),
    ...(groupPtr === undefined ? {} : { devGroup: groupPtr === '0x0' ? null : (devGroup ?? null) }),
    ...(dev === undefined ? {} : { dev }),
    ...(action === undefined ? {} : { action }),
    ...(group === undefined ? {} : { group }),
  };
}

function isListener(fn: string): boolean {
  return fn === GROUP_LISTENER || LISTENERS.includes(fn);
}
