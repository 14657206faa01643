/**
 * A driver's use of the DMA API, as far as groups matter to it: include/linux/dma-mapping.h,
 * drivers/iommu/dma-iommu.c. Source: INV-06, INV-22; K02, K10, K17.
 */

import { send } from '../step.js';
import type { Thread } from '../step.js';
import { LOG } from './entity-names.js';
import type { Kernel } from './kernel.js';
import { load } from './memory.js';

/**
 * dma_map_single. A device that is in no group though its bus has an IOMMU breaks INV-06; one whose
 * group has no default domain yet, in the generations in which groups have one, INV-22.
 */
export function* dma_map(k: Kernel, dev: string): Thread<void> {
  yield* translate(k, dev, 'dma_map', 'maps');
}

/** dma_unmap_single: what was mapped is found in the same place. */
export function* dma_unmap(k: Kernel, dev: string): Thread<void> {
  yield* translate(k, dev, 'dma_unmap', 'unmaps');
}

function* translate(k: Kernel, dev: string, fn: string, does: string): Thread<void> {
  if ((yield* load(k.busOf(dev), 'iommu_ops')) === null) return;
  const group = yield* load<string | null>(dev, 'iommu_group', 'group');
  if (group === null) {
    yield* warn(
      'INV-06',
      `${fn}(${dev})`,
      `the driver ${does} DMA of ${dev}, which is in no group`,
    );
    return;
  }
  // Nothing holds the group: it may be freed by now.
  if (!k.profile.groupDomain) return;
  if ((yield* load(group, 'default_domain')) !== null) return;
  const text = `the driver ${does} DMA of ${dev}, whose group ${group} has no default domain`;
  yield* warn('INV-22', `${fn}(${dev})`, text);
}

function* warn(rule: string, call: string, text: string): Thread<void> {
  yield* send(LOG, { type: 'warn', rule, text }, `${call} untranslated`);
}
