import { describe, expect, it } from 'vitest';
import { kernfsNodeMachine } from '../../../machines/kernfs-node.js';
import {
  kernfs_get_active,
  kernfs_put_active,
  kernfs_remove,
} from '../../../machines/kernel/kernfs.js';
import { load } from '../../../machines/kernel/memory.js';
import {
  bus_remove_driver,
  device_remove_attrs_locked,
  free_module,
  really_probe,
  uevent_show,
} from '../../../machines/kernel/uevent.js';
import type { UeventDevice, UeventGuard } from '../../../machines/kernel/uevent.js';
import { mutexMachine } from '../../../machines/mutex.js';
import { nullPointerMachine } from '../../../machines/null-pointer.js';
import { struct } from '../../../machines/object.js';
import { rcuMachine } from '../../../machines/rcu.js';
import { lock } from '../../../machines/step.js';
import { Alone } from './run-alone.js';

const GUARDS: readonly UeventGuard[] = [
  'none',
  'none, one load',
  'device_lock',
  'rcu',
  'klist_drivers lock',
];

function setUp(guard: UeventGuard, driver: string | null): { u: UeventDevice; alone: Alone } {
  const u: UeventDevice = {
    guard,
    dev: 'dev',
    deviceLock: 'dev->mutex',
    attribute: 'uevent',
    bus: 'bus',
    klistLock: 'k_lock',
    rcu: 'rcu',
  };
  const alone = new Alone({
    dev: struct({ fields: { driver } }),
    drv: struct({ fields: { name: 'drv' } }),
    NULL: nullPointerMachine,
    [u.deviceLock]: mutexMachine,
    uevent: kernfsNodeMachine,
    bus: struct({ fields: { klist_drivers: ['drv'] } }),
    [u.klistLock]: mutexMachine,
    rcu: rcuMachine,
  });
  return { u, alone };
}

describe.each(GUARDS)('uevent_show, driver kept by: %s', (guard) => {
  it.each([null, 'drv'])('of a device with driver %s leaves everything as it was', (driver) => {
    const { u, alone } = setUp(guard, driver);
    alone.run(uevent_show(u));
    alone.run(uevent_show(u));
    alone.run(device_remove_attrs_locked(u));
    alone.run(uevent_show(u));
    expect(alone.context('dev')).toMatchObject({ fields: { driver } });
  });

  it(`${guard === 'device_lock' ? 'waits' : 'does not wait'} for device_lock`, () => {
    const { u, alone } = setUp(guard, 'drv');
    alone.run(lock(u.deviceLock), 'other');
    const show = () => alone.run(uevent_show(u));
    if (guard === 'device_lock') expect(show).toThrow('it waits at lock(dev->mutex)');
    else expect(show).not.toThrow();
  });

  it('finds no driver that was unloaded', () => {
    const { u, alone } = setUp(guard, 'drv');
    alone.run(bus_remove_driver(u, 'drv'));
    alone.run(free_module(u, 'drv'));
    alone.run(uevent_show(u));
    expect(() => alone.run(load('drv', 'name'))).toThrow('INV-24');
  });
});

describe('the other side', () => {
  it('really_probe that fails leaves no driver', () => {
    const { u, alone } = setUp('none', null);
    alone.run(really_probe(u, 'drv'));
    expect(alone.context('dev')).toMatchObject({ fields: { driver: null } });
  });

  it('bus_remove_driver leaves a device its other driver', () => {
    const { u, alone } = setUp('none', 'other');
    alone.run(bus_remove_driver(u, 'drv'));
    expect(alone.context('dev')).toMatchObject({ fields: { driver: 'other' } });
  });

  it('kernfs_remove waits for who is in the handler', () => {
    const alone = new Alone({ uevent: kernfsNodeMachine });
    expect(alone.run(kernfs_get_active('uevent'))).toBe(true);
    expect(() => alone.run(kernfs_remove('uevent'), 'other')).toThrow('it waits at kernfs_drain');
    expect(alone.run(kernfs_get_active('uevent'), 'third')).toBe(false);
    alone.run(kernfs_put_active('uevent'));
    expect(() => alone.run(kernfs_put_active('uevent'))).toThrow('unlock-not-owner');
  });
});
