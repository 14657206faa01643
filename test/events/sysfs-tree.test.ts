import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { release, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { NewEvent } from '../../events/event.js';
import { InputError } from '../../events/input-error.js';
import { isSysfsTree, LARGEST_FILE, readSysfsTree } from '../../events/sysfs-tree.js';

let temporary: string;
let root: string;
beforeEach(() => {
  temporary = mkdtempSync(join(tmpdir(), 'hotrace-sysfs-'));
  root = join(temporary, 'sys');
  mkdirSync(root);
});
afterEach(() => rmSync(temporary, { recursive: true, force: true }));

function file(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}
function link(path: string, target: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  symlinkSync(target, join(root, path));
}
function directory(path: string): void {
  mkdirSync(join(root, path), { recursive: true });
}

/** A device as sysfs shows it: its directory, and the links to it and from it. */
function device(dev: string, drv?: string, group?: number, parent = 'pci0000:00'): void {
  const home = `devices/${parent}/${dev}`;
  const up = '../'.repeat(home.split('/').length);
  file(`${home}/uevent`, drv === undefined ? 'PCI_CLASS=1\n' : `DRIVER=${drv}\nPCI_CLASS=1\n`);
  link(`bus/pci/devices/${dev}`, `../../../${home}`);
  directory('bus/pci/drivers');
  if (drv !== undefined) {
    link(`${home}/driver`, `${up}bus/pci/drivers/${drv}`);
    file(`bus/pci/drivers/${drv}/bind`, '');
    link(`bus/pci/drivers/${drv}/${dev}`, `../../../../${home}`);
  }
  if (group !== undefined) {
    link(`${home}/iommu_group`, `${up}kernel/iommu_groups/${group}`);
    link(`kernel/iommu_groups/${group}/devices/${dev}`, `../../../../${home}`);
  }
}

/** Three groups, two of them with a device; a device without a group and one without a driver. */
function usual(): void {
  device('0000:00:1f.0', 'lpc_ich', 2);
  device('0000:01:00.0', undefined, 10, 'pci0000:00/0000:00:1c.0');
  device('0000:02:00.0', 'nvme');
  file('kernel/iommu_groups/2/type', 'DMA-FQ\n');
  file(
    'kernel/iommu_groups/2/reserved_regions',
    '0x0000000000000000 0x0000000000ffffff direct-relaxable\n0x00000000fee00000 0x00000000feefffff msi\n',
  );
  file('kernel/iommu_groups/10/name', 'vfio-noiommu\n');
  directory('kernel/iommu_groups/9/devices');
}

const read = (path = root, most?: number): NewEvent[] => [...readSysfsTree(path, most)];
const of = <T extends NewEvent['type']>(events: readonly NewEvent[], type: T) =>
  events.filter((e): e is Extract<NewEvent, { type: T }> => e.type === type);
const complaints = (events: readonly NewEvent[]) =>
  of(events, 'unparsed').map((e) => [e.text, e.reason]);

const GROUPS = [
  {
    type: 'sysfs_group',
    time: NaN,
    line: 0,
    group: 2,
    domainType: 'DMA-FQ',
    devices: ['0000:00:1f.0'],
    reserved: [
      { start: '0x0000000000000000', end: '0x0000000000ffffff', kind: 'direct-relaxable' },
      { start: '0x00000000fee00000', end: '0x00000000feefffff', kind: 'msi' },
    ],
  },
  { type: 'sysfs_group', time: NaN, line: 0, group: 9, devices: [] },
  {
    type: 'sysfs_group',
    time: NaN,
    line: 0,
    group: 10,
    name: 'vfio-noiommu',
    devices: ['0000:01:00.0'],
  },
];
const LINKS = {
  '0000:00:1f.0': '../../../devices/pci0000:00/0000:00:1f.0',
  '0000:01:00.0': '../../../devices/pci0000:00/0000:00:1c.0/0000:01:00.0',
  '0000:02:00.0': '../../../devices/pci0000:00/0000:02:00.0',
};
const FACTS = [
  { dev: '0000:00:1f.0', bus: 'pci', drv: 'lpc_ich', group: 2 },
  { dev: '0000:01:00.0', bus: 'pci', drv: null, group: 10 },
  { dev: '0000:02:00.0', bus: 'pci', drv: 'nvme', group: null },
];
const devices = (events: readonly NewEvent[]) =>
  of(events, 'sysfs_device').map(({ dev, bus, drv, group }) => ({ dev, bus, drv, group }));

describe('readSysfsTree', () => {
  it('reads a tree with its links', () => {
    usual();
    const events = read();
    expect(events).toEqual([
      { type: 'sysfs_snapshot', time: NaN, line: 0 },
      ...GROUPS,
      ...FACTS.map((f) => ({
        type: 'sysfs_device',
        time: NaN,
        line: 0,
        ...f,
        path: LINKS[f.dev as keyof typeof LINKS],
      })),
    ]);
    expect(read(temporary)).toEqual(events);
    expect(isSysfsTree(root)).toBe(true);
    expect(isSysfsTree(temporary)).toBe(true);
  });

  it.each<[string, boolean, (copy: string) => void]>([
    [
      'without the directories of the devices',
      true,
      (copy) => rmSync(join(copy, 'devices'), { recursive: true }),
    ],
    [
      'with directories in the place of links',
      false,
      (copy) => {
        rmSync(copy, { recursive: true });
        // Only what the reader looks at: following every link of sysfs would go in circles.
        for (const path of [
          'kernel/iommu_groups/2/devices/0000:00:1f.0',
          'kernel/iommu_groups/10/devices/0000:01:00.0',
          'bus/pci/drivers/lpc_ich/0000:00:1f.0',
          'bus/pci/drivers/nvme/0000:02:00.0',
          'kernel/iommu_groups/9/devices',
          'bus/pci/devices/0000:00:1f.0/driver',
          'bus/pci/devices/0000:00:1f.0/iommu_group',
          'bus/pci/devices/0000:01:00.0/iommu_group',
          'bus/pci/devices/0000:02:00.0/driver',
        ]) {
          mkdirSync(join(copy, path), { recursive: true });
        }
        for (const name of ['2/type', '2/reserved_regions', '10/name']) {
          cpSync(join(root, 'kernel/iommu_groups', name), join(copy, 'kernel/iommu_groups', name));
        }
      },
    ],
  ])('reads the same from a copy %s', (_name, links, damage) => {
    usual();
    const copy = join(temporary, 'copy');
    cpSync(root, copy, { recursive: true, verbatimSymlinks: true });
    expect(readlinkSync(join(copy, 'bus/pci/devices/0000:00:1f.0'))).toBe(LINKS['0000:00:1f.0']);
    damage(copy);
    const events = read(copy);
    expect(complaints(events)).toEqual([]);
    expect(of(events, 'sysfs_group')).toEqual(GROUPS);
    expect(devices(events)).toEqual(FACTS);
    expect(of(events, 'sysfs_device')[0].inferred).toContain('lists of drivers and groups');
    expect(of(events, 'sysfs_device').every((d) => (d.path !== undefined) === links)).toBe(true);
  });

  it('takes the driver from the uevent attribute where no list has it', () => {
    directory('bus/usb/devices/1-1/driver');
    file('bus/usb/devices/1-1/uevent', 'DEVTYPE=usb_device\nDRIVER=usb\n');
    expect(of(read(), 'sysfs_device')).toMatchObject([
      { dev: '1-1', bus: 'usb', drv: 'usb', group: null },
    ]);
  });

  it('says nothing of what is not recorded', () => {
    link('bus/pci/devices/a', '../../../devices/a');
    const events = read();
    expect(devices(events)).toEqual([{ dev: 'a', bus: 'pci', drv: undefined, group: undefined }]);
    expect(complaints(events)).toEqual([['kernel/iommu_groups', 'missing: no groups']]);
  });

  it('tells devices of one name on two buses apart by their links', () => {
    for (const [bus, group] of [
      ['pci', 1],
      ['fsl-mc', 2],
    ] as const) {
      link(`bus/${bus}/devices/dup`, `../../../devices/${bus}/dup`);
      link(`kernel/iommu_groups/${group}/devices/dup`, `../../../../devices/${bus}/dup`);
    }
    expect(of(read(), 'sysfs_device').map((d) => [d.bus, d.group])).toEqual([
      ['fsl-mc', 2],
      ['pci', 1],
    ]);
  });

  it('reports clashing names of a group as they are', () => {
    for (const name of ['dup', 'dup.1']) directory(`kernel/iommu_groups/1/devices/${name}`);
    directory('bus/pci/devices');
    expect(of(read(), 'sysfs_group')[0].devices).toEqual(['dup', 'dup.1']);
  });

  it('needs neither buses nor groups to be there', () => {
    directory('kernel/iommu_groups/0/devices');
    expect(complaints(read())).toEqual([['bus', 'missing: no devices']]);
    rmSync(root, { recursive: true });
    directory('bus/pci/devices');
    expect(complaints(read())).toEqual([['kernel/iommu_groups', 'missing: no groups']]);
  });

  it('says the release of this machine for /sys only', () => {
    usual();
    expect(read()[0]).not.toHaveProperty('uname');
    if (!isSysfsTree('/sys')) return;
    for (const event of readSysfsTree('/sys')) {
      expect(event).toMatchObject({ type: 'sysfs_snapshot', uname: release() });
      break;
    }
  });

  it.each<[string, () => void, string, string]>([
    [
      'a link out of the tree',
      () => link('kernel/iommu_groups/2/type', '/etc/hostname'),
      'kernel/iommu_groups/2/type',
      'out of the tree',
    ],
    [
      'a link up and out',
      () => link('kernel/iommu_groups/2/type', '../../../../outside'),
      'kernel/iommu_groups/2/type',
      'out of the tree',
    ],
    [
      'a link to the root',
      () => link('bus/pci/devices/x', '../../..'),
      'bus/pci/devices/x',
      'the tree itself',
    ],
    [
      'a device out of the tree',
      () => link('bus/pci/devices/x', '/'),
      'bus/pci/devices/x',
      'out of the tree',
    ],
    ['a circle', () => link('bus/pci/devices/x', 'x'), 'bus/pci/devices/x', 'circle'],
    [
      'a directory for a file',
      () => directory('kernel/iommu_groups/2/type'),
      'kernel/iommu_groups/2/type',
      'a directory',
    ],
    [
      'a file for a directory',
      () => file('kernel/iommu_groups/3/devices', 'x'),
      'kernel/iommu_groups/3/devices',
      'kind',
    ],
    [
      'a file for a link',
      () => file('devices/pci0000:00/0000:02:00.0/iommu_group', '../2'),
      'bus/pci/devices/0000:02:00.0/iommu_group',
      'neither',
    ],
    [
      'a file for a device',
      () => file('bus/pci/devices/x', '../2'),
      'bus/pci/devices/x',
      'neither',
    ],
    [
      'a pipe',
      () => execFileSync('mkfifo', [join(root, 'kernel/iommu_groups/2/type')]),
      'kernel/iommu_groups/2/type',
      'kind',
    ],
    [
      'a group without a number',
      () => directory('kernel/iommu_groups/x'),
      'kernel/iommu_groups/x',
      'number',
    ],
    [
      'a group without devices',
      () => directory('kernel/iommu_groups/3'),
      'kernel/iommu_groups/3/devices',
      'not known',
    ],
    [
      'a link to no group',
      () => link('devices/pci0000:00/0000:02:00.0/iommu_group', '../x'),
      'bus/pci/devices/0000:02:00.0/iommu_group',
      '../x',
    ],
    [
      'a bad region',
      () => file('kernel/iommu_groups/9/reserved_regions', '0x0 0x1 msi\nnonsense\n'),
      'kernel/iommu_groups/9/reserved_regions',
      'nonsense',
    ],
    [
      'a large file',
      () => file('kernel/iommu_groups/9/name', 'x'.repeat(LARGEST_FILE + 10)),
      'kernel/iommu_groups/9/name',
      'cut at',
    ],
  ])('reads on after %s', (_name, damage, path, reason) => {
    usual();
    rmSync(join(root, 'kernel/iommu_groups/2/type'));
    damage();
    const events = read();
    expect(complaints(events)).toEqual([[path, expect.stringContaining(reason)]]);
    expect(devices(events)).toEqual(expect.arrayContaining(FACTS.slice(0, 2)));
    for (const group of of(events, 'sysfs_group'))
      expect(group.name?.length ?? 0).toBeLessThanOrEqual(LARGEST_FILE);
  });

  it.skipIf(process.getuid?.() === 0)('reads on after a file it may not read', () => {
    usual();
    chmodSync(join(root, 'kernel/iommu_groups/2/type'), 0);
    const events = read();
    expect(complaints(events)).toEqual([
      ['kernel/iommu_groups/2/type', expect.stringContaining('EACCES')],
    ]);
    expect(devices(events)).toEqual(FACTS);
  });

  it('stops at the limit and says so', () => {
    usual();
    for (let most = 0; most < 9; most++) {
      const events = read(root, most);
      expect(
        complaints(events).filter(([, reason]) => reason.includes(`more than ${most} entries`)),
      ).toHaveLength(1);
      // What was not looked at is not known to be absent.
      for (const d of of(events, 'sysfs_device'))
        expect(FACTS).toContainEqual({ dev: d.dev, bus: d.bus, drv: d.drv, group: d.group });
    }
    expect(complaints(read(root, 9))).toEqual([]);
  });

  it('refuses what is no tree', () => {
    const empty = join(temporary, 'empty');
    mkdirSync(empty);
    for (const path of [empty, join(temporary, 'absent'), join(temporary, 'x\0y')]) {
      expect(isSysfsTree(path)).toBe(false);
      expect(() => read(path)).toThrow(InputError);
    }
    symlinkSync(root, join(empty, 'sys'));
    usual();
    expect(isSysfsTree(empty)).toBe(false);
  });

  it('survives links of any kind', () => {
    const name = fc.constantFrom('a', '__proto__', 'driver', 'iommu_group', 'type', 'devices', '7');
    const target = fc.array(
      fc.constantFrom('..', '.', '', 'a', 'bus', 'pci', 'devices', 'kernel', 'iommu_groups', '7'),
      { maxLength: 8 },
    );
    const place = fc.constantFrom(
      'bus',
      'bus/pci',
      'bus/pci/devices',
      'bus/pci/devices/a',
      'bus/pci/drivers',
      'kernel',
      'kernel/iommu_groups',
      'kernel/iommu_groups/7',
      'devices',
    );
    const made = fc.record({
      place,
      name,
      target,
      kind: fc.constantFrom('link', 'link', 'directory', 'file'),
    });
    fc.assert(
      fc.property(fc.array(made, { maxLength: 20 }), (list) => {
        rmSync(root, { recursive: true });
        directory('bus/b/devices');
        for (const { place, name, target, kind } of list) {
          const path = `${place}/${name}`;
          try {
            if (kind === 'link') link(path, target.join('/') || '.');
            else if (kind === 'file') file(path, 'x');
            else directory(path);
          } catch {
            // Something else stands there already.
          }
        }
        expect(existsSync(root)).toBe(true);
        const events = read();
        expect(events[0].type).toBe('sysfs_snapshot');
        for (const { text } of of(events, 'unparsed')) expect(text).not.toContain(temporary);
      }),
      { numRuns: 300 },
    );
  });
});
