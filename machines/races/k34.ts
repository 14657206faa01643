/**
 * Reading a device's uevent file beside a driver that goes: the bug, a fix that deadlocks, and two
 * that do not. Source: D K34, INV-16, INV-24.
 */

import { kfree } from '../kernel/memory.js';
import {
  bus_remove_driver,
  device_remove_attrs_locked,
  free_module,
  really_probe,
  uevent_show,
} from '../kernel/uevent.js';
import type { UeventDevice, UeventGuard } from '../kernel/uevent.js';
import { kernfsNodeMachine } from '../kernfs-node.js';
import { mutexMachine } from '../mutex.js';
import { NULL, nullPointerMachine } from '../null-pointer.js';
import { struct } from '../object.js';
import { rcuMachine } from '../rcu.js';
import type { Scenario } from '../scenario.js';
import type { ThreadBody } from '../step.js';
import { race } from './race.js';
import type { Race } from './race.js';

/** What the driver does: its probe fails; it is bound, removed, and goes with its module or by kfree. */
type Driver = 'fails to probe' | 'is unloaded' | 'is kfreed';

/** The device's attributes are removed as well, by a subsystem that holds its lock. */
function make(guard: UeventGuard, driver: Driver): Scenario {
  const u: UeventDevice = {
    guard,
    dev: 'd0',
    deviceLock: 'd0->mutex',
    attribute: 'uevent',
    bus: 'bus',
    klistLock: 'klist_drivers.k_lock',
    rcu: 'rcu',
  };
  const threads: Readonly<Record<Driver, Readonly<Record<string, ThreadBody>>>> = {
    'fails to probe': { 'really_probe(d0, drv)': () => really_probe(u, 'drv') },
    'is unloaded': {
      'rmmod drv': function* () {
        yield* bus_remove_driver(u, 'drv');
        yield* free_module(u, 'drv');
      },
    },
    'is kfreed': {
      'driver_unregister(drv), kfree': function* () {
        yield* bus_remove_driver(u, 'drv');
        yield* kfree('drv');
      },
    },
  };
  return {
    name: `K34 ${guard}, driver ${driver}`,
    story: 'The uevent file of a device is read while its driver goes.',
    entities: {
      d0: struct({ fields: { driver: driver === 'fails to probe' ? null : 'drv' } }),
      drv: struct({ fields: { name: 'e1000e' } }),
      [NULL]: nullPointerMachine,
      [u.deviceLock]: mutexMachine,
      [u.attribute]: kernfsNodeMachine,
      bus: struct({ fields: { klist_drivers: ['drv'] } }),
      [u.klistLock]: mutexMachine,
      [u.rcu]: rcuMachine,
    },
    threads: {
      'uevent_show(d0)': () => uevent_show(u),
      ...threads[driver],
      'device_remove_attrs(d0)': () => device_remove_attrs_locked(u),
    },
  };
}

export const K34: Race = race({
  id: 'K34',
  title: 'uevent_show vs really_probe failure / detach',
  story:
    'The uevent file names the driver: dev_uevent looks whether dev->driver is set and loads it again for its name, while a failing probe or an unbind clears it, and an rmmod frees what it pointed to. ' +
    'The first fix took device_lock in the handler, but removing an attribute waits for those who are in its handler, and some subsystems remove attributes with device_lock held: deadlock. ' +
    "Then RCU was tried, and in the end one READ_ONCE under the spinlock of the bus's list of drivers; the CVEs of the first two were rejected. " +
    'The search shows what that lock is worth: a driver leaves the list before it leaves its device, so it is the grace period of free_module that keeps the driver, and one that is kfreed without is read after it was freed.',
  commits: [
    {
      id: 'c0a40097f0bc',
      subject: 'drivers: core: synchronize really_probe() and dev_uevent()',
      since: 'v6.10',
      cve: 'CVE-2024-39501',
    },
    {
      id: '15fffc6a5624',
      subject: 'driver core: Fix uevent_show() vs driver detach race',
      since: 'v6.11',
      cve: 'CVE-2024-44952',
    },
    {
      id: '18daa52418e7',
      subject: 'driver core: fix potential NULL pointer dereference in dev_uevent()',
      since: 'v6.15',
      cve: 'CVE-2025-37800',
    },
  ],
  source: 'D K34, INV-16, INV-24',
  variants: [
    {
      name: 'bug',
      expected: 'violated',
      breaks: ['INV-24'],
      kernel: 'v6.9',
      make: () => make('none', 'fails to probe'),
    },
    {
      name: 'bug: the driver is freed',
      expected: 'violated',
      breaks: ['INV-24'],
      kernel: 'v6.9, where the compiler loads dev->driver once',
      make: () => make('none, one load', 'is unloaded'),
    },
    {
      name: 'wrong fix',
      expected: 'violated',
      breaks: ['deadlock'],
      kernel: 'c0a40097f0bc (v6.10)',
      make: () => make('device_lock', 'fails to probe'),
    },
    {
      name: 'fix by RCU',
      expected: 'clean',
      kernel: '15fffc6a5624 (v6.11)',
      make: () => make('rcu', 'is kfreed'),
    },
    {
      name: 'right fix',
      expected: 'clean',
      kernel: '18daa52418e7 (v6.15)',
      make: () => make('klist_drivers lock', 'fails to probe'),
    },
    {
      name: 'right fix: the driver is freed',
      expected: 'clean',
      kernel: '18daa52418e7 (v6.15)',
      make: () => make('klist_drivers lock', 'is unloaded'),
    },
    {
      name: 'still open: a driver that is kfreed',
      expected: 'violated',
      breaks: ['INV-24'],
      kernel: '18daa52418e7 (v6.15)',
      make: () => make('klist_drivers lock', 'is kfreed'),
    },
  ],
});
