/**
 * The IOMMU core on a bus: its notifier block, and how it comes to the bus. drivers/iommu/iommu.c.
 * Source: A1.3 BN1–BN7, bus_set_iommu; INV-41, INV-42.
 */

import { EBUSY, ENODEV } from '../errno.js';
import { busActionValue, GROUP_ACTIONS } from '../../events/actions.js';
import type { BusAction, GroupAction } from '../../events/actions.js';
import { trace } from '../step.js';
import type { Thread } from '../step.js';
import { UnsupportedByKernelError } from '../unsupported-by-kernel.js';
import { IOMMU_BLOCK } from './entity-names.js';
import { iommu_group_get, iommu_group_put, notifyGroup } from './iommu-group.js';
import {
  add_device,
  remove_device,
  iommu_probe_device,
  iommu_release_device,
} from './iommu-probe.js';
import type { Kernel } from './kernel.js';
import { load, store } from './memory.js';
import { notifier_chain_register, notifier_chain_unregister } from './notifier-chain.js';
import type { Chain, NotifierCall } from './notifier-chain.js';

const NOTIFY_DONE = 0;
const NOTIFY_OK = 1;

/** iommu_bus_notifier, BN1–BN7. Its callback for a chain of bus notifications. */
export function iommu_bus_notifier(k: Kernel): NotifierCall {
  return function* ({ action, payload }) {
    const dev = String(payload.dev);
    const value = busActionValue(k.profile.numbering, action as BusAction);
    const fn = 'iommu_bus_notifier';
    const about = { dev, bus: k.busOf(dev), ...(value === undefined ? {} : { action: value }) };
    yield* trace({ type: 'callback_call', fn, ...about });
    const ret = yield* notified(k, action, dev);
    yield* trace({ type: 'callback_return', fn, ret });
    return ret;
  };
}

function* notified(k: Kernel, action: string, dev: string): Thread<number> {
  const { profile } = k;
  if (action === 'ADD_DEVICE') {
    const ret = yield* take(k, dev);
    // The errno itself is the return value of a callback, and stops the chain (D-A1-8).
    if (profile.addErrnoStops) return ret;
    return ret === 0 ? NOTIFY_OK : NOTIFY_DONE;
  }
  if (action === profile.groupLeftAt) {
    if (profile.probeDevice) {
      yield* iommu_release_device(k, dev);
      return NOTIFY_OK;
    }
    if ((yield* load(dev, 'iommu_group')) !== null) {
      yield* remove_device(k, dev);
      return NOTIFY_DONE;
    }
  }
  if (profile.groupNotifier && isRepublished(action)) yield* republish(k, action, dev);
  return NOTIFY_DONE;
}

/** BN4–BN7. What the group's listeners return is dropped: they cannot veto (INV-42). */
function* republish(k: Kernel, action: GroupAction, dev: string): Thread<void> {
  const group = yield* iommu_group_get(k, dev);
  if (group === null) return;
  yield* notifyGroup(k, group, action, dev);
  yield* iommu_group_put(k, group);
}

function isRepublished(action: string): action is GroupAction {
  return GROUP_ACTIONS.indexOf(action as GroupAction) >= GROUP_ACTIONS.indexOf('BIND_DRIVER');
}

/** Takes a device in, as the generation does it. Returns 0 or a negative errno. */
function* take(k: Kernel, dev: string): Thread<number> {
  // The check that a reviewer asked about: an unlocked load (P-A1-4).
  if (k.setup.checksGroupFirst === true && (yield* load(dev, 'iommu_group')) !== null) return 0;
  return k.profile.probeDevice ? yield* iommu_probe_device(k, dev) : yield* add_device(k, dev);
}

/**
 * bus_set_iommu: until v6.0. Register first, then scan: a device that comes meanwhile is met by both
 * (P-A1-3).
 *
 * @param chain the bus's chain, which is changed while the threads run
 * @returns 0; -EBUSY: the bus has an IOMMU already; what the scan came to
 */
export function* bus_set_iommu(
  k: Kernel,
  bus: string,
  chain: Chain = k.changedChain(`${bus}->bus_notifier`, IOMMU_BLOCK),
): Thread<number> {
  if (k.profile.busSetAtRegister) {
    throw new UnsupportedByKernelError('bus_set_iommu', k.profile.name);
  }
  if ((yield* load(bus, 'iommu_ops')) !== null) return -EBUSY;
  yield* store(bus, 'iommu_ops', 'ops');
  const block = k.profile.blockPerBus ? blockOf(bus) : IOMMU_BLOCK;
  yield* notifier_chain_register(chain, block);
  let ret = 0;
  let dev = yield* k.nextOn(bus, null);
  while (dev !== null && ret === 0) {
    ret = yield* add_iommu_group(k, dev);
    dev = yield* k.nextOn(bus, dev);
  }
  if (ret === 0 || k.profile.addErrnoStops) return 0;
  yield* notifier_chain_unregister(chain, block);
  yield* store(bus, 'iommu_ops', null);
  return ret;
}

/** The block that the IOMMU core makes for a bus of its own (v3.18). */
export function blockOf(bus: string): string {
  return `${IOMMU_BLOCK} of ${bus}`;
}

/** add_iommu_group, probe_iommu_group: of each device that the scan meets. */
function* add_iommu_group(k: Kernel, dev: string): Thread<number> {
  const { profile } = k;
  // v3.6 warns of a device that has a group, and goes on with it.
  if (profile.probeDevice && (yield* load(dev, 'iommu_group')) !== null) return 0;
  const ret = yield* take(k, dev);
  return profile.addErrnoStops || ret === -ENODEV ? 0 : ret;
}
