import { existsSync, readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { HotplugEvent, SysfsDevice, SysfsGroup } from '../../../events/event.js';
import { sysfsSnapshot } from '../../../events/formats/sysfs-snapshot.js';
import { readEvents } from '../read-events.js';

const TRACES = new URL('../../../../shared/traces/', import.meta.url);

const read = (text: string, capacity?: number) =>
  readEvents(sysfsSnapshot, text, capacity === undefined ? {} : { capacity });

const SAMPLE = [
  '# uname: Linux lab 6.12.107 #1 SMP x86_64 GNU/Linux',
  '# uptime: 134.26 96.77',
  '# cmdline: console=ttyS0 intel_iommu=on iommu=pt ',
  '## iommu_groups',
  'group 14 type=DMA-FQ name= devices=0000:00:1f.0 0000:00:1f.2 ',
  'group 14 resv 0x0000000000000000 0x0000000000ffffff direct-relaxable',
  'group 14 resv 0x00000000fee00000 0x00000000feefffff msi',
  'group 15 type=identity name=vfio mdev devices=',
  '## pci_devices',
  'pci 0000:00:1f.0 0x8086:0x2918 class=0x060100 driver=lpc_ich group=14 path=../../../devices/pci0000:00/0000:00:1f.0',
  'pci 0000:00:1f.2 0x8086:0x2922 class=0x010601 driver=none group=14 path=../../../devices/pci0000:00/0000:00:1f.2',
  'pci 0000:0e:00.0 0x1b36:0x000e class=0x060400 driver=none group=none path=none',
  '## iommu class',
  'total 0',
  'dmar0 -> ../../devices/virtual/iommu/dmar0',
  'iommu dmar0 devices=0000:00:1f.0 0000:00:1f.2 ',
  '## pci drivers',
  'driver lpc_ich: 0000:00:1f.0 ',
  '## vfio',
  'vfio ',
];
const TIME = 134_260_000_000;

describe('a snapshot', () => {
  it.each([
    ['as written', SAMPLE.join('\n')],
    ['CRLF', SAMPLE.join('\r\n')],
    ['blanks trimmed', SAMPLE.map((l) => l.trimEnd()).join('\n')],
    ['empty lines', SAMPLE.join('\n\n')],
  ])('%s', (name, text) => {
    const step = name === 'empty lines' ? 2 : 1;
    const events = read(text);
    expect(events.map(({ type, time, origin }) => [type, time, (origin.line - 1) / step])).toEqual([
      ['sysfs_snapshot', TIME, 0],
      ['trace_event', TIME, 2],
      ['sysfs_group', TIME, 4],
      ['sysfs_group', TIME, 7],
      ['sysfs_device', TIME, 9],
      ['sysfs_device', TIME, 10],
      ['sysfs_device', TIME, 11],
    ]);
    const payload = events.map(
      ({ seq: _seq, time: _time, origin: _origin, type: _type, ...rest }) => rest,
    );
    expect(payload).toEqual([
      { uname: 'Linux lab 6.12.107 #1 SMP x86_64 GNU/Linux' },
      { name: 'cmdline', text: 'console=ttyS0 intel_iommu=on iommu=pt' },
      {
        group: 14,
        domainType: 'DMA-FQ',
        devices: ['0000:00:1f.0', '0000:00:1f.2'],
        reserved: [
          { start: '0x0000000000000000', end: '0x0000000000ffffff', kind: 'direct-relaxable' },
          { start: '0x00000000fee00000', end: '0x00000000feefffff', kind: 'msi' },
        ],
      },
      { group: 15, domainType: 'identity', name: 'vfio mdev', devices: [] },
      {
        dev: '0000:00:1f.0',
        bus: 'pci',
        drv: 'lpc_ich',
        group: 14,
        path: '../../../devices/pci0000:00/0000:00:1f.0',
      },
      {
        dev: '0000:00:1f.2',
        bus: 'pci',
        drv: null,
        group: 14,
        path: '../../../devices/pci0000:00/0000:00:1f.2',
      },
      { dev: '0000:0e:00.0', bus: 'pci', drv: null, group: null },
    ]);
  });

  it('begins anew at the next uname', () => {
    const events = read(
      [...SAMPLE, '# uname: other', '# uptime: 1.05 0', ...SAMPLE.slice(3)].join('\n'),
    );
    expect(events.filter((e) => e.type === 'unparsed')).toEqual([]);
    expect(events.filter((e) => e.type === 'sysfs_snapshot')).toMatchObject([
      { time: TIME },
      { time: 1_050_000_000, uname: 'other' },
    ]);
    expect(events.at(-1)?.time).toBe(1_050_000_000);
  });

  it('has a head event even where the file has none, and no time', () => {
    const events = read(SAMPLE.slice(3).join('\n'));
    expect(events[0]).toMatchObject({ type: 'sysfs_snapshot', time: NaN });
    expect(read('# uname: x')).toMatchObject([{ type: 'sysfs_snapshot', uname: 'x', time: NaN }]);
    expect(read('# uptime: 1.00 2.00')).toMatchObject([{ type: 'sysfs_snapshot', time: 1e9 }]);
    expect(read('')).toEqual([]);
  });
});

describe('lines', () => {
  it.each<[string, Partial<SysfsGroup | SysfsDevice>]>([
    ['group 3 name= devices=a', { group: 3, devices: ['a'] }],
    ['group 3 devices=a b', { group: 3, devices: ['a', 'b'] }],
    ['group 3 type= name= devices=', { group: 3, devices: [] }],
    ['group 3 type=DMA devices=a.1', { group: 3, domainType: 'DMA', devices: ['a.1'] }],
    [
      'group 3 type=DMA name=a b devices=__proto__',
      { group: 3, domainType: 'DMA', name: 'a b', devices: ['__proto__'] },
    ],
    ['pci a 0x1:0x2 driver=x', { dev: 'a', drv: 'x' }],
    ['pci a driver= group=', { dev: 'a' }],
    ['pci __proto__ driver=__proto__ group=0', { dev: '__proto__', drv: '__proto__', group: 0 }],
    ['pci a driver=none group=none path=/a b', { drv: null, group: null, path: '/a b' }],
  ])('%s', (line, expected) => {
    const [head, event, ...others] = read(line);
    expect(head.type).toBe('sysfs_snapshot');
    expect(event).toMatchObject(expected);
    expect(others).toEqual([]);
    for (const key of ['domainType', 'name', 'drv', 'group', 'path', 'reserved']) {
      expect(key in event, key).toBe(key in expected);
    }
  });

  it.each([
    ['group x devices=a'],
    ['group 99999999999 devices=a'],
    ['group 3 type=DMA'],
    ['group 3 name=x'],
    ['group 3 kind=x devices=a'],
    ['group 3'],
    ['group 3 resv 0x0 0x1 msi'],
    ['group 3 resv 0 1 msi'],
    ['pci a'],
    ['pci driver=x'],
    ['pci a driver=x group=y'],
    ['pci a driver=x colour=y'],
    ['pci a 8086 driver=x'],
    ['driver x'],
    ['driver : a'],
    ['## other'],
    ['# other: x'],
    ['# uptime: long'],
    ['total 0'],
    ['a -> b'],
    ['vfio 1'],
    ['\0'],
    ['x'.repeat(900_000)],
    [`group 3 type=${'x'.repeat(900_000)}`],
  ])('unparsed: %.40s', (line) => {
    const unparsed = read(line).filter((e) => e.type === 'unparsed');
    expect(unparsed).toHaveLength(1);
    expect(unparsed[0].text.length).toBeLessThanOrEqual(401);
    expect(unparsed[0].origin.line).toBe(1);
  });

  it('attaches a reserved region to its own group only', () => {
    const events = read('group 1 devices=a\ngroup 2 resv 0x0 0x1 msi\ngroup 1 resv 0x0 0x1 msi');
    expect(events.map((e) => e.type)).toEqual(['sysfs_snapshot', 'unparsed', 'sysfs_group']);
    expect(events[2]).toMatchObject({ group: 1, reserved: [{ kind: 'msi' }] });
  });

  it.each([
    ['agreeing', 'driver x: a b', false],
    ['in another order', 'driver x: b a', false],
    ['of a driver without devices', 'driver z:', false],
    ['bound since', 'driver x: a b c', true],
    ['unbound since', 'driver x: a', true],
    ['another driver', 'driver y: a', true],
    ['a device that was not there', 'driver y: new', true],
    ['a twin', 'driver x: a a', true],
  ])('list of a driver, %s', (name, line, contradicts) => {
    const devices = ['pci a driver=x', 'pci b driver=x', 'pci c driver=none', '## pci drivers'];
    const kept = read([...devices, line].join('\n')).filter((e) => e.type === 'trace_event');
    expect(kept.length > 0, name).toBe(contradicts);
    if (contradicts) expect(kept[0]).toMatchObject({ name: 'driver_contradiction', text: line });
  });
});

describe('sniff', () => {
  it.each([
    ['a snapshot', SAMPLE.join('\n'), 0.9, 1],
    [
      'ftrace',
      '# tracer: nop\n#\n  bash-12 [000] ..... 1.000000: bus_notify: (bus_notify+0x0/0x1)',
      0,
      0,
    ],
    ['dmesg', 'kern  :info  : [    1.000000] pci 0000:00:01.0: Adding to iommu group 0', 0, 0],
    ['JSON', '{"group":1}', 0, 0],
    ['udevadm', 'KERNEL[1.0] add /a (pci)\nACTION=add', 0, 0],
    ['a listing', 'total 0\na -> b\n', 0, 0],
    ['nothing', '', 0, 0],
  ])('%s', (_name, text, low, high) => {
    const score = sysfsSnapshot.sniff(text);
    expect(score).toBeGreaterThanOrEqual(low);
    expect(score).toBeLessThanOrEqual(high);
  });
});

describe.skipIf(!existsSync(TRACES))('recordings', () => {
  const scenarios = existsSync(TRACES)
    ? readdirSync(TRACES, { withFileTypes: true })
        .filter((kernel) => kernel.isDirectory())
        .flatMap((kernel) =>
          readdirSync(new URL(`${kernel.name}/`, TRACES)).map((s) => `${kernel.name}/${s}/`),
        )
    : [];

  it('reads every line of every recording', () => {
    let withoutGroups = 0;
    for (const scenario of scenarios) {
      for (const name of ['sysfs-before.txt', 'sysfs-after.txt']) {
        const file = new URL(scenario + name, TRACES);
        if (!existsSync(file)) continue;
        const text = readFileSync(file, 'utf8');
        const lines = text.split('\n');
        const where = scenario + name;
        const count = (start: string, without = '\n'): number =>
          lines.filter((l) => l.startsWith(start) && !l.includes(without)).length;
        const events = read(text, 4096);
        const of = (type: HotplugEvent['type']) => events.filter((e) => e.type === type);
        expect(of('unparsed'), where).toEqual([]);
        expect(of('sysfs_snapshot'), where).toHaveLength(1);
        expect(events[0].type).toBe('sysfs_snapshot');
        const groups = of('sysfs_group') as SysfsGroup[];
        const devices = of('sysfs_device') as SysfsDevice[];
        expect(groups, where).toHaveLength(count('group ', ' resv '));
        expect(groups.reduce((n, g) => n + (g.reserved?.length ?? 0), 0)).toBe(
          count('group ') - count('group ', ' resv '),
        );
        expect(devices, where).toHaveLength(count('pci '));
        // The groups' own lists and the devices' links say the same.
        const listed = groups.flatMap((g) => g.devices.map((d) => `${d} ${g.group}`)).sort();
        const linked = devices
          .filter((d) => typeof d.group === 'number')
          .map((d) => `${d.dev} ${d.group}`);
        expect(linked.sort(), where).toEqual(listed);
        expect(
          devices.every((d) => d.drv !== undefined && d.group !== undefined),
          where,
        ).toBe(true);
        expect(
          events.every((e) => e.time > 0 && Number.isInteger(e.time)),
          where,
        ).toBe(true);
        expect(sysfsSnapshot.sniff(text), where).toBeGreaterThan(0.95);
        if (groups.length === 0) {
          withoutGroups++;
          expect(
            devices.every((d) => d.group === null),
            where,
          ).toBe(true);
        }
      }
    }
    expect(withoutGroups).toBeGreaterThan(0);
  });

  it('takes no other recorded file for its own', () => {
    for (const scenario of scenarios) {
      for (const name of [
        'trace.txt',
        'dmesg.txt',
        'udevadm-monitor.txt',
        'guest-steps.log',
        'meta.json',
        'probe-report.txt',
      ]) {
        const file = new URL(scenario + name, TRACES);
        if (!existsSync(file)) continue;
        const text = readFileSync(file, 'utf8').slice(0, 65536);
        expect(sysfsSnapshot.sniff(text), scenario + name).toBeLessThan(0.01);
      }
    }
  });
});

it('survives whatever happens to its lines', () => {
  const damage = fc.record({
    line: fc.nat(SAMPLE.length - 1),
    at: fc.nat(100),
    cut: fc.nat(20),
    put: fc.oneof(
      fc.string({ unit: 'binary', maxLength: 20 }),
      fc.constantFrom('\n', '=', ' ', ':', '# uname: x\n', 'group 1 ', '\0'),
    ),
  });
  fc.assert(
    fc.property(
      fc.array(damage, { maxLength: 12 }),
      fc.shuffledSubarray(SAMPLE),
      (damages, more) => {
        const copy = [...SAMPLE];
        for (const { line, at, cut, put } of damages) {
          copy[line] = copy[line].slice(0, at) + put + copy[line].slice(at + cut);
        }
        const text = [...copy, ...more].join('\n');
        const events = read(text, 16);
        expect(events.some((e) => e.type === 'sysfs_snapshot')).toBe(true);
        expect(sysfsSnapshot.sniff(text)).toBeLessThanOrEqual(1);
      },
    ),
    { numRuns: 2000 },
  );
});
