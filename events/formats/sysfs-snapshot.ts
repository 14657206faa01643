/**
 * The text of `sysfs-before.txt` and `sysfs-after.txt`: groups, PCI devices and drivers as a
 * script in the recorded machine read them from sysfs.
 *
 * Sources: traces/README.md; formats.md 2.8; Documentation/ABI/testing/sysfs-kernel-iommu_groups.
 */

import { clip, TextReader } from '../reader.js';
import type { EventBatch } from '../batch.js';
import type { Format } from '../reader.js';

/** Devices whose driver is remembered to be compared with the list of drivers. */
const MOST_DEVICES = 100_000;
/** Regions kept of one group; real ones have fewer than ten. */
const MOST_REGIONS = 4096;
/** Characters kept of uname and of the kernel's command line (COMMAND_LINE_SIZE is 2048). */
const LONGEST_HEAD = 4096;

const GROUP = /^group (\d{1,9})(?: |$)/;
const RESERVED = /^resv (0x[0-9a-fA-F]{1,16}) (0x[0-9a-fA-F]{1,16}) (\S+)\s*$/;
const UPTIME = /^(\d{1,9})\.(\d{1,9})(?:\s|$)/;
const SECTIONS = new Set(['iommu_groups', 'pci_devices', 'iommu class', 'pci drivers', 'vfio']);

interface Region {
  readonly start: string;
  readonly end: string;
  readonly kind: string;
}

interface Group {
  readonly group: number;
  readonly line: number;
  readonly domainType: string | undefined;
  readonly name: string | undefined;
  readonly devices: readonly string[];
  readonly reserved: Region[];
}

interface Device {
  readonly dev: string;
  readonly drv?: string | null;
  readonly group?: number | null;
  readonly path?: string;
}

/** The `# key: value` lines, held until the first line of content: they make one event. */
interface Head {
  uname?: string;
  cmdline?: { readonly text: string; readonly line: number };
  line: number;
}

/** `type=… name=… devices=a b c`, each part optional but the last. */
function parseGroup(text: string, group: number, line: number): Group | undefined {
  let rest = text;
  let domainType: string | undefined;
  let name: string | undefined;
  if (rest.startsWith('type=')) {
    const end = rest.indexOf(' ');
    if (end < 0) return undefined;
    domainType = rest.slice(5, end);
    rest = rest.slice(end + 1);
  }
  if (rest.startsWith('name=')) {
    // A name may hold blanks.
    const end = rest.indexOf(' devices=');
    if (end < 0) return undefined;
    name = rest.slice(5, end);
    rest = rest.slice(end + 1);
  }
  if (!rest.startsWith('devices=')) return undefined;
  return {
    group,
    line,
    domainType: domainType === '' ? undefined : domainType,
    name: name === '' ? undefined : name,
    devices: words(rest.slice(8)),
    reserved: [],
  };
}

/** `ADDR vendor:device class=… driver=… group=… path=…`; `none` is null, an empty value unknown. */
function parseDevice(text: string): Device | undefined {
  const pathAt = text.indexOf(' path=');
  const path = pathAt < 0 ? '' : text.slice(pathAt + 6).trimEnd();
  const [dev, ...fields] = words(pathAt < 0 ? text : text.slice(0, pathAt));
  if (dev === undefined || dev.includes('=') || fields.length === 0) return undefined;
  const result: { dev: string; drv?: string | null; group?: number | null; path?: string } = {
    dev,
  };
  for (const field of fields) {
    const equals = field.indexOf('=');
    const value = field.slice(equals + 1);
    switch (equals < 0 ? '' : field.slice(0, equals)) {
      case '':
        if (!/^0x[0-9a-fA-F]{1,8}:0x[0-9a-fA-F]{1,8}$/.test(field)) return undefined;
        break;
      case 'class':
        break;
      case 'driver':
        if (value !== '') result.drv = value === 'none' ? null : value;
        break;
      case 'group':
        if (value === 'none') result.group = null;
        else if (/^\d{1,9}$/.test(value)) result.group = Number(value);
        else if (value !== '') return undefined;
        break;
      default:
        return undefined;
    }
  }
  if (path !== '' && path !== 'none') result.path = path;
  return result;
}

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== '');
}

class SysfsSnapshotReader extends TextReader {
  private time = NaN;
  private head: Head | undefined;
  /** The head was emitted, and the file still describes the same moment. */
  private begun = false;
  private section = '';
  private group: Group | undefined;
  /** Devices of the section "pci_devices" by driver, to be compared with "pci drivers". */
  private drivers = new Map<string, string | null | undefined>();
  private bound = new Map<string, number>();

  protected line(text: string, batch: EventBatch): void {
    const line = text.trimEnd();
    if (line === '') return;
    if (line.startsWith('# ')) {
      this.headLine(line, text, batch);
      return;
    }
    const group = GROUP.exec(line);
    if (group !== null) {
      this.begin(batch);
      this.groupLine(Number(group[1]), line.slice(group[0].length), text, batch);
      return;
    }
    if (!this.content(line, batch)) this.unparsed(text, 'not a line of a sysfs snapshot', batch);
  }

  override finish(batch: EventBatch): void {
    if (this.head !== undefined) this.begin(batch);
    this.closeGroup(batch);
  }

  private headLine(line: string, text: string, batch: EventBatch): void {
    if (line.startsWith('# uname:')) {
      if (this.begun || this.head?.uname !== undefined) this.restart(batch);
      this.heading().uname = clip(line.slice(8).trim(), LONGEST_HEAD);
      return;
    }
    if (line.startsWith('# uptime:')) {
      const uptime = UPTIME.exec(line.slice(9).trimStart());
      if (uptime !== null) {
        this.time = Number(uptime[1] + uptime[2].padEnd(9, '0'));
        if (!this.begun) this.heading();
        return;
      }
    } else if (line.startsWith('# cmdline:')) {
      const cmdline = { text: clip(line.slice(10).trim(), LONGEST_HEAD), line: this.lineNumber };
      if (!this.begun && this.head?.cmdline === undefined) this.heading().cmdline = cmdline;
      else this.cmdline(cmdline, batch);
      return;
    }
    this.unparsed(text, 'not a head line of a sysfs snapshot', batch);
  }

  private heading(): Head {
    return (this.head ??= { line: this.lineNumber });
  }

  /** Another snapshot follows in the same file. */
  private restart(batch: EventBatch): void {
    if (this.head !== undefined) this.begin(batch);
    this.closeGroup(batch);
    this.begun = false;
    this.time = NaN;
    this.section = '';
    this.drivers = new Map();
    this.bound = new Map();
  }

  /** Content begins: what the head said comes first. */
  private begin(batch: EventBatch): void {
    if (this.begun) return;
    this.begun = true;
    const head = this.head;
    this.head = undefined;
    this.append(
      {
        type: 'sysfs_snapshot',
        time: this.time,
        line: head?.line ?? this.lineNumber,
        ...(head?.uname === undefined || head.uname === '' ? {} : { uname: head.uname }),
      },
      batch,
    );
    if (head?.cmdline !== undefined) this.cmdline(head.cmdline, batch);
  }

  /** The kernel's command line says which IOMMU was asked for; the catalogue has no field for it. */
  private cmdline({ text, line }: { text: string; line: number }, batch: EventBatch): void {
    this.append({ type: 'trace_event', time: this.time, line, name: 'cmdline', text }, batch);
  }

  private groupLine(group: number, rest: string, text: string, batch: EventBatch): void {
    if (rest.startsWith('resv ')) {
      const region = RESERVED.exec(rest);
      if (region === null) this.unparsed(text, 'not a reserved region', batch);
      else if (this.group?.group !== group) {
        this.unparsed(text, 'reserved region apart from its group', batch);
      } else if (this.group.reserved.length === MOST_REGIONS) {
        this.unparsed(text, `more than ${MOST_REGIONS} reserved regions`, batch);
      } else {
        this.group.reserved.push({ start: region[1], end: region[2], kind: region[3] });
      }
      return;
    }
    this.closeGroup(batch);
    this.group = parseGroup(rest, group, this.lineNumber);
    if (this.group === undefined) this.unparsed(text, 'not a group', batch);
  }

  /** A group is emitted when a line other than one of its reserved regions comes. */
  private closeGroup(batch: EventBatch): void {
    const held = this.group;
    if (held === undefined) return;
    this.group = undefined;
    const { group, line, domainType, name, devices, reserved } = held;
    this.append(
      {
        type: 'sysfs_group',
        time: this.time,
        line,
        group,
        ...(domainType === undefined ? {} : { domainType }),
        ...(name === undefined ? {} : { name }),
        devices,
        ...(reserved.length === 0 ? {} : { reserved }),
      },
      batch,
    );
  }

  /** Lines outside of groups. False: not one of them. */
  private content(line: string, batch: EventBatch): boolean {
    if (line.startsWith('## ')) {
      const section = line.slice(3).trim();
      if (!SECTIONS.has(section)) return false;
      this.begin(batch);
      this.closeGroup(batch);
      this.section = section;
      return true;
    }
    if (line.startsWith('pci ')) {
      const device = parseDevice(line.slice(4));
      if (device === undefined) return false;
      this.begin(batch);
      this.closeGroup(batch);
      this.remember(device);
      this.append(
        { type: 'sysfs_device', time: this.time, line: this.lineNumber, bus: 'pci', ...device },
        batch,
      );
      return true;
    }
    if (line.startsWith('driver ')) {
      const colon = line.endsWith(':') ? line.length - 1 : line.indexOf(': ');
      if (colon <= 7) return false;
      this.begin(batch);
      this.closeGroup(batch);
      const driver = line.slice(7, colon);
      if (!this.agrees(driver, words(line.slice(colon + 1)))) {
        this.append(
          {
            type: 'trace_event',
            time: this.time,
            line: this.lineNumber,
            name: 'driver_contradiction',
            text: clip(line, LONGEST_HEAD),
          },
          batch,
        );
      }
      return true;
    }
    if (this.section === 'iommu class') {
      return /^total \d+$/.test(line) || line.includes(' -> ') || isIommu(line);
    }
    return (this.section === 'vfio' && /^vfio(?: |$)/.test(line)) || isIommu(line);
  }

  private remember({ dev, drv }: Device): void {
    if (this.drivers.size >= MOST_DEVICES) return;
    this.drivers.set(dev, drv);
    if (typeof drv === 'string') this.bound.set(drv, (this.bound.get(drv) ?? 0) + 1);
  }

  /**
   * Whether a driver's own list of devices is what the devices said. They are read one after the
   * other, so a bind in between shows here and nowhere else.
   */
  private agrees(driver: string, devices: readonly string[]): boolean {
    if (this.drivers.size >= MOST_DEVICES) return true;
    return (
      new Set(devices).size === (this.bound.get(driver) ?? 0) &&
      devices.every((dev) => this.drivers.get(dev) === driver)
    );
  }
}

/** `iommu dmar0 devices=…`: the groups and devices say the same. */
function isIommu(line: string): boolean {
  return line.startsWith('iommu ') && line.includes(' devices=');
}

/** The share of lines that are a snapshot's, 0…1. */
function sniff(head: string): number {
  let own = 0;
  let sure = 0;
  let all = 0;
  for (const raw of head.split('\n', 500)) {
    const line = raw.trimEnd();
    if (line === '') continue;
    all++;
    if (line.startsWith('## ') ? SECTIONS.has(line.slice(3)) : GROUP.test(line)) sure++;
    else if (line.startsWith('pci ') && line.includes(' driver=')) sure++;
    else if (/^(?:# (?:uname|uptime|cmdline): |driver |iommu |vfio|total \d)/.test(line)) own++;
    else if (line.includes(' -> ')) own++;
  }
  return sure === 0 ? 0 : (own + sure) / all;
}

/**
 * Reads the text of a sysfs snapshot: one `sysfs_snapshot`, one `sysfs_group` per group, one
 * `sysfs_device` per PCI device. `time` of all of them is the uptime of the head in integer ns, in
 * steps of 10 ms (/proc/uptime); the reading itself took longer than that. Vendor, device and
 * class numbers are read and not kept. Source: traces/README.md, formats.md 2.8.
 */
export const sysfsSnapshot: Format = {
  name: 'sysfs-snapshot',
  description: 'text of a sysfs snapshot (sysfs-before.txt, sysfs-after.txt)',
  sniff,
  open: (options) => new SysfsSnapshotReader(options),
};
