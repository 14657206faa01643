import fc from 'fast-check';
import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EventBatch } from '../../events/batch.js';
import type { EventType, HotplugEvent, NewEvent } from '../../events/event.js';
import { InputError } from '../../events/input-error.js';
import { hotraceLog, LogWriter, readLog, readLogHeader } from '../../events/log.js';
import type { LogHeader } from '../../events/log.js';
import { BUILT_IN_PROBES } from '../../events/probes.js';
import { LONGEST_LINE } from '../../events/reader.js';

const HEADER: LogHeader = {
  kernel: 'v6.12',
  sources: [{ format: 'ftrace', file: 'a.trace', clock: 'mono' }],
  clock: 'mono',
};
const HEADER_LINE =
  '{"hotrace":"log","version":1,"kernel":"v6.12","sources":[{"format":"ftrace","file":"a.trace","clock":"mono"}],"clock":"mono"}';

let directory: string;
let files = 0;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'hotrace-log-'));
});
afterAll(() => rmSync(directory, { recursive: true }));
const newFile = (suffix = ''): string => join(directory, `${files++}.ndjson${suffix}`);

// --- arbitrary events -------------------------------------------------------------------------

const HOSTILE = [
  '__proto__',
  'constructor',
  'toString',
  '',
  '\r',
  '\n',
  '\u2028',
  '<script>',
  '\0',
];
const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 12 }), fc.constantFrom(...HOSTILE));
const number = fc.oneof(
  fc.integer(),
  fc.constantFrom(0, -16, 2 ** 40, 2 ** 63, -(2 ** 31)),
  // JSON has one zero.
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => (n === 0 ? 0 : n)),
);
const group = fc.oneof(fc.nat(300), fc.integer({ min: -(2 ** 31) + 1, max: 2 ** 31 - 1 }));
const pointer = fc.option(text);

type Fields = Record<string, fc.Arbitrary<unknown>>;
const device: Fields = {
  dev: pointer,
  bus: pointer,
  drv: pointer,
  object: text,
  devGroup: group,
  groupPtr: text,
};

const fact = fc.oneof(
  fc.record({ kind: fc.constantFrom('group-add', 'group-remove'), dev: text, group }),
  fc.record({ kind: fc.constant('group-add-failed'), dev: text, group, error: number }),
  fc.record({ kind: fc.constant('slot'), slot: text, event: text }),
  fc.record({
    kind: fc.constant('iommu-fault'),
    dev: text,
    iova: number,
    access: fc.constantFrom('read', 'write', 'unknown'),
  }),
  fc.record({ kind: fc.constant('kernel-version'), release: text }),
  fc.record({
    kind: fc.constant('complaint'),
    what: fc.constantFrom('WARN', 'BUG', 'Oops', 'hung-task', 'lockdep'),
  }),
);
const properties = fc
  .array(fc.tuple(text, text), { maxLength: 6 })
  .map((entries) => Object.fromEntries(entries));

/** Fields that each type must have, and those that it may have. */
const PAYLOADS: { readonly [T in EventType]: readonly [must: Fields, may: Fields] } = {
  bus_notify: [{ action: number }, device],
  chain_call: [{ action: number }, { ...device, chain: text }],
  chain_return: [{ ret: number }, {}],
  callback_call: [{ fn: text }, { ...device, priority: number, action: number }],
  callback_return: [{ fn: text, ret: number }, {}],
  notifier_run: [{ fn: text }, {}],
  chain_register: [{}, { chain: text, fn: text, priority: number }],
  chain_unregister: [{}, { chain: text, fn: text, priority: number }],
  function_call: [{ fn: text }, { ...device, group, domain: text, domainType: number }],
  function_return: [{ fn: text }, { ret: number }],
  add_device_to_group: [{ group, dev: text }, {}],
  remove_device_from_group: [{ group, dev: text }, {}],
  attach_device_to_domain: [{ dev: text }, {}],
  detach_device_from_domain: [{ dev: text }, {}],
  map: [
    { iova: number, size: number },
    { paddr: number, dev: text },
  ],
  unmap: [
    { iova: number, size: number },
    { unmapped: number, dev: text },
  ],
  io_page_fault: [
    { dev: text, iova: number },
    { drv: pointer, flags: number },
  ],
  pci_hp_event: [{ dev: text, slot: text, event: text }, {}],
  mark: [{}, { text }],
  trace_event: [{ name: text }, { text }],
  uevent: [
    {
      action: text,
      devpath: text,
      subsystem: text,
      dev: text,
      from: fc.constantFrom('kernel', 'udev'),
    },
    { drv: text, seqnum: number, properties },
  ],
  printk: [{ text }, { level: number, drv: text, dev: text, caller: text, fact }],
  sysfs_group: [
    { group, devices: fc.array(text, { maxLength: 4 }) },
    {
      domainType: text,
      name: text,
      reserved: fc.array(fc.record({ start: text, end: text, kind: text }), { maxLength: 3 }),
    },
  ],
  sysfs_device: [
    { dev: text, bus: text },
    { drv: pointer, group: fc.option(group), path: text },
  ],
  sysfs_snapshot: [{}, { uname: text }],
  model_step: [
    { thread: text, number: fc.nat(), what: text },
    { entity: text, event: text, reply: text },
  ],
  lost: [{}, { count: number, since: number, text }],
  unparsed: [{ text, reason: text }, {}],
};

function eventOf(type: EventType): fc.Arbitrary<NewEvent> {
  const [must, may] = PAYLOADS[type];
  const required = {
    ...must,
    type: fc.constant(type),
    time: fc.oneof(number, fc.constant(NaN)),
    line: fc.nat(),
  };
  const optional: Fields = {
    ...may,
    cpu: fc.nat(32767),
    task: fc.record({ comm: text, pid: fc.nat() }),
    inferred: text,
  };
  return fc.record(
    { ...optional, ...required },
    { requiredKeys: Object.keys(required) as (keyof typeof required)[] },
  ) as unknown as fc.Arbitrary<NewEvent>;
}

/** At least one event of every type. */
const events: fc.Arbitrary<NewEvent[]> = fc
  .tuple(...(Object.keys(PAYLOADS) as EventType[]).map(eventOf))
  .chain((all) => fc.shuffledSubarray(all, { minLength: all.length }));

// --- helpers ----------------------------------------------------------------------------------

const SOURCES = [
  { format: 'ftrace', file: 'a.trace' },
  { format: 'dmesg', file: 'b "quoted".log' },
];

function batchOf(list: readonly NewEvent[]): EventBatch {
  const batch = new EventBatch(SOURCES);
  list.forEach((event, i) => batch.append(event, i % SOURCES.length));
  return batch;
}

function eventsOf(batch: EventBatch): HotplugEvent[] {
  return Array.from({ length: batch.length }, (_, i) => batch.event(i));
}

async function written(list: readonly NewEvent[], suffix = ''): Promise<string> {
  const file = newFile(suffix);
  const writer = new LogWriter(file, HEADER);
  await writer.write(batchOf(list));
  await writer.close();
  return file;
}

async function all(file: string): Promise<HotplugEvent[]> {
  const list: HotplugEvent[] = [];
  for await (const event of readLog(file)) list.push(event);
  return list;
}

/** What the reader makes of `content`, through a batch so small that it fills again and again. */
function read(content: string | Uint8Array, keepText = true) {
  const bytes = Buffer.from(content);
  const whole = bytes.at(-1) === 10 || bytes.length === 0 ? bytes : Buffer.concat([bytes, LF]);
  const reader = hotraceLog.open({ probes: BUILT_IN_PROBES, source: 0, keepText });
  const batch = new EventBatch([{ format: 'hotrace-log', file: 'x.log' }], 16);
  const list: HotplugEvent[] = [];
  const drain = () => {
    list.push(...eventsOf(batch));
    batch.firstSeq += batch.length;
    batch.clear();
  };
  for (let at = 0; at < whole.length; drain()) at = reader.read(whole, at, whole.length, batch);
  reader.finish(batch);
  drain();
  return { events: list, header: reader.header };
}
const LF = Buffer.from('\n');

/** The reasons of unparsed lines, the types of all other events. */
function outline(list: readonly HotplugEvent[]): string[] {
  return list.map((event) => (event.type === 'unparsed' ? `! ${event.reason}` : event.type));
}

const CALL: NewEvent = { type: 'function_call', fn: 'device_add', time: 5, line: 1 };
const RETURN: NewEvent = { type: 'function_return', fn: 'device_add', ret: -16, time: 6, line: 2 };
const CALL_LINE = '{"type":"function_call","fn":"device_add","time":5}';

// --- tests ------------------------------------------------------------------------------------

describe('round trip', () => {
  it.each(['', '.gz'])('every type of event comes back as it was (%s)', async (suffix) => {
    await fc.assert(
      fc.asyncProperty(events, async (list) => {
        const file = await written(list, suffix);
        expect(await all(file)).toEqual(eventsOf(batchOf(list)));
        rmSync(file);
      }),
      { numRuns: suffix === '' ? 150 : 30 },
    );
  });

  it('writes the header first and events in the shape of the catalogue', async () => {
    const file = await written([CALL, { ...RETURN, time: NaN }]);
    const lines = readFileSync(file, 'utf8').split('\n');
    expect(lines[0]).toBe(HEADER_LINE);
    expect(JSON.parse(lines[2])).toEqual({
      seq: 1,
      type: 'function_return',
      origin: { format: 'dmesg', file: 'b "quoted".log', line: 2 },
      fn: 'device_add',
      ret: -16,
    });
    expect(lines).toHaveLength(4);
    expect(await readLogHeader(file)).toEqual(HEADER);
  });

  it('keeps an own __proto__ among the properties of a uevent', async () => {
    const properties = JSON.parse('{"__proto__":"p","constructor":"c"}') as Record<string, string>;
    const file = await written([
      {
        type: 'uevent',
        time: 1,
        line: 1,
        action: 'add',
        devpath: '/devices/x',
        subsystem: 'pci',
        dev: '__proto__',
        from: 'kernel',
        properties,
      },
    ]);
    const [event] = await all(file);
    expect(event.type === 'uevent' && Object.entries(event.properties!)).toEqual([
      ['__proto__', 'p'],
      ['constructor', 'c'],
    ]);
    expect(Object.keys(Object.prototype)).toEqual([]);
  });

  it('counts seq anew over batches, and over what was left out', async () => {
    const file = newFile();
    const writer = new LogWriter(file, HEADER);
    const batch = batchOf([CALL, RETURN]);
    for (let n = 0; n < 3; n++) {
      batch.firstSeq = n * 100;
      await writer.write(batch);
    }
    await writer.close();
    expect((await all(file)).map((event) => event.seq)).toEqual([0, 1, 2, 3, 4, 5]);
  });

  it('goes through a second log unchanged', async () => {
    const first = await all(await written([CALL, RETURN]));
    const { events: list } = read(
      [HEADER_LINE, ...first.map((event) => JSON.stringify(event))].join('\n'),
    );
    expect(list).toEqual(first);
  });

  it('streams many batches', async () => {
    const batch = new EventBatch(SOURCES);
    while (!batch.full) batch.append({ ...CALL, dev: `0000:${batch.length}` }, 0);
    const file = newFile('.gz');
    const writer = new LogWriter(file, HEADER);
    for (let n = 0; n < 20; n++) await writer.write(batch);
    await writer.close();
    let count = 0;
    for await (const event of readLog(file)) expect(event.seq).toBe(count++);
    expect(count).toBe(20 * batch.length);
  });

  it('writes an event that no reader would take as a line as an unparsed one', async () => {
    const file = await written([{ ...CALL, type: 'mark', text: '\0'.repeat(LONGEST_LINE / 4) }]);
    const [event] = await all(file);
    expect(outline([event])[0]).toMatch(/^! mark longer than a line of the log may be/);
    expect(event).toMatchObject({ time: 5, origin: { format: 'ftrace', line: 1 } });
  });

  it('leaves out a number that JSON cannot carry', async () => {
    const file = newFile();
    const batch = batchOf([RETURN]);
    batch.a[0] = Infinity;
    const writer = new LogWriter(file, HEADER);
    await writer.write(batch);
    await writer.close();
    const [event] = await all(file);
    expect(event).not.toHaveProperty('ret');
    expect(event.type).toBe('function_return');
  });
});

describe('reading', () => {
  it('takes a log written by hand: no seq, no origin, blank lines, CRLF, byte order mark', () => {
    const content = `\uFEFF${HEADER_LINE}\r\n\r\n${CALL_LINE}\r\n  \r\n${CALL_LINE}`;
    const { events: list, header } = read(content);
    expect(header).toEqual(HEADER);
    expect(list).toEqual(
      [3, 5].map((line, seq) => ({
        type: 'function_call',
        fn: 'device_add',
        seq,
        time: 5,
        origin: { format: 'hotrace-log', file: 'x.log', line },
      })),
    );
  });

  it('a torn last line is an unparsed event', async () => {
    const file = await written([CALL, RETURN]);
    const whole = readFileSync(file);
    const { events: list } = read(whole.subarray(0, whole.length - 9));
    expect(outline(list)).toEqual(['function_call', expect.stringMatching(/^! not JSON: /)]);
  });

  it('an empty file says so', async () => {
    expect(outline(read('').events)).toEqual(['! empty: a log begins with its header']);
    const file = newFile();
    writeFileSync(file, '');
    expect(outline(await all(file))).toEqual(['! empty: a log begins with its header']);
  });

  it('a header alone is an empty log', () => {
    expect(read(HEADER_LINE)).toEqual({ events: [], header: HEADER });
    expect(read('{"hotrace":"log","version":1,"sources":[]}')).toEqual({
      events: [],
      header: { sources: [] },
    });
  });

  it('without a header the events are read, and its absence is told', () => {
    const { events: list, header } = read(`${CALL_LINE}\n${CALL_LINE}\n`);
    expect(header).toBeUndefined();
    expect(outline(list)).toEqual([
      '! no header: read as version 1',
      'function_call',
      'function_call',
    ]);
    expect(outline(read('{"type":"x"}').events)).toEqual([
      '! no header, and type: unknown value "x"',
    ]);
    expect(outline(read('hello').events)[0]).toMatch(/^! no header, and not JSON: /);
  });

  it('nothing of a later version is read', () => {
    const { events: list, header } = read(
      `{"hotrace":"log","version":2,"zebra":[]}\n${CALL_LINE}\n{}`,
    );
    expect(header).toBeUndefined();
    expect(outline(list)).toEqual(
      Array(3).fill('! log version 2: this hotrace reads versions up to 1'),
    );
  });

  it.each([
    ['{"hotrace":"log","version":1}', 'header: sources: missing'],
    ['{"hotrace":"log","version":1,"sources":[],"kernal":"v5"}', 'header: unknown key "kernal"'],
    ['{"hotrace":"log","sources":[]}', 'header: version: missing'],
    ['{"hotrace":"log","version":1,"sources":[{"format":"x"}]}', 'header: sources.0.file: missing'],
  ])('a header that is wrong, %s, does not hide the events', (line, problem) => {
    expect(outline(read(`${line}\n${CALL_LINE}`).events)).toEqual([
      `! ${problem}`,
      'function_call',
    ]);
  });

  it.each([
    ['{"type":"function_call"}', 'fn: missing'],
    ['{"type":"function_call","fn":"f","grp":1}', 'unknown key "grp"'],
    ['{"type":"function_call","fn":"f","__proto__":{"cpu":1}}', 'unknown key "__proto__"'],
    [
      '{"type":"function_call","fn":"f","domainType":1e999}',
      'domainType: expected number, not Infinity',
    ],
    ['[]', 'expected object, not an array'],
    ['null', 'expected object, not null'],
    [HEADER_LINE, 'a header inside the log'],
  ])('%s is unparsed: %s', (line, problem) => {
    const { events: list } = read(`${HEADER_LINE}\n${line}\n${CALL_LINE}`);
    expect(outline(list)).toEqual([`! ${problem}`, 'function_call']);
    expect(list[0]).toMatchObject({ text: line, origin: { line: 2 } });
  });

  it('drops the text of unmodelled events unless it is asked for', () => {
    const content = `${HEADER_LINE}\n{"type":"trace_event","name":"x","text":"t"}\n{"type":"mark","text":"m"}`;
    expect(read(content, false).events.map((event) => 'text' in event)).toEqual([false, true]);
    expect(read(content, true).events.map((event) => 'text' in event)).toEqual([true, true]);
  });

  it('passes over a line that is too long, and a deep one, in readLog', async () => {
    const file = newFile();
    const long = `{"type":"mark","text":"${'x'.repeat(3 * LONGEST_LINE)}"}`;
    const deep = '['.repeat(500_000);
    writeFileSync(file, [HEADER_LINE, long, CALL_LINE, deep, CALL_LINE, long].join('\n'));
    expect(outline(await all(file))).toEqual([
      `! line longer than ${LONGEST_LINE} bytes`,
      'function_call',
      expect.stringMatching(/^! not JSON/),
      'function_call',
      `! line longer than ${LONGEST_LINE} bytes`,
    ]);
  });

  it('gives everything before the end of a truncated gzip, and says that it is truncated', async () => {
    const lines = Array.from({ length: 5000 }, (_, i) =>
      JSON.stringify({ type: 'mark', text: `${i} ${Math.sin(i)}` }),
    );
    const content = `${HEADER_LINE}\n${lines.join('\n')}\n`;
    const compressed = gzipSync(content);
    const file = newFile('.gz');
    writeFileSync(file, compressed.subarray(0, compressed.length - 4));
    const list = await all(file);
    expect(list).toHaveLength(5001);
    expect(outline(list.slice(-1))).toEqual(['! the compressed data end early']);

    writeFileSync(file, compressed.subarray(0, compressed.length >> 1));
    const half = await all(file);
    expect(half.length).toBeGreaterThan(2000);
    expect(half.slice(0, -2).every((event) => event.type === 'mark')).toBe(true);
    expect(outline(half.slice(-1))).toEqual(['! the compressed data end early']);

    compressed[compressed.length >> 1] ^= 0xff;
    writeFileSync(file, compressed);
    const damaged = await all(file);
    expect(damaged.length).toBeGreaterThan(2000);
    expect(outline(damaged.slice(-1))[0]).toMatch(/^! the compressed data are damaged/);
  });

  it('a mutated log never throws, and no line of it vanishes', async () => {
    const whole = readFileSync(await written([CALL, RETURN, { ...CALL, dev: '__proto__' }]));
    const mutation = fc.record({
      at: fc.nat(whole.length - 1),
      cut: fc.nat(6),
      insert: fc.oneof(
        fc.uint8Array({ maxLength: 4 }),
        fc
          .constantFrom('{', '}', '"', '\n', '\r', 'null', '1e999', '"__proto__":', '[[')
          .map((s) => Buffer.from(s)),
      ),
    });
    fc.assert(
      fc.property(fc.array(mutation, { minLength: 1, maxLength: 4 }), (mutations) => {
        let bytes: Buffer = whole;
        for (const { at, cut, insert } of mutations) {
          bytes = Buffer.concat([bytes.subarray(0, at), insert, bytes.subarray(at + cut)]);
        }
        const { events: list } = read(bytes);
        const lines = bytes
          .toString('utf8')
          .split('\n')
          .filter((line) => line.trim() !== '');
        expect(list.length).toBeGreaterThanOrEqual(lines.length - 1);
        expect(list.length).toBeLessThanOrEqual(lines.length + 1);
      }),
      { numRuns: 2000 },
    );
  });

  it('is recognised by its header', () => {
    expect(hotraceLog.sniff(`${HEADER_LINE}\n${CALL_LINE}\n`)).toBe(1);
    expect(hotraceLog.sniff(`\uFEFF{ "version": 9, "hotrace": "log" }\r\n`)).toBe(1);
    expect(hotraceLog.sniff(`{"hotrace":"log","version":1,"sources":[{"format"`)).toBe(1);
    expect(hotraceLog.sniff(`${CALL_LINE}\n`)).toBe(0.3);
    for (const head of ['', '# tracer: nop\n', '{"hotrace":"x"}\n', '[]', 'null', '{"type":[]}']) {
      expect(hotraceLog.sniff(head)).toBe(0);
    }
  });

  it('throws for a file that cannot be read', async () => {
    await expect(all(join(directory, 'none'))).rejects.toThrow(InputError);
    await expect(all(directory)).rejects.toThrow(/cannot be read/);
  });

  it('leaves off early without reading on', async () => {
    const file = await written([CALL, RETURN], '.gz');
    for await (const event of readLog(file)) {
      expect(event.type).toBe('function_call');
      break;
    }
  });
});

describe('the header of a file', () => {
  it.each([
    ['', /: not a hotrace log: it has no header$/],
    ['\n \n', /: not a hotrace log: it has no header$/],
    ['\n# tracer: nop\n', /: line 2: not a hotrace log/],
    [CALL_LINE, /: line 1: not a hotrace log/],
    ['x'.repeat(300), /: not a hotrace log/],
    ['{"hotrace":"log","version":7}', /: line 1: log version 7: this hotrace reads/],
    ['{"hotrace":"log","version":1}', /: line 1: header: sources: missing/],
  ])('%j is refused by readLogHeader and by append', async (content, message) => {
    const file = newFile();
    writeFileSync(file, content);
    for (const attempt of [readLogHeader, (name: string) => LogWriter.append(name)]) {
      const error: unknown = await attempt(file).then(
        () => undefined,
        (e: unknown) => e,
      );
      expect(error).toBeInstanceOf(InputError);
      expect((error as InputError).message).toMatch(message);
    }
    expect(readFileSync(file, 'utf8')).toBe(content);
  });

  it('is not looked for in an endless line', async () => {
    const file = newFile('.gz');
    writeFileSync(file, gzipSync(' '.repeat(64 * LONGEST_LINE)));
    await expect(readLogHeader(file)).rejects.toThrow(/has no header/);
  });

  it('is read from a compressed file too', async () => {
    expect(await readLogHeader(await written([CALL], '.gz'))).toEqual(HEADER);
  });
});

describe('appending', () => {
  async function append(file: string, list: readonly NewEvent[]): Promise<void> {
    const writer = await LogWriter.append(file);
    await writer.write(batchOf(list));
    await writer.close();
  }
  const content = (file: string): string => {
    const bytes = readFileSync(file);
    return (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
  };

  describe.each(['', '.gz'])('to a log%s', (suffix) => {
    const put = (file: string, text: string): void =>
      writeFileSync(file, suffix === '' ? text : gzipSync(text));

    it('continues it', async () => {
      const file = await written([CALL], suffix);
      await append(file, [RETURN]);
      await append(file, []);
      await append(file, [CALL]);
      expect(outline(await all(file))).toEqual([
        'function_call',
        'function_return',
        'function_call',
      ]);
      expect((await all(file)).map((event) => event.seq)).toEqual([0, 1, 2]);
      expect(content(file).split('"hotrace"')).toHaveLength(2);
    });

    it('cuts off a torn last line and nothing else', async () => {
      const before = content(await written([CALL, RETURN, CALL], suffix));
      const lastLine = before.lastIndexOf('\n', before.length - 2) + 1;
      for (let end = lastLine + 1; end < before.length - 1; end += 7) {
        const file = newFile(suffix);
        put(file, before.slice(0, end));
        await append(file, [RETURN]);
        expect(outline(await all(file))).toEqual([
          'function_call',
          'function_return',
          'function_return',
        ]);
        expect(content(file).startsWith(before.slice(0, lastLine))).toBe(true);
      }
    });

    it('keeps a last line that lacks only its line feed', async () => {
      for (const text of [`${HEADER_LINE}\n${CALL_LINE}`, `${HEADER_LINE}\r\n${CALL_LINE}`]) {
        const file = newFile(suffix);
        put(file, text);
        await append(file, [RETURN]);
        expect(outline(await all(file))).toEqual(['function_call', 'function_return']);
      }
      const file = newFile(suffix);
      put(file, HEADER_LINE);
      await append(file, [RETURN]);
      expect(outline(await all(file))).toEqual(['function_return']);
    });

    it('cuts off the zeros and the long torn line that a crash left', async () => {
      for (const tail of ['\0'.repeat(5000), `{"type":"mark","text":"${'x'.repeat(3e6)}`]) {
        const file = newFile(suffix);
        put(file, `${HEADER_LINE}\n${CALL_LINE}\n${tail}`);
        await append(file, [RETURN]);
        expect(outline(await all(file))).toEqual(['function_call', 'function_return']);
      }
    });
  });

  it('recovers a compressed log that ends early, wherever that is', async () => {
    const list = Array.from({ length: 400 }, (_, i): NewEvent => ({
      ...CALL,
      dev: `d${i * 7919}`,
    }));
    const whole = readFileSync(await written(list, '.gz'));
    const file = newFile('.gz');
    for (const end of [whole.length - 1, whole.length - 9, whole.length >> 1, whole.length >> 2]) {
      writeFileSync(file, whole.subarray(0, end));
      const before = (await all(file)).filter((event) => event.type !== 'unparsed');
      await append(file, [RETURN]);
      const after = await all(file);
      expect(outline(after)).not.toContain(expect.stringContaining('!'));
      expect(after.slice(0, -1)).toEqual(before);
      expect(after.at(-1)!.type).toBe('function_return');
    }
    expect(readdirSync(directory).filter((name) => name.endsWith('.partial'))).toEqual([]);
  });

  it('recovers a compressed log with zeros or the head of an unwritten part behind it', async () => {
    for (const tail of [Buffer.alloc(700), Buffer.from([0x1f]), Buffer.from([0x1f, 0x8b, 8, 0])]) {
      const file = await written([CALL], '.gz');
      appendFileSync(file, tail);
      await append(file, [RETURN]);
      expect(outline(await all(file))).toEqual(['function_call', 'function_return']);
    }
  });

  it('does not touch a compressed log that is damaged', async () => {
    const file = await written([CALL], '.gz');
    appendFileSync(file, 'garbage');
    const before = readFileSync(file);
    await expect(LogWriter.append(file)).rejects.toThrow(/damaged/);
    expect(readFileSync(file)).toEqual(before);
  });

  it('goes by what the file is, not by its name', async () => {
    const plain = newFile('.gz');
    writeFileSync(plain, `${HEADER_LINE}\n`);
    await append(plain, [CALL]);
    expect(outline(await all(plain))).toEqual(['function_call']);
    const compressed = newFile();
    writeFileSync(compressed, gzipSync(`${HEADER_LINE}\n`));
    await append(compressed, [CALL]);
    expect(outline(await all(compressed))).toEqual(['function_call']);
  });

  it('refuses standard output and a file that is not there', async () => {
    await expect(LogWriter.append('-')).rejects.toThrow(InputError);
    await expect(LogWriter.append(join(directory, 'none'))).rejects.toThrow(/cannot be read/);
  });
});

describe('writing', () => {
  it('throws what is wrong with the file from write or close', async () => {
    for (const suffix of ['', '.gz']) {
      const file = join(directory, 'none', `x${suffix}`);
      const writer = new LogWriter(file, HEADER);
      await expect(writer.close()).rejects.toThrow(InputError);
      const busy = new LogWriter(file, HEADER);
      const batch = batchOf(Array.from({ length: 4000 }, () => CALL));
      await expect(
        (async () => {
          for (;;) await busy.write(batch);
        })(),
      ).rejects.toThrow(/cannot be written/);
    }
  });

  it('may be closed twice, and is closed then', async () => {
    const writer = new LogWriter(newFile(), HEADER);
    await writer.close();
    await writer.close();
    expect(() => writer.write(batchOf([CALL]))).toThrow('closed');
  });
});
