/**
 * A callback of a blocking chain drops what turns out to be the last reference to the owner of its
 * own block. Source: D K03, INV-16.
 */

import { notifier_call_chain } from '../kernel/notifier-chain.js';
import { vfio_del_group_dev } from '../kernel/vfio.js';
import { profileByName } from '../profiles/timeline.js';
import type { Scenario } from '../scenario.js';
import { race } from './race.js';
import type { Race } from './race.js';
import { vfioGroup } from './vfio-group.js';

/** d1 was unbound, and d0 leaves vfio. */
function make(kernel: string): Scenario {
  const { v, entities } = vfioGroup(profileByName(kernel)!);
  return {
    name: `K03 ${kernel}`,
    story: 'vfio lets go of a group while its callback on that group runs.',
    entities,
    threads: {
      'UNBOUND_DRIVER of d1': () => notifier_call_chain(v.chain, 'UNBOUND_DRIVER', { dev: 'd1' }),
      'vfio_del_group_dev(d0)': () => vfio_del_group_dev(v, 'd0'),
    },
  };
}

export const K03: Race = race({
  id: 'K03',
  title: 'Unregister from inside the callback: self-deadlock',
  story:
    "vfio's callback on the group's chain takes a reference to its vfio_group and drops it when it is done. " +
    'If the last device leaves vfio meanwhile, that is the last reference: the callback releases the group, ' +
    'which unregisters the callback from the chain that is calling it. ' +
    'down_write waits for the reader that is the same thread, and everybody who calls the chain waits behind it.',
  commits: [{ id: '811642d8d8a8', subject: 'vfio: Fix group release deadlock', since: 'v4.13' }],
  source: 'D K03, INV-16',
  variants: [
    {
      name: 'bug',
      expected: 'violated',
      breaks: ['deadlock'],
      kernel: 'v4.12',
      make: () => make('v4.12'),
    },
    {
      name: 'fixed',
      expected: 'clean',
      kernel: '811642d8d8a8 (v4.13)',
      make: () => make('v4.13'),
    },
  ],
});
