/**
 * Managed DMA memory of a device, and the DMA ops that it comes from and goes back to:
 * drivers/base/devres.c, kernel/dma/mapping.c, arch/arm/mm/dma-mapping.c. Source: B.2
 * __device_release_driver, K40, INV-33.
 */

import { send } from '../step.js';
import type { Thread } from '../step.js';
import { LOG } from './entity-names.js';
import type { Kernel } from './kernel.js';
import { listAddTail, listPop, load, store } from './memory.js';

/** What dma_map_ops() is of a device without ops of its own: kernel/dma/direct.c. */
const DIRECT = 'dma_direct';

/** arch_setup_dma_ops: a driver binds to a device behind an IOMMU. */
export function* arch_setup_dma_ops(k: Kernel, dev: string): Thread<void> {
  const ops = k.devices[dev]?.dmaOps;
  if (ops !== undefined) yield* store(dev, 'dma_ops', ops);
}

/** arch_teardown_dma_ops */
export function* arch_teardown_dma_ops(k: Kernel, dev: string): Thread<void> {
  if (k.devices[dev]?.dmaOps !== undefined) yield* store(dev, 'dma_ops', null);
}

/** dmam_alloc_coherent: memory that nobody has to free, for drivers to call in their probe(). */
export function* dmam_alloc_coherent(_k: Kernel, dev: string): Thread<void> {
  const ops = (yield* load<string | null>(dev, 'dma_ops', 'ops')) ?? DIRECT;
  // What dmam_release is to free, by the ops that it was allocated with.
  yield* listAddTail(dev, 'devres', ops);
}

/** devres_release_all. Memory that goes to other ops than those that it came from is INV-33. */
export function* devres_release_all(k: Kernel, dev: string): Thread<void> {
  if (k.devices[dev]?.dmaOps === undefined) return;
  for (;;) {
    const from = yield* listPop(dev, 'devres', `devres_release(${dev})`);
    if (from === null) return;
    const to = (yield* load<string | null>(dev, 'dma_ops', 'ops')) ?? DIRECT;
    if (to === from) continue;
    const text = `DMA memory of ${dev} came from ${from} and is freed with ${to}`;
    yield* send(LOG, { type: 'warn', rule: 'INV-33', text }, `dma_free_attrs(${dev}) by ${to}`);
  }
}
