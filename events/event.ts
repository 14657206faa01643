/**
 * The catalogue: every kind of fact that hotrace reads, as one discriminated union.
 *
 * An event is immutable and serialisable. Names are the kernel's: a trace event has the name of
 * its tracepoint, a kprobe on a function is a `function_call`, and the functions of the notifier
 * machinery, which the model looks at most closely, have types of their own.
 */

/** Where an event was read. `line` counts from 1; 0 where the source has no lines. */
export interface Origin {
  readonly format: string;
  readonly file: string;
  readonly line: number;
}

export interface Task {
  readonly comm: string;
  readonly pid: number;
}

interface EventBase {
  /** Position in the merged log, from 0. */
  readonly seq: number;
  /**
   * Integer nanoseconds of the source's clock; NaN for a source without a clock. A double holds
   * this exactly for 104 days of uptime and to the microsecond beyond.
   */
  readonly time: number;
  readonly cpu?: number;
  readonly task?: Task;
  readonly origin: Origin;
  /** Set where a reader deduced the fact instead of reading it: why. */
  readonly inferred?: string;
}

/** A device as a probe shows it. null is a NULL pointer, `(fault)` in ftrace. */
interface DeviceFields {
  readonly dev?: string | null;
  readonly bus?: string | null;
  readonly drv?: string | null;
  /** Address of the struct device, as text. */
  readonly object?: string;
  /** dev->iommu_group: its id, present only where the pointer was not NULL. */
  readonly devGroup?: number;
  /** dev->iommu_group: its address; '0x0' is NULL. */
  readonly groupPtr?: string;
}

/** bus_notify(dev, value), v6.3 and later (drivers/base/bus.c). */
export interface BusNotify extends EventBase, DeviceFields {
  readonly type: 'bus_notify';
  /** The raw number; `actions.ts` gives its name for a kernel. */
  readonly action: number;
}

/** Entry of {blocking,…}_notifier_call_chain (kernel/notifier.c). */
export interface ChainCall extends EventBase, DeviceFields {
  readonly type: 'chain_call';
  readonly chain?: string;
  readonly action: number;
}
export interface ChainReturn extends EventBase {
  readonly type: 'chain_return';
  readonly ret: number;
}

/** A notifier block's callback was entered. */
export interface CallbackCall extends EventBase, DeviceFields {
  readonly type: 'callback_call';
  readonly fn: string;
  readonly priority?: number;
  readonly action?: number;
}
export interface CallbackReturn extends EventBase {
  readonly type: 'callback_return';
  readonly fn: string;
  readonly ret: number;
}

/** Tracepoint notifier:notifier_run: the callback's symbol and nothing else. */
export interface NotifierRun extends EventBase {
  readonly type: 'notifier_run';
  readonly fn: string;
}

export interface ChainRegister extends EventBase {
  readonly type: 'chain_register' | 'chain_unregister';
  readonly chain?: string;
  readonly fn?: string;
  readonly priority?: number;
}

/** Entry of a kernel function that the model knows. */
export interface FunctionCall extends EventBase, DeviceFields {
  readonly type: 'function_call';
  readonly fn: string;
  readonly group?: number;
  readonly domain?: string;
  /** iommu_domain.type: 0x0 blocked, 0x1 unmanaged, 0x3 DMA, 0x4 identity, 0xb DMA-FQ. */
  readonly domainType?: number;
}
export interface FunctionReturn extends EventBase {
  readonly type: 'function_return';
  readonly fn: string;
  readonly ret?: number;
}

/** Tracepoints iommu:add_device_to_group, iommu:remove_device_from_group. */
export interface GroupMembership extends EventBase {
  readonly type: 'add_device_to_group' | 'remove_device_from_group';
  readonly group: number;
  readonly dev: string;
}

/** Tracepoints iommu:attach_device_to_domain, iommu:detach_device_from_domain. */
export interface DomainAttachment extends EventBase {
  readonly type: 'attach_device_to_domain' | 'detach_device_from_domain';
  readonly dev: string;
}

/** Tracepoint iommu:map. Addresses and sizes in bytes. `dev` only in vendor kernels. */
export interface IovaMap extends EventBase {
  readonly type: 'map';
  readonly iova: number;
  readonly size: number;
  readonly paddr?: number;
  readonly dev?: string;
}
/** Tracepoint iommu:unmap. */
export interface IovaUnmap extends EventBase {
  readonly type: 'unmap';
  readonly iova: number;
  readonly size: number;
  readonly unmapped?: number;
  readonly dev?: string;
}

/** Tracepoint iommu:io_page_fault. */
export interface IoPageFault extends EventBase {
  readonly type: 'io_page_fault';
  readonly dev: string;
  readonly drv?: string | null;
  readonly iova: number;
  readonly flags?: number;
}

/** Tracepoint pci:pci_hp_event (7.0 and later). */
export interface PciHpEvent extends EventBase {
  readonly type: 'pci_hp_event';
  readonly dev: string;
  readonly slot: string;
  readonly event: string;
}

/** A line that a program wrote to trace_marker. */
export interface Mark extends EventBase {
  readonly type: 'mark';
  readonly text?: string;
}

/** A readable trace event that the model does not look at. */
export interface TraceEvent extends EventBase {
  readonly type: 'trace_event';
  readonly name: string;
  readonly text?: string;
}

/**
 * A step of a schedule that `hotrace explore` found: what a model did, not a kernel. It says what
 * happened for whoever reads the log; no rule looks at it.
 */
export interface ModelStep extends EventBase {
  readonly type: 'model_step';
  readonly thread: string;
  /** Which step of its thread, from 1. */
  readonly number: number;
  /** `list_add_tail(d0)` */
  readonly what: string;
  /** The machine that it was sent to; absent for a choice, a spawn, a join. */
  readonly entity?: string;
  /** What was sent and what was answered, as JSON. Text, so that no key of theirs means anything. */
  readonly event?: string;
  readonly reply?: string;
}

/** A kobject uevent as udevadm monitor printed it. */
export interface Uevent extends EventBase {
  readonly type: 'uevent';
  readonly action: string;
  readonly devpath: string;
  readonly subsystem: string;
  /** Last component of the devpath, the kernel's device name. */
  readonly dev: string;
  readonly drv?: string;
  readonly seqnum?: number;
  /** KERNEL: as the kernel sent it; UDEV: after rule processing. */
  readonly from: 'kernel' | 'udev';
  readonly properties?: Readonly<Record<string, string>>;
}

/** What a kernel message says, where hotrace knows the message. */
export type PrintkFact =
  | { readonly kind: 'group-add'; readonly dev: string; readonly group: number }
  | { readonly kind: 'group-remove'; readonly dev: string; readonly group: number }
  | {
      readonly kind: 'group-add-failed';
      readonly dev: string;
      readonly group: number;
      readonly error: number;
    }
  | { readonly kind: 'slot'; readonly slot: string; readonly event: string; readonly dev?: string }
  | {
      readonly kind: 'iommu-fault';
      readonly dev: string;
      readonly iova: number;
      readonly access: 'read' | 'write' | 'unknown';
    }
  | { readonly kind: 'kernel-version'; readonly release: string }
  | {
      readonly kind: 'complaint';
      readonly what: 'WARN' | 'BUG' | 'Oops' | 'hung-task' | 'lockdep';
    };

/** A kernel log message from dmesg, /dev/kmsg or the journal. */
export interface Printk extends EventBase {
  readonly type: 'printk';
  readonly text: string;
  /** syslog severity, 0 emerg … 7 debug. */
  readonly level?: number;
  /** `driver address: text`: the driver (or bus) name and the device of the prefix. */
  readonly drv?: string;
  readonly dev?: string;
  readonly caller?: string;
  readonly fact?: PrintkFact;
}

/** One group of a sysfs snapshot (/sys/kernel/iommu_groups/N). */
export interface SysfsGroup extends EventBase {
  readonly type: 'sysfs_group';
  readonly group: number;
  /** `type` attribute: DMA, DMA-FQ, identity, unmanaged, blocked, unknown. */
  readonly domainType?: string;
  readonly name?: string;
  readonly devices: readonly string[];
  readonly reserved?: readonly {
    readonly start: string;
    readonly end: string;
    readonly kind: string;
  }[];
}

/** One device of a sysfs snapshot. null: known to have none. undefined: not recorded. */
export interface SysfsDevice extends EventBase {
  readonly type: 'sysfs_device';
  readonly dev: string;
  readonly bus: string;
  readonly drv?: string | null;
  readonly group?: number | null;
  readonly path?: string;
}

/** Head of a sysfs snapshot. */
export interface SysfsSnapshot extends EventBase {
  readonly type: 'sysfs_snapshot';
  /** `uname -a` or the kernel release, where recorded. */
  readonly uname?: string;
}

/**
 * Something is missing here. The gap reaches from `since` (ns, exclusive) to the event's own time;
 * `since` undefined: from the beginning. `cpu` undefined: any CPU.
 */
export interface Lost extends EventBase {
  readonly type: 'lost';
  /** Number of events missing, undefined where the source does not say. */
  readonly count?: number;
  readonly since?: number;
  readonly text?: string;
}

/** A line that no reader understood. */
export interface Unparsed extends EventBase {
  readonly type: 'unparsed';
  readonly text: string;
  readonly reason: string;
}

export type HotplugEvent =
  | BusNotify
  | ChainCall
  | ChainReturn
  | CallbackCall
  | CallbackReturn
  | NotifierRun
  | ChainRegister
  | FunctionCall
  | FunctionReturn
  | GroupMembership
  | DomainAttachment
  | IovaMap
  | IovaUnmap
  | IoPageFault
  | PciHpEvent
  | Mark
  | TraceEvent
  | ModelStep
  | Uevent
  | Printk
  | SysfsGroup
  | SysfsDevice
  | SysfsSnapshot
  | Lost
  | Unparsed;

export type EventType = HotplugEvent['type'];

/** Types that a trace event may be read as. */
export const PROBE_TYPES = [
  'bus_notify',
  'chain_call',
  'chain_return',
  'callback_call',
  'callback_return',
  'notifier_run',
  'chain_register',
  'chain_unregister',
  'function_call',
  'function_return',
  'add_device_to_group',
  'remove_device_from_group',
  'attach_device_to_domain',
  'detach_device_from_domain',
  'map',
  'unmap',
  'io_page_fault',
  'pci_hp_event',
  'mark',
] as const satisfies readonly EventType[];
export type ProbeType = (typeof PROBE_TYPES)[number];

/** The types in the order of their codes in a batch. */
export const EVENT_TYPES = [
  ...PROBE_TYPES,
  'trace_event',
  'uevent',
  'printk',
  'sysfs_group',
  'sysfs_device',
  'sysfs_snapshot',
  'model_step',
  'lost',
  'unparsed',
] as const satisfies readonly EventType[];

/**
 * The number of a type in a batch's `type` column: its place in EVENT_TYPES. A const enum, because
 * the fold asks for it several times per event.
 */
export const enum TypeCode {
  bus_notify,
  chain_call,
  chain_return,
  callback_call,
  callback_return,
  notifier_run,
  chain_register,
  chain_unregister,
  function_call,
  function_return,
  add_device_to_group,
  remove_device_from_group,
  attach_device_to_domain,
  detach_device_from_domain,
  map,
  unmap,
  io_page_fault,
  pci_hp_event,
  mark,
  trace_event,
  uevent,
  printk,
  sysfs_group,
  sysfs_device,
  sysfs_snapshot,
  model_step,
  lost,
  unparsed,
}

/** The number of each type by its name. */
export const CODE_OF = Object.fromEntries(EVENT_TYPES.map((type, code) => [type, code])) as {
  readonly [T in EventType]: TypeCode;
};

/** Omit that keeps the members of a union apart. */
type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

/** An event as a reader makes it: the batch adds `seq`, the source gives `origin`'s file. */
export type NewEvent = DistributiveOmit<HotplugEvent, 'seq' | 'origin'> & { readonly line: number };

/** What happened, without where, when and by whom. */
export type EventFact = DistributiveOmit<HotplugEvent, keyof EventBase>;
