import { existsSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { HotplugEvent } from '../../../events/event.js';
import { ftrace } from '../../../events/formats/ftrace.js';
import { perfScript } from '../../../events/formats/perf-script.js';
import type { Format } from '../../../events/reader.js';
import { readEvents } from '../read-events.js';

// No perf script line of these events is published: the samples follow the format strings of
// tools/perf/builtin-script.c.

const readBytes = (
  bytes: Uint8Array,
  capacity = 64,
  keepText = true,
  format: Format = perfScript,
) => readEvents(format, bytes, { capacity, keepText });

function read(text: string): HotplugEvent[] {
  return readBytes(Buffer.from(text.endsWith('\n') ? text : `${text}\n`));
}

function readOne(line: string): HotplugEvent {
  const events = read(line);
  expect(events).toHaveLength(1);
  return events[0];
}

const MAP =
  'IOMMU: iova=0x0000000000001000 - 0x0000000000002000 paddr=0x0000000000003000 size=4096';

describe('columns', () => {
  test.each<[string, string, object]>([
    ['default', '            bash     517 [001]    13.007259:              iommu:map: ', {}],
    ['--ns', '            bash     517 [001]    13.007259321: iommu:map: ', { time: 13007259321 }],
    ['pid/tid', '            bash     510/517     [001]    13.007259: iommu:map: ', {}],
    ['pid/tid before mid-2023', '            bash   510/517   [001]    13.007259: iommu:map: ', {}],
    ['a period', '            bash     517 [001]    13.007259:          1 iommu:map: ', {}],
    ['a call chain follows: comm not padded', 'bash     517 [001]    13.007259: iommu:map: ', {}],
    ['misc', '            bash     517 [001] K        13.007259: iommu:map: ', {}],
    [
      'time of day',
      '            bash     517 [001] 2025-11-20 10:30:00.123456    13.007259: iommu:map: ',
      {},
    ],
    ['a wide CPU', '            bash     517 [1023]    13.007259: iommu:map: ', { cpu: 1023 }],
    [
      'a long time',
      '            bash     517 [001] 1540823.804456: iommu:map: ',
      { time: 1540823804456000 },
    ],
    [
      'a pid of seven digits',
      '            bash 1558582 [001]    13.007259: iommu:map: ',
      { task: { comm: 'bash', pid: 1558582 } },
    ],
    ['tabs', 'bash\t517\t[001]\t13.007259:\tiommu:map:\t', {}],
  ])('%s', (_name, head, expected) => {
    expect(readOne(head + MAP)).toMatchObject({
      type: 'map',
      task: { comm: 'bash', pid: 517 },
      cpu: 1,
      time: 13007259000,
      iova: 4096,
      paddr: 12288,
      size: 4096,
      ...expected,
    });
  });

  test.each<[string, string, object]>([
    [
      'no comm',
      '     517 [001]    13.007259: iommu:map: ',
      { task: { comm: '', pid: 517 }, cpu: 1, time: 13007259000 },
    ],
    [
      'no CPU',
      '            bash     517    13.007259: iommu:map: ',
      { task: { comm: 'bash', pid: 517 }, time: 13007259000 },
    ],
    ['no pid', '            bash [001]    13.007259: iommu:map: ', { cpu: 1, time: 13007259000 }],
    [
      'a comm that ends in a number, no pid',
      '       worker 12 a [001]    13.007259: iommu:map: ',
      { cpu: 1 },
    ],
    ['time and event', '    13.007259: iommu:map: ', { time: 13007259000 }],
    ['event only', 'iommu:map: ', { time: NaN }],
    [
      'no time',
      '            bash     517 [001] iommu:map: ',
      { task: { comm: 'bash', pid: 517 }, cpu: 1, time: NaN },
    ],
  ])('%s', (_name, head, expected) => {
    const event = readOne(head + MAP);
    expect(event).toMatchObject({ type: 'map', iova: 4096, size: 4096, ...expected });
    for (const field of ['task', 'cpu'] as const) {
      if (!(field in expected)) expect(event).not.toHaveProperty(field);
    }
  });

  test.each([
    '(udev-worker)',
    'kworker/u64:0-iommu',
    'irq/24-AMD-Vi',
    'irq/25-pciehp',
    'Web Content',
    'a-1 b-2',
    'x [1] y',
    'worker 12',
    '12',
    'nginx: worker',
    ':-1',
    'naïve ☃',
  ])('comm %s', (comm) => {
    const task = { comm, pid: 53 };
    const tail = `      53 [002]    13.007259: iommu:map: ${MAP}`;
    expect(readOne(comm.padStart(16) + tail)).toMatchObject({ type: 'map', task });
    expect(readOne(comm.padStart(16) + tail.replace('53', '52/53'))).toMatchObject({
      type: 'map',
      task,
    });
  });

  test('comms that repeat, grow and shrink', () => {
    const comms = ['bash', 'bash', 'bas', 'bash2', 'a b', 'a', 'bash'];
    const events = read(
      comms.map((c) => `${c.padStart(16)} 1 [000] 1.000000: iommu:map: ${MAP}`).join('\n'),
    );
    expect(events.map((e) => e.task?.comm)).toEqual(comms);
  });

  test('CRLF', () => {
    expect(readOne(`bash 1 [000] 1.000000: iommu:map: ${MAP}\r\n\r\n`)).toMatchObject({
      type: 'map',
      size: 4096,
    });
  });

  test.each([
    'nothing of the kind',
    'bash 517 [001] 13.007259:',
    'bash 517 [001] 13.007259: ',
    'bash 517 [001] 13.0: iommu:map: iova=0x1 size=1',
    'bash 517 [001] 13.007259: iommu:map: IOMMU: size=1',
    'bash 517 [001] 13.007259: IOMMU: iova=0x1 size=1',
    'bash 517 [001] 13.007259: (ffffffff81234560) dev="0000:04:00.0"',
    'bash 517 [99999] 13.007259 iommu',
    'std::vector: x',
  ])('is counted where it cannot be read: %s', (line) => {
    expect(readOne(line)).toMatchObject({ type: 'unparsed', text: line, time: NaN });
  });
});

describe('payloads', () => {
  const head = '            bash     517 [001]    13.007259: ';
  test.each<[string, object]>([
    [
      'iommu:unmap: IOMMU: iova=0x1000 - 0x2000 size=4096 unmapped_size=4096',
      { type: 'unmap', iova: 4096, unmapped: 4096 },
    ],
    [
      'iommu:add_device_to_group: IOMMU: groupID=7 device=0000:04:00.0',
      { type: 'add_device_to_group', group: 7, dev: '0000:04:00.0' },
    ],
    [
      'iommu:attach_device_to_domain: IOMMU: device=0000:04:00.0',
      { type: 'attach_device_to_domain', dev: '0000:04:00.0' },
    ],
    [
      'iommu:io_page_fault: IOMMU:[drvname] 0000:05:00.0 iova=0x1000 flags=0x0001',
      { type: 'io_page_fault', dev: '0000:05:00.0', flags: 1 },
    ],
    [
      'pci:pci_hp_event: 0000:00:02.0 slot:10, event:LINK_UP',
      { type: 'pci_hp_event', slot: '10', event: 'LINK_UP' },
    ],
    ['notifier:notifier_run: pci_notify', { type: 'notifier_run', fn: 'pci_notify' }],
    [
      'notifier:notifier_register: failover_event',
      { type: 'chain_register', fn: 'failover_event' },
    ],
    [
      'probe:really_probe: (ffffffff81234560) dev="0000:04:00.0" drv="nvme"',
      { type: 'function_call', fn: 'really_probe', dev: '0000:04:00.0', drv: 'nvme' },
    ],
    [
      'probe:really_probe__return: (ffffffff81234560 <- ffffffff81432100) arg1=0x0',
      { type: 'function_return', fn: 'really_probe', ret: 0 },
    ],
    [
      'probe:__iommu_attach_device__return: (ffffffff81234560 <- ffffffff81432100) arg1=0xffffffea',
      { type: 'function_return', fn: '__iommu_attach_device', ret: -22 },
    ],
    [
      'probe:bus_notify: (ffffffff81234560) dev="0000:04:00.0" value=3',
      { type: 'bus_notify', action: 3, dev: '0000:04:00.0' },
    ],
    [
      'probe:iommu_bus_notifier: (ffffffff81234560) action=0x4 dev="0000:04:00.0"',
      { type: 'callback_call', fn: 'iommu_bus_notifier', action: 4 },
    ],
    [
      'probe:iommu_bus_notifier__return: (ffffffff81234560 <- ffffffff81432100) arg1=0x1',
      { type: 'callback_return', fn: 'iommu_bus_notifier', ret: 1 },
    ],
    ['probe:mine: (really_probe+0x0/0x10) dev="a"', { type: 'function_call', fn: 'really_probe' }],
    [
      'probe:other__return: (ffffffff81234560 <- ffffffff81432100) arg1=0x1',
      { type: 'trace_event', name: 'probe:other__return' },
    ],
    ['ftrace:print: tracing_mark_write: hello: you', { type: 'mark', text: 'hello: you' }],
    [
      '     987425 cycles:P:  ffffffff81234560 clear_page+0x4 ([kernel.kallsyms])',
      { type: 'trace_event', name: 'cycles:P' },
    ],
    [
      'sched:sched_switch: prev_comm=bash prev_pid=1',
      { type: 'trace_event', name: 'sched:sched_switch', text: 'prev_comm=bash prev_pid=1' },
    ],
    ['PERF_RECORD_COMM: bash:517/517', { type: 'trace_event', name: 'PERF_RECORD_COMM' }],
    ['PERF_RECORD_FORK(517:517):(1:1)', { type: 'trace_event', name: 'PERF_RECORD_FORK' }],
    [
      'PERF_RECORD_MMAP2 517/517: [0x1(0x2) @ 0 00:00 0 0]: r-xp /bin/bash',
      { type: 'trace_event', name: 'PERF_RECORD_MMAP2' },
    ],
  ])('%s', (text, expected) => {
    expect(readOne(head + text)).toMatchObject({ cpu: 1, time: 13007259000, ...expected });
  });

  test('text is kept only where it is asked for', () => {
    const line = Buffer.from(`${head}sched:sched_switch: x\n`);
    expect(readBytes(line, 64, false)[0]).not.toHaveProperty('text');
  });
});

describe('lines that are no events', () => {
  const event = (cpu: number, time: string): string =>
    `bash 517 [00${cpu}] ${time}: iommu:map: ${MAP}\n`;

  test('call chains belong to the event before', () => {
    const events = read(
      `${event(1, '13.007259')}\tffffffff8187a5d4 iommu_map+0x1b4 ([kernel.kallsyms])\n` +
        '\tffffffffc04a1a3f nvme_map_data+0x1f ([nvme])\n\t           0 [unknown] ([unknown])\n' +
        '\t    7f3a1c2d3e4f read (inlined)\n\t    7f3a1c2d3e4f\n\n' +
        event(1, '13.007260'),
    );
    expect(events.map((e) => [e.type, e.origin.line])).toEqual([
      ['map', 1],
      ['map', 8],
    ]);
  });

  test('headers, blank lines', () => {
    const text =
      '# ========\n# captured on    : Thu Nov 20\n# cmdline : perf record -e iommu:map: -a\n#\n\n  \n';
    expect(read(text + event(0, '1.000000'))).toMatchObject([{ type: 'map', origin: { line: 7 } }]);
  });

  test.each<[string, number | undefined]>([
    ['bash 517 [001] 3.000000: PERF_RECORD_LOST lost 12', 12],
    ['            bash     517 [001]     3.000000: PERF_RECORD_LOST lost 12', 12],
    ['bash 517 [001] 3.000000: PERF_RECORD_LOST_SAMPLES lost 5', 5],
    ['bash 517 [001] 3.000000: PERF_RECORD_LOST_SAMPLES lost 5 (BPF)', 5],
    ['517/517 [001] 3.000000: unknown: PERF_RECORD_LOST lost 9', 9],
    ['bash 517 [001] 3.000000: PERF_RECORD_LOST', undefined],
  ])('%s', (line, count) => {
    const events = read(
      event(1, '1.000000') + event(0, '2.000000') + `${line}\n` + event(1, '4.000000'),
    );
    expect(events.map((e) => e.type)).toEqual(['map', 'map', 'lost', 'map']);
    expect(events[2]).toMatchObject({ cpu: 1, since: 1e9, time: 3e9, origin: { line: 3 } });
    expect(events[2].type === 'lost' && events[2].count).toBe(count);
  });

  test.each<[string, number | undefined]>([
    ['PERF_RECORD_LOST lost 12', 12],
    ['PERF_RECORD_LOST lost=7', 7],
    ['Warning: lost 30 events', 30],
    ['Processed 100 events and lost 3 chunks!', undefined],
  ])('%s, without a time, ends at the next event', (line, count) => {
    const events = read(
      event(1, '1.000000') + event(0, '2.000000') + `${line}\n` + event(1, '4.000000'),
    );
    expect(events.map((e) => e.type)).toEqual(['map', 'map', 'lost', 'map']);
    expect(events[2]).toMatchObject({ since: 2e9, time: 4e9, origin: { line: 3 } });
    expect(events[2]).not.toHaveProperty('cpu');
    expect(events[2].type === 'lost' && events[2].count).toBe(count);
    expect(read(line)).toMatchObject([{ type: 'lost', time: NaN }]);
  });

  test('many losses in a row', () => {
    expect(
      read('PERF_RECORD_LOST lost 1\n'.repeat(50)).filter((e) => e.type === 'lost'),
    ).toHaveLength(50);
  });
});

test('whose a file is', () => {
  const line = `            bash     517 [001]    13.007259: iommu:map: ${MAP}\n`;
  expect(perfScript.sniff(line)).toBeGreaterThan(0.8);
  expect(perfScript.sniff(`# ========\n# captured on    : Thu Nov 20\n${line}`)).toBe(1);
  expect(perfScript.sniff(`    13.007259: iommu:map: ${MAP}\n`)).toBeGreaterThan(0.8);
  expect(
    perfScript.sniff(`${line}\tffffffff8187a5d4 iommu_map+0x1b4 ([kernel.kallsyms])\n\n${line}`),
  ).toBeGreaterThan(0.8);
  for (const other of [
    '',
    'hello\n',
    '[   13.007259] pci 0000:04:00.0: Adding to iommu group 7\n',
    `            bash-517     [001] .....    13.007259: map: ${MAP}\n`,
    '            bash-517     (    510) [001] .....    13.007259: map: x\n',
    'KERNEL[13.007259] add      /devices/pci0000:00 (pci)\n',
    '{"a": 1}\n',
  ]) {
    expect(perfScript.sniff(other)).toBe(0);
  }
});

// A recording of ftrace, printed as perf would have printed it, gives the same events.
const RECORDING = new URL(
  '../../../../shared/traces/7.2/add-del-native/trace.txt',
  import.meta.url,
);

test.skipIf(!existsSync(RECORDING))('a recording in the columns of perf script', () => {
  const text = readFileSync(RECORDING, 'utf8');
  const systems: Record<string, string> = {
    map: 'iommu',
    unmap: 'iommu',
    notifier_run: 'notifier',
    pci_hp_event: 'pci',
  };
  const lines = text.split('\n').map((line) => {
    const m = /^(.{16})-(\d+) +\[(\d+)\] \S+ +([\d.]+): (\w+): (.*)$/.exec(line);
    if (m === null) return line;
    const name = m[5].replace(/_ret$/, '__return').replace(/^tracing_mark_write$/, 'print');
    const payload = name === 'print' ? `tracing_mark_write: ${m[6]}` : m[6];
    return `${m[1]} ${m[2].padStart(7)} [${m[3]}] ${m[4].padStart(12)}: ${(systems[m[5]] ?? 'probe') + ':' + name}: ${payload}`;
  });
  const perf = readBytes(Buffer.from(lines.join('\n')));
  const trace = readBytes(Buffer.from(text), 64, true, ftrace);
  const strip = (events: HotplugEvent[]): unknown[] =>
    events.map((e) => ({
      ...e,
      origin: e.origin.line,
      name: '',
      ...(e.type === 'trace_event' ? { text: '' } : {}),
    }));
  expect(strip(perf)).toEqual(strip(trace));
});

const LINES = [
  `            bash     517 [001]    13.007259:          1 iommu:map: ${MAP}`,
  '   (udev-worker)   517/518   [001]    13.007259321: probe:really_probe__return: (ffffffff81234560 <- ffffffff81432100) arg1=0x0',
  '   irq/25-pciehp      57 [000]    20.614394: pci:pci_hp_event: 0000:00:04.0 slot:1, event:CARD_PRESENT',
  '    13.007259: iommu:add_device_to_group: IOMMU: groupID=7 device=0000:04:00.0',
  'iommu:io_page_fault: IOMMU:[drvname] 0000:05:00.0 iova=0x1000 flags=0x0001',
  '            bash     517 [001]    13.007259: PERF_RECORD_LOST lost 12',
  'PERF_RECORD_LOST lost 12',
  '\tffffffff8187a5d4 iommu_map+0x1b4 ([kernel.kallsyms])',
  '# captured on    : Thu Nov 20',
];

const SILENT = /^\s*$|^#|^[ \t]+(?:[0-9a-f]{8,16}(?:[ \t].*)?|[0-9a-f]{1,7}[ \t].*\))\r?$/s;

const mutated = fc
  .tuple(
    fc.constantFrom(...LINES),
    fc.constantFrom(...LINES),
    fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }),
    fc.nat(),
    fc.nat(),
    fc.constantFrom('flip', 'cut', 'tail', 'twice', 'splice'),
  )
  .map(([line, other, flips, m, n, how]) => {
    const a = Buffer.from(line);
    const b = Buffer.from(other);
    const i = m % (a.length + 1);
    const bytes = Buffer.from(
      {
        flip: () => a,
        cut: () => a.subarray(0, i),
        tail: () => a.subarray(i),
        twice: () => Buffer.concat([a, a]),
        splice: () => Buffer.concat([a.subarray(0, i), b.subarray(n % (b.length + 1))]),
      }[how](),
    );
    for (const [at, value] of flips) if (bytes.length > 0) bytes[at % bytes.length] = value;
    for (let k = 0; k < bytes.length; k++) if (bytes[k] === 10) bytes[k] = 32;
    return bytes;
  });

describe('damaged lines', () => {
  test('every line gives a row or is one that is passed over', () => {
    fc.assert(
      fc.property(mutated, (line) => {
        const events = readBytes(Buffer.concat([line, Buffer.from('\n')]));
        for (const event of events) expect(event.origin.line).toBe(1);
        if (events.length === 0) expect(line.toString('latin1')).toMatch(SILENT);
      }),
      { numRuns: 3000 },
    );
  });

  test('batches of any size give the same events', () => {
    fc.assert(
      fc.property(
        fc.array(mutated, { maxLength: 30 }),
        fc.integer({ min: 8, max: 40 }),
        (lines, capacity) => {
          const bytes = Buffer.concat(lines.flatMap((l) => [l, Buffer.from('\n')]));
          if (bytes.length === 0) return;
          const strip = (events: HotplugEvent[]): object[] => events.map((e) => ({ ...e, seq: 0 }));
          expect(strip(readBytes(bytes, capacity))).toEqual(strip(readBytes(bytes, 4096)));
        },
      ),
      { numRuns: 300 },
    );
  });
});
