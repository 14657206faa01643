/** K02: a device leaves its group at DEL_DEVICE, while its driver is still bound. */

import { createMachine } from 'xstate';
import type { AnyStateMachine } from 'xstate';
import { device_del } from '../kernel/driver-core.js';
import { dma_map, dma_unmap } from '../kernel/dma-map.js';
import { free_irq, handle_irq_event, irqEntities } from '../kernel/irq.js';
import { kernelScenario } from '../kernel/kernel-scenario.js';
import type { DriverSetup } from '../kernel/kernel.js';
import { listenerCall } from '../kernel/notifier-chain.js';
import type { KernelProfile } from '../profiles/profile.js';
import { profileByName } from '../profiles/timeline.js';
import type { Scenario } from '../scenario.js';
import { race } from './race.js';
import type { Race } from './race.js';

const BEFORE = profileByName('v3.17')!;
const AFTER = profileByName('v3.18')!;
const IRQ = 'irq 42';

/** The device goes while its interrupt comes: the handler maps the next buffer. */
function besideIrq(profile: KernelProfile): Scenario {
  return deletion(profile, {
    name: 'k02-irq',
    story: 'A device is deleted while the interrupt handler of its driver maps a buffer.',
    driver: { remove: () => free_irq(IRQ) },
    irq: true,
  });
}

/** No second thread is needed: the driver's remove() gives its buffers back. */
function inRemove(profile: KernelProfile): Scenario {
  return deletion(profile, {
    name: 'k02-remove',
    story: 'A device is deleted, and the remove() of its driver unmaps its buffers.',
    driver: { remove: (dev, k) => dma_unmap(k, dev) },
  });
}

/** A listener on the group: v3.6 does not tell it that the driver is unbound. */
function withListener(profile: KernelProfile): Scenario {
  return deletion(profile, {
    name: 'k02-listener',
    story: 'A device is deleted, and somebody listens on the notifier chain of its group.',
    driver: {},
    listens: true,
  });
}

interface Deletion {
  readonly name: string;
  readonly story: string;
  readonly driver: DriverSetup;
  readonly irq?: boolean;
  readonly listens?: boolean;
}

function deletion(profile: KernelProfile, told: Deletion): Scenario {
  const { name, story, driver, irq = false, listens = false } = told;
  const nb = { block: 'vfio_nb', call: listenerCall('vfio') };
  return kernelScenario({
    name,
    story,
    profile,
    devices: { d0: { driver: 'nvme', group: 'g0' } },
    drivers: { nvme: driver },
    ...(listens ? { blocks: { 'g0->notifier': [nb] } } : {}),
    entities: {
      ...(irq ? irqEntities(IRQ) : {}),
      ...(listens ? { vfio: bindingListenerMachine } : {}),
    },
    run: {
      'device_del(d0)': (k) => device_del(k, 'd0'),
      ...(irq ? { [IRQ]: (k) => handle_irq_event(IRQ, () => dma_map(k, 'd0')) } : {}),
    },
  });
}

/** What a listener on a group hears of a member that is bound when it begins: B.3. */
const bindingListenerMachine: AnyStateMachine = createMachine({
  id: 'binding-listener',
  initial: 'bound',
  states: {
    bound: { on: { UNBIND_DRIVER: 'unbinding', DEL_DEVICE: 'violated' } },
    unbinding: { on: { UNBOUND_DRIVER: 'unbound', DEL_DEVICE: 'violated' } },
    unbound: { on: { DEL_DEVICE: 'left' } },
    left: {},
    violated: {
      tags: ['violation'],
      meta: {
        rule: 'B.3',
        says: () => 'd0 leaves its group, and is bound: no UNBIND_DRIVER comes',
      },
    },
  },
});

export const K02: Race = race({
  id: 'K02',
  title: 'Group/domain torn down at DEL_DEVICE while the driver is still bound',
  story:
    'device_del tells the bus first that the device goes, and unbinds its driver later. The IOMMU core took the device out of its group at the first of the two, so the driver went on with DMA that nothing translates any more. Nor was the unbinding passed on to the listeners of the group, as the device was in none by then. A notification that comes after the unbinding was added, and the core waits for it.',
  commits: [
    {
      id: '599bad38cf71',
      subject: 'driver core: Add BUS_NOTIFY_REMOVED_DEVICE event',
      since: 'v3.18',
    },
  ],
  source: 'D K02, A1.3 BN3, INV-06; B.3 for the listener',
  variants: [
    {
      name: 'bug: interrupt',
      expected: 'violated',
      breaks: ['INV-06'],
      kernel: 'v3.17',
      make: () => besideIrq(BEFORE),
    },
    {
      name: 'fixed: interrupt',
      expected: 'clean',
      kernel: '599bad38cf71 (v3.18)',
      make: () => besideIrq(AFTER),
    },
    {
      name: 'bug: remove()',
      expected: 'violated',
      breaks: ['INV-06'],
      kernel: 'v3.17',
      make: () => inRemove(BEFORE),
    },
    {
      name: 'fixed: remove()',
      expected: 'clean',
      kernel: '599bad38cf71 (v3.18)',
      make: () => inRemove(AFTER),
    },
    {
      name: 'bug: listener',
      expected: 'violated',
      breaks: ['B.3'],
      kernel: 'v3.17',
      make: () => withListener(BEFORE),
    },
    {
      name: 'fixed: listener',
      expected: 'clean',
      kernel: '599bad38cf71 (v3.18)',
      make: () => withListener(AFTER),
    },
  ],
});
