/**
 * A kernel to explore: its structs, locks and chains as entities, and the steps of which the
 * operations of this folder are made. Source: A1.1, B.2, D.x.
 */

import { ENODEV, ENOMEM, EPROBE_DEFER } from '../errno.js';
import { busActionValue } from '../../events/actions.js';
import type { BusAction } from '../../events/actions.js';
import type { EventFact } from '../../events/event.js';
import type { KernelProfile } from '../profiles/profile.js';
import type { Entity } from '../scenario.js';
import { SetUpError } from '../set-up-error.js';
import { lock, mayFail, SELF, send, spawn, trace, unlock } from '../step.js';
import type { Step, Thread } from '../step.js';
import { UnsupportedByKernelError } from '../unsupported-by-kernel.js';
import { arch_setup_dma_ops, arch_teardown_dma_ops, devres_release_all } from './devres.js';
import { iommu_device_unuse_default_domain, iommu_device_use_default_domain } from './dma-owner.js';
import { device_attach } from './driver-core.js';
import type { DriverCore, UeventAction } from './driver-core.js';
import { BUDGET, DRIVERS_BASE, IOMMU_BLOCK } from './entity-names.js';
import { blockOf, iommu_bus_notifier } from './iommu-bus.js';
import type { GroupVariant } from './iommu-group.js';
import { kernelEntities, NEW_DEVICE } from './kernel-entities.js';
import {
  access,
  klistDel,
  klistExit,
  klistNext,
  klistRemove,
  link,
  listAddTail,
  listDel,
  listLast,
  listNext,
  load,
  store,
  unlink,
} from './memory.js';
import { call_fixed_chain, notifier_call_chain } from './notifier-chain.js';
import type { Chain, FixedBlock } from './notifier-chain.js';

export interface DeviceSetup {
  /** `pci` where left out; null: none, as devices of a class alone. */
  readonly bus?: string | null;
  /** Its name on its bus, where several have one in turn; else that of the struct. */
  readonly named?: string;
  /**
   * It is added more than once: each time it is a new struct device, which takes the memory of the
   * old one. Where threads may still be at the old one, let another with its name be added.
   */
  readonly returns?: boolean;
  /** It is on its bus when the threads begin. */
  readonly present?: boolean;
  /** The driver that it is bound to then. */
  readonly driver?: string;
  /** The group that it is in then. */
  readonly group?: string;
  /** References to it beside that of the driver core. */
  readonly held?: number;
  /** Devices with the same requester id belong into one group; by itself where left out. */
  readonly alias?: string;
  /** The IOMMU driver does not take it: -ENODEV. */
  readonly refused?: boolean;
  /** iommu_is_attach_deferred: it is not attached when it joins its group. */
  readonly deferred?: boolean;
  /** What arch_setup_dma_ops gives it when a driver binds; where left out nobody asks for it. */
  readonly dmaOps?: string;
}

export interface DriverSetup {
  readonly bus?: string;
  /** It is registered when the threads begin; so it is where left out. */
  readonly registered?: boolean;
  /** bus->match; every device of its bus where left out. */
  readonly matches?: readonly string[];
  /** PROBE_PREFER_ASYNCHRONOUS */
  readonly async?: boolean;
  /** driver_managed_dma: vfio-pci and the like, which do not use the DMA API. */
  readonly managesDma?: boolean;
  /** 0 or a negative errno; what may fail where faults are injected, where left out. */
  readonly probe?: (dev: string, k: Kernel) => Thread<number>;
  readonly remove?: (dev: string, k: Kernel) => Thread<void>;
  /** bus->dma_configure; as the generation has it where left out. */
  readonly dmaConfigure?: (dev: string, k: Kernel) => Thread<number>;
}

export interface GroupSetup {
  /** There when the threads begin, by name; default where left out. */
  readonly default_domain?: string | null;
  readonly domain?: string | null;
  readonly blocking_domain?: string | null;
  /** References of others than its devices. */
  readonly held?: number;
  readonly owner?: string | null;
  readonly owner_cnt?: number;
}

export interface BusSetup {
  /**
   * bus_set_iommu was called before the threads begin (so it was where left out), never, or by one of
   * them.
   */
  readonly iommu?: boolean | 'later';
}

/** What there is before the threads begin. */
export interface KernelSetup {
  readonly profile: KernelProfile;
  readonly devices?: Readonly<Record<string, DeviceSetup>>;
  readonly drivers?: Readonly<Record<string, DriverSetup>>;
  /** Groups of devices that say one need not be told. */
  readonly groups?: Readonly<Record<string, GroupSetup>>;
  /** `pci` where left out. */
  readonly buses?: Readonly<Record<string, BusSetup>>;
  /** Blocks by chain: `pci->bus_notifier`, `g0->notifier`. */
  readonly blocks?: Readonly<Record<string, readonly FixedBlock[]>>;
  /** Those that were registered before the IOMMU core's on their chain. */
  readonly earlyBlocks?: Readonly<Record<string, readonly FixedBlock[]>>;
  /** Chains that are changed while the threads run, with their entities: kernel/notifier-chain.ts. */
  readonly chains?: readonly Chain[];
  /** Groups that may be made beside those: `g1`, … Two for each device where left out. */
  readonly spareGroups?: number;
  /** struct dev_iommu that may be allocated for a device beside its first; 1 where left out. */
  readonly spareParams?: number;
  /** Domains that others made before the threads begin. */
  readonly domains?: readonly string[];
  /** Domains that may be made; two for each group where left out. */
  readonly spareDomains?: number;
  /** ops->device_group of the IOMMU driver; as pci_device_group does it where left out. */
  readonly deviceGroup?: (k: Kernel, dev: string) => Thread<string | null>;
  /** In which order a device joins a group and its listeners are told; as posted where left out. */
  readonly order?: GroupVariant;
  /** Group notifications say of which of a device's memberships they are: INV-01. */
  readonly countsMemberships?: boolean;
  /** ops->add_device is called only for a device without a group (P-A1-4). */
  readonly checksGroupFirst?: boolean;
  /** What group->iommu_data_release does with group->iommu_data. */
  readonly releaseData?: (release: string, data: string | null) => Thread<void>;
  /** Groups, all of them there at the start, are found by their id. */
  readonly foundById?: boolean;
  /**
   * Allocations, creations, attaches and probes may fail, as many as the scenario has `faults`: all
   * of them, or those whose names begin so: `dma_configure()`, `attach_dev(`.
   */
  readonly mayFail?: boolean | readonly string[];
  /** Drivers are unregistered, so walks of the bus's drivers hold the one that they are at. */
  readonly driversLeave?: boolean;
  /** Devices on the deferred list. */
  readonly deferred?: readonly string[];
  /** The generation by whose rules it is judged; its own where left out. */
  readonly judgedAs?: KernelProfile;
}

export class Kernel implements DriverCore<string, string, Step> {
  readonly profile: KernelProfile;
  readonly devices: Readonly<Record<string, DeviceSetup>>;
  readonly drivers: Readonly<Record<string, DriverSetup>>;
  readonly buses: Readonly<Record<string, BusSetup>>;
  readonly groups: readonly string[];
  /** Domains that may be made. */
  readonly spareDomains: readonly string[];
  /** The entity that says how many faults are left; undefined: nothing fails. */
  readonly budget: string | undefined;
  /** What the operations act on. */
  readonly entities: Readonly<Record<string, Entity>>;
  private readonly starts: Readonly<Record<string, GroupSetup>>;
  private readonly blocks: Readonly<Record<string, readonly FixedBlock[]>>;
  private readonly chains: ReadonlyMap<string, Chain>;
  private readonly driversLeave: boolean;

  constructor(readonly setup: KernelSetup) {
    this.profile = setup.profile;
    this.devices = setup.devices ?? {};
    this.drivers = setup.drivers ?? {};
    this.buses = setup.buses ?? { pci: {} };
    this.driversLeave = setup.driversLeave ?? false;
    const { mayFail: fails = false } = setup;
    this.budget = fails === false || (fails !== true && fails.length === 0) ? undefined : BUDGET;
    const notifier = iommu_bus_notifier(this);
    const names = [IOMMU_BLOCK, ...Object.keys(this.buses).map(blockOf)];
    const core = Object.fromEntries(names.map((block) => [block, notifier]));
    this.chains = new Map(
      (setup.chains ?? []).map((chain) => [
        chain.name,
        { ...chain, callbacks: { ...core, ...chain.callbacks } },
      ]),
    );
    this.starts = startingGroups(setup);
    this.groups = groupNames(setup);
    this.spareDomains = unused(
      'D',
      setup.spareDomains ?? 2 * this.groups.length,
      startingDomains(this.starts, setup),
    );
    this.blocks = this.withIommu(setup.blocks ?? {});
    this.entities = kernelEntities(this);
  }

  /** The empty name where it has none. */
  busOf(dev: string): string {
    const { bus = 'pci' } = this.devices[dev] ?? {};
    return bus ?? '';
  }

  hasBus(dev: string): boolean {
    return this.devices[dev]?.bus !== null;
  }

  /** Every domain that there is or may be. */
  get allDomains(): readonly string[] {
    return [...new Set([...startingDomains(this.starts, this.setup), ...this.spareDomains])];
  }

  /** Whether the group is there when the threads begin. */
  startsWith(group: string): boolean {
    return Object.hasOwn(this.starts, group);
  }

  startOf(group: string): GroupSetup {
    return this.starts[group];
  }

  /** Other devices with the same requester id, in the order of the set-up. */
  aliasesOf(dev: string): readonly string[] {
    const alias = this.devices[dev]?.alias;
    return Object.keys(this.devices).filter(
      (other) => other !== dev && alias !== undefined && this.devices[other].alias === alias,
    );
  }

  /** The machine that counts how often the IOMMU driver is asked to take a device: INV-02. */
  probesOf(dev: string): string {
    return `probes of ${dev}`;
  }

  /** The machine that counts how often a group is given its default domain: INV-10. */
  initOf(group: string): string {
    return `default domain of ${group}`;
  }

  /** group->mutex */
  mutexOf(group: string): string {
    return `${group}->mutex`;
  }

  /** The struct dev_iommu that a device may still get, in the IOMMU core. */
  sparesOf(dev: string): string {
    return `spare dev_iommu of ${dev}`;
  }

  /** The counter of a device's memberships, in its bus: it is older than the device. */
  membershipsOf(dev: string): string {
    return `memberships of ${dev}`;
  }

  /** The machine that judges a device's bus notifications: B.3. */
  lifeOf(dev: string): string {
    return `BUS events of ${dev}`;
  }

  /** The machine that judges a device's memberships: INV-02, INV-03. */
  membershipOf(dev: string): string {
    return `memberships of ${dev}`;
  }

  /** A chain that is changed while the threads run. Throws SetUpError where `block` is none of it. */
  changedChain(name: string, block: string): Chain {
    const chain = this.chains.get(name);
    if (chain === undefined || !Object.hasOwn(chain.callbacks, block)) {
      const advice = `give it one: ${block}: { on: '${name}', registered: false, … }, or unregisters: true`;
      throw new SetUpError(`no listener ${block} comes to ${name} or leaves it`, advice);
    }
    return chain;
  }

  /** Calls a chain, which is one that nobody changes where the set-up names no other. */
  *callChain(
    chain: string,
    action: string,
    payload: { readonly dev: string; readonly membership?: number },
  ): Thread<number> {
    const changed = this.chains.get(chain);
    if (changed !== undefined) return yield* notifier_call_chain(changed, action, payload);
    const blocks = this.blocks[chain] ?? [];
    if (blocks.length === 0) return 0;
    return yield* call_fixed_chain({ name: chain, profile: this.profile, blocks }, action, payload);
  }

  *lock(dev: string): Thread<void> {
    yield* send(`${dev}->mutex`, { type: 'lock', by: SELF }, `device_lock(${dev})`);
  }

  *unlock(dev: string): Thread<void> {
    yield* send(`${dev}->mutex`, { type: 'unlock', by: SELF }, `device_unlock(${dev})`);
  }

  *addToBus(dev: string): Thread<boolean> {
    if (!this.hasBus(dev)) return true;
    const bus = this.busOf(dev);
    const { returns = false, named } = this.devices[dev] ?? {};
    if (returns && (yield* this.wasDeleted(dev))) yield* this.initialize(dev);
    if (named !== undefined && !(yield* link(bus, 'names', named))) return false;
    yield* listAddTail(bus, 'devices', dev);
    return true;
  }

  /** Whether the struct is that of a device that is gone: asked by the model, not by the kernel. */
  private *wasDeleted(dev: string): Thread<boolean> {
    const event = { type: 'read', field: 'state_in_sysfs' };
    const label = `read ${dev}->state_in_sysfs`;
    const reply = yield { type: 'send', entity: dev, event, label, hidden: true };
    return (reply as { readonly value: unknown }).value === false;
  }

  /** device_initialize of the struct that takes the place of a deleted one. */
  private *initialize(dev: string): Thread<void> {
    yield* access(dev, { type: 'alloc', fields: NEW_DEVICE, refs: 1 }, `device_initialize(${dev})`);
    const event = { type: 'device_add' };
    const label = `${dev} is new`;
    yield { type: 'send', entity: this.lifeOf(dev), event, label, hidden: true };
  }

  *removeFromBus(dev: string): Thread<boolean> {
    if (!this.hasBus(dev)) return true;
    return yield* klistDel(this.busOf(dev), 'devices', dev);
  }

  *isRegistered(dev: string): Thread<boolean> {
    return yield* load<boolean>(dev, 'state_in_sysfs');
  }

  *free(dev: string): Thread<void> {
    // The struct stays as long as somebody has a reference: put_device frees it.
    yield* store(dev, 'state_in_sysfs', false);
    const { named } = this.devices[dev] ?? {};
    if (named !== undefined) yield* unlink(this.busOf(dev), 'names', named);
  }

  *nextDevice(dev: string | null, driver: string): Thread<string | null> {
    return yield* this.nextOn(this.busOfDriver(driver), dev);
  }

  /** The device after `dev` on the klist of `bus`. */
  *nextOn(bus: string, dev: string | null): Thread<string | null> {
    return yield* listNext(bus, 'devices', dev);
  }

  *nextDriver(driver: string | null, dev: string): Thread<string | null> {
    const bus = this.busOf(dev);
    if (!this.driversLeave) return yield* listNext(bus, 'drivers', driver);
    return yield* klistNext(bus, 'drivers', driver, 'walked');
  }

  *leaveDriver(driver: string): Thread<void> {
    if (this.driversLeave) yield* klistExit(this.busOfDriver(driver), 'walked', driver);
  }

  *addDriver(driver: string): Thread<boolean> {
    yield* listAddTail(this.busOfDriver(driver), 'drivers', driver);
    return true;
  }

  *removeDriver(driver: string): Thread<boolean> {
    if (!this.driversLeave) return yield* klistDel(this.busOfDriver(driver), 'drivers', driver);
    return yield* klistRemove(this.busOfDriver(driver), 'drivers', driver, 'walked');
  }

  *lastBound(driver: string): Thread<string | null> {
    return yield* listLast(driver, 'bound');
  }

  // eslint-disable-next-line require-yield
  *matches(dev: string, driver: string): Thread<boolean> {
    const { matches } = this.drivers[driver] ?? {};
    if (this.busOfDriver(driver) !== this.busOf(dev)) return false;
    return matches === undefined || matches.includes(dev);
  }

  *driverOf(dev: string): Thread<string | null> {
    return yield* load<string | null>(dev, 'driver');
  }

  *setDriver(dev: string, driver: string | null): Thread<void> {
    yield* store(dev, 'driver', driver);
  }

  *setBound(dev: string, driver: string, bound: boolean): Thread<void> {
    if (bound) yield* listAddTail(driver, 'bound', dev);
    else yield* listDel(driver, 'bound', dev);
  }

  *isDead(dev: string): Thread<boolean> {
    return yield* load<boolean>(dev, 'dead');
  }

  *kill(dev: string): Thread<boolean> {
    // device_del does not ask whether kill_device found it dead already.
    yield* store(dev, 'dead', true);
    return true;
  }

  *isReady(dev: string): Thread<boolean> {
    return yield* load<boolean>(dev, 'ready_to_probe');
  }

  *makeReady(dev: string): Thread<void> {
    yield* store(dev, 'ready_to_probe', true);
  }

  *notify(action: BusAction, dev: string): Thread<void> {
    const value = busActionValue(this.profile.numbering, action);
    if (value === undefined) return;
    if (!this.hasBus(dev)) {
      // bus_notify() is called, and finds no bus.
      if (this.profile.busNotify) yield* trace({ type: 'bus_notify', dev, action: value });
      return;
    }
    const bus = this.busOf(dev);
    const about = { dev, bus, action: value };
    const chain = `${bus}->bus_notifier`;
    const facts: EventFact[] = [{ type: 'chain_call', chain, ...about }];
    if (this.profile.busNotify) facts.unshift({ type: 'bus_notify', ...about });
    yield* send(this.lifeOf(dev), { type: action }, `BUS:${action} ${dev}`, facts);
    const ret = yield* this.callChain(chain, action, { dev });
    yield* trace({ type: 'chain_return', ret });
  }

  *uevent(action: UeventAction, dev: string): Thread<void> {
    const [devpath, subsystem] = [`/devices/${dev}`, this.busOf(dev)];
    yield* trace({ type: 'uevent', action, devpath, subsystem, dev, from: 'kernel' });
  }

  *dmaConfigure(dev: string, driver: string): Thread<number> {
    const { dmaConfigure, managesDma = false } = this.drivers[driver] ?? {};
    if (dmaConfigure !== undefined) return yield* dmaConfigure(dev, this);
    if (yield* this.fails('dma_configure()')) return -EPROBE_DEFER;
    yield* arch_setup_dma_ops(this, dev);
    if (!this.profile.dmaOwnership || managesDma || !this.hasIommu(dev)) return 0;
    return yield* iommu_device_use_default_domain(this, dev);
  }

  *dmaCleanup(dev: string, driver: string): Thread<void> {
    const { dmaConfigure, managesDma = false } = this.drivers[driver] ?? {};
    if (dmaConfigure !== undefined || managesDma || !this.hasIommu(dev)) return;
    yield* iommu_device_unuse_default_domain(this, dev);
  }

  *addDriverLinks(_dev: string, _driver: string): Thread<number> {
    return (yield* this.fails('driver_sysfs_add()')) ? -ENOMEM : 0;
  }

  *removeDriverLinks(_dev: string, _driver: string): Thread<void> {
    // Nobody looks at them.
  }

  *probe(dev: string, driver: string): Thread<number> {
    const { probe } = this.drivers[driver] ?? {};
    if (probe !== undefined) return yield* probe(dev, this);
    return (yield* this.fails(`${driver}->probe()`)) ? -ENODEV : 0;
  }

  *remove(dev: string, driver: string): Thread<void> {
    const { remove } = this.drivers[driver] ?? {};
    if (remove !== undefined) yield* remove(dev, this);
  }

  *releaseResources(dev: string): Thread<void> {
    yield* devres_release_all(this, dev);
  }

  *teardownDmaOps(dev: string): Thread<void> {
    yield* arch_teardown_dma_ops(this, dev);
  }

  *fails(what: string): Thread<boolean> {
    if (this.budget === undefined) return false;
    const { mayFail: which } = this.setup;
    if (typeof which === 'object' && !which.some((name) => what.startsWith(name))) return false;
    return yield* mayFail(this.budget, `${what} fails`);
  }

  probesAsync(driver: string): boolean {
    if (this.drivers[driver]?.async !== true) return false;
    if (!this.profile.asyncProbe) {
      throw new UnsupportedByKernelError('PROBE_PREFER_ASYNCHRONOUS', this.profile.name);
    }
    return true;
  }

  *schedule(work: () => Thread<void>): Thread<void> {
    if (yield* this.fails('allocation in async_schedule()')) {
      yield* work();
      return;
    }
    yield* spawn(work, 'async_schedule()');
  }

  *entered(fn: string, dev: string, driver?: string): Thread<void> {
    const drv = driver === undefined ? {} : { drv: driver };
    const bus = this.hasBus(dev) ? this.busOf(dev) : null;
    yield* trace({ type: 'function_call', fn, dev, bus, ...drv });
  }

  *returned(fn: string, ret?: number): Thread<void> {
    yield* trace({ type: 'function_return', fn, ...(ret === undefined ? {} : { ret }) });
  }

  *defer(dev: string): Thread<void> {
    yield* listAddTail(DRIVERS_BASE, 'deferred', dev);
  }

  *undefer(dev: string): Thread<void> {
    yield* listDel(DRIVERS_BASE, 'deferred', dev);
  }

  *triggerDeferred(): Thread<void> {
    if ((yield* listNext(DRIVERS_BASE, 'deferred', null)) === null) return;
    yield* spawn(() => this.deferred_probe_work_func(), 'schedule deferred_probe_work');
  }

  /** drivers/base/dd.c */
  *deferred_probe_work_func(): Thread<void> {
    let dev = yield* listNext(DRIVERS_BASE, 'deferred', null);
    while (dev !== null) {
      if (yield* listDel(DRIVERS_BASE, 'deferred', dev)) yield* device_attach(this, dev);
      dev = yield* listNext(DRIVERS_BASE, 'deferred', dev);
    }
  }

  /** Whether the IOMMU core is on the device's bus. */
  private hasIommu(dev: string): boolean {
    return this.hasBus(dev) && (this.buses[this.busOf(dev)]?.iommu ?? true) !== false;
  }

  /** Under group->mutex. */
  *lockGroup(group: string): Thread<void> {
    yield* lock(this.mutexOf(group));
  }

  *unlockGroup(group: string): Thread<void> {
    yield* unlock(this.mutexOf(group));
  }

  private busOfDriver(driver: string): string {
    return this.drivers[driver]?.bus ?? 'pci';
  }

  /** Whether the IOMMU core is on a bus when the threads begin. */
  hasIommuAtStart(bus: string): boolean {
    return (this.buses[bus]?.iommu ?? true) === true;
  }

  /** The IOMMU core's block goes first: it was registered before drivers could. */
  private withIommu(
    blocks: Readonly<Record<string, readonly FixedBlock[]>>,
  ): Readonly<Record<string, readonly FixedBlock[]>> {
    const all = { ...blocks };
    for (const bus of Object.keys(this.buses)) {
      if (!this.hasIommuAtStart(bus)) continue;
      const chain = `${bus}->bus_notifier`;
      const own = { block: IOMMU_BLOCK, call: iommu_bus_notifier(this) };
      all[chain] = [...(this.setup.earlyBlocks?.[chain] ?? []), own, ...(all[chain] ?? [])];
    }
    return all;
  }
}

/** Every group that there is or may be. */
export function groupNames(setup: KernelSetup): readonly string[] {
  const there = Object.keys(startingGroups(setup));
  // Where a device is taken in twice at the same time, each makes one.
  const spare = setup.spareGroups ?? 2 * Object.keys(setup.devices ?? {}).length;
  return [...there, ...unused('g', spare, there)];
}

/** The groups that the set-up tells, and those that devices say they are in. */
function startingGroups(setup: KernelSetup): Readonly<Record<string, GroupSetup>> {
  const told = setup.groups ?? {};
  const named = Object.values(setup.devices ?? {}).flatMap(({ group }) => group ?? []);
  const names = [...new Set([...Object.keys(told), ...named])];
  return Object.fromEntries(
    names.map((name, i) => {
      const domain = setup.profile.groupDomain ? `D${i}` : null;
      return [name, { default_domain: domain, domain, ...told[name] }];
    }),
  );
}

/** `g2`, `g3`, …: so many names that nobody has, in the order of their numbers. */
function unused(prefix: string, count: number, taken: readonly string[]): string[] {
  const names: string[] = [];
  for (let n = taken.length; names.length < count; n++) {
    if (!taken.includes(`${prefix}${n}`)) names.push(`${prefix}${n}`);
  }
  return names;
}

/** Domains that there are when the threads begin. */
function startingDomains(
  starts: Readonly<Record<string, GroupSetup>>,
  { domains = [] }: KernelSetup,
): readonly string[] {
  const first = Object.values(starts).flatMap(({ default_domain, domain, blocking_domain }) => [
    default_domain,
    domain,
    blocking_domain,
  ]);
  return [...new Set([...first, ...domains].filter((name) => typeof name === 'string'))];
}
