/**
 * IOMMU groups: drivers/iommu/iommu.c, from v3.6 on. Source: A1.2, A1.3, C.3.
 */

import { EEXIST, ENOMEM } from '../errno.js';
import { GROUP_ACTIONS } from '../../events/actions.js';
import type { GroupAction } from '../../events/actions.js';
import type { EventFact } from '../../events/event.js';
import { send, lock, trace, unlock } from '../step.js';
import type { Thread } from '../step.js';
import { IDA, IOMMU_CORE, KSET, NULL, SECOND_MUTEX } from './entity-names.js';
import { eachDevice, memberOf } from './group-members.js';
import { __iommu_attach_device, iommu_domain_free } from './iommu-domain.js';
import type { Kernel } from './kernel.js';
import {
  access,
  add,
  compareAndSwap,
  get,
  kfree,
  kzalloc,
  link,
  listAddTail,
  listDel,
  load,
  loadList,
  nextName,
  put,
  store,
  unlink,
} from './memory.js';

/**
 * In which order a device joins the list and its listeners are told, and under which lock: as
 * posted; ALT-A1-a; ALT-A1-b with group->mutex (b1) and with a mutex of its own (b2).
 */
export type GroupVariant =
  'as posted' | 'notify first' | 'under group->mutex' | 'under a second mutex';

/** What is in a new group. */
export const NEW_GROUP = {
  devices: [],
  links: [],
  default_domain: null,
  domain: null,
  blocking_domain: null,
  owner: null,
  owner_cnt: 0,
  name: null,
  attributes: [],
  iommu_data: null,
  iommu_data_release: null,
} as const;

/**
 * iommu_group_alloc, AL1–AL10.
 *
 * @returns the group, of which the caller has a reference; null: an ERR_PTR
 */
export function* iommu_group_alloc(k: Kernel): Thread<string | null> {
  yield* trace({ type: 'function_call', fn: 'iommu_group_alloc' });
  if (yield* k.fails('kzalloc(group)')) return null;
  const group = yield* nextName(IOMMU_CORE, 'spare groups');
  if (yield* k.fails('ida_alloc()')) return null;
  const id = yield* ida_alloc();
  yield* kzalloc(group, { refs: 1, fields: { ...NEW_GROUP, id } });
  if (yield* k.fails('kobject_init_and_add(group)')) {
    yield* undoKobject(k, group, id);
    return null;
  }
  if (yield* k.fails('kobject_create_and_add(devices)')) {
    yield* iommu_group_put(k, group);
    return null;
  }
  for (const attribute of k.profile.groupAttributes ? ['reserved_regions', 'type'] : []) {
    if (yield* k.fails(`sysfs_create_file(${attribute})`)) {
      // Until v6.3 nobody puts the reference that the caller does not get (K22).
      if (k.profile.allocUnwinds) yield* iommu_group_put(k, group);
      return null;
    }
  }
  return group;
}

/** AL7: the kobject has its name already when it cannot be added; only its last put frees that. */
function* undoKobject(k: Kernel, group: string, id: number): Thread<void> {
  const how = k.profile.failedKobjectAdd;
  yield* listAddTail(IOMMU_CORE, 'kobject names', group);
  if (how !== 'put') yield* ida_free(id);
  if (how === 'frees') {
    yield* kfree(group);
    return;
  }
  yield* iommu_group_put(k, group);
  yield* listDel(IOMMU_CORE, 'kobject names', group);
}

/** iommu_group_release: who put the last reference runs it. */
function* iommu_group_release(k: Kernel, group: string): Thread<void> {
  yield* trace({ type: 'function_call', fn: 'iommu_group_release', group: groupId(group) });
  if (k.setup.releaseData !== undefined) {
    const release = yield* load<string | null>(group, 'iommu_data_release');
    const data = yield* load<string | null>(group, 'iommu_data');
    if (release !== null) yield* k.setup.releaseData(release, data);
  }
  yield* ida_free(yield* load<number>(group, 'id'));
  if (k.profile.groupDomain && !k.profile.addBeforeAttach) {
    const domain = yield* load<string | null>(group, 'default_domain');
    if (domain !== null) yield* iommu_domain_free(k, domain);
  }
  yield* kfree(group);
}

/** iommu_group_put: the last one frees the group, or who has found it by its id does. */
export function* iommu_group_put(k: Kernel, group: string): Thread<void> {
  if (!(yield* put(group))) return;
  if (k.setup.foundById === true) yield* putKobject(k, group);
  else yield* iommu_group_release(k, group);
}

/** kobject_put(&group->kobj), which devices_kobj holds. */
function* putKobject(k: Kernel, group: string): Thread<void> {
  if ((yield* add(KSET, group, -1)) === 1) yield* iommu_group_release(k, group);
}

/**
 * iommu_group_get_by_id: finds group->kobj in its kset, with a reference if it is not zero, and then
 * gets devices_kobj without asking whether that is (D-A1-12). A scenario that has it says so with
 * `foundById`.
 *
 * @returns the group, of which the caller has a reference; null: there is none
 */
export function* iommu_group_get_by_id(k: Kernel, group: string): Thread<string | null> {
  if (!(yield* kset_find_obj(group))) return null;
  yield* get(group);
  yield* putKobject(k, group);
  return group;
}

/** kset_find_obj: looks and takes a reference under the lock of the kset; one finder at a time. */
function* kset_find_obj(group: string): Thread<boolean> {
  const reply = yield* access(
    KSET,
    { type: 'compare_and_swap', field: group, expected: 1, value: 2 },
    `kset_find_obj(${groupId(group)})`,
  );
  return reply?.type === 'value' && reply.value === true;
}

/**
 * iommu_group_get, GT1 and GT2: a load and a get with nothing that holds the group in between
 * (D-A1-7).
 *
 * @returns the group that the device is in, null for none
 */
export function* iommu_group_get(_k: Kernel, dev: string): Thread<string | null> {
  const group = yield* load<string | null>(dev, 'iommu_group', 'group');
  if (group !== null) yield* get(group);
  return group;
}

/**
 * iommu_group_set_name, SN1–SN4: no lock (D-A1-4).
 *
 * @param name the new name's memory, null for none
 * @returns 0; -ENOMEM, also of no name for a group without one; -EEXIST: the file is there
 */
export function* iommu_group_set_name(
  k: Kernel,
  group: string,
  name: string | null,
): Thread<number> {
  if ((yield* load(group, 'name')) !== null) {
    yield* listDel(group, 'attributes', 'name');
    yield* freeName(group);
    if (name === null) return 0;
  }
  if (name === null || !(yield* kzalloc(name, {}, k.budget))) return -ENOMEM;
  yield* store(group, 'name', name);
  const failed = yield* k.fails('sysfs_create_file(name)');
  if (!failed && (yield* link(group, 'attributes', 'name'))) return 0;
  yield* freeName(group);
  return failed ? -ENOMEM : -EEXIST;
}

/** What group->name points to by now, which need not be what the caller stored. */
function* freeName(group: string): Thread<void> {
  const name = yield* load<string | null>(group, 'name');
  if (name !== null) yield* kfree(name);
  yield* store(group, 'name', null);
}

/** iommu_group_set_iommudata: two stores that a release may come between (D-A1-3). */
export function* iommu_group_set_iommudata(
  _k: Kernel,
  group: string,
  data: string,
  release: string,
): Thread<void> {
  yield* store(group, 'iommu_data', data);
  yield* store(group, 'iommu_data_release', release);
}

/** iommu_group_get_iommudata */
export function* iommu_group_get_iommudata(_k: Kernel, group: string): Thread<string | null> {
  return yield* load<string | null>(group, 'iommu_data');
}

/**
 * iommu_group_for_each_dev: under group->mutex, in the order of the list.
 *
 * @returns the first that `fn` returns and that is not 0
 */
export function* iommu_group_for_each_dev(
  k: Kernel,
  group: string,
  fn: (dev: string) => Thread<number>,
): Thread<number> {
  yield* k.lockGroup(group);
  const ret = yield* eachDevice(group, fn);
  yield* k.unlockGroup(group);
  return ret;
}

/**
 * iommu_group_add_device, AD1–AD10.
 *
 * @returns 0; -EEXIST: the device has a link to a group; another negative errno
 */
export function* iommu_group_add_device(k: Kernel, group: string, dev: string): Thread<number> {
  yield* trace({ type: 'function_call', fn: 'iommu_group_add_device', dev, bus: k.busOf(dev) });
  const ret = yield* addDevice(k, group, dev);
  yield* trace({ type: 'function_return', fn: 'iommu_group_add_device', ret });
  return ret;
}

function* addDevice(k: Kernel, group: string, dev: string): Thread<number> {
  const gdev = yield* iommu_group_alloc_device(k, group, dev);
  if (typeof gdev === 'number') return gdev;
  const { profile } = k;
  yield* get(group);
  yield* store(dev, 'iommu_group', group);
  if (k.setup.countsMemberships === true) yield* memberships(k, dev, 1);
  const order = k.setup.order ?? 'as posted';
  if (order === 'notify first') {
    yield* notifyGroup(k, group, 'ADD_DEVICE', dev);
    yield* joinList(k, group, gdev);
    return 0;
  }
  if (order === 'under a second mutex') yield* lock(SECOND_MUTEX);
  yield* k.lockGroup(group);
  yield* listAddTail(group, 'devices', gdev);
  const attached = yield* attachOnAdd(k, group, dev);
  if (order !== 'under group->mutex') yield* k.unlockGroup(group);
  if (attached !== 0 && profile.failedAttach !== 'ignored') {
    yield* undoAdd(k, group, dev, gdev);
    return attached;
  }
  yield* notifyGroup(k, group, 'ADD_DEVICE', dev);
  if (order === 'under group->mutex') yield* k.unlockGroup(group);
  if (order === 'under a second mutex') yield* unlock(SECOND_MUTEX);
  if (profile.probeDevice && !profile.addBeforeAttach) yield* traceAdded(k, group, dev);
  return 0;
}

/**
 * AD1–AD7 but for reference and dev->iommu_group: the links, before the device is on the list. A
 * function of its own since v6.5, which the tracepoint is in then.
 *
 * @returns the struct group_device, or a negative errno
 */
export function* iommu_group_alloc_device(
  k: Kernel,
  group: string,
  dev: string,
): Thread<string | number> {
  if (!k.profile.addBeforeAttach) return yield* linkDevice(k, group, dev);
  const fn = 'iommu_group_alloc_device';
  yield* trace({ type: 'function_call', fn, dev, bus: k.busOf(dev) });
  const gdev = yield* linkDevice(k, group, dev);
  if (typeof gdev !== 'number') yield* traceAdded(k, group, dev);
  yield* trace({ type: 'function_return', fn });
  return gdev;
}

function* linkDevice(k: Kernel, group: string, dev: string): Thread<string | number> {
  if (yield* k.fails('kzalloc(gdev)')) return -ENOMEM;
  if (yield* k.fails(`sysfs_create_link(${dev}/iommu_group)`)) return -ENOMEM;
  const linked = `sysfs_create_link(${dev}/iommu_group)`;
  if (!(yield* compareAndSwap(dev, 'link', null, group, linked))) return -EEXIST;
  let name = dev;
  for (let i = 0; ; i++) {
    if (yield* k.fails(`kasprintf(${name})`)) return yield* unlinkDevice(dev);
    if (yield* k.fails('sysfs_create_link_nowarn()')) return yield* unlinkDevice(dev);
    if (yield* link(group, 'links', name)) break;
    name = `${dev}.${i}`;
  }
  return name === dev ? dev : `${dev} as ${name}`;
}

function* unlinkDevice(dev: string): Thread<number> {
  yield* store(dev, 'link', null);
  return -ENOMEM;
}

function* joinList(k: Kernel, group: string, gdev: string): Thread<void> {
  yield* k.lockGroup(group);
  yield* listAddTail(group, 'devices', gdev);
  yield* k.unlockGroup(group);
}

/** Since v4.2 a group has a domain, and who joins is attached to it. */
function* attachOnAdd(k: Kernel, group: string, dev: string): Thread<number> {
  if (!k.profile.groupDomain || k.devices[dev]?.deferred === true) return 0;
  const domain = yield* load<string | null>(group, 'domain');
  return domain === null ? 0 : yield* __iommu_attach_device(k, domain, dev);
}

/** The way back of a failed attach; the first that there was left the link in the group (K21). */
function* undoAdd(k: Kernel, group: string, dev: string, gdev: string): Thread<void> {
  yield* k.lockGroup(group);
  yield* listDel(group, 'devices', gdev);
  yield* k.unlockGroup(group);
  yield* store(dev, 'iommu_group', null);
  yield* iommu_group_put(k, group);
  if (k.profile.failedAttach === 'unwound') yield* unlink(group, 'links', memberOf(gdev).name);
  yield* store(dev, 'link', null);
}

/** Tracepoint iommu:add_device_to_group. */
export function* traceAdded(k: Kernel, group: string, dev: string): Thread<void> {
  const fact: EventFact = { type: 'add_device_to_group', group: groupId(group), dev };
  yield* send(k.membershipOf(dev), { type: 'add' }, `trace add_device_to_group(${dev})`, [fact]);
}

/** Tracepoint iommu:remove_device_from_group. */
export function* traceRemoved(k: Kernel, group: string, dev: string): Thread<void> {
  const fact: EventFact = { type: 'remove_device_from_group', group: groupId(group), dev };
  const label = `trace remove_device_from_group(${dev})`;
  yield* send(k.membershipOf(dev), { type: 'remove.same' }, label, [fact]);
}

/** Of `g12` 12. */
export function groupId(group: string): number {
  return Number(/\d+$/.exec(group)?.[0] ?? 0);
}

/** iommu_group_remove_device, RM1–RM8. */
export function* iommu_group_remove_device(k: Kernel, dev: string): Thread<void> {
  const fn = 'iommu_group_remove_device';
  yield* trace({ type: 'function_call', fn, dev, bus: k.busOf(dev) });
  yield* removeDevice(k, dev);
  yield* trace({ type: 'function_return', fn });
}

function* removeDevice(k: Kernel, dev: string): Thread<void> {
  const group = yield* load<string | null>(dev, 'iommu_group', 'group');
  if (group === null) {
    // Without the check the notifier chain of NULL is called (D-A1-5).
    if (!k.profile.nullGroupChecked) {
      yield* access(NULL, { type: 'read', field: 'notifier' }, 'group->notifier of NULL');
    }
    return;
  }
  const order = k.setup.order ?? 'as posted';
  const outer =
    order === 'under group->mutex'
      ? k.mutexOf(group)
      : order === 'under a second mutex'
        ? SECOND_MUTEX
        : undefined;
  if (outer === undefined) yield* notifyGroup(k, group, 'DEL_DEVICE', dev);
  else yield* lock(outer);
  if (outer !== k.mutexOf(group)) yield* k.lockGroup(group);
  const gdev = yield* takeOffList(group, dev);
  if (outer !== k.mutexOf(group)) yield* k.unlockGroup(group);
  if (outer !== undefined) {
    if (gdev !== undefined) yield* notifyGroup(k, group, 'DEL_DEVICE', dev);
    yield* unlock(outer);
  }
  if (gdev === undefined) return;
  yield* unlink(group, 'links', memberOf(gdev).name);
  yield* store(dev, 'link', null);
  if (k.profile.probeDevice) yield* traceRemoved(k, group, dev);
  yield* store(dev, 'iommu_group', null);
  yield* iommu_group_put(k, group);
}

/** RM4: the entry that was taken off; undefined where the device is not on the list. */
export function* takeOffList(group: string, dev: string): Thread<string | undefined> {
  const entries = yield* loadList(group, 'devices');
  const gdev = entries.find((entry) => memberOf(entry).dev === dev);
  if (gdev !== undefined) yield* listDel(group, 'devices', gdev);
  return gdev;
}

/** How many memberships a device has had; the model counts them, not the kernel. */
function* memberships(k: Kernel, dev: string, by: number): Thread<number> {
  const event = { type: 'add', field: k.membershipsOf(dev), value: by };
  const label = `count ${k.membershipsOf(dev)}`;
  const reply = yield { type: 'send', entity: k.busOf(dev), event, label, hidden: true };
  return Number((reply as { readonly value: unknown }).value);
}

/** blocking_notifier_call_chain(&group->notifier, …), in the generations in which there is one. */
export function* notifyGroup(
  k: Kernel,
  group: string,
  action: GroupAction,
  dev: string,
): Thread<void> {
  if (!k.profile.groupNotifier) return;
  const about = { dev, bus: k.busOf(dev), action: GROUP_ACTIONS.indexOf(action) + 1 };
  yield* trace({ type: 'chain_call', chain: `${group}->notifier`, ...about });
  const payload =
    k.setup.countsMemberships === true
      ? { dev, membership: yield* memberships(k, dev, 0) }
      : { dev };
  const ret = yield* k.callChain(`${group}->notifier`, action, payload);
  yield* trace({ type: 'chain_return', ret });
}

/**
 * ops->device_group, as pci_device_group does it: the group of a device with the same requester id,
 * else a new one. Nothing is held between looking and making (K12).
 *
 * @returns the group, of which the caller has a reference; null: an ERR_PTR
 */
export function* device_group(k: Kernel, dev: string): Thread<string | null> {
  yield* k.entered('pci_device_group', dev);
  if (k.setup.deviceGroup !== undefined) return yield* k.setup.deviceGroup(k, dev);
  for (const peer of k.aliasesOf(dev)) {
    const group = yield* iommu_group_get(k, peer);
    if (group !== null) return group;
  }
  return yield* iommu_group_alloc(k);
}

function* ida_alloc(): Thread<number> {
  const reply = yield* send(IDA, { type: 'alloc' }, 'ida_alloc(iommu_group_ida)');
  return (reply as { readonly value: number } & { readonly type: string }).value;
}

function* ida_free(id: number): Thread<void> {
  yield* send(IDA, { type: 'free', id }, `ida_free(iommu_group_ida, ${id})`);
}
