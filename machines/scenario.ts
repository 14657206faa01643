/**
 * What the explorer explores: machines, threads that send them events, and what must hold.
 */

import type { AnyStateMachine } from 'xstate';
import type { EventFact } from '../events/event.js';
import type { ThreadBody } from './step.js';

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
  /** What is broken when it does not hold, as a sentence. */
  readonly says?: string;
  readonly entities: readonly string[];
  /** In every state; `end`: only where no thread can go on and all are over (leaks). */
  readonly when?: 'always' | 'end';
  holds(view: Readonly<Record<string, EntityView>>): boolean;
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
  readonly invariants?: readonly Invariant[];
  readonly symmetry?: readonly Symmetry[];
  /** Threads that may be left waiting at the end: daemons. */
  readonly mayWait?: readonly string[];
  /** How the log of a schedule begins, where steps say their `facts`. */
  readonly log?: {
    /** The kernel whose operations these are: `v3.6`. */
    readonly kernel: string;
    /** What one task did before the threads began. */
    readonly before: readonly EventFact[];
  };
}

/** The scenario as it is; for its type. */
export function scenario(definition: Scenario): Scenario {
  return definition;
}
