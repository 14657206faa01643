/**
 * The kernels that were recorded: Debian's 5.10.262, 6.1.176, 6.12.107 and 7.2.13, with the probes
 * of the recordings' probe-report.txt.
 */

import { profileByName } from '../../../machines/profiles/timeline.js';
import type { RecordedKernel } from './recorded-starts.js';

const EVERYWHERE = [
  'device_add',
  'device_del',
  'really_probe',
  'driver_bound',
  'iommu_probe_device',
  'iommu_group_alloc',
  'iommu_group_release',
  '__iommu_attach_device',
  'iommu_attach_group',
  'iommu_detach_group',
  'iommu_domain_free',
  'pci_device_group',
];

const RETURNS = [
  'device_add',
  'really_probe',
  'iommu_probe_device',
  'iommu_group_add_device',
  'iommu_attach_group',
];

const OWNED = [
  'device_unbind_cleanup',
  'device_release_driver_internal',
  'iommu_device_use_default_domain',
  'iommu_device_unuse_default_domain',
  'iommu_group_claim_dma_owner',
  'iommu_group_release_dma_owner',
  '__iommu_attach_group',
];

const OWNED_RETURNS = ['iommu_device_use_default_domain', 'iommu_group_claim_dma_owner'];

/** v6.5 and later. */
const UNDER_LOCK = [
  'iommu_group_alloc_device',
  '__iommu_group_remove_device',
  'iommu_deinit_device',
  'iommu_setup_default_domain',
  'iommu_group_add_device',
  'iommu_group_remove_device',
  'iommu_create_device_direct_mappings',
  '__iommu_group_set_domain_internal',
  '__iommu_device_set_domain',
  '__iommu_take_dma_ownership',
];

function kernel(
  version: string,
  probed: readonly string[],
  returns: readonly string[],
  order: readonly string[],
  inlined: RecordedKernel['inlined'] = {},
): RecordedKernel {
  const profile = profileByName(version);
  if (profile === undefined) throw new Error(version);
  return {
    profile,
    probed: new Set([...EVERYWHERE, ...probed]),
    returns: new Set([...RETURNS, ...returns]),
    order,
    inlined,
  };
}

/**
 * Functions with a probe that is never hit: the compiler made them parts of all their callers. Of
 * other functions that are probed the model must not say an entry that is not recorded.
 */
export const NEVER_HIT: Readonly<Record<string, readonly string[]>> = {
  '5.10': ['device_release_driver_internal'],
};

/** By the name of their folder. */
export const RECORDED_KERNELS: Readonly<Record<string, RecordedKernel>> = {
  '5.10': kernel(
    'v5.10',
    [
      '__device_release_driver',
      '__iommu_probe_device',
      'iommu_release_device',
      'iommu_group_add_device',
      'iommu_group_remove_device',
      'iommu_get_domain_for_dev',
      'iommu_domain_alloc',
      '__iommu_detach_group',
      'iommu_group_register_notifier',
      'iommu_group_unregister_notifier',
    ],
    [],
    ['dmar_pci_bus_notifier', 'pci_notify', 'iommu_bus_notifier'],
  ),
  '6.1': kernel(
    'v6.1',
    [
      ...OWNED,
      '__iommu_probe_device',
      'iommu_release_device',
      'iommu_group_add_device',
      'iommu_group_remove_device',
      'iommu_get_domain_for_dev',
      'iommu_domain_alloc',
      '__iommu_group_set_domain',
    ],
    OWNED_RETURNS,
    ['dmar_pci_bus_notifier', 'iommu_bus_notifier', 'pci_notify'],
  ),
  '6.12': kernel(
    'v6.12',
    [
      ...OWNED,
      ...UNDER_LOCK,
      '__iommu_probe_device',
      'iommu_get_domain_for_dev',
      'iommu_domain_alloc',
    ],
    [...OWNED_RETURNS, 'iommu_group_alloc_device'],
    ['dmar_pci_bus_notifier', 'iommu_bus_notifier', 'pci_notify'],
    {
      __iommu_group_set_domain_internal: [
        'iommu_setup_default_domain',
        'iommu_detach_group',
        'iommu_group_release_dma_owner',
      ],
      __iommu_device_set_domain: ['iommu_detach_group'],
    },
  ),
  '7.2': kernel(
    'v7.2',
    [...OWNED, ...UNDER_LOCK, 'iommu_get_domain_for_dev', 'iommu_paging_domain_alloc_flags'],
    [...OWNED_RETURNS, 'iommu_group_alloc_device'],
    ['dmar_pci_bus_notifier', 'iommu_bus_notifier', 'pci_notify'],
  ),
};
