/**
 * What the first events of a log tell about the kernel and about what was recorded.
 *
 * A trace in text does not say which kernel wrote it, but its events do: a function that came with
 * one version, an action number that another version does not have. Each finding is a bound with
 * the line that proves it, so that a contradiction can be shown. Sources: B.4, C.4, formats.md 0.
 */

import type { EventBatch } from '../../events/batch.js';
import { TypeCode } from '../../events/event.js';
import type { Origin, Printk, SysfsSnapshot } from '../../events/event.js';
import { NULL_POINTER } from '../../events/intern.js';
import type { KernelProfile, Version } from '../../machines/profiles/profile.js';
import {
  compareVersions,
  profileForVersion,
  PROFILES,
  releaseVersion,
} from '../../machines/profiles/timeline.js';
import type { Recorded } from './context.js';

export interface Bound {
  readonly kind: 'from' | 'before' | 'is';
  /** `from`: this version or later; `before`: earlier than this one; `is`: this one. */
  readonly version: Version;
  /** Concluded from the order of events: it chooses a profile but does not speak against one. */
  readonly soft?: boolean;
  readonly because: string;
  readonly origin: Origin;
}

/** Functions, by the version that brought them or the one that removed them. */
const FUNCTION_BOUNDS: Readonly<Record<string, { from?: Version; before?: Version }>> = {
  iommu_device_use_default_domain: { from: [5, 19] },
  iommu_device_unuse_default_domain: { from: [5, 19] },
  iommu_group_claim_dma_owner: { from: [5, 19] },
  iommu_group_release_dma_owner: { from: [5, 19] },
  device_unbind_cleanup: { from: [5, 17] },
  iommu_group_alloc_device: { from: [6, 5] },
  __iommu_device_set_domain: { from: [6, 5] },
  iommu_deinit_device: { from: [6, 5] },
  iommu_setup_default_domain: { from: [6, 5] },
  pci_dev_reset_iommu_prepare: { from: [7, 0] },
  pci_dev_reset_iommu_done: { from: [7, 0] },
  vfio_iommu_group_notifier: { before: [5, 19] },
  iommu_group_register_notifier: { before: [5, 19] },
  iommu_group_unregister_notifier: { before: [5, 19] },
};

/** The highest number of a bus action, and the one that only one numbering has. */
const ADD_BEFORE_6_3 = 1;

export class Evidence {
  readonly bounds: Bound[] = [];
  readonly recorded: Recorded = {
    busNotify: false,
    chainCalls: false,
    notifierRuns: false,
    registrations: false,
    doubtfulSymbols: false,
    attachTracepoint: false,
    membership: false,
    removals: false,
    primaryCallback: undefined,
  };
  /** Functions whose return probe fired. */
  readonly returning = new Set<string>();
  private readonly seen = new Set<string>();
  /** Per task: the device of the newest device_add, and the newest call that publishes to a group. */
  private readonly adding = new Map<number, string>();
  private readonly publishing = new Map<number, string>();
  /** Per task: the chain of its newest call that has not returned. */
  private readonly calling = new Map<number, string>();

  look(batch: EventBatch): void {
    const { recorded } = this;
    for (let i = 0; i < batch.length; i++) {
      switch (batch.type[i]) {
        case TypeCode.bus_notify:
          recorded.busNotify = true;
          this.bound('from', [6, 3], 'bus_notify is a function since v6.3', batch, i);
          this.adding.delete(batch.pid[i]);
          this.number(batch, i);
          break;
        case TypeCode.chain_call:
          recorded.chainCalls = true;
          this.chainCall(batch, i);
          break;
        case TypeCode.notifier_run:
          recorded.notifierRuns = true;
          if (batch.origin(i).format === 'trace-cmd') recorded.doubtfulSymbols = true;
          this.bound('from', [6, 4], 'tracepoint notifier_run', batch, i);
          break;
        case TypeCode.callback_call: {
          const fn = batch.string('fn', i) ?? '';
          this.functionBound(fn, batch, i);
          if (fn !== 'vfio_iommu_group_notifier' && batch.bus[i] > NULL_POINTER) {
            if (recorded.primaryCallback === undefined || fn === 'iommu_bus_notifier') {
              recorded.primaryCallback = fn;
            }
            this.number(batch, i);
          }
          if (fn === 'iommu_bus_notifier') this.note(this.publishing, batch, i);
          break;
        }
        case TypeCode.function_call: {
          const fn = batch.string('fn', i) ?? '';
          this.functionBound(fn, batch, i);
          if (fn === 'device_add') this.note(this.adding, batch, i);
          if (fn === 'iommu_group_add_device') this.note(this.publishing, batch, i);
          break;
        }
        case TypeCode.function_return:
        case TypeCode.callback_return:
        case TypeCode.chain_return: {
          const fn = batch.string('fn', i) ?? 'blocking_notifier_call_chain';
          this.returning.add(fn);
          if (fn === 'iommu_bus_notifier') this.publishing.delete(batch.pid[i]);
          if (fn === 'device_add') this.adding.delete(batch.pid[i]);
          if (batch.type[i] === TypeCode.chain_return) this.calling.delete(batch.pid[i]);
          break;
        }
        case TypeCode.chain_register:
        case TypeCode.chain_unregister:
          recorded.registrations = true;
          break;
        case TypeCode.attach_device_to_domain:
          recorded.attachTracepoint = true;
          break;
        case TypeCode.add_device_to_group:
          recorded.membership = true;
          if (
            recorded.chainCalls &&
            batch.pid[i] >= 0 &&
            this.publishing.get(batch.pid[i]) === batch.string('dev', i)
          ) {
            this.bound(
              'from',
              [5, 19],
              'a device joins a group without a group notification',
              batch,
              i,
              true,
            );
          }
          break;
        case TypeCode.remove_device_from_group:
          recorded.removals = true;
          recorded.membership = true;
          break;
        case TypeCode.lost:
        case TypeCode.unparsed:
          this.adding.clear();
          this.publishing.clear();
          this.calling.clear();
          break;
        case TypeCode.pci_hp_event:
          this.bound('from', [7, 0], 'tracepoint pci_hp_event', batch, i);
          break;
        case TypeCode.printk: {
          const { fact, origin } = batch.event(i) as Printk;
          if (fact?.kind === 'kernel-version') this.release(fact.release, origin);
          break;
        }
        case TypeCode.sysfs_snapshot: {
          const { uname, origin } = batch.event(i) as SysfsSnapshot;
          const release = /\b\d{1,3}\.\d{1,4}[^\s]*/.exec(uname ?? '')?.[0];
          if (release !== undefined) this.release(release, origin);
          break;
        }
      }
    }
  }

  /** The kernel release as a source states it. */
  release(text: string, origin: Origin): void {
    const version = releaseVersion(text);
    if (version !== undefined && !this.seen.has(`is ${text}`)) {
      this.seen.add(`is ${text}`);
      this.bounds.push({ kind: 'is', version, because: `says it is ${text}`, origin });
    }
  }

  private note(map: Map<number, string>, batch: EventBatch, i: number): void {
    const dev = batch.string('dev', i);
    if (typeof dev === 'string') map.set(batch.pid[i], dev);
    if (map.size > 10_000) map.clear();
  }

  private chainCall(batch: EventBatch, i: number): void {
    const dev = batch.string('dev', i);
    if (typeof dev !== 'string') return;
    const pid = batch.pid[i];
    const chain = batch.string('ptr', i);
    const outer = this.calling.get(pid);
    if (typeof chain === 'string') this.calling.set(pid, chain);
    if (this.calling.size > 10_000) this.calling.clear();
    if (this.publishing.get(pid) === dev && outer !== undefined && outer !== chain) {
      this.publishing.delete(pid);
      this.bound('before', [5, 19], 'the group has a notifier chain', batch, i, true);
      return;
    }
    if (batch.bus[i] > NULL_POINTER && this.adding.get(pid) === dev) {
      // The first notification of a device is ADD_DEVICE: its number tells the numbering.
      this.adding.delete(pid);
      if (batch.a[i] === 0) this.bound('from', [6, 3], 'ADD_DEVICE has the number 0', batch, i);
      if (batch.a[i] === ADD_BEFORE_6_3) {
        this.bound('before', [6, 3], 'ADD_DEVICE has the number 1', batch, i);
      }
    }
  }

  /** A callback's or bus_notify's own action number. */
  private number(batch: EventBatch, i: number): void {
    if (batch.a[i] === 0) this.bound('from', [6, 3], 'an action has the number 0', batch, i);
    if (batch.a[i] === 8) this.bound('before', [6, 3], 'an action has the number 8', batch, i);
  }

  private functionBound(fn: string, batch: EventBatch, i: number): void {
    if (this.seen.has(fn) || !Object.hasOwn(FUNCTION_BOUNDS, fn)) return;
    this.seen.add(fn);
    const { from, before } = FUNCTION_BOUNDS[fn];
    if (from !== undefined) this.bound('from', from, `${fn} exists`, batch, i);
    if (before !== undefined) this.bound('before', before, `${fn} exists`, batch, i);
  }

  private bound(
    kind: Bound['kind'],
    version: Version,
    because: string,
    batch: EventBatch,
    i: number,
    soft = false,
  ): void {
    const file = batch.sources[batch.source[i]]?.file ?? '';
    const key = `${kind} ${version.join('.')} ${soft ? 'soft' : file}`;
    if (this.seen.has(key)) return;
    this.seen.add(key);
    this.bounds.push({
      kind,
      version,
      because,
      origin: batch.origin(i),
      ...(soft ? { soft } : {}),
    });
  }
}

export interface ProfileChoice {
  readonly profile: KernelProfile;
  /** Stated by the input, given by the user, concluded from events, or nothing to go by. */
  readonly by: 'given' | 'stated' | 'concluded' | 'assumed';
  /** Why, in a few words. */
  readonly because: string;
  /** Bounds that exclude the profile or each other; empty when all agree. */
  readonly contradictions: readonly Bound[];
}

/** Chooses the profile: the given one, the stated version, or the one that the bounds leave. */
export function chooseProfile(
  all: readonly Bound[],
  given: KernelProfile | undefined,
): ProfileChoice {
  const hard = all.filter((b) => b.soft !== true);
  const choice = choose(hard, given);
  if (given !== undefined || choice.by === 'stated' || choice.contradictions.length > 0) {
    return choice;
  }
  // The order of events narrows down what their mere existence leaves open.
  const narrowed = choose(all, given);
  return narrowed.contradictions.length > 0 ? choice : narrowed;
}

function choose(bounds: readonly Bound[], given: KernelProfile | undefined): ProfileChoice {
  const stated = bounds.find((b) => b.kind === 'is');
  if (given !== undefined) {
    const contradictions = bounds.filter((b) => excludes(b, given.version, given));
    return { profile: given, by: 'given', because: 'given with --kernel', contradictions };
  }
  if (stated !== undefined) {
    const contradictions = bounds.filter((b) => excludes(b, stated.version, undefined));
    return {
      profile: profileForVersion(stated.version),
      by: 'stated',
      because: `${stated.origin.file} ${stated.because}`,
      contradictions,
    };
  }
  const low = bounds
    .filter((b) => b.kind === 'from')
    .sort((a, b) => compareVersions(b.version, a.version))
    .at(0);
  const high = bounds
    .filter((b) => b.kind === 'before')
    .sort((a, b) => compareVersions(a.version, b.version))
    .at(0);
  if (low !== undefined && high !== undefined && compareVersions(low.version, high.version) >= 0) {
    return {
      profile: profileForVersion(low.version),
      by: 'concluded',
      because: low.because,
      contradictions: [low, high],
    };
  }
  const fits = (p: KernelProfile) =>
    (low === undefined || compareVersions(p.version, low.version) >= 0) &&
    (high === undefined || compareVersions(p.version, high.version) < 0);
  if (low === undefined && high === undefined) {
    return {
      profile: PROFILES.find((p) => p.name === 'v6.12')!,
      by: 'assumed',
      because: 'nothing in the input tells the kernel; --kernel does',
      contradictions: [],
    };
  }
  // Of the named generations the oldest that fits, but none from before the trace formats read here.
  const named = PROFILES.filter((p) => compareVersions(p.version, [4, 14]) >= 0).find(fits);
  return {
    profile: named ?? profileForVersion(low?.version ?? [3, 6]),
    by: 'concluded',
    because: [low, high]
      .filter((b) => b !== undefined)
      .map((b) => b.because)
      .join('; '),
    contradictions: [],
  };
}

function excludes(bound: Bound, version: Version, given: KernelProfile | undefined): boolean {
  switch (bound.kind) {
    case 'from':
      return compareVersions(version, bound.version) < 0;
    case 'before':
      return compareVersions(version, bound.version) >= 0;
    case 'is':
      // A profile stands for its neighbours: only other facts contradict it.
      return given === undefined
        ? differs(profileForVersion(version), profileForVersion(bound.version))
        : differs(given, profileForVersion(bound.version));
  }
}

function differs(a: KernelProfile, b: KernelProfile): boolean {
  return (Object.keys(a) as (keyof KernelProfile)[]).some(
    (key) => key !== 'name' && key !== 'version' && a[key] !== b[key],
  );
}
