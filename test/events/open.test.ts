import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { HotplugEvent } from '../../events/event.js';
import { FORMATS } from '../../events/formats.js';
import { InputError } from '../../events/input-error.js';
import { openInput } from '../../events/open.js';
import type { Input, OpenOptions } from '../../events/open.js';
import { LONGEST_LINE } from '../../events/reader.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'hotrace-open-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

async function collect(input: Input, reuse = false): Promise<HotplugEvent[]> {
  const events: HotplugEvent[] = [];
  for await (const batch of input.batches({ reuse })) {
    for (let i = 0; i < batch.length; i++) events.push(batch.event(i));
  }
  return events;
}

async function readAll(path: string, options: OpenOptions = {}): Promise<HotplugEvent[]> {
  const input = await openInput(path, options);
  const events = await collect(input);
  expect(input.problem).toBeUndefined();
  return events;
}

function traceLine(n: number): string {
  const time = (100 + n / 1000).toFixed(6).padStart(12);
  return `            bash-517     [00${n % 2}] ..... ${time}: map: IOMMU: iova=0x${(n * 4096).toString(16)} - 0x1 paddr=0x2000 size=4096\n`;
}

const HEADER = '# tracer: nop\n#\n# entries-in-buffer/entries-written: 9/9   #P:2\n#\n';
const TRACE = HEADER + Array.from({ length: 20_000 }, (_, i) => traceLine(i)).join('');

describe('what is read', () => {
  test('a plain file, in batches with consecutive numbers', async () => {
    const events = await readAll(file('plain.txt', TRACE));
    expect(events).toHaveLength(20_000);
    expect(events.every((e, i) => e.seq === i && e.type === 'map' && e.iova === i * 4096)).toBe(
      true,
    );
    expect(events[7].origin).toEqual({
      format: 'ftrace',
      file: join(folder, 'plain.txt'),
      line: 12,
    });
  });

  test('the same batch again and again', async () => {
    const input = await openInput(file('reuse.txt', TRACE));
    const seen = new Set<object>();
    let rows = 0;
    for await (const batch of input.batches({ reuse: true })) {
      seen.add(batch);
      expect(batch.firstSeq).toBe(rows);
      expect(batch.event(0)).toMatchObject({ seq: rows, iova: rows * 4096 });
      rows += batch.length;
    }
    expect(rows).toBe(20_000);
    expect(seen.size).toBe(1);
    expect(input.position).toEqual({
      taken: Buffer.byteLength(TRACE),
      size: Buffer.byteLength(TRACE),
    });
  });

  test('gzip, whatever its name', async () => {
    const plain = await readAll(file('a.txt', TRACE));
    const path = file('b.dat', gzipSync(TRACE));
    const zipped = await readAll(path);
    expect(zipped.map((e) => ({ ...e, origin: 0 }))).toEqual(
      plain.map((e) => ({ ...e, origin: 0 })),
    );
  });

  test('several gzip members, one behind the other', async () => {
    const half = TRACE.indexOf('\n', TRACE.length / 2) + 1;
    const parts = [gzipSync(TRACE.slice(0, half)), gzipSync(TRACE.slice(half))];
    expect(await readAll(file('members.gz', Buffer.concat(parts)))).toHaveLength(20_000);
  });

  test.each([0.5, 0.9, 0.999])(
    'gzip data that end at %d: what came before is read',
    async (share) => {
      const zipped = gzipSync(TRACE);
      const input = await openInput(file('short.gz', zipped.subarray(0, zipped.length * share)));
      const events = await collect(input);
      expect(input.problem).toBeInstanceOf(InputError);
      expect(input.problem?.message).toMatch(/gzip data end early/);
      const maps = events.filter((e) => e.type === 'map').length;
      expect(maps).toBeGreaterThan(20_000 * share * 0.8);
      expect(maps).toBeLessThan(20_000);
      expect(events.filter((e) => e.type !== 'map').length).toBeLessThan(2); // the cut line
    },
  );

  test('damaged gzip data', async () => {
    const zipped = gzipSync(TRACE);
    zipped.fill(0xff, zipped.length * 0.8, zipped.length * 0.8 + 200);
    const input = await openInput(file('damaged.gz', zipped));
    const events = await collect(input);
    expect(input.problem).toBeInstanceOf(InputError);
    expect(events.length).toBeGreaterThan(1000);
  });

  test('gzip data that are cut before anything was inflated', async () => {
    await expect(openInput(file('head.gz', gzipSync(TRACE).subarray(0, 12)))).rejects.toThrow(
      InputError,
    );
  });

  test('NUL bytes and bytes that are no text', async () => {
    const bytes = Buffer.concat([
      Buffer.from(HEADER + traceLine(1)),
      Buffer.alloc(5000),
      Buffer.from([0xff, 0xfe, 0x80, 10]),
      Buffer.from(traceLine(2)),
    ]);
    const events = await readAll(file('nul.txt', bytes));
    expect(events.map((e) => e.type)).toEqual(['map', 'unparsed', 'map']);
    expect(events[1].type === 'unparsed' && events[1].text.length).toBeLessThan(500);
  });

  test('no line feed at the end, and carriage returns', async () => {
    const text = (HEADER + traceLine(1) + traceLine(2)).trimEnd();
    expect(await readAll(file('open-end.txt', text))).toHaveLength(2);
    const events = await readAll(file('crlf.txt', text.replaceAll('\n', '\r\n')));
    expect(events).toMatchObject([
      { type: 'map', size: 4096 },
      { type: 'map', size: 4096 },
    ]);
  });

  test('many blank lines', async () => {
    expect(
      await readAll(file('blank.txt', HEADER + '\n'.repeat(3_000_000) + traceLine(1))),
    ).toHaveLength(1);
  });

  test('a source given by number', async () => {
    const sources = [{ format: 'x', file: 'y' }];
    const path = file('second.txt', HEADER + traceLine(1));
    const [event] = await collect(await openInput(path, { sources, source: 1, format: 'ftrace' }));
    expect(event.origin).toEqual({ format: 'ftrace', file: path, line: 5 });
    expect(sources).toHaveLength(2);
  });

  test('leaving before the end closes the file', async () => {
    const input = await openInput(file('leave.gz', gzipSync(TRACE)));
    for await (const batch of input.batches({ reuse: true })) {
      expect(batch.length).toBeGreaterThan(0);
      break;
    }
  });
});

describe('long lines', () => {
  test('a line of the greatest length is read, a longer one is cut', async () => {
    const line = traceLine(1).trimEnd();
    const fits = `${line} ${'x'.repeat(LONGEST_LINE - line.length - 2)}\n`;
    const longer = `${line} ${'x'.repeat(LONGEST_LINE * 3)}\n`;
    const path = file('long.txt', HEADER + fits + longer + traceLine(2) + fits + longer);
    const events = await readAll(path);
    expect(events.map((e) => [e.type, e.origin.line])).toEqual([
      ['map', 5],
      ['unparsed', 6],
      ['map', 7],
      ['map', 8],
      ['unparsed', 9],
    ]);
  });

  test.each([
    ['plain', ''],
    ['gzip', '.gz'],
  ])('100 MB without a line feed (%s) take little memory', async (_name, suffix) => {
    const path = join(folder, `huge.txt${suffix}`);
    const megabyte = Buffer.alloc(1024 * 1024, 'x');
    const out = openSync(path, 'w');
    const write = (bytes: Uint8Array): void => {
      // A gzip file may have any number of members.
      writeSync(out, suffix === '' ? bytes : gzipSync(bytes));
    };
    write(Buffer.from(HEADER + traceLine(1)));
    for (let i = 0; i < 100; i++) write(megabyte);
    write(Buffer.from(`\n${traceLine(2)}`));
    closeSync(out);
    const before = process.memoryUsage().rss;
    let most = before;
    const timer = setInterval(() => (most = Math.max(most, process.memoryUsage().rss)), 5);
    const events = await readAll(path, { format: 'ftrace' });
    clearInterval(timer);
    rmSync(path);
    most = Math.max(most, process.memoryUsage().rss);
    expect(events.map((e) => [e.type, e.origin.line])).toEqual([
      ['map', 5],
      ['unparsed', 6],
      ['map', 7],
    ]);
    expect(most - before).toBeLessThan(200 * 1024 * 1024);
  });
});

describe('what is refused, in one sentence', () => {
  test.each<[string, () => string, OpenOptions, RegExp]>([
    ['an empty file', () => file('empty.txt', ''), {}, /empty\.txt: is empty$/],
    ['an empty gzip file', () => file('empty.gz', gzipSync('')), {}, /empty\.gz: is empty$/],
    [
      'a missing file',
      () => join(folder, 'missing.txt'),
      {},
      /missing\.txt: there is no such file$/,
    ],
    ['a directory', () => folder, {}, /is a directory without/],
    [
      'binary junk',
      () => file('junk.bin', Buffer.from(Array.from({ length: 9000 }, (_, i) => (i * 7919) % 256))),
      {},
      /not a format that hotrace reads/,
    ],
    [
      'NUL bytes only',
      () => file('zero.bin', Buffer.alloc(100_000)),
      {},
      /not a format that hotrace reads/,
    ],
    [
      'prose',
      () => file('prose.txt', 'Once upon a time\nthere was a trace.\n'),
      {},
      /not a format that hotrace reads/,
    ],
    [
      'an unknown format',
      () => file('t.txt', TRACE),
      { format: 'nonsense' },
      /no format is called "nonsense"; known: .*ftrace/,
    ],
    ['an empty name', () => '', {}, /no such file/],
  ])('%s', async (_name, path, options, message) => {
    const opened = openInput(path(), options);
    await expect(opened).rejects.toThrow(InputError);
    await expect(openInput(path(), options)).rejects.toThrow(message);
  });

  test.skipIf(!existsSync('/proc/self/fd'))('what is refused is closed', async () => {
    const path = file('refused.txt', 'Once upon a time\n');
    const open = (): number => readdirSync('/proc/self/fd').length;
    const before = open();
    for (let i = 0; i < 20; i++) await expect(openInput(path)).rejects.toThrow(InputError);
    for (let i = 0; i < 20; i++) {
      await expect(openInput(path, { format: 'nonsense' })).rejects.toThrow(InputError);
    }
    expect(open()).toBeLessThan(before + 5);
  });

  test('binary junk is read where the format is given', async () => {
    const junk = Buffer.from(Array.from({ length: 9000 }, (_, i) => (i * 7919) % 256));
    for (const { name } of FORMATS) {
      const input = await openInput(file('junk2.bin', junk), { format: name });
      expect(input.detected).toBe(false);
      const events = await collect(input);
      if (name !== 'hotrace') expect(events.some((e) => e.type === 'unparsed')).toBe(true);
    }
  });
});

describe('whose a file is', () => {
  const samples: [string, string][] = [
    ['ftrace', HEADER + traceLine(1)],
    ['ftrace', traceLine(1) + traceLine(2)],
    ['ftrace', `CPU:1 [LOST 5 EVENTS]\n${traceLine(1)}`],
    ['trace-cmd', `cpus=2\n${traceLine(1)}`],
    ['trace-cmd', `version = 6\ncpus=8\nCPU:7 [204600 EVENTS DROPPED]\n${traceLine(1)}`],
    [
      'perf-script',
      '            bash     517 [001]    13.007259: iommu:map: IOMMU: iova=0x1000 size=4096\n',
    ],
    [
      'dmesg',
      '[    1.061214] pci 0000:00:00.0: Adding to iommu group 0\n[    1.062214] pci 0000:00:01.0: Adding to iommu group 1\n',
    ],
    [
      'udevadm',
      'monitor will print the received events for:\nKERNEL - the kernel uevent\n\nKERNEL[13.007259] add      /devices/pci0000:00/0000:00:01.0 (pci)\n',
    ],
  ];
  test.each(samples)('%s', async (format, text) => {
    const input = await openInput(file('sample.txt', text));
    expect([input.format, input.detected]).toEqual([format, true]);
    await collect(input);
  });

  const TRACES = new URL('../../../shared/traces/', import.meta.url);
  const KINDS: [RegExp, string][] = [
    [/^trace(_pipe)?\.txt(\.gz)?$/, 'ftrace'],
    [/^trace-cmd(-live)?-report\.txt(\.gz)?$/, 'trace-cmd'],
    [/^dmesg\.txt(\.gz)?$/, 'dmesg'],
    [/^udevadm-monitor\.txt(\.gz)?$/, 'udevadm'],
    [/^sysfs-(before|after)\.txt(\.gz)?$/, 'sysfs-snapshot'],
  ];
  const here = existsSync(TRACES);
  const kernels = here ? readdirSync(TRACES).filter((name) => /^\d/.test(name)) : [];

  test.skipIf(!here).each(kernels)('the recordings of %s', async (kernel) => {
    let files = 0;
    for (const scenario of readdirSync(new URL(`${kernel}/`, TRACES))) {
      const directory = new URL(`${kernel}/${encodeURIComponent(scenario)}/`, TRACES);
      for (const name of readdirSync(directory)) {
        const path = fileURLToPath(new URL(name, directory));
        const format = KINDS.find(([pattern]) => pattern.test(name))?.[1];
        if (format !== undefined) {
          const bytes = name.endsWith('.gz') ? gunzipSync(readFileSync(path)) : readFileSync(path);
          if (bytes.length === 0) continue;
          const input = await openInput(path);
          expect(input.format, path).toBe(format);
          for await (const batch of input.batches({ reuse: true })) {
            expect(batch.length).toBeGreaterThan(0);
            break;
          }
          files++;
        } else if (/^(trace\.dat|meta\.json)/.test(name)) {
          await expect(openInput(path), path).rejects.toThrow(InputError);
        }
      }
    }
    expect(files).toBeGreaterThan(100);
  });
});
