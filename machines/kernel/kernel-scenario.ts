/** A scenario of operations on one kernel. */

import type { Entity, Invariant, Monitor, Scenario } from '../scenario.js';
import type { Thread } from '../step.js';
import { kernelInvariants } from './invariants.js';
import { Kernel } from './kernel.js';
import type { KernelSetup } from './kernel.js';

export interface KernelScenario extends KernelSetup {
  readonly name: string;
  readonly story?: string;
  /** What runs beside what, by what it is called in a counterexample. */
  readonly run: Readonly<Record<string, (k: Kernel) => Thread>>;
  /** Beside those of the kernel: listeners, memory of a driver. */
  readonly entities?: Readonly<Record<string, Entity>>;
  readonly monitors?: Readonly<Record<string, Monitor>>;
  /** Beside those that apply to every kernel. */
  readonly invariants?: readonly Invariant[];
  /** Faults in a run, at most; 1 where left out. */
  readonly faults?: number;
  readonly mayWait?: readonly string[];
}

/** The scenario, for the explorer: the operations in their threads on a kernel that is set up so. */
export function kernelScenario(told: KernelScenario): Scenario {
  return scenarioOf(new Kernel(told), told);
}

/** The same of a kernel that is made already. */
export function scenarioOf(k: Kernel, told: KernelScenario): Scenario {
  const { name, story, run, entities, monitors, invariants = [], mayWait } = told;
  return {
    name,
    ...(story === undefined ? {} : { story }),
    entities: { ...k.entities, ...entities },
    threads: Object.fromEntries(
      Object.entries(run).map(([thread, body]) => [thread, () => body(k)]),
    ),
    invariants: [...kernelInvariants(k), ...invariants],
    ...(monitors === undefined ? {} : { monitors }),
    ...(mayWait === undefined ? {} : { mayWait }),
    ...(k.budget === undefined ? {} : { faults: told.faults ?? 1 }),
    log: { kernel: k.profile.name, before: [] },
  };
}
