/**
 * One notifier block on the chains of two buses: the link is in the block, so the chains become one
 * from there on. Source: D K01, B.1.1.
 */

import { assign, setup } from 'xstate';
import type { AnyStateMachine } from 'xstate';
import type { Says } from '../intern.js';
import {
  listenerCall,
  notifier_call_chain,
  notifier_chain_register,
} from '../kernel/notifier-chain.js';
import type { Chain } from '../kernel/notifier-chain.js';
import { notifierListMachine } from '../notifier-list.js';
import type { NotifierListBreaks } from '../notifier-list.js';
import { profileByName } from '../profiles/timeline.js';
import { rwsemMachine } from '../rwsem.js';
import type { Invariant, Scenario } from '../scenario.js';
import type { Thread } from '../step.js';
import { race } from './race.js';
import type { Race } from './race.js';

const profile = profileByName('v6.5')!;
const LIST = 'notifier blocks';
const BUSES = ['pci', 'vio'] as const;
type Bus = (typeof BUSES)[number];

export const K01: Race = race({
  id: 'K01',
  title: 'One notifier_block on several buses',
  story:
    'fail_iommu registers one notifier block on the PCI bus and then on the VIO bus. Both chains now go on behind that block alike. So vgaarb, which registers on the PCI bus, is called for a VIO device, and takes it for a struct pci_dev. In the other order, where vgaarb was on the PCI bus already, it is lost from there.',
  commits: [
    {
      id: 'c37b6908f7b2',
      subject: 'powerpc/iommu: Fix notifiers being shared by PCI and VIO buses',
      since: 'v6.6',
      cve: 'CVE-2023-54095',
    },
  ],
  source: 'D K01, INV-13, INV-14, INV-15',
  variants: [
    {
      name: 'bug: one block on two chains',
      expected: 'violated',
      breaks: ['INV-15'],
      kernel: 'v6.5',
      make: () => scenarioOf('shared', 'when linked', 'vgaarb last'),
    },
    {
      name: 'bug: called for a device of the other bus',
      expected: 'violated',
      breaks: ['INV-15'],
      kernel: 'v6.5',
      make: () => scenarioOf('shared', 'when met', 'vgaarb last'),
    },
    {
      name: 'bug: a listener is lost',
      expected: 'violated',
      breaks: ['INV-13'],
      kernel: 'v6.5',
      make: () => scenarioOf('shared', 'when met', 'vgaarb between'),
    },
    {
      name: 'fixed: a block for each bus',
      expected: 'clean',
      kernel: 'c37b6908f7b2 (v6.6)',
      make: () => scenarioOf('each its own', 'when linked', 'vgaarb last'),
    },
    {
      name: 'fixed: a block for each bus, registered around vgaarb',
      expected: 'clean',
      kernel: 'c37b6908f7b2 (v6.6)',
      make: () => scenarioOf('each its own', 'when linked', 'vgaarb between'),
    },
  ],
});

function scenarioOf(
  blocks: 'shared' | 'each its own',
  breaks: NotifierListBreaks,
  order: 'vgaarb last' | 'vgaarb between',
): Scenario {
  const blockOf = (bus: Bus) => (blocks === 'shared' ? 'fail_iommu_nb' : `fail_iommu_${bus}_nb`);
  const callbacks = {
    ...Object.fromEntries(BUSES.map((bus) => [blockOf(bus), listenerCall('fail_iommu')])),
    vgaarb_nb: listenerCall('vgaarb'),
  };
  const chains = Object.fromEntries(
    BUSES.map((bus): [Bus, Chain] => [
      bus,
      { name: bus, kind: 'blocking', rwsem: `${bus}->rwsem`, profile, list: LIST, callbacks },
    ]),
  ) as Record<Bus, Chain>;
  const vgaarb = () => notifier_chain_register(chains.pci, 'vgaarb_nb');
  return {
    name: 'K01',
    story: K01.story,
    entities: {
      [LIST]: notifierListMachine(profile, breaks),
      'pci->rwsem': rwsemMachine,
      'vio->rwsem': rwsemMachine,
      fail_iommu: busListenerMachine,
      vgaarb: { machine: busListenerMachine, input: { bus: 'pci' } },
    },
    threads: {
      initcalls: function* () {
        yield* notifier_chain_register(chains.pci, blockOf('pci'));
        if (order === 'vgaarb between') yield* vgaarb();
        yield* notifier_chain_register(chains.vio, blockOf('vio'));
        if (order === 'vgaarb last') yield* vgaarb();
        if (order === 'vgaarb between') yield* added(chains.pci, 'gpu');
      },
      ...(order === 'vgaarb last'
        ? { 'device_add(viodev)': () => added(chains.vio, 'viodev') }
        : {}),
    },
    invariants: order === 'vgaarb between' ? [TOLD] : [],
  };
}

function* added(chain: Chain, dev: string): Thread<void> {
  yield* notifier_call_chain(chain, 'ADD_DEVICE', { dev, bus: chain.name });
}

const TOLD: Invariant = {
  id: 'INV-13',
  says: 'vgaarb is registered on the PCI bus and is not told of gpu, which was added there later',
  entities: ['vgaarb'],
  when: 'end',
  holds: ({ vgaarb }) => (vgaarb.context as ListenerMemory).heard.includes('gpu'),
};

interface ListenerMemory {
  /** Where its devices are from; any bus where left out. */
  readonly bus?: string;
  readonly heard: readonly string[];
}

interface MachineTypes {
  context: ListenerMemory;
  events: { readonly type: 'ADD_DEVICE'; readonly dev: string; readonly bus: string };
  input: { readonly bus?: string } | undefined;
}
const TYPES = {} as MachineTypes;

/** A callback that casts what it is called with to the device of its bus. */
const busListenerMachine: AnyStateMachine = setup({
  types: TYPES,
  guards: {
    foreign: ({ context, event }) => context.bus !== undefined && context.bus !== event.bus,
  },
  actions: {
    hear: assign(({ context, event }) => ({ heard: [...context.heard, event.dev] })),
  },
}).createMachine({
  id: 'bus-listener',
  context: ({ input }) => ({ ...input, heard: [] }),
  initial: 'listening',
  states: {
    listening: {
      on: { ADD_DEVICE: [{ guard: 'foreign', target: 'violated' }, { actions: 'hear' }] },
    },
    violated: {
      tags: ['violation'],
      meta: {
        rule: 'INV-15',
        says: (({ entity, event, context }) =>
          `${entity} registered on ${String((context as ListenerMemory).bus)}, and its callback gets ${String(event.dev)} of ${String(event.bus)}`) satisfies Says,
      },
    },
  },
});
