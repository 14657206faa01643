/**
 * What the explorer explores: machines, threads that send them events, and what must hold.
 */

import type { AnyEventObject, AnyStateMachine } from 'xstate';
import type { EventFact } from '../events/event.js';
import type { KernelProfile } from './profiles/profile.js';
import type { Delivery, ThreadBody } from './step.js';

/** One entity: a machine, or a machine with what it starts from. */
export type Entity =
  AnyStateMachine | { readonly machine: AnyStateMachine; readonly input: unknown };

/** An entity as an invariant sees it. */
export interface EntityView {
  /** `violated.delBeforeAdd`; of nested states with dots. */
  readonly state: string;
  readonly context: unknown;
  /** Has one of the tags. */
  hasTag(tag: string): boolean;
}

/** What must hold over several entities. Which ones is said, so that steps on others stay free. */
export interface Invariant {
  /** `INV-03` */
  readonly id: string;
  /**
   * What is broken when it does not hold, as a sentence; the entities are shown with it. A function
   * tells it all of those that it is given.
   */
  readonly says?: string | ((view: Readonly<Record<string, EntityView>>) => string);
  readonly entities: readonly string[];
  /** In every state; `end`: only where no thread can go on and all are over (leaks). */
  readonly when?: 'always' | 'end';
  holds(view: Readonly<Record<string, EntityView>>): boolean;
}

/**
 * A machine that nobody sends to: it hears deliveries, and a state of it tagged `violation` breaks
 * the rule. Of a delivery it gets `{ type: action, ...payload, chain, block }`, in the very step in
 * which the listener gets it; what it does not accept it lets pass.
 */
export interface Monitor {
  readonly machine: Entity;
  /** The entities whose deliveries it hears. They are said, so that others stay free. */
  readonly listeners: readonly string[];
  /** Which deliveries, all where left out; those that pass must be of `listeners`. */
  readonly hears?: {
    readonly chain?: string;
    readonly block?: string;
    /** `dev` in the payload. */
    readonly dev?: string;
  };
}

/** Whether the filter of a monitor lets a delivery pass. */
export function hears(monitor: Monitor, { chain, block, payload }: Delivery): boolean {
  const filter = monitor.hears ?? {};
  return (
    (filter.chain === undefined || filter.chain === chain) &&
    (filter.block === undefined || filter.block === block) &&
    (filter.dev === undefined || filter.dev === payload.dev)
  );
}

/** What a monitor gets of a delivery. */
export function heardEvent({ chain, block, action, payload }: Delivery): AnyEventObject {
  return { ...payload, type: action, chain, block };
}

/**
 * Names that can be exchanged for one another: the first of each list for the second of each list,
 * and so on. Of entities, threads, and what stands in events and contexts as a string of its own.
 */
export type Symmetry = Readonly<Record<string, readonly string[]>>;

export interface Scenario {
  readonly name: string;
  /** What happens, in a sentence. */
  readonly story?: string;
  readonly entities: Readonly<Record<string, Entity>>;
  readonly threads: Readonly<Record<string, ThreadBody>>;
  /** By name, which no entity has. */
  readonly monitors?: Readonly<Record<string, Monitor>>;
  readonly invariants?: readonly Invariant[];
  readonly symmetry?: readonly Symmetry[];
  /** Threads that may be left waiting at the end: daemons. */
  readonly mayWait?: readonly string[];
  /** Faults that a run may have, at most: where an entity is `faultBudgetMachine`. */
  readonly faults?: number;
  /** How the log of a schedule begins, where steps say their `facts`. */
  readonly log?: {
    /** The kernel whose operations these are: `v3.6`. */
    readonly kernel: string;
    /** What one task did before the threads began. */
    readonly before: readonly EventFact[];
  };
}

/** A scenario that is another one for each generation of kernels. */
export type ScenarioFor = (profile: KernelProfile) => Scenario;

/** The scenario as it is; for its type. */
export function scenario(definition: Scenario): Scenario {
  return definition;
}
