/**
 * `hotrace/testing`: tests one's own notifiers, listeners and operations for races, with any test
 * runner. The matchers for vitest are in `hotrace/testing/vitest`.
 */

export { check } from './check.js';
export type { Checked, CheckedOn, CheckOptions } from './check.js';
export { checkText } from './check-text.js';
export type { CheckTextOptions } from './check-text.js';
export type { Budget } from './budget.js';
export { RaceError, races } from './races.js';
export type { Races } from './races.js';
export type { Generation, Testable } from './generations.js';
export { allFailures, FAILURES_FOLDER } from './failures.js';
export type { FailuresOptions, SavedFailure } from './failures.js';
export { rule, ruled, RuleRun } from './own-rule.js';
export type { Heard, OwnRule, RuleDefinition } from './own-rule.js';
export { respects, respectText } from './respects.js';
export type { Log, Respect, RespectOptions } from './respects.js';
export { isProgram, programProblem, programScenario, programText } from './hotplug-program.js';
export type {
  HotplugProgram,
  ProgramCode,
  ProgramDevice,
  ProgramDriver,
  ProgramListener,
} from './hotplug-program.js';
export { OPERATION_NAMES, operationText } from './operations.js';
export type { Operation, OperationName } from './operations.js';
export { minimise, removals } from './minimise.js';
export { breaksRule, brokenRules } from './broken-rules.js';
export type { Broken } from './broken-rules.js';
export { smallestFailure } from './smallest-failure.js';
export type { SmallestFailure } from './smallest-failure.js';
export {
  devices,
  drivers,
  faultBudgets,
  kernels,
  listenerSets,
  programs,
  topologies,
} from './arbitraries.js';
export type { ProgramConstraints, Topology, TopologyConstraints } from './arbitraries.js';
export { assertPrograms, checkPrograms } from './check-programs.js';
export type { ProgramFailure, ProgramsChecked, ProgramsOptions } from './check-programs.js';
export { checkLive, liveText } from './check-live.js';
export type {
  Hops,
  LiveChecked,
  LiveFailure,
  LiveOn,
  LiveOptions,
  MakeListener,
} from './check-live.js';
export { ControlledSchedule } from './controlled-schedule.js';
export type { Choose, Chosen } from './controlled-schedule.js';
