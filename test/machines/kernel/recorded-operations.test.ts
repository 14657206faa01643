/**
 * The model agrees with the recordings: whatever a task does of the modelled operations, in every
 * recording of four kernels, is what the model's operations of that generation can do.
 */

import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { FUNCTIONS, readRecording } from './recorded-events.js';
import type { Recording, Shown } from './recorded-events.js';
import { NEVER_HIT, RECORDED_KERNELS } from './recorded-kernels.js';
import { Acceptor, explains, judgeTask, nothingJudged } from './recorded-operations.js';
import type { Accepted, Failure, Judged } from './recorded-operations.js';
import type { RecordedKernel } from './recorded-starts.js';

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
const SHARED = path('../../../../shared/traces');
const FIXTURES = path('../../fixtures');

/** What is counted, beside what it is a part of. */
const OPERATIONS = [
  'device_add',
  'device_del',
  'really_probe',
  '__device_release_driver',
  'device_release_driver_internal',
  'iommu_bus_notifier',
  'iommu_probe_device',
  'iommu_release_device',
  'iommu_group_add_device',
  'iommu_group_alloc_device',
  'iommu_group_remove_device',
  '__iommu_group_remove_device',
  'iommu_group_release',
  'iommu_setup_default_domain',
  'iommu_attach_group',
  'iommu_detach_group',
  'iommu_group_claim_dma_owner',
  'iommu_group_release_dma_owner',
  'iommu_device_use_default_domain',
  'iommu_device_unuse_default_domain',
];

/** Files of trace events, by kernel. */
function recordings(): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>();
  const add = (kernel: string, folder: string) => {
    const file = ['trace.txt', 'trace.txt.gz'].map((name) => `${folder}/${name}`).find(existsSync);
    if (file !== undefined) found.set(kernel, [...(found.get(kernel) ?? []), file]);
  };
  for (const name of readdirSync(FIXTURES)) {
    const [kernel, ...scenario] = name.split('-');
    // Some of them are copies.
    if (existsSync(`${SHARED}/${kernel}/${scenario.join('-')}`)) continue;
    if (kernel in RECORDED_KERNELS) add(kernel, `${FIXTURES}/${name}`);
  }
  for (const kernel of existsSync(SHARED) ? Object.keys(RECORDED_KERNELS) : []) {
    for (const name of readdirSync(`${SHARED}/${kernel}`))
      add(kernel, `${SHARED}/${kernel}/${name}`);
  }
  return found;
}

/** Facts of a generation that a trace shows: the contrary does not explain every recording. */
const VISIBLE = [
  'removedDevice',
  'notBound',
  'probedIsOne',
  'addErrnoStops',
  'busNotify',
  'groupDomain',
  'probeDevice',
  'finalizeLooksUpDomain',
  'groupNotifier',
  'dmaOwnership',
  'addBeforeAttach',
] as const;

interface Swept {
  readonly judged: Judged;
  readonly recordings: ReadonlyMap<string, Recording>;
  readonly acceptors: readonly Acceptor[];
}

async function sweep(kernel: RecordedKernel, files: readonly string[]): Promise<Swept> {
  const judged = nothingJudged();
  const acceptors = new Map<string, Acceptor>();
  const read = new Map<string, Recording>();
  for (const file of files) {
    const recording = await readRecording(file);
    const { listeners, iommuBuses, tasks } = recording;
    // Recordings of a boot have the tracepoints of the IOMMU core alone.
    const entered = tasks.some(({ events }) => events.some(({ type }) => type === 'function_call'));
    if (!entered) continue;
    read.set(file, recording);
    const key = `${[...listeners].sort().join()} on ${[...iommuBuses].sort().join()}`;
    const acceptor = acceptors.get(key) ?? new Acceptor(kernel, recording, key);
    acceptors.set(key, acceptor);
    for (const task of tasks) judgeTask(acceptor, task, judged);
  }
  return { judged, acceptors: [...acceptors.values()], recordings: read };
}

const swept = new Map<string, Promise<Swept>>();

function sweptOf(kernel: string): Promise<Swept> {
  const known = swept.get(kernel);
  if (known !== undefined) return known;
  const now = sweep(RECORDED_KERNELS[kernel], recordings().get(kernel) ?? []);
  swept.set(kernel, now);
  return now;
}

describe.each(Object.keys(RECORDED_KERNELS))('recordings of %s', (name) => {
  it('shows nothing of the modelled operations that the model cannot do', async () => {
    const { judged, acceptors, recordings: read } = await sweptOf(name);
    const { counts, failures, cut, before } = judged;
    const distinct = acceptors.flatMap(({ accepted }) => accepted);
    const needing = (what: string) => distinct.filter(({ needs }) => needs === what).length;
    const checked = OPERATIONS.filter((fn) => counts.has(fn));
    const sum = checked.reduce((all, fn) => all + (counts.get(fn) ?? 0), 0);
    console.log(
      `${name}: ${read.size} recordings, ${sum} operations checked, ${distinct.length} distinct ` +
        `(${needing('another task')} need another task, ${needing('a fault')} a fault), ` +
        `${cut} cut off, ${before} events of operations from before: ` +
        checked.map((fn) => `${fn} ${counts.get(fn)}`).join(', '),
    );
    expect(failures.slice(0, 5).map(told)).toEqual([]);
    expect(sum).toBeGreaterThan(10);
  });

  it('has another task at work wherever the model needs one', async () => {
    const { acceptors, recordings: read } = await sweptOf(name);
    for (const { accepted } of acceptors) {
      for (const one of accepted.filter(({ needs }) => needs === 'another task')) {
        expect(meanwhile(read.get(one.file)!, one), shown(one.events)).not.toEqual([]);
      }
    }
  });

  it('does not accept them where an observable is dropped, doubled, altered or in the wrong place', async () => {
    const { acceptors } = await sweptOf(name);
    let tried = 0;
    const accepted = new Map<string, string>();
    for (const acceptor of acceptors) {
      for (const { what, events } of mutants([...acceptor.accepted], MUTANTS)) {
        tried++;
        if (explains(acceptor, events)) accepted.set(what, shown(events));
      }
    }
    const rate = (tried - accepted.size) / tried;
    console.log(`${name}: ${tried} mutations, ${(100 * rate).toFixed(1)} % rejected`);
    if (process.env['HOTRACE_MUTATIONS'] !== undefined) {
      for (const [what, text] of accepted) console.log(`${what}\n${text}`);
    }
    expect(tried).toBeGreaterThan(50);
    expect(rate).toBeGreaterThan(0.98);
  });

  it.skipIf(!existsSync(SHARED)).each(VISIBLE)('confirms %s', async (fact) => {
    const { acceptors } = await sweptOf(name);
    const { profile } = RECORDED_KERNELS[name];
    const wrong = { ...profile, name: `${profile.name} not ${fact}`, [fact]: !profile[fact] };
    const refuted = acceptors.some((acceptor) => {
      const as = acceptor.as({ ...RECORDED_KERNELS[name], profile: wrong });
      return acceptor.accepted.some(({ events }) => !explains(as, events));
    });
    expect(refuted).toBe(true);
  });

  it.each(Object.keys(RECORDED_KERNELS).filter((other) => other !== name))(
    'does not accept as one of %s how a device joins a group, binds and leaves',
    async (other) => {
      const { acceptors } = await sweptOf(name);
      const kernel = { ...RECORDED_KERNELS[name], profile: RECORDED_KERNELS[other].profile };
      let tried = 0;
      for (const acceptor of acceptors) {
        const wrong = acceptor.as(kernel);
        for (const { events } of acceptor.accepted.filter(differs).slice(0, 15)) {
          tried++;
          expect(explains(wrong, events), shown(events)).toBe(false);
        }
      }
      // The fixtures have hardly one of each kernel.
      expect(tried).toBeGreaterThan(existsSync(SHARED) ? 2 : -1);
    },
  );
});

describe.skipIf(!existsSync(SHARED))('what the recordings could show', () => {
  it.each(Object.entries(RECORDED_KERNELS))('is what the probes of %s say', (name, kernel) => {
    for (const folder of readdirSync(`${SHARED}/${name}`)) {
      const report = readFileSync(`${SHARED}/${name}/${folder}/probe-report.txt`, 'utf8');
      const entries = [...report.matchAll(/^p:lab\/\S+ (\S+)/gm)].map(([, fn]) => fn);
      const returns = [...report.matchAll(/^r\d*:lab\/\S+ (\S+)/gm)].map(([, fn]) => fn);
      const never = NEVER_HIT[name] ?? [];
      const known = (fns: readonly string[]) =>
        [...FUNCTIONS].filter((fn) => fns.includes(fn) && !never.includes(fn)).sort();
      expect([...kernel.probed].sort()).toEqual(known(entries));
      expect([...kernel.returns].sort()).toEqual(known(returns));
    }
  });
});

/** What other tasks do about the device, or VFIO about a group, while an operation goes on. */
function meanwhile({ tasks }: Recording, { pid, events, before }: Accepted): readonly Shown[] {
  const { line: from, dev } = events[0];
  const others = tasks.filter((task) => task.pid !== pid).flatMap((task) => task.events);
  return others.filter(
    ({ line, dev: of, fn }) =>
      line > from && line < before && (of === dev || fn?.endsWith('register_notifier') === true),
  );
}

/** Mutations of a kernel that are tried, by the sets of callbacks on its chains. */
const MUTANTS = 50;

/** Every two generations differ in how a device joins its group: in the order, or in the numbers. */
function differs({ events }: Accepted): boolean {
  return events[0].fn === 'device_add' && events.some(({ type }) => type === 'add_device_to_group');
}

/** Events of an operation of which one is dropped, doubled or altered, or two are exchanged. */
function* mutants(
  accepted: readonly Accepted[],
  count: number,
): Generator<{ readonly what: string; readonly events: readonly Shown[] }> {
  const all: { of: Accepted; i: number; how: 'drop' | 'double' | 'alter' | 'swap' }[] = [];
  for (const of of accepted) {
    for (const i of of.own.slice(1)) {
      all.push({ of, i, how: 'drop' }, { of, i, how: 'double' });
      if (!same(of.events[i], altered(of.events[i]))) all.push({ of, i, how: 'alter' });
      if (of.own.includes(i + 1) && !same(of.events[i], of.events[i + 1])) {
        all.push({ of, i, how: 'swap' });
      }
    }
  }
  // Spread evenly, the same ones each time.
  const stride = Math.max(1, all.length / count);
  for (let at = 0; at < all.length; at += stride) {
    const { of, i, how } = all[Math.floor(at)];
    const { events } = of;
    const [one, next] = [events[i], events[i + 1]];
    const middle = { drop: [], double: [one, one], alter: [altered(one)], swap: [next, one] }[how];
    yield {
      what: `${how} ${i} of ${one.line}`,
      events: [...events.slice(0, i), ...middle, ...events.slice(how === 'swap' ? i + 2 : i + 1)],
    };
  }
}

/** Of another device, with another number, with another answer. */
function altered(event: Shown): Shown {
  const { type, dev, drv, action, ret, fn } = event;
  if (action !== undefined) return { ...event, action: action + 1 };
  if (typeof drv === 'string') return { ...event, drv: `not ${drv}` };
  if (typeof dev === 'string') return { ...event, dev: `not ${dev}` };
  if (ret === undefined || fn === 'iommu_group_alloc_device') return event;
  // What a listener answers is its own.
  return type === 'callback_return' && fn !== 'iommu_bus_notifier' ? event : { ...event, ret: 7 };
}

function same(a: Shown, b: Shown): boolean {
  return JSON.stringify({ ...a, line: 0 }) === JSON.stringify({ ...b, line: 0 });
}

function told({ file, line, operation, events, furthest, expected }: Failure): string {
  return (
    `${file}:${line}: ${operation} is nothing that the model does.\n` +
    `It explains ${furthest} events${expected === undefined ? '' : `, then it does ${expected}`}:\n` +
    shown(events, furthest)
  );
}

function shown(events: readonly Shown[], furthest = -1): string {
  return events
    .map(
      ({ line, ...event }, i) => `${i === furthest ? '=>' : '  '} ${line} ${JSON.stringify(event)}`,
    )
    .join('\n');
}
