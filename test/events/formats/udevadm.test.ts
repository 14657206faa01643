import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { Buffer } from 'node:buffer';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EventBatch } from '../../../events/batch.js';
import type { HotplugEvent, Uevent } from '../../../events/event.js';
import { LONGEST_VALUE, MOST_PROPERTIES, udevadm } from '../../../events/formats/udevadm.js';
import { BUILT_IN_PROBES } from '../../../events/probes.js';
import { readEvents } from '../read-events.js';

const TRACES = new URL('../../../../shared/traces/', import.meta.url);

const read = (text: string, capacity = 64) => readEvents(udevadm, text, { capacity });

const uevents = (events: readonly HotplugEvent[]): Uevent[] =>
  events.filter((e): e is Uevent => e.type === 'uevent');
const unparsed = (events: readonly HotplugEvent[]) => events.filter((e) => e.type === 'unparsed');

/** Text of a recorded file, packed or not; undefined where it is not there. */
function recorded(kernel: string, scenario: string, name: string): string | undefined {
  for (const [suffix, unpack] of [
    ['', (b: Buffer) => b],
    ['.gz', (b: Buffer) => gunzipSync(b)],
  ] as const) {
    const file = new URL(`${kernel}/${scenario}/${name}${suffix}`, TRACES);
    if (existsSync(file)) return unpack(readFileSync(file)).toString('utf8');
  }
  return undefined;
}

const RECORDINGS = existsSync(TRACES)
  ? readdirSync(TRACES, { withFileTypes: true })
      .filter((kernel) => kernel.isDirectory())
      .flatMap((kernel) =>
        readdirSync(new URL(`${kernel.name}/`, TRACES)).map((s) => [kernel.name, s] as const),
      )
  : [];

const GREETING = [
  'monitor will print the received events for:',
  'UDEV - the event which udev sends out after rule processing',
  'KERNEL - the kernel uevent',
  '',
];
const BIND = [
  'KERNEL[13.017255] bind     /devices/pci0000:00/0000:00:04.0/0000:01:00.0 (pci)',
  'ACTION=bind',
  'DEVPATH=/devices/pci0000:00/0000:00:04.0/0000:01:00.0',
  'SUBSYSTEM=pci',
  'DRIVER=virtio-pci',
  'PCI_SLOT_NAME=0000:01:00.0',
  'SEQNUM=1403',
];

describe('one event line', () => {
  it.each<[string, string, Partial<Uevent>]>([
    [
      'formats.md 2.6 sample 1',
      'KERNEL[9214.375126] change   /devices/pci0000:00/0000:00:02.0/drm/card1/card1-eDP-1/intel_backlight (backlight)',
      {
        from: 'kernel',
        time: 9214375126000,
        action: 'change',
        dev: 'intel_backlight',
        subsystem: 'backlight',
      },
    ],
    [
      'sample 3, unpadded action',
      'KERNEL[121.702300] add /devices/virtual/net/eth0 (net)',
      { time: 121702300000, dev: 'eth0', subsystem: 'net', devpath: '/devices/virtual/net/eth0' },
    ],
    [
      'sample 4, foreign prefix',
      '15:25:11.357450 +10.419s vm.udev KERNEL[337689.819097] remove /devices/platform/ACPI0017:00/root0/port2/port3/decoder3.3 (cxl)',
      { time: 337689819097000, action: 'remove', dev: 'decoder3.3', subsystem: 'cxl' },
    ],
    [
      'UDEV',
      'UDEV  [0.000001] unbind   /a/b (usb)',
      { from: 'udev', time: 1000, action: 'unbind' },
    ],
    ['unknown action', 'UDEV  [1.000000] n/a      /a/b (usb)', { action: 'n/a' }],
    [
      'devtype',
      'KERNEL[5.5] add /devices/virtual/block/loop0 (block/disk)',
      { time: 5500000000, subsystem: 'block' },
    ],
    [
      'blanks and parentheses in the devpath',
      'KERNEL[1.000000] add      /devices/x (old)/my (odd) name (hid)',
      { devpath: '/devices/x (old)/my (odd) name', dev: 'my (odd) name', subsystem: 'hid' },
    ],
    ['! in a name', 'KERNEL[1.0] add /block/cciss!c0d0 (block)', { dev: 'cciss!c0d0' }],
    ['trailing blanks', 'KERNEL[1.0] add /a/b (x)  ', { dev: 'b', subsystem: 'x' }],
    ['mail quotes', '> > KERNEL[1.0] add /a/b (x)', { dev: 'b' }],
    ['indented', '    KERNEL[1.0] add /a/b (x)', { dev: 'b' }],
    [
      'colours',
      '\x1b[1;32mKERNEL\x1b[0m[1.0] \x1b[31madd\x1b[m /a/b (x)\x1b[0m',
      { dev: 'b', action: 'add' },
    ],
    ['carriage return', 'KERNEL[1.0] add /a/b (x)\r', { dev: 'b', subsystem: 'x' }],
    ['NUL', 'KERNEL[1.0] add /a/b\0c (x)', { dev: 'b\0c' }],
    [
      'wrapped before the devpath',
      'KERNEL[1.0] add\n/a/b (x)',
      { line: 1, dev: 'b' } as Partial<Uevent>,
    ],
    ['wrapped before the subsystem', 'KERNEL[1.0] add /a/b\n(x)', { dev: 'b', subsystem: 'x' }],
    ['wrapped twice', 'KERNEL[1.0] add\n/a/b\n(x)', { dev: 'b', subsystem: 'x' }],
    ['uptime of 100 days', 'KERNEL[8640000.123456] add /a/b (x)', { time: 8640000123456000 }],
  ])('%s', (_name, text, expected) => {
    const events = read(text);
    expect(events).toHaveLength(1);
    const { line, ...fields } = expected as Partial<Uevent> & { line?: number };
    expect(events[0]).toMatchObject({ type: 'uevent', ...fields });
    expect(events[0].origin.line).toBe(line ?? 1);
  });

  it.each([
    ['no subsystem', 'KERNEL[1.0] add /a/b', 'without "(subsystem)"'],
    ['no devpath', 'KERNEL[1.0] add b (x)', 'without a devpath'],
    ['no action', 'KERNEL[1.0]  /a/b (x)', 'without an action'],
    ['nothing', 'KERNEL[1.0]', 'without "(subsystem)"'],
    ['no name', 'KERNEL[1.0] add / (x)', 'without a device name'],
    ['a devpath torn in two', 'KERNEL[1.0] add /a/b\n/c (x)', 'without "(subsystem)"'],
    ['too long', `KERNEL[1.0] add /${'a'.repeat(9000)} (x)`, 'longer than'],
    ['no stamp', 'KERNEL add /a/b (x)', 'not a line'],
    ['a stamp of letters', 'KERNEL[a.b] add /a/b (x)', 'not a line'],
    ['a longer word', 'MYKERNEL[1.0] add /a/b (x)', 'not a line'],
    ['a property alone', 'ACTION=add', 'property without an event'],
    ['900 kB', `KERNEL[${'1'.repeat(900_000)}] add /a (x)`, 'not a line'],
  ])('unparsed: %s', (_name, text, reason) => {
    const events = read(text);
    expect(uevents(events)).toEqual([]);
    expect(unparsed(events)).not.toEqual([]);
    expect(events[0]).toMatchObject({
      type: 'unparsed',
      reason: expect.stringContaining(reason) as string,
    });
    expect((events[0] as { text: string }).text.length).toBeLessThanOrEqual(401);
    expect(events[0].origin.line).toBe(1);
  });
});

describe('property blocks', () => {
  /** The block above as other programs hand it on. */
  it.each<[string, (lines: readonly string[]) => string]>([
    ['as printed', (lines) => lines.join('\n')],
    ['CRLF', (lines) => lines.join('\r\n')],
    ['mail', (lines) => lines.map((l) => `> ${l}`).join('\n')],
    [
      'mail, no blank on empty lines',
      (lines) => lines.map((l) => (l === '' ? '>' : `> ${l}`)).join('\n'),
    ],
    ['markdown', (lines) => lines.map((l) => `    ${l}`).join('\n')],
    [
      'prefix',
      (lines) => lines.map((l, i) => `15:25:1${i % 10}.3 +${i}.41s vm.udev ${l}`).join('\n'),
    ],
    [
      'prefix, blanks trimmed',
      (lines) => lines.map((l, i) => `Nov ${i} udev |${l && ` ${l}`}`).join('\n'),
    ],
    [
      'prefix on heads only',
      (lines) => lines.map((l) => (/^KERNEL\[/.test(l) ? `x: ${l}` : l)).join('\n'),
    ],
  ])('%s', (_name, dress) => {
    const events = read(dress([...GREETING, ...BIND, '', ...BIND, '']));
    expect(events).toHaveLength(2);
    expect(uevents(events).map((e) => e.origin.line)).toEqual([5, 13]);
    for (const event of uevents(events)) {
      expect(event).toMatchObject({ drv: 'virtio-pci', seqnum: 1403, dev: '0000:01:00.0' });
      const { properties = {} } = event;
      expect(Object.entries(properties).map(([k, v]) => `${k}=${v}`)).toEqual(BIND.slice(1));
    }
  });

  it('ends a block at the next event as well', () => {
    const events = uevents(read([...BIND, ...BIND.slice(0, 1), ...BIND].join('\n')));
    expect(events.map((e) => e.seqnum)).toEqual([1403, undefined, 1403]);
    expect(events[1].properties).toBeUndefined();
  });

  it('emits an event only when its block ended', () => {
    const batch = new EventBatch([{ format: 'udevadm', file: 'x' }]);
    const reader = udevadm.open({ probes: BUILT_IN_PROBES, source: 0, keepText: false });
    const steps = BIND.concat('').map((line) => {
      const bytes = Buffer.from(`${line}\n`);
      reader.read(bytes, 0, bytes.length, batch);
      return batch.length;
    });
    expect(steps).toEqual([0, 0, 0, 0, 0, 0, 0, 1]);
  });

  it('gives no properties of an unreadable event to the one before', () => {
    const events = read(
      [...BIND, 'KERNEL[2.0] add nowhere (x)', 'SEQNUM=9', 'DRIVER=evil'].join('\n'),
    );
    expect(events.map((e) => e.type)).toEqual(['uevent', 'unparsed', 'unparsed', 'unparsed']);
    expect(events[0]).toMatchObject({ drv: 'virtio-pci', seqnum: 1403 });
  });

  it('keeps hostile names as plain properties', () => {
    const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'a.b-c'];
    const [event] = uevents(read([BIND[0], ...names.map((n) => `${n}=x${n}`)].join('\n')));
    const { properties = {} } = event;
    expect(Object.getPrototypeOf(properties)).toBeNull();
    expect(Object.keys(properties)).toEqual(names);
    expect(properties['__proto__']).toBe('x__proto__');
    expect(({} as Record<string, unknown>)['x']).toBeUndefined();
  });

  it.each<[string, readonly string[], number, string | undefined]>([
    ['a value that looks like an event', ['MSG=KERNEL[9.9] add /a/b (x)'], 1, undefined],
    ['an empty value', ['FOO='], 1, undefined],
    ['= in a value', ['FOO=a=b'], 1, undefined],
    ['the same value twice', ['FOO=a', 'FOO=a'], 1, undefined],
    ['another value', ['FOO=a', 'FOO=b'], 1, 'second value'],
    ['no name', ['=a'], 0, 'not a property'],
    ['blanks in a name', ['a b=c'], 0, 'not a property'],
    ['the rest of a value with a line feed', ['FOO=a', 'rest'], 1, 'not a property'],
    ['a long value', [`FOO=${'v'.repeat(900_000)}`], 1, undefined],
    ['a long name', [`${'N'.repeat(900_000)}=v`], 0, 'longer than'],
    ['a long line', ['x'.repeat(900_000)], 0, 'not a property'],
    ['many', Array.from({ length: 300 }, (_, i) => `K${i}=v`), MOST_PROPERTIES, 'more than'],
  ])('%s', (_name, lines, kept, reason) => {
    const events = read([BIND[0], ...lines, ''].join('\n'));
    const [event, ...others] = uevents(events);
    expect(others).toEqual([]);
    const values = Object.values(event.properties ?? {});
    expect(values).toHaveLength(kept);
    for (const value of values) expect(value.length).toBeLessThanOrEqual(LONGEST_VALUE);
    expect(unparsed(events).length > 0).toBe(reason !== undefined);
    for (const e of unparsed(events))
      expect(e).toMatchObject({ reason: expect.stringContaining(reason!) as string });
  });

  it.each([
    ['SEQNUM=12345678901234567890', undefined],
    ['SEQNUM=x', undefined],
    ['SEQNUM=-1', undefined],
    ['SEQNUM=9007199254740991', 9007199254740991],
  ])('%s', (line, seqnum) => {
    const [event] = uevents(read(`${BIND[0]}\n${line}`));
    expect(event.seqnum).toBe(seqnum);
    expect(event.properties?.['SEQNUM']).toBe(line.slice(7));
  });

  it('keeps a printed devtype as DEVTYPE', () => {
    const head = 'KERNEL[5.5] add /devices/virtual/block/loop0 (block/disk)';
    expect(uevents(read(head))[0].properties?.['DEVTYPE']).toBe('disk');
    expect(uevents(read(`${head}\nDEVTYPE=other`))[0].properties?.['DEVTYPE']).toBe('other');
  });

  it('keeps the block at an overlong property and closes it at an overlong event', () => {
    for (const [head, drv] of [
      ['FOO=x', 'later'],
      ['KERNEL[1.0] add /x', undefined],
    ] as const) {
      const batch = new EventBatch([{ format: 'udevadm', file: 'x' }]);
      const reader = udevadm.open({ probes: BUILT_IN_PROBES, source: 0, keepText: true });
      const feed = (text: string) => reader.read(Buffer.from(text), 0, text.length, batch);
      feed(`${BIND[0]}\n`);
      reader.overlong(head, batch);
      feed('DRIVER=later\n');
      reader.finish(batch);
      const events = Array.from({ length: batch.length }, (_, i) => batch.event(i));
      expect(uevents(events)).toHaveLength(1);
      expect(uevents(events)[0].drv).toBe(drv);
      expect(unparsed(events)[0].origin.line).toBe(2);
    }
  });

  it('keeps what the recorder wrote where it had no monitor', () => {
    expect(read('boot: no monitor')).toMatchObject([
      { type: 'trace_event', text: 'boot: no monitor' },
    ]);
  });
});

describe('sniff', () => {
  it.each([
    ['with properties', [...GREETING, ...BIND, ''].join('\n'), 0.9, 1],
    ['events only', BIND[0], 0.9, 1],
    ['greeting only', GREETING.join('\n'), 0.9, 1],
    ['prefix', `x y ${BIND[0]}\nx y ${BIND[0]}`, 0.4, 0.6],
    [
      'ftrace',
      '# tracer: nop\n     bash-12 [000] ..... 1.000000: bus_notify: (bus_notify+0x0/0x1) dev="a"',
      0,
      0,
    ],
    ['dmesg', 'kern  :info  : [    1.000000] pci 0000:00:01.0: Adding to iommu group 0', 0, 0],
    ['JSON', '{"KERNEL":[1.0],"UDEV":"x"}\n', 0, 0],
    ['properties of something else', 'A=1\nB=2\n', 0, 0],
    ['nothing', '', 0, 0],
  ])('%s', (_name, text, low, high) => {
    const score = udevadm.sniff(text);
    expect(score).toBeGreaterThanOrEqual(low);
    expect(score).toBeLessThanOrEqual(high);
  });
});

describe.skipIf(RECORDINGS.length === 0)('recordings', () => {
  it('reads every line of every recording', () => {
    let monitors = 0;
    for (const [kernel, scenario] of RECORDINGS) {
      const text = recorded(kernel, scenario, 'udevadm-monitor.txt');
      if (text === undefined) continue;
      const where = `${kernel}/${scenario}`;
      const lines = text.split('\n');
      const heads = lines.filter((l) => l.startsWith('KERNEL[') || l.startsWith('UDEV  ['));
      const events = read(text, 4096);
      expect(unparsed(events), where).toEqual([]);
      const read_ = uevents(events);
      expect(read_, where).toHaveLength(heads.length);
      if (heads.length === 0) continue;
      monitors++;
      expect(udevadm.sniff(text.slice(0, 65536)), where).toBeGreaterThan(0.9);
      // Every property line is in some event, and every event says what its properties say.
      const properties = lines.filter((l) => l.includes('=') && !heads.includes(l)).length;
      expect(
        read_.reduce((n, e) => n + Object.keys(e.properties ?? {}).length, 0),
        where,
      ).toBe(properties);
      for (const e of read_) {
        const p = e.properties ?? {};
        if (
          e.action !== p['ACTION'] ||
          e.devpath !== p['DEVPATH'] ||
          e.subsystem !== p['SUBSYSTEM'] ||
          String(e.seqnum) !== p['SEQNUM'] ||
          e.drv !== p['DRIVER'] ||
          !lines[e.origin.line - 1].includes(`[${(e.time / 1e9).toFixed(6)}] ${e.action}`)
        ) {
          expect.fail(`${where}:${e.origin.line}: ${JSON.stringify(e)}`);
        }
      }
    }
    expect(monitors).toBeGreaterThan(50);
  });

  it('takes no other recorded file for its own', () => {
    const others = [
      'trace.txt',
      'dmesg.txt',
      'trace-cmd-report.txt',
      'guest-steps.log',
      'meta.json',
      'sysfs-before.txt',
    ];
    for (const [kernel, scenario] of RECORDINGS) {
      for (const name of others) {
        const text = recorded(kernel, scenario, name);
        if (text !== undefined) {
          expect(udevadm.sniff(text.slice(0, 65536)), `${kernel}/${scenario}/${name}`).toBeLessThan(
            0.01,
          );
        }
      }
    }
  });
});

it('survives whatever happens to its lines', () => {
  const lines = [...GREETING, ...BIND, ''];
  const damage = fc.record({
    line: fc.nat(lines.length - 1),
    at: fc.nat(100),
    cut: fc.nat(20),
    put: fc.oneof(
      fc.string({ unit: 'binary', maxLength: 20 }),
      fc.constantFrom('\n', ' (', '=', '> ', '\x1b[', 'KERNEL[1.1] ', '\0'),
    ),
  });
  fc.assert(
    fc.property(fc.array(damage, { maxLength: 12 }), fc.boolean(), (damages, twice) => {
      const copy = [...lines];
      for (const { line, at, cut, put } of damages) {
        copy[line] = copy[line].slice(0, at) + put + copy[line].slice(at + cut);
      }
      const text = (twice ? [...copy, ...copy] : copy).join('\n');
      const events = read(text, 16);
      const count = text.split('\n').length;
      for (const e of events) {
        expect(e.origin.line).toBeGreaterThan(0);
        expect(e.origin.line).toBeLessThanOrEqual(count);
      }
      expect(udevadm.sniff(text)).toBeLessThanOrEqual(1);
    }),
    { numRuns: 2000 },
  );
});
