/**
 * Who listens registers and unregisters while others run: drivers/base/bus.c
 * bus_register_notifier, drivers/iommu/iommu.c iommu_group_register_notifier. Source: A1.3, B.1.4.
 */

import type { Thread } from '../step.js';
import { UnsupportedByKernelError } from '../unsupported-by-kernel.js';
import type { Kernel } from './kernel.js';
import { notifier_chain_register, notifier_chain_unregister } from './notifier-chain.js';

/** bus_register_notifier. Returns 0, or what the generation says of a block that is registered. */
export function* bus_register_notifier(k: Kernel, bus: string, block: string): Thread<number> {
  return yield* notifier_chain_register(k.changedChain(`${bus}->bus_notifier`, block), block);
}

/** bus_unregister_notifier. Returns 0 or -ENOENT; no callback of the block runs any more then. */
export function* bus_unregister_notifier(k: Kernel, bus: string, block: string): Thread<number> {
  return yield* notifier_chain_unregister(k.changedChain(`${bus}->bus_notifier`, block), block);
}

/** iommu_group_register_notifier, until v5.18. */
export function* iommu_group_register_notifier(
  k: Kernel,
  group: string,
  block: string,
): Thread<number> {
  requireGroupNotifier(k, 'iommu_group_register_notifier');
  return yield* notifier_chain_register(k.changedChain(`${group}->notifier`, block), block);
}

/** iommu_group_unregister_notifier, until v5.18. */
export function* iommu_group_unregister_notifier(
  k: Kernel,
  group: string,
  block: string,
): Thread<number> {
  requireGroupNotifier(k, 'iommu_group_unregister_notifier');
  return yield* notifier_chain_unregister(k.changedChain(`${group}->notifier`, block), block);
}

function requireGroupNotifier(k: Kernel, symbol: string): void {
  if (!k.profile.groupNotifier) throw new UnsupportedByKernelError(symbol, k.profile.name);
}
