/**
 * One aux domain attached twice to one parent device: two of its subdevices are given to one guest.
 * Source: D K27, A4.
 */

import { kfree_nodes, list_add, list_del, list_first } from '../kernel/list.js';
import { add, kfree, kzalloc, store } from '../kernel/memory.js';
import { linkedListMachine } from '../linked-list.js';
import type { LinkedListOptions } from '../linked-list.js';
import { mutexMachine } from '../mutex.js';
import { struct } from '../object.js';
import type { ObjectMemory } from '../object.js';
import type { EntityView, Scenario } from '../scenario.js';
import { lock, unlock } from '../step.js';
import type { Thread } from '../step.js';
import { race } from './race.js';
import type { Race } from './race.js';

const LISTS = 'lists';
const LOCK = 'device_domain_lock';
const SUBDEVICES = ['mdev0', 'mdev1'] as const;
type Subdevice = (typeof SUBDEVICES)[number];

/** How the driver remembers that a domain is attached to a parent. */
interface Links {
  /** Returns how often it is attached now. */
  readonly link: (mdev: Subdevice) => Thread<number>;
  /** Returns how often it is still attached. */
  readonly unlink: () => Thread<number>;
  /** Whether only the first and the last touch the entry. */
  readonly counts: boolean;
}

export const K27: Race = race({
  id: 'K27',
  title: 'Same aux domain attached twice to one parent (A4)',
  story:
    "Two subdevices of one parent device are given to one guest, so its domain is attached to the parent twice. Each attach puts the one list node of the domain on the parent's list: the second corrupts it. The first detach tears down the PASID entry that the other subdevice still uses, and the second takes a node off that is poisoned already: a general protection fault. The fix counts the users of a pair of domain and parent.",
  commits: [
    {
      id: '18abda7a2d55',
      subject: 'iommu/vt-d: Fix general protection fault in aux_detach_device()',
      since: 'v5.11',
    },
  ],
  source: 'D K27, A4, INV-30',
  variants: [
    {
      name: 'bug: one node added twice',
      expected: 'violated',
      breaks: ['INV-30'],
      kernel: 'v5.10',
      make: () => scenarioOf(oneNode, 'when made', false),
    },
    {
      name: 'bug: fault in the second detach',
      expected: 'violated',
      breaks: ['INV-30'],
      kernel: 'v5.10',
      make: () => scenarioOf(oneNode, 'when met', false),
    },
    {
      name: 'bug: entry torn down under the other',
      expected: 'violated',
      breaks: ['INV-30'],
      kernel: 'v5.10',
      make: () => scenarioOf(oneNode, 'when met', true),
    },
    {
      name: 'fixed: users of a pair are counted',
      expected: 'clean',
      kernel: '18abda7a2d55 (v5.11)',
      make: () => scenarioOf(counted, 'when made', true),
    },
  ],
});

/** auxiliary_link_device, auxiliary_unlink_device of v5.10. */
const oneNode: Links = {
  *link() {
    const before = yield* add('domain', 'auxd_refcnt', 1);
    yield* list_add(LISTS, 'domain->auxd', 'info->auxiliary_domains');
    return before + 1;
  },
  *unlink() {
    yield* list_del(LISTS, 'domain->auxd');
    return (yield* add('domain', 'auxd_refcnt', -1)) - 1;
  },
  counts: false,
};

/** The same of 18abda7a2d55. There is one parent, so the domain's list has one entry at most. */
const counted: Links = {
  *link(mdev) {
    const found = yield* lookup_subdev_info();
    const sinfo = found ?? `sinfo(${mdev})`;
    if (found === null) {
      yield* kzalloc(sinfo, { fields: { users: 0 } });
      yield* list_add(LISTS, `${sinfo}->link_phys`, 'info->subdevices');
      yield* list_add(LISTS, `${sinfo}->link_domain`, 'domain->subdevices');
    }
    return (yield* add(sinfo, 'users', 1)) + 1;
  },
  *unlink() {
    const sinfo = (yield* lookup_subdev_info())!;
    const users = (yield* add(sinfo, 'users', -1)) - 1;
    if (users === 0) {
      yield* list_del(LISTS, `${sinfo}->link_phys`);
      yield* list_del(LISTS, `${sinfo}->link_domain`);
      yield* kfree_nodes(LISTS, sinfo, `kfree(${sinfo}): its list_heads`);
      yield* kfree(sinfo);
    }
    return users;
  },
  counts: true,
};

function* lookup_subdev_info(): Thread<string | null> {
  const node = yield* list_first(LISTS, 'domain->subdevices');
  return node === null ? null : node.split('->')[0];
}

/** aux_domain_add_dev */
function* attach({ link, counts }: Links, mdev: Subdevice): Thread<void> {
  yield* lock(LOCK);
  const users = yield* link(mdev);
  if (!counts || users === 1) yield* store('info', 'pasid_entry', 'domain');
  yield* unlock(LOCK);
}

/** aux_domain_remove_dev */
function* detach({ unlink, counts }: Links): Thread<void> {
  yield* lock(LOCK);
  const users = yield* unlink();
  if (!counts || users === 0) yield* store('info', 'pasid_entry', null);
  yield* unlock(LOCK);
}

/** @param looksAtEntry checks the PASID entry too */
function scenarioOf(
  links: Links,
  breaks: LinkedListOptions['breaks'] & string,
  looksAtEntry: boolean,
): Scenario {
  const lists = links.counts
    ? { 'info->subdevices': [], 'domain->subdevices': [] }
    : { 'info->auxiliary_domains': [] };
  const counters = links.counts ? SUBDEVICES.map((mdev) => `sinfo(${mdev})`) : ['domain'];
  const field = links.counts ? 'users' : 'auxd_refcnt';
  return {
    name: 'K27',
    story: K27.story,
    entities: {
      [LOCK]: mutexMachine,
      [LISTS]: { machine: linkedListMachine({ rule: 'INV-30', breaks }), input: lists },
      info: struct({ fields: { pasid_entry: null } }),
      ...(links.counts
        ? Object.fromEntries(counters.map((sinfo) => [sinfo, struct()]))
        : { domain: struct({ fields: { auxd_refcnt: 0 } }) }),
    },
    threads: Object.fromEntries(
      SUBDEVICES.map((mdev) => [
        `${mdev}: attach, detach`,
        function* (): Thread<void> {
          yield* attach(links, mdev);
          yield* detach(links);
        },
      ]),
    ),
    invariants: !looksAtEntry
      ? []
      : [
          {
            id: 'INV-30',
            says: 'the PASID entry is not there though the domain is attached, or there though not',
            entities: [LOCK, 'info', ...counters],
            holds: (view) => {
              const users = counters.map((name) => Number(fieldOf(view[name], field) ?? 0));
              const present = (fieldOf(view.info, 'pasid_entry') ?? null) !== null;
              return view[LOCK].state === 'locked' || present === users.some((n) => n > 0);
            },
          },
        ],
  };
}

function fieldOf(view: EntityView, field: string): unknown {
  return (view.context as ObjectMemory).fields[field];
}
