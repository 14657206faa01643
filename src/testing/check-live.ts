/**
 * A listener that is code and no model: an async function or an rxjs pipeline, run for real on a bus
 * (src/bus). The tool chooses who goes on at every hop of it and wherever operations may overtake
 * each other; a schedule is one run, and all of them are tried where there are few enough.
 */

import type { SchedulerLike } from 'rxjs';
import type { KernelProfile } from '../../machines/profiles/profile.js';
import { PROFILES, profileByName } from '../../machines/profiles/timeline.js';
import { Bus } from '../bus/bus.js';
import { DeadlockError } from '../bus/deadlock-error.js';
import type { NotifierReturn } from '../bus/notifier-block.js';
import { RandomNumbers } from '../explore/random-numbers.js';
import { messageOf } from '../explore/scenario-error.js';
import { DEADLOCK, EXCEPTION } from '../explore/verdict-rules.js';
import { plural, printable, wrap } from '../report/format.js';
import { interleavingTable } from '../report/interleaving-table.js';
import { seedFrom } from './budget.js';
import { ControlledSchedule } from './controlled-schedule.js';
import type { Choose, Chosen } from './controlled-schedule.js';
import type { HotplugProgram } from './hotplug-program.js';
import { operationText } from './operations.js';
import type { Operation } from './operations.js';
import { RuleRun } from './own-rule.js';
import type { Heard, OwnRule } from './own-rule.js';

/**
 * What a listener may wait for under the tool's control. Promises that are settled already, or that
 * lead to one of these, go on by themselves before anything else is chosen; timers and input of its
 * own nobody waits for.
 */
export interface Hops {
  /** A point where others may come between: `await hop()`. */
  readonly hop: (what?: string) => Promise<number>;
  /** For rxjs: `observeOn(scheduler)`, `delay(0, scheduler)`. */
  readonly scheduler: SchedulerLike;
}

/**
 * A listener on the bus: its callback, which may be asynchronous. It is made anew for every
 * schedule, so what it remembers begins anew as well. What it throws is a violation.
 */
export type MakeListener = (hops: Hops) => (heard: Heard) => NotifierReturn;

export interface LiveOptions {
  readonly generations?: readonly string[];
  /** By block, on the bus `pci`, in the order of their registration. */
  readonly listeners: Readonly<Record<string, MakeListener>>;
  /** Rules of one's own, over what the bus tells. */
  readonly rules?: readonly OwnRule[];
  readonly seed?: number;
  /** Schedules that are tried at most, for each generation; 20,000 where left out. */
  readonly schedules?: number;
}

/** What it came to on one generation. */
export interface LiveOn {
  readonly kernel: string;
  /** `clean` only when every schedule was tried. */
  readonly verdict: 'clean' | 'violated' | 'incomplete';
  /** Schedules that were tried. */
  readonly schedules: number;
  readonly failure: LiveFailure | undefined;
}

/** A schedule that breaks a rule. */
export interface LiveFailure {
  /** The rule's id; `exception`: an operation or a callback threw; `deadlock`. */
  readonly rule: string;
  readonly says: string;
  readonly steps: readonly Chosen[];
}

export interface LiveChecked {
  /** The worst of the generations. */
  readonly verdict: 'clean' | 'violated' | 'incomplete';
  readonly seed: number;
  readonly on: readonly LiveOn[];
}

/** Operations of a program that a bus that runs has. */
const LIVE = [
  'device_add',
  'device_del',
  'device_attach',
  'device_release_driver',
  'driver_register',
  'driver_unregister',
] as const;

const SCHEDULES = 20_000;
/** Of the schedules half may be tried in order; the rest is drawn where they were not enough. */
const IN_ORDER = 0.5;

/**
 * Runs the threads of a program on a bus without an IOMMU, with listeners that are code.
 *
 * @throws TypeError for a program that calls what a bus does not have; RangeError for a version that
 *   is none
 */
export async function checkLive(
  program: HotplugProgram,
  options: LiveOptions,
): Promise<LiveChecked> {
  const unknown = Object.values(program.threads)
    .flat()
    .find(([name]) => !(LIVE as readonly string[]).includes(name));
  if (unknown !== undefined) {
    throw new TypeError(`a bus that runs has no ${operationText(unknown)}; it has ${LIVE.join()}`);
  }
  const seed = seedFrom(options.seed);
  const own = program.kernel === undefined ? PROFILES.map(({ name }) => name) : [program.kernel];
  const on: LiveOn[] = [];
  for (const kernel of options.generations ?? own) {
    const profile = profileByName(kernel);
    if (profile === undefined) throw new RangeError(`"${kernel}" is no version of a kernel`);
    on.push(await checkOn(program, profile, seed, options));
  }
  const verdicts = on.map(({ verdict }) => verdict);
  const verdict = verdicts.includes('violated')
    ? 'violated'
    : verdicts.includes('incomplete')
      ? 'incomplete'
      : 'clean';
  return { verdict, seed, on };
}

async function checkOn(
  program: HotplugProgram,
  profile: KernelProfile,
  seed: number,
  options: LiveOptions,
): Promise<LiveOn> {
  const kernel = profile.name;
  const most = options.schedules ?? SCHEDULES;
  const inOrder = new InOrder();
  const random = new RandomNumbers(seed);
  for (let schedules = 1; schedules <= most; schedules++) {
    const ordered = schedules <= Math.ceil(most * IN_ORDER);
    const choose: Choose = ordered ? inOrder.begin() : (waiting) => random.below(waiting.length);
    const failure = await runOnce(program, profile, choose, options);
    if (failure !== undefined) return { kernel, verdict: 'violated', schedules, failure };
    if (ordered && !inOrder.next()) {
      return { kernel, verdict: 'clean', schedules, failure: undefined };
    }
  }
  return { kernel, verdict: 'incomplete', schedules: most, failure: undefined };
}

/** Every sequence of choices, one after the other: the last choice changes first. */
class InOrder {
  private readonly made: { choice: number; of: number }[] = [];
  private at = 0;

  begin(): Choose {
    this.at = 0;
    return (waiting) => {
      if (this.at === this.made.length) this.made.push({ choice: 0, of: waiting.length });
      return this.made[this.at++].choice;
    };
  }

  /** Whether there is another. */
  next(): boolean {
    for (;;) {
      const last = this.made.at(-1);
      if (last === undefined) return false;
      if (++last.choice < last.of) return true;
      this.made.pop();
    }
  }
}

/** One schedule. Returns how it fails, undefined where it does not. */
async function runOnce(
  program: HotplugProgram,
  profile: KernelProfile,
  choose: Choose,
  { listeners, rules = [] }: LiveOptions,
): Promise<LiveFailure | undefined> {
  const schedule = new ControlledSchedule();
  const threadOf = new Map<number, string>();
  let operations = 0;
  let begun = false;
  let failure: LiveFailure | undefined;
  const fail = (rule: string, says: string) => {
    failure ??= { rule, says, steps: [...schedule.steps] };
  };
  const bus = new Bus({
    name: 'pci',
    profile,
    clock: () => 0,
    match: (dev, driver) => program.drivers[driver]?.matches?.includes(dev) ?? true,
    pause: (operation, at) =>
      begun
        ? schedule.hold(`before ${POINTS[at]}`, threadOf.get(operation) ?? 'worker')
        : undefined,
  });
  const runs = rules.map((rule) => new RuleRun(rule));
  void bus.register({
    name: 'hotrace',
    priority: 2 ** 31 - 1,
    call: (action, { dev }) => {
      if (!begun) return 0;
      schedule.tell(`BUS:${action} ${dev}`);
      for (const run of runs) {
        if (!run.hear({ action, dev })) fail(run.rule.id, run.rule.sentence);
      }
      return 0;
    },
  });
  await startOf(bus, program, () => operations++);
  const hops: Hops = {
    hop: (what = 'hop') => schedule.hold(what),
    scheduler: schedule.scheduler,
  };
  for (const [name, make] of Object.entries(listeners)) {
    const call = make(hops);
    await bus.register({ name, call: (action, { dev }) => call({ action, dev }) });
  }
  begun = true;
  const waiting = new Set(Object.keys(program.threads));
  for (const [thread, calls] of Object.entries(program.threads)) {
    const body = async () => {
      await schedule.hold('begins', thread);
      for (const call of calls) {
        threadOf.set(operations++, thread);
        await operate(bus, call);
      }
    };
    void body().then(
      () => waiting.delete(thread),
      (error: unknown) => {
        waiting.delete(thread);
        fail(error instanceof DeadlockError ? DEADLOCK : EXCEPTION, messageOf(error));
      },
    );
  }
  await schedule.run((points) => (failure === undefined ? choose(points) : undefined));
  if (waiting.size > 0)
    fail(DEADLOCK, `${[...waiting].join(' and ')} wait for ever, or for what is not under control`);
  return failure;
}

const POINTS = {
  lock: 'device_lock',
  unlock: 'what follows device_unlock',
  notify: 'the chain is called',
  notified: 'what follows the call of the chain',
} as const;

/** What is there when the threads begin. */
async function startOf(
  bus: Bus,
  { devices, drivers }: HotplugProgram,
  operation: () => void,
): Promise<void> {
  for (const [name, { present = false, driver }] of Object.entries(devices)) {
    if (!present && driver === undefined) continue;
    operation();
    await bus.deviceAdd(name);
  }
  for (const [name, { registered = true }] of Object.entries(drivers)) {
    if (!registered) continue;
    operation();
    await bus.driverRegister({ name });
  }
}

function operate(bus: Bus, [name, about]: Operation): PromiseLike<number> {
  switch (name) {
    case 'device_add':
      return bus.deviceAdd(about);
    case 'device_del':
      return bus.deviceDel(about);
    case 'device_attach':
      return bus.deviceAttach(about);
    case 'device_release_driver':
      return bus.deviceReleaseDriver(about);
    case 'driver_register':
      return bus.driverRegister({ name: about });
    case 'driver_unregister':
      return bus.driverUnregister(about);
    default:
      throw new TypeError(`a bus that runs has no ${name}`);
  }
}

/** What a run on the bus came to, as text: the interleaving, what is broken, the seed. */
export function liveText({ on, seed }: LiveChecked): string {
  const out: string[] = [];
  for (const { kernel, verdict, schedules, failure } of on) {
    const tried = `${plural(schedules, 'schedule')} tried`;
    out.push(...wrap(`${kernel}: ${verdict}, ${tried}`, 80));
    if (failure === undefined) continue;
    const { rule, says, steps } = failure;
    const shown = steps.map(({ thread, what }, i) => ({
      thread,
      what,
      number: i + 1,
      entity: undefined,
      event: undefined,
      reply: undefined,
      preempts: false,
    }));
    out.push('', ...interleavingTable(shown));
    out.push(...wrap(`${printable(rule)}: ${printable(says)}`, 72), '');
  }
  return [...out, `seed: ${seed}`].join('\n');
}
