/** Devices that are added again, and walks of a bus whose drivers leave. Source: B.2, B.5, klist.c. */

import { EEXIST } from '../../../machines/errno.js';
import { describe, expect, test } from 'vitest';
import {
  device_add,
  device_del,
  driver_register,
  driver_unregister,
} from '../../../machines/kernel/driver-core.js';
import { Kernel } from '../../../machines/kernel/kernel.js';
import { kernelScenario } from '../../../machines/kernel/kernel-scenario.js';
import { klistDel, listAddTail, listNext, store } from '../../../machines/kernel/memory.js';
import { struct } from '../../../machines/object.js';
import type { ObjectMemory } from '../../../machines/object.js';
import { profileByName } from '../../../machines/profiles/timeline.js';
import { explore } from '../../../src/explore/explore.js';
import { Alone } from './run-alone.js';

/** With the ready flag: K10 is another matter. */
const profile = profileByName('v7.2')!;

describe('a device that is added again', () => {
  test('is a new struct: not dead, and a driver binds to it', () => {
    const k = new Kernel({
      profile,
      devices: { d0: { returns: true } },
      drivers: { nvme: {} },
      spareGroups: 2,
    });
    const alone = new Alone(k.entities);
    for (let life = 0; life < 2; life++) {
      expect(alone.run(device_add(k, 'd0'))).toBe(0);
      expect((alone.context('d0') as ObjectMemory).fields).toMatchObject({ driver: 'nvme' });
      expect(alone.run(device_del(k, 'd0'))).toBe(0);
      expect((alone.context('d0') as ObjectMemory).fields).toMatchObject({ dead: true });
    }
  });

  test('without it the dead one stays dead', () => {
    const k = new Kernel({ profile, devices: { d0: {} }, drivers: { nvme: {} }, spareGroups: 2 });
    const alone = new Alone(k.entities);
    alone.run(device_add(k, 'd0'));
    alone.run(device_del(k, 'd0'));
    alone.run(device_add(k, 'd0'));
    expect((alone.context('d0') as ObjectMemory).fields).toMatchObject({
      dead: true,
      driver: null,
    });
  });

  test('waits for its name until the struct that has it is off the bus', () => {
    const devices = { d0: { named: 'slot' }, "d0'": { named: 'slot' } };
    const k = new Kernel({ profile, devices, drivers: {} });
    const alone = new Alone(k.entities);
    expect(alone.run(device_add(k, 'd0'))).toBe(0);
    expect(alone.run(device_add(k, "d0'"))).toBe(-EEXIST);
    alone.run(device_del(k, 'd0'));
    expect(alone.run(device_add(k, "d0'"))).toBe(0);
  });
});

test('who stands at a deleted entry goes on from its place, whatever else went', () => {
  const alone = new Alone({ bus: struct({ fields: { devices: ['a', 'b', 'c', 'd'] } }) });
  const next = (after: string) => alone.run(listNext('bus', 'devices', after));
  for (const gone of ['c', 'b']) alone.run(klistDel('bus', 'devices', gone));
  expect([next('b'), next('c')]).toEqual(['d', 'd']);
  alone.run(klistDel('bus', 'devices', 'a'));
  expect([next('a'), next('b'), next('c')]).toEqual(['d', 'd', 'd']);
  alone.run(listAddTail('bus', 'devices', 'a'));
  expect([next('d'), next('a')]).toEqual(['a', null]);
  alone.run(klistDel('bus', 'devices', 'd'));
  expect([next('c'), next('d')]).toEqual(['a', 'a']);
});

test('no walk probes with a driver whose driver_unregister has returned', () => {
  const bound = { id: 'bound', entities: ['d0', 'gone'], says: 'a driver that is gone is bound' };
  const story = (driversLeave: boolean) =>
    explore(
      kernelScenario({
        name: 'walks',
        profile,
        driversLeave,
        buses: { pci: { iommu: false } },
        devices: { d0: {} },
        drivers: { nvme: { registered: false, managesDma: true } },
        entities: { gone: struct({ fields: { yes: false } }) },
        invariants: [
          {
            ...bound,
            holds: ({ d0, gone }) =>
              !(
                (gone.context as ObjectMemory).fields.yes === true &&
                (d0.context as ObjectMemory).fields.driver !== null
              ),
          },
        ],
        run: {
          CPU0: (k) => device_add(k, 'd0'),
          *CPU1(k) {
            yield* driver_register(k, 'nvme');
            yield* driver_unregister(k, 'nvme');
            yield* store('gone', 'yes', true);
          },
        },
      }),
    );
  expect(story(true).verdict).toBe('clean');
  expect(story(false).counterexamples.map(({ rule }) => rule)).toContain('bound');
});
