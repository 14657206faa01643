/**
 * Cycles of locks when PCI devices go: reset_lock and device_lock, a hotplug port below a hotplug
 * port, pci_dev_lock, SR-IOV. Source: D K33, INV-16, INV-24.
 */

import {
  device_driver_detach,
  pci_reset_function,
  remove_store,
  sriov_disable,
  sriov_numvfs_store,
  zpci_iov_remove_virtfn,
} from '../kernel/pci.js';
import type { Pci, PciDevLockOrder, SriovLocking } from '../kernel/pci.js';
import {
  irq_thread,
  pciehp_ist,
  pciehp_remove,
  pciehp_request,
  pciehp_reset_slot,
  pciehp_resume_noirq,
} from '../kernel/pciehp.js';
import type { HotplugPort } from '../kernel/pciehp.js';
import { mutexMachine } from '../mutex.js';
import { struct } from '../object.js';
import { rwsemMachine } from '../rwsem.js';
import type { Entity, Scenario } from '../scenario.js';
import type { Thread, ThreadBody } from '../step.js';
import { race } from './race.js';
import type { Race } from './race.js';

/** The locks of devices, and the one of all. */
function locks(devices: readonly string[]): Readonly<Record<string, Entity>> {
  return Object.fromEntries([
    ['pci_rescan_remove_lock', mutexMachine],
    ...devices.flatMap((dev): [string, Entity][] => [
      [`${dev}->mutex`, mutexMachine],
      [`${dev}->block_cfg_access`, mutexMachine],
    ]),
  ]) as Readonly<Record<string, Entity>>;
}

function pciOf(
  remove: (pci: Pci, dev: string) => Thread<void>,
  sriov: SriovLocking = 'none',
  devLockOrder: PciDevLockOrder = 'device_lock first',
): Pci {
  const pci: Pci = {
    rescanRemove: 'pci_rescan_remove_lock',
    busSem: 'pci_bus_sem',
    devLockOrder,
    sriov,
    deviceLock: (dev) => `${dev}->mutex`,
    cfgAccess: (dev) => `${dev}->block_cfg_access`,
    bus: () => 'bus',
    remove: (dev) => remove(pci, dev),
  };
  return pci;
}

/** A driver whose remove() takes no lock. */
// eslint-disable-next-line require-yield
function* removesNothing(): Thread<void> {
  return;
}

/** The device in a slot is pulled out while it is reset. */
function reset(releases: boolean): Scenario {
  const p = portOf(pciOf(removesNothing), 'port0', 'd0', { releases, looksWhetherGone: true });
  return {
    name: `K33 reset_lock, ${releases ? 'released' : 'kept'}`,
    story: 'A device is pulled out of its slot while userspace resets it.',
    entities: { ...locks(['d0']), [p.resetLock]: rwsemMachine, d0: struct({ fields: {} }) },
    threads: {
      'irq/port0-pciehp': () => pciehp_ist(p),
      'pci_reset_function(d0)': () => pci_reset_function(p.pci, 'd0', () => pciehp_reset_slot(p)),
    },
  };
}

function portOf(
  pci: Pci,
  port: string,
  child: string,
  facts: { readonly releases: boolean; readonly looksWhetherGone: boolean },
): HotplugPort {
  const names = { resetLock: `${port}->reset_lock`, irq: `${port}->irq` };
  return { pci, port, child, ...names, thread: `irq/${port}-pciehp`, ...facts };
}

/**
 * port1 is below port0, d0 below port1. All of it was unplugged while the system slept; what
 * resumes says so to port0 first.
 *
 * @param ownLink port1 sees its own link go down
 */
function nested(looksWhetherGone: boolean, ownLink: boolean): Scenario {
  const pci = pciOf((_pci, dev) => (dev === 'port1' ? pciehp_remove(child) : removesNothing()));
  const facts = { releases: true, looksWhetherGone };
  const parent = portOf(pci, 'port0', 'port1', facts);
  const child = portOf(pci, 'port1', 'd0', facts);
  const ports = [parent, child];
  const gone = struct({ fields: { disconnected: false } });
  return {
    name: `K33 nested ports${looksWhetherGone ? ', mitigated' : ''}${ownLink ? ', own link' : ''}`,
    story: 'Two hotplug ports, one below the other, find that what is below them is gone.',
    entities: {
      ...locks(['port1', 'd0']),
      ...Object.fromEntries(['port0', 'port1', 'd0'].map((dev) => [dev, gone])),
      ...Object.fromEntries(
        ports.flatMap(({ resetLock, irq }): [string, Entity][] => [
          [resetLock, rwsemMachine],
          [irq, struct({ fields: { pending: false, awake: false } })],
        ]),
      ),
    },
    threads: {
      resume_noirq: function* () {
        for (const port of ports) yield* pciehp_resume_noirq(port);
      },
      ...Object.fromEntries(
        ports.map((port): [string, ThreadBody] => [port.thread, () => irq_thread(port)]),
      ),
      ...(ownLink ? { 'pciehp_isr(port1)': () => pciehp_request(child) } : {}),
    },
  };
}

/** A physical function is reset while SR-IOV is disabled on it. */
function devLock(order: PciDevLockOrder): Scenario {
  const pci = pciOf(removesNothing, 'none', order);
  return {
    name: `K33 pci_dev_lock, ${order}`,
    story: 'A physical function is reset while its SR-IOV is switched off.',
    entities: locks(['pf']),
    threads: {
      'sriov_numvfs_store(pf, 0)': () => sriov_numvfs_store(pci, 'pf', null),
      'pci_reset_function(pf)': () => pci_reset_function(pci, 'pf', removesNothing),
    },
  };
}

/** What goes while or because the virtual function of pf goes. */
type Sriov =
  | 'numvfs and hot-unplug of vf'
  | 'removal of pf'
  | 'numvfs and removal of pf'
  | 'unbind of pf and hot-unplug of vf';

function sriov(locking: SriovLocking, what: Sriov): Scenario {
  const pci = pciOf(
    (self, dev) => (dev === 'pf' ? sriov_disable(self, 'pf', 'vf') : removesNothing()),
    locking,
  );
  const numvfs = { 'sriov_numvfs_store(pf, 0)': () => sriov_numvfs_store(pci, 'pf', 'vf') };
  const removePf = { 'remove_store(pf)': () => remove_store(pci, 'pf') };
  const unplug = { 'zpci_iov_remove_virtfn(vf)': () => zpci_iov_remove_virtfn(pci, 'vf') };
  const threads: Readonly<Record<Sriov, Readonly<Record<string, ThreadBody>>>> = {
    'numvfs and hot-unplug of vf': { ...numvfs, ...unplug },
    'removal of pf': removePf,
    'numvfs and removal of pf': { ...numvfs, ...removePf },
    'unbind of pf and hot-unplug of vf': {
      'device_driver_detach(pf)': () => device_driver_detach(pci, 'pf'),
      ...unplug,
    },
  };
  const device = struct({ fields: { parent: 'pci0000:00' }, refs: 1 });
  return {
    name: `K33 SR-IOV, ${locking}, ${what}`,
    story: 'The virtual function of a device is removed from two sides.',
    entities: {
      ...locks(['pf', 'vf']),
      [pci.busSem]: rwsemMachine,
      bus: struct({ fields: { devices: ['pf', 'vf'] } }),
      pf: device,
      vf: device,
    },
    threads: threads[what],
  };
}

export const K33: Race = race({
  id: 'K33',
  title: 'PCI hotplug lock cycles',
  story:
    'pciehp holds reset_lock while it unbinds what was in the slot, which takes device_lock; a reset holds device_lock and takes reset_lock. ' +
    'A parent port holds pci_rescan_remove_lock and waits for the interrupt thread of a port below, which waits for that lock; of this there is a mitigation only: after a sleep, a port that is gone itself starts nothing. ' +
    'pci_dev_lock blocked config accesses before it took device_lock; disabling SR-IOV does it the other way round. ' +
    'SR-IOV was disabled without pci_rescan_remove_lock, so that a virtual function could be removed twice; the first fix took it where its callers have it already.',
  commits: [
    {
      id: 'f5eff5591b8f',
      subject: 'PCI: pciehp: Fix AB-BA deadlock between reset_lock and device_lock',
      since: 'v6.4',
    },
    {
      id: 'e3260237aaad',
      subject: 'PCI: pciehp: Avoid unnecessary device replacement check',
      since: 'v6.15',
      cve: 'CVE-2025-37843',
    },
    {
      id: 'a91ee0e9fca9',
      subject: 'PCI: Avoid pci_dev_lock() AB/BA deadlock with sriov_numvfs_store()',
      since: 'v5.19',
      cve: 'CVE-2022-49434',
    },
    {
      id: 'a5338e365c45',
      subject: 'PCI/IOV: Fix race between SR-IOV enable/disable and hotplug',
      since: 'v7.0',
      cve: 'CVE-2025-40219',
    },
  ],
  source: 'D K33, INV-16, INV-24',
  variants: [
    {
      name: 'bug: reset_lock',
      expected: 'violated',
      breaks: ['deadlock'],
      kernel: 'v6.3',
      make: () => reset(false),
    },
    {
      name: 'fixed: reset_lock',
      expected: 'clean',
      kernel: 'f5eff5591b8f (v6.4)',
      make: () => reset(true),
    },
    {
      name: 'bug: nested ports',
      expected: 'violated',
      breaks: ['deadlock'],
      kernel: 'v6.14',
      make: () => nested(false, false),
    },
    {
      name: 'mitigated: nested ports after a sleep',
      expected: 'clean',
      kernel: 'e3260237aaad (v6.15)',
      make: () => nested(true, false),
    },
    {
      name: 'mitigation only: the lower port sees its link go down',
      expected: 'violated',
      breaks: ['deadlock'],
      kernel: 'e3260237aaad (v6.15)',
      make: () => nested(true, true),
    },
    {
      name: 'bug: pci_dev_lock',
      expected: 'violated',
      breaks: ['deadlock'],
      kernel: 'v5.18',
      make: () => devLock('config access first'),
    },
    {
      name: 'fixed: pci_dev_lock',
      expected: 'clean',
      kernel: 'a91ee0e9fca9 (v5.19)',
      make: () => devLock('device_lock first'),
    },
    {
      name: 'bug: SR-IOV',
      expected: 'violated',
      breaks: ['INV-24'],
      kernel: 'before the first fix',
      make: () => sriov('none', 'numvfs and hot-unplug of vf'),
    },
    {
      name: 'wrong fix: SR-IOV',
      expected: 'violated',
      breaks: ['deadlock'],
      kernel: 'the first fix, reverted in v7.0',
      make: () => sriov('sriov_del_vfs', 'removal of pf'),
    },
    {
      name: 'fixed: SR-IOV',
      expected: 'clean',
      kernel: 'a5338e365c45 (v7.0)',
      make: () => sriov('sriov_numvfs_store', 'numvfs and hot-unplug of vf'),
    },
    {
      name: 'fixed: SR-IOV, removal of the physical function',
      expected: 'clean',
      kernel: 'a5338e365c45 (v7.0)',
      make: () => sriov('sriov_numvfs_store', 'removal of pf'),
    },
    {
      name: 'still open: SR-IOV, unbind of the physical function',
      expected: 'violated',
      breaks: ['INV-24'],
      kernel: 'a5338e365c45 (v7.0)',
      make: () => sriov('sriov_numvfs_store', 'unbind of pf and hot-unplug of vf'),
    },
    {
      name: 'still open: SR-IOV, numvfs beside removal of the physical function',
      expected: 'violated',
      breaks: ['deadlock'],
      kernel: 'a5338e365c45 (v7.0)',
      make: () => sriov('sriov_numvfs_store', 'numvfs and removal of pf'),
    },
  ],
});
