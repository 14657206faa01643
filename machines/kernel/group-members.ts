/** Who is on group->devices. Source: A1.1 gdev. */

import { loadList } from './memory.js';
import type { Thread } from '../step.js';

/**
 * A struct group_device as an entry of group->devices, `d0` or `d0 as d0.0`: of which device it is,
 * and what its link in the group is called.
 */
export function memberOf(entry: string): { readonly dev: string; readonly name: string } {
  const [dev, name = dev] = entry.split(' as ');
  return { dev, name };
}

/** The devices of a group in their order, for who holds group->mutex. */
export function* devicesOf(group: string): Thread<readonly string[]> {
  const entries = yield* loadList(group, 'devices');
  return entries.map((entry) => memberOf(entry).dev);
}

/**
 * __iommu_group_for_each_dev, for who holds group->mutex.
 *
 * @returns the first that `fn` returns and that is not 0
 */
export function* eachDevice(group: string, fn: (dev: string) => Thread<number>): Thread<number> {
  for (const dev of yield* devicesOf(group)) {
    const ret = yield* fn(dev);
    if (ret !== 0) return ret;
  }
  return 0;
}
