/** Names of the entities that a kernel has once: its statics. */

/** drivers/base/dd.c: the deferred list. */
export const DRIVERS_BASE = 'drivers/base';
/** drivers/iommu/iommu.c: what may still be allocated. */
export const IOMMU_CORE = 'iommu core';
/** iommu_group_kset: the references to each group->kobj that others find by its id. */
export const KSET = 'iommu_group_kset';
/** iommu_group_ida */
export const IDA = 'iommu_group_ida';
/** The mutex of ALT-A1-b2. */
export const SECOND_MUTEX = 'second mutex';
/** iommu_probe_device_lock, v6.2 and later. */
export const PROBE_LOCK = 'iommu_probe_device_lock';
/** What a NULL pointer points to. */
export const NULL = 'NULL';
/** The kernel's log, as far as a WARN in it breaks a rule. */
export const LOG = 'dmesg';
/** How many faults are left. */
export const BUDGET = 'faults';
/** iommu_bus_nb: the IOMMU core's block on a bus. */
export const IOMMU_BLOCK = 'iommu_bus_nb';
