/**
 * The rules that a trace or a schedule can be held against, by the names of `kernel-semantics.md`.
 *
 * A rule is told in one sentence, says where it comes from and what it means for a generation.
 * Its check is a machine or a predicate elsewhere in this room, or an invariant of a scenario.
 */

import type { KernelProfile } from './profiles/profile.js';

export interface Rule {
  readonly id: string;
  readonly name: string;
  /** The rule in one sentence. */
  readonly sentence: string;
  /** `replay` holds traces against it, `explore` the interleavings of a scenario. */
  readonly checkedBy: readonly ('replay' | 'explore')[];
  readonly source: string;
  /** What a trace must hold for the rule to be checked; nothing where replay does not check it. */
  readonly needs?: string;
  /** What the rule means for one generation; undefined where it has nothing to say there. */
  readonly under: (profile: KernelProfile) => string | undefined;
}

/** A rule that replay checks. */
export type ReplayRule = Rule & { readonly needs: string };

const REPLAY = ['replay'] as const;
const EXPLORE = ['explore'] as const;
const BOTH = ['replay', 'explore'] as const;

const always = (text: string) => () => text;

export const RULES: readonly Rule[] = [
  {
    id: 'INV-01',
    name: 'add-before-del',
    sentence:
      'A listener on a group hears ADD_DEVICE before DEL_DEVICE of one membership, each at most once.',
    checkedBy: BOTH,
    source: 'kernel-semantics.md E INV-01, P-A1-1; drivers/iommu/iommu.c',
    needs: 'calls of the group notifier chain (kprobe on blocking_notifier_call_chain)',
    under: (p) =>
      p.groupNotifier
        ? `The group's chain sends ADD_DEVICE last in iommu_group_add_device and DEL_DEVICE first in iommu_group_remove_device; the core removes at BUS_NOTIFY_${p.groupLeftAt}.`
        : undefined,
  },
  {
    id: 'INV-01b',
    name: 'bus-add-first',
    sentence: 'The first bus notification of a device is ADD_DEVICE.',
    checkedBy: BOTH,
    source: 'kernel-semantics.md E INV-01b, B.3, K10',
    needs: 'bus notifications; entries of device_add make it exact',
    under: always(
      'device_add sends ADD_DEVICE before it probes. A driver registered in between could bind first until a2225b6e834a (v7.1, in late LTS); such a BIND_DRIVER before ADD_DEVICE is a real race (K10).',
    ),
  },
  {
    id: 'INV-02',
    name: 'single-membership',
    sentence: 'A device is in at most one group, and at most once.',
    checkedBy: BOTH,
    source: 'kernel-semantics.md E INV-02, K15',
    needs: 'tracepoint iommu:add_device_to_group',
    under: always(
      'A second add_device_to_group without a remove_device_from_group in between breaks it.',
    ),
  },
  {
    id: 'INV-03',
    name: 'list-link-agreement',
    sentence:
      "With no add or remove in flight, a device is on its group's list exactly when dev->iommu_group points there.",
    checkedBy: BOTH,
    source: 'kernel-semantics.md E INV-03, A1.3, K21',
    needs: 'iommu:add/remove_device_from_group and probes that print dev->iommu_group (grp, gptr)',
    under: (p) =>
      p.addBeforeAttach
        ? 'The tracepoint comes when the pointer and the links are set, before the list insertion.'
        : 'The tracepoint comes last, after the list insertion and the attach.',
  },
  {
    id: 'INV-04',
    name: 'failed-add-is-neutral',
    sentence:
      'An add that fails leaves links, list, references and dev->iommu_group as they were, and nobody hears ADD_DEVICE.',
    checkedBy: EXPLORE,
    source: 'kernel-semantics.md E INV-04, A1.3, K21',
    under: always(
      'Until 7d4e6ccd1fb0 (v5.5) an add that failed left a link in the directory of the group.',
    ),
  },
  {
    id: 'INV-05',
    name: 'del-is-pre',
    sentence: 'At DEL_DEVICE on the group chain the device is still in the group.',
    checkedBy: BOTH,
    source: 'kernel-semantics.md E INV-05; include/linux/iommu.h "Pre Device removed"',
    needs: 'calls of the group notifier chain and iommu:remove_device_from_group',
    under: (p) =>
      p.groupNotifier ? 'DEL_DEVICE is the first step of iommu_group_remove_device.' : undefined,
  },
  {
    id: 'INV-06',
    name: 'group-before-dma',
    sentence:
      'Where there is an IOMMU, a driver maps DMA only while its device is in a group, and not after REMOVED_DEVICE.',
    checkedBy: EXPLORE,
    source: 'kernel-semantics.md E INV-06, K02, K10',
    under: (p) =>
      p.groupLeftAt === 'DEL_DEVICE'
        ? 'The device leaves its group at DEL_DEVICE, when its driver is bound still (K02).'
        : `The device leaves its group at ${p.groupLeftAt}, when no driver is bound any more.`,
  },
  {
    id: 'INV-07',
    name: 'no-bind-after-del',
    sentence: 'No driver starts to bind to a device after DEL_DEVICE was sent for it.',
    checkedBy: BOTH,
    source: 'kernel-semantics.md E INV-07, K08, K09',
    needs: 'bus notifications',
    under: (p) =>
      p.deadFlag
        ? 'kill_device sets the dead flag under device_lock before DEL_DEVICE; every probe path checks it (3451a495ef24 v5.1, 654888327e9f v5.9).'
        : undefined,
  },
  {
    id: 'INV-08',
    name: 'not-bound-needs-bind',
    sentence: 'DRIVER_NOT_BOUND is preceded by BIND_DRIVER of the same device.',
    checkedBy: BOTH,
    source: 'kernel-semantics.md E INV-08, K07',
    needs: 'bus notifications',
    under: (p) =>
      p.notBoundNeedsBind
        ? 'Since 885e50253bfd and 00eb74ea2c14 (v5.17) a failing dma_configure sends nothing.'
        : undefined,
  },
  {
    id: 'INV-09',
    name: 'removed-means-unbound',
    sentence: 'At REMOVED_DEVICE no driver is bound: UNBOUND_DRIVER came before.',
    checkedBy: BOTH,
    source: 'kernel-semantics.md E INV-09; 599bad38cf71',
    needs: 'bus notifications',
    under: (p) =>
      p.removedDevice ? 'bus_remove_device unbinds before REMOVED_DEVICE is sent.' : undefined,
  },
  {
    id: 'INV-10',
    name: 'init-once',
    sentence:
      'A default domain, an IOVA domain or an aperture is initialised once in its life, unless it is replaced under its lock.',
    checkedBy: EXPLORE,
    source: 'kernel-semantics.md E INV-10, A2, K11, K24',
    under: always(
      'Since 211ff31b3d33 (v5.15) the check for a default domain and its allocation are under one mutex.',
    ),
  },
  {
    id: 'INV-11',
    name: 'uniform-domain',
    sentence: 'At rest, all devices of a group are attached to one domain.',
    checkedBy: BOTH,
    source: 'kernel-semantics.md E INV-11, K11, K39',
    needs: 'a probe on __iommu_attach_device that prints the domain',
    under: always(
      'Checked when an operation on the group has returned and none is in flight; deferred devices are left out.',
    ),
  },
  {
    id: 'INV-12',
    name: 'one-group-per-alias',
    sentence: 'Devices with the same requester id are in the same group.',
    checkedBy: EXPLORE,
    source: 'kernel-semantics.md E INV-12, K12',
    under: always(
      'Since b1a1347912a7 (v5.15) arm-smmu looks for a group and allocates one under one mutex.',
    ),
  },
  {
    id: 'INV-13',
    name: 'delivery',
    sentence:
      'A call of a chain runs every callback registered on it exactly once, in order, up to the first STOP.',
    checkedBy: BOTH,
    source: 'kernel-semantics.md E INV-13, B.1',
    needs: 'probes on the chain call and on its callbacks, or notifier:notifier_run',
    under: (p) =>
      p.notifierTracepoints
        ? 'notifier:notifier_run shows every callback of every chain.'
        : 'Only callbacks with a probe of their own are seen; the set of a chain is learned from its first call.',
  },
  {
    id: 'INV-14',
    name: 'chain-wellformed',
    sentence: 'A chain is a list that ends, and no block is on it twice.',
    checkedBy: EXPLORE,
    source: 'kernel-semantics.md E INV-14, B.1.1, K05',
    under: (p) =>
      ({
        corrupts: 'A second registration links the block again, which corrupts the chain.',
        ignored: 'A second registration warns and returns 0 (1a50cb80f219).',
        refused: 'A second registration is refused with -EEXIST (5abb065dca73).',
      })[p.duplicateRegistration],
  },
  {
    id: 'INV-15',
    name: 'block-on-one-chain',
    sentence: 'A notifier block is linked into one chain at most.',
    checkedBy: EXPLORE,
    source: 'kernel-semantics.md E INV-15, K01',
    under: always(
      'The link is a field of the block, and no generation checks whether it is in use.',
    ),
  },
  {
    id: 'INV-16',
    name: 'no-deadlock',
    sentence: 'Somebody can go on, or all threads are over.',
    checkedBy: EXPLORE,
    source: 'kernel-semantics.md E INV-16, K03, K23, K30, K33',
    under: always(
      'Reported as deadlock; as partial-deadlock where somebody waits for ever while others go on.',
    ),
  },
  {
    id: 'INV-17',
    name: 'quiesce',
    sentence: 'After an unregister has returned, no callback of that block runs.',
    checkedBy: BOTH,
    source: 'kernel-semantics.md E INV-17, B.1.4, K35',
    needs: 'probes on *_notifier_chain_unregister and on the callback',
    under: always('The blocking chain waits for its readers; the others for a grace period.'),
  },
  {
    id: 'INV-18',
    name: 'robust-rollback',
    sentence:
      'What was announced and failed is taken back at exactly the callbacks that had agreed, and not at the one that failed.',
    checkedBy: EXPLORE,
    source: 'kernel-semantics.md E INV-18, K06',
    under: (p) =>
      p.robustCall.length > 0
        ? `notifier_call_chain_robust makes both passes under one lock, on chains that are ${p.robustCall.join(', ')} (70d932985757).`
        : 'Callers make two passes, and the chain may change between them.',
  },
  {
    id: 'INV-19',
    name: 'group-lifetime',
    sentence: 'A group is released only when no device is in it.',
    checkedBy: BOTH,
    source: 'kernel-semantics.md E INV-19, A1.2',
    needs: 'iommu:add/remove_device_from_group and a probe on iommu_group_release',
    under: always('iommu_group_release runs when the last reference of devices_kobj is gone.'),
  },
  {
    id: 'INV-20',
    name: 'no-freed-domain',
    sentence: 'A domain is freed only when no device is attached to it.',
    checkedBy: BOTH,
    source: 'kernel-semantics.md E INV-20, K13, K19, K25',
    needs: 'probes on __iommu_attach_device and iommu_domain_free',
    under: always('A device leaves a domain by being attached to another one, or with its group.'),
  },
  {
    id: 'INV-21',
    name: 'dev-iommu-stable',
    sentence: 'dev->iommu is not freed while somebody is between its load and its last use.',
    checkedBy: EXPLORE,
    source: 'kernel-semantics.md E INV-21, K14, K15',
    under: always(
      'b54240ad4943 (v5.17) clears the pointer before it frees; 01657bc14a39 (v6.2) serialises probing.',
    ),
  },
  {
    id: 'INV-22',
    name: 'default-before-bind',
    sentence:
      'When a driver that uses the DMA API is bound, the default domain is there and attached.',
    checkedBy: EXPLORE,
    source: 'kernel-semantics.md E INV-22, K17',
    under: always(
      'Since b46064a18810 (v6.15, in late LTS) iommu_device_use_default_domain defers the probe until then.',
    ),
  },
  {
    id: 'INV-23',
    name: 'publish-last',
    sentence: 'What a lookup finds is initialised, and what is looked up through it is there.',
    checkedBy: EXPLORE,
    source: 'kernel-semantics.md E INV-23, K18, K31',
    under: always(
      'An object is put where others find it only after the last of its fields was set.',
    ),
  },
  {
    id: 'INV-24',
    name: 'no-uaf',
    sentence: 'Nothing is accessed after it was freed.',
    checkedBy: EXPLORE,
    source: 'kernel-semantics.md E INV-24, D.x 3',
    under: always(
      'In the model memory that was freed is poison: an access is a violation even where it would do no harm.',
    ),
  },
  {
    id: 'INV-25',
    name: 'driver-holds-group',
    sentence:
      'While somebody uses a group through its API a driver is bound in it, and a device is released only when nobody does.',
    checkedBy: EXPLORE,
    source: 'kernel-semantics.md E INV-25, K20',
    under: always(
      'Since ca5f21b25749 (v6.2) VFIO waits at unbind until the users of its group are gone.',
    ),
  },
  {
    id: 'INV-26',
    name: 'revalidate',
    sentence:
      'What was decided under a lock is checked again after the lock was dropped and retaken.',
    checkedBy: EXPLORE,
    source: 'kernel-semantics.md E INV-26, K23',
    under: always(
      'Until 49a22aae7d9c (v6.4) iommu_group_store_type drops group->mutex to take device_lock.',
    ),
  },
  {
    id: 'INV-27',
    name: 'msi-stable',
    sentence:
      'An MSI message has an address that is mapped in the domain that is attached when it is sent.',
    checkedBy: EXPLORE,
    source: 'kernel-semantics.md E INV-27, A2, K25',
    under: always(
      'Since 1f7df3a69174 (v6.15) the descriptor has the address itself, no pointer to its page.',
    ),
  },
  {
    id: 'INV-28',
    name: 'valid-or-invalid',
    sentence:
      'Who reads an entry of several words sees the old one, the new one or an invalid one, and no mixture that passes as valid.',
    checkedBy: EXPLORE,
    source: 'kernel-semantics.md E INV-28, A2.3, K26',
    under: always(
      'An entry is made invalid before its words are written, and valid last (c3b1edea3791, 75ed00055c05, v7.0).',
    ),
  },
  {
    id: 'INV-29',
    name: 'viability-continuous',
    sentence:
      'A group whose devices are of VFIO, without driver or unbinding is viable at every moment of an unbind.',
    checkedBy: EXPLORE,
    source: 'kernel-semantics.md E INV-29, K04',
    under: (p) =>
      p.dmaOwnership
        ? 'Ownership of DMA answers, not the drivers that are bound.'
        : 'VFIO looks at the driver of each device; since 60720a0fc646 (v4.0) it knows those that unbind.',
  },
  {
    id: 'INV-30',
    name: 'attach-balance',
    sentence:
      'A domain is detached from a parent as often as it was attached, and the entry of the hardware is there while it is attached.',
    checkedBy: EXPLORE,
    source: 'kernel-semantics.md E INV-30, A4, K27',
    under: always(
      'Since 18abda7a2d55 (v5.11) vt-d counts how often an auxiliary domain is attached.',
    ),
  },
  {
    id: 'INV-31',
    name: 'pasid-quarantine',
    sentence: 'A PASID is given out again only when no device and no PASID table refers to it.',
    checkedBy: EXPLORE,
    source: 'kernel-semantics.md E INV-31, K28, D-A4-3',
    under: always(
      'Since 2667ed10d9f0 (v5.18) the PASID of an address space is freed with its last reference.',
    ),
  },
  {
    id: 'INV-32',
    name: 'single-owner',
    sentence: 'An object is on the lists of one owner.',
    checkedBy: EXPLORE,
    source: 'kernel-semantics.md E INV-32, K37',
    under: always(
      'Until 738e6f32e61d (v7.2) a fault group of iommufd could be on lists of two owners.',
    ),
  },
  {
    id: 'INV-33',
    name: 'reverse-teardown',
    sentence: 'What was acquired last is released first.',
    checkedBy: EXPLORE,
    source: 'kernel-semantics.md E INV-33, K40',
    under: always(
      'Since 376991db4b64 (v5.0) and 0b777eee88d7 (v5.2) DMA is torn down after devres_release_all.',
    ),
  },
  {
    id: 'INV-34',
    name: 'detach-total',
    sentence: 'After iommu_detach_group no device of the group is attached to that domain.',
    checkedBy: BOTH,
    source: 'kernel-semantics.md E INV-34, C.1, C.2',
    needs: 'probes on iommu_detach_group and __iommu_attach_device',
    under: (p) =>
      p.blockingDomain
        ? 'The group goes to the blocking domain while it is owned, otherwise to the default domain.'
        : 'The group goes back to its default domain.',
  },
  {
    id: 'INV-35',
    name: 'exclusive-owner',
    sentence:
      'While a group is owned no driver that uses the DMA API is bound in it, and a claim succeeds only on a group that nobody uses.',
    checkedBy: BOTH,
    source: 'kernel-semantics.md E INV-35, C.1',
    needs:
      'probes with return values on iommu_group_claim_dma_owner, iommu_device_use_default_domain',
    under: (p) =>
      p.dmaOwnership ? 'owner and owner_cnt under group->mutex (1ea2a07a532b).' : undefined,
  },
  {
    id: 'INV-36',
    name: 'aux-visible',
    sentence:
      'A group that an auxiliary domain is attached to has that domain, all its parents have it, and it is attached to no other.',
    checkedBy: EXPLORE,
    source: 'kernel-semantics.md E INV-36, A4, D-A4-1, D-A4-2',
    under: always(
      'The calls that were posted in 2020 were never merged; v5.18 removed auxiliary domains.',
    ),
  },
  {
    id: 'INV-37',
    name: 'ioasid-unique',
    sentence:
      'An IOASID has one holder, is of the range that was asked for, and is given back to who gave it.',
    checkedBy: EXPLORE,
    source: 'kernel-semantics.md E INV-37, A5, P-A5-1, P-A5-2',
    under: always(
      'Custom allocators existed from v5.5 to v6.3; since 99b5726b4423 (v6.4) there is one space.',
    ),
  },
  {
    id: 'INV-38',
    name: 'ioasid-rules',
    sentence:
      'The default IOASID allocator is active exactly when no other is registered, nobody switches to or from it with IOASIDs outstanding, and an allocator turns to ops that are registered.',
    checkedBy: EXPLORE,
    source: 'kernel-semantics.md E INV-38, A5.1 rules 1, 2, 4 and 5, D-A5-3',
    under: always('The rules stand in the comment of drivers/iommu/ioasid.c from v5.5 to v6.3.'),
  },
  {
    id: 'INV-39',
    name: 'ioasid-orphan',
    sentence:
      'No IOASID is outstanding when the last allocator of its space is unregistered: it could be neither found nor freed any more.',
    checkedBy: EXPLORE,
    source: 'kernel-semantics.md E INV-39, A5.1 rule 3, D-A5-6',
    under: always('ioasid_unregister_allocator warns of it (v5.5 to v6.3).'),
  },
  {
    id: 'INV-40',
    name: 'rcu-private',
    sentence:
      'After ioasid_set_data has returned nobody reads the private data that was there before.',
    checkedBy: EXPLORE,
    source: 'kernel-semantics.md E INV-40, A5.2, P-A5-5',
    under: always(
      'ioasid_set_data waits for a grace period where it has replaced something (v5.5 to v6.3).',
    ),
  },
  {
    id: 'INV-41',
    name: 'errno-stop',
    sentence:
      'A bus callback that returns a raw negative errno stops the chain: nobody behind it hears the event.',
    checkedBy: EXPLORE,
    source: 'kernel-semantics.md E INV-41, D-A1-8',
    under: (p) =>
      p.addErrnoStops
        ? "The IOMMU core's listener returns what add_device returns, which is such an errno."
        : undefined,
  },
  {
    id: 'INV-42',
    name: 'republish-filter',
    sentence:
      'BIND, BOUND, UNBIND and UNBOUND are republished to the group chain exactly when the device is in a group.',
    checkedBy: BOTH,
    source: 'kernel-semantics.md E INV-42, A1.3 BN4–BN6',
    needs: 'probes on iommu_bus_notifier (with return) and blocking_notifier_call_chain',
    under: (p) =>
      p.groupNotifier ? 'iommu_bus_notifier maps the four actions to group values 3…6.' : undefined,
  },
  {
    id: 'INV-43',
    name: 'name-suffix',
    sentence:
      'Links in one group have distinct names: n, n.0, n.1, and so on, in the order of the attempts.',
    checkedBy: EXPLORE,
    source: 'kernel-semantics.md E INV-43, A1.3 AD5',
    under: always('An add tries the next suffix when sysfs says -EEXIST.'),
  },
  {
    id: 'INV-44',
    name: 'invalidate-gate',
    sentence:
      'An invalidation that nobody can carry out returns -ENODEV, one that is malformed -EINVAL, and neither has an effect.',
    checkedBy: EXPLORE,
    source: 'kernel-semantics.md E INV-44, A3',
    under: always(
      'Until 0c9f17877891 (v5.18) vt-d returns 0 for what it cannot carry out, after a part of it or nothing (D-A3-2).',
    ),
  },
  {
    id: 'INV-45',
    name: 'pid-charge',
    sentence:
      'Userspace is charged for as many shared PASIDs as it holds, and the kernel for none.',
    checkedBy: EXPLORE,
    source: 'kernel-semantics.md E INV-45, A5.5 P-A5-9',
    under: always('Left open in the review of 2023: no kernel charges PASIDs.'),
  },
  {
    id: 'INV-46',
    name: 'uevent-order',
    sentence:
      'Uevents follow their notification: add after ADD, bind after BOUND, unbind after UNBOUND, remove after REMOVED; and each other in that order.',
    checkedBy: BOTH,
    source: 'kernel-semantics.md E INV-46, B.2',
    needs: 'udevadm monitor; with a trace beside it also the order across the two',
    under: (p) =>
      p.bindUevents
        ? 'add, bind, unbind, remove.'
        : 'add and remove only: bind uevents came with v4.14.',
  },
  {
    id: 'INV-47',
    name: 'lock-at-event',
    sentence:
      'BIND, BOUND, UNBIND, UNBOUND and NOT_BOUND are sent under device_lock; ADD, DEL and REMOVED are not.',
    checkedBy: BOTH,
    source: 'kernel-semantics.md E INV-47, B.2',
    needs: 'bus notifications with the task that sent them',
    under: always(
      'One task holds the lock from BIND to BOUND or NOT_BOUND and from UNBIND to UNBOUND; no other sends one of these meanwhile, and it sends no ADD, DEL or REMOVED itself.',
    ),
  },
  {
    id: 'INV-48',
    name: 'iova-after-unmap',
    sentence: 'An IOVA goes back to the allocator only after it is no longer translated.',
    checkedBy: EXPLORE,
    source: 'kernel-semantics.md E INV-48, A2 D-A2-3, P-A2-6',
    under: always('The doorbells of 2016, which were not merged, have it wrong on one path.'),
  },
  {
    id: 'P-A2-3',
    name: 'msi-domain-takes-part',
    sentence:
      'iommu_msi_domain returns only a domain that is not of the DMA API and whose driver takes part in the MSI API.',
    checkedBy: EXPLORE,
    source: 'kernel-semantics.md A2 P-A2-3, D-A2-1',
    under: always('Of the MSI API of 2016, which was not merged.'),
  },
  {
    id: 'P-A3-5',
    name: 'invalidation-covers',
    sentence: 'An invalidation that succeeds leaves nothing cached of what it was asked for.',
    checkedBy: EXPLORE,
    source: 'kernel-semantics.md A3 P-A3-5, D-A3-1, D-A3-2',
    under: always(
      'More than was asked for may go; a hint that only leaves are meant may be ignored.',
    ),
  },
  {
    id: 'P-A3-6',
    name: 'invalidation-stays-in',
    sentence: 'An invalidation of one domain leaves what is cached of others.',
    checkedBy: EXPLORE,
    source: 'kernel-semantics.md A3 P-A3-6',
    under: always('A device that is not attached to the domain is no way into another one.'),
  },
  {
    id: 'B.1',
    name: 'chain-order',
    sentence:
      "A chain's callbacks run by descending priority, none runs after a STOP, and the chain returns the last one's value.",
    checkedBy: REPLAY,
    source: 'kernel-semantics.md B.1.3; kernel/notifier.c notifier_call_chain',
    needs: 'probes on a chain call and its callbacks; notifier:notifier_run for the value returned',
    under: always('notifier_call_chain, the same in every generation.'),
  },
  {
    id: 'B.3',
    name: 'device-automaton',
    sentence: "A device's bus notifications follow the driver core's automaton.",
    checkedBy: BOTH,
    source: 'kernel-semantics.md B.3; drivers/base/core.c, drivers/base/dd.c',
    needs: 'bus notifications',
    under: (p) =>
      [
        'ADD (BIND BOUND UNBIND UNBOUND)* DEL',
        p.removedDevice ? ' REMOVED' : '',
        p.notBound ? '; BIND may end in NOT_BOUND.' : '; a failed probe sends nothing after BIND.',
        ' DEL may come between any two, UNBIND and UNBOUND after it.',
      ].join(''),
  },
  {
    id: 'B.2',
    name: 'call-return',
    sentence: 'Every call that was entered returns, innermost first.',
    checkedBy: REPLAY,
    source: 'kernel-semantics.md B.2, B.1.3',
    needs: 'probes on a function and on its return',
    under: always('Checked for functions whose return probe fired in this trace.'),
  },
  {
    id: 'IOVA-unmap',
    name: 'unmap-of-mapped',
    sentence: 'What is unmapped was mapped: unmapped_size covers size.',
    checkedBy: REPLAY,
    source: 'kernel-semantics.md A2 P-A2-6; drivers/iommu/iommu.c __iommu_unmap',
    needs: 'tracepoints iommu:map and iommu:unmap',
    under: always(
      'Map events carry no device, so an IOVA may live in several domains; only a range that was live nowhere counts.',
    ),
  },
  {
    id: 'IOVA-map',
    name: 'map-over-live',
    sentence: 'A range is not mapped while it is live in the same domain.',
    checkedBy: REPLAY,
    source: 'kernel-semantics.md A2; drivers/iommu/iommu.c __iommu_map',
    needs: 'tracepoint iommu:map with a device in it (vendor kernels)',
    under: always(
      'Without a device in the event a range that is mapped twice may be live in two domains: that is counted as a doubt.',
    ),
  },
  {
    id: 'SYSFS',
    name: 'sysfs-agreement',
    sentence: "At the end, groups, drivers and domain types are those of the machine's sysfs.",
    checkedBy: REPLAY,
    source: 'kernel-semantics.md B.6; Documentation/ABI/testing/sysfs-kernel-iommu_groups',
    needs: 'a snapshot with --sysfs-after',
    under: always('Compared: members and type of every group, driver of every PCI device.'),
  },
];

/** Those that a replay tallies. */
export const REPLAY_RULES: readonly ReplayRule[] = RULES.filter(
  (rule): rule is ReplayRule => rule.checkedBy.includes('replay') && rule.needs !== undefined,
);

const BY_ID = new Map(RULES.map((rule) => [rule.id.toLowerCase(), rule]));

/** The rule with this id or name, in any case; undefined for no such rule. */
export function ruleById(id: string): Rule | undefined {
  return BY_ID.get(id.toLowerCase()) ?? RULES.find((rule) => rule.name === id.toLowerCase());
}
