/**
 * What real driver cores notified, under threads that add and delete devices and drivers at random:
 * the device automaton (B.3) accepts each device's notifications, and the callbacks of every call
 * are those that the chain (B.1) predicts from its blocks and their returns.
 */

import { describe, expect, test } from 'vitest';
import { initialTransition, transition } from 'xstate';
import { busAction } from '../../events/actions.js';
import type { DeviceEvent } from '../../machines/device.js';
import { deviceMachine } from '../../machines/device.js';
import { notifierChainMachine } from '../../machines/notifier-chain.js';
import type { NotifierChainReply } from '../../machines/notifier-chain.js';
import { profileByName } from '../../machines/profiles/timeline.js';
import type { KernelProfile } from '../../machines/profiles/profile.js';
import { BUS_RUNS, PRIORITY, runs } from '../oracle/bus-runs.js';
import type { Notification, Run, Step } from '../oracle/bus-runs.js';
import { walk } from './walk.js';

/** Every device's life as words of the device machine: device_add, then what was notified. */
function lives(profile: KernelProfile, { events }: Run, first: (n: Notification) => boolean) {
  const words = new Map<string, DeviceEvent[]>();
  const say = (dev: string, word: DeviceEvent) => {
    if (!words.has(dev)) words.set(dev, []);
    words.get(dev)!.push(word);
  };
  events.forEach((event, i) => {
    if (event.k === 'N') {
      const action = busAction(profile.numbering, event.action);
      if (action === undefined) throw new Error(`no action ${event.action} in ${profile.name}`);
      if (first(event)) say(event.dev, action);
    } else if (event.k === 'B' && event.op === 'add') {
      const end = events.slice(i).find((e) => e.k === 'E' && e.pid === event.pid) as Step;
      // -EALREADY: the module itself found that the device is there.
      if (end.ret === 0) say(event.obj, 'device_add');
    }
  });
  return words;
}

/** One call of the chain, as its callbacks were recorded. */
interface Call {
  readonly begin: number;
  readonly callbacks: readonly Notification[];
}

/** The callbacks of one task with one device and action belong together, from the first block on. */
function calls({ events }: Run): readonly Call[] {
  const open = new Map<number, { begin: number; callbacks: Notification[] }>();
  const found: Call[] = [];
  events.forEach((event, begin) => {
    const last = open.get(event.pid);
    if (event.k !== 'N') {
      open.delete(event.pid);
      return;
    }
    if (
      last?.callbacks[0].dev === event.dev &&
      last.callbacks[0].action === event.action &&
      event.cb !== last.callbacks[0].cb
    ) {
      last.callbacks.push(event);
      return;
    }
    const call = { begin, callbacks: [event] };
    open.set(event.pid, call);
    found.push(call);
  });
  return found;
}

/**
 * The blocks that may be on the chain at a call. Block 3 comes and goes: while it is being
 * registered or unregistered it may be there or not, and so after the last event of the thread that
 * registers it, which takes it off in the end without a record.
 */
function registrations({ events }: Run, at: number): readonly (readonly string[])[] {
  let on = false;
  let changing = false;
  let owner = NaN;
  for (const event of events.slice(0, at)) {
    if (event.k !== 'B' && event.k !== 'E') continue;
    if (event.op !== 'nbreg' && event.op !== 'nbunreg') continue;
    changing = event.k === 'B';
    if (event.k === 'E') on = event.op === 'nbreg';
    owner = event.pid;
  }
  const fixed = ['0', '1', '2'];
  const all = [...fixed, '3'];
  const ended = on && !events.slice(at).some(({ pid }) => pid === owner);
  return changing || ended ? [fixed, all] : [on ? all : fixed];
}

function predicted(
  profile: KernelProfile,
  blocks: readonly string[],
  returns: Readonly<Record<string, number>>,
): readonly string[] {
  const machine = notifierChainMachine(profile);
  let [snapshot] = initialTransition(machine);
  for (const block of blocks) {
    const priority = PRIORITY[block];
    [snapshot] = transition(machine, snapshot, { type: 'register', chain: 'bus', block, priority });
  }
  const [, actions] = transition(machine, snapshot, { type: 'walk', chain: 'bus', returns });
  const reply = actions
    .map((action) => (action.params as { event?: NotifierChainReply } | undefined)?.event)
    .find((event) => event?.type === 'walked');
  return reply?.type === 'walked' ? reply.blocks : [];
}

describe.each(BUS_RUNS)('%s %s', (kernel, where, file) => {
  const profile = profileByName(`v${kernel}`)!;
  const all = runs(file);

  test('the device automaton accepts every life', () => {
    const machine = deviceMachine(profile);
    let notifications = 0;
    for (const run of all) {
      // The block of the highest priority is called first, in every call.
      for (const [dev, words] of lives(profile, run, ({ cb }) => cb === 0)) {
        const { broken } = walk(machine, words.join(' '));
        expect(broken, `run ${run.run}, ${dev}: ${words.join(' ')}`).toEqual([]);
        notifications += words.length;
      }
    }
    expect(notifications).toBeGreaterThan(100);
  });

  test('a notification left out, or sent twice, is not accepted', () => {
    const machine = deviceMachine(profile);
    const [words] = lives(profile, all[0], ({ cb }) => cb === 0).values();
    const bind = words.indexOf('BIND_DRIVER');
    expect(bind).toBeGreaterThan(0);
    expect(walk(machine, words.toSpliced(bind, 1).join(' ')).broken).not.toEqual([]);
    expect(walk(machine, words.toSpliced(bind, 0, 'BIND_DRIVER').join(' ')).broken).not.toEqual([]);
  });

  test('the callbacks ran in the order that the chain predicts, up to a STOP', () => {
    const known = new Map<string, readonly string[]>();
    const predict = (blocks: readonly string[], returns: Readonly<Record<string, number>>) => {
      const key = JSON.stringify([blocks, returns]);
      const blocksCalled = known.get(key) ?? predicted(profile, blocks, returns);
      known.set(key, blocksCalled);
      return blocksCalled;
    };
    let stopped = 0;
    let certain = 0;
    let count = 0;
    for (const run of all) {
      for (const { begin, callbacks } of calls(run)) {
        const ran = callbacks.map(({ cb }) => String(cb));
        const returns = Object.fromEntries(callbacks.map(({ cb, ret }) => [cb, ret]));
        const possible = registrations(run, begin).map((blocks) => predict(blocks, returns));
        expect(possible, `run ${run.run}, event ${begin}`).toContainEqual(ran);
        count++;
        if (ran.length < 3) stopped++;
        if (possible.length === 1) certain++;
      }
    }
    console.log(
      `${kernel} ${where}: ${all.length} runs, ${count} calls, ${stopped} stopped by a callback`,
    );
    expect(stopped).toBeGreaterThan(0);
    expect(certain).toBeGreaterThan(count / 2);
  });
});
