/** The faults of a run: how many the scenario allows, put into its budget. */

import { isFaultBudget } from '../../machines/fault-budget.js';
import type { Entity, Scenario } from '../../machines/scenario.js';
import { asEntity } from './columns.js';
import { ScenarioError } from './scenario-error.js';

/** The scenario with another number of faults; as it is where `faults` is undefined. */
export function withFaults(scenario: Scenario, faults: number | undefined): Scenario {
  return faults === undefined ? scenario : { ...scenario, faults };
}

/**
 * The scenario with its budget filled: the system that is explored. Doing it twice changes nothing.
 *
 * @throws ScenarioError where `faults` and the budget do not go together
 */
export function budgeted(scenario: Scenario): Scenario {
  const { entities, faults } = scenario;
  const budgets = Object.entries(entities).filter(([, entity]) =>
    isFaultBudget(asEntity(entity).machine),
  );
  if (budgets.length > 1) {
    const names = budgets.map(([name]) => `"${name}"`).join(', ');
    throw new ScenarioError(
      `there are ${budgets.length} fault budgets: ${names}`,
      'entities',
      'declare one: the faults of a run are counted together',
    );
  }
  if (faults !== undefined && !(Number.isSafeInteger(faults) && faults >= 0)) {
    throw new ScenarioError(`${String(faults)} faults`, 'faults', 'give a whole number from 0 on');
  }
  if (budgets.length === 0) {
    if (faults === undefined) return scenario;
    throw new ScenarioError(
      'there are faults, and nothing to count them',
      'faults',
      'declare an entity that is faultBudgetMachine, and call mayFail() where a fault may come',
    );
  }
  const [[name, entity]] = budgets;
  if (faults === undefined) {
    throw new ScenarioError(
      'nothing says how many faults a run may have',
      `entity "${name}"`,
      'say it in the scenario, `faults: 1`, or with --max-faults',
    );
  }
  const filled: Entity = { machine: asEntity(entity).machine, input: faults };
  // Not by a literal: `__proto__` is a name like others.
  return {
    ...scenario,
    entities: Object.fromEntries(
      Object.entries(entities).map(([each, of]) => [each, each === name ? filled : of]),
    ),
  };
}
