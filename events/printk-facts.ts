/**
 * What kernel messages say: group membership, slots, faults, complaints.
 *
 * The table follows formats.md 2.7 and the kernel's own format strings (drivers/iommu/iommu.c,
 * drivers/pci/hotplug/*, drivers/iommu/intel/dmar.c, drivers/iommu/amd/iommu.c). A message comes
 * from anywhere (a user may write to /dev/kmsg), so every pattern is anchored or bounded: none can
 * take more than linear time.
 */

import type { NewEvent, PrintkFact } from './event.js';
import { clip } from './reader.js';

/** Driver (or bus) name and device name in front of a message. */
export interface MessagePrefix {
  readonly drv?: string;
  readonly dev?: string;
}

/** A kernel record holds at most about 1 kB (LOG_LINE_MAX); what is longer did not come from printk. */
export const LONGEST_MESSAGE = 4096;

const PCI_ADDRESS = /^(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}:[0-9a-f]{2}\.[0-7])$/i;
/** Name of a PCI device at the front of a name: `0000:00:1c.0:pcie004` is a service of port 0000:00:1c.0. */
const PCI_NAME = /^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7](?=$|:)/i;
const DRIVER_NAME = /^[A-Za-z][\w+.()/-]{0,63}$/;
const DEVICE_NAME = /^(?!0x)(?=[^\d]{0,127}\d)(?!\d{1,20}$)[\w:.@+,!#-]{1,128}$/;
const GROUP_TEXT = /^(?:Adding to|Removing from|Failed to add to) iommu group \d/;

/**
 * Splits `driver address: text` (dev_printk(), drivers/base/core.c).
 *
 * Returns the driver's name (the bus's while no driver is bound), the device's name and the rest.
 * Without such a prefix `rest` is the whole text. A device name must hold a digit, because two
 * words and a colon also begin ordinary sentences ("Kernel command line:"); before a group message,
 * which always names a device, any name will do.
 */
export function messagePrefix(text: string): MessagePrefix & { readonly rest: string } {
  const colon = text.slice(0, 200).indexOf(': ');
  if (colon < 1) return { rest: text };
  const head = text.slice(0, colon);
  const rest = text.slice(colon + 2);
  const space = head.lastIndexOf(' ');
  if (GROUP_TEXT.test(rest)) {
    const drv = head.slice(0, Math.max(space, 0)).trim();
    const dev = head.slice(space + 1);
    // "iommu: Adding device X to group N" has no device in front and does not come here.
    return drv === '' ? { dev, rest } : { drv, dev, rest };
  }
  if (space < 1) return { rest: text };
  const drv = head.slice(0, space);
  const dev = head.slice(space + 1);
  if (!DRIVER_NAME.test(drv) || !DEVICE_NAME.test(dev)) return { rest: text };
  return { drv, dev, rest };
}

/**
 * The fact in a kernel message, undefined where hotrace knows none.
 *
 * `text` is the message without the log's own prefix; it may still begin with `driver address: `.
 * `prefix` is what `messagePrefix` found there; when empty, the text is looked at again.
 * Addresses are in bytes; a device that the kernel named without its PCI domain gets `0000:`.
 */
export function printkFact(text: string, prefix: MessagePrefix): PrintkFact | undefined {
  const limited = text.length > LONGEST_MESSAGE ? text.slice(0, LONGEST_MESSAGE) : text;
  const own = messagePrefix(limited);
  const drv = prefix.drv ?? own.drv;
  const dev = prefix.dev ?? own.dev;
  const { rest } = own;
  return (
    groupFact(rest, dev) ??
    slotFact(rest, drv, dev) ??
    faultFact(rest, dev) ??
    versionFact(rest) ??
    complaintFact(limited)
  );
}

// iommu_group_alloc_device(), __iommu_group_remove_device()
const GROUP_NEW = /^(Adding to|Removing from) iommu group (\d{1,9})\s{0,4}$/;
const GROUP_NEW_FAILED = /^Failed to add to iommu group (\d{1,9}): (-?\d{1,9})/;
// The forms before v5.1.
const GROUP_OLD =
  /^(?:iommu: )?(Adding|Removing) device ([^\s]{1,128}) (?:to|from) group (\d{1,9})\s{0,4}$/;
const GROUP_OLD_FAILED =
  /^(?:iommu: )?Failed to add device ([^\s]{1,128}) to group (\d{1,9}): (-?\d{1,9})/;

function groupFact(rest: string, dev: string | undefined): PrintkFact | undefined {
  if (!rest.includes('group ')) return undefined;
  let m: RegExpExecArray | null;
  if (dev !== undefined) {
    if ((m = GROUP_NEW.exec(rest)) !== null) {
      const kind = m[1] === 'Adding to' ? 'group-add' : 'group-remove';
      return { kind, dev, group: Number(m[2]) };
    }
    if ((m = GROUP_NEW_FAILED.exec(rest)) !== null) {
      return { kind: 'group-add-failed', dev, group: Number(m[1]), error: Number(m[2]) };
    }
  }
  if ((m = GROUP_OLD.exec(rest)) !== null) {
    const kind = m[1] === 'Adding' ? 'group-add' : 'group-remove';
    return { kind, dev: m[2], group: Number(m[3]) };
  }
  if ((m = GROUP_OLD_FAILED.exec(rest)) !== null) {
    return { kind: 'group-add-failed', dev: m[1], group: Number(m[2]), error: Number(m[3]) };
  }
  return undefined;
}

const HOTPLUG_MODULE = /^(pciehp|shpchp|acpiphp|pnv_php|rpaphp|cpqphp|ibmphp): /;
/** `Slot(4): Link Up`, 4.x `slot(4): Link Up event`, and `Slot(4) Powering on …` without a colon. */
const SLOT_FIRST = /^slot ?\(([^()]{1,64})\):? (.{1,200})/i;
/** 4.x and shpchp: `Card present on Slot(4)`, `Link Up event ignored on slot(4): already powering on`. */
const SLOT_LAST = /^([A-Za-z][^()]{0,80}) on slot ?\(([^()]{1,64})\)/i;
/** shpchp and 4.x pciehp: `PCI slot #4 - powering on due to button press`. */
const SLOT_NUMBERED = /^PCI slot #([^\s]{1,64}) - (.{1,200})/;
/** acpiphp: `Slot [4] registered`. */
const SLOT_BRACKETED = /^Slot \[([^[\]]{1,64})\] (registered|unregistered)/;
/** Messages of a port that do not name its slot. */
const SLOTLESS =
  /^(?:Surprise Removal|Timeout on hotplug command |pending interrupts 0x[0-9a-f]{1,8} from Slot Status)/i;
const HOTPLUG_DRIVERS: ReadonlySet<string> = new Set(['pcieport', 'pciehp', 'shpchp']);

/** Beginnings (lower case) whose event has another name than their own words. First match counts. */
const SLOT_EVENTS: readonly (readonly [string, string])[] = [
  ['attention button', 'BUTTON_PRESSED'],
  ['button pressed', 'BUTTON_PRESSED'],
  ['button press: will power on', 'WILL_POWER_ON'],
  ['button press: will power off', 'WILL_POWER_OFF'],
  ['powering on', 'POWERING_ON'],
  ['powering off', 'POWERING_OFF'],
  ['action cancel', 'ACTION_CANCELED'],
  ['link up event ignored', 'LINK_UP_IGNORED'],
  ['link down event ignored', 'LINK_DOWN_IGNORED'],
  ['link up event queued', 'LINK_UP_QUEUED'],
  ['link down event queued', 'LINK_DOWN_QUEUED'],
  ['link up event', 'LINK_UP'],
  ['link down event', 'LINK_DOWN'],
  ['ignoring invalid state', 'INVALID_STATE'],
  ['timeout on hotplug command', 'COMMAND_TIMEOUT'],
  ['pending interrupts', 'PENDING_INTERRUPTS'],
  ['device ', 'DEVICE_EXISTS'],
];

/**
 * Name of a slot event: of pci:pci_hp_event where that has one (LINK_UP, CARD_NOT_PRESENT, …), else
 * the message's own first words, upper-cased, with underscores.
 */
function slotEvent(words: string): string {
  const lower = words.slice(0, 64).toLowerCase();
  for (const [start, event] of SLOT_EVENTS) if (lower.startsWith(start)) return event;
  const end = lower.search(/[^a-z /_-]/);
  return (end < 0 ? lower : lower.slice(0, end))
    .replace(/[^a-z]{1,64}/g, ' ')
    .trim()
    .replaceAll(' ', '_')
    .toUpperCase();
}

function slotFact(
  rest: string,
  drv: string | undefined,
  dev: string | undefined,
): PrintkFact | undefined {
  const module = HOTPLUG_MODULE.exec(rest);
  const text = module === null ? rest : rest.slice(module[0].length);
  let slot: string;
  let words: string;
  let m: RegExpExecArray | null;
  if ((m = SLOT_FIRST.exec(text)) !== null) [, slot, words] = m;
  else if ((m = SLOT_BRACKETED.exec(text)) !== null) [, slot, words] = m;
  else if ((m = SLOT_LAST.exec(text)) !== null) [, words, slot] = m;
  else if ((m = SLOT_NUMBERED.exec(text)) !== null) [, slot, words] = m;
  else if (
    (module !== null || (drv !== undefined && HOTPLUG_DRIVERS.has(drv))) &&
    SLOTLESS.test(text)
  ) {
    slot = '';
    words = text;
  } else return undefined;
  const event = slotEvent(words);
  if (event === '') return undefined;
  // The port, not its service device `0000:00:1c.0:pcie004`.
  const port = dev === undefined ? undefined : (PCI_NAME.exec(dev)?.[0] ?? dev);
  return port === undefined
    ? { kind: 'slot', slot, event }
    : { kind: 'slot', slot, event, dev: port };
}

/** dmar_fault_do_one(): up to v5.13 the address is hexadecimal without 0x. */
const DMAR_FAULT =
  /\[(DMA )?(Read|Write)([^\]]{0,40})\] Request device \[([0-9a-f:.]{7,16})\] (?:PASID [0-9a-f]{1,8} )?fault addr (?:0x)?([0-9a-f]{1,16})/i;
/** amd_iommu_report_page_fault() */
const AMD_FAULT = /Event logged \[IO_PAGE_FAULT ([^\]]{1,200})\]?/;
const AMD_FIELD = /(device|address|flags)=(?:0x)?([0-9a-f:.]{1,32})/gi;
/** EVENT_FLAG_I and EVENT_FLAG_RW of drivers/iommu/amd/amd_iommu_types.h */
const AMD_FLAG_INTERRUPT = 0x08;
const AMD_FLAG_WRITE = 0x20;

function faultFact(rest: string, dev: string | undefined): PrintkFact | undefined {
  let m: RegExpExecArray | null;
  if (rest.includes('Request device [') && (m = DMAR_FAULT.exec(rest)) !== null) {
    const source = pciAddress(m[4]);
    if (source === undefined) return undefined;
    return {
      kind: 'iommu-fault',
      dev: source,
      iova: parseInt(m[5], 16),
      access: m[2].toLowerCase() === 'read' ? 'read' : 'write',
    };
  }
  if (!rest.includes('IO_PAGE_FAULT') || (m = AMD_FAULT.exec(rest)) === null) return undefined;
  let source = dev === undefined ? undefined : pciAddress(dev);
  let iova: number | undefined;
  let access: 'read' | 'write' | 'unknown' = 'unknown';
  for (const [, name, value] of m[1].matchAll(AMD_FIELD)) {
    if (name === 'device') source = pciAddress(value) ?? source;
    else if (name === 'address') iova = parseInt(value, 16);
    else {
      const flags = parseInt(value, 16);
      if (!Number.isNaN(flags) && (flags & AMD_FLAG_INTERRUPT) === 0) {
        access = (flags & AMD_FLAG_WRITE) !== 0 ? 'write' : 'read';
      }
    }
  }
  if (source === undefined || iova === undefined || Number.isNaN(iova)) return undefined;
  return { kind: 'iommu-fault', dev: source, iova, access };
}

/** A PCI address with its domain, undefined for anything else. */
function pciAddress(text: string): string | undefined {
  const m = PCI_ADDRESS.exec(text);
  return m === null ? undefined : `${m[1] ?? '0000'}:${m[2]}`;
}

const LINUX_VERSION = /^Linux version ([^\s]{1,128})(?=\s|$)/;

function versionFact(rest: string): PrintkFact | undefined {
  const m = LINUX_VERSION.exec(rest);
  return m === null ? undefined : { kind: 'kernel-version', release: m[1] };
}

type Complaint = Extract<PrintkFact, { kind: 'complaint' }>['what'];

/**
 * How the kernel's complaints begin. Anchored: a driver's "Warning: no configuration" is none.
 * The WARN header names the CPU first up to v6.x and the file first in v7.x.
 */
const COMPLAINTS: readonly (readonly [RegExp, Complaint])[] = [
  [
    /^(?:WARNING|\[ INFO|INFO|BUG): (?:possible (?:circular locking|recursive locking|irq lock|unsafe|deadlock)|inconsistent lock state|inconsistent \{|suspicious RCU|held lock freed|bad unlock balance|lock held when|\S{1,32}-safe -> \S{1,32}-unsafe lock order)/,
    'lockdep',
  ],
  [/^WARNING: (?:CPU: \d|at \S|\S{1,200}:\d{1,9} at \S)/, 'WARN'],
  [/^INFO: task .{1,200}? blocked (?:in I\/O wait )?for more than \d/, 'hung-task'],
  [/^(?:kernel BUG at |BUG: )/, 'BUG'],
  [/^(?:Internal error: )?Oops(?: - |:)/, 'Oops'],
  [/^general protection fault\b/, 'Oops'],
  [/^(?:Unable to handle kernel |unable to handle kernel )/, 'Oops'],
];

function complaintFact(text: string): PrintkFact | undefined {
  for (const [pattern, what] of COMPLAINTS) {
    if (pattern.test(text)) return { kind: 'complaint', what };
  }
  return undefined;
}

const DROPPED = /\*\* (\d{1,15}) printk messages? dropped \*\*/;
const MISSED = /^(?:systemd-journald\[\d{1,10}\]: )?Missed (\d{1,15}) kernel messages/;
const OVERRUN =
  /^(?:systemd-journald\[\d{1,10}\]: )?\/dev\/kmsg buffer overrun, some messages lost/;

/** What a message says about messages that are missing. */
export interface Loss {
  /** undefined where the message gives no number. */
  readonly count?: number;
  /** Extent of the loss mark in the text: what stands around it is not part of it. */
  readonly start: number;
  readonly end: number;
}

/**
 * The loss that a line reports: the console's "** N printk messages dropped **"
 * (kernel/printk/printk.c) anywhere in it, or journald's "Missed N kernel messages".
 */
export function messageLoss(text: string): Loss | undefined {
  let m: RegExpExecArray | null;
  if (text.includes('printk message') && (m = DROPPED.exec(text)) !== null) {
    return { count: Number(m[1]), start: m.index, end: m.index + m[0].length };
  }
  if ((m = MISSED.exec(text)) !== null) {
    return { count: Number(m[1]), start: 0, end: text.length };
  }
  return OVERRUN.test(text) ? { start: 0, end: text.length } : undefined;
}

/** A loss as an event: after the message at `since` (ns, NaN where there was none). */
export function lossEvent(
  loss: Loss,
  { line, time, since, text }: { line: number; time: number; since: number; text: string },
): NewEvent {
  return {
    type: 'lost',
    time,
    line,
    ...(loss.count === undefined ? {} : { count: loss.count }),
    ...(Number.isNaN(since) ? {} : { since }),
    text: clip(text),
  };
}

/** A kernel message as a log format found it. */
export interface KernelMessage {
  readonly line: number;
  /** ns, NaN where unknown. */
  readonly time: number;
  /** The message, `driver address: ` included. */
  readonly text: string;
  /** syslog severity 0…7. */
  readonly level?: number | undefined;
  readonly caller?: string | undefined;
  /** Device from the record's own fields (DEVICE=, _KERNEL_DEVICE), where the text names none. */
  readonly dev?: string | undefined;
}

/** The printk event of a message: its prefix split off, its fact looked up, its text kept whole. */
export function printkEvent(message: KernelMessage): NewEvent {
  const text = clip(message.text, LONGEST_MESSAGE);
  const { drv, dev = message.dev } = messagePrefix(text);
  const prefix: MessagePrefix = {
    ...(drv === undefined ? {} : { drv }),
    ...(dev === undefined ? {} : { dev }),
  };
  const fact = printkFact(text, prefix);
  return {
    type: 'printk',
    time: message.time,
    line: message.line,
    text,
    ...(message.level === undefined ? {} : { level: message.level }),
    ...prefix,
    ...(message.caller === undefined ? {} : { caller: message.caller }),
    ...(fact === undefined ? {} : { fact }),
  };
}

/** A device's name out of `+pci:0000:01:00.0` (dev_printk's DEVICE=, journald's _KERNEL_DEVICE). */
export function namedDevice(value: string): string | undefined {
  return /^\+[^:]{1,64}:([^\s]{1,128})$/.exec(value)?.[1];
}

const LEVELS: ReadonlyMap<string, number> = new Map([
  ['emerg', 0],
  ['panic', 0],
  ['alert', 1],
  ['crit', 2],
  ['err', 3],
  ['error', 3],
  ['warn', 4],
  ['warning', 4],
  ['notice', 5],
  ['info', 6],
  ['debug', 7],
]);

/** syslog severity 0…7 of a level's name or digit; undefined for anything else. */
export function levelNumber(name: string): number | undefined {
  return /^[0-7]$/.test(name) ? Number(name) : LEVELS.get(name);
}

/** Nanoseconds of a decimal number of seconds given as its digits: no product of fractions. */
export function nanoseconds(seconds: string, fraction = ''): number {
  return Number(seconds) * 1e9 + Number(fraction.slice(0, 9).padEnd(9, '0'));
}
