import type { ActionNumbering, BusAction } from '../../events/actions.js';

/** Kernel version as [major, minor]. */
export type Version = readonly [number, number];

/** The four heads of kernel/notifier.c (B.1.4). */
export type NotifierKind = 'blocking' | 'atomic' | 'raw' | 'srcu';

/**
 * What one generation of kernels does differently. Everything that a rule must know about a
 * version is a field here, so that no rule compares version numbers. Source: C, B.2–B.4.
 */
export interface KernelProfile {
  /** Name for `--kernel`: v6.12. */
  readonly name: string;
  readonly version: Version;
  /** Which numbers the BUS_NOTIFY_* actions have (B.4). */
  readonly numbering: ActionNumbering;
  /** BUS_NOTIFY_REMOVED_DEVICE exists (v3.18). */
  readonly removedDevice: boolean;
  /** BUS_NOTIFY_DRIVER_NOT_BOUND exists; without it a failed probe is silent (B.2 RP6). */
  readonly notBound: boolean;
  /** really_probe returns 1 for success, 0 for a failure (until v5.13). */
  readonly probedIsOne: boolean;
  /** NOT_BOUND is sent only after BIND (v5.17, K07). */
  readonly notBoundNeedsBind: boolean;
  /** No probe starts on a device whose device_del has begun (v5.1, whole from v5.9: K08, K09). */
  readonly deadFlag: boolean;
  /** Which paths to a probe check the dead flag (v5.1: K08; v5.9: K09). */
  readonly deadChecked: 'nowhere' | 'async' | 'all paths';
  /** Drivers may ask to be probed asynchronously (v4.2). */
  readonly asyncProbe: boolean;
  /** Whose async probe is scheduled after device_unlock (v5.19; v6.0 also __driver_attach: K30). */
  readonly asyncScheduledUnlocked: 'nobody' | '__device_attach' | 'both';
  /** Where managed resources are released before the DMA ops (v5.0; v5.2 everywhere: K40). */
  readonly devresBeforeDmaTeardown: 'nowhere' | 'unbind' | 'everywhere';
  /** No driver probes a device before device_add has notified ADD_DEVICE (v7.1, K10, B.5). */
  readonly readyFlag: boolean;
  /** A failing add_device is the IOMMU listener's raw return and stops the chain (D-A1-8). */
  readonly addErrnoStops: boolean;
  /** bus_notify() sends the notifications of a bus (v6.3). */
  readonly busNotify: boolean;
  /** The IOMMU core has a notifier block for each bus (v3.18; one for all before: K01). */
  readonly blockPerBus: boolean;
  /** A bus gets its IOMMU from iommu_device_register, and there is no bus_set_iommu (v6.1). */
  readonly busSetAtRegister: boolean;
  /** A group has a default domain and a domain, to which who joins is attached (v4.2). */
  readonly groupDomain: boolean;
  /** What a failed attach leaves of an add: all (K21), the link in the group, nothing (v4.15, v5.5). */
  readonly failedAttach: 'ignored' | 'keeps link' | 'unwound';
  /** iommu_group_alloc makes attributes, which may fail (v4.11), and unwinds then (v6.3: K22). */
  readonly groupAttributes: boolean;
  readonly allocUnwinds: boolean;
  /** What becomes of a group whose kobject cannot be added (D-A1-2, D-A1-2b). */
  readonly failedKobjectAdd: 'frees' | 'frees the id twice' | 'put';
  /** iommu_group_remove_device of a device without a group returns (D-A1-5). */
  readonly nullGroupChecked: boolean;
  /** The core makes groups and default domains: iommu_probe_device (v5.8). */
  readonly probeDevice: boolean;
  /** ops->release_device is called before the device leaves its group (v5.8: K19). */
  readonly releasesBeforeGroup: boolean;
  /** Both under one group->mutex (v6.4: K23). */
  readonly releasesUnderMutex: boolean;
  /** The default domain is made and attached under group->mutex (v5.15: K11). */
  readonly defaultDomainLocked: boolean;
  /** When a device has joined, the DMA ops are set up by a look-up of its domain (not v7.2). */
  readonly finalizeLooksUpDomain: boolean;
  /** dev->iommu is cleared before it is freed (v5.17: K14). */
  readonly devIommuClearedFirst: boolean;
  /** iommu_probe_device_lock is held around a probe (v6.2: K15). */
  readonly probeLocked: boolean;
  /** The same lock is held where firmware code looks at a device's fwspec (v6.7: K14). */
  readonly fwspecLocked: boolean;
  /** arm_smmu_device_group looks and stores under stream_map_mutex (v5.15: K12). */
  readonly smmuGroupLocked: boolean;
  /** A device leaves vfio only when nobody uses its group any more (v6.2: K20). */
  readonly vfioAwaitsUsers: boolean;
  /** A group's default domain can be changed by its `type` (v5.11). */
  readonly storesType: boolean;
  /** Changing a group's default domain takes device_lock (until v6.3: K23). */
  readonly storeTypeLocksDevice: boolean;
  /** A failed attach to a PASID is undone only for devices that it had reached (v6.10: K39). */
  readonly pasidUndoesReached: boolean;
  /** What a failed attach of a group undoes (v6.3, v6.5: K39). */
  readonly attachUndo: 'nothing' | 'reattaches' | 'unwinds';
  /** No driver uses the default domain before there is one (v6.15: K17). */
  readonly defaultDomainAwaited: boolean;
  /** The group has a notifier chain of its own (v3.6 – v5.18). */
  readonly groupNotifier: boolean;
  /** Bus action at which the IOMMU core takes the device out of its group (K02). */
  readonly groupLeftAt: BusAction;
  /** DMA ownership: owner, owner_cnt (v5.19, C.1). */
  readonly dmaOwnership: boolean;
  /** add_device_to_group is traced before the list insertion and any attach (v6.5, C.4). */
  readonly addBeforeAttach: boolean;
  /** "Removing from iommu group" is printed on every removal (up to v6.4; later only by the API). */
  readonly printsRemoval: boolean;
  /** Tracepoint iommu:detach_device_from_domain exists. */
  readonly detachTracepoint: boolean;
  /** Tracepoints notifier:* exist (v6.4). */
  readonly notifierTracepoints: boolean;
  /** A pci_slot has a reference on its bus (v6.13: K32). */
  readonly slotHoldsBus: boolean;
  /** Tracepoint pci:pci_hp_event exists (v7.0). */
  readonly pciHpEvent: boolean;
  /** KOBJ_BIND and KOBJ_UNBIND uevents (v4.14). */
  readonly bindUevents: boolean;
  /** The core attaches a blocking domain while a group is owned (v5.19). */
  readonly blockingDomain: boolean;
  /**
   * A block registered a second time on its chain: linked again, which corrupts the chain (K05);
   * ignored with a WARN and 0 (v5.5); refused with a WARN and -EEXIST (v5.17).
   */
  readonly duplicateRegistration: 'corrupts' | 'ignored' | 'refused';
  /** The kinds that have *_notifier_chain_register_unique_prio. */
  readonly uniquePriority: readonly NotifierKind[];
  /** The kinds that have *_notifier_call_chain_robust (v5.10, K06). */
  readonly robustCall: readonly NotifierKind[];
  /** vfio's group callback warns at DEL_DEVICE of a device that it still knows (up to v3.9, K43). */
  readonly vfioWarnsAtDel: boolean;
  /** It warns where it is called and its vfio_group is off vfio.group_list (up to v3.9, K43). */
  readonly vfioWarnsOffList: boolean;
  /** vfio_dev_present looks in a vfio_group that it holds, not in that of dev->iommu_group (v3.11). */
  readonly vfioHoldsGroup: boolean;
  /** vfio_group->unbound_list bridges remove() and UNBOUND_DRIVER (v4.0 – v5.18, K04). */
  readonly vfioUnboundList: boolean;
  /** vfio's group callback puts its reference in a worker (v4.13, K03). */
  readonly vfioPutsInWorker: boolean;
}
