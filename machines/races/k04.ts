/**
 * A device that vfio's driver is letting go of has a driver still and is on vfio's list no more: it
 * looks as if a foreign driver had it. Source: D K04, INV-29.
 */

import { alarmMachine } from '../alarm.js';
import { listed } from '../object.js';
import type { ObjectMemory } from '../object.js';
import { notifier_call_chain } from '../kernel/notifier-chain.js';
import { store } from '../kernel/memory.js';
import { vfio_del_group_dev, vfio_dev_viable } from '../kernel/vfio.js';
import type { Vfio } from '../kernel/vfio.js';
import { mutexMachine } from '../mutex.js';
import { profileByName } from '../profiles/timeline.js';
import type { Invariant, Scenario } from '../scenario.js';
import { lock, send, unlock } from '../step.js';
import type { Thread } from '../step.js';
import { race } from './race.js';
import type { Race } from './race.js';
import { vfioGroup } from './vfio-group.js';

const ITERATOR_MUTEX = 'iommu_group->mutex';
const VERDICT = 'KVM';

/**
 * vfio-pci is unbound from d0, and who has the group open asks whether it is viable.
 *
 * @param judged that the group is viable at every instant, or what the one who asks is told
 */
function make(kernel: string, judged: 'every instant' | 'the answer'): Scenario {
  const { v, entities } = vfioGroup(profileByName(kernel)!, { files: 1 });
  const asks = judged === 'the answer';
  return {
    name: `K04 ${kernel}, ${judged}`,
    story: 'A device is unbound from vfio-pci while the group is asked whether it is viable.',
    entities: {
      ...entities,
      [ITERATOR_MUTEX]: mutexMachine,
      ...(asks ? { [VERDICT]: alarmMachine(['INV-29']) } : {}),
    },
    threads: {
      'device_release_driver(d0)': () => device_release_driver(v, 'd0'),
      vfio_group_get_external_user: () => vfio_group_get_external_user(v, 'd0', asks),
    },
    invariants: asks ? [] : [viable(v, 'd0')],
  };
}

/** __device_release_driver of a device that vfio-pci has. */
function* device_release_driver(v: Vfio, dev: string): Thread<void> {
  yield* notifier_call_chain(v.chain, 'UNBIND_DRIVER', { dev });
  yield* vfio_del_group_dev(v, dev);
  yield* store(dev, 'driver', null);
  yield* notifier_call_chain(v.chain, 'UNBOUND_DRIVER', { dev });
}

/** vfio_group_viable, as KVM reaches it to find and drop its reference. Its file stays open. */
function* vfio_group_get_external_user(v: Vfio, dev: string, judges: boolean): Thread<void> {
  yield* lock(ITERATOR_MUTEX);
  const ret = yield* vfio_dev_viable(v, dev);
  yield* unlock(ITERATOR_MUTEX);
  if (ret !== 0 && judges) {
    const says = `KVM is told -EINVAL, though ${dev} is only being unbound from vfio-pci`;
    yield* send(VERDICT, { type: 'alarm', rule: 'INV-29', says }, 'return -EINVAL');
  }
}

function viable(v: Vfio, dev: string): Invariant {
  return {
    id: 'INV-29',
    says: `${dev} has a driver that is neither on device_list nor on unbound_list`,
    entities: [v.group, dev],
    holds: (view) => {
      const { driver } = (view[dev].context as ObjectMemory).fields;
      const group = view[v.group].context as ObjectMemory;
      return (
        (driver ?? null) === null ||
        listed(group, 'device_list').includes(v.device(dev)) ||
        listed(group, 'unbound_list').includes(dev)
      );
    },
  };
}

export const K04: Race = race({
  id: 'K04',
  title: 'Group transiently non-viable while a device is unbinding',
  story:
    "vfio-pci's remove() takes a device off vfio's list, and dev->driver is cleared only afterwards: in between the device counts as one with a foreign driver. " +
    'KVM, which asks for the group to drop its reference, is refused and keeps it. ' +
    'The fix keeps such a device on unbound_list until UNBOUND_DRIVER. ' +
    'The search finds what it leaves open: vfio_dev_viable loads dev->driver before it looks at the list, ' +
    'so it returns -EINVAL all the same where both the driver and the entry go in between.',
  commits: [
    { id: '60720a0fc646', subject: 'vfio: Add device tracking during unbind', since: 'v4.0' },
  ],
  source: 'D K04, INV-29',
  variants: [
    {
      name: 'bug',
      expected: 'violated',
      breaks: ['INV-29'],
      kernel: 'v3.19',
      make: () => make('v3.19', 'every instant'),
    },
    {
      name: 'fixed',
      expected: 'clean',
      kernel: '60720a0fc646 (v4.0)',
      make: () => make('v4.0', 'every instant'),
    },
    {
      name: 'bug: what KVM is told',
      expected: 'violated',
      breaks: ['INV-29'],
      kernel: 'v3.19',
      make: () => make('v3.19', 'the answer'),
    },
    {
      name: 'still open: what KVM is told',
      expected: 'violated',
      breaks: ['INV-29'],
      kernel: '60720a0fc646 (v4.0)',
      make: () => make('v4.0', 'the answer'),
    },
  ],
});
