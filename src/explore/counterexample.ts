/**
 * A violation made readable: the cheapest schedule, without what has no part in it, the pair of
 * steps that race, the step after which nothing helps, who waits for whom. Source: exploration.md
 * section 3.
 */

import type { AnyEventObject, AnyMachineSnapshot } from 'xstate';
import { brokenRules as brokenBy, dotted, saysOf } from '../../machines/intern.js';
import { heardEvent, hears } from '../../machines/scenario.js';
import { confirm } from './confirm.js';
import { continuation } from './continuation.js';
import { Independence } from './independence.js';
import { waitForEver } from './partial-deadlock.js';
import { otherOrder } from './other-order.js';
import type { OtherOrder } from './other-order.js';
import type { Program } from './program.js';
import { textOf } from './scenario-error.js';
import { carryOut, nameOf } from './schedule.js';
import type { Move, Schedule, ScheduledStep } from './schedule.js';
import { Kind } from './thread-trie.js';
import { brokenRules, DEADLOCK, EXCEPTION, PARTIAL_DEADLOCK } from './verdict-rules.js';

/** Who waits, for what, and who has it. */
export interface Waiting {
  readonly thread: string;
  /** `lock(group->mutex)` */
  readonly what: string;
  readonly entity: string | undefined;
  /** Threads named by the machine that it waits for: its owner, its readers. */
  readonly holders: readonly {
    readonly thread: string;
    readonly since: ScheduledStep | undefined;
  }[];
}

export interface Counterexample {
  /** `INV-01`, `deadlock`, `exception` */
  readonly rule: string;
  /** What happened, as a sentence. */
  readonly says: string;
  readonly steps: readonly ScheduledStep[];
  readonly preemptions: number;
  /** Searched: no schedule with fewer preemptions breaks the rule, and none with as many is shorter. */
  readonly cheapest: boolean;
  /** Steps of the cheapest schedule that were left out, because they have no part in it. */
  readonly leftOut: number;
  /** Two steps whose order matters, the later one the last such; indexes into `steps`. */
  readonly race: readonly [first: number, second: number] | undefined;
  /** What happens when the later step of the race is made before the earlier one. */
  readonly otherOrder: OtherOrder | undefined;
  /**
   * Index of the first step after which every continuation breaks a rule; undefined: not known, or
   * steps were left out.
   */
  readonly critical: number | undefined;
  /** Of a deadlock. */
  readonly waiting: readonly Waiting[];
  /** It went the same way through plain xstate actors and the rxjs bus. */
  readonly confirmed: boolean;
}

/** States that are looked at for the critical step. */
const MAX_CONTINUATIONS = 20_000;

/** @param cheapest whether the moves are known to be the cheapest */
export function counterexample(
  program: Program,
  rule: string,
  moves: readonly Move[],
  cheapest: boolean,
): Counterexample {
  const whole = carryOut(program, moves);
  const kept = slice(program, rule, moves);
  const shown = kept === undefined ? whole : carryOut(program, kept);
  const shownMoves = kept ?? moves;
  const { diverged, broken, threw, goesOn } = confirm(program.scenario, shown.steps);
  const before = dependencies(program, shownMoves);
  const race = racingPair(shown.steps, before);
  const machine = breakerOf(program, shown.row, rule) !== undefined;
  const partial = rule === PARTIAL_DEADLOCK;
  return {
    rule,
    says: sentence(program, rule, shown, shownMoves),
    steps: shown.steps,
    preemptions: whole.preemptions,
    cheapest,
    leftOut: whole.steps.length - shown.steps.length,
    race,
    // Whether somebody waits for ever beside others is not told from one way to go on.
    otherOrder:
      race === undefined || partial ? undefined : otherOrder(program, shownMoves, race, before),
    critical: kept === undefined && !partial ? criticalStep(program, moves) : undefined,
    waiting: waiting(program, shown, stuckBy(program, rule, shown.row)),
    confirmed:
      diverged === undefined &&
      (!machine || broken.includes(rule)) &&
      (rule !== EXCEPTION || threw.length > 0) &&
      (rule !== DEADLOCK || goesOn === undefined),
  };
}

/** Who breaks a rule: an entity, or a monitor. */
interface Breaker {
  readonly column: number;
  readonly name: string;
  readonly snapshot: AnyMachineSnapshot;
}

function breakerOf(program: Program, row: Int32Array, rule: string): Breaker | undefined {
  for (let column = 0; column < program.entities; column++) {
    if (!program.tables[column].rules(row[column]).includes(rule)) continue;
    for (const [name, snapshot] of program.parts(column, row[column])) {
      if (brokenBy(snapshot).includes(rule)) return { column, name, snapshot };
    }
  }
  return undefined;
}

function sentence(
  program: Program,
  rule: string,
  schedule: Schedule,
  moves: readonly Move[],
): string {
  const breaker = breakerOf(program, schedule.row, rule);
  if (breaker !== undefined) {
    const { column, name, snapshot } = breaker;
    const says = saysOf(snapshot);
    const event = lastHeard(program, name, schedule, moves);
    if (says !== undefined && event !== undefined) {
      const before = carryOut(program, moves.slice(0, -1)).row[column];
      const { context } = program.view(name, before);
      return says({ entity: name, event, context });
    }
    return `${name} came to state ${dotted(snapshot.value)}`;
  }
  if (rule === DEADLOCK || rule === PARTIAL_DEADLOCK) {
    const stuck = stuckBy(program, rule, schedule.row);
    const names = stuck.map((t) => program.trie.threads[t].name);
    const beside = rule === DEADLOCK ? '' : ' while others go on';
    return `${names.join(' and ')} ${names.length === 1 ? 'waits' : 'wait'} for ever${beside}`;
  }
  if (rule === EXCEPTION) {
    for (let c = program.entities; c < schedule.row.length; c++) {
      const node = schedule.row[c];
      if (program.trie.kind[node] !== Kind.Threw) continue;
      const error = program.trie.error[node];
      const told = error instanceof Error ? `${error.name}: ${error.message}` : textOf(error);
      return `${program.trie.threads[program.trie.thread[node]].name} threw ${told}`;
    }
  }
  const viewOf = (name: string) =>
    program.view(name, schedule.row[program.columns.columnOf(name)!]);
  for (const invariant of program.scenario.invariants ?? []) {
    const { id, entities, says } = invariant;
    // Several may have the id; what is told is the one that is broken here.
    const view = Object.fromEntries(entities.map((name) => [name, viewOf(name)]));
    if (id !== rule || invariant.holds(view)) continue;
    if (typeof says === 'function') return says(view);
    const state = entities
      .map((name) => `${name} is ${JSON.stringify(view[name].context ?? view[name].state)}`)
      .join(', ');
    return says === undefined ? state : `${says} (${state})`;
  }
  return 'it does not hold';
}

/** The event that came to an entity or a monitor with the last step, if one did. */
function lastHeard(
  program: Program,
  name: string,
  { steps }: Schedule,
  moves: readonly Move[],
): AnyEventObject | undefined {
  const last = steps.at(-1);
  if (last?.entity === name) return last.event as AnyEventObject;
  const monitor = program.scenario.monitors?.[name];
  if (monitor === undefined || last === undefined) return undefined;
  const { row } = carryOut(program, moves.slice(0, -1));
  const step = program.trie.step[row[program.entities + moves.at(-1)!.thread]];
  if (step?.type !== 'send' || step.delivery === undefined) return undefined;
  return hears(monitor, step.delivery) ? heardEvent(step.delivery) : undefined;
}

/** For each step the earlier ones that it depends on: same thread, or same machine and not commuting. */
function dependencies(program: Program, moves: readonly Move[]): number[][] {
  const { entities, trie } = program;
  const independence = program.tables.map((table) => new Independence(table));
  const row = program.start(trie.threads.length);
  const sent: { entity: number; event: number; thread: number; local: number; node: number }[] = [];
  const before: number[][] = [];
  for (const { thread, outcome } of moves) {
    const node = row[entities + thread];
    program.enabled(row, thread);
    const entity = trie.entity[node];
    const event = trie.event[node];
    const local = entity < 0 ? -1 : row[entity];
    before.push(
      sent.flatMap((earlier, j) => {
        if (earlier.thread === thread) return [j];
        if (trie.kind[earlier.node] === Kind.Spawn && trie.other[earlier.node] === thread)
          return [j];
        if (trie.kind[node] === Kind.Join && trie.other[node] === earlier.thread) return [j];
        if (entity < 0 || earlier.entity !== entity) return [];
        return independence[entity].commute(earlier.local, earlier.event, event) ? [] : [j];
      }),
    );
    sent.push({ entity, event, thread, local, node });
    program.step(row, thread, outcome);
  }
  return before;
}

/** The moves in the causal past of the violation, where they alone still break the rule. */
function slice(
  program: Program,
  rule: string,
  moves: readonly Move[],
): readonly Move[] | undefined {
  if (rule === DEADLOCK || rule === PARTIAL_DEADLOCK || moves.length === 0) return undefined;
  const final = carryOut(program, moves).row;
  if (!brokenRules(program, final, false).includes(rule)) return undefined;
  const before = dependencies(program, moves);
  const past = pastOf(moves.length - 1, before);
  if (past.size === moves.length) return undefined;
  const kept = moves.filter((_, i) => past.has(i));
  const { row, reached } = carryOut(program, kept);
  return reached === kept.length && brokenRules(program, row, false).includes(rule)
    ? kept
    : undefined;
}

/**
 * The last two steps of different threads that do not commute, but for locks taken and released. Two
 * that a third one between them orders, which saw the first and led to the second, are no race.
 */
function racingPair(
  steps: readonly ScheduledStep[],
  before: readonly (readonly number[])[],
): readonly [number, number] | undefined {
  const isLock = (i: number) =>
    /^(lock|unlock|.*_read|.*_write)$/.test(String(steps[i].event?.type));
  for (let second = steps.length - 1; second > 0; second--) {
    const { thread, entity } = steps[second];
    // What one thread starts or waits for of another is no race.
    if (entity === undefined || isLock(second)) continue;
    const first = before[second].findLast(
      (j) => steps[j].thread !== thread && steps[j].entity === entity,
    );
    if (first === undefined || isLock(first)) continue;
    const past = pastOf(second, before);
    const saw = (k: number) =>
      k > first && !isLock(k) && steps[k].entity === entity && before[k].includes(first);
    if (![...past].some((k) => k !== second && saw(k))) return [first, second];
  }
  return undefined;
}

/** A step and all that it depends on. */
function pastOf(step: number, before: readonly (readonly number[])[]): ReadonlySet<number> {
  const past = new Set([step]);
  for (const i of past) for (const j of before[i]) past.add(j);
  return past;
}

/** The first step after which every continuation breaks a rule. */
function criticalStep(program: Program, moves: readonly Move[]): number | undefined {
  const budget = { left: MAX_CONTINUATIONS };
  const hopeless = new Set<string>();
  for (let n = 0; n < moves.length; n++) {
    const { row } = carryOut(program, moves.slice(0, n + 1));
    const further = continuation(program, row, budget, hopeless);
    if (further === undefined) return undefined;
    if (!further.escapes) return n;
  }
  return undefined;
}

/** Who waits for ever where a rule is broken that says so. */
function stuckBy(program: Program, rule: string, row: Int32Array): readonly number[] {
  if (rule === DEADLOCK) return program.stuck(row);
  return rule === PARTIAL_DEADLOCK ? waitForEver(program, row) : [];
}

function waiting(program: Program, { row, steps }: Schedule, stuck: readonly number[]): Waiting[] {
  const { entities, trie } = program;
  return stuck.map((t) => {
    const node = row[entities + t];
    const thread = trie.threads[t].name;
    const what = nameOf(program, node, 0);
    const entity = trie.entity[node];
    if (entity < 0) {
      const other = trie.other[node];
      const holders = other < 0 ? [] : [{ thread: trie.threads[other].name, since: undefined }];
      return { thread, what, entity: undefined, holders };
    }
    const name = program.sent(node)!.entity;
    const told = stringsIn(program.view(name, row[entity]).context);
    const holders = trie.threads
      .filter((other) => told.has(other.name))
      // Who queues is in its own way only where nobody else is.
      .filter((other, _, all) => all.length === 1 || other.name !== thread)
      .map((other) => ({
        thread: other.name,
        // Of what it has, not of the queue that it stands in now.
        since: steps.findLast(
          (s) =>
            s.entity === name &&
            s.thread === other.name &&
            (other.name !== thread || s.event?.type !== 'queue_write'),
        ),
      }));
    return { thread, what, entity: name, holders };
  });
}

function stringsIn(value: unknown, into = new Set<string>()): Set<string> {
  if (typeof value === 'string') into.add(value);
  else if (value !== null && typeof value === 'object') {
    for (const [key, inner] of Object.entries(value)) {
      into.add(key);
      stringsIn(inner, into);
    }
  }
  return into;
}
