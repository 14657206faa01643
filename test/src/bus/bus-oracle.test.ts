/**
 * Real runs of a driver core, done again on the model's bus in the recorded order: the operations
 * begin and end where they did, and every callback, probe and remove in between is the recorded one.
 */

import { map, Observable } from 'rxjs';
import type { Subscriber } from 'rxjs';
import { describe, expect, test } from 'vitest';
import type { BusAction } from '../../../events/actions.js';
import { profileByName } from '../../../machines/profiles/timeline.js';
import type { KernelProfile } from '../../../machines/profiles/profile.js';
import { Bus } from '../../../src/bus/bus.js';
import type { HotplugNotification } from '../../../src/bus/hotplug-notification.js';
import type { Waiter } from '../../../src/bus/wait-graph.js';
import type { WriteResult } from '../../../src/bus/write-result.js';
import { BUS_RUNS, PRIORITY, runs } from '../../oracle/bus-runs.js';
import type { Notification, Recorded, Run, Step } from '../../oracle/bus-runs.js';

/** The module found that the device is there already, or is not, and asked nobody. */
const EALREADY = -114;

/** What a begun operation comes to. */
type Result = Pick<WriteResult, 'ret' | 'who' | 'waitsFor'>;

const NOTHING: Result = { ret: 0, who: 'nobody', waitsFor: () => [] };

/** bus->match of the module: device i goes with two drivers, i and i + 1 modulo their number. */
const matchOf = (drivers: number) => (dev: string, driver: string) => {
  const i = Number(dev.slice(3));
  const d = Number(driver.slice(4));
  return d === i % drivers || d === (i + 1) % drivers;
};

/**
 * The model's side of a run. What it asks of listeners and drivers stays open until the recording
 * says what they returned.
 */
class ModelRun {
  readonly bus: Bus;
  /** By what is asked, as `asked` words it. */
  readonly open = new Map<string, Subscriber<number>>();
  readonly problems: string[] = [];
  /** Whose operation it is, by its number. */
  private readonly threadOf: number[] = [];
  private readonly block3 = this.block('3');

  /** @param pause holds an operation until the subscriber is told */
  constructor(
    profile: KernelProfile,
    drivers: number,
    pause: (pid: number, subscriber: Subscriber<number>) => void,
  ) {
    this.bus = new Bus({
      name: 'lab',
      profile,
      match: matchOf(drivers),
      clock: () => 0,
      pause: (operation) =>
        new Observable((subscriber) => pause(this.threadOf[operation], subscriber)),
    });
    for (const cb of ['0', '1', '2']) this.bus.register(this.block(cb));
  }

  /** @param pid the thread that does it */
  begin(op: string, obj: string, pid: number): Result {
    const { bus } = this;
    // There is no such device; the module has another one that it took before.
    if (/^(attach|detach)$/.test(op) && !bus.devices.includes(obj)) return NOTHING;
    if (!op.startsWith('nb')) this.threadOf.push(pid);
    switch (op) {
      case 'add':
        return bus.deviceAdd(obj);
      case 'del':
        return bus.deviceDel(obj);
      case 'attach':
        return bus.deviceAttach(obj);
      case 'detach':
        return bus.deviceReleaseDriver(obj);
      case 'drvreg':
        return bus.driverRegister({
          name: obj,
          probe: (dev) => this.ask(`probe ${dev} ${obj}`),
          remove: (dev) => this.ask(`remove ${dev} ${obj}`).pipe(map(() => undefined)),
        });
      case 'drvunreg':
        return bus.driverUnregister(obj);
      case 'nbreg':
        return bus.register(this.block3);
      default:
        return bus.unregister(this.block3);
    }
  }

  private block(cb: string) {
    return {
      name: cb,
      priority: PRIORITY[cb],
      call: (action: BusAction, { dev, driver }: HotplugNotification) =>
        this.ask(`${cb} ${this.bus.actionValue(action)} ${dev} ${driver}`),
    };
  }

  private ask(what: string): Observable<number> {
    return new Observable((subscriber) => {
      if (this.open.has(what)) this.problems.push(`${what}: asked twice at once`);
      this.open.set(what, subscriber);
    });
  }
}

function asked(event: Recorded): string {
  switch (event.k) {
    case 'N':
      return `${event.cb} ${event.action} ${event.dev} ${event.drv}`;
    case 'P':
      return `probe ${event.dev} ${event.drv}`;
    case 'X':
      return `remove ${event.dev} ${event.drv}`;
    default:
      throw new Error(event.k);
  }
}

/** Whether the call whose first callback is record `at` came to block 3; undefined: cannot be told. */
function block3In(events: readonly Recorded[], at: number): boolean | undefined {
  const first = events[at] as Notification;
  const next = nextOf(events, at);
  return sameCall(first, next) ? next.cb === 3 : undefined;
}

/** The next record of the same thread. */
function nextOf(events: readonly Recorded[], at: number): Recorded | undefined {
  for (let i = at + 1; i < events.length; i++)
    if (events[i].pid === events[at].pid) return events[i];
  return undefined;
}

/**
 * Whether the thread attaches or detaches a device that is gone, whose name has a new one: it is
 * freed when the thread lets go of it.
 */
function tookAnother(events: readonly Recorded[], begin: number): boolean {
  const { op, obj } = events[begin] as Step;
  if (op !== 'attach' && op !== 'detach') return false;
  const end = nextOf(events, begin);
  if (end?.k !== 'E' || end.ret !== 0) return false;
  const freed = nextOf(events, events.indexOf(end));
  return freed?.k === 'F' && freed.obj === obj;
}

function endOf(events: readonly Recorded[], at: number): Step | undefined {
  for (let i = at + 1; i < events.length; i++) {
    const event = events[i];
    if (event.k === 'E' && event.pid === events[at].pid) return event;
  }
  return undefined;
}

function sameCall(a: Notification, b: Recorded | undefined): b is Notification {
  return b?.k === 'N' && b.dev === a.dev && b.action === a.action && b.cb !== 0;
}

/** How far the model came. */
interface Followed {
  readonly reached: number;
  readonly problem: string | undefined;
  /** Where threads waited, the one that is missed first: after which record, and how many stops. */
  readonly waited: readonly { readonly since: number; readonly stops: number }[];
}

/** A stop of a thread: the nth after one of its records. */
const stopKey = (since: number, n: number) => `${since}.${n}`;

/**
 * Follows the recording. When a thread went from one record to its next is not recorded; here it
 * goes when the next comes, or where `early` says. On its way it stops where locks are taken and
 * released, and may stay there for a while.
 *
 * @param early where threads go on earlier: the stop -> the record before which
 */
function follow(
  profile: KernelProfile,
  { params, events }: Run,
  early: ReadonlyMap<string, number>,
): Followed {
  const model = new ModelRun(profile, params.drvs, (pid, subscriber) => {
    const { since, stops } = sinceOf.get(pid)!;
    hold(pid, since, stops + 1, () => tell(subscriber, 0));
  });
  const held = new Map<number, { readonly stop: string; readonly next: () => void }>();
  const results = new Map<number, Result>();
  const lastOf = new Map(events.map(({ pid }, i) => [pid, i]));
  const sinceOf = new Map<number, { readonly since: number; readonly stops: number }>();
  /** Who has registered block 3. */
  let owner: number | undefined;
  /** Who changes whether block 3 is on the chain, if the change is not done yet. */
  let changer: number | undefined;

  const step = (pid: number) => {
    const next = held.get(pid)?.next;
    held.delete(pid);
    next?.();
  };
  const goOn = (pid: number) => {
    for (;;) {
      while (held.has(pid)) step(pid);
      // Whoever has what it waits for must have let go of it by now.
      const inItsWay = [...held.keys()].find((other) =>
        blocks(results.get(other), results.get(pid)),
      );
      if (inItsWay === undefined) return;
      step(inItsWay);
    }
  };
  const goEarly = (i: number) => {
    const due = [...held].find(([, { stop }]) => (early.get(stop) ?? Infinity) <= i);
    if (due === undefined) return false;
    step(due[0]);
    return true;
  };
  const hold = (pid: number, since: number, stops: number, next: () => void) => {
    held.set(pid, { stop: stopKey(since, stops), next });
    sinceOf.set(pid, { since, stops });
  };
  const at = (i: number): string | undefined => {
    const event = events[i];
    if (event.k === 'F') return undefined;
    const { pid } = event;
    while (goEarly(i)) continue;
    // A thread that has ended takes block 3 off, without a record.
    if (owner !== undefined && !held.has(owner) && lastOf.get(owner)! < i) {
      const pid3 = owner;
      hold(pid3, i, 0, () => void model.begin('nbunreg', '3', pid3));
      changer = owner;
      owner = undefined;
    }
    const on = event.k === 'N' && event.cb === 0 ? block3In(events, i) : undefined;
    if (changer !== undefined && on !== undefined && on !== model.bus.blocks.includes('3')) {
      goOn(changer);
      changer = undefined;
    }
    if (event.k === 'B') {
      goOn(pid);
      if (endOf(events, i)?.ret === EALREADY) return undefined;
      const ofBlock3 = event.op.startsWith('nb');
      hold(pid, i, 0, () => {
        const begun = tookAnother(events, i) ? NOTHING : model.begin(event.op, event.obj, pid);
        results.set(pid, begun);
      });
      if (ofBlock3) changer = pid;
    } else if (event.k === 'E') {
      if (event.ret === EALREADY) return undefined;
      goOn(pid);
      const ret = results.get(pid)?.ret;
      if (ret === undefined) return `${event.op} goes on`;
      results.delete(pid);
      if (ret !== event.ret) return `${event.op} returned ${ret}, not ${event.ret}`;
      if (changer === pid) changer = undefined;
      if (event.op === 'nbreg') owner = pid;
      if (event.op === 'nbunreg') owner = undefined;
    } else {
      const what = asked(event);
      goOn(pid);
      const subscriber = model.open.get(what);
      if (subscriber === undefined) return `nobody asked ${what}`;
      model.open.delete(what);
      hold(pid, i, 0, () => tell(subscriber, event.ret ?? 0));
      // After a call it lets go of the chain, after a probe the device joins its driver's.
      if (event.k === 'P' || (event.k === 'N' && !sameCall(event, nextOf(events, i)))) step(pid);
    }
    return undefined;
  };

  for (let i = 0; i < events.length; i++) {
    const problem = at(i) ?? model.problems[0];
    if (problem === undefined) continue;
    const open = [...model.open.keys()].join(', ');
    const { pid } = events[i];
    const missed = sinceOf.get(pid);
    const others = [...sinceOf.values()].filter((thread) => thread !== missed);
    const waited = [missed, ...others.sort((a, b) => b.since - a.since)].filter(
      (w) => w !== undefined,
    );
    return { reached: i, problem: `record ${i}: ${problem}; open: ${open}`, waited };
  }
  for (const pid of [...held.keys()]) goOn(pid);
  const left = [...model.open.keys()].map((what) => `not recorded: ${what}`);
  return { reached: events.length, problem: left[0], waited: [] };
}

/** Looks for the moments at which threads went on: undefined, or what cannot be explained. */
function explain(profile: KernelProfile, run: Run): string | undefined {
  const early = new Map<string, number>();
  let followed = follow(profile, run, early);
  while (followed.problem !== undefined) {
    const better = further(profile, run, early, followed);
    if (better === undefined) return followed.problem;
    followed = better;
  }
  return undefined;
}

/** Stops that a thread may come to when it goes on. */
const AHEAD = 4;

/** Lets one thread go on earlier, so that the model comes further. */
function further(
  profile: KernelProfile,
  run: Run,
  early: Map<string, number>,
  { reached, waited }: Followed,
): Followed | undefined {
  const was = new Map(early);
  const tryEarly = (since: number, last: number, before: number): Followed | undefined => {
    for (let n = 0; n <= last; n++) {
      const stop = stopKey(since, n);
      early.set(stop, Math.min(was.get(stop) ?? Infinity, before));
    }
    const tried = follow(profile, run, early);
    if (tried.problem === undefined || tried.reached > reached) return tried;
    early.clear();
    for (const [stop, before] of was) early.set(stop, before);
    return undefined;
  };
  // At once or just in time will mostly do.
  for (const between of [false, true]) {
    for (const { since, stops } of waited) {
      for (let last = 0; last <= stops + AHEAD; last++) {
        for (let before = reached; before > since; before--) {
          if (between === (before === reached || before === since + 1)) continue;
          const better = tryEarly(since, last, before);
          if (better !== undefined) return better;
        }
      }
    }
  }
  return undefined;
}

/** Whether `waiting` cannot go on before `other`. */
function blocks(other: Result | undefined, waiting: Result | undefined): boolean {
  if (other === undefined || waiting === undefined || waiting.ret !== undefined) return false;
  const seen = new Set<Pick<Waiter, 'who' | 'waitsFor'>>([waiting]);
  for (const at of seen) {
    if (at !== waiting && at.who === other.who) return at.who !== waiting.who;
    for (const { on } of at.waitsFor()) seen.add(on);
  }
  return false;
}

function tell(subscriber: Subscriber<number>, ret: number): void {
  subscriber.next(ret);
  subscriber.complete();
}

describe.each(BUS_RUNS)('%s %s', (kernel, where, file) => {
  // The fix of K10 is in v7.1 and in the recorded 5.10.262.
  const profile = {
    ...profileByName(`v${kernel}`)!,
    ...(kernel === '5.10' ? { readyFlag: true } : {}),
  };

  test('every run is done again, notification by notification', () => {
    const all = runs(file);
    let count = 0;
    for (const run of all) {
      expect(explain(profile, run), `run ${run.run}`).toBeUndefined();
      count += run.events.length;
    }
    console.log(`${kernel} ${where}: ${all.length} runs, ${count} records`);
  });

  test('a bus that notifies otherwise is not taken for it', () => {
    const [run] = runs(file);
    const others: readonly Partial<KernelProfile>[] = [
      { numbering: 'v3.6' },
      { numbering: profile.numbering === 'v6.3' ? 'v3.18' : 'v6.3' },
    ];
    for (const other of others) {
      expect(follow({ ...profile, ...other }, run, new Map()).problem).toBeDefined();
    }
    const events = run.events.filter((e, i) => !(e.k === 'N' && i > 20 && i < 30));
    expect(follow(profile, { ...run, events }, new Map()).problem).toBeDefined();
  });
});
