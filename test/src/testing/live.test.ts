/** Listeners that are code, run for real: the same listener written three ways gives one verdict. */

import { concatMap, from, map, observeOn, of } from 'rxjs';
import { describe, expect, test } from 'vitest';
import { setup } from 'xstate';
import type { HotplugProgram } from '../../../src/testing/hotplug-program.js';
import { check } from '../../../src/testing/check.js';
import { checkLive, liveText } from '../../../src/testing/check-live.js';
import type { MakeListener } from '../../../src/testing/check-live.js';
import type { ListenerSetup } from '../../../machines/kernel/hotplug.js';
import { send } from '../../../machines/step.js';
import { variableMachine } from '../../../machines/variable.js';
import type { VariableReply } from '../../../machines/variable.js';

/** A device comes while its driver is loaded (K10). */
const late: HotplugProgram = {
  iommu: false,
  devices: { d0: {} },
  drivers: { r0: { registered: false } },
  groups: [],
  domains: [],
  listeners: {},
  threads: { T0: [['device_add', 'd0']], T1: [['driver_register', 'r0']] },
  faults: 0,
};
/** One after the other. */
const inTurn: HotplugProgram = {
  ...late,
  threads: {
    T0: [
      ['device_add', 'd0'],
      ['driver_register', 'r0'],
    ],
  },
};

/** Minds a BIND_DRIVER of a device of which it has not heard ADD_DEVICE. */
const asMachine: ListenerSetup = {
  on: 'pci->bus_notifier',
  is: setup({}).createMachine({
    initial: 'nothing',
    states: {
      nothing: { on: { ADD_DEVICE: 'added', BIND_DRIVER: 'minds' } },
      added: {},
      minds: { tags: ['violation'], meta: { rule: 'mine' } },
    },
  }),
};

const asGenerator: ListenerSetup = {
  on: 'pci->bus_notifier',
  is: function* ({ action }) {
    if (action === 'ADD_DEVICE') yield* send('added', { type: 'write', value: true });
    if (action === 'BIND_DRIVER') {
      const { value } = yield* send<VariableReply>('added', { type: 'read' });
      if (value !== true) throw new Error('mine');
    }
    return 0;
  },
};

const asFunction: MakeListener = ({ hop }) => {
  let added = false;
  return async ({ action }) => {
    await hop();
    if (action === 'ADD_DEVICE') added = true;
    if (action === 'BIND_DRIVER' && !added) throw new Error('mine');
    return 0;
  };
};

const asPipeline: MakeListener = ({ scheduler }) => {
  let added = false;
  return ({ action }) =>
    of(action).pipe(
      observeOn(scheduler),
      map((heard) => {
        if (heard === 'ADD_DEVICE') added = true;
        if (heard === 'BIND_DRIVER' && !added) throw new Error('mine');
        return 0;
      }),
    );
};

describe.each([
  ['v6.12', late, 'violated'],
  ['v7.2', late, 'clean'],
  ['v6.12', inTurn, 'clean'],
] as const)('on %s', (kernel, program, verdict) => {
  const options = { generations: [kernel] };
  const explored = (listener: ListenerSetup) => {
    const code = {
      listeners: { mine: listener },
      entities: { added: variableMachine(false) },
    };
    const { on } = check(program, { ...options, code });
    // What the kernel itself breaks is not the listener's.
    const rules = on[0].rules.filter((rule) => rule === 'mine' || rule === 'exception');
    return rules.length > 0 ? 'violated' : on[0].verdict === 'incomplete' ? 'incomplete' : 'clean';
  };
  const ran = async (listener: MakeListener) =>
    (await checkLive(program, { ...options, listeners: { mine: listener } })).verdict;

  test(`${Object.keys(program.threads).length} threads: the four are ${verdict}`, async () => {
    expect(explored(asMachine)).toBe(verdict);
    expect(explored(asGenerator)).toBe(verdict);
    expect(await ran(asFunction)).toBe(verdict);
    expect(await ran(asPipeline)).toBe(verdict);
  });
});

describe('between two hops of a listener', () => {
  /** Two devices come at once; each callback reads, hops and writes. */
  const both: HotplugProgram = {
    ...late,
    devices: { d0: {}, d1: {} },
    drivers: {},
    threads: { T0: [['device_add', 'd0']], T1: [['device_add', 'd1']] },
  };
  const counts =
    (hops: boolean): MakeListener =>
    ({ hop }) => {
      let count = 0;
      let heard = 0;
      return async ({ action }) => {
        if (action !== 'ADD_DEVICE') return 0;
        const before = count;
        heard++;
        if (hops) await hop('between read and write');
        count = before + 1;
        if (heard === 2 && count !== 2 && before === 0 && hops) lost = true;
        return 0;
      };
    };
  let lost = false;

  test('others come', async () => {
    lost = false;
    const options = { generations: ['v6.12'] };
    await checkLive(both, { ...options, listeners: { mine: counts(false) } });
    expect(lost).toBe(false);
    await checkLive(both, { ...options, listeners: { mine: counts(true) } });
    expect(lost).toBe(true);
  });

  test('what is serialised by itself is safe', async () => {
    const queue: MakeListener = ({ scheduler }) => {
      let count = 0;
      return () =>
        from([0]).pipe(
          concatMap(() => of(count).pipe(observeOn(scheduler))),
          map(() => {
            count++;
            return 0;
          }),
        );
    };
    const { verdict } = await checkLive(both, {
      generations: ['v6.12'],
      listeners: { mine: queue },
    });
    expect(verdict).toBe('clean');
  });
});

test('a failure is a table, and the same choices make it again', async () => {
  const run = () =>
    checkLive(late, { generations: ['v6.12'], listeners: { mine: asFunction }, seed: 4 });
  const first = await run();
  const text = liveText(first);
  expect(text).toContain('BUS:BIND_DRIVER d0');
  expect(text).toContain('exception: mine');
  expect(text).toContain('seed: 4');
  expect(liveText(await run())).toBe(text);
});

test('what a bus does not have is refused', async () => {
  const threads = { T0: [['iommu_group_get', 'd0'] as const] };
  await expect(checkLive({ ...late, threads }, { listeners: {} })).rejects.toThrow(
    'a bus that runs has no iommu_group_get(d0)',
  );
});

test('a listener that never returns is a deadlock', async () => {
  const { on } = await checkLive(inTurn, {
    generations: ['v6.12'],
    listeners: { mine: () => () => new Promise<number>(() => undefined) },
  });
  expect(on[0].failure).toMatchObject({ rule: 'deadlock' });
  expect(on[0].failure?.says).toContain('T0 wait for ever');
});
