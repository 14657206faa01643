/** The library: everything that the command does, as typed functions. */

export { replay, Replay } from './replay/replay.js';
export type { ReplayOptions, ReplayResult, InputSummary } from './replay/replay.js';
export { History } from './replay/history.js';
export type { DomainUse, Past } from './replay/history.js';
export type { Change, DeviceState, GroupState, ReplayState, SlotState } from './replay/state.js';
export { undecided } from './replay/verdicts.js';
export type {
  EventRef,
  Inconclusive,
  InconclusiveCause,
  Verdict,
  VerdictStatus,
  Violation,
} from './replay/verdicts.js';
export { whoBlocks } from './replay/viability.js';
export type { Blocker, Viability } from './replay/viability.js';
export { diff } from './replay/state-diff.js';
export type { StateDifference } from './replay/state-diff.js';
export { outcome } from './report/replay-text.js';
export { between, onlyDevice, pairwiseOrder } from './bus/hotplug-notification.js';
export type { HotplugNotification, NotificationPair } from './bus/hotplug-notification.js';
export { Bus } from './bus/bus.js';
export type { BusOptions } from './bus/bus.js';
export type { Driver } from './bus/bus-device.js';
export type { IommuGroup } from './bus/iommu-group.js';
export type { IommuOps } from './bus/iommu-core.js';
export { BUS_ACTIONS, GROUP_ACTIONS } from '../events/actions.js';
export type { BusAction, GroupAction } from '../events/actions.js';
export type * from '../events/event.js';
export { InputError } from '../events/input-error.js';
export { hotraceLog, LogWriter, readLog, readLogHeader } from '../events/log.js';
export type { LogHeader } from '../events/log.js';
export { BUILT_IN_PROBES } from '../events/probes.js';
export { readProbeTable } from '../events/probe-file.js';
export type { Probe, ProbeTable } from '../events/probes.js';
export { openInput } from '../events/open.js';
export { RULES, ruleById } from '../machines/rules.js';
export type { Rule } from '../machines/rules.js';
export type { KernelProfile } from '../machines/profiles/profile.js';
export { PROFILES, profileByName } from '../machines/profiles/timeline.js';
export { NotifierChain } from './bus/notifier-chain.js';
export type { NotifierChainOptions } from './bus/notifier-chain.js';
export type { NotifierBlock, NotifierReturn } from './bus/notifier-block.js';
export type { Delivery, Returned } from './bus/chain-call.js';
export type { WriteResult } from './bus/write-result.js';
export { DeadlockError } from './bus/deadlock-error.js';
export type { WaitStep } from './bus/deadlock-error.js';
export { EndlessWalkError, SleepingCallbackError } from './bus/notifier-errors.js';
export { UnsupportedByKernelError } from '../machines/unsupported-by-kernel.js';
export {
  NOTIFY_BAD,
  NOTIFY_DONE,
  NOTIFY_OK,
  NOTIFY_STOP,
  NOTIFY_STOP_MASK,
  notifierFromErrno,
  notifierToErrno,
  stops,
} from './bus/notify-return.js';
export { exploreParallel } from './explore/parallel.js';
export type { ParallelOptions } from './explore/parallel.js';
export type { ScenarioSource } from './explore/scenario-source.js';
export { explore } from './explore/explore.js';
export type { Exploration, ExploreOptions } from './explore/explore.js';
export type { Counterexample, Waiting } from './explore/counterexample.js';
export type { OtherOrder } from './explore/other-order.js';
export type { ScheduledStep } from './explore/schedule.js';
export { scheduleItf } from './report/schedule-itf.js';
export type { ItfState, ItfTrace, ItfValue } from './report/schedule-itf.js';
export type { Bounds, Reductions, SearchStats } from './explore/search-options.js';
export { ScenarioError } from './explore/scenario-error.js';
export { scenario } from '../machines/scenario.js';
export type {
  Entity,
  EntityView,
  Invariant,
  Monitor,
  Scenario,
  ScenarioFor,
  Symmetry,
} from '../machines/scenario.js';
export * from '../machines/step.js';
export { hotplug } from '../machines/kernel/hotplug.js';
export type { Hotplug, ListenerCall, ListenerSetup } from '../machines/kernel/hotplug.js';
export type { Kernel, KernelSetup } from '../machines/kernel/kernel.js';
export type { BusSetup, DeviceSetup, DriverSetup, GroupSetup } from '../machines/kernel/kernel.js';
export {
  device_add,
  device_attach,
  device_del,
  device_driver_attach,
  device_release_driver,
  driver_register,
  driver_unregister,
} from '../machines/kernel/driver-core.js';
export {
  bus_register_notifier,
  bus_unregister_notifier,
  iommu_group_register_notifier,
  iommu_group_unregister_notifier,
} from '../machines/kernel/register.js';
export {
  iommu_group_add_device,
  iommu_group_alloc,
  iommu_group_for_each_dev,
  iommu_group_get,
  iommu_group_get_by_id,
  iommu_group_get_iommudata,
  iommu_group_put,
  iommu_group_remove_device,
  iommu_group_set_iommudata,
  iommu_group_set_name,
} from '../machines/kernel/iommu-group.js';
export { iommu_group_store_type } from '../machines/kernel/store-type.js';
export { dma_map, dma_unmap } from '../machines/kernel/dma-map.js';
export {
  pciEntities,
  pci_remove_bus_device,
  pci_stop_and_remove_bus_device,
  pci_stop_bus_device,
} from '../machines/kernel/pci-remove.js';
export type { PciHierarchy, SecondaryBus } from '../machines/kernel/pci-remove.js';
export { iommu_attach_group, iommu_detach_group } from '../machines/kernel/iommu-domain.js';
export {
  iommu_device_unuse_default_domain,
  iommu_device_use_default_domain,
  iommu_group_claim_dma_owner,
  iommu_group_release_dma_owner,
} from '../machines/kernel/dma-owner.js';
export {
  bus_iommu_probe,
  iommu_probe_device,
  iommu_release_device,
} from '../machines/kernel/iommu-probe.js';
export * from '../machines/kernel/memory.js';
export { struct } from '../machines/object.js';
export type { ObjectEvent, ObjectReply, ObjectStart } from '../machines/object.js';
export { mutexMachine } from '../machines/mutex.js';
export { rwsemMachine } from '../machines/rwsem.js';
export { faultBudgetMachine } from '../machines/fault-budget.js';
export type { FaultBudgetReply } from '../machines/fault-budget.js';
export { refcountMachine } from '../machines/refcount.js';
export { rcuMachine } from '../machines/rcu.js';
export { variableMachine } from '../machines/variable.js';
export type { VariableReply } from '../machines/variable.js';
export type { RefcountReply } from '../machines/refcount.js';
export * from '../machines/kernel/notifier-chain.js';
export { notifierListMachine } from '../machines/notifier-list.js';
export type { InitialBlock } from '../machines/notifier-list.js';
export { deviceListMachine } from '../machines/device-list.js';
export { membershipListenerMachine } from '../machines/membership-listener.js';
export { CORPUS, raceById } from '../machines/races/corpus.js';
export type { Commit, Race, RaceVariant } from '../machines/races/race.js';
export { addRemove } from '../machines/races/add-remove.js';
export { storm } from '../machines/races/storm.js';
export { chainCallback } from '../machines/races/chain-callback.js';
export { chainUnregister } from '../machines/races/chain-unregister.js';
export type { Pace } from './bus/pace.js';
export { scheduleWork } from './bus/schedule-work.js';
export type { NotifierKind } from '../machines/profiles/profile.js';
