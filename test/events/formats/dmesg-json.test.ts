import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EventBatch } from '../../../events/batch.js';
import type { HotplugEvent } from '../../../events/event.js';
import { dmesgJson } from '../../../events/formats/dmesg-json.js';
import { BUILT_IN_PROBES } from '../../../events/probes.js';
import { readEvents } from '../read-events.js';

const read = (text: string, capacity = 64, whole = true) =>
  readEvents(dmesgJson, text, { capacity, lineByLine: !whole });

const ADD = 'pci 0000:01:00.0: Adding to iommu group 7';
/** As util-linux 2.38 prints it. */
const PRINTED = `{
   "dmesg": [
      {
         "pri": 5,
         "time":     0.000000,
         "msg": "Linux version 6.12.107+deb13-amd64 (x@y)"
      },{
         "pri": 6,
         "time":    12.123457,
         "caller": "T140",
         "msg": "${ADD}"
      },{
         "fac": "kern",
         "pri": "warn",
         "time":  1234.000005,
         "msg": "a \\"q\\" } ] \\\\"
      }
   ]
}
`;

describe('dmesg -J', () => {
  const expected = [
    { type: 'printk', time: 0, level: 5, fact: { kind: 'kernel-version' } },
    {
      type: 'printk',
      time: 12123457000,
      level: 6,
      caller: 'T140',
      drv: 'pci',
      dev: '0000:01:00.0',
      fact: { kind: 'group-add', dev: '0000:01:00.0', group: 7 },
    },
    { type: 'printk', time: 1234000005000, level: 4, text: 'a "q" } ] \\' },
  ];

  test.each([
    ['as printed', PRINTED],
    ['CRLF', PRINTED.replaceAll('\n', '\r\n')],
    ['minified', JSON.stringify(JSON.parse(PRINTED))],
  ])('%s', (_name, text) => {
    for (const whole of [true, false]) {
      for (const capacity of [9, 64]) expect(read(text, capacity, whole)).toMatchObject(expected);
    }
  });

  test('an event has the line on which its entry began', () => {
    expect(read(PRINTED).map((event) => event.origin.line)).toEqual([3, 7, 12]);
  });

  test('a minified log of many entries needs no more rows than a batch has', () => {
    const many = { dmesg: Array.from({ length: 5000 }, (_, i) => ({ pri: 6, time: i, msg: ADD })) };
    const events = read(JSON.stringify(many), 16);
    expect(events).toHaveLength(5000);
    expect(events[4999]).toMatchObject({ time: 4999e9, origin: { line: 1 } });
  });

  test('two outputs one after the other', () => {
    expect(read(PRINTED + PRINTED)).toHaveLength(6);
    expect(read(`\n\n\n${PRINTED}`)).toHaveLength(3);
  });

  test('dmesg -J -F lets a message run on', () => {
    const text =
      '{"dmesg":[{"pri":6,"time":0.1,"msg":"a b\\n<4>[   12.5] c\\n"},{"pri":4,"time":1,"msg":"two\\nlines"}]}';
    expect(read(text)).toMatchObject([{ text: 'a b' }, { text: 'two\nlines' }]);
  });

  test('loss', () => {
    expect(
      read(
        '{"dmesg":[{"pri":6,"time":1,"msg":"a"},{"pri":6,"time":2,"msg":"systemd-journald[1]: Missed 5 kernel messages"}]}',
      ),
    ).toMatchObject([{ type: 'printk' }, { type: 'lost', count: 5, since: 1e9, time: 2e9 }]);
  });
});

describe('malformed', () => {
  const entry = '{"pri":6,"time":1.000000,"msg":"a"}';
  test.each<[string, string, string[]]>([
    ['no dmesg -J at all', 'hello\n', ['unparsed']],
    ['another JSON', '{"a":1}\n', ['unparsed']],
    ['another array', '[1,2]\n{"dmesg":[\n' + entry + ']}', ['unparsed', 'printk']],
    ['an entry without msg', '{"dmesg":[{"pri":6},' + entry + ']}', ['unparsed', 'printk']],
    ['msg is no text', '{"dmesg":[{"msg":["a"]}]}', ['unparsed']],
    ['bad JSON inside braces', '{"dmesg":[{pri},' + entry + ']}', ['unparsed', 'printk']],
    ['nested', '{"dmesg":[{"msg":"a","x":{"y":[{}]}},' + entry + ']}', ['printk', 'printk']],
    [
      'torn string',
      '{"dmesg":[\n{"msg":"a\n},\n' + entry + '\n]}',
      ['unparsed', 'unparsed', 'printk'],
    ],
    ['stray text', '{"dmesg":[\nhello\n' + entry + '\n]}', ['unparsed', 'printk']],
    [
      'stray text with a brace',
      '{"dmesg":[\nhello {"msg":"b"}\n' + entry + '\n]}',
      ['unparsed', 'printk'],
    ],
    ['ends inside an entry', '{"dmesg":[\n' + entry + ',{"pri":6,\n', ['printk', 'unparsed']],
    ['ends after the opening', '{"dmesg":[\n', []],
    ['ends inside the opening', '{\n"dmesg"\n', ['unparsed']],
    [
      'hostile keys',
      '{"dmesg":[{"__proto__":{"msg":"x"}},{"__proto__":1,"constructor":2,"msg":"a"}]}',
      ['unparsed', 'printk'],
    ],
    ['NUL', '{"dmesg":[\0' + entry + ']}\n', ['unparsed']],
    ['escaped NUL', '{"dmesg":[{"msg":"a\\u0000b"}]}\n', ['printk']],
  ])('%s', (_name, text, types) => {
    for (const whole of [true, false]) {
      expect(read(text, 16, whole).map((event) => event.type)).toEqual(types);
    }
    expect(({} as Record<string, unknown>)['msg']).toBeUndefined();
  });

  test.each<[string, unknown]>([
    ['negative', -1],
    ['huge', 1e300],
    ['text', '"Fri Feb 13"'],
    ['null', null],
  ])('time %s is no time', (_name, time) => {
    expect(read(`{"dmesg":[{"time":${String(time)},"msg":"a"}]}`)).toMatchObject([
      { type: 'printk', time: NaN },
    ]);
  });

  test('a line that is too long is reported; the next entries are read', () => {
    const batch = new EventBatch([{ format: 'dmesg-json', file: 'x' }]);
    const reader = dmesgJson.open({ probes: BUILT_IN_PROBES, source: 0, keepText: true });
    const first = Buffer.from('{"dmesg":[{\n');
    const rest = Buffer.from('{"msg":"a"}]}\n');
    reader.read(first, 0, first.length, batch);
    reader.overlong('"msg": "xxxx', batch);
    reader.read(rest, 0, rest.length, batch);
    expect([0, 1].map((i) => batch.event(i))).toMatchObject([
      { type: 'unparsed', origin: { line: 2 } },
      { type: 'printk', origin: { line: 3 } },
    ]);
  });
});

test.each([
  '['.repeat(900_000),
  '{'.repeat(900_000),
  `{"dmesg":[${'{'.repeat(900_000)}`,
  `{"dmesg":[{"a":${'['.repeat(900_000)}`,
  `{"dmesg":[{"msg":"${'x'.repeat(900_000)}"}]}`,
  `{"dmesg":[${','.repeat(900_000)}`,
  '\n'.repeat(900_000),
])('900 kB take no time (%#)', (text) => {
  const start = performance.now();
  expect(read(text).length).toBeLessThanOrEqual(1);
  dmesgJson.sniff(text);
  expect(performance.now() - start).toBeLessThan(2000);
});

test('mutated input is never an exception, and read in pieces it is read alike', () => {
  const edit = fc.tuple(
    fc.nat(420),
    fc.nat(12),
    fc.oneof(
      fc.string({ unit: 'binary', maxLength: 4 }),
      fc.constantFrom('{', '}', '[', ']', '"', '\\', '\n', ','),
    ),
  );
  fc.assert(
    fc.property(fc.array(edit, { maxLength: 5 }), (edits) => {
      const text = edits.reduce(
        (t, [at, cut, put]) => t.slice(0, at) + put + t.slice(at + cut),
        PRINTED,
      );
      const events = read(text, 16);
      const rows = (all: HotplugEvent[]): object[] => all.map((event) => ({ ...event, seq: 0 }));
      expect(rows(read(text, 9, false))).toEqual(rows(events));
      if (text.trim() !== '') expect(events.length).toBeGreaterThan(0);
    }),
    { numRuns: 1000 },
  );
});

test.each<[string, string, number]>([
  ['printed', PRINTED, 1],
  ['minified', '{"dmesg":[{"pri":6}]}', 1],
  ['journal', '{"MESSAGE":"x","_TRANSPORT":"kernel"}\n', 0],
  ['dmesg', '[    0.000000] x\n', 0],
  ['nothing', '', 0],
])('sniff %s', (_name, head, score) => expect(dmesgJson.sniff(head)).toBe(score));
