import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EventBatch } from '../../../events/batch.js';
import type { Lost, Printk } from '../../../events/event.js';
import { dmesg } from '../../../events/formats/dmesg.js';
import { BUILT_IN_PROBES } from '../../../events/probes.js';
import { readEvents } from '../read-events.js';

const read = (text: string, capacity = 64) => readEvents(dmesg, text, { capacity });

const pci = (text: string): string => `pci 0000:01:00.0: ${text}`;
const ADD = pci('Adding to iommu group 7');

describe('prefixes', () => {
  const iso = Date.UTC(2009, 1, 13, 23, 31, 30) * 1e6;
  test.each<[string, number, { level?: number; caller?: string }?]>([
    ['[    0.123456] ', 123456000],
    ['[12511.752283] ', 12511752283000],
    ['[123456.000001] ', 123456000001000],
    ['[ 1479.962961][ T2807] ', 1479962961000, { caller: 'T2807' }],
    ['[13600.900669] [    T140] ', 13600900669000, { caller: 'T140' }],
    ['[    0.000000][    C1] ', 0, { caller: 'C1' }],
    ['<6>[    0.123456] ', 123456000, { level: 6 }],
    ['<28>[    0.123456] ', 123456000, { level: 4 }],
    ['<6>[    0.123456][    T1] ', 123456000, { level: 6, caller: 'T1' }],
    ['kern  :info  : [   22.067710] ', 22067710000, { level: 6 }],
    ['kern  :emerg : [   22.067710] [  T12] ', 22067710000, { level: 0, caller: 'T12' }],
    ['local0:debug : [   22.067710] ', 22067710000, { level: 7 }],
    ['kern  :err   : ', NaN, { level: 3 }],
    ['[Sat Oct 16 18:15:30 2021] ', Date.UTC(2021, 9, 16, 18, 15, 30) * 1e6],
    ['[Fri Feb 13 23:31:30 2009] ', iso],
    ['kern  :info  : [Fri Feb 13 23:31:30 2009] ', iso, { level: 6 }],
    ['2009-02-13T23:31:30,123456+00:00 ', iso + 123456000],
    ['2009-02-14T00:31:30,123456+01:00 ', iso + 123456000],
    ['2009-02-13T18:01:30,123456-0530 ', iso + 123456000],
    ['[    5.000001 <    0.000012>] ', 5000001000],
    ['[Fri Feb 13 23:31:30 2009 <    0.000012>] ', iso],
    ['[<    0.000012>] ', NaN],
    ['[Nov20 09:57] ', NaN],
    ['[  +0.000012] ', NaN],
    ['[Fri Feb 13 23:31:30 2009] [    5.000001] ', 5000001000],
    [
      '2009-02-13T23:31:30,123456+00:00 [    5.000001 <    0.000012>] [  T1] ',
      5000001000,
      { caller: 'T1' },
    ],
    ['Dec 11 23:52:05 node-4 kernel: [183519.565020] ', 183519565020000],
    ['Dec  1 23:52:05 node-4 kernel: [    1.565020] [  T9] ', 1565020000, { caller: 'T9' }],
    ['Dec 11 23:52:05 node-4 kernel: ', NaN],
    ['Dec 11 23:52:05.123456 node-4 kernel: ', NaN],
    ['June 19 18:06:35 ####-desktop kernel: ', NaN],
    ['touko 05 09:18:59 taavi kernel: ', NaN],
    ['12月 11 23:52:05 host kernel: ', NaN],
    ['Jun 19 18:06:35 kernel: ', NaN],
    ['Fri Feb 13 23:31:30 2009 kern.info kernel: [    5.000001] ', 5000001000, { level: 6 }],
    ['Jan  1 00:00:12 OpenWrt kern.warn kernel: ', NaN, { level: 4 }],
    ['2015-10-01T18:25:37.34490 kern.info: [    0.943830] ', 943830000, { level: 6 }],
    ['2009-02-13T23:31:30.5+00:00 node kernel: ', iso + 500000000],
    ['2009-02-13T23:31:30.5Z [T39596;] ', iso + 500000000, { caller: 'T39596' }],
    ['<6>1 2009-02-13T23:31:30.5Z node kernel - - - ', iso + 500000000, { level: 6 }],
    ['Fri 2009-02-13 23:31:30 UTC node kernel: ', iso],
    ['Fri 2009-02-13 23:31:30 CET node kernel: ', NaN],
    ['1234567890.123456 node kernel: ', 1234567890123456000],
    ['[    5.357665] host kernel: ', 5357665000],
    ['[    5.357665] kernel: ', 5357665000],
    ['05/09/2024 11:13:11 ', NaN],
    [' 578.101534] ', 578101534000],
    ['> [    0.123456] ', 123456000],
    ['> > >[    0.123456] ', 123456000],
    ['    [    0.123456] ', 123456000],
    ['\t<6>[    0.123456] ', 123456000, { level: 6 }],
    ['\u001b[32m[    0.123456] \u001b[0m\u001b[33m', 123456000],
    ['\0\0\0[    0.123456] ', 123456000],
    ['6,339,5140900,-;', 5140900000, { level: 6 }],
    ['14,339,5140900,-,caller=T1;', 5140900000, { level: 6, caller: 'T1' }],
    ['3,1,0,c,caller=C0,more=x;', 0, { level: 3, caller: 'C0' }],
  ])('%j', (prefix, time, more = {}) => {
    for (const end of ['\n', '\r\n', '\r\r\n']) {
      const events = read(`${prefix}${ADD}${end}`);
      expect(events).toHaveLength(1);
      expect(events[0]).toEqual({
        seq: 0,
        origin: { format: 'dmesg', file: 'x', line: 1 },
        type: 'printk',
        time,
        text: ADD,
        drv: 'pci',
        dev: '0000:01:00.0',
        fact: { kind: 'group-add', dev: '0000:01:00.0', group: 7 },
        ...more,
      });
    }
  });

  test.each<[string, string]>([
    ['[ 12.000001]  ? handle_mm_fault+0x1/0x2', ' ? handle_mm_fault+0x1/0x2'],
    ['[    2.000001] systemd[1]: Inserted module', 'systemd[1]: Inserted module'],
    ['[    2.000001] x86/fpu: xstate_offset[2]:  576', 'x86/fpu: xstate_offset[2]:  576'],
    ['kern  :info  : [    2.000001] a bash[2]: x', 'a bash[2]: x'],
    ['[    2.000001] [drm] Initialized', '[drm] Initialized'],
    ['6,1,2,-;a\\x5cb \\xe2\\x82\\xac', 'a\\b €'],
    ['[    2.000001] ', ''],
  ])('%s: message', (line, text) => {
    expect(read(line)).toMatchObject([{ type: 'printk', text }]);
  });

  test('the kernel clock wins, and a source that has shown it never mixes in another', () => {
    const times = read(
      [
        `2009-02-13T23:31:30+00:00 host kernel: [    1.000000] a`,
        `2009-02-13T23:31:31+00:00 host kernel: b`,
        `2009-02-13T23:31:32+00:00 host sshd[12]: c`,
        `2009-02-13T23:31:33+00:00 host kernel: [    4.000000] d`,
      ].join('\n'),
    ).map((event) => event.time);
    expect(times).toEqual([1e9, NaN, NaN, 4e9]);
  });
});

describe('other lines', () => {
  test('lines of other programs are readable, not modelled', () => {
    const events = read(
      'Dec 11 23:52:05 node-4 sshd[12]: hi\nDec 11 23:52:05 node-4 cron: hi\n[   12.000000] host sshd[12]: hi\n-- Boot 0a1b --',
    );
    expect(events.map((e) => [e.type, e.type === 'trace_event' && e.text])).toEqual([
      ['trace_event', 'sshd[12]: hi'],
      ['trace_event', 'cron: hi'],
      ['trace_event', 'sshd[12]: hi'],
      ['trace_event', '-- Boot 0a1b --'],
    ]);
  });

  test('indented lines go on with the message before', () => {
    const events = read(
      'kern  :notice: [    0.039153] calibrate failed.\n' +
        '                              Probably due to long interrupts.\n' +
        `6,2,40000,-;${ADD}\n SUBSYSTEM=pci\n DEVICE=+pci:0000:01:00.0\n`,
    ) as Printk[];
    expect(events.map((e) => [e.type, e.time, e.text, e.level, e.dev, e.fact?.kind])).toEqual([
      ['printk', 39153000, 'calibrate failed.', 5, undefined, undefined],
      ['printk', 39153000, 'Probably due to long interrupts.', 5, undefined, undefined],
      ['printk', 40000000, ADD, 6, '0000:01:00.0', 'group-add'],
      ['printk', 40000000, 'SUBSYSTEM=pci', 6, undefined, undefined],
      ['printk', 40000000, 'DEVICE=+pci:0000:01:00.0', 6, '0000:01:00.0', undefined],
    ]);
  });

  test('rsyslog puts the properties into the line', () => {
    const prefix = 'Oct  7 17:20:01 h kernel: [    1.000000] ';
    expect(read(`${prefix}${ADD}#012 SUBSYSTEM=pci#012 DEVICE=+pci:0000:01:00.0`)).toMatchObject([
      { type: 'printk', text: ADD, fact: { kind: 'group-add', group: 7 } },
    ]);
    expect(read(`${prefix}enabled#012 SUBSYSTEM=pci#012 DEVICE=+pci:0000:01:00.0`)).toMatchObject([
      { type: 'printk', text: 'enabled', dev: '0000:01:00.0' },
    ]);
  });

  test.each([
    'hello world',
    '   indented without a message before',
    '{"dmesg":[]}',
    '[ abc ] x',
    '\0\0\0',
    '__proto__=1',
    '12,34;x',
    '[99999999999999999.1] x',
  ])('unparsed, with its text: %j', (line) => {
    expect(read(line)).toMatchObject([{ type: 'unparsed', origin: { line: 1 } }]);
  });

  test('a blank line is nothing; line numbers count it', () => {
    expect(read(`\n\n[    1.000000] a\n`)).toMatchObject([{ type: 'printk', origin: { line: 3 } }]);
  });

  test('a line that is too long is reported once', () => {
    const batch = new EventBatch([{ format: 'dmesg', file: 'x' }]);
    const reader = dmesg.open({ probes: BUILT_IN_PROBES, source: 0, keepText: true });
    reader.overlong('[    1.000000] xxxxx', batch);
    expect(batch.event(0)).toMatchObject({ type: 'unparsed', origin: { line: 1 } });
    expect(batch.length).toBe(1);
  });
});

describe('loss', () => {
  test.each<[string, string, Partial<Lost>[]]>([
    [
      'a mark lies between its neighbours',
      '[    1.000000] a\n** 3 printk messages dropped **\n[    2.000000] b',
      [{ count: 3, since: 1e9, time: 2e9 }],
    ],
    [
      'glued to other text',
      '[    1.000000] a\nCCCC** 1196 printk messages dropped **[    2.000000] b',
      [{ count: 1196, since: 1e9, time: 2e9 }],
    ],
    [
      'behind a message',
      '[    1.000000] a** 1 printk messages dropped **\n[    2.000000] b',
      [{ count: 1, since: 1e9, time: 2e9 }],
    ],
    ['first of all', '** 3 printk messages dropped ** [    2.000000] b', [{ count: 3, time: 2e9 }]],
    [
      'last of all',
      '[    1.000000] a\n** 3 printk messages dropped **',
      [{ count: 3, since: 1e9, time: NaN }],
    ],
    [
      'twice',
      '[    1.000000] a\n** 3 printk messages dropped **\n** 4 printk messages dropped **\n',
      [
        { count: 3, since: 1e9 },
        { count: 4, since: 1e9 },
      ],
    ],
    [
      'journald',
      'Dec 11 23:52:05 n systemd-journald[211]: Missed 15 kernel messages',
      [{ count: 15, time: NaN }],
    ],
    [
      'journald, monotonic',
      '[    1.000000] h kernel: a\n[    3.000000] h systemd-journald[211]: Missed 15 kernel messages',
      [{ count: 15, since: 1e9, time: 3e9 }],
    ],
    [
      'journald, in the kernel log',
      '[    1.000000] a\n[    3.000000] systemd-journald[211]: Missed 15 kernel messages',
      [{ count: 15, since: 1e9, time: 3e9 }],
    ],
    [
      'journald overran',
      '[    3.000000] systemd-journald[211]: /dev/kmsg buffer overrun, some messages lost.',
      [{ time: 3e9 }],
    ],
    [
      'a gap in /dev/kmsg',
      '6,10,1000000,-;a\n6,11,1500000,-;b\n6,15,2000000,-;c',
      [{ count: 3, since: 15e8, time: 2e9 }],
    ],
    ['numbers of another boot', '6,10,1000000,-;a\n6,0,0,-;b\n6,1,0,-;b', []],
  ])('%s', (_name, text, expected) => {
    const events = read(text);
    const lost = events.filter((event) => event.type === 'lost');
    expect(lost).toHaveLength(expected.length);
    expected.forEach((fields, i) => expect(lost[i]).toMatchObject(fields));
    expect(lost.some((event) => 'since' in event)).toBe(
      expected.some((fields) => 'since' in fields),
    );
    expect(events.some((event) => event.type === 'unparsed')).toBe(false);
  });

  test('the messages on both sides of a mark are read, in order', () => {
    const events = read('[    1.000000] a** 1 printk messages dropped **[    2.000000] b');
    expect(events.map((e) => e.type)).toEqual(['printk', 'lost', 'printk']);
  });
});

describe('sniff', () => {
  test.each<[string, string, boolean]>([
    ['raw', '[    0.000000] Linux version\n[    0.100000] a\n', true],
    ['-x', 'kern  :info  : [    0.000000] a\n', true],
    ['-T', '[Sat Oct 16 18:15:30 2021] a\n', true],
    ['kmsg', '6,1,0,-;a\n SUBSYSTEM=pci\n', true],
    ['syslog of the kernel', 'Dec 11 23:52:05 node-4 kernel: a\n', true],
    ['quoted', '> [    0.000000] Linux version\n', true],
    [
      'ftrace',
      '# tracer: nop\n#\n            bash-276     [000] .....    22.062920: tracing_mark_write: x\n',
      false,
    ],
    ['trace-cmd report', 'cpus=2\n            bash-276   [000]    22.062920: print: x\n', false],
    [
      'udevadm',
      'monitor will print the received events for:\nKERNEL[22.135705] add /devices/x (pci)\nACTION=add\n',
      false,
    ],
    [
      'sysfs',
      '# uname: Linux lab 6.12.107\n## iommu_groups\ngroup 0 type=identity name= devices=0000:00:00.0\n',
      false,
    ],
    ['json', '{"dmesg":[{"pri":6}]}\n', false],
    ['nothing', '', false],
    ['binary', '\0\u0001\u0002\ufffd'.repeat(1000), false],
  ])('%s', (_name, head, is) => {
    const score = dmesg.sniff(head);
    if (is) expect(score).toBeGreaterThan(0.7);
    else expect(score).toBeLessThan(0.05);
  });

  test('a log of other programs is not a kernel log', () => {
    expect(dmesg.sniff('Dec 11 23:52:05 node-4 sshd[12]: hi\n'.repeat(20))).toBeLessThan(0.3);
  });
});

const LINES = [
  `[    0.123456] ${ADD}`,
  `[ 1479.962961][ T2807] ${ADD}`,
  `kern  :info  : [   22.067710] ${ADD}`,
  `[Sat Oct 16 18:15:30 2021] ${ADD}`,
  `2009-02-13T23:31:30,123456+00:00 ${ADD}`,
  `Dec 11 23:52:05 node-4 kernel: [183519.565020] ${ADD}`,
  `14,339,5140900,-,caller=T1;${ADD}`,
  ' DEVICE=+pci:0000:01:00.0',
  'CCCC** 1196 printk messages dropped **[    2.000000] b',
  '[   16.701471] DMAR: [DMA Read] Request device [0f:00.0] PASID ffffffff fault addr 900000 [fault reason 06]',
];

/** A real line with some of it replaced, doubled or cut out. */
const mutated = fc
  .tuple(
    fc.constantFrom(...LINES),
    fc.array(
      fc.tuple(
        fc.nat(120),
        fc.nat(20),
        fc.oneof(
          fc.string({ unit: 'binary', maxLength: 6 }),
          fc.constantFrom('[', ']', '<', '\0', '**', '#012 A=', '\\xff', '\u001b['),
        ),
      ),
      { maxLength: 4 },
    ),
  )
  .map(([line, edits]) =>
    edits
      .reduce((text, [at, cut, put]) => text.slice(0, at) + put + text.slice(at + cut), line)
      .replaceAll('\n', ' '),
  );

test('a mutated line is never an exception and never vanishes', () => {
  fc.assert(
    fc.property(fc.array(mutated, { maxLength: 20 }), (lines) => {
      const events = read(`${lines.join('\n')}\n`, 16);
      const seen = new Set(events.map((event) => event.origin.line));
      lines.forEach((line, i) => {
        const visible = line.replace(/\u001b\[[0-9;:]{0,32}[A-Za-z]/g, '').trim() !== '';
        if (visible) expect(seen.has(i + 1), JSON.stringify(line)).toBe(true);
      });
      expect(dmesg.sniff(lines.join('\n'))).toBeLessThanOrEqual(1);
    }),
    { numRuns: 1000 },
  );
});

test.each([
  '['.repeat(900_000),
  '[ '.repeat(450_000),
  `[    1.000000] ${'#012 A'.repeat(150_000)}`,
  '> '.repeat(450_000),
  `6,1,2,-${',a'.repeat(450_000)}`,
  `6,1,2,-;${'\\x0'.repeat(300_000)}`,
  '1'.repeat(900_000),
  `Dec 11 23:52:05 ${'x'.repeat(900_000)}`,
  '\u001b[0'.repeat(300_000),
  '** 1 printk message'.repeat(47_000),
  `[    1.000000] ${'é'.repeat(450_000)}`,
])('a line of 900 kB takes no time (%#)', (line) => {
  const start = performance.now();
  expect(read(line)).toHaveLength(1);
  dmesg.sniff(line);
  expect(performance.now() - start).toBeLessThan(1000);
});

const traces = fileURLToPath(new URL('../../../../shared/traces', import.meta.url));
const recordings = existsSync(traces)
  ? readdirSync(traces, { recursive: true, encoding: 'utf8' }).filter((name) =>
      /(?:^|\/)dmesg\.txt(?:\.gz)?$/.test(name),
    )
  : [];

describe.skipIf(recordings.length === 0)('recordings', () => {
  test.each(recordings)('%s', (name) => {
    const file = readFileSync(`${traces}/${name}`);
    const text = (name.endsWith('.gz') ? gunzipSync(file) : file).toString('utf8');
    expect(dmesg.sniff(text.slice(0, 65536))).toBeGreaterThan(0.85);
    const events = read(text, 4096);
    const lines = text.trimEnd().split('\n');
    expect(events.map((event) => event.origin.line)).toEqual(lines.map((_, i) => i + 1));
    for (const event of events) {
      expect(event.type).toBe('printk');
      expect(Number.isSafeInteger(event.time)).toBe(true);
    }
    const facts = events.map((event) => (event.type === 'printk' ? event.fact : undefined));
    const found = (kind: string): number => facts.filter((fact) => fact?.kind === kind).length;
    const expected = (pattern: RegExp): number => lines.filter((line) => pattern.test(line)).length;
    expect(found('group-add')).toBe(expected(/Adding (?:to iommu group|device .* to group)/));
    expect(found('group-remove')).toBe(
      expected(/Removing (?:from iommu group|device .* from group)/),
    );
    expect(found('iommu-fault')).toBe(expected(/Request device \[/));
    expect(found('slot')).toBe(expected(/[Ss]lot ?[([]\d/));
    expect(found('kernel-version')).toBe(expected(/\] Linux version /));
    expect(found('complaint')).toBe(
      expected(
        /\] (?:WARNING: (?:CPU|\S+:\d+ at)|BUG: |kernel BUG at|Oops: |general protection fault)/,
      ),
    );
  });
});
