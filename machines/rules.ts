/**
 * The rules that a trace can be held against, by the names of `kernel-semantics.md`.
 *
 * A rule is told in one sentence, says where it comes from and what it means for a generation.
 * Its check is a machine or a predicate elsewhere in this room.
 */

import type { KernelProfile } from './profiles/profile.js';

export interface Rule {
  readonly id: string;
  readonly name: string;
  /** The rule in one sentence. */
  readonly sentence: string;
  readonly source: string;
  /** What a trace must hold for the rule to be checked. */
  readonly needs: string;
  /** What the rule means for one generation; undefined where it has nothing to say there. */
  readonly under: (profile: KernelProfile) => string | undefined;
}

const always = (text: string) => () => text;

export const RULES: readonly Rule[] = [
  {
    id: 'INV-01',
    name: 'add-before-del',
    sentence:
      'A listener on a group hears ADD_DEVICE before DEL_DEVICE of one membership, each at most once.',
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
    source: 'kernel-semantics.md E INV-03, A1.3, K21',
    needs: 'iommu:add/remove_device_from_group and probes that print dev->iommu_group (grp, gptr)',
    under: (p) =>
      p.addBeforeAttach
        ? 'The tracepoint comes when the pointer and the links are set, before the list insertion.'
        : 'The tracepoint comes last, after the list insertion and the attach.',
  },
  {
    id: 'INV-05',
    name: 'del-is-pre',
    sentence: 'At DEL_DEVICE on the group chain the device is still in the group.',
    source: 'kernel-semantics.md E INV-05; include/linux/iommu.h "Pre Device removed"',
    needs: 'calls of the group notifier chain and iommu:remove_device_from_group',
    under: (p) =>
      p.groupNotifier ? 'DEL_DEVICE is the first step of iommu_group_remove_device.' : undefined,
  },
  {
    id: 'INV-07',
    name: 'no-bind-after-del',
    sentence: 'No driver starts to bind to a device after DEL_DEVICE was sent for it.',
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
    source: 'kernel-semantics.md E INV-09; 599bad38cf71',
    needs: 'bus notifications',
    under: (p) =>
      p.removedDevice ? 'bus_remove_device unbinds before REMOVED_DEVICE is sent.' : undefined,
  },
  {
    id: 'INV-11',
    name: 'uniform-domain',
    sentence: 'At rest, all devices of a group are attached to one domain.',
    source: 'kernel-semantics.md E INV-11, K11, K39',
    needs: 'a probe on __iommu_attach_device that prints the domain',
    under: always(
      'Checked when an operation on the group has returned and none is in flight; deferred devices are left out.',
    ),
  },
  {
    id: 'INV-13',
    name: 'delivery',
    sentence:
      'A call of a chain runs every callback registered on it exactly once, in order, up to the first STOP.',
    source: 'kernel-semantics.md E INV-13, B.1',
    needs: 'probes on the chain call and on its callbacks, or notifier:notifier_run',
    under: (p) =>
      p.notifierTracepoints
        ? 'notifier:notifier_run shows every callback of every chain.'
        : 'Only callbacks with a probe of their own are seen; the set of a chain is learned from its first call.',
  },
  {
    id: 'INV-17',
    name: 'quiesce',
    sentence: 'After an unregister has returned, no callback of that block runs.',
    source: 'kernel-semantics.md E INV-17, B.1.4, K35',
    needs: 'probes on *_notifier_chain_unregister and on the callback',
    under: always('The blocking chain waits for its readers; the others for a grace period.'),
  },
  {
    id: 'INV-19',
    name: 'group-lifetime',
    sentence: 'A group is released only when no device is in it.',
    source: 'kernel-semantics.md E INV-19, A1.2',
    needs: 'iommu:add/remove_device_from_group and a probe on iommu_group_release',
    under: always('iommu_group_release runs when the last reference of devices_kobj is gone.'),
  },
  {
    id: 'INV-20',
    name: 'no-freed-domain',
    sentence: 'A domain is freed only when no device is attached to it.',
    source: 'kernel-semantics.md E INV-20, K13, K19, K25',
    needs: 'probes on __iommu_attach_device and iommu_domain_free',
    under: always('A device leaves a domain by being attached to another one, or with its group.'),
  },
  {
    id: 'INV-34',
    name: 'detach-total',
    sentence: 'After iommu_detach_group no device of the group is attached to that domain.',
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
    source: 'kernel-semantics.md E INV-35, C.1',
    needs:
      'probes with return values on iommu_group_claim_dma_owner, iommu_device_use_default_domain',
    under: (p) =>
      p.dmaOwnership ? 'owner and owner_cnt under group->mutex (1ea2a07a532b).' : undefined,
  },
  {
    id: 'INV-42',
    name: 'republish-filter',
    sentence:
      'BIND, BOUND, UNBIND and UNBOUND are republished to the group chain exactly when the device is in a group.',
    source: 'kernel-semantics.md E INV-42, A1.3 BN4–BN6',
    needs: 'probes on iommu_bus_notifier (with return) and blocking_notifier_call_chain',
    under: (p) =>
      p.groupNotifier ? 'iommu_bus_notifier maps the four actions to group values 3…6.' : undefined,
  },
  {
    id: 'INV-46',
    name: 'uevent-order',
    sentence:
      'Uevents follow their notification: add after ADD, bind after BOUND, unbind after UNBOUND, remove after REMOVED; and each other in that order.',
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
    source: 'kernel-semantics.md E INV-47, B.2',
    needs: 'bus notifications with the task that sent them',
    under: always(
      'One task holds the lock from BIND to BOUND or NOT_BOUND and from UNBIND to UNBOUND; no other sends one of these meanwhile, and it sends no ADD, DEL or REMOVED itself.',
    ),
  },
  {
    id: 'B.1',
    name: 'chain-order',
    sentence:
      "A chain's callbacks run by descending priority, none runs after a STOP, and the chain returns the last one's value.",
    source: 'kernel-semantics.md B.1.3; kernel/notifier.c notifier_call_chain',
    needs: 'probes on a chain call and its callbacks; notifier:notifier_run for the value returned',
    under: always('notifier_call_chain, the same in every generation.'),
  },
  {
    id: 'B.3',
    name: 'device-automaton',
    sentence: "A device's bus notifications follow the driver core's automaton.",
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
    source: 'kernel-semantics.md B.2, B.1.3',
    needs: 'probes on a function and on its return',
    under: always('Checked for functions whose return probe fired in this trace.'),
  },
  {
    id: 'IOVA-unmap',
    name: 'unmap-of-mapped',
    sentence: 'What is unmapped was mapped: unmapped_size covers size.',
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
    source: 'kernel-semantics.md B.6; Documentation/ABI/testing/sysfs-kernel-iommu_groups',
    needs: 'a snapshot with --sysfs-after',
    under: always('Compared: members and type of every group, driver of every PCI device.'),
  },
];

const BY_ID = new Map(RULES.map((rule) => [rule.id.toLowerCase(), rule]));

/** The rule with this id or name, in any case; undefined for no such rule. */
export function ruleById(id: string): Rule | undefined {
  return BY_ID.get(id.toLowerCase()) ?? RULES.find((rule) => rule.name === id.toLowerCase());
}
