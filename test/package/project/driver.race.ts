/** What a user of the package writes: tests of a listener, of operations and of programs. */

import { device_add, driver_register, hotplug } from 'hotrace';
import type { Hotplug } from 'hotrace';
import { assertPrograms, checkLive, programs, races, rule, ruled } from 'hotrace/testing';
import 'hotrace/testing/vitest';
import { describe, expect, test } from 'vitest';

/** My listener prepares a device at ADD_DEVICE and relies on that at BIND_DRIVER. */
const prepared = rule({
  id: 'PREPARED',
  sentence: 'No driver binds to a device that is not prepared.',
  source: 'my driver',
  holds: (heard) =>
    heard.every(
      ({ action, dev }, i) =>
        action !== 'BIND_DRIVER' ||
        heard.slice(0, i).some((each) => each.action === 'ADD_DEVICE' && each.dev === dev),
    ),
});

const told: Hotplug = {
  name: 'a device comes while its driver is loaded',
  buses: { pci: { iommu: false } },
  devices: { d0: {} },
  drivers: { mine: { registered: false } },
  run: {
    'device_add(d0)': (k) => device_add(k, 'd0'),
    'driver_register(mine)': (k) => driver_register(k, 'mine'),
  },
};

describe('a rule of mine', () => {
  const scenario = hotplug(ruled(told, prepared));

  test('is broken on old kernels', () => {
    expect(scenario).toViolate('PREPARED', { generations: ['v5.10', 'v6.12'] });
  });

  test('holds on new ones', async () => {
    expect(scenario).toBeRaceFree({ generations: ['v7.2'] });
    await races(scenario, { generations: ['v7.1'] }).toBeClean();
  });

  test('judges a recording', async () => {
    const bind = { type: 'bus_notify', dev: 'd0', bus: 'pci', action: 3 } as const;
    await expect([bind]).not.toRespect(prepared, { kernel: 'v6.12' });
  });
});

test('programs that are drawn', () => {
  const { programs: drawn } = assertPrograms(programs({ kernels: ['v7.2'] }), {
    judges: ['INV-01b', 'PREPARED'],
    rules: [prepared],
    programs: 30,
  });
  expect(drawn).toBe(30);
});

test('a listener that is code', async () => {
  const { verdict } = await checkLive(
    {
      kernel: 'v7.2',
      devices: { d0: {} },
      drivers: { mine: { registered: false } },
      groups: [],
      domains: [],
      listeners: {},
      threads: { add: [['device_add', 'd0']], load: [['driver_register', 'mine']] },
      faults: 0,
    },
    {
      rules: [prepared],
      listeners: {
        mine:
          ({ hop }) =>
          async () => {
            await hop();
            return 0;
          },
      },
    },
  );
  expect(verdict).toBe('clean');
});
