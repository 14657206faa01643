/** A scenario that cannot be explored as it is written: what, where in it, and what to do. */
export class ScenarioError extends Error {
  override readonly name = 'ScenarioError';
  /** The thread that is at fault, suspended there. */
  generator: object | undefined;
  constructor(
    readonly what: string,
    /** Where in the scenario: `thread "T0", step 3`. */
    readonly where: string,
    readonly advice: string,
    options?: ErrorOptions,
  ) {
    super(`${where}: ${what}${advice === '' ? '' : `; ${advice}`}`, options);
  }
}

/** Of a scenario whose interleavings cannot be counted. */
export function endlessLoop(scenario: string): ScenarioError {
  return new ScenarioError(
    'a loop comes back to a state that was there: its interleavings are endless',
    scenario,
    'bound the loop, or leave its loopHead() out',
  );
}
