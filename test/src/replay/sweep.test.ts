/** Every recording, replayed from each of its files and from all of them together. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import type { KernelProfile } from '../../../machines/profiles/profile.js';
import { profileByName } from '../../../machines/profiles/timeline.js';
import { replay } from '../../../src/replay/replay.js';
import type { ReplayResult } from '../../../src/replay/replay.js';

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
const TRACES = path('../../../../shared/traces');

interface Recording {
  readonly name: string;
  readonly scenario: string;
  readonly kernel: string;
  readonly folder: string;
}

function folders(parent: string): string[] {
  if (!existsSync(parent)) return [];
  return readdirSync(parent, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => `${parent}/${entry.name}`);
}

function load(file: string): string {
  const bytes = readFileSync(file);
  return (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('latin1');
}

function fileOf(folder: string, name: string): string | undefined {
  return [`${folder}/${name}`, `${folder}/${name}.gz`].find((file) => existsSync(file));
}

/** The kernel that the snapshot names: `# uname: Linux lab 6.12.107+deb13-amd64 …`. */
function kernelOf(folder: string): string {
  const before = load(fileOf(folder, 'sysfs-before.txt')!);
  return /^# uname: Linux \S+ (\d+\.\d+)\./m.exec(before)![1];
}

const FIXTURES: readonly Recording[] = [
  ...folders(path('../../fixtures')),
  ...folders(path('../../../events/samples')),
].map((folder) => ({
  name: basename(folder),
  scenario: basename(folder).replace(/^\d+\.\d+-/, ''),
  kernel: kernelOf(folder),
  folder,
}));

const RECORDINGS: readonly Recording[] = folders(TRACES).flatMap((kernel) =>
  folders(kernel).map((folder) => ({
    name: `${basename(kernel)}/${basename(folder)}`,
    scenario: basename(folder),
    kernel: basename(kernel),
    folder,
  })),
);

// What a recording itself cannot show.

/** An oops switched tracing off before the end (traces/README.md): the trace alone ends early. */
const TRACE_ENDS_EARLY = new Set(['6.1/stress-nopt', '6.1/stress-racy']);
/** Facts that no event of the trace tells, so that an older kernel fits as well. */
const CANNOT_TELL: Readonly<Record<string, readonly (keyof KernelProfile)[] | 'anything'>> = {
  // Nothing but add_device_to_group and attach_device_to_domain.
  'boot-enum': 'anything',
  // The events of pciehp, which came with 7.0, are among those lost; nothing tells 6.5 from 7.1.
  '7.2/lost-events': [
    'pciHpEvent',
    'readyFlag',
    'defaultDomainAwaited',
    'slotHoldsBus',
    'finalizeLooksUpDomain',
  ],
};

/** The garbage pointer of a chain without a device printed a line feed: the rest of its line. */
function expectGarbageRemains(lines: readonly string[], result: ReplayResult, file: string): void {
  for (const { line } of result.unparsed.filter((note) => note.file === file)) {
    expect(lines[line - 2]).toMatch(
      /blocking_notifier_call_chain(_robust)?: .* (dev|bus|v)="[^"]*$/,
    );
    expect(lines[line - 1]).toMatch(/^[^"]*".* data=0x[0-9a-f]+$/);
  }
}

/** How many events the lines of a file stand for, beside losses that are told without a line. */
function eventsIn(lines: readonly string[], kind: string): number {
  // The recorder of boot-enum wrote a line of its own where no monitor could run.
  if (kind === 'udevadm')
    return lines.filter((l) => /^(KERNEL|UDEV) *\[|^boot: no monitor$/.test(l)).length;
  if (kind === 'dmesg') return lines.filter((l) => l !== '').length;
  return lines.filter((l) => l !== '' && !l.startsWith('#') && !/^cpus=\d+$/.test(l)).length;
}

const lineList = (file: string) => load(file).replace(/\n$/, '').split('\n');

/** Facts that a snapshot states: members and type of each group, existence, driver and group of each device. */
function factsIn(snapshot: string): number {
  const groups = snapshot.match(/^group \d+ type=/gm)?.length ?? 0;
  const devices = new Set(
    [...snapshot.matchAll(/^driver .*?: (.*)$/gm)].flatMap((m) => m[1].trim().split(/\s+/)),
  );
  return 2 * groups + 3 * devices.size;
}

const total = {
  directories: 0,
  replays: 0,
  events: 0,
  decided: { dmesg: 0, udevadm: 0 },
  undecided: { dmesg: 0, udevadm: 0 },
  facts: 0,
  checks: new Map<string, number>(),
};

function count(result: ReplayResult): void {
  total.replays++;
  total.events += result.events;
  for (const { rule, checks } of result.verdicts) {
    total.checks.set(rule.id, (total.checks.get(rule.id) ?? 0) + checks);
  }
}

async function sweep({ name, scenario, kernel, folder }: Recording): Promise<void> {
  total.directories++;
  const sysfsBefore = fileOf(folder, 'sysfs-before.txt');
  const sysfsAfter = fileOf(folder, 'sysfs-after.txt')!;
  const profile = profileByName(kernel)!;
  const expectedFacts = factsIn(load(sysfsAfter));
  const lossy = scenario === 'lost-events';
  const trace = fileOf(folder, 'trace.txt')!;
  const dmesg = fileOf(folder, 'dmesg.txt');
  const udevadm = fileOf(folder, 'udevadm-monitor.txt');

  const sources: [kind: string, file: string | undefined][] = [
    ['trace', trace],
    ['trace-cmd', fileOf(folder, 'trace-cmd-report.txt')],
    ['dmesg', dmesg],
    ['udevadm', udevadm],
  ];
  const runs: [kind: string, files: string[]][] = [];
  for (const [kind, file] of sources) if (file !== undefined) runs.push([kind, [file]]);
  if (dmesg !== undefined && udevadm !== undefined) runs.push(['merged', [trace, dmesg, udevadm]]);
  const linesOf = new Map<string, readonly string[]>();
  const kindOf = new Map<string, string>();
  for (const [kind, file] of sources) {
    if (file === undefined) continue;
    linesOf.set(file, lineList(file));
    kindOf.set(file, kind);
  }

  for (const [kind, files] of runs) {
    const result = await replay({ files, history: false, sysfsBefore, sysfsAfter });
    count(result);
    const from = `${name} from ${kind}`;

    for (const input of result.inputs) {
      expect(input.problem, from).toBeUndefined();
      expect(input.format, from).toBe(
        {
          trace: 'ftrace',
          'trace-cmd': 'trace-cmd',
          dmesg: 'dmesg',
          udevadm: 'udevadm',
        }[kindOf.get(input.file)!],
      );
    }

    // Every line is accounted for.
    const inLines = files.reduce(
      (sum, file) => sum + eventsIn(linesOf.get(file)!, kindOf.get(file)!),
      0,
    );
    const marks = files.flatMap((f) => linesOf.get(f)!).filter((l) => /^CPU:\d+ \[/.test(l)).length;
    expect(result.events - (result.byType.lost ?? 0), from).toBe(inLines - marks);
    expect(result.byType.lost ?? 0, from).toBeGreaterThanOrEqual(marks);
    expect(result.unparsedCount, from).toBe(result.unparsed.length);
    for (const file of files) expectGarbageRemains(linesOf.get(file)!, result, file);
    if (kind === 'dmesg' || kind === 'udevadm') expect(result.unparsed, from).toEqual([]);

    // No rule is violated, and no doubt comes from a wrong kernel.
    expect(
      result.verdicts.flatMap((v) => v.violations.map((x) => `${v.rule.id} ${x.message}`)),
      from,
    ).toEqual([]);
    expect(
      result.verdicts.filter((v) => v.status === 'violated'),
      from,
    ).toEqual([]);
    expect(result.kernel.contradictions, from).toEqual([]);
    expect(result.kernel.by, from).toBe('stated');
    expect(result.kernel.profile, from).toEqual({
      ...profile,
      name: result.kernel.profile.name,
      version: result.kernel.profile.version,
    });
    const causes = new Set(
      result.verdicts.flatMap((v) =>
        v.rule.id === 'SYSFS' ? [] : v.inconclusive.map((d) => d.cause),
      ),
    );
    expect(causes.has('wrong kernel'), from).toBe(false);
    if (result.losses.length === 0) expect(causes.has('lost events'), from).toBe(false);
    if (lossy && kind === 'trace') expect(causes.has('lost events'), from).toBe(true);

    // What the machine's sysfs says afterwards.
    const { compared, differences } = result.sysfs!;
    expect(compared, from).toBeGreaterThanOrEqual(expectedFacts);
    const decided = differences.filter((d) => !d.undecided).map((d) => d.what);
    expect(decided, from).toEqual([]);
    if (kind === 'dmesg' || kind === 'udevadm') {
      total.decided[kind] += compared - differences.length;
      total.undecided[kind] += differences.length;
      expect(compared - differences.length, from).toBeGreaterThan(compared / 2);
      continue;
    }
    total.facts += compared - differences.length;
    const alone = kind !== 'merged';
    const mayDoubt = lossy || (alone && TRACE_ENDS_EARLY.has(name));
    if (!mayDoubt) expect(differences, from).toEqual([]);
  }

  // Without the snapshot the kernel is concluded from the trace alone.
  const concluded = await replay({ files: [trace], history: false });
  expect(concluded.kernel.contradictions, name).toEqual([]);
  expect(concluded.verdicts.filter((v) => v.status === 'violated')).toEqual([]);
  const found = concluded.kernel.profile;
  const wrong = (Object.keys(profile) as (keyof KernelProfile)[]).filter(
    (fact) => fact !== 'name' && fact !== 'version' && profile[fact] !== found[fact],
  );
  const excused = CANNOT_TELL[name] ?? CANNOT_TELL[scenario] ?? [];
  if (excused === 'anything') expect(concluded.kernel.by, name).toBe('assumed');
  else {
    expect(concluded.kernel.by, name).toBe('concluded');
    expect(
      wrong.filter((fact) => !excused.includes(fact)),
      name,
    ).toEqual([]);
  }
}

afterAll(() => {
  const checks = [...total.checks]
    .filter(([, n]) => n > 0)
    .map(([id, n]) => `${id} ${n}`)
    .join(', ');
  const share = (kind: 'dmesg' | 'udevadm') =>
    `${total.decided[kind]} of ${total.decided[kind] + total.undecided[kind]} from ${kind}`;
  console.log(
    `sweep: ${total.directories} directories, ${total.replays} replays, ${total.events} events; ` +
      `sysfs facts: ${total.facts} from traces, ${share('dmesg')}, ${share('udevadm')}; checks: ${checks}`,
  );
});

describe('fixtures and samples', () => {
  it.each(FIXTURES)('$name', sweep);

  it('puts each rule that these recordings can show to the test', () => {
    const never = ['INV-01', 'INV-01b', 'INV-02', 'INV-03', 'INV-05', 'INV-07', 'INV-09', 'INV-11']
      .concat(['INV-13', 'INV-19', 'INV-35', 'INV-42', 'INV-46', 'INV-47', 'B.1', 'B.2', 'B.3'])
      .filter((id) => (total.checks.get(id) ?? 0) === 0);
    expect(never).toEqual([]);
  });
});

const absent = RECORDINGS.length === 0;
describe.skipIf(absent)(
  absent
    ? 'recordings: ../shared/traces is not there, only the fixtures are replayed'
    : 'recordings',
  () => {
    it.each(absent ? FIXTURES.slice(0, 1) : RECORDINGS)('$name', sweep);
  },
);
