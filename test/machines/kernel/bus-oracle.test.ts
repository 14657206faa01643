/**
 * Real runs of a driver core, several kernel threads at once, as interleavings of the kernel that
 * the explorer explores: a search that the recording guides looks for the order of the steps that
 * are not recorded.
 */

import { describe, expect, test } from 'vitest';
import { busActionValue } from '../../../events/actions.js';
import type { BusAction } from '../../../events/actions.js';
import { profileByName } from '../../../machines/profiles/timeline.js';
import type { KernelProfile } from '../../../machines/profiles/profile.js';
import { BUS_RUNS, runs } from '../../oracle/bus-runs.js';
import type { Notification, Recorded, Run } from '../../oracle/bus-runs.js';
import { Lab } from './bus-oracle.js';

/** States after which a search gives up. */
const MOST = 100_000;

/** The first event that the model cannot do, or undefined. */
function refused(lab: Lab, run: Pick<Run, 'params' | 'events'>): string | undefined {
  const { accepted, gaveUp, states, at } = lab.try(run, MOST);
  if (accepted) return undefined;
  return gaveUp ? `gave up after ${states} states` : `event ${at}: ${told(run.events[at])}`;
}

function told(event: Recorded): string {
  return JSON.stringify(event);
}

describe.each(BUS_RUNS)('%s %s', (kernel, where, file) => {
  // The fix of K10 is in v7.1 and in the recorded 5.10.262.
  const profile: KernelProfile = {
    ...profileByName(`v${kernel}`)!,
    ...(kernel === '5.10' ? { readyFlag: true } : {}),
  };
  const all = runs(file);
  const lab = new Lab(profile);

  test('every run is an interleaving that the model permits', () => {
    const begun = performance.now();
    const problems = all.flatMap((run) => {
      const problem = refused(lab, run);
      return problem === undefined ? [] : [`run ${run.run}: ${problem}`];
    });
    const seconds = ((performance.now() - begun) / 1000).toFixed(1);
    const accepted = all.length - problems.length;
    console.log(`${kernel} ${where}: accepted ${accepted} of ${all.length} runs, ${seconds} s`);
    for (const problem of problems) console.log(`${kernel} ${where}: ${problem}`);
    expect(problems).toEqual([]);
  });

  test('what cannot have happened is refused where it is', () => {
    const tried = new Map<string, number>();
    for (const run of all.slice(0, 3)) {
      for (const [what, events] of impossible(run.events, profile)) {
        const problem = refused(lab, { params: run.params, events });
        expect(problem, `run ${run.run}, ${what}`).toMatch(/^event/);
        tried.set(what, (tried.get(what) ?? 0) + 1);
      }
    }
    expect([...tried.keys()].sort()).toEqual([...IMPOSSIBLE].sort());
  });

  test('what nobody can tell from what happened is accepted', () => {
    let swapped = 0;
    for (const run of all) {
      const at = run.events.findIndex((event, i) => independent(event, run.events[i + 1]));
      if (at < 0 || swapped === 3) continue;
      const events = run.events.with(at, run.events[at + 1]).with(at + 1, run.events[at]);
      expect(refused(lab, { params: run.params, events }), `run ${run.run}`).toBeUndefined();
      swapped++;
    }
    expect(swapped).toBeGreaterThan(0);
  });

  test.runIf(where === 'oracle')('nobody binds a device that another thread has locked', () => {
    let tried = 0;
    for (const run of all) {
      const events = intruded(run, profile);
      if (events === undefined || tried === 3) continue;
      const problem = refused(lab, { params: run.params, events });
      expect(problem, `run ${run.run}`).toBeDefined();
      if (problem?.startsWith('event') === true) tried++;
    }
    expect(tried).toBeGreaterThan(1);
  });

  test('a kernel that notifies otherwise is not taken for it', () => {
    const others: readonly Partial<KernelProfile>[] = [
      { numbering: 'v3.6' },
      { numbering: profile.numbering === 'v6.3' ? 'v3.18' : 'v6.3' },
      { removedDevice: false },
      { notBound: false },
    ];
    for (const other of others) {
      const otherLab = new Lab({ ...profile, ...other });
      const refusals = all.slice(0, 6).map((run) => refused(otherLab, run));
      expect(
        refusals.some((problem) => problem?.startsWith('event') === true),
        JSON.stringify(other),
      ).toBe(true);
    }
  });
});

/** What `impossible` makes of a recording. */
const IMPOSSIBLE = [
  'BOUND before BIND',
  'REMOVED before UNBOUND',
  'another action',
  'callbacks out of the order of their priorities',
  'a callback left out',
  'a callback after one that stopped the chain',
  'a notification left out',
  'UNBIND before BOUND',
  'a driver that is not there yet',
  'a driver that is gone',
  'another result of an operation',
  'a probe that nobody was told of',
];

/** Recordings of what no kernel does, made of one that was. */
function* impossible(
  events: readonly Recorded[],
  profile: KernelProfile,
): Generator<readonly [what: string, events: readonly Recorded[]]> {
  const value = (action: BusAction) => busActionValue(profile.numbering, action)!;
  const first = (action: BusAction, more: (n: Notification, at: number) => boolean = () => true) =>
    events.findIndex(
      (e, i) => e.k === 'N' && e.cb === 0 && e.action === value(action) && more(e, i),
    );
  const at = (i: number) => events[i] as Notification;
  /** The notification of a device that follows one, by its own thread. */
  const after = (i: number, action: BusAction) =>
    events.findIndex(
      (e, j) =>
        j > i &&
        e.k === 'N' &&
        e.cb === 0 &&
        e.pid === at(i).pid &&
        e.dev === at(i).dev &&
        e.action === value(action),
    );
  const call = (i: number): readonly number[] =>
    events.flatMap((e, j) =>
      j >= i &&
      e.k === 'N' &&
      e.pid === at(i).pid &&
      e.dev === at(i).dev &&
      e.action === at(i).action &&
      j < i + 8
        ? [j]
        : [],
    );
  const exchanged = (i: number, j: number) => events.with(i, events[j]).with(j, events[i]);

  const bind = first('BIND_DRIVER', (_, i) => after(i, 'BOUND_DRIVER') > 0);
  if (bind >= 0) yield ['BOUND before BIND', exchanged(bind, after(bind, 'BOUND_DRIVER'))];
  const unbound = first('UNBOUND_DRIVER', (_, i) => {
    const removed = after(i, 'REMOVED_DEVICE');
    return removed > 0 && removed < i + 8;
  });
  if (unbound >= 0) {
    const removed = after(unbound, 'REMOVED_DEVICE');
    yield ['REMOVED before UNBOUND', exchanged(unbound, removed)];
    yield ['a driver that is gone', events.with(unbound, { ...at(unbound), drv: 'ldrv0' })];
  }
  const add = first('ADD_DEVICE');
  yield ['another action', events.with(add, { ...at(add), action: value('DEL_DEVICE') })];
  yield ['a driver that is not there yet', events.with(add, { ...at(add), drv: 'ldrv0' })];
  const del = first('DEL_DEVICE', (_, i) => call(i).length > 2);
  if (del >= 0) {
    const [one, two] = call(del);
    yield ['callbacks out of the order of their priorities', exchanged(one, two)];
    yield ['a callback left out', events.toSpliced(one, 1)];
    yield [
      'a callback after one that stopped the chain',
      events.with(one, { ...at(one), ret: 0x8002 }),
    ];
    const whole = new Set(call(del));
    yield ['a notification left out', events.filter((_, i) => !whole.has(i))];
  }
  const late = first('UNBIND_DRIVER', (n, i) => boundBy(events, value('BOUND_DRIVER'), n, i) >= 0);
  if (late >= 0) {
    const bound = boundBy(events, value('BOUND_DRIVER'), at(late), late);
    const early = events.toSpliced(late, 1).toSpliced(bound, 0, events[late]);
    yield ['UNBIND before BOUND', early];
  }
  const attach = events.findIndex((e) => e.k === 'E' && e.op === 'attach');
  const end = events[attach];
  if (end?.k === 'E') {
    yield ['another result of an operation', events.with(attach, { ...end, ret: 1 - end.ret })];
  }
  const probe = events.findIndex((e) => e.k === 'P');
  if (probe >= 0)
    yield ['a probe that nobody was told of', events.toSpliced(probe, 0, events[probe])];
}

/** Where the device was bound, before the notification `at`. */
function boundBy(
  events: readonly Recorded[],
  bound: number,
  { dev }: Notification,
  at: number,
): number {
  return events.findLastIndex(
    (e, i) => i < at && e.k === 'N' && e.cb === 0 && e.dev === dev && e.action === bound,
  );
}

/** An operation begins after something that is not of its object: nobody knows which was first. */
function independent(a: Recorded, b: Recorded | undefined): boolean {
  if (b?.k !== 'B' || a.k === 'F' || a.pid === b.pid) return false;
  return ('obj' in a ? a.obj : a.dev) !== b.obj;
}

/** One thread is told of a device while another binds it, which holds its lock. */
function intruded({ events }: Run, profile: KernelProfile): readonly Recorded[] | undefined {
  const [bind, unbind] = (['BIND_DRIVER', 'UNBIND_DRIVER'] as const).map((action) =>
    busActionValue(profile.numbering, action),
  );
  for (const [i, first] of events.entries()) {
    if (first.k !== 'N' || first.cb !== 0 || first.action !== bind) continue;
    const j = events.findIndex(
      (e, at) =>
        at > i &&
        e.k === 'N' &&
        e.cb === 0 &&
        e.dev === first.dev &&
        e.pid !== first.pid &&
        (e.action === bind || e.action === unbind),
    );
    const other = events[j];
    if (other === undefined) continue;
    const before = events.findLastIndex((e, at) => at < j && e.pid === other.pid);
    if (before < i) return events.toSpliced(j, 1).toSpliced(i + 1, 0, other);
  }
  return undefined;
}
