/**
 * What a trace event's name and fields mean: data, not code.
 *
 * People name their own kprobes. A table entry says which event of the catalogue an event name
 * stands for and which of its fields holds what; a user's file (`--probes FILE`) adds entries.
 */

import type { ColumnField } from './batch.js';
import type { ProbeType } from './event.js';

export interface Probe {
  readonly type: ProbeType;
  /** The kernel function, for types that have one. */
  readonly fn?: string;
  /** Trace field → field of the catalogue's event. */
  readonly fields: Readonly<Record<string, ColumnField>>;
}

export type ProbeTable = ReadonlyMap<string, Probe>;

/** Field names of the usual device probes: `grp` counts only where `gptr` is not NULL. */
const DEVICE = {
  dev: 'dev',
  device: 'dev',
  pdev: 'dev',
  bus: 'bus',
  drv: 'drv',
  driver: 'drv',
  grp: 'devGroup',
  gptr: 'groupPtr',
  data: 'object',
} as const satisfies Record<string, ColumnField>;

const RETURN = { ret: 'ret', retval: 'ret', $retval: 'ret', arg1: 'ret' } as const;

/** Functions whose entry (and return, with `_ret`) the model understands. drivers/base, drivers/iommu, drivers/pci. */
const FUNCTIONS = [
  'device_add',
  'device_del',
  'really_probe',
  'driver_bound',
  'device_unbind_cleanup',
  'device_bind_driver',
  '__device_release_driver',
  'device_release_driver_internal',
  'device_driver_attach',
  'device_driver_detach',
  'driver_attach',
  'iommu_probe_device',
  '__iommu_probe_device',
  'iommu_release_device',
  'iommu_deinit_device',
  'iommu_group_alloc',
  'iommu_group_release',
  'iommu_group_add_device',
  'iommu_group_alloc_device',
  'iommu_group_remove_device',
  '__iommu_group_remove_device',
  'iommu_group_register_notifier',
  'iommu_group_unregister_notifier',
  'iommu_attach_device',
  'iommu_detach_device',
  '__iommu_attach_device',
  'iommu_attach_group',
  '__iommu_attach_group',
  'iommu_detach_group',
  '__iommu_detach_group',
  '__iommu_group_set_domain',
  '__iommu_group_set_domain_internal',
  '__iommu_device_set_domain',
  'iommu_group_replace_domain',
  'iommu_setup_default_domain',
  'iommu_create_device_direct_mappings',
  'iommu_get_domain_for_dev',
  'iommu_group_store_type',
  'iommu_domain_alloc',
  'iommu_paging_domain_alloc_flags',
  'iommu_domain_free',
  'iommu_group_claim_dma_owner',
  'iommu_group_release_dma_owner',
  '__iommu_take_dma_ownership',
  'iommu_device_claim_dma_owner',
  'iommu_device_release_dma_owner',
  'iommu_device_use_default_domain',
  'iommu_device_unuse_default_domain',
  'pci_device_group',
  'pci_device_add',
  'pci_bus_add_device',
  'pci_bus_add_devices',
  'pci_rescan_bus',
  'pci_stop_and_remove_bus_device',
  'pci_stop_and_remove_bus_device_locked',
  'pci_remove_bus_device',
  'pci_enable_sriov',
  'pci_disable_sriov',
  'sriov_enable',
  'sriov_disable',
  'pci_iov_add_virtfn',
  'pci_iov_remove_virtfn',
  'pci_dev_reset_iommu_prepare',
  'pci_dev_reset_iommu_done',
  'pcie_flr',
  'remove_store',
  'dev_rescan_store',
  'pciehp_configure_device',
  'pciehp_unconfigure_device',
  'pciehp_handle_button_press',
  'pciehp_handle_presence_or_link_change',
  'pciehp_disable_slot',
  'acpiphp_hotplug_notify',
  'acpiphp_enable_slot',
  'acpiphp_disable_slot',
  'vfio_pci_probe',
  'vfio_pci_remove',
  'vfio_iommu_type1_attach_group',
  'vfio_iommu_type1_detach_group',
  'iommu_domain_get_attr',
  'iommu_get_msi_cookie',
  'iommu_put_msi_cookie',
  'iommu_msi_set_aperture',
  'iommu_msi_get_doorbell_iova',
  'iommu_msi_put_doorbell_iova',
  'iommu_msi_domain',
  'iommu_msi_msg_pa_to_va',
  'iommu_dma_prepare_msi',
  'iommu_dma_compose_msi_msg',
  'iommu_invalidate',
  'iommu_cache_invalidate',
  'iommu_uapi_cache_invalidate',
  'intel_iommu_sva_invalidate',
] as const;

/** Notifier callbacks that are commonly probed. */
const CALLBACKS = [
  'iommu_bus_notifier',
  'dmar_pci_bus_notifier',
  'pci_notify',
  'vfio_iommu_group_notifier',
  'intel_iommu_bus_notifier',
  'amd_iommu_device_notifier',
  'xen_pci_notifier',
  'acpi_pci_bus_notify',
] as const;

function builtIn(): Map<string, Probe> {
  const table = new Map<string, Probe>();
  const functionFields = {
    ...DEVICE,
    group: 'group',
    domain: 'domain',
    dtype: 'domainType',
    owner: 'domain',
    kobj: 'dev',
  } as const;
  for (const fn of FUNCTIONS) {
    table.set(fn, { type: 'function_call', fn, fields: functionFields });
    table.set(`${fn}_ret`, { type: 'function_return', fn, fields: RETURN });
  }
  for (const fn of CALLBACKS) {
    table.set(fn, {
      type: 'callback_call',
      fn,
      fields: { ...DEVICE, prio: 'priority', action: 'action', val: 'action', value: 'action' },
    });
    table.set(`${fn}_ret`, { type: 'callback_return', fn, fields: RETURN });
  }
  table.set('bus_notify', {
    type: 'bus_notify',
    fn: 'bus_notify',
    fields: { ...DEVICE, value: 'action', action: 'action', val: 'action' },
  });
  for (const kind of ['blocking', 'srcu', 'atomic', 'raw']) {
    const fn = `${kind}_notifier_call_chain`;
    table.set(fn, {
      type: 'chain_call',
      fn,
      fields: { ...DEVICE, nh: 'chain', val: 'action', action: 'action', v: 'object' },
    });
    table.set(`${fn}_ret`, { type: 'chain_return', fn, fields: RETURN });
    for (const way of ['register', 'unregister'] as const) {
      table.set(`${kind}_notifier_chain_${way}`, {
        type: `chain_${way}`,
        fn: `${kind}_notifier_chain_${way}`,
        fields: { nh: 'chain', cb: 'fn', prio: 'priority' },
      });
    }
  }
  table.set('notifier_run', { type: 'notifier_run', fields: {} });
  table.set('notifier_register', { type: 'chain_register', fields: {} });
  table.set('notifier_unregister', { type: 'chain_unregister', fields: {} });
  const membership = { groupID: 'group', gid: 'group', device: 'dev' } as const;
  for (const type of ['add_device_to_group', 'remove_device_from_group'] as const) {
    table.set(type, { type, fields: membership });
  }
  for (const type of ['attach_device_to_domain', 'detach_device_from_domain'] as const) {
    table.set(type, { type, fields: { device: 'dev' } });
  }
  table.set('map', {
    type: 'map',
    fields: { iova: 'iova', paddr: 'paddr', size: 'size', dev: 'dev' },
  });
  table.set('unmap', {
    type: 'unmap',
    fields: { iova: 'iova', size: 'size', unmapped_size: 'unmapped', dev: 'dev' },
  });
  table.set('io_page_fault', {
    type: 'io_page_fault',
    fields: { iova: 'iova', flags: 'flags', device: 'dev', driver: 'drv' },
  });
  table.set('pci_hp_event', { type: 'pci_hp_event', fields: {} });
  table.set('pciehp_event', { type: 'pci_hp_event', fields: {} });
  table.set('tracing_mark_write', { type: 'mark', fields: {} });
  table.set('print', { type: 'mark', fields: {} });
  return table;
}

/** The table that hotrace ships. Source: the recordings' probe-report.txt, `formats.md` 2.5. */
export const BUILT_IN_PROBES: ProbeTable = builtIn();
