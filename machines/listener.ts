/** What makes a machine a listener. */

import { createMachine } from 'xstate';
import type { AnyStateMachine } from 'xstate';

/**
 * The machine, which lets pass what it has no transition for: a callback returns from a notification
 * that it does not know, and nobody waits for it.
 */
export function lettingPass(machine: AnyStateMachine): AnyStateMachine {
  const known = LETTING_PASS.get(machine);
  if (known !== undefined) return known;
  const config = withoutForbidden(machine.config as Node);
  // Where nothing else is enabled xstate comes to this one, at the root.
  const on = { ...config.on, '*': config.on?.['*'] ?? PASSES };
  const lets = createMachine({ ...config, on } as AnyStateMachine['config']).provide(
    machine.implementations as never,
  );
  LETTING_PASS.set(machine, lets);
  return lets;
}

interface Node {
  readonly on?: Readonly<Record<string, unknown>>;
  readonly states?: Readonly<Record<string, Node>>;
}

const PASSES = { actions: () => {} };

/** A transition that says nothing forbids its event, also to the root; here it lets it pass. */
function withoutForbidden({ on, states, ...rest }: Node): Node {
  return {
    ...rest,
    ...(on === undefined ? {} : { on: mapValues(on, (told) => (isEmpty(told) ? PASSES : told)) }),
    ...(states === undefined ? {} : { states: mapValues(states, withoutForbidden) }),
  };
}

function isEmpty(told: unknown): boolean {
  return told === undefined || (typeof told === 'object' && Object.keys(told ?? {}).length === 0);
}

function mapValues<T, U>(of: Readonly<Record<string, T>>, to: (value: T) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(of).map(([key, value]) => [key, to(value)]));
}

/** One for a machine, so that listeners that are alike share what is known of it. */
const LETTING_PASS = new WeakMap<AnyStateMachine, AnyStateMachine>();
