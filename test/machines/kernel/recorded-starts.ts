/** The kernels that a recorded operation may have begun on, and what callbacks may do in it. */

import { ENODEV, EPROBE_DEFER } from '../../../machines/errno.js';
import { busActionValue, GROUP_ACTIONS } from '../../../events/actions.js';
import type { BusAction, GroupAction } from '../../../events/actions.js';
import {
  iommu_group_claim_dma_owner,
  iommu_group_release_dma_owner,
} from '../../../machines/kernel/dma-owner.js';
import {
  device_add,
  device_del,
  device_release_driver,
  driver_probe_device,
} from '../../../machines/kernel/driver-core.js';
import { iommu_attach_group, iommu_detach_group } from '../../../machines/kernel/iommu-domain.js';
import { iommu_group_put } from '../../../machines/kernel/iommu-group.js';
import { iommu_probe_device } from '../../../machines/kernel/iommu-probe.js';
import { Kernel } from '../../../machines/kernel/kernel.js';
import type {
  DeviceSetup,
  DriverSetup,
  GroupSetup,
  KernelSetup,
} from '../../../machines/kernel/kernel.js';
import type { FixedBlock, NotifierCall } from '../../../machines/kernel/notifier-chain.js';
import type { KernelProfile } from '../../../machines/profiles/profile.js';
import { choose, trace } from '../../../machines/step.js';
import type { Thread } from '../../../machines/step.js';
import { GROUP_LISTENER } from './recorded-events.js';
import type { Recording, Shown } from './recorded-events.js';
import type { View } from './recorded-view.js';

/** What is known of a kernel that was recorded, beside its generation. */
export interface RecordedKernel {
  readonly profile: KernelProfile;
  /** Functions whose entries its probes show: of others the compiler made a part of all callers. */
  readonly probed: ReadonlySet<string>;
  /** Functions that the compiler made a part of some caller: by the operation that it serves. */
  readonly inlined: Readonly<Record<string, readonly string[]>>;
  /** Functions that have a return probe. */
  readonly returns: ReadonlySet<string>;
  /** In which order the callbacks on the PCI bus's chain are called. */
  readonly order: readonly string[];
}

/** Drivers that say driver_managed_dma. */
const MANAGES_DMA: ReadonlySet<string> = new Set(['vfio-pci', 'pcieport', 'pci-stub']);

export const NESTED = 'what a callback calls';

/** A kernel whose callbacks may do what the recording shows there. */
export class OpenKernel extends Kernel {
  faultsLeft = 0;
  /** VFIO listens on the group's chain. */
  vfio = false;
  /** Other tasks may act meanwhile. */
  others = false;
  /** The drivers of which another task may bind one while the operation waits for a device's lock. */
  meanwhile: readonly (string | null)[] = [];

  override *lock(dev: string): Thread<void> {
    yield* super.lock(dev);
    if (this.meanwhile.length === 0) return;
    const bound = yield* choose([undefined, ...this.meanwhile], 'another task binds');
    if (bound === undefined) return;
    const old = yield* this.driverOf(dev);
    if (old !== null) yield* this.setBound(dev, old, false);
    yield* this.setDriver(dev, bound);
    if (bound !== null) yield* this.setBound(dev, bound, true);
  }

  override *callChain(
    chain: string,
    action: string,
    payload: { readonly dev: string },
  ): Thread<number> {
    if (chain.endsWith('->bus_notifier')) return yield* super.callChain(chain, action, payload);
    if (!this.vfio) return 0;
    const call = listener(GROUP_LISTENER, this.profile);
    return yield* call({ chain, block: GROUP_LISTENER, action, payload });
  }

  override *fails(what: string): Thread<boolean> {
    // dpm_sysfs_add makes the device of a wakeup source.
    if (what === 'dpm_sysfs_add()') yield* nested();
    if (this.faultsLeft === 0) return false;
    const fails = yield* choose([false, true], what);
    if (fails) this.faultsLeft--;
    return fails;
  }

  /** Another device of the group is bound to VFIO meanwhile, or VFIO's worker gives the group up. */
  private *mayListen(): Thread<void> {
    if (!this.others || !this.profile.groupNotifier) return;
    if (yield* choose([false, true], 'VFIO comes or leaves')) this.vfio = !this.vfio;
  }

  override *probe(_dev: string, _driver: string): Thread<number> {
    yield* nested();
    yield* this.mayListen();
    return yield* choose([0, -ENODEV, -EPROBE_DEFER], 'probe() returns');
  }

  override *remove(_dev: string, _driver: string): Thread<void> {
    yield* nested();
    yield* this.mayListen();
  }

  override *releaseResources(_dev: string): Thread<void> {
    yield* nested();
  }
}

/** Where anything may be called: any operations, as the recording has them. */
function* nested(): Thread<void> {
  yield* choose([], NESTED);
}

/** A kernel that an operation may have begun on, and the operation. */
export interface Start {
  readonly setup: Omit<KernelSetup, 'profile'>;
  /** Names the operation and what it is called with. */
  readonly call: string;
  readonly run: (k: Kernel) => Thread;
  readonly vfio?: boolean;
  /** Drivers that another task may bind meanwhile; null: unbinds. */
  readonly meanwhile?: readonly (string | null)[];
}

/** The kernels of one sort of recordings that operations may have begun on. */
export class Starts {
  constructor(
    private readonly kernel: RecordedKernel,
    private readonly recording: Pick<Recording, 'listeners' | 'iommuBuses'>,
  ) {}

  /** The kernels that the operation at the beginning of `view` may have begun on. */
  *of(view: View, others: boolean): Generator<Start> {
    const event = view.at(0)!;
    const { fn = '' } = event;
    const dev = 'd0';
    const { profile } = this.kernel;
    switch (fn) {
      case 'device_add':
        for (const start of this.joining(view, event)) {
          yield { ...start, call: fn, run: (k) => device_add(k, dev) };
        }
        return;
      case 'iommu_probe_device':
        for (const start of this.joining(view, event)) {
          yield { ...start, call: fn, run: (k) => iommu_probe_device(k, dev) };
        }
        return;
      case 'device_del': {
        const drivers = new Set([event.drv ?? null, null, ...view.driversUntilRemoved()]);
        for (const driver of drivers) {
          for (const start of this.member(event, driver, event.devGroup, [...drivers])) {
            yield { ...start, call: fn, run: (k) => device_del(k, dev), meanwhile: [...drivers] };
          }
        }
        return;
      }
      case 'device_release_driver_internal':
      case '__device_release_driver': {
        const meanwhile = others ? view.driversAhead() : [];
        for (const start of this.member(event, event.drv ?? null, undefined, meanwhile)) {
          const run = (k: Kernel) => device_release_driver(k, dev);
          yield { ...start, call: fn, run, meanwhile };
        }
        return;
      }
      case 'really_probe': {
        const driver = event.drv ?? 'driver';
        for (const start of this.member(event, null, undefined, [driver])) {
          yield { ...start, call: fn, run: (k) => driver_probe_device(k, dev, driver) };
        }
        return;
      }
      case 'iommu_attach_group':
        for (const setup of groups(view.attached(), 'attaching', profile)) {
          yield { setup, call: fn, run: (k) => iommu_attach_group(k, 'U', 'g0') };
        }
        return;
      case 'iommu_detach_group':
        for (const setup of groups(view.attached(), 'attached', profile)) {
          yield { setup, call: fn, run: (k) => iommu_detach_group(k, 'U', 'g0') };
        }
        return;
      case 'iommu_group_claim_dma_owner':
        for (const setup of groups(view.attached(), 'claiming', profile)) {
          yield { setup, call: fn, run: (k) => iommu_group_claim_dma_owner(k, 'g0', 'vfio') };
        }
        return;
      case 'iommu_group_release_dma_owner':
        for (const setup of groups(view.attached(), 'claimed', profile)) {
          yield { setup, call: fn, run: (k) => iommu_group_release_dma_owner(k, 'g0') };
        }
        return;
      case 'iommu_group_release':
        for (const setup of groups([], 'left', profile)) {
          yield { setup, call: fn, run: (k) => iommu_group_put(k, 'g0') };
        }
    }
  }

  /** A device that is new, and the group that it may find. */
  private *joining(view: View, event: Shown): Generator<Pick<Start, 'setup' | 'vfio'>> {
    const bus = event.bus ?? null;
    const drivers = this.drivers(view.driversUntilReturn(), bus);
    const device: DeviceSetup = { bus, alias: 'a' };
    const chains = this.chains(bus);
    if (bus === null || !this.recording.iommuBuses.has(bus)) {
      yield { setup: { devices: { d0: device }, drivers, ...chains, spareGroups: 0 } };
      return;
    }
    for (const deferred of [false, true]) {
      const d0 = { ...device, deferred };
      yield { setup: { devices: { d0 }, drivers, ...chains } };
      // Another device's group: on its default domain, on another, on none.
      const found: readonly GroupSetup[] = [
        { default_domain: 'D0', domain: 'D0' },
        { default_domain: 'D0', domain: 'U' },
        { default_domain: null, domain: null },
      ];
      for (const g0 of found) {
        const peer = { bus, alias: 'a', group: 'g0' };
        const setup = { devices: { peer, d0 }, drivers, groups: { g0 }, ...chains };
        for (const vfio of this.groupChains()) yield { setup, vfio };
      }
    }
  }

  /** A device that is there, in a group or in none. */
  private *member(
    event: Shown,
    driver: string | null,
    devGroup: number | null | undefined,
    others: readonly (string | null)[] = [],
  ): Generator<Pick<Start, 'setup' | 'vfio'>> {
    const bus = event.bus ?? null;
    const names = [...new Set([driver, ...others])].filter((name) => name !== null);
    const drivers = this.drivers(names, bus, []);
    const d0: DeviceSetup = { bus, present: bus !== null, ...(driver === null ? {} : { driver }) };
    const alone = { devices: { d0 }, drivers, spareGroups: 0 };
    const iommu = bus !== null && this.recording.iommuBuses.has(bus);
    if (!iommu || devGroup === null || devGroup === undefined) {
      yield { setup: { ...alone, ...this.chains(bus) } };
    }
    if (!iommu || devGroup === null) return;
    const there = { ...alone, devices: { d0: { ...d0, group: 'g0' } } };
    const groups: readonly GroupSetup[] = [
      {},
      { held: 1 },
      { blocking_domain: 'B' },
      { blocking_domain: 'B', held: 1 },
      { owner: 'vfio', owner_cnt: 1 },
      { owner_cnt: 0, held: 1 },
      { default_domain: null, domain: null },
    ];
    const peer: DeviceSetup = { bus, group: 'g0' };
    for (const vfio of this.groupChains()) {
      for (const g0 of groups) {
        const setup = { ...there, groups: { g0 }, ...this.chains(bus) };
        yield { setup, vfio };
        yield { setup: { ...setup, devices: { ...there.devices, peer } }, vfio };
      }
    }
  }

  /** Whether VFIO listens on the group's chain. */
  private groupChains(): readonly boolean[] {
    return this.kernel.profile.groupNotifier ? [false, true] : [false];
  }

  private drivers(
    names: readonly string[],
    bus: string | null,
    matches: readonly string[] = ['d0'],
  ): Readonly<Record<string, DriverSetup>> {
    return Object.fromEntries(
      names.map((name) => [
        name,
        { bus: bus ?? 'pci', matches, managesDma: MANAGES_DMA.has(name) },
      ]),
    );
  }

  /** The buses and who listens on their chains. */
  private chains(bus: string | null): Pick<KernelSetup, 'buses' | 'blocks' | 'earlyBlocks'> {
    const { listeners, iommuBuses } = this.recording;
    const { order, profile } = this.kernel;
    const name = bus ?? 'pci';
    const heard = order.filter((fn) => listeners.has(fn));
    const own = order.indexOf('iommu_bus_notifier');
    const block = (fn: string): FixedBlock => ({ block: fn, call: listener(fn, profile) });
    const chain = `${name}->bus_notifier`;
    const others = name === 'pci' ? heard.filter((fn) => fn !== 'iommu_bus_notifier') : [];
    return {
      buses: { [name]: { iommu: bus !== null && iommuBuses.has(name) } },
      earlyBlocks: {
        [chain]: others.filter((fn) => order.indexOf(fn) < own && iommuBuses.has(name)).map(block),
      },
      blocks: {
        [chain]: others.filter((fn) => order.indexOf(fn) > own || !iommuBuses.has(name)).map(block),
      },
    };
  }
}

/** A callback on a chain that does nothing which is seen but what the recording shows in it. */
function listener(fn: string, profile: KernelProfile): NotifierCall {
  return function* ({ action, payload }) {
    const dev = String(payload.dev);
    const value =
      fn === GROUP_LISTENER
        ? GROUP_ACTIONS.indexOf(action as GroupAction) + 1
        : busActionValue(profile.numbering, action as BusAction);
    yield* trace({
      type: 'callback_call',
      fn,
      dev,
      ...(value === undefined ? {} : { action: value }),
    });
    const ret = fn === 'pci_notify' ? 0 : yield* choose([0, 1], `${fn} returns`);
    yield* trace({ type: 'callback_return', fn, ret });
    return ret;
  };
}

/** Groups whose members are known by the order in which they are attached. */
function* groups(
  attached: readonly string[],
  how: 'attaching' | 'attached' | 'claiming' | 'claimed' | 'left',
  profile: KernelProfile,
): Generator<Start['setup']> {
  const members = attached.length === 0 && how !== 'left' ? ['d0'] : attached;
  const devices: Record<string, DeviceSetup> = Object.fromEntries(
    members.map((dev) => [dev, { group: 'g0' }]),
  );
  const owned = profile.dmaOwnership ? { owner: 'vfio', owner_cnt: 1 } : {};
  const blocked = { ...owned, blocking_domain: 'B' };
  const base = { default_domain: 'D0' };
  const found: Record<typeof how, readonly GroupSetup[]> = {
    attaching: [
      { ...base, domain: 'D0' },
      { ...base, ...blocked, domain: 'B' },
      { default_domain: null, domain: null },
      { ...base, domain: 'X' },
    ],
    attached: [
      { ...base, domain: 'U' },
      { ...base, ...blocked, domain: 'U' },
      { default_domain: null, domain: 'U' },
    ],
    claiming: [
      { ...base, domain: 'D0', owner_cnt: 0 },
      { ...base, domain: 'D0', owner_cnt: 0, blocking_domain: 'B' },
      { ...base, domain: 'D0', owner_cnt: 1 },
      { ...base, domain: 'X', owner_cnt: 0 },
    ],
    claimed: [
      { ...base, ...blocked, domain: 'B' },
      { ...base, ...blocked, domain: 'D0' },
    ],
    left: [
      { default_domain: null, domain: null, held: 1 },
      { ...base, domain: 'D0', held: 1 },
    ],
  };
  for (const g0 of found[how]) {
    yield { devices, groups: { g0 }, domains: ['U', 'X', 'B', 'D0'], spareGroups: 0 };
  }
}
