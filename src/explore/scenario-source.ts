/** Where a scenario comes from: what another thread needs to make it for itself. */

import type { Scenario } from '../../machines/scenario.js';

/** An exported function of a module, and what it is called with: plain data. */
export interface ScenarioSource {
  /** URL of an ES module. */
  readonly module: string;
  /** `default` or the name of an export. */
  readonly name: string;
  readonly args: readonly unknown[];
}

/** Throws what the module or the function throws, TypeError where it is no function. */
export async function fromSource({ module, name, args }: ScenarioSource): Promise<Scenario> {
  const exported = ((await import(module)) as Record<string, unknown>)[name];
  if (typeof exported !== 'function') throw new TypeError(`${module} exports no function ${name}`);
  return (await (exported as (...given: unknown[]) => unknown)(...args)) as Scenario;
}
