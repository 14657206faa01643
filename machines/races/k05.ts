/**
 * A block registered a second time on its chain: what that did before kernel/notifier.c looked, and
 * what the two ways to answer it promise. Source: D K05, B.1.1.
 */

import {
  free_notifier_block,
  listenerCall,
  notifier_call_chain,
  notifier_chain_register,
  notifier_chain_unregister,
} from '../kernel/notifier-chain.js';
import type { Chain } from '../kernel/notifier-chain.js';
import { membershipListenerMachine } from '../membership-listener.js';
import { notifierListMachine } from '../notifier-list.js';
import type { NotifierListBreaks } from '../notifier-list.js';
import { profileByName } from '../profiles/timeline.js';
import type { EntityView, Invariant, Scenario } from '../scenario.js';
import { send } from '../step.js';
import type { Thread } from '../step.js';
import { variableMachine } from '../variable.js';
import { chainOf } from './chain-unregister.js';
import { race } from './race.js';
import type { Race, RaceVariant } from './race.js';

const CASES = {
  'reg A, A, B': {
    breaks: ['INV-14'],
    *does(chain) {
      yield* notifier_chain_register(chain, 'A');
      yield* notifier_chain_register(chain, 'A');
      yield* notifier_chain_register(chain, 'B');
    },
  },
  'reg A, A, call': {
    breaks: ['INV-14'],
    *does(chain) {
      yield* notifier_chain_register(chain, 'A');
      yield* notifier_chain_register(chain, 'A');
      yield* notifier_call_chain(chain, 'ADD_DEVICE', { dev: 'd0' });
    },
  },
  'reg A, B, A, call': {
    breaks: ['INV-13'],
    *does(chain) {
      yield* notifier_chain_register(chain, 'A');
      yield* notifier_chain_register(chain, 'B');
      yield* notifier_chain_register(chain, 'A');
      yield* notifier_call_chain(chain, 'ADD_DEVICE', { dev: 'd0' });
    },
    told: ['A', 'B'],
  },
  'reg A, A, unreg A, call': {
    breaks: ['INV-24'],
    *does(chain) {
      yield* notifier_chain_register(chain, 'A');
      yield* notifier_chain_register(chain, 'A');
      if ((yield* notifier_chain_unregister(chain, 'A')) !== 0) return;
      yield* free_notifier_block(chain, 'A');
      yield* notifier_call_chain(chain, 'ADD_DEVICE', { dev: 'd0' });
    },
  },
} as const satisfies Readonly<Record<string, Case>>;

interface Case {
  readonly breaks: readonly string[];
  /** Blocks whose listeners are to have heard of the device. */
  readonly told?: readonly string[];
  readonly does: (chain: Chain) => Thread<void>;
}

const CASE_NAMES = Object.keys(CASES) as (keyof typeof CASES)[];

export const K05: Race = race({
  id: 'K05',
  title: 'Duplicate registration corrupts the chain',
  story:
    'A block is registered a second time on its chain. Its link is written again, so the chain bites its own tail or loses what came after the block: the next registration or call goes round for ever, a listener hears nothing any more, or unregister says 0 and the block stays linked. From v5.5 on the second registration does nothing and says 0, which promises an unregister that then fails with -ENOENT; since v5.17 it says -EEXIST.',
  commits: [
    {
      id: '1a50cb80f219',
      subject: 'kernel/notifier.c: intercept duplicate registrations to avoid infinite loops',
      since: 'v5.5',
    },
    {
      id: '5abb065dca73',
      subject: 'notifier: Return an error when a callback has already been registered',
      since: 'v5.17',
    },
  ],
  source: 'D K05, B.1.1, INV-13, INV-14, INV-24',
  variants: [
    {
      name: 'bug: reg A, A',
      expected: 'violated',
      breaks: ['INV-14'],
      kernel: 'v3.6',
      make: () => scenarioOf('reg A, A, B', 'v3.6', 'when linked'),
    },
    ...CASE_NAMES.map((name): RaceVariant => ({
      name: `bug: ${name}`,
      expected: 'violated',
      breaks: CASES[name].breaks,
      kernel: 'v3.6',
      make: () => scenarioOf(name, 'v3.6', 'when met'),
    })),
    {
      name: 'bug: two owners, 0 twice',
      expected: 'violated',
      breaks: ['INV-14'],
      kernel: 'v5.5',
      make: () => twoOwners('v5.5'),
    },
    ...CASE_NAMES.map((name): RaceVariant => ({
      name: `ignored: ${name}`,
      expected: 'clean',
      kernel: '1a50cb80f219 (v5.5)',
      make: () => scenarioOf(name, 'v5.5', 'when linked'),
    })),
    ...CASE_NAMES.map((name): RaceVariant => ({
      name: `fixed: ${name}`,
      expected: 'clean',
      kernel: '5abb065dca73 (v5.17)',
      make: () => scenarioOf(name, 'v5.17', 'when linked'),
    })),
    {
      name: 'fixed: two owners',
      expected: 'clean',
      kernel: '5abb065dca73 (v5.17)',
      make: () => twoOwners('v5.17'),
    },
  ],
});

function scenarioOf(
  name: keyof typeof CASES,
  kernel: string,
  breaks: NotifierListBreaks,
): Scenario {
  const { does, told = [] }: Case = CASES[name];
  const { chain, entities } = chainWith(kernel, breaks);
  return {
    name: 'K05',
    story: K05.story,
    entities,
    threads: { [name]: () => does(chain) },
    invariants: told.length === 0 ? [] : [everyoneTold(told)],
  };
}

/** Each registers the block, and unregisters it if that was said to have succeeded. */
function twoOwners(kernel: string): Scenario {
  const { chain, entities } = chainWith(kernel, 'when linked');
  const owner = (failed: string) =>
    function* (): Thread<void> {
      if ((yield* notifier_chain_register(chain, 'A')) !== 0) return;
      const ret = yield* notifier_chain_unregister(chain, 'A');
      yield* send(failed, { type: 'write', value: ret }, `ret = ${ret === 0 ? '0' : '-ENOENT'}`);
    };
  const returned = ['ret of owner 1', 'ret of owner 2'];
  return {
    name: 'K05',
    story: K05.story,
    entities: { ...entities, ...Object.fromEntries(returned.map((ret) => [ret, NOTHING_YET])) },
    threads: { 'owner 1': owner(returned[0]), 'owner 2': owner(returned[1]) },
    invariants: [
      {
        id: 'INV-14',
        says: 'register returned 0, and the unregister that goes with it returns -ENOENT',
        entities: returned,
        holds: (view) => returned.every((ret) => valueOf(view[ret]) === 0),
      },
    ],
  };
}

const NOTHING_YET = variableMachine(0);

function chainWith(kernel: string, breaks: NotifierListBreaks) {
  const profile = profileByName(kernel)!;
  const { chain, entities } = chainOf('blocking', profile, {
    A: listenerCall('lA'),
    B: listenerCall('lB'),
  });
  return {
    chain,
    entities: {
      ...entities,
      [chain.list]: notifierListMachine(profile, breaks),
      lA: membershipListenerMachine,
      lB: membershipListenerMachine,
    },
  };
}

function everyoneTold(blocks: readonly string[]): Invariant {
  const listeners = blocks.map((block) => `l${block}`);
  return {
    id: 'INV-13',
    says: `${blocks.join(' and ')} were registered with 0, and not all of them hear the event`,
    entities: listeners,
    when: 'end',
    holds: (view) =>
      listeners.every((name) => 'd0' in (view[name].context as { readonly heard: object }).heard),
  };
}

function valueOf(view: EntityView): unknown {
  return (view.context as { readonly value: unknown }).value;
}
