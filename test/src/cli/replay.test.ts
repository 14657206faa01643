/** `hotrace replay` and `hotrace rules` as a user runs them. */

import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { REPLAY_RULES, RULES } from '../../../machines/rules.js';
import type { ReplayFlags } from '../../../src/cli/replay.js';
import {
  build,
  FIXTURES,
  flat,
  folder,
  hotrace,
  replayed,
  ROOT,
  SAMPLE,
  shell,
  text,
} from './command.js';
import type { Ran } from './command.js';

const TRACE = `${SAMPLE}/trace.txt.gz`;
const BEFORE = `${SAMPLE}/sysfs-before.txt`;
const AFTER = `${SAMPLE}/sysfs-after.txt`;
const NATIVE = `${FIXTURES}/7.2-add-del-native`;

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

interface RefJson {
  readonly seq: number;
  readonly time: number | null;
  readonly origin: { readonly format: string; readonly file: string; readonly line: number };
}
interface VerdictJson {
  readonly rule: string;
  readonly status: 'holds' | 'violated' | 'inconclusive';
  readonly checks: number;
  readonly violationCount: number;
  readonly violations: readonly {
    readonly rule: string;
    readonly message: string;
    readonly at: RefJson;
    readonly event: { readonly type: string; readonly origin: RefJson['origin'] };
    readonly related: readonly RefJson[];
  }[];
  readonly inconclusive: readonly { readonly cause: string; readonly detail: string }[];
}
interface Json {
  readonly outcome: string;
  readonly inputs: readonly {
    readonly file: string;
    readonly format: string;
    readonly problem?: string;
  }[];
  readonly kernel: { readonly profile: { readonly name: string }; readonly by: string };
  readonly events: number;
  readonly byType: Readonly<Record<string, number>>;
  readonly unparsedCount: number;
  readonly clocksAligned: boolean;
  readonly faultCount: number;
  readonly faults: readonly {
    readonly dev: string;
    readonly iova: number;
    readonly at: RefJson;
    readonly candidates: readonly {
      readonly kind: string;
      readonly iova: number;
      readonly at: RefJson;
    }[];
  }[];
  readonly verdicts: readonly VerdictJson[];
  readonly sysfs?: { readonly compared: number; readonly differences: readonly unknown[] };
  readonly state?: {
    readonly seq: number;
    readonly time: number | null;
    readonly devices: readonly {
      readonly name: string;
      readonly driver?: string | null;
      readonly group?: number | null;
    }[];
    readonly groups: readonly { readonly id: number; readonly members: readonly string[] }[];
  };
  readonly group?: {
    readonly viability: {
      readonly viable?: boolean;
      readonly blockers: readonly {
        readonly dev: string;
        readonly driver: string;
        readonly since: RefJson;
      }[];
    } | null;
  };
  readonly history?: readonly { readonly seq: number }[];
  readonly diff?: readonly {
    readonly what: string;
    readonly before?: unknown;
    readonly after?: unknown;
  }[];
}

const parse = (ran: Ran): Json => JSON.parse(ran.out) as Json;
const json = async (files: readonly string[], flags: ReplayFlags = {}): Promise<Json> =>
  parse(await replayed(files, { ...flags, json: true }));
const statuses = ({ verdicts }: Json) =>
  verdicts.map(({ rule, status, checks, violationCount }) => ({
    rule,
    status,
    checks,
    violationCount,
  }));

/** No line of a summary is wider than a terminal, except those that quote an input. */
function expectNarrow(out: string): void {
  const wide = out
    .split('\n')
    .filter((line) => line.length > 80 && !/^ {2}[ >-] {0,6}\d+ {2}/.test(line));
  expect(wide).toEqual([]);
}
// The escape character and the C1 CSI begin every terminal sequence.
const ESCAPES = /[\u001b\u009b]/;

/** The sample with the line before the unbind's return of `device_unbind_cleanup` and others gone. */
function brokenTrace(): string {
  const lines = text(TRACE).split('\n');
  // REMOVED_DEVICE of 04:00.0 once more as BOUND_DRIVER: bound when it is removed.
  const n = lines.findIndex(
    (l) => l.includes(' bus_notify: ') && l.includes('04:00.0') && l.endsWith('value=2'),
  );
  return [
    ...lines.slice(0, n + 1),
    lines[n].replace(/value=2$/, 'value=4'),
    ...lines.slice(n + 1),
  ].join('\n');
}

describe('the first command of the README', () => {
  const command = () => {
    const line = readFileSync(join(ROOT, 'README.md'), 'utf8')
      .split('\n')
      .find((l) => l.includes('hotrace replay'));
    return line!
      .replace(/.*hotrace replay/, 'replay')
      .trim()
      .split(' ');
  };

  test('says what was read, from which kernel, and that every rule holds', () => {
    const { code, out, err } = hotrace(command());
    expect(code).toBe(0);
    expect(err).toBe('');
    expect(out).toContain(`input       ${TRACE} (ftrace)\n`);
    expect(out).toMatch(/^kernel {6}v6\.12 \(concluded: /m);
    expect(out).toContain('140.889039 … 146.339394 s, 5.45 s');
    expect(out).toContain('1,365 events, 0 lines not read');
    expect(out).toMatch(/^lost {8}nothing$/m);
    expect(out).toMatch(/^B\.3 +device-automaton +holds +62$/m);
    expect(out).not.toMatch(/violated|inconclusive/);
    expectNarrow(out);
  });

  test('is no wider than 80 columns and has no escape sequences in a pipe', () => {
    const { out } = shell(`hotrace ${command().join(' ')} --rules --unparsed | cat`);
    expectNarrow(out);
    expect(out).not.toMatch(ESCAPES);
  });

  test('has colours where they are asked for, in columns of the same width', () => {
    const plain = hotrace([...command(), '--no-color']).out;
    const coloured = hotrace([...command(), '--color']).out;
    expect(coloured).toMatch(ESCAPES);

    expect(coloured.replace(/\u001b\[\d+m/g, '')).toBe(plain);
  });

  test('leaves quietly when the reader of the pipe does', () => {
    const { out, err } = shell(
      `hotrace ${command().join(' ')} --json | head -1; echo "\${PIPESTATUS[0]}"`,
    );
    expect(err).toBe('');
    expect(out).toBe('{\n0\n');
  });
});

describe('--json', () => {
  test('is the only thing on stdout, and complete', () => {
    const { code, out, err } = hotrace(['replay', TRACE, '--json']);
    expect([code, err]).toEqual([0, '']);
    const value = JSON.parse(out) as Json;
    expect(value.outcome).toBe('clean');
    expect(value.events).toBe(1365);
    expect(value.verdicts.map((v) => v.rule)).toEqual(REPLAY_RULES.map((r) => r.id));
    expect(Object.values(value.byType).reduce((a, b) => a + b)).toBe(value.events);
    expect(value).toHaveProperty('firstTime', 140889039000);
    expect(value).toHaveProperty('kernel.by', 'concluded');
    for (const key of ['losses', 'unparsed', 'complaints', 'faults', 'clockSteps', 'notifications'])
      expect(value).toHaveProperty(key);
  });

  test('names file and line of every violation', async () => {
    const path = file('broken.txt', brokenTrace());
    const { code, out } = hotrace(['replay', path, '--json']);
    expect(code).toBe(1);
    const value = JSON.parse(out) as Json;
    expect(value.outcome).toBe('violated');
    const violated = value.verdicts.filter((v) => v.violationCount > 0);
    expect(violated.map((v) => v.rule)).toContain('INV-09');
    const lines = brokenTrace().split('\n');
    for (const { violations } of violated) {
      for (const { at, event, related } of violations) {
        expect(at.origin.file).toBe(path);
        expect(event.origin).toEqual(at.origin);
        expect(lines[at.origin.line - 1]).toContain('04:00.0');
        for (const ref of related) expect(ref.seq).toBeLessThanOrEqual(at.seq);
      }
    }
    expect(await json([path])).toEqual(value);
  });

  test('has faults with the newest map and unmap that covered the address', async () => {
    const line = (n: number, time: string, rest: string) =>
      `            bash-51${n}     [001] .....   ${time}: ${rest}\n`;
    const path = file(
      'faults.txt',
      '# tracer: nop\n#\n' +
        line(
          7,
          '100.000001',
          'map: IOMMU: iova=0x0000000000001000 - 0x0000000000002000 paddr=0x2000 size=4096',
        ) +
        line(
          7,
          '100.000101',
          'unmap: IOMMU: iova=0x0000000000001000 - 0x0000000000002000 size=4096 unmapped_size=4096',
        ) +
        line(
          8,
          '100.000201',
          'io_page_fault: IOMMU:pci 0000:04:00.1 iova=0x0000000000001010 flags=0x0000',
        ) +
        line(
          8,
          '100.000301',
          'io_page_fault: IOMMU:pci 0000:04:00.1 iova=0x0000000000009010 flags=0x0001',
        ),
    );
    const { faultCount, faults } = await json([path]);
    expect(faultCount).toBe(2);
    expect(faults.map(({ dev, iova, at }) => [dev, iova, at.origin.line])).toEqual([
      ['0000:04:00.1', 0x1010, 5],
      ['0000:04:00.1', 0x9010, 6],
    ]);
    expect(faults[0].candidates.map(({ kind, iova, at }) => [kind, iova, at.origin.line])).toEqual([
      ['unmap', 0x1000, 4],
      ['map', 0x1000, 3],
    ]);
    expect(faults[1].candidates).toEqual([]);
    const { out } = await replayed([path]);
    expect(out).toContain('2 IOMMU faults');
    expect(flat(out)).toContain('0000:04:00.1: read of iova 0x1010');
    expect(flat(out)).toContain(
      `candidate: unmap of 0x1000+0x1000, 100.0 us before it, at ${path}:4`.slice(0, 50),
    );
    expect(out).toContain('no map or unmap in this log covers the address');
  });

  test('escapes what would act on a terminal', async () => {
    const path = file(
      'names.txt',
      text(TRACE).replaceAll('0000:04:00.1', 'a\u009b31m\u202eb\u007f'),
    );
    const { out } = await replayed([path], { json: true, at: '142' });
    expect(out).not.toMatch(/[\u007f-\u009f\u202e]/);
    const { state } = JSON.parse(out) as Json;
    expect(state!.devices.map((d) => d.name)).toContain('a\u009b31m\u202eb\u007f');
  });
});

describe('the text of violations', () => {
  test('quotes the lines once, in their order, with the broken one marked', () => {
    const path = relative(ROOT, file('broken.txt', brokenTrace()));
    const { code, out } = hotrace(['replay', path]);
    expect(code).toBe(1);
    expect(out).toMatch(/^INV-09 +removed-means-unbound violated 1x +\d+$/m);
    expectNarrow(out.replaceAll(path, 'broken.txt'));
    const block = out.slice(
      out.indexOf('\nINV-09 removed-means-unbound\n'),
      out.indexOf('\nB.3 device-automaton\n'),
    );
    const quoted = [...block.matchAll(/^ {2}([ >-]) {0,6}(\d+) {2}/gm)].map(([, mark, n]) => [
      mark,
      Number(n),
    ]);
    const numbers = quoted.map(([, n]) => n as number);
    expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b));
    expect(quoted.filter(([mark]) => mark === '>')).toHaveLength(1);
    expect(quoted.filter(([mark]) => mark === '-').length).toBeGreaterThan(0);
  });

  test('--violations says how many, and how many more there are', async () => {
    const path = file('broken.txt', brokenTrace());
    const none = await replayed([path], { violations: '0' });
    expect(none.out).toContain('and 1 more violation of INV-09 (--violations N shows more)');
    const all = await replayed([path], { violations: '100' });
    expect(all.out).not.toContain('more violation');
  });

  test('quotes no file that the user did not name', async () => {
    const log = join(temporary, 'foreign.ndjson');
    const broken = file('broken.txt', brokenTrace());
    await replayed([broken], { log });
    const secret = file(
      'secret.txt',
      Array.from({ length: 2000 }, (_, n) => `secret ${n}`).join('\n'),
    );
    const foreign = file(
      'foreign.ndjson',
      readFileSync(log, 'utf8').replaceAll(JSON.stringify(broken), JSON.stringify(secret)),
    );
    const { code, out } = await replayed([foreign]);
    expect(code).toBe(1);
    expect(out).toContain(`${secret}:`);
    expect(out).not.toMatch(/secret \d/);
  });
});

describe('a moment', () => {
  test('--at in seconds, ms, and by the number of an event give one state', async () => {
    const at = await json([TRACE], { at: '142' });
    const ms = await json([TRACE], { at: '142000ms' });
    const number = await json([TRACE], { at: `#${at.state!.seq - 1}` });
    expect(ms.state).toEqual(at.state);
    expect(number.state!.devices).toEqual(at.state!.devices);
    expect(at.state!.time! / 1e9).toBeLessThanOrEqual(142);
    expect(at.state!.devices.find((d) => d.name === '0000:04:00.1')).toMatchObject({
      driver: 'virtio-pci',
      group: 20,
    });
  });

  test('the text is a tree like sysfs, and names the event', () => {
    const { code, out } = hotrace(['replay', TRACE, '--at', '142']);
    expect(code).toBe(0);
    expect(flat(out)).toMatch(
      /^state at 141\.\d{6} s, after event #\d+ \(\S*trace\.txt\.gz:\d+\) iommu_groups/,
    );
    expect(out).toMatch(
      /^iommu_groups\/20 .*\n {2}devices\/0000:04:00\.0 → virtio-pci.*\n {2}devices\/0000:04:00\.1 → virtio-pci/m,
    );
    expectNarrow(out);
  });

  test('before the first event nothing is known', async () => {
    const { code, out } = await replayed([TRACE], { at: '1' });
    expect([code, out]).toEqual([0, 'state before the first event: nothing is known\n']);
  });

  test('--diff tells what changed, its moments before or after the file', () => {
    const after = hotrace(['replay', TRACE, '--diff', '141', '142']);
    const before = hotrace(['replay', '--diff', '141', '142', TRACE]);
    expect(after.code).toBe(0);
    expect(before).toEqual(after);
    expect(after.out).toContain('0000:04:00.1 driver: none → virtio-pci\n');
    expect(after.out).toMatch(
      /^from 140\.999393 s \(#58\) to 141\.\d+ s \(#\d+\): 6 differences$/m,
    );
  });

  test('--diff of a moment with itself is empty', async () => {
    const { diff } = await json([TRACE], { diff: ['142', '142'] });
    expect(diff).toEqual([]);
    expect((await replayed([TRACE], { diff: ['142', '142'] })).out).toContain(': 0 differences');
  });

  test('--device is the life of a device', async () => {
    const { code, out } = await replayed([TRACE], { device: '0000:04:00.1' });
    expect(code).toBe(0);
    expect(out).toMatch(
      new RegExp(
        `^history of 0000:04:00\\.1, lines of ${TRACE}\\n {8}time {2}line +life +driver +group +domain\\n`,
      ),
    );
    expect(out).toMatch(/^ +141\.189861 +200 +bound +virtio-pci +20 +identity$/m);
    expect(out).toMatch(/^ +145\.717425 +1219 +idle, DEL sent +no driver +20 +identity$/m);
    expect(out.trimEnd()).toMatch(/gone$/);
    expectNarrow(out);
    const { history } = await json([TRACE], { device: '0000:04:00.1' });
    expect(history!.length).toBeGreaterThan(10);
  });

  test('--group says who blocks it, since when, and where that stands', async () => {
    const { code, out } = await replayed([TRACE], { group: '20', at: '142' });
    expect(code).toBe(0);
    expect(flat(out)).toMatch(
      /group 20 is not viable at 141\.\d{6} s because .*0000:04:00\.1 is bound to virtio-pci since 141\.189861 s, events\/samples\/vfio-nonviable\/trace\.txt\.gz:200/,
    );
    const { group } = await json([TRACE], { group: '20', at: '142' });
    expect(group!.viability!.viable).toBe(false);
    expect(
      group!.viability!.blockers.map((b) => [b.dev, b.driver, b.since.origin.line]),
    ).toContainEqual(['0000:04:00.1', 'virtio-pci', 200]);
    expectNarrow(out);
  });

  test('--group at moments when it is viable, and when it does not exist', async () => {
    expect((await replayed([TRACE], { group: '20', at: '143' })).out).toMatch(
      /^group 20 is viable at 142\.\d+ s/m,
    );
    expect((await replayed([TRACE], { group: '20' })).out).toContain(
      'group 20 does not exist at 146.339394 s\n',
    );
  });

  test('the file stands in every row when there is more than one', async () => {
    const lines = text(TRACE).split('\n');
    const early = file('early/one.txt', lines.slice(0, 500).join('\n'));
    const late = file('late/two.txt', [...lines.slice(0, 12), ...lines.slice(500)].join('\n'));
    const { out } = await replayed([early, late], { device: '0000:04:00.1' });
    expect(out).toMatch(/^history of 0000:04:00\.1\n/);
    expect(out).toMatch(/^ +141\.189861 {2}one\.txt:200 +bound /m);
    expect(out).toMatch(/^ +145\.717594 {2}two\.txt:743 +gone$/m);
    expectNarrow(out);
    const twin = file('late/one.txt', readFileSync(late));
    expect((await replayed([early, twin], { device: '0000:04:00.1' })).out).toContain(
      `  ${early}:200  `,
    );
  });
});

/** A tree like /sys with what a snapshot in text says. */
function sysfsTree(name: string, snapshot: string): string {
  const root = join(temporary, name);
  const link = (path: string, target: string) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    symlinkSync(relative(dirname(path), target), join(root, path));
  };
  for (const [, id, type, devices] of snapshot.matchAll(
    /^group (\d+) type=(\S*) name= devices=(.*)$/gm,
  )) {
    mkdirSync(join(root, 'kernel/iommu_groups', id, 'devices'), { recursive: true });
    writeFileSync(join(root, 'kernel/iommu_groups', id, 'type'), `${type}\n`);
    for (const dev of devices.trim().split(' ')) {
      const path = new RegExp(`^pci ${dev} .*path=\\.\\./\\.\\./\\.\\./(\\S+)$`, 'm').exec(
        snapshot,
      )![1];
      link(`kernel/iommu_groups/${id}/devices/${dev}`, path);
    }
  }
  for (const [, dev, driver, group, path] of snapshot.matchAll(
    /^pci (\S+) .*driver=(\S+) group=(\d+) path=\.\.\/\.\.\/\.\.\/(\S+)$/gm,
  )) {
    mkdirSync(join(root, path), { recursive: true });
    link(`bus/pci/devices/${dev}`, path);
    link(`${path}/iommu_group`, `kernel/iommu_groups/${group}`);
    if (driver !== 'none') link(`${path}/driver`, `bus/pci/drivers/${driver}`);
  }
  return root;
}

describe('sysfs', () => {
  test('before is where the state begins, after is what it must end with', async () => {
    const flags = { sysfsBefore: BEFORE, sysfsAfter: AFTER };
    const value = await json([TRACE], flags);
    expect(value.verdicts.find((v) => v.rule === 'SYSFS')).toMatchObject({
      status: 'holds',
      checks: 109,
    });
    expect(value.sysfs).toMatchObject({ compared: 109, differences: [] });
    expect(value.events).toBe(1365);
    const { code, out } = await replayed([TRACE], flags);
    expect(code).toBe(0);
    expect(out).toMatch(/^SYSFS +sysfs-agreement +holds +109$/m);
    expect(out).toContain('23 devices and 20 groups at the end');
    expectNarrow(out);
  });

  test('a copied tree serves as input, before and after', async () => {
    const tree = sysfsTree('sys-before', text(BEFORE));
    const alone = await json([tree]);
    expect(alone.inputs[0].format).toBe('sysfs-tree');
    expect(alone.byType).toMatchObject({ sysfs_group: 20, sysfs_device: 23 });
    const seen = await json([tree], { at: '#43' });
    expect(seen.state!.groups.find((g) => g.id === 14)!.members).toHaveLength(3);
    const text1 = await json([TRACE], { sysfsBefore: BEFORE, sysfsAfter: AFTER });
    const tree1 = await json([TRACE], {
      sysfsBefore: tree,
      sysfsAfter: sysfsTree('sys-after', text(AFTER)),
    });
    expect(statuses(tree1)).toEqual(statuses(text1));
    // The machine of the test may be of any kernel; a copy does not say from which it is.
    expect(tree1.kernel.profile.name).toBe('v6.12');
  });

  test('a driver that replay has otherwise breaks the rule, with the line of the snapshot', async () => {
    const wrong = text(AFTER).replace(/^(pci 0000:00:03\.2 .*driver=)e1000e/m, '$1vfio-pci');
    const path = file('after.txt', wrong);
    const { code, out } = await replayed([TRACE], { sysfsBefore: BEFORE, sysfsAfter: path });
    expect(code).toBe(1);
    const line = wrong.split('\n').findIndex((l) => l.startsWith('pci 0000:00:03.2')) + 1;
    expect(flat(out)).toContain(
      `${path}:${line} 0000:00:03.2 has driver vfio-pci, replay says e1000e`,
    );
    expect(out).toMatch(new RegExp(`^ {2}> +${line} {2}pci 0000:00:03\\.2`, 'm'));
  });
});

describe('what is listed on demand', () => {
  test('--rules has every rule, with a reason where there was nothing to check', async () => {
    const { out } = await replayed([TRACE], { rules: true });
    for (const { id } of REPLAY_RULES) expect(out).toContain(`\n${id.padEnd(10)} `);
    expect(out).not.toContain('INV-24');
    expect(flat(out)).toContain('INV-01 add-before-del not in this kernel');
    expect(flat(out)).toContain(
      'SYSFS sysfs-agreement not recorded: needs a snapshot with --sysfs-after',
    );
    expectNarrow(out);
  });

  test('--unparsed has file, line, reason and text', async () => {
    const path = file('unparsed.txt', `${text(TRACE)}\nwhat is this\n`);
    const without = await replayed([path]);
    expect(without.out).toContain('1 line not read (--unparsed lists them)');
    expect(without.out).not.toContain('what is this');
    const { out } = await replayed([path], { unparsed: true });
    expect(out).toMatch(/^1 line not read\n.*unparsed\.txt:\d+: .*: what is this$/m);
  });

  test('hotrace rules lists all, in 80 columns', () => {
    const { code, out, err } = hotrace(['rules']);
    expect([code, err]).toEqual([0, '']);
    for (const { id, name, checkedBy } of RULES) {
      expect(out).toContain(`${id.padEnd(11)} ${name.padEnd(28)}${checkedBy.join(', ')}\n`);
    }
    expectNarrow(out);
  });

  test('hotrace rules ID explains one for each kernel, by number or by name', () => {
    const { code, out } = hotrace(['rules', 'INV-08']);
    expect(code).toBe(0);
    for (const name of ['v3.6', 'v5.10', 'v6.1', 'v6.12', 'v7.2'])
      expect(out).toMatch(new RegExp(`^${name} `, 'm'));
    expectNarrow(out);
    expect(hotrace(['rules', 'not-bound-needs-bind']).out).toBe(out);
    for (const { id } of RULES) expectNarrow(hotrace(['rules', id]).out);
  });

  test('hotrace rules --json is valid and nothing else', () => {
    const one = JSON.parse(hotrace(['rules', 'INV-08', '--json']).out) as {
      id: string;
      kernels: object;
    }[];
    expect(one.map((r) => r.id)).toEqual(['INV-08']);
    expect(Object.keys(one[0].kernels)).toContain('v6.12');
    const all = JSON.parse(hotrace(['rules', '--json']).out) as { id: string }[];
    expect(all.map((r) => r.id)).toEqual(RULES.map((r) => r.id));
  });
});

describe('--log', () => {
  test.each(['log.ndjson', 'log.ndjson.gz'])(
    '%s gives the same verdicts and the same state',
    async (name) => {
      const log = join(temporary, name);
      const flags = { sysfsBefore: BEFORE };
      const first = await json([TRACE], { ...flags, log, at: '143' });
      const again = await json([log], { at: '143' });
      expect(again.inputs[0].format).toBe('hotrace-log');
      expect(statuses(again)).toEqual(statuses(first));
      expect(again.state).toEqual(first.state);
      expect(again.verdicts.map((v) => v.violations)).toEqual(
        first.verdicts.map((v) => v.violations),
      );
      const end = { group: '20', at: '143' };
      expect((await replayed([log], end)).out).toBe(
        (await replayed([TRACE], { ...flags, ...end })).out,
      );
    },
  );

  test('keeps the place in the trace of what is violated', async () => {
    const path = file('broken.txt', brokenTrace());
    const log = join(temporary, 'broken.ndjson');
    const first = await json([path], { log });
    const again = await json([log]);
    expect(statuses(again)).toEqual(statuses(first));
    const places = ({ verdicts }: Json) =>
      verdicts.flatMap((v) => v.violations.map((x) => x.at.origin));
    expect(places(again)).toEqual(places(first));
    expect(places(again).length).toBeGreaterThan(0);
  });

  test('is the same with --check, and with lines that were not read', async () => {
    const path = file('mixed.txt', `${text(TRACE)}\nwhat is this\n`);
    const [one, other] = [join(temporary, 'one.ndjson'), join(temporary, 'other.ndjson')];
    await replayed([path], { log: one });
    await replayed([path], { log: other, check: true });
    expect(readFileSync(other, 'utf8')).toBe(readFileSync(one, 'utf8'));
    expect((await json([one])).unparsedCount).toBe(1);
  });

  test('- writes the log alone to stdout, for the next command', () => {
    const { out, err } = shell(
      `hotrace replay ${TRACE} --log - 2>/dev/null | hotrace replay - --json`,
    );
    expect(err).toBe('');
    const value = JSON.parse(out) as Json;
    expect(value.inputs).toMatchObject([{ file: '-', format: 'hotrace-log' }]);
    expect(value.events).toBe(1365);
    expect(value.outcome).toBe('clean');
  });
});

describe('inputs', () => {
  test('standard input, plain and compressed, and a pipe by its name', async () => {
    const expected = statuses(await json([TRACE]));
    const zipped = readFileSync(TRACE);
    const runs = [
      hotrace(['replay', '-', '--json'], gunzipSync(zipped)),
      hotrace(['replay', '-', '--json'], zipped),
      shell(`hotrace replay <(gzip -dc ${TRACE}) --json`),
    ];
    for (const ran of runs) {
      expect([ran.code, ran.err]).toEqual([0, '']);
      expect(statuses(parse(ran))).toEqual(expected);
    }
  });

  test('violations in standard input and in a pipe come without their lines', () => {
    const path = file('broken.txt', brokenTrace());
    for (const { code, out, err } of [
      hotrace(['replay', '-'], brokenTrace()),
      shell(`hotrace replay <(cat ${path})`),
    ]) {
      expect([code, err]).toEqual([1, '']);
      expect(out).toMatch(/^ {2}(-|\/dev\/fd\/\d+):\d+ at 145\.78/m);
    }
  });

  test('several files are merged by time', async () => {
    const files = [
      `${NATIVE}/trace.txt.gz`,
      `${NATIVE}/udevadm-monitor.txt`,
      `${NATIVE}/dmesg.txt`,
    ];
    const alone = await Promise.all(files.map((f) => json([f])));
    const merged = await json(files, {
      sysfsBefore: `${NATIVE}/sysfs-before.txt`,
      sysfsAfter: `${NATIVE}/sysfs-after.txt`,
    });
    expect(merged.outcome).toBe('clean');
    expect(merged.events).toBe(alone.reduce((sum, { events }) => sum + events, 0));
    expect(merged.inputs.map((i) => i.format)).toEqual(['ftrace', 'udevadm', 'dmesg']);
    expect(merged.clocksAligned).toBe(true);
    expect(merged.verdicts.find((v) => v.rule === 'INV-46')!.checks).toBeGreaterThan(0);
    const log = join(temporary, 'merged.ndjson');
    await replayed(files, { log });
    const times = readFileSync(log, 'utf8')
      .split('\n')
      .slice(1, -1)
      .map((l) => (JSON.parse(l) as { time?: number }).time ?? 0);
    const steps = times.filter((t, n) => n > 0 && t !== 0 && times[n - 1] > t);
    expect(steps).toEqual([]);
  });

  test('--format reads a file as told', async () => {
    const path = file('headless.txt', text(`${NATIVE}/dmesg.txt`));
    const told = await json([path], { format: 'dmesg' });
    expect(told.inputs).toMatchObject([{ format: 'dmesg', detected: false }]);
    expect(told.events).toBe((await json([path])).events);
    expect((await replayed([path], { format: 'dmesg' })).out).toContain('(dmesg, as');
  });

  test('--probes maps kprobes of other names back', async () => {
    // Neither the name of the event nor its place in the kernel says what it is.
    const kprobe = /^(.{16}-\d+ +\[\d+\].*?: )(\w+): \([^)]*\)/gm;
    const names = new Map<string, string>();
    const renamed = text(TRACE).replace(kprobe, (_, head: string, name: string) => {
      const own = names.get(name) ?? `my${names.size}`;
      names.set(name, own);
      return `${head}${own}: (0xffffffff81000004)`;
    });
    expect(names.size).toBeGreaterThan(40);
    const path = file('renamed.txt', renamed);
    const probes = file(
      'probes.json',
      JSON.stringify({
        probes: Object.fromEntries([...names].map(([name, own]) => [own, { like: name }])),
      }),
    );
    const original = await json([TRACE]);
    const mapped = await json([path], { probes });
    expect(statuses(mapped)).toEqual(statuses(original));
    expect(mapped.byType).toEqual(original.byType);
    const unmapped = await json([path]);
    expect(unmapped.byType['bus_notify']).toBeUndefined();
  });

  test('--probes maps fields of other names', async () => {
    const renamed = text(TRACE)
      .replaceAll(' dev="', ' who="')
      .replaceAll(' val=0x', ' what=0x')
      .replaceAll(': bus_notify: ', ': bn: ')
      .replaceAll(' value=', ' act=');
    const path = file('fields.txt', renamed);
    const fields = { who: 'dev', what: 'action', act: 'action' };
    const names = [
      ...new Set([...text(TRACE).matchAll(/: (\w+): \(/g)].map(([, name]) => name)),
    ].filter((n) => !n.endsWith('_ret'));
    const probes = file(
      'fields.json',
      JSON.stringify({
        probes: {
          bn: { like: 'bus_notify', fields },
          ...Object.fromEntries(
            names.filter((n) => n !== 'bus_notify').map((n) => [n, { like: n, fields }]),
          ),
        },
      }),
    );
    expect(statuses(await json([path], { probes }))).toEqual(statuses(await json([TRACE])));
  });
});

describe('exit codes', () => {
  test('0: clean', () => expect(hotrace(['replay', TRACE]).code).toBe(0));
  test('1: a rule was violated, also with --check and when only a state was asked for', () => {
    const path = file('broken.txt', brokenTrace());
    expect(hotrace(['replay', path]).code).toBe(1);
    expect(hotrace(['replay', path, '--check']).code).toBe(1);
    expect(hotrace(['replay', path, '--at', '142']).code).toBe(1);
  });
  test('2: bad usage or unreadable input', () => {
    expect(hotrace(['replay', TRACE, '--nonsense']).code).toBe(2);
    expect(hotrace(['replay', 'no/such/file']).code).toBe(2);
  });
  test('3: inconclusive after lost events, and an input that breaks off', async () => {
    const lost = `${FIXTURES}/6.12-lost-events`;
    const { code, out } = hotrace(['replay', `${lost}/trace.txt.gz`]);
    expect(code).toBe(3);
    expect(flat(out)).toContain('lost 1,461 events, first at');
    expectNarrow(out);
    const cut = file('cut.txt.gz', gzipSync(text(TRACE)).subarray(0, 6000));
    expect((await replayed([cut])).code).toBe(3);
  });
  test('0 for help and version, on stdout', () => {
    for (const args of [
      ['--help'],
      ['replay', '--help'],
      ['rules', '--help'],
      ['help'],
      ['--version'],
    ]) {
      const { code, out, err } = hotrace(args);
      expect([code, err]).toEqual([0, '']);
      expect(out).not.toBe('');
      expectNarrow(out);
    }
  });
});
