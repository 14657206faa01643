/** Inputs and command lines that are no good: what is said about them, and that nothing worse happens. */

import {
  chmodSync,
  closeSync,
  copyFileSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ReplayFlags } from '../../../src/cli/replay.js';
import {
  build,
  FIXTURES,
  flat,
  folder,
  hotrace,
  peak,
  replayed,
  ROOT,
  SAMPLE,
  shell,
  text,
} from './command.js';
import type { Ran } from './command.js';

const TRACE = `${SAMPLE}/trace.txt.gz`;
const BEFORE = `${SAMPLE}/sysfs-before.txt`;

let temporary: string;
let remove: () => void;
beforeAll(() => {
  build();
  process.chdir(ROOT);
  [temporary, remove] = folder();
});
afterAll(() => remove());

function file(name: string, content: string | Uint8Array): string {
  const path = join(temporary, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  return path;
}

/** Sentences for people on stderr: no stack, nothing that acts on a terminal. */
function expectMessage({ err }: Ran, ...parts: (string | RegExp)[]): void {
  expect(err).not.toContain('    at ');

  expect(err).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e]/);
  for (const line of err.trimEnd().split('\n')) expect(line).toMatch(/^hotrace: /);
  for (const part of parts) expect(flat(err).trim()).toMatch(part);
}

/** Refused: code 2, nothing on stdout. */
async function expectRefused(
  files: readonly string[],
  flags: ReplayFlags,
  ...parts: (string | RegExp)[]
): Promise<void> {
  const ran = await replayed(files, flags);
  expect([ran.code, ran.out]).toEqual([2, '']);
  expectMessage(ran, ...parts);
}

interface Json {
  readonly outcome: string;
  readonly events: number;
  readonly unparsedCount: number;
  readonly clockSteps: number;
  readonly inputs: readonly { readonly file: string; readonly problem?: string }[];
  readonly verdicts: readonly {
    readonly rule: string;
    readonly status: string;
    readonly violationCount: number;
  }[];
  readonly state?: {
    readonly devices: readonly { readonly name: string; readonly driver?: string | null }[];
  };
}
const json = async (files: readonly string[], flags: ReplayFlags = {}): Promise<Json> =>
  JSON.parse((await replayed(files, { ...flags, json: true })).out) as Json;
const statuses = ({ verdicts }: Json) => verdicts.map(({ rule, status }) => `${rule} ${status}`);
const violated = ({ verdicts }: Json) => verdicts.filter((v) => v.violationCount > 0);

describe('files that cannot be read', () => {
  test('a missing file', () =>
    expectRefused(['no/such.txt'], {}, 'hotrace: no/such.txt: there is no such file'));

  test('an empty file, plain, compressed, and on standard input', async () => {
    await expectRefused([file('empty.txt', '')], {}, /empty\.txt: is empty/);
    await expectRefused([file('empty.txt.gz', gzipSync(''))], {}, /empty\.txt\.gz: is empty/);
    const ran = hotrace(['replay', '-'], '');
    expect(ran.code).toBe(2);
    expectMessage(ran, /^hotrace: -: is empty/);
  });

  test('binary junk says which formats there are and how to read it all the same', async () => {
    let seed = 1;
    const junk = Uint8Array.from(
      { length: 300_000 },
      () => (seed = (seed * 48271) % 2147483647) & 255,
    );
    const path = file('junk.bin', junk);
    await expectRefused(
      [path],
      {},
      /junk\.bin: byte 0: not a format that hotrace reads \(.*ftrace.*\); --format NAME/,
    );
    for (const format of [
      'ftrace',
      'trace-cmd',
      'perf-script',
      'dmesg',
      'dmesg-json',
      'udevadm',
      'journal',
      'sysfs-snapshot',
      'hotrace-log',
    ]) {
      const ran = await replayed([path], { format });
      expect([format, ran.code]).toEqual([format, 3]);
      expectMessage(
        ran,
        new RegExp(`nothing could be read: \\S*junk\\.bin as ${format}; leave out --format`),
      );
      expect(ran.out).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
    }
  });

  test.skipIf(process.getuid?.() === 0)('a file without permission', async () => {
    const path = file('secret.txt', 'x');
    chmodSync(path, 0);
    await expectRefused([path], {}, /secret\.txt: permission denied/);
  });

  test('a directory that is no sysfs says what to give', () =>
    expectRefused(
      [temporary],
      {},
      /: is a directory without kernel\/iommu_groups or bus in it: give \/sys/,
    ));

  test('a device, and a file below a file', async () => {
    await expectRefused(['/dev/null'], {}, 'hotrace: /dev/null: is empty');
    await expectRefused([`${TRACE}/x`], {}, /cannot be opened: ENOTDIR/);
  });

  test('a snapshot that is none', async () => {
    await expectRefused(
      [TRACE],
      { sysfsBefore: `${SAMPLE}/dmesg.txt` },
      /dmesg\.txt: is dmesg, not a sysfs snapshot or tree/,
    );
    await expectRefused(
      [TRACE],
      { sysfsAfter: 'no/such' },
      'hotrace: no/such: there is no such file',
    );
    await expectRefused([TRACE], { sysfsBefore: file('empty.txt', '') }, /is empty/);
  });

  test.each([
    ['missing', () => 'no/such.txt', 'there is no such file'],
    ['empty', () => file('empty.txt', ''), 'is empty'],
    ['junk', () => file('junk.bin', Buffer.alloc(3000, 0xa7)), /not a format that hotrace reads/],
  ])('one of several is %s: the others are replayed', async (_, bad, why) => {
    const path = bad();
    for (const files of [
      [TRACE, path],
      [path, TRACE],
    ]) {
      const ran = await replayed(files);
      expect(ran.code).toBe(2);
      expectMessage(ran, why);
      expect(flat(ran.err)).toContain(`hotrace: ${path}: `);
      const alone = await replayed([TRACE]);
      expect(flat(ran.out)).toContain(`${path} (not read) broken `);
      expect(ran.out.slice(ran.out.indexOf('kernel '))).toBe(
        alone.out.slice(alone.out.indexOf('kernel ')),
      );
      const { out } = await replayed(files, { json: true });
      const { inputs } = JSON.parse(out) as { inputs: readonly { readonly format?: string }[] };
      expect(inputs.map(({ format }) => format)).toEqual(['ftrace', undefined]);
    }
  });

  test('a violation is told by the exit code also where another file is missing', async () => {
    const broken = text(TRACE).replaceAll('value=3', 'value=4');
    const ran = await replayed([file('broken.txt', broken), 'no/such.txt']);
    expect(ran.code).toBe(1);
    expectMessage(ran, 'hotrace: no/such.txt: there is no such file');
  });

  test('several, and none can be opened', () =>
    expectRefused(
      ['no/such.txt', file('empty.txt', '')],
      {},
      'no/such.txt: there is no such file',
    ));
});

describe('inputs that break off', () => {
  test('a truncated gzip file: the readable part, and the byte where it ends', async () => {
    const whole = readFileSync(TRACE);
    const path = file('cut.txt.gz', whole.subarray(0, 9000));
    const ran = await replayed([path]);
    expect(ran.code).toBe(3);
    expectMessage(
      ran,
      /cut\.txt\.gz: byte 9000: the gzip data end early; what came before was read$/m,
    );
    expect(flat(ran.out)).toContain(
      'broken byte 9000: the gzip data end early; what came before was read',
    );
    const { events, inputs } = await json([path]);
    expect(events).toBeGreaterThan(500);
    expect(inputs[0].problem).toContain('byte 9000');
    // A question about the state is answered, and the warning still comes.
    const asked = await replayed([path], { at: '141' });
    expect(asked.code).toBe(3);
    expectMessage(asked, /byte 9000/);
    expect(asked.out).toMatch(/^state at 140\.9/);
  });

  test('the same on standard input', () => {
    const ran = hotrace(['replay', '-'], readFileSync(TRACE).subarray(0, 9000));
    expect(ran.code).toBe(3);
    expectMessage(ran, /^hotrace: -: byte 9000: the gzip data end early/);
  });

  test('a truncated gzip file of which nothing can be had', async () => {
    await expectRefused(
      [file('stub.gz', readFileSync(TRACE).subarray(0, 12))],
      {},
      /byte 12: the gzip data end early; nothing could be read/,
    );
    await expectRefused(
      [file('magic.gz', Uint8Array.of(0x1f, 0x8b))],
      {},
      /byte 2: the gzip data end early/,
    );
  });

  test('a damaged gzip file: what came before the damage, and where it is', async () => {
    const bytes = Uint8Array.from(readFileSync(TRACE));
    // An impossible block type, so that inflating stops here and not only at the checksum.
    const big = gzipSync(Buffer.concat([gunzipSync(bytes), Buffer.alloc(200_000, text(TRACE))]), {
      level: 1,
    });
    big.fill(0xff, 20_000, 20_400);
    const path = file('damaged.gz', big);
    const ran = await replayed([path]);
    expect(ran.code).toBe(3);
    const at = Number(
      /byte (\d+): damaged gzip data \(.*\); what came before was read/.exec(ran.err)![1],
    );
    expect(at).toBeGreaterThan(15_000);
    expect(at).toBeLessThan(21_000);
    expect((await json([path])).events).toBeGreaterThan(500);
  });

  test('a wrong checksum at the end loses nothing', async () => {
    const bytes = Uint8Array.from(readFileSync(TRACE));
    bytes[bytes.length - 6] ^= 0xff;
    const path = file('checksum.gz', bytes);
    const ran = await replayed([path]);
    expect(ran.code).toBe(3);
    expectMessage(ran, /damaged gzip data \(incorrect data check\); what came before was read/);
    expect((await json([path])).events).toBeGreaterThan(1200);
  });

  test('a line cut in the middle is told, and everything before it is kept', async () => {
    const whole = text(TRACE);
    const path = file(
      'cut.txt',
      whole.slice(0, whole.lastIndexOf('device_release_driver_internal: ') + 10),
    );
    const ran = await replayed([path]);
    expect(ran.code).toBe(3);
    expect(ran.out).toContain('1,363 events, 1 line not read (--unparsed lists them)');
    expect(flat(ran.out)).toMatch(/lost 1 event, first at \S*cut\.txt:1376/);
  });
});

describe('lines of every kind', () => {
  test('a line of 100 MB takes neither the memory nor the time', () => {
    const path = join(temporary, 'long.txt');
    const out = openSync(path, 'w');
    writeSync(out, text(TRACE));
    const megabyte = Buffer.alloc(1 << 20, 'a');
    for (let n = 0; n < 100; n++) writeSync(out, megabyte);
    writeSync(out, `\n${text(TRACE).split('\n').at(-2)}\n`);
    closeSync(out);
    const begin = performance.now();
    const { code, out: shown, err, megabytes } = peak(['replay', path, '--unparsed']);
    expect(performance.now() - begin).toBeLessThan(10_000);
    expect(megabytes).toBeLessThan(400);
    expect([code, err]).toEqual([0, '']);
    expect(shown).toContain('1,366 events, 1 line not read');
    expect(shown).toMatch(/long\.txt:1378: line longer than 1048576 bytes: a+/);
    expect(Math.max(...shown.split('\n').map((l) => l.length))).toBeLessThan(400);
  });

  test('neither does a compression bomb', () => {
    const path = file(
      'bomb.gz',
      gzipSync(Buffer.concat([Buffer.from(text(TRACE)), Buffer.alloc(100 << 20, 'a')])),
    );
    const begin = performance.now();
    const { code, megabytes, out } = peak(['replay', path]);
    expect(performance.now() - begin).toBeLessThan(10_000);
    expect(megabytes).toBeLessThan(400);
    expect(code).toBe(0);
    expect(out).toContain('1,365 events, 1 line not read');
  });

  test('CRLF changes nothing', async () => {
    const path = file('crlf.txt', text(TRACE).replaceAll('\n', '\r\n'));
    expect(statuses(await json([path]))).toEqual(statuses(await json([TRACE])));
    expect((await json([path])).unparsedCount).toBe(0);
    const snapshot = file('crlf-sysfs.txt', text(BEFORE).replaceAll('\n', '\r\n'));
    expect((await json([TRACE], { sysfsBefore: snapshot, at: '#50' })).state!.devices).toEqual(
      expect.arrayContaining([expect.objectContaining({ name: '0000:00:03.2', driver: 'e1000e' })]),
    );
  });

  test('NUL bytes inside and between lines', async () => {
    const lines = text(TRACE).split('\n');
    lines[100] = lines[100].replace('0000', '\0\0\0\0');
    lines.splice(200, 0, '\0'.repeat(1000));
    const ran = await replayed([file('nul.txt', lines.join('\n'))], { unparsed: true });
    expect(ran.code).not.toBe(2);
    expect(ran.out).not.toContain('\0');
    expect(ran.out).toMatch(/nul\.txt:201: .*\\x00\\x00/);
  });

  test('clocks that jump back are told', async () => {
    const lines = text(TRACE).split('\n');
    const moved = lines.map((line, n) =>
      n > 600 && n < 900 ? line.replace(/ 14(\d)\./, ' 4$1.') : line,
    );
    const path = file('jump.txt', moved.join('\n'));
    const ran = await replayed([path]);
    expect(flat(ran.out)).toContain('; the clock stepped back 1 time ');
    expect((await json([path])).clockSteps).toBe(1);
    for (const at of ['41', '43.5', '141', '144', '145'])
      expect((await replayed([path], { at })).out).toMatch(/^state/);
  });
});

describe('names', () => {
  const long = `x${'0123456789'.repeat(1000)}y`;
  test.each([
    ['of Object', '__proto__', '__proto__'],
    ['of its methods', 'constructor', 'constructor'],
    ['of its other methods', 'hasOwnProperty', 'hasOwnProperty'],
    ['that are paths', '../../etc', '../../etc'],
    ['that are HTML', '<script>alert(1)</script>', '<script>alert(1)</script>'],
    ['with escape sequences', 'a\u001b[31mb\u0007', 'a\\x1b[31mb\\x07'],
    ['with C1 controls', 'a\u009b31mb', 'a\\x9b31mb'],
    ['with bidirectional marks', 'abc\u202edef\u200fghi\u2066j', 'abc\\u202edef\\u200fghi\\u2066j'],
    ['with what is not seen', 'soft\u00adzero\u200bwidth', 'soft\\xadzero\\u200bwidth'],
    ['of 10 kB', long, `${long.slice(0, 35)}…${long.slice(-12)}`],
  ])('%s', async (_, name, shown) => {
    const path = file('name.txt', text(TRACE).replaceAll('0000:04:00.1', name));
    const value = await json([path], { at: '142' });
    expect(statuses(value)).toEqual(statuses(await json([TRACE])));
    expect(value.state!.devices).toContainEqual(
      expect.objectContaining({ name, driver: 'virtio-pci' }),
    );
    const runs = [
      await replayed([path]),
      await replayed([path], { at: '142' }),
      await replayed([path], { diff: ['141', '142'] }),
      await replayed([path], { device: name }),
      await replayed([path], { group: '20', at: '142' }),
    ];
    for (const { code, out } of runs) {
      expect(code).toBe(0);

      expect(out).not.toMatch(
        /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u00ad\u200b-\u200f\u202a-\u202e\u2066-\u2069]/,
      );
      expect(out.length).toBeLessThan(20_000);
    }
    for (const { out } of runs.slice(1)) expect(out).toContain(shown);
  });

  test('in violations, in messages, and as names of files', async () => {
    const name = 'evil\u001b]0;x\u0007\u202e';
    const lines = text(TRACE).replaceAll('0000:04:00.0', name).split('\n');
    const n = lines.findIndex(
      (l) => l.includes(' bus_notify: ') && l.includes('evil') && l.endsWith('value=2'),
    );
    lines.splice(n + 1, 0, lines[n].replace(/value=2$/, 'value=4'));
    const path = file('na\u001b[31mme.txt', lines.join('\n'));
    const { code, out } = await replayed([path]);
    expect(code).toBe(1);

    expect(out).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
    expect(flat(out)).toContain('evil\\x1b]0;x\\x07\\u202e');
    const missing = hotrace(['replay', 'no\u001b[31msuch\u202e']);
    expectMessage(missing, /^hotrace: no\\x1b\[31msuch\\u202e: there is no such file/);
    expectMessage(hotrace(['replay', '--\u001b[31mx']), /unknown option '--\\x1b\[31mx'/);
  });

  test('of 10 kB do not flood a violation', async () => {
    const lines = text(TRACE).replaceAll('0000:04:00.0', long).split('\n');
    const n = lines.findIndex(
      (l) => l.includes(' bus_notify: ') && l.includes(long) && l.endsWith('value=2'),
    );
    lines.splice(n + 1, 0, lines[n].replace(/value=2$/, 'value=4'));
    const { code, out } = await replayed([file('long-names.txt', lines.join('\n'))]);
    expect(code).toBe(1);
    expect(out.length).toBeLessThan(30_000);
  });
});

describe('kernels that do not fit', () => {
  const OLD = `${FIXTURES}/6.1-add-del-native/trace.txt.gz`;
  const NEW = `${FIXTURES}/7.2-add-del-native/trace.txt.gz`;

  test('two traces of different kernels in one call: both places, and all of it summarised', async () => {
    const ran = await replayed([OLD, NEW]);
    expect(ran.code).toBe(2);
    expectMessage(
      ran,
      /7\.2-add-del-native\/trace\.txt\.gz:\d+: .*\(v7\.0 or later\), but \S*6\.1-add-del-native\/trace\.txt\.gz:\d+: .*\(older than v6\.3\); replay inputs of one kernel at a time$/m,
    );
    expect(ran.out).toContain('633 events, 0 lines not read');
    expect(ran.out).not.toContain('violated');
    const value = await json([OLD, NEW]);
    expect(violated(value)).toEqual([]);
    expect(value.events).toBe(633);
  });

  test('a snapshot that states another kernel than the trace shows', async () => {
    const ran = await replayed([`${FIXTURES}/6.1-add-del-native/sysfs-before.txt`, NEW]);
    expect(ran.code).toBe(2);
    expectMessage(
      ran,
      /7\.2-\S*:\d+: .* \(v\d\.\d or later\), but \S*6\.1-add-del-native\/sysfs-before\.txt says it is 6\.1\.0-50-amd64; /,
    );
  });

  test('--kernel that the trace contradicts: where, why, what to do; no verdict', async () => {
    for (const flags of [{ kernel: 'v6.1' }, { kernel: 'v6.1', sysfsBefore: BEFORE }]) {
      const ran = await replayed([TRACE], flags);
      expect(ran.code).toBe(2);
      expectMessage(
        ran,
        /(trace\.txt\.gz:18: bus_notify is a function since v6\.3 |sysfs-before\.txt:1: says it is 6\.12\.\S+ ).*but --kernel says v6\.1; leave out --kernel, or give the one that wrote this input$/m,
      );
      expect(ran.out).not.toMatch(/violated/);
      expect(ran.out).toMatch(/^ {2}but {7}\S+:18: bus_notify/m);
      expect(violated(await json([TRACE], flags))).toEqual([]);
    }
  });

  test('action 0 alone with --kernel v6.1', async () => {
    const kept = /^#|: (iommu_bus_notifier|tracing_mark_write|dmar_pci_bus_notifier)(_ret)?: /;
    const path = file(
      'callbacks.txt',
      text(TRACE)
        .split('\n')
        .filter((l) => kept.test(l))
        .join('\n'),
    );
    const ran = await replayed([path], { kernel: 'v6.1' });
    expect(ran.code).toBe(2);
    expectMessage(
      ran,
      /callbacks\.txt:\d+: an action has the number 0 \(v6\.3 or later\), but --kernel says v6\.1; leave out --kernel/,
    );
    expect(ran.out).not.toMatch(/violated/);
  });

  test('an action that the kernel does not have, where nothing else tells the kernel', async () => {
    const chain = /^#|: (blocking_notifier_call_chain|tracing_mark_write)(_ret)?: /;
    const path = file(
      'chain.txt',
      text(TRACE)
        .split('\n')
        .filter((l) => chain.test(l))
        .join('\n'),
    );
    const ran = await replayed([path], { kernel: 'v6.1' });
    expect(ran.code).toBe(2);
    expectMessage(ran, /chain\.txt:\d+: .*0.*; leave out --kernel/);
    expect(ran.out).not.toMatch(/violated/);
  });

  test('a kernel that is none', async () => {
    for (const kernel of ['bogus', '2.6', '', '6', 'v6.1; rm'])
      await expectRefused(
        [TRACE],
        { kernel },
        /^hotrace: ".*" is no kernel version from 3\.6 on; profiles: v3\.6, v5\.10/,
      );
  });
});

describe('command lines', () => {
  const usage: [string, string[], RegExp][] = [
    ['no argument', [], /^hotrace: no command: hotrace replay FILE/],
    ['no file', ['replay'], /^hotrace: no input: name one or more files/],
    ['an unknown command', ['frobnicate'], /^hotrace: unknown command 'frobnicate'/],
    ['an unknown option', ['replay', TRACE, '--nonsense'], /^hotrace: unknown option '--nonsense'/],
    [
      'an option that is nearly right',
      ['replay', TRACE, '--sysfs-befor', 'x'],
      /^hotrace: unknown option '--sysfs-befor' \(Did you mean --sysfs-before\?\)/,
    ],
    [
      'an option without its value',
      ['replay', TRACE, '--at'],
      /^hotrace: option '--at <moment>' argument missing/,
    ],
    [
      'an unknown rule',
      ['rules', 'INV-99'],
      /^hotrace: no rule is called "INV-99"; `hotrace rules` lists them/,
    ],
    ['no moment', ['replay', TRACE, '--at', 'noon'], /^hotrace: "noon" is no moment: give seconds/],
  ];
  test.each(usage)('%s', (_, args, message) => {
    const ran = hotrace(args);
    expect([ran.code, ran.out]).toEqual([2, '']);
    expect(flat(ran.err)).toMatch(message);
    expect(ran.err).not.toContain('    at ');
  });

  test('moments', async () => {
    for (const at of ['', '-5', '1e3', '0x10', '#', '#-1', '12h', 'NaN', 'Infinity', '1.2.3', ' 1'])
      await expectRefused(
        [TRACE],
        { at },
        /^hotrace: ".*" is no moment: give seconds \(140\.95\), 200ms, 150us, or #412/,
      );
    await expectRefused(
      [TRACE],
      { at: '#99999' },
      'hotrace: there is no event #99999: the last one is #1364',
    );
    expect((await replayed([TRACE], { at: '999999999999' })).out).toMatch(
      /^state at 146\.339394 s/,
    );
    await expectRefused([TRACE], { diff: ['142'] }, /--diff takes two moments, such as/);
    await expectRefused([TRACE], { diff: ['142', 'noon'] }, /"noon" is no moment/);
    await expectRefused(
      [TRACE],
      { check: true, at: '142' },
      /--check keeps no history: leave it out/,
    );
  });

  test('devices, groups and numbers that are not there', async () => {
    await expectRefused([TRACE], { device: 'nope' }, /the input has no device "nope"/);
    await expectRefused([TRACE], { group: '99' }, /the input has no group 99/);
    for (const group of ['', 'x', '-1', '1.5', '0x14', '1e1', '99999999999'])
      await expectRefused([TRACE], { group }, /is no group number/);
    for (const violations of ['', 'x', '-1', '1.5'])
      await expectRefused([TRACE], { violations }, /is no number of violations/);
    await expectRefused([TRACE], { format: 'pcap' }, /no format is called "pcap"; known: .*ftrace/);
  });

  test('files given twice, under whatever name', async () => {
    const copy = join(temporary, 'trace.gz');
    copyFileSync(TRACE, copy);
    const [link, hard] = [join(temporary, 'link.gz'), join(temporary, 'hard.gz')];
    symlinkSync(copy, link);
    linkSync(copy, hard);
    await expectRefused([copy, copy], {}, /trace\.gz is given twice: name each input once/);
    await expectRefused([copy, link], {}, /link\.gz is given twice \(as \S*trace\.gz\)/);
    await expectRefused([hard, copy], {}, /trace\.gz is given twice/);
    await expectRefused(['-', '-'], {}, /standard input can be read once/);
  });

  test('--log never overwrites an input', async () => {
    const copy = join(temporary, 'precious.gz');
    copyFileSync(TRACE, copy);
    const link = join(temporary, 'precious-link.gz');
    symlinkSync(copy, link);
    const before = file('precious-before.txt', text(BEFORE));
    const probes = file('precious.json', '{"probes":{}}');
    const flags = { sysfsBefore: before, sysfsAfter: before, probes };
    for (const log of [copy, link, before, probes]) {
      const content = readFileSync(log);
      await expectRefused(
        [copy],
        { ...flags, log },
        /--log \S+ would overwrite the input \S+: name another file/,
      );
      expect(readFileSync(log)).toEqual(content);
    }
    await expectRefused([copy], { log: '-', json: true }, /both write to standard output/);
  });

  test('--log that cannot be written', async () => {
    await expectRefused(
      [TRACE],
      { log: join(temporary, 'no', 'such', 'log') },
      /cannot be written: ENOENT/,
    );
    await expectRefused([TRACE], { log: temporary }, /cannot be written: EISDIR/);
  });

  test.skipIf(process.platform !== 'linux')('a full disk', () => {
    const ran = shell(`hotrace replay ${TRACE} > /dev/full`);
    expect(ran.code).toBe(2);
    expectMessage(ran, /^hotrace: standard output: cannot be written: ENOSPC/);
    const log = shell(`hotrace replay ${TRACE} --log /dev/full`);
    expect(log.code).toBe(2);
    expectMessage(log, /^hotrace: \/dev\/full: cannot be written: ENOSPC/);
  });
});

describe('--probes files', () => {
  test.each([
    ['no JSON', '{', /cannot be read as JSON/],
    ['a list', '[]', /top level/],
    ['an unknown key', '{"probe":{}}', /probes|top level/],
    ['no meaning', '{"probes":{"x":{}}}', /probes\.x: needs "like" \(a built-in event\) or "type"/],
    ['a model that is none', '{"probes":{"x":{"like":"zzz"}}}', /probes\.x\.like: no event "zzz"/],
    [
      'a model that is part of every object',
      '{"probes":{"x":{"like":"__proto__"}}}',
      /probes\.x\.like: no event "__proto__"/,
    ],
    [
      'a field that is none',
      '{"probes":{"x":{"like":"map","fields":{"a":"bogus"}}}}',
      /probes\.x\.fields\.a: /,
    ],
    ['a type that is none', '{"probes":{"x":{"type":"bogus"}}}', /probes\.x\.type: /],
    [
      'a function call without a function',
      '{"probes":{"x":{"type":"function_call"}}}',
      /probes\.x: type function_call needs "fn"/,
    ],
    ['a control character', '{"probes":{"\\u001b[31m":{}}}', /probes\.\\x1b\[31m: needs/],
  ])('%s', (_, content, message) => {
    const path = file('probes.json', content);
    const ran = hotrace(['replay', TRACE, '--probes', path]);
    expect([ran.code, ran.out]).toEqual([2, '']);
    expectMessage(ran, /^hotrace: \S*probes\.json: /, message);
  });

  test('missing, or a directory', async () => {
    await expectRefused([TRACE], { probes: 'no/such.json' }, /no\/such\.json: .*no such file/);
    await expectRefused([TRACE], { probes: temporary }, /EISDIR/);
  });
});
