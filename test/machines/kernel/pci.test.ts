import { describe, expect, it } from 'vitest';
import { load, store } from '../../../machines/kernel/memory.js';
import {
  pci_reset_function,
  remove_store,
  sriov_disable,
  sriov_numvfs_store,
  zpci_iov_remove_virtfn,
} from '../../../machines/kernel/pci.js';
import type { Pci, PciDevLockOrder, SriovLocking } from '../../../machines/kernel/pci.js';
import {
  irq_thread,
  pciehp_request,
  pciehp_reset_slot,
  pciehp_resume_noirq,
} from '../../../machines/kernel/pciehp.js';
import type { HotplugPort } from '../../../machines/kernel/pciehp.js';
import { mutexMachine } from '../../../machines/mutex.js';
import { listed, struct } from '../../../machines/object.js';
import type { ObjectMemory } from '../../../machines/object.js';
import { rwsemMachine } from '../../../machines/rwsem.js';
import { downRead, lock } from '../../../machines/step.js';
import { Alone } from './run-alone.js';

function pciOf(sriov: SriovLocking, order: PciDevLockOrder = 'device_lock first'): Pci {
  const pci: Pci = {
    rescanRemove: 'rescan',
    busSem: 'bus_sem',
    devLockOrder: order,
    sriov,
    deviceLock: (dev) => `${dev}->mutex`,
    cfgAccess: (dev) => `${dev}->cfg`,
    bus: () => 'bus',
    *remove(dev) {
      if (dev === 'pf') yield* sriov_disable(pci, 'pf', 'vf');
    },
  };
  return pci;
}

function machines(): Alone {
  const device = struct({ fields: { parent: 'root' }, refs: 1 });
  return new Alone({
    rescan: mutexMachine,
    bus_sem: rwsemMachine,
    'pf->mutex': mutexMachine,
    'vf->mutex': mutexMachine,
    'pf->cfg': mutexMachine,
    bus: struct({ fields: { devices: ['pf', 'vf'] } }),
    pf: device,
    vf: device,
    reset_lock: rwsemMachine,
    irq: struct({ fields: { pending: false, awake: false } }),
    port: struct({ fields: { disconnected: false } }),
  });
}

const onBus = (alone: Alone) => listed(alone.context('bus') as ObjectMemory, 'devices');

describe('a virtual function', () => {
  it.each<[SriovLocking]>([['none'], ['sriov_del_vfs'], ['sriov_numvfs_store']])(
    'goes with sriov_numvfs_store, once: %s',
    (sriov) => {
      const alone = machines();
      const pci = pciOf(sriov);
      alone.run(sriov_numvfs_store(pci, 'pf', 'vf'));
      expect(onBus(alone)).toEqual(['pf']);
      alone.run(zpci_iov_remove_virtfn(pci, 'vf'));
      alone.run(sriov_numvfs_store(pci, 'pf', 'vf'));
      expect(() => alone.run(load('vf', 'parent'))).toThrow('INV-24');
    },
  );

  it.each<[SriovLocking, boolean]>([
    ['none', false],
    ['sriov_del_vfs', true],
    ['sriov_numvfs_store', false],
  ])('goes with its physical function, unless that waits for itself: %s, %s', (sriov, waits) => {
    const alone = machines();
    const remove = () => alone.run(remove_store(pciOf(sriov), 'pf'));
    if (waits) {
      expect(remove).toThrow('it waits at lock(rescan)');
    } else {
      remove();
      expect(onBus(alone)).toEqual([]);
    }
  });

  it.each<[SriovLocking, boolean]>([
    ['none', false],
    ['sriov_del_vfs', true],
    ['sriov_numvfs_store', true],
  ])('is not taken away beside a rescan: %s, %s', (sriov, waits) => {
    const alone = machines();
    alone.run(lock('rescan'), 'other');
    const disable = () => alone.run(sriov_numvfs_store(pciOf(sriov), 'pf', 'vf'));
    if (waits) expect(disable).toThrow('it waits at lock(rescan)');
    else expect(disable).not.toThrow();
  });
});

describe('pci_reset_function', () => {
  it.each<[PciDevLockOrder, string, string]>([
    ['config access first', 'pf->cfg', 'pf->mutex'],
    ['device_lock first', 'pf->mutex', 'pf->cfg'],
  ])('%s: takes %s, then %s', (order, first, second) => {
    const pci = pciOf('none', order);
    const alone = machines();
    alone.run(lock(second), 'other');
    const reset = () =>
      alone.run(
        pci_reset_function(pci, 'pf', function* () {
          yield* load('pf', 'parent');
        }),
      );
    expect(reset).toThrow(`it waits at lock(${second})`);
    expect(() => alone.run(lock(first), 'third')).toThrow('it waits');
  });

  it('unlocks what it has locked', () => {
    const alone = machines();
    const pci = pciOf('none');
    const p = portOf(pci, true, true);
    for (let n = 0; n < 2; n++) {
      alone.run(pci_reset_function(pci, 'pf', () => pciehp_reset_slot(p)));
    }
  });
});

function portOf(pci: Pci, releases: boolean, looksWhetherGone: boolean): HotplugPort {
  const names = { port: 'port', resetLock: 'reset_lock', child: 'vf', irq: 'irq', thread: 'T' };
  return { pci, ...names, releases, looksWhetherGone };
}

describe('a hotplug port', () => {
  const pending = (alone: Alone) => (alone.context('irq') as ObjectMemory).fields.pending;

  it('handles what is pending, and nothing where it is only told to stop', () => {
    const p = portOf(pciOf('none'), true, true);
    const alone = machines();
    expect(() => alone.run(irq_thread(p))).toThrow('it waits');
    alone.run(store('irq', 'awake', true));
    alone.run(irq_thread(p));
    expect((alone.context('vf') as ObjectMemory).fields.disconnected).toBeUndefined();
    alone.run(pciehp_request(p));
    alone.run(irq_thread(p));
    expect((alone.context('vf') as ObjectMemory).fields.disconnected).toBe(true);
  });

  it.each([
    [true, true],
    [false, false],
  ])('lets a reset go on while it waits for device_lock: %s', (releases, goesOn) => {
    const p = portOf(pciOf('none'), releases, true);
    const alone = machines();
    alone.run(lock('vf->mutex'), 'reset');
    alone.run(pciehp_request(p));
    expect(() => alone.run(irq_thread(p))).toThrow('it waits at lock(vf->mutex)');
    const reset = () => alone.run(pciehp_reset_slot(p), 'reset');
    if (goesOn) expect(reset).not.toThrow();
    else expect(reset).toThrow('it waits at down_write(reset_lock)');
  });

  it.each([
    [true, true, false],
    [false, true, true],
    [false, false, true],
    [true, false, true],
  ])(
    'after a sleep, mitigated %s, gone itself %s: asks for a removal %s',
    (looksWhetherGone, gone, asks) => {
      const p = portOf(pciOf('none'), true, looksWhetherGone);
      const alone = machines();
      alone.run(store('port', 'disconnected', gone));
      alone.run(pciehp_resume_noirq(p));
      expect(pending(alone)).toBe(asks);
    },
  );

  it('keeps its reset_lock from a reset otherwise', () => {
    const p = portOf(pciOf('none'), true, true);
    const alone = machines();
    alone.run(downRead('reset_lock'), 'other');
    expect(() => alone.run(pciehp_reset_slot(p))).toThrow('it waits at down_write(reset_lock)');
  });
});
