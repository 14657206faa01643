import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { journal } from '../../../events/formats/journal.js';
import { readEvents } from '../read-events.js';

const read = (text: string, keepText = true) =>
  readEvents(journal, text, { capacity: 16, keepText });

const ADD = 'pci 0000:01:00.0: Adding to iommu group 7';
const KERNEL = {
  __CURSOR: 's=1;i=2',
  __REALTIME_TIMESTAMP: '1234567890123456',
  __MONOTONIC_TIMESTAMP: '99000000',
  _BOOT_ID: '35e8501129134edd9df5267c49f744a4',
  _TRANSPORT: 'kernel',
  PRIORITY: '6',
  SYSLOG_IDENTIFIER: 'kernel',
  _SOURCE_MONOTONIC_TIMESTAMP: '22067710',
  _KERNEL_SUBSYSTEM: 'pci',
  _KERNEL_DEVICE: '+pci:0000:01:00.0',
  _UDEV_SYSNAME: '0000:01:00.0',
  MESSAGE: ADD,
};

describe('entries', () => {
  test.each<[string, object, object]>([
    [
      'a kernel message',
      {},
      {
        type: 'printk',
        time: 22067710000,
        level: 6,
        text: ADD,
        drv: 'pci',
        dev: '0000:01:00.0',
        fact: { kind: 'group-add', dev: '0000:01:00.0', group: 7 },
      },
    ],
    ['at boot', { _SOURCE_MONOTONIC_TIMESTAMP: '0' }, { time: 0 }],
    ['a time of few digits', { _SOURCE_MONOTONIC_TIMESTAMP: '7' }, { time: 7000 }],
    ['no source time: journald’s', { _SOURCE_MONOTONIC_TIMESTAMP: undefined }, { time: 99e9 }],
    [
      'no usable time',
      { _SOURCE_MONOTONIC_TIMESTAMP: 'x', __MONOTONIC_TIMESTAMP: '-1' },
      { time: NaN },
    ],
    ['bytes', { MESSAGE: [...Buffer.from(ADD)] }, { text: ADD, fact: { kind: 'group-add' } }],
    ['not bytes', { MESSAGE: [104, 'x', null, 105] }, { text: 'h\0\0i' }],
    ['a repeated field', { MESSAGE: [ADD, 'again'] }, { text: ADD }],
    [
      'a message that was too large',
      { MESSAGE: null },
      { type: 'printk', text: '', dev: '0000:01:00.0' },
    ],
    ['the device of the entry', { MESSAGE: 'enabled' }, { text: 'enabled', dev: '0000:01:00.0' }],
    ['priority as a number', { PRIORITY: 3 }, { level: 3 }],
    [
      'another program',
      { _TRANSPORT: 'syslog', SYSLOG_IDENTIFIER: 'sshd', _SOURCE_MONOTONIC_TIMESTAMP: undefined },
      { type: 'trace_event', name: 'journal', time: 99e9, text: `sshd: ${ADD}` },
    ],
    [
      'no transport',
      { _TRANSPORT: undefined, MESSAGE: 'x' },
      { type: 'trace_event', name: 'journal' },
    ],
  ])('%s', (_name, fields, expected) => {
    expect(read(JSON.stringify({ ...KERNEL, ...fields }))).toMatchObject([expected]);
  });

  test('json-seq, json-sse and CRLF', () => {
    const text = JSON.stringify(KERNEL);
    expect(
      read(`\u001e${text}\ndata: ${text}\n\n${text}\r\n`).map((e) => [e.type, e.origin.line]),
    ).toEqual([
      ['printk', 1],
      ['printk', 2],
      ['printk', 4],
    ]);
  });

  test('text of other programs only on request', () => {
    expect(read(JSON.stringify({ ...KERNEL, _TRANSPORT: 'stdout' }), false)[0]).not.toHaveProperty(
      'text',
    );
  });

  test('journald missed messages', () => {
    const missed = {
      ...KERNEL,
      _TRANSPORT: 'driver',
      MESSAGE: 'Missed 15 kernel messages',
      _SOURCE_MONOTONIC_TIMESTAMP: undefined,
    };
    expect(read(`${JSON.stringify(KERNEL)}\n${JSON.stringify(missed)}`)[1]).toMatchObject({
      type: 'lost',
      count: 15,
      since: 22067710000,
      time: 99e9,
    });
  });
});

test.each([
  'hello',
  '{',
  '[]',
  'null',
  '1',
  '"MESSAGE"',
  '{}',
  '{"a":1}',
  '{"__proto__":{"MESSAGE":"x","_TRANSPORT":"kernel"}}',
  '\0',
  JSON.stringify(KERNEL).slice(0, -5),
  '['.repeat(900_000),
  '{"MESSAGE":'.repeat(80_000),
])('unparsed (%#)', (line) => {
  expect(read(line)).toMatchObject([{ type: 'unparsed' }]);
  expect(({} as Record<string, unknown>)['MESSAGE']).toBeUndefined();
});

test('a line of 900 kB', () => {
  expect(read(JSON.stringify({ ...KERNEL, MESSAGE: 'x'.repeat(900_000) }))[0].type).toBe('printk');
  const bytes = JSON.stringify({ ...KERNEL, MESSAGE: Array.from({ length: 250_000 }, () => 120) });
  expect(read(bytes)[0].type).toBe('printk');
});

test('mutated lines are never an exception and never vanish', () => {
  const line = JSON.stringify(KERNEL);
  const edit = fc.tuple(
    fc.nat(line.length),
    fc.nat(12),
    fc.oneof(
      fc.string({ unit: 'binary', maxLength: 4 }),
      fc.constantFrom('{', '}', '"', '\\', '[1]', 'null'),
    ),
  );
  fc.assert(
    fc.property(fc.array(edit, { maxLength: 4 }), (edits) => {
      const text = edits
        .reduce((t, [at, cut, put]) => t.slice(0, at) + put + t.slice(at + cut), line)
        .replaceAll('\n', ' ');
      expect(read(text)).toHaveLength(1);
    }),
    { numRuns: 500 },
  );
  fc.assert(
    fc.property(
      fc.dictionary(fc.constantFrom(...Object.keys(KERNEL), '__proto__'), fc.jsonValue()),
      (entry) => {
        expect(read(JSON.stringify(entry))).toHaveLength(1);
      },
    ),
    { numRuns: 500 },
  );
});

test.each<[string, string, boolean]>([
  ['journal', `${JSON.stringify(KERNEL)}\n`, true],
  ['json-seq', `\u001e${JSON.stringify(KERNEL)}\n`, true],
  ['dmesg -J', '{"dmesg":[{"pri":6}]}\n', false],
  ['dmesg', '[    0.000000] x\n', false],
  ['other JSON', '{"a":1}\n', false],
  ['nothing', '', false],
])('sniff %s', (_name, head, is) => {
  if (is) expect(journal.sniff(head)).toBeGreaterThan(0.9);
  else expect(journal.sniff(head)).toBe(0);
});
