/**
 * The generations, told as changes.
 *
 * A profile is what v3.6 did plus every change up to its version, so a version between two named
 * ones (6.3 renumbered the actions, 6.5 moved the trace event) is as exact as the named ones.
 * Sources: kernel-semantics.md B.1–B.4, C, C.4; where a version is marked [unverified] there, the
 * earliest tree that was read and has the behaviour stands here.
 */

import type { KernelProfile, Version } from './profile.js';

type Facts = Omit<KernelProfile, 'name' | 'version'>;

const V3_6: Facts = {
  numbering: 'v3.6',
  removedDevice: false,
  notBound: false,
  notBoundNeedsBind: false,
  probedIsOne: true,
  deadFlag: false,
  deadChecked: 'nowhere',
  asyncProbe: false,
  asyncScheduledUnlocked: 'nobody',
  devresBeforeDmaTeardown: 'nowhere',
  readyFlag: false,
  addErrnoStops: true,
  busNotify: false,
  blockPerBus: false,
  busSetAtRegister: false,
  groupDomain: false,
  failedAttach: 'ignored',
  groupAttributes: false,
  allocUnwinds: false,
  failedKobjectAdd: 'frees',
  nullGroupChecked: false,
  probeDevice: false,
  releasesBeforeGroup: false,
  releasesUnderMutex: false,
  defaultDomainLocked: false,
  finalizeLooksUpDomain: false,
  devIommuClearedFirst: false,
  probeLocked: false,
  fwspecLocked: false,
  smmuGroupLocked: false,
  vfioAwaitsUsers: false,
  storesType: false,
  storeTypeLocksDevice: true,
  pasidUndoesReached: false,
  attachUndo: 'nothing',
  defaultDomainAwaited: false,
  groupNotifier: true,
  groupLeftAt: 'DEL_DEVICE',
  dmaOwnership: false,
  addBeforeAttach: false,
  printsRemoval: false,
  detachTracepoint: true,
  notifierTracepoints: false,
  slotHoldsBus: false,
  pciHpEvent: false,
  bindUevents: false,
  blockingDomain: false,
  duplicateRegistration: 'corrupts',
  uniquePriority: [],
  robustCall: [],
  vfioWarnsAtDel: true,
  vfioWarnsOffList: true,
  vfioHoldsGroup: false,
  vfioUnboundList: false,
  vfioPutsInWorker: false,
};

interface Change {
  readonly since: Version;
  /** Commit and what it did, for `hotrace rules`. */
  readonly by: string;
  readonly facts: Partial<Facts>;
}

export const CHANGES: readonly Change[] = [
  {
    since: [3, 10],
    by: 'vfio: overreacts to DEL_DEVICE no more and ignores notifications of a group off its list',
    facts: { vfioWarnsAtDel: false, vfioWarnsOffList: false },
  },
  {
    since: [3, 11],
    by: 'vfio: vfio_dev_present is protected against device_del',
    facts: { vfioHoldsGroup: true },
  },
  {
    since: [3, 18],
    by: '599bad38cf71 BUS_NOTIFY_REMOVED_DEVICE added, group left at REMOVED_DEVICE',
    facts: {
      numbering: 'v3.18',
      removedDevice: true,
      groupLeftAt: 'REMOVED_DEVICE',
      blockPerBus: true,
    },
  },
  {
    since: [4, 0],
    by: '60720a0fc646 vfio tracks devices during unbind',
    facts: { vfioUnboundList: true },
  },
  {
    since: [4, 2],
    by: 'default domains of groups; 765230b5f084 drivers that are probed asynchronously',
    facts: { groupDomain: true, asyncProbe: true },
  },
  {
    since: [4, 11],
    by: 'bc7d12b91bd3 reserved_regions of groups',
    facts: { groupAttributes: true },
  },
  {
    since: [4, 13],
    by: '811642d8d8a8 vfio puts its group in a worker after a notification',
    facts: { vfioPutsInWorker: true },
  },
  {
    since: [4, 14],
    by: '1455cf8dbfd0 bind and unbind uevents; DRIVER_NOT_BOUND present',
    facts: { bindUevents: true, notBound: true },
  },
  {
    since: [4, 15],
    by: '797a8b4d768c a failed attach undoes the add, but for the link in the group',
    facts: { failedAttach: 'keeps link' },
  },
  {
    since: [5, 0],
    by: '376991db4b64 an unbind tears DMA ops down after managed resources',
    facts: { devresBeforeDmaTeardown: 'unbind' },
  },
  {
    since: [5, 1],
    by: '3451a495ef24 an async probe checks the dead flag',
    facts: { deadChecked: 'async' },
  },
  {
    since: [5, 2],
    by: '0b777eee88d7 so does a failed probe',
    facts: { devresBeforeDmaTeardown: 'everywhere' },
  },
  {
    since: [5, 5],
    by: '1a50cb80f219 a second registration of a notifier block warns and does nothing; 7d4e6ccd1fb0 a failed attach removes the link in the group',
    facts: { duplicateRegistration: 'ignored', failedAttach: 'unwound' },
  },
  {
    since: [5, 7],
    by: '7cc31613734c a group whose kobject cannot be added is put, and its id freed once too often',
    facts: { failedKobjectAdd: 'frees the id twice' },
  },
  {
    since: [5, 8],
    by: 'a6a4c7e2c5b8 probe_device/release_device: "Adding to" and "Removing from iommu group"; 9ac8545199a1 release_device before the group is left',
    facts: {
      printsRemoval: true,
      probeDevice: true,
      releasesBeforeGroup: true,
      finalizeLooksUpDomain: true,
    },
  },
  {
    since: [5, 9],
    by: '654888327e9f no driver binds to a dead device, on any path',
    facts: { deadFlag: true, deadChecked: 'all paths' },
  },
  {
    since: [5, 10],
    by: '70d932985757 notifier_call_chain_robust; a failing add_device no longer stops the bus chain',
    facts: {
      robustCall: ['blocking', 'raw', 'atomic'],
      addErrnoStops: false,
      nullGroupChecked: true,
    },
  },
  {
    since: [5, 11],
    by: '08a27c1c3ecf the type of a group can be changed',
    facts: { storesType: true },
  },
  {
    since: [5, 14],
    by: 'really_probe returns 0 for success',
    facts: { probedIsOne: false },
  },
  {
    since: [5, 15],
    by: '211ff31b3d33 a default domain is made and attached under group->mutex; b1a1347912a7 arm_smmu_device_group under stream_map_mutex',
    facts: { defaultDomainLocked: true, smmuGroupLocked: true },
  },
  {
    since: [5, 17],
    by: '885e50253bfd + 00eb74ea2c14 DRIVER_NOT_BOUND only after BIND_DRIVER; 5abb065dca73 a second registration of a notifier block is -EEXIST; b54240ad4943 dev->iommu is cleared before it is freed',
    facts: {
      notBoundNeedsBind: true,
      duplicateRegistration: 'refused',
      devIommuClearedFirst: true,
    },
  },
  {
    since: [5, 19],
    by: '1ea2a07a532b and series: DMA ownership replaces the group notifier; b232b02bf3c2 __device_attach schedules an async probe after device_unlock',
    facts: {
      groupNotifier: false,
      dmaOwnership: true,
      blockingDomain: true,
      vfioUnboundList: false,
      asyncScheduledUnlocked: '__device_attach',
    },
  },
  {
    since: [6, 0],
    by: '70fe758352ca so does __driver_attach',
    facts: { asyncScheduledUnlocked: 'both' },
  },
  {
    // The earliest tree read that answers so; the commits are older.
    since: [6, 1],
    by: 'register_unique_prio of blocking and atomic chains; no robust call of atomic ones',
    facts: {
      uniquePriority: ['blocking', 'atomic'],
      robustCall: ['blocking', 'raw'],
      failedKobjectAdd: 'put',
      busSetAtRegister: true,
    },
  },
  {
    since: [6, 2],
    by: '01657bc14a39 iommu_probe_device_lock; ca5f21b25749 vfio waits for the users of a group',
    facts: { probeLocked: true, vfioAwaitsUsers: true },
  },
  {
    since: [6, 3],
    by: '504450d05c54 bus actions numbered from 0; 1b932ceddd19 detach_dev removed; 4daa861174d5 iommu_group_alloc unwinds; 2cc73c5712f9 a failed attach goes back to the old domain',
    facts: {
      numbering: 'v6.3',
      busNotify: true,
      detachTracepoint: false,
      allocUnwinds: true,
      attachUndo: 'reattaches',
    },
  },
  {
    since: [6, 4],
    by: 'dba9ca9d41f5 a device is released and leaves its group under one group->mutex; 49a22aae7d9c the type of a group is changed under group->mutex alone; notifier tracepoints',
    facts: { notifierTracepoints: true, storeTypeLocksDevice: false, releasesUnderMutex: true },
  },
  {
    since: [6, 5],
    by: 'iommu_group_alloc_device: add_device_to_group before attach; removal no longer printed; dcf40ed3a20d a failed attach is unwound',
    facts: { addBeforeAttach: true, printsRemoval: false, attachUndo: 'unwinds' },
  },
  {
    since: [6, 7],
    by: 'a2e7e59a9426 firmware code looks at a fwspec under iommu_probe_device_lock',
    facts: { fwspecLocked: true },
  },
  {
    since: [6, 10],
    by: 'b025dea63cde a failed attach to a PASID is undone only where it was done',
    facts: { pasidUndoesReached: true },
  },
  {
    since: [6, 13],
    by: 'c7acef99642b a pci_slot has a reference on its bus',
    facts: { slotHoldsBus: true },
  },
  {
    since: [6, 15],
    by: 'b46064a18810 no driver binds before the default domain is there',
    facts: { defaultDomainAwaited: true },
  },
  { since: [7, 0], by: 'pci_hp_event', facts: { pciHpEvent: true } },
  {
    since: [7, 1],
    by: 'a2225b6e834a no driver probes a device before its ADD_DEVICE',
    facts: { readyFlag: true },
  },
  {
    // The earliest kernel recorded that does so; the commit is older.
    since: [7, 2],
    by: 'iommu_setup_dma_ops does not look up the domain',
    facts: { finalizeLooksUpDomain: false },
  },
];

export function compareVersions(a: Version, b: Version): number {
  return a[0] - b[0] || a[1] - b[1];
}

/** The profile of a mainline version; v3.6 for anything older. */
export function profileForVersion(version: Version): KernelProfile {
  const facts = CHANGES.filter((c) => compareVersions(c.since, version) <= 0).map((c) => c.facts);
  return Object.assign(
    { name: `v${version[0]}.${version[1]}`, version },
    V3_6,
    ...facts,
  ) as KernelProfile;
}

/** The generations that hotrace names and compares, oldest first. */
export const PROFILES: readonly KernelProfile[] = (
  [
    [3, 6],
    [5, 10],
    [6, 1],
    [6, 12],
    [7, 2],
  ] as const
).map(profileForVersion);

/** The generation where none is asked for. */
export const NEWEST: KernelProfile = PROFILES[PROFILES.length - 1];

/** [major, minor] of `v6.12`, `6.12` or a release such as `6.12.107+deb13-amd64`, or undefined. */
export function releaseVersion(release: string): Version | undefined {
  const match = /^v?(\d{1,3})\.(\d{1,4})(?:[.\-+~ ]|$)/.exec(release);
  return match === null ? undefined : [Number(match[1]), Number(match[2])];
}

/** The profile for `--kernel`, or undefined for text that is no version from 3.6 on. */
export function profileByName(name: string): KernelProfile | undefined {
  const version = releaseVersion(name);
  return version === undefined || compareVersions(version, [3, 6]) < 0
    ? undefined
    : profileForVersion(version);
}
