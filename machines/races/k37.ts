/**
 * Three bugs in the lifetime of objects of iommufd: a reference that is held outside the lock that
 * is to tell who holds one, a file that is released after its object, and a fault group with two
 * owners. Source: D K37.
 */

import { faultBudgetMachine } from '../fault-budget.js';
import { kfree_nodes, list_add_tail, list_del, list_del_init, list_first } from '../kernel/list.js';
import { access, add, get, kfree, kzalloc, load, put, store } from '../kernel/memory.js';
import { linkedListMachine } from '../linked-list.js';
import { mutexMachine } from '../mutex.js';
import { struct } from '../object.js';
import type { ObjectReply } from '../object.js';
import { rwsemMachine } from '../rwsem.js';
import type { Scenario } from '../scenario.js';
import {
  choose,
  downWrite,
  lock,
  mayFail,
  SELF,
  send,
  spawn,
  unlock,
  upRead,
  upWrite,
} from '../step.js';
import type { Thread } from '../step.js';
import { race } from './race.js';
import type { Race } from './race.js';

export const K37: Race = race({
  id: 'K37',
  title: 'iommufd object lifetime',
  story:
    'IOMMUFD_DESTROY took a reference and held it while it did not hold destroy_rwsem, so a driver that destroys the same object meets one user too many: it gives up, and its callbacks are reached after its own data is gone. A fault queue whose allocation fails puts its file, which is released later by a worker that goes to the queue already freed. A fault group was on the list of pending faults of the device and on that of the queue, and each owner freed it.',
  commits: [
    {
      id: '99f98a7c0d69',
      subject: 'iommufd: IOMMUFD_DESTROY should not increase the refcount',
      since: 'v6.5',
      cve: 'CVE-2023-53795',
    },
    {
      id: '4e034bf045b1',
      subject: 'iommufd: Fix race during abort for file descriptors',
      since: 'v6.17',
      cve: 'CVE-2025-39966',
    },
    {
      id: '738e6f32e61d',
      subject: 'iommu/iommufd: Fix IOPF group ownership UAF',
      since: 'v7.2',
      cve: 'CVE-2026-74520',
    },
  ],
  source: 'D K37, D.x 4, INV-24, INV-32',
  variants: [
    {
      name: 'bug: users raised outside destroy_rwsem',
      expected: 'violated',
      breaks: ['INV-24'],
      kernel: 'v6.4',
      make: () => destroyScenario('raises users'),
    },
    {
      name: 'bug: fput before kfree',
      expected: 'violated',
      breaks: ['INV-24'],
      kernel: 'v6.16',
      make: () => abortScenario(fput),
    },
    {
      name: 'bug: a fault group with two owners',
      expected: 'violated',
      breaks: ['INV-24', 'INV-32'],
      kernel: 'v7.1',
      make: () => faultScenario('both lists', true),
    },
    {
      name: 'bug: a fault group freed by the other owner',
      expected: 'violated',
      breaks: ['INV-24'],
      kernel: 'v7.1',
      make: () => faultScenario('both lists', false),
    },
    {
      name: 'fixed: users checked under xa_lock',
      expected: 'clean',
      kernel: '99f98a7c0d69 (v6.5)',
      make: () => destroyScenario('under xa_lock'),
    },
    {
      name: 'fixed: __fput_sync before kfree',
      expected: 'clean',
      kernel: '4e034bf045b1 (v6.17)',
      make: () => abortScenario(__fput_sync),
    },
    {
      name: 'fixed: a fault group changes its owner',
      expected: 'clean',
      kernel: '738e6f32e61d (v7.2)',
      make: () => faultScenario('one list', true),
    },
  ],
});

const XA_LOCK = 'xa_lock(objects)';
const ACCESS_LIST = 'ioas->access_list';
const RWSEM = 'access->destroy_rwsem';

/** A driver's access to an IOAS, which userspace may name in IOMMUFD_DESTROY. */
function destroyScenario(destroy: 'raises users' | 'under xa_lock'): Scenario {
  return {
    name: 'K37',
    story: K37.story,
    entities: {
      [XA_LOCK]: mutexMachine,
      objects: struct({ fields: { id: 'access' } }),
      [ACCESS_LIST]: struct({ fields: { first: 'access' } }),
      'xa_lock(access_list)': mutexMachine,
      [RWSEM]: rwsemMachine,
      // One is of the xarray, one of the driver.
      access: struct({ fields: { users: 2 } }),
      mdev: struct({ fields: { state: 'open' } }),
    },
    threads: {
      IOMMUFD_DESTROY:
        destroy === 'raises users'
          ? iommufd_destroy_by_ref
          : function* () {
              if (yield* iommufd_object_remove(false)) yield* iommufd_access_destroy_object();
            },
      'driver: close': function* () {
        // WARN_ON where it is not destroyed.
        yield* iommufd_object_destroy_user();
        yield* kfree('mdev');
      },
      IOMMU_IOAS_UNMAP: iommufd_access_notify_unmap,
    },
  };
}

/** iommufd_destroy of v6.4. */
function* iommufd_destroy_by_ref(): Thread<void> {
  yield* lock(XA_LOCK);
  const found = (yield* load('objects', 'id', 'obj')) !== null && (yield* iommufd_lock_obj());
  yield* unlock(XA_LOCK);
  if (!found) return;
  // iommufd_ref_to_users
  yield* upRead(RWSEM);
  yield* iommufd_object_destroy_user();
}

/** Returns whether the object was destroyed. The caller's reference is put in either case. */
function* iommufd_object_destroy_user(): Thread<boolean> {
  yield* downWrite(RWSEM);
  const removed = yield* iommufd_object_remove(true);
  yield* upWrite(RWSEM);
  if (removed) yield* iommufd_access_destroy_object();
  return removed;
}

/** @param put whether the caller holds a reference */
function* iommufd_object_remove(put: boolean): Thread<boolean> {
  yield* lock(XA_LOCK);
  let removed = false;
  if ((yield* load('objects', 'id', 'obj')) !== null) {
    if (put) yield* add('access', 'users', -1);
    removed = yield* refcount_dec_if_one();
    if (removed) yield* store('objects', 'id', null);
  }
  yield* unlock(XA_LOCK);
  return removed;
}

function* iommufd_access_destroy_object(): Thread<void> {
  yield* lock('xa_lock(access_list)');
  yield* store(ACCESS_LIST, 'first', null);
  yield* unlock('xa_lock(access_list)');
  yield* kfree('access');
}

/** For the one access there is. */
function* iommufd_access_notify_unmap(): Thread<void> {
  yield* lock('xa_lock(access_list)');
  const first = yield* load(ACCESS_LIST, 'first', 'access');
  const locked = first !== null && (yield* iommufd_lock_obj());
  yield* unlock('xa_lock(access_list)');
  if (!locked) return;
  yield* access('mdev', { type: 'read', field: 'state' }, 'access->ops->unmap(mdev)');
  // iommufd_put_object
  yield* add('access', 'users', -1);
  yield* upRead(RWSEM);
}

function* iommufd_lock_obj(): Thread<boolean> {
  const reply = yield* send<{ type: 'got'; ok: boolean }>(
    RWSEM,
    { type: 'try_down_read', by: SELF },
    `down_read_trylock(${RWSEM})`,
  );
  if (!reply.ok) return false;
  if (yield* refcount_inc_not_zero()) return true;
  yield* upRead(RWSEM);
  return false;
}

function* refcount_dec_if_one(): Thread<boolean> {
  return yield* cmpxchg(1, 0, 'refcount_dec_if_one(access->users)');
}

/** refcount_inc_not_zero: a loop of cmpxchg. */
function* refcount_inc_not_zero(): Thread<boolean> {
  for (;;) {
    const users = yield* load<number>('access', 'users', 'old');
    if (users === 0) return false;
    const label = `cmpxchg(access->users, ${users}, ${users + 1})`;
    if (yield* cmpxchg(users, users + 1, label)) return true;
  }
}

function* cmpxchg(expected: number, value: number, label: string): Thread<boolean> {
  const event = { type: 'compare_and_swap', field: 'users', expected, value } as const;
  const reply = yield* access('access', event, label);
  return (reply as Extract<ObjectReply, { type: 'value' }>).value === true;
}

const FAULTS = 'faults';

/** IOMMU_FAULT_QUEUE_ALLOC. */
function abortScenario(putFile: () => Thread<void>): Scenario {
  return {
    name: 'K37',
    story: K37.story,
    entities: { [FAULTS]: faultBudgetMachine, fault: struct() },
    faults: 1,
    threads: {
      IOMMU_FAULT_QUEUE_ALLOC: function* () {
        yield* kzalloc('fault', { refs: 1 });
        // anon_inode_getfile: the file has a reference.
        yield* get('fault');
        if (!(yield* mayFail(FAULTS, 'get_unused_fd_flags() returns -EMFILE'))) return;
        yield* putFile();
        yield* kfree('fault');
      },
    },
  };
}

/** The release comes from a work queue or a task work, which may be now. */
function* fput(): Thread<void> {
  const when = yield* choose(['now', 'later'], 'fput(fault->filep) releases');
  if (when === 'now') yield* iommufd_fault_fops_release();
  else yield* spawn(iommufd_fault_fops_release, 'schedule delayed_fput');
}

function* __fput_sync(): Thread<void> {
  yield* iommufd_fault_fops_release();
}

function* iommufd_fault_fops_release(): Thread<void> {
  yield* put('fault');
}

const LISTS = 'lists';
const PENDING = 'fault_param->faults';
const DELIVER = 'fault->deliver';
const PARAM_LOCK = 'fault_param->lock';
const FAULT_LOCK = 'fault->lock';

/**
 * A page fault, its delivery to userspace, and the detach of the device.
 *
 * @param accepted on which lists a group is that iommufd has accepted
 * @param owners checks on how many it is
 */
function faultScenario(accepted: 'both lists' | 'one list', owners: boolean): Scenario {
  /** iopf_group_alloc, then iommufd_fault_iopf_handler. */
  function* iommu_report_device_fault(): Thread<void> {
    yield* lock(PARAM_LOCK);
    yield* list_add_tail(LISTS, 'group->pending_node', PENDING);
    yield* unlock(PARAM_LOCK);
    if (accepted === 'one list') {
      yield* lock(PARAM_LOCK);
      const pending = yield* list_first(LISTS, PENDING);
      if (pending !== null) yield* list_del_init(LISTS, 'group->pending_node');
      yield* unlock(PARAM_LOCK);
      // It was responded to and freed.
      if (pending === null) return;
    }
    yield* lock(FAULT_LOCK);
    yield* list_add_tail(LISTS, 'group->node', DELIVER);
    yield* unlock(FAULT_LOCK);
  }
  /** Responds to what is pending, and frees it. */
  function* iopf_queue_remove_device(): Thread<void> {
    yield* lock(PARAM_LOCK);
    if ((yield* list_first(LISTS, PENDING)) !== null) {
      yield* list_del_init(LISTS, 'group->pending_node');
      yield* kfree_nodes(LISTS, 'group');
    }
    yield* unlock(PARAM_LOCK);
  }
  /** iommufd_fault_fops_read, and the response to what it has fetched. */
  function* read_respond(): Thread<void> {
    yield* lock(FAULT_LOCK);
    const fetched = yield* list_first(LISTS, DELIVER);
    if (fetched !== null) yield* list_del(LISTS, 'group->node');
    yield* unlock(FAULT_LOCK);
    if (fetched === null) return;
    if (accepted === 'both lists') {
      // iopf_group_response
      yield* lock(PARAM_LOCK);
      yield* list_del_init(LISTS, 'group->pending_node');
      yield* unlock(PARAM_LOCK);
    }
    yield* kfree_nodes(LISTS, 'group');
  }
  return {
    name: 'K37',
    story: K37.story,
    entities: {
      [LISTS]: {
        machine: linkedListMachine(owners ? { oneListOnly: ['group'] } : {}),
        input: { [PENDING]: [], [DELIVER]: [] },
      },
      [PARAM_LOCK]: mutexMachine,
      [FAULT_LOCK]: mutexMachine,
    },
    threads: {
      iommu_report_device_fault,
      iopf_queue_remove_device,
      'read, respond': read_respond,
    },
  };
}
