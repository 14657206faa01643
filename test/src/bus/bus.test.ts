import { firstValueFrom, from, map, mergeMap, Subject, toArray } from 'rxjs';
import { describe, expect, test } from 'vitest';
import type { BusAction } from '../../../events/actions.js';
import { PROFILES, profileByName } from '../../../machines/profiles/timeline.js';
import { Bus } from '../../../src/bus/bus.js';
import { DeadlockError } from '../../../src/bus/deadlock-error.js';
import { between, onlyDevice, pairwiseOrder } from '../../../src/bus/hotplug-notification.js';
import type { HotplugNotification } from '../../../src/bus/hotplug-notification.js';
import { NOTIFY_OK } from '../../../src/bus/notify-return.js';
import { UnsupportedByKernelError } from '../../../machines/unsupported-by-kernel.js';

const NEWEST = PROFILES.at(-1)!;
const profile = (name: string) => profileByName(name)!;

/** A bus with its log: notifications of the bus and of all its groups, in their order. */
function bus(kernel = NEWEST) {
  let now = 0;
  const bus = new Bus({ name: 'pci', profile: kernel, clock: () => now++ });
  const log: string[] = [];
  const note = ({ chain, action, dev, driver, group }: HotplugNotification) =>
    log.push(`${chain} ${action} ${dev} ${driver ?? '-'} ${group ?? '-'}`);
  bus.notifications$.subscribe(note);
  bus.groups$.pipe(mergeMap((group) => group.notifications$)).subscribe(note);
  return { bus, log };
}

const lines = (text: string) => text.trim().split(/\n\s*/);

describe('a device comes, is bound, unbound and goes', () => {
  const life = (kernel: string) => {
    const { bus: pci, log } = bus(profile(kernel));
    expect(pci.setIommu({ deviceGroup: () => 7 }).ret).toBe(0);
    expect(pci.driverRegister({ name: 'nvme' }).ret).toBe(0);
    expect(pci.deviceAdd('a').ret).toBe(0);
    expect(pci.driverOf('a')).toBe('nvme');
    expect(pci.groupOf('a')).toBe(7);
    expect(pci.deviceReleaseDriver('a').ret).toBe(0);
    expect(pci.deviceAttach('a').ret).toBe(1);
    expect(pci.deviceDel('a').ret).toBe(0);
    expect(pci.group(7).devices).toEqual([]);
    return log;
  };

  test('v3.6: the group hears of drivers, but not after DEL_DEVICE (BN3, K02)', () => {
    expect(life('v3.6')).toEqual(
      lines(`bus ADD_DEVICE a - -
        group ADD_DEVICE a - 7
        bus BIND_DRIVER a nvme 7
        group BIND_DRIVER a nvme 7
        bus BOUND_DRIVER a nvme 7
        group BOUND_DRIVER a nvme 7
        bus UNBIND_DRIVER a nvme 7
        group UNBIND_DRIVER a nvme 7
        bus UNBOUND_DRIVER a - 7
        group UNBOUND_DRIVER a - 7
        bus BIND_DRIVER a nvme 7
        group BIND_DRIVER a nvme 7
        bus BOUND_DRIVER a nvme 7
        group BOUND_DRIVER a nvme 7
        bus DEL_DEVICE a nvme 7
        group DEL_DEVICE a nvme 7
        bus UNBIND_DRIVER a nvme -
        bus UNBOUND_DRIVER a - -`),
    );
  });

  test('v5.10: the device leaves its group at REMOVED_DEVICE', () => {
    expect(life('v5.10').slice(-7)).toEqual(
      lines(`bus DEL_DEVICE a nvme 7
        bus UNBIND_DRIVER a nvme 7
        group UNBIND_DRIVER a nvme 7
        bus UNBOUND_DRIVER a - 7
        group UNBOUND_DRIVER a - 7
        bus REMOVED_DEVICE a - 7
        group DEL_DEVICE a - 7`),
    );
  });

  test('v5.19 and later: groups say nothing', () => {
    const log = life('v6.12');
    expect(log.filter((line) => line.startsWith('group'))).toEqual([]);
    expect(log).toHaveLength(11);
    const { bus: pci } = bus(profile('v6.12'));
    expect(() => pci.group(1).register({ name: 'vfio', call: () => NOTIFY_OK })).toThrow(
      UnsupportedByKernelError,
    );
  });

  test('numbers are those of the generation (B.4)', () => {
    const values = (kernel: string) => {
      const { bus: pci } = bus(profile(kernel));
      return [pci.actionValue('ADD_DEVICE'), pci.actionValue('REMOVED_DEVICE'), pci.action(4)];
    };
    expect(values('v3.6')).toEqual([1, undefined, 'BOUND_DRIVER']);
    expect(values('v6.1')).toEqual([1, 3, 'BIND_DRIVER']);
    expect(values('v6.3')).toEqual([0, 2, 'BOUND_DRIVER']);
  });
});

describe('the IOMMU core on the bus', () => {
  test('devices that were there get groups when it comes; a second one is refused', () => {
    const { bus: pci, log } = bus(profile('v5.10'));
    pci.deviceAdd('a');
    pci.deviceAdd('b');
    expect(pci.setIommu({ deviceGroup: (dev) => (dev === 'a' ? 1 : -19) }).ret).toBe(0);
    expect([pci.groupOf('a'), pci.groupOf('b'), pci.groupOf('c')]).toEqual([1, null, undefined]);
    expect(pci.setIommu({ deviceGroup: () => 1 }).ret).toBe(-16);
    expect(log.at(-1)).toBe('group ADD_DEVICE a - 1');
  });

  test('a scan that fails leaves nothing behind, but in the first generation (bus_set_iommu)', () => {
    for (const [kernel, ret, group, blocks] of [
      ['v5.10', -12, null, []],
      ['v3.6', 0, 1, ['iommu_bus_notifier']],
    ] as const) {
      const { bus: pci } = bus(profile(kernel));
      pci.deviceAdd('a');
      pci.deviceAdd('b');
      expect(pci.setIommu({ deviceGroup: (dev) => (dev === 'a' ? 1 : -12) }).ret).toBe(ret);
      expect(pci.groupOf('a')).toBe(group);
      expect(pci.blocks).toEqual(blocks);
    }
  });

  test('a failing add_device hides ADD_DEVICE from lower listeners up to v5.9 (INV-41, D-A1-8)', () => {
    for (const [kernel, heard] of [
      ['v3.6', []],
      ['v4.15', []],
      ['v5.10', ['ADD_DEVICE']],
    ] as const) {
      const { bus: pci } = bus(profile(kernel));
      const actions: BusAction[] = [];
      pci.setIommu({ deviceGroup: () => -19 });
      pci.register({ name: 'low', priority: -1, call: (action) => (actions.push(action), 0) });
      expect(pci.deviceAdd('a').ret).toBe(0);
      expect(actions).toEqual(heard);
    }
  });

  test('a listener of the group cannot veto: what it returns is dropped (BN6, INV-42)', () => {
    const { bus: pci } = bus(profile('v5.10'));
    pci.setIommu({ deviceGroup: () => 3 });
    pci.group(3).register({ name: 'veto', call: () => 0x8002 });
    const low: BusAction[] = [];
    pci.register({ name: 'low', priority: -1, call: (action) => (low.push(action), 0) });
    pci.driverRegister({ name: 'nvme' });
    pci.deviceAdd('a');
    expect(low).toEqual(['ADD_DEVICE', 'BIND_DRIVER', 'BOUND_DRIVER']);
  });
});

describe('drivers', () => {
  test('a probe that fails leaves the next driver its luck', () => {
    const { bus: pci, log } = bus();
    pci.driverRegister({ name: 'bad', probe: () => -19 });
    pci.driverRegister({ name: 'good' });
    pci.deviceAdd('a');
    expect(log.slice(1).map((line) => line.split(' ').slice(1, 4).join(' '))).toEqual([
      'BIND_DRIVER a bad',
      'DRIVER_NOT_BOUND a bad',
      'BIND_DRIVER a good',
      'BOUND_DRIVER a good',
    ]);
  });

  test('dma_configure: DRIVER_NOT_BOUND without BIND up to v5.16 (K07)', () => {
    const told = (kernel: string) => {
      const { bus: pci, log } = bus(profile(kernel));
      pci.driverRegister({ name: 'd', dmaConfigure: () => -16 });
      pci.deviceAdd('a');
      return log.slice(1);
    };
    expect(told('v5.10')).toEqual(['bus DRIVER_NOT_BOUND a d -']);
    expect(told('v6.1')).toEqual([]);
  });

  test('a deferred probe is tried again when another device is bound', async () => {
    const { bus: pci, log } = bus();
    let ready = false;
    pci.driverRegister({ name: 'd', probe: (dev) => (dev === 'b' || ready ? 0 : -517) });
    pci.deviceAdd('a');
    expect(pci.driverOf('a')).toBeNull();
    ready = true;
    pci.deviceAdd('b');
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    expect(pci.driverOf('a')).toBe('d');
    expect(log.at(-1)).toBe('bus BOUND_DRIVER a d -');
  });

  test('driver_unregister unbinds the last bound first', () => {
    const { bus: pci, log } = bus();
    pci.deviceAdd('b');
    pci.driverRegister({ name: 'd' });
    pci.deviceAdd('a');
    expect(pci.driverUnregister('d').ret).toBe(0);
    expect(log.filter((line) => line.includes('UNBIND')).map((line) => line.split(' ')[2])).toEqual(
      ['a', 'b'],
    );
    expect(pci.driverUnregister('d').ret).toBe(-19);
  });

  test('names that are taken, or not there', () => {
    const { bus: pci, log } = bus();
    pci.deviceAdd('a');
    pci.driverRegister({ name: 'd' });
    const before = log.length;
    expect(pci.deviceAdd('a').ret).toBe(-17);
    expect(pci.driverRegister({ name: 'd' }).ret).toBe(-16);
    expect(pci.deviceDel('b').ret).toBe(-19);
    expect(log).toHaveLength(before);
  });
});

describe('locks', () => {
  test('device_del waits for the probe that runs', async () => {
    const { bus: pci, log } = bus();
    const probed = new Subject<number>();
    pci.driverRegister({ name: 'slow', probe: () => probed });
    const added = pci.deviceAdd('a');
    const deleted = pci.deviceDel('a');
    expect([added.ret, deleted.ret]).toEqual([undefined, undefined]);
    expect(log.at(-1)).toBe('bus BIND_DRIVER a slow -');
    probed.next(0);
    probed.complete();
    expect([await added, await deleted]).toEqual([0, 0]);
    expect(log.at(-1)).toBe('bus REMOVED_DEVICE a - -');
  });

  test('a listener that waits for the device_lock that its caller has', async () => {
    const { bus: pci } = bus();
    pci.register({
      name: 'mine',
      call: (action, { dev }) =>
        action === 'BIND_DRIVER' ? Promise.resolve(pci.deviceReleaseDriver(dev)) : 0,
    });
    pci.driverRegister({ name: 'd' });
    const error = (await Promise.resolve(pci.deviceAdd('a')).catch((e: unknown) => e)) as Error;
    expect(error).toBeInstanceOf(DeadlockError);
    expect(error.message).toContain('device_release_driver("a") on "pci"');
    expect(error.message).toContain('holds device_lock(a)');
    // Nothing is left locked.
    pci.unregister({ name: 'mine', call: () => 0 });
    expect(pci.deviceDel('a').ret).toBe(0);
  });

  test('a driver that unregisters itself in its probe', async () => {
    const { bus: pci } = bus();
    pci.driverRegister({ name: 'd', probe: () => Promise.resolve(pci.driverUnregister('d')) });
    await expect(Promise.resolve(pci.deviceAdd('a'))).rejects.toThrow(/klist_remove of d/);
  });

  test('what a driver throws is the operation’s error, and the locks are free', async () => {
    const { bus: pci } = bus();
    const oops = new Error('oops');
    pci.driverRegister({
      name: 'd',
      probe: () => {
        throw oops;
      },
    });
    await expect(Promise.resolve(pci.deviceAdd('a'))).rejects.toBe(oops);
    expect(pci.deviceDel('a').ret).toBe(0);
  });
});

describe('operators', () => {
  const notification = (action: BusAction, dev: string, time: number): HotplugNotification => ({
    chain: 'bus',
    action,
    dev,
    bus: 'pci',
    driver: null,
    group: null,
    seq: time,
    time,
    task: undefined,
    origin: undefined,
  });
  const stream = (text: string) =>
    from(
      text.split(' ').map((word, i) => {
        const [action, dev] = word.split(':');
        return notification(`${action}_DEVICE` as BusAction, dev ?? 'a', i);
      }),
    );
  const pairs = (text: string) =>
    firstValueFrom(
      stream(text).pipe(
        pairwiseOrder('ADD_DEVICE', 'DEL_DEVICE'),
        map(({ dev, earlier, later, inOrder }) => `${dev} ${earlier.seq}-${later.seq} ${inOrder}`),
        toArray(),
      ),
    );

  test.each([
    ['ADD DEL ADD DEL', ['a 0-1 true', 'a 2-3 true']],
    ['DEL ADD', ['a 0-1 false']],
    ['ADD:a DEL:b DEL:a ADD:b', ['a 0-2 true', 'b 1-3 false']],
    ['ADD ADD DEL', ['a 0-1 false', 'a 1-2 true']],
    ['ADD REMOVED DEL ADD', ['a 0-2 true']],
  ])('pairwiseOrder: %s', async (text, expected) => {
    expect(await pairs(text)).toEqual(expected);
  });

  test('onlyDevice and between', async () => {
    const times = (source: ReturnType<typeof stream>) =>
      firstValueFrom(
        source.pipe(
          map(({ time }) => time),
          toArray(),
        ),
      );
    expect(await times(stream('ADD:a ADD:b DEL:a').pipe(onlyDevice('a')))).toEqual([0, 2]);
    expect(await times(stream('ADD DEL ADD DEL').pipe(between(1, 3)))).toEqual([1, 2]);
  });
});
