/**
 * The smallest program that still fails: everything of it is left out by trial, until nothing can be
 * any more. It works on the plain data, so a program from anywhere can be made smaller.
 */

import type { HotplugProgram, ProgramDevice } from './hotplug-program.js';
import { namesIn } from './operations.js';
import type { Operation } from './operations.js';

/**
 * A program of which nothing can be left out: no thread, operation, device, driver, listener, group,
 * domain, fault or field. Deterministic where `fails` is.
 *
 * @param fails whether a program fails still, in the same way; it does of the one that is given
 */
export function minimise(
  program: HotplugProgram,
  fails: (smaller: HotplugProgram) => boolean,
): HotplugProgram {
  let smallest = program;
  for (;;) {
    const next = first(removals(smallest), fails);
    if (next === undefined) return smallest;
    smallest = next;
  }
}

function first<T>(of: Iterable<T>, holds: (each: T) => boolean): T | undefined {
  for (const each of of) if (holds(each)) return each;
  return undefined;
}

/** The programs that are the given one without one thing, large things first. */
export function* removals(program: HotplugProgram): Generator<HotplugProgram> {
  const { threads, devices, drivers, listeners, groups, domains, faults } = program;
  if (Object.keys(threads).length > 1) {
    for (const thread of Object.keys(threads)) {
      yield { ...program, threads: without(threads, thread) };
    }
  }
  for (const dev of Object.keys(devices)) yield withoutDevice(program, dev);
  for (const driver of Object.keys(drivers)) yield withoutDriver(program, driver);
  for (const block of Object.keys(listeners)) {
    yield {
      ...program,
      listeners: without(listeners, block),
      threads: callsWithout(threads, (call) => namesIn(call, 'block').includes(block)),
    };
  }
  for (const [thread, calls] of Object.entries(threads)) {
    for (const i of calls.keys()) {
      yield { ...program, threads: nonEmpty({ ...threads, [thread]: calls.toSpliced(i, 1) }) };
    }
  }
  for (const group of groups) yield withoutGroup(program, group);
  for (const domain of domains) {
    yield {
      ...program,
      domains: domains.filter((each) => each !== domain),
      threads: callsWithout(threads, (call) => namesIn(call, 'domain').includes(domain)),
    };
  }
  if (faults > 0) yield { ...program, faults: faults - 1 };
  yield* simpler(program);
}

/** Fields without which there is less; others say what is there when the threads begin. */
const LESS = {
  device: ['alias', 'deferred', 'driver', 'group'],
  driver: ['async', 'managesDma', 'matches'],
  listener: ['priority', 'returns', 'unregisters'],
} as const;

/** Without a field of something. */
function* simpler(program: HotplugProgram): Generator<HotplugProgram> {
  const { devices, drivers, listeners } = program;
  for (const [name, device] of Object.entries(devices)) {
    for (const field of LESS.device.filter((each) => each in device)) {
      const less = without({ ...device, ...stays(device) }, field);
      yield { ...program, devices: { ...devices, [name]: less } };
    }
  }
  for (const [name, driver] of Object.entries(drivers)) {
    for (const field of LESS.driver.filter((each) => each in driver)) {
      yield { ...program, drivers: { ...drivers, [name]: without(driver, field) } };
    }
  }
  for (const [name, listener] of Object.entries(listeners)) {
    for (const field of LESS.listener.filter((each) => each in listener)) {
      yield { ...program, listeners: { ...listeners, [name]: without(listener, field) } };
    }
  }
}

/** Who is bound or in a group is there, also when it is neither any more. */
function stays({ present, driver, group }: ProgramDevice): Pick<ProgramDevice, 'present'> {
  return present === undefined && (driver ?? group) !== undefined ? { present: true } : {};
}

function withoutDevice(program: HotplugProgram, dev: string): HotplugProgram {
  const drivers = Object.entries(program.drivers).map(([name, driver]) => {
    const { matches } = driver;
    if (matches === undefined) return [name, driver] as const;
    return [name, { ...driver, matches: matches.filter((each) => each !== dev) }] as const;
  });
  return {
    ...program,
    devices: without(program.devices, dev),
    drivers: Object.fromEntries(drivers),
    threads: callsWithout(program.threads, (call) => namesIn(call, 'dev').includes(dev)),
  };
}

function withoutDriver(program: HotplugProgram, driver: string): HotplugProgram {
  const devices = Object.entries(program.devices).map(
    ([name, device]) =>
      [
        name,
        device.driver === driver ? without({ ...device, ...stays(device) }, 'driver') : device,
      ] as const,
  );
  return {
    ...program,
    devices: Object.fromEntries(devices),
    drivers: without(program.drivers, driver),
    threads: callsWithout(program.threads, (call) => namesIn(call, 'driver').includes(driver)),
  };
}

function withoutGroup(program: HotplugProgram, group: string): HotplugProgram {
  const chain = `${group}->notifier`;
  const heard = Object.entries(program.listeners).filter(([, { on }]) => on === chain);
  const blocks = heard.map(([block]) => block);
  const devices = Object.entries(program.devices).map(
    ([name, device]) =>
      [
        name,
        device.group === group ? without({ ...device, ...stays(device) }, 'group') : device,
      ] as const,
  );
  const about = (call: Operation) =>
    namesIn(call, 'group').includes(group) ||
    namesIn(call, 'block').some((block) => blocks.includes(block));
  return {
    ...program,
    devices: Object.fromEntries(devices),
    groups: program.groups.filter((each) => each !== group),
    listeners: without(program.listeners, ...blocks),
    threads: callsWithout(program.threads, about),
  };
}

type Threads = HotplugProgram['threads'];

function callsWithout(threads: Threads, gone: (call: Operation) => boolean): Threads {
  return nonEmpty(
    Object.fromEntries(
      Object.entries(threads).map(([thread, calls]) => [
        thread,
        calls.filter((call) => !gone(call)),
      ]),
    ),
  );
}

/** A thread that calls nothing is none. */
function nonEmpty(threads: Threads): Threads {
  return Object.fromEntries(Object.entries(threads).filter(([, calls]) => calls.length > 0));
}

function without<T extends object>(of: T, ...names: readonly string[]): T {
  return Object.fromEntries(Object.entries(of).filter(([name]) => !names.includes(name))) as T;
}
