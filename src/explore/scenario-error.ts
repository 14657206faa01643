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

/** Names that are told at most. */
const MAX_NAMES = 12;

/** Names in a sentence; of many only the first. */
export function knownNames(names: readonly string[]): string {
  const more = names.length - MAX_NAMES;
  if (names.length === 0) return 'none';
  return more <= 0
    ? names.join(', ')
    : `${names.slice(0, MAX_NAMES).join(', ')} and ${more.toLocaleString('en')} more`;
}

/** What was thrown, in a line, whatever it is. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : textOf(error);
  return text.replace(/\s*\n\s*/g, ' ');
}

/** `String`, of what has no text as well. */
export function textOf(value: unknown): string {
  try {
    return String(value);
  } catch {
    return Object.prototype.toString.call(value);
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
