/**
 * A scenario compiled to integers: columns of entities and threads, and what a step does to a row
 * of them. All search orders run on this.
 */

import type { AnyEventObject, AnyMachineSnapshot, AnyStateMachine } from 'xstate';
import { Columns, viewOf } from './columns.js';
import { budgeted } from './fault-budget.js';
import { LocalTable, UNKNOWN, Values } from './local-table.js';
import { knownNames, messageOf, ScenarioError } from './scenario-error.js';
import type { EntityView, Invariant, Scenario } from '../../machines/scenario.js';
import { Kind, ThreadTrie } from './thread-trie.js';

/** Threads are bits of a number. */
export const MAX_THREADS = 30;
/** Steps of one thread. */
export const DEFAULT_MAX_STEPS = 1000;

/** An invariant over several entities, by their columns. */
export interface CompiledInvariant {
  readonly invariant: Invariant;
  readonly columns: readonly number[];
  /** Results by the snapshots of its entities. */
  readonly known: Map<string, boolean>;
}

export class Program {
  readonly columns: Columns;
  /** Names of the columns. */
  readonly entityNames: readonly string[];
  /** By entity. Entities of one machine have one table. */
  readonly tables: readonly LocalTable[];
  readonly values = new Values();
  readonly trie: ThreadTrie;
  /** Snapshots of the entities at the start. */
  readonly initial: readonly number[];
  readonly invariants: readonly CompiledInvariant[];
  readonly atEnd: readonly CompiledInvariant[];
  /** By entity: an invariant that holds all the time looks at it. */
  readonly visible: readonly boolean[];
  readonly declaredThreads: number;
  private readonly mayWait: ReadonlySet<string>;

  /** With its fault budget filled. */
  readonly scenario: Scenario;

  /** @param declared may say in `faults` what its budget holds */
  constructor(declared: Scenario, maxSteps = DEFAULT_MAX_STEPS) {
    if (maxSteps < 1) {
      throw new ScenarioError(`${maxSteps} steps of a thread`, 'bounds', 'look at 1 or more');
    }
    const scenario = budgeted(declared);
    this.scenario = scenario;
    this.columns = new Columns(scenario);
    this.entityNames = this.columns.all.map(({ name }) => name);
    const byMachine = new Map<AnyStateMachine, LocalTable>();
    const tables: LocalTable[] = [];
    const initial: number[] = [];
    for (const { name, machine, input } of this.columns.all) {
      try {
        let table = byMachine.get(machine);
        if (table === undefined) {
          table = new LocalTable(machine, this.values);
          byMachine.set(machine, table);
        }
        tables.push(table);
        initial.push(table.interned.start(input));
        table.grow();
      } catch (error) {
        throw new ScenarioError(
          `the machine does not start: ${messageOf(error)}`,
          `entity "${name}"`,
          '',
          { cause: error },
        );
      }
    }
    this.tables = tables;
    this.initial = initial;
    const bodies = Object.entries(scenario.threads);
    checkThreads(bodies.length);
    this.trie = new ThreadTrie(
      this.values,
      (entity, event, delivery, where) => {
        const column = Object.hasOwn(scenario.entities, entity)
          ? this.columns.columnOf(entity)
          : undefined;
        if (column === undefined) {
          const known = knownNames(Object.keys(scenario.entities));
          throw new ScenarioError(`there is no entity "${entity}"`, where, `there are ${known}`);
        }
        this.checkEvent(entity, event, where);
        const sent = this.columns.event(entity, event, delivery, where);
        return { entity: column, event: this.tables[column].event(sent) };
      },
      maxSteps,
    );
    for (const [name, body] of bodies) this.trie.addThread(name, body);
    this.declaredThreads = bodies.length;
    const compiled = (scenario.invariants ?? []).map((invariant): CompiledInvariant => {
      const of = invariant.entities.map((entity) => {
        const column = this.columns.columnOf(entity);
        if (column === undefined) {
          throw new ScenarioError(
            `there is no entity "${entity}"`,
            `invariant ${invariant.id}`,
            `there are ${knownNames(Object.keys(scenario.entities))}`,
          );
        }
        return column;
      });
      return { invariant, columns: of, known: new Map() };
    });
    this.invariants = compiled.filter(({ invariant }) => invariant.when !== 'end');
    this.atEnd = compiled.filter(({ invariant }) => invariant.when === 'end');
    const seen = new Set(this.invariants.flatMap(({ columns }) => columns));
    this.visible = this.entityNames.map((_, column) => seen.has(column));
    this.mayWait = new Set(scenario.mayWait ?? []);
  }

  /** Number of entities: the columns before those of the threads. */
  get entities(): number {
    return this.tables.length;
  }

  /** Calls of xstate so far. */
  get computed(): number {
    return [...new Set(this.tables)].reduce((sum, table) => sum + table.computed, 0);
  }

  /** A row for `threads` threads, at the start. */
  start(threads: number): Int32Array {
    const row = new Int32Array(this.entities + threads);
    row.set(this.initial);
    for (let t = 0; t < this.declaredThreads; t++) row[this.entities + t] = this.trie.root(t);
    return row;
  }

  /** Whether thread `t` can make its step. */
  enabled(row: Int32Array, t: number): boolean {
    const { trie, entities } = this;
    const node = row[entities + t];
    if (node === 0) return false;
    switch (trie.kind[node]) {
      case Kind.Send: {
        const entity = trie.entity[node];
        const table = this.tables[entity];
        const event = trie.event[node];
        const snapshot = row[entity];
        let next = table.next[snapshot * table.stride + event];
        if (next === UNKNOWN) next = this.compute(entity, snapshot, event, node);
        return next >= 0;
      }
      case Kind.Choose:
      case Kind.Spawn:
        return true;
      case Kind.Join: {
        const other = row[entities + trie.other[node]];
        return other !== 0 && trie.kind[other] === Kind.Done;
      }
      default:
        return false;
    }
  }

  /** In how many ways thread `t` can make its step: more than one for a choice. */
  outcomes(row: Int32Array, t: number): number {
    const node = row[this.entities + t];
    return this.trie.kind[node] === Kind.Choose ? this.trie.options[node].length : 1;
  }

  /** Makes the step of thread `t`, which is enabled, in `row`. Returns the node that it comes to. */
  step(row: Int32Array, t: number, outcome: number): number {
    const { trie, entities } = this;
    const node = row[entities + t];
    const next = trie.child(node, this.reply(row, node, outcome));
    const entity = trie.entity[node];
    if (entity >= 0) {
      const table = this.tables[entity];
      row[entity] = table.next[row[entity] * table.stride + trie.event[node]];
    } else if (trie.kind[node] === Kind.Spawn) {
      const other = trie.other[node];
      row[entities + other] = trie.startedBy(node);
    }
    row[entities + t] = next;
    return next;
  }

  /** What the step at `node`, which is enabled, is answered: the id of a value. */
  reply(row: Int32Array, node: number, outcome: number): number {
    const { trie } = this;
    switch (trie.kind[node]) {
      case Kind.Send: {
        const entity = trie.entity[node];
        const table = this.tables[entity];
        return table.reply[row[entity] * table.stride + trie.event[node]];
      }
      case Kind.Choose:
        return trie.options[node][outcome];
      case Kind.Spawn:
        return this.values.intern(trie.threads[trie.other[node]].name);
      default:
        return 0;
    }
  }

  /** The node that a step, which is enabled, would come to. */
  nodeAfter(row: Int32Array, node: number, outcome: number): number {
    return this.trie.child(node, this.reply(row, node, outcome));
  }

  /** Threads that wait in a state in which nobody can go on, but for those that may. */
  stuck(row: Int32Array): number[] {
    const stuck: number[] = [];
    for (let t = 0; t < row.length - this.entities; t++) {
      const node = row[this.entities + t];
      if (node === 0) continue;
      const kind = this.trie.kind[node];
      if (kind === Kind.Done || kind === Kind.Threw || kind === Kind.Cut) continue;
      if (!this.mayWait.has(this.trie.threads[t].name)) stuck.push(t);
    }
    return stuck;
  }

  /** Whether thread `t` may be left waiting at the end. */
  mayWaitAtEnd(t: number): boolean {
    return this.mayWait.has(this.trie.threads[t].name);
  }

  holds(compiled: CompiledInvariant, row: Int32Array): boolean {
    const key = compiled.columns.map((column) => row[column]).join(' ');
    let holds = compiled.known.get(key);
    if (holds === undefined) {
      const { invariant, columns } = compiled;
      const view = Object.fromEntries(
        invariant.entities.map((name, i) => [name, this.view(name, row[columns[i]])]),
      );
      try {
        holds = invariant.holds(view);
      } catch (error) {
        throw new ScenarioError(messageOf(error), `invariant ${invariant.id}`, '', {
          cause: error,
        });
      }
      if (typeof holds !== 'boolean') {
        const where = `invariant ${invariant.id}`;
        throw new ScenarioError('it answers neither true nor false', where, 'return a boolean');
      }
      compiled.known.set(key, holds);
    }
    return holds;
  }

  /** An entity or a monitor, in a snapshot of its column. */
  view(name: string, snapshot: number): EntityView {
    return viewOf(this.parts(this.columns.columnOf(name)!, snapshot).get(name)!);
  }

  /** The plain snapshots of what is in a column, by name. */
  parts(column: number, snapshot: number): ReadonlyMap<string, AnyMachineSnapshot> {
    const parts = this.columns.parts(column, this.tables[column].interned, snapshot);
    return new Map(parts.map((part) => [part.name, part.snapshot]));
  }

  /** What is sent at `node`, as its thread sends it; undefined where nothing is. */
  sent(node: number): { readonly entity: string; readonly event: AnyEventObject } | undefined {
    const { trie } = this;
    const column = trie.entity[node];
    if (column < 0) return undefined;
    return this.columns.sent(column, this.tables[column].interned.eventOf(trie.event[node]));
  }

  private checkEvent(entity: string, event: AnyEventObject, where: string): void {
    const machine = this.columns.machineOf(entity);
    if (typeof event?.type !== 'string') {
      throw new ScenarioError('an event without a type', where, 'events are { type: … }');
    }
    const known = machine.events as readonly string[];
    if (!known.some((descriptor) => describes(descriptor, event.type))) {
      throw new ScenarioError(
        `"${entity}" accepts no "${event.type}" in any state`,
        where,
        `machine "${machine.id}" knows ${knownNames(known)}`,
      );
    }
  }

  private compute(entity: number, snapshot: number, event: number, node: number): number {
    try {
      return this.tables[entity].compute(snapshot, event);
    } catch (error) {
      if (error instanceof ScenarioError) throw error;
      const sent = this.sent(node)!;
      const failed = new ScenarioError(
        `"${sent.entity}" failed at "${sent.event.type}": ${messageOf(error)}`,
        this.trie.where(node),
        '',
        { cause: error },
      );
      failed.generator = this.trie.standing(node);
      throw failed;
    }
  }
}

export function checkThreads(count: number): void {
  if (count > MAX_THREADS) {
    throw new ScenarioError(
      `there are ${count} threads`,
      'threads',
      `at most ${MAX_THREADS} can be explored: every further one multiplies the interleavings`,
    );
  }
}

function describes(descriptor: string, type: string): boolean {
  if (descriptor === '*' || descriptor === type) return true;
  return descriptor.endsWith('.*') && type.startsWith(descriptor.slice(0, -1));
}
