/**
 * The second race of the 2012 review: an IOMMU comes to a bus while a device does. "Racy vs.
 * concurrent hotplug and thus might end up adding a device twice." Source: P-A1-3, P-A1-4.
 */

import { device_add } from '../kernel/driver-core.js';
import { hotplug } from '../kernel/hotplug.js';
import { bus_set_iommu } from '../kernel/iommu-bus.js';
import type { ScenarioFor } from '../scenario.js';

/** @param checks ops->add_device is called only for a device without a group (P-A1-4) */
export function addTwice(checks: boolean): ScenarioFor {
  return hotplug({
    name: checks ? 'add-twice-checked' : 'add-twice',
    story:
      'bus_set_iommu registers its notifier and scans the bus while a device is added (P-A1-3).',
    buses: { pci: { iommu: 'later' } },
    devices: { d0: { returns: false } },
    checksGroupFirst: checks,
    run: {
      'bus_set_iommu(pci)': (k) => bus_set_iommu(k, 'pci'),
      'device_add(d0)': (k) => device_add(k, 'd0'),
    },
  });
}
