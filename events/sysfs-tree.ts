/**
 * Groups, devices and drivers of a sysfs tree: `/sys` itself or a copy of it.
 *
 * A copy is what somebody made of it: links kept, links replaced by directories (`cp -L`), links
 * that point to what was not copied. So a link is read and not followed where its text says
 * enough, links that leave the tree are never followed, and the lists of the drivers and groups
 * stand in for a device whose own directory is not there.
 *
 * Sources: formats.md 2.8; Documentation/ABI/testing/sysfs-kernel-iommu_groups;
 * Documentation/filesystems/sysfs.rst.
 */

import { Buffer } from 'node:buffer';
import {
  closeSync,
  constants,
  lstatSync,
  opendirSync,
  openSync,
  readlinkSync,
  readSync,
  statSync,
} from 'node:fs';
import { release } from 'node:os';
import { basename, join, resolve } from 'node:path';
import type { Stats } from 'node:fs';
import type { NewEvent } from './event.js';
import { InputError } from './input-error.js';

/** Directory entries looked at; the rest is reported as one `unparsed`. */
export const MOST_ENTRIES = 1_000_000;
/** Bytes read of one attribute; a real one has at most a page (4096). */
export const LARGEST_FILE = 64 * 1024;
/** As the kernel's MAXSYMLINKS. */
const MOST_LINKS = 40;
/** Directories known to be no links, so that a device's long path is walked once. */
const CACHED_DIRECTORIES = 65_536;

const REGION = /^(0x[0-9a-fA-F]{1,16})\s+(0x[0-9a-fA-F]{1,16})\s+(\S+)$/;
const NUMBER = /^\d{1,9}$/;

/** What stands at a path, its links resolved inside of the tree. */
type Found =
  | { readonly kind: 'directory' | 'file' | 'other'; readonly path: string }
  | { readonly kind: 'missing' | 'outside' }
  | { readonly kind: 'failed'; readonly reason: string };

type Entry =
  | { readonly kind: 'link'; readonly target: string }
  | { readonly kind: 'directory' | 'other' | 'missing' }
  | { readonly kind: 'failed'; readonly reason: string };

/** Where a link points to, as a path inside of the tree; undefined where it leaves the tree. */
function linkTarget(base: string, link: string, target: string): string | undefined {
  const parts = target.startsWith('/') ? [] : link.split('/').slice(0, -1);
  let rest = target;
  if (target.startsWith('/')) {
    // sysfs itself makes no absolute links; one that a copy made may point into the copy.
    if (!target.startsWith(`${base}/`)) return undefined;
    rest = target.slice(base.length + 1);
  }
  for (const part of rest.split('/')) {
    if (part === '..') {
      if (parts.pop() === undefined) return undefined;
    } else if (part !== '' && part !== '.') parts.push(part);
  }
  return parts.join('/');
}

function errorText(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code ?? message;
}

function isAbsent(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** Reads below `base` only. Paths are relative to it, with `/` between the parts. */
class Tree {
  /** What could not be read, to be emitted by the generator. */
  readonly complaints: NewEvent[] = [];
  full = false;
  private entries = 0;
  private directories = new Set<string>();

  constructor(
    readonly base: string,
    private readonly mostEntries: number,
  ) {}

  complain(path: string, reason: string): void {
    this.complaints.push({ type: 'unparsed', time: NaN, line: 0, text: path, reason });
  }

  /** Names in a directory in a fixed order; undefined where it cannot be listed. */
  names(path: string, missing?: string): string[] | undefined {
    const found = this.find(path);
    if (found.kind === 'missing') {
      if (missing !== undefined) this.complain(path, missing);
      return undefined;
    }
    if (found.kind !== 'directory') {
      this.complain(path, found.kind === 'failed' ? found.reason : unusable(found.kind));
      return undefined;
    }
    const names: string[] = [];
    try {
      const dir = opendirSync(join(this.base, found.path));
      try {
        for (let entry = dir.readSync(); entry !== null; entry = dir.readSync()) {
          if (++this.entries > this.mostEntries) {
            if (!this.full)
              this.complain(path, `more than ${this.mostEntries} entries in the tree`);
            this.full = true;
            break;
          }
          names.push(entry.name);
        }
      } finally {
        dir.closeSync();
      }
    } catch (error) {
      this.complain(path, `cannot be listed: ${errorText(error)}`);
      return undefined;
    }
    return names.sort(byName);
  }

  /** Text of an attribute without its last line feed; undefined where it is not there. */
  text(path: string): string | undefined {
    const found = this.find(path);
    if (found.kind === 'missing') return undefined;
    if (found.kind !== 'file') {
      this.complain(path, found.kind === 'failed' ? found.reason : unusable(found.kind));
      return undefined;
    }
    try {
      const file = openSync(
        join(this.base, found.path),
        constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
      );
      try {
        const bytes = Buffer.alloc(LARGEST_FILE + 1);
        let used = 0;
        // sysfs says 4096 bytes for every file: only reading tells where it ends.
        while (used < bytes.length) {
          const n = readSync(file, bytes, used, bytes.length - used, null);
          if (n === 0) break;
          used += n;
        }
        if (used > LARGEST_FILE) this.complain(path, `cut at ${LARGEST_FILE} bytes`);
        return bytes.toString('utf8', 0, Math.min(used, LARGEST_FILE)).replace(/\n$/, '');
      } finally {
        closeSync(file);
      }
    } catch (error) {
      this.complain(path, `cannot be read: ${errorText(error)}`);
      return undefined;
    }
  }

  /** An entry as it stands, links not followed; the directory it lies in must be resolved. */
  entry(path: string): Entry {
    const full = join(this.base, path);
    try {
      const stats = lstatSync(full);
      if (stats.isSymbolicLink()) return { kind: 'link', target: readlinkSync(full) };
      return { kind: stats.isDirectory() ? 'directory' : 'other' };
    } catch (error) {
      if (isAbsent(error)) return { kind: 'missing' };
      return { kind: 'failed', reason: `cannot be read: ${errorText(error)}` };
    }
  }

  /** Resolves every link on the way; one that leaves the tree ends the search. */
  find(path: string): Found {
    let parts = path.split('/');
    let links = 0;
    for (let depth = 1; depth <= parts.length;) {
      const here = parts.slice(0, depth).join('/');
      const last = depth === parts.length;
      if (this.directories.has(here)) {
        if (last) return { kind: 'directory', path: here };
        depth++;
        continue;
      }
      let stats: Stats;
      let target: string | undefined;
      try {
        stats = lstatSync(join(this.base, here));
        if (stats.isSymbolicLink()) target = readlinkSync(join(this.base, here));
      } catch (error) {
        if (isAbsent(error)) return { kind: 'missing' };
        return { kind: 'failed', reason: `cannot be read: ${errorText(error)}` };
      }
      if (target !== undefined) {
        if (++links > MOST_LINKS) return { kind: 'failed', reason: 'links in a circle' };
        const inside = linkTarget(this.base, here, target);
        if (inside === undefined) return { kind: 'outside' };
        if (inside === '') return { kind: 'failed', reason: 'link to the tree itself' };
        parts = [...inside.split('/'), ...parts.slice(depth)];
        depth = 1;
        continue;
      }
      if (stats.isDirectory()) {
        if (this.directories.size >= CACHED_DIRECTORIES) this.directories.clear();
        this.directories.add(here);
        if (last) return { kind: 'directory', path: here };
        depth++;
      } else {
        if (!last) return { kind: 'missing' };
        return { kind: stats.isFile() ? 'file' : 'other', path: here };
      }
    }
    return { kind: 'missing' };
  }
}

function unusable(kind: Found['kind']): string {
  if (kind === 'outside') return 'link out of the tree, not followed';
  return kind === 'directory' ? 'a directory, not a file' : 'not of the expected kind';
}

/** Code point order: the same on every machine. */
function byName(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

function isLink(path: string): boolean {
  try {
    return lstatSync(path).isSymbolicLink();
  } catch {
    return false;
  }
}

/** Whether some `bus/X/devices` is there. */
function hasBus(path: string): boolean {
  try {
    const dir = opendirSync(join(path, 'bus'));
    try {
      for (
        let i = 0, entry = dir.readSync();
        entry !== null && i < 1000;
        entry = dir.readSync(), i++
      ) {
        if (isDirectory(join(path, 'bus', entry.name, 'devices'))) return true;
      }
    } finally {
      dir.closeSync();
    }
  } catch {
    // No such directory, or not ours to list: no tree.
  }
  return false;
}

/** The directory that has `kernel/iommu_groups` or `bus/X/devices`: `path` or its child `sys`. */
function baseOf(path: string): string | undefined {
  const root = resolve(path);
  const child = join(root, 'sys');
  // A link in the place of the child would lead out of what the user named.
  const candidates = isLink(child) ? [root] : [root, child];
  return candidates.find(
    (base) => isDirectory(join(base, 'kernel', 'iommu_groups')) || hasBus(base),
  );
}

/**
 * Whether `readSysfsTree` can read `path`: a directory that has `kernel/iommu_groups` or
 * `bus/X/devices`, itself or in its child `sys`. Never throws.
 */
export function isSysfsTree(path: string): boolean {
  return baseOf(path) !== undefined;
}

/** Groups as their directories list them, for devices whose own link is not there. */
interface Membership {
  /** Target of the link in `devices/` → group. Exact. */
  readonly byPath: Map<string, number>;
  /** Name → group; null where several groups have that name (of different buses). */
  readonly byName: Map<string, number | null>;
  /** Every group's devices were listed: who is in none has none. */
  complete: boolean;
}

/**
 * Reads a sysfs tree: one `sysfs_snapshot` (with the kernel's release where the tree is this
 * machine's /sys), one `sysfs_group` per directory of kernel/iommu_groups in the order of their
 * numbers, one `sysfs_device` per entry of bus/X/devices in the order of their names. `time` is
 * NaN and `line` 0. `path` is the text of the link in bus/X/devices. Where a device's directory is
 * not in the tree, driver and group come from the lists of the drivers and groups, and `inferred`
 * says so. What cannot be read is an `unparsed` with the path in the tree and the reason.
 *
 * Throws InputError where `root` is no sysfs tree. At most `mostEntries` directory entries are
 * looked at. Source: formats.md 2.8, Documentation/ABI/testing/sysfs-kernel-iommu_groups.
 */
export function* readSysfsTree(root: string, mostEntries = MOST_ENTRIES): Generator<NewEvent> {
  const base = baseOf(root);
  if (base === undefined) {
    throw new InputError(
      root,
      undefined,
      'no sysfs tree: it has no kernel/iommu_groups and no bus/*/devices',
    );
  }
  const tree = new Tree(base, mostEntries);
  yield {
    type: 'sysfs_snapshot',
    time: NaN,
    line: 0,
    ...(base === '/sys' ? { uname: release() } : {}),
  };
  const membership: Membership = { byPath: new Map(), byName: new Map(), complete: false };
  yield* readGroups(tree, membership);
  for (const bus of tree.names('bus', 'missing: no devices') ?? []) {
    yield* readBus(tree, bus, membership);
  }
  yield* drain(tree);
}

function* drain(tree: Tree): Generator<NewEvent> {
  yield* tree.complaints.splice(0);
}

function* readGroups(tree: Tree, membership: Membership): Generator<NewEvent> {
  const directory = 'kernel/iommu_groups';
  const names = tree.names(directory, 'missing: no groups');
  membership.complete = names !== undefined && !tree.full;
  const groups: number[] = [];
  for (const name of names ?? []) {
    if (NUMBER.test(name)) groups.push(Number(name));
    else tree.complain(`${directory}/${name}`, 'not the number of a group');
  }
  for (const group of groups.sort((a, b) => a - b)) {
    const path = `${directory}/${group}`;
    const domainType = tree.text(`${path}/type`);
    const name = tree.text(`${path}/name`);
    const reserved = readRegions(tree, `${path}/reserved_regions`);
    const devices = tree.names(`${path}/devices`, 'missing: devices of the group not known');
    if (devices === undefined || tree.full) membership.complete = false;
    for (const dev of devices ?? []) {
      const entry = tree.entry(`${path}/devices/${dev}`);
      const target =
        entry.kind === 'link'
          ? linkTarget(tree.base, `${path}/devices/${dev}`, entry.target)
          : undefined;
      if (target !== undefined) membership.byPath.set(target, group);
      const known = membership.byName.get(dev);
      membership.byName.set(dev, known === undefined || known === group ? group : null);
    }
    yield* drain(tree);
    yield {
      type: 'sysfs_group',
      time: NaN,
      line: 0,
      group,
      ...(domainType === undefined || domainType === '' ? {} : { domainType }),
      ...(name === undefined || name === '' ? {} : { name }),
      devices: devices ?? [],
      ...(reserved.length === 0 ? {} : { reserved }),
    };
  }
  yield* drain(tree);
}

function readRegions(tree: Tree, path: string): { start: string; end: string; kind: string }[] {
  const regions: { start: string; end: string; kind: string }[] = [];
  for (const line of (tree.text(path) ?? '').split('\n')) {
    if (line.trim() === '') continue;
    const region = REGION.exec(line.trim());
    if (region === null) tree.complain(path, `not a reserved region: ${line.slice(0, 200)}`);
    else regions.push({ start: region[1], end: region[2], kind: region[3] });
  }
  return regions;
}

/** Which driver each device of a bus has, by the links in the drivers' directories. */
interface Drivers {
  readonly of: Map<string, string>;
  readonly complete: boolean;
}

function readDrivers(tree: Tree, bus: string): Drivers {
  const of = new Map<string, string>();
  const directory = `bus/${bus}/drivers`;
  const drivers = tree.names(directory);
  let complete = drivers !== undefined;
  for (const driver of drivers ?? []) {
    const entries = tree.names(`${directory}/${driver}`);
    if (entries === undefined) complete = false;
    // Attributes such as `bind` are among them; no device has such a name.
    for (const entry of entries ?? []) of.set(entry, driver);
  }
  return { of, complete: complete && !tree.full };
}

function* readBus(tree: Tree, bus: string, membership: Membership): Generator<NewEvent> {
  const directory = `bus/${bus}/devices`;
  const devices = tree.names(directory) ?? [];
  let drivers: Drivers | undefined;
  for (const dev of devices) {
    const path = `${directory}/${dev}`;
    const link = tree.entry(path);
    const found = tree.find(path);
    if (link.kind === 'failed') tree.complain(path, link.reason);
    else if (found.kind === 'failed') tree.complain(path, found.reason);
    else if (found.kind === 'outside') tree.complain(path, unusable(found.kind));
    else if (link.kind === 'other') tree.complain(path, 'neither a link nor a directory');
    const home = found.kind === 'directory' ? found.path : undefined;
    const inferred = new Set<string>();

    let drv: string | null | undefined;
    const driver = home === undefined ? undefined : tree.entry(`${home}/driver`);
    if (driver?.kind === 'link') drv = basename(driver.target);
    else if (driver?.kind === 'missing') drv = null;
    else {
      if (driver?.kind === 'failed') tree.complain(`${path}/driver`, driver.reason);
      if (driver?.kind === 'other')
        tree.complain(`${path}/driver`, 'neither a link nor a directory');
      drivers ??= readDrivers(tree, bus);
      drv = drivers.of.get(dev) ?? (home !== undefined ? driverOf(tree, home) : undefined);
      // A directory in the place of the link: some driver is bound, whatever its name.
      if (drv === undefined && drivers.complete && driver === undefined) drv = null;
      if (drv !== undefined) inferred.add('driver');
    }

    let group: number | null | undefined;
    const target = link.kind === 'link' ? linkTarget(tree.base, path, link.target) : undefined;
    const listed =
      target === undefined || !membership.byPath.has(target)
        ? membership.byName.get(dev)
        : membership.byPath.get(target);
    const own = home === undefined ? undefined : tree.entry(`${home}/iommu_group`);
    if (own?.kind === 'link' && NUMBER.test(basename(own.target)))
      group = Number(basename(own.target));
    else if (own?.kind === 'missing') group = null;
    else {
      if (own?.kind === 'link') tree.complain(`${path}/iommu_group`, `not a group: ${own.target}`);
      if (own?.kind === 'failed') tree.complain(`${path}/iommu_group`, own.reason);
      if (own?.kind === 'other')
        tree.complain(`${path}/iommu_group`, 'neither a link nor a directory');
      if (listed !== undefined) group = listed ?? undefined;
      else if (own === undefined && membership.complete) group = null;
      if (group !== undefined) inferred.add('group');
    }

    yield* drain(tree);
    yield {
      type: 'sysfs_device',
      time: NaN,
      line: 0,
      dev,
      bus,
      ...(drv === undefined ? {} : { drv }),
      ...(group === undefined ? {} : { group }),
      ...(link.kind === 'link' ? { path: link.target } : {}),
      ...(inferred.size === 0
        ? {}
        : { inferred: `${[...inferred].join(' and ')} from the lists of drivers and groups` }),
    };
  }
  yield* drain(tree);
}

/** DRIVER= of the device's `uevent` attribute. */
function driverOf(tree: Tree, home: string): string | undefined {
  for (const line of (tree.text(`${home}/uevent`) ?? '').split('\n')) {
    if (line.startsWith('DRIVER=') && line.length > 7) return line.slice(7).trimEnd();
  }
  return undefined;
}
