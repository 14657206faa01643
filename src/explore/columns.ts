/**
 * The entities of a scenario as columns of a row: one each, but listeners and the monitors that hear
 * them, which are one column together.
 *
 * A delivery changes a listener and its monitors in one step, and no step may come in between. So
 * they are parts of one product machine, and the step is still one event to one machine: what the
 * reductions ask (do two events commute, who accepts what, which rules break on the way) they ask
 * of the product's table, and the answers hold for all of its parts. Nothing is assumed of a
 * monitor. The price: what two listeners with one monitor do commutes only where the monitor is
 * none the wiser.
 */

import type { AnyEventObject, AnyMachineSnapshot, AnyStateMachine } from 'xstate';
import { dotted } from '../../machines/intern.js';
import type { InternedMachine } from '../../machines/intern.js';
import { partSnapshot, productMachine } from '../../machines/product.js';
import type { Part, ProductContext, ProductEvent, ProductInput } from '../../machines/product.js';
import { heardEvent, hears } from '../../machines/scenario.js';
import type { Entity, EntityView, Monitor, Scenario } from '../../machines/scenario.js';
import type { Delivery } from '../../machines/step.js';
import { ScenarioError } from './scenario-error.js';

export interface Column {
  readonly name: string;
  readonly machine: AnyStateMachine;
  readonly input: unknown;
  /** Of a product. */
  readonly product: Product | undefined;
}

interface Product {
  readonly listeners: readonly string[];
  readonly machines: readonly AnyStateMachine[];
  /** By the name of the part: a listener or a monitor. */
  readonly parts: ReadonlyMap<string, AnyStateMachine>;
}

const BETWEEN = ' + ';

export class Columns {
  readonly all: readonly Column[];
  /** By the name of an entity or a monitor. */
  private readonly of = new Map<string, number>();
  private readonly monitors: readonly (readonly [string, Monitor])[];

  constructor(scenario: Scenario) {
    this.monitors = Object.entries(scenario.monitors ?? {});
    this.checkMonitors(scenario);
    const groups = grouped(this.monitors);
    const products: { machine: AnyStateMachine; machines: readonly AnyStateMachine[] }[] = [];
    const all: Column[] = [];
    for (const [name, entity] of Object.entries(scenario.entities)) {
      if (this.of.has(name)) continue;
      const group = groups.find(({ listeners }) => listeners.has(name));
      if (group === undefined) {
        this.of.set(name, all.length);
        all.push({ name, ...asEntity(entity), product: undefined });
        continue;
      }
      const column = productColumn(scenario, group, products);
      for (const part of column.product!.parts.keys()) this.of.set(part, all.length);
      all.push(column);
    }
    this.all = all;
  }

  /** Undefined for a name that is neither an entity nor a monitor. */
  columnOf(name: string): number | undefined {
    return this.of.get(name);
  }

  /** The machine that has `name`: of a part, its own. */
  machineOf(name: string): AnyStateMachine {
    const column = this.all[this.of.get(name)!];
    return column.product?.parts.get(name) ?? column.machine;
  }

  /**
   * The event that a column gets for one to `entity`.
   *
   * @throws ScenarioError where a monitor hears the delivery and does not name the listener
   */
  event(
    entity: string,
    event: AnyEventObject,
    delivery: Delivery | undefined,
    where: string,
  ): AnyEventObject {
    const heard: Record<string, AnyEventObject> = {};
    if (delivery !== undefined) {
      for (const [name, monitor] of this.monitors) {
        if (!hears(monitor, delivery)) continue;
        if (!monitor.listeners.includes(entity)) {
          throw new ScenarioError(
            `monitor "${name}" hears it, and "${entity}" is not among its listeners`,
            where,
            'name it there, or say in `hears` what the monitor is to hear',
          );
        }
        heard[name] = heardEvent(delivery);
      }
    }
    const column = this.all[this.of.get(entity)!];
    return column.product === undefined
      ? event
      : ({ type: 'to', to: entity, event, heard } satisfies ProductEvent);
  }

  /** The entity and the event as the thread sent them. */
  sent(
    column: number,
    event: AnyEventObject,
  ): { readonly entity: string; readonly event: AnyEventObject } {
    const { name, product } = this.all[column];
    if (product === undefined) return { entity: name, event };
    const { to, event: own } = event as unknown as ProductEvent;
    return { entity: to, event: own };
  }

  /** The parts of a column with their snapshots; of most columns the one entity. */
  parts(
    column: number,
    interned: InternedMachine,
    snapshot: number,
  ): readonly { readonly name: string; readonly snapshot: AnyMachineSnapshot }[] {
    const { name, product } = this.all[column];
    if (product === undefined) {
      return [{ name, snapshot: interned.snapshot(snapshot) as AnyMachineSnapshot }];
    }
    const context = interned.context(snapshot) as ProductContext;
    return [...product.parts.keys()].map((part) => ({
      name: part,
      snapshot: partSnapshot(product.machines, context, part),
    }));
  }

  /** What a column is called when names are exchanged. */
  renamed(column: number, rename: (name: string) => string): string {
    const { name, product } = this.all[column];
    return product === undefined ? rename(name) : productName(product.listeners.map(rename));
  }

  private checkMonitors({ entities }: Scenario): void {
    for (const [name, { listeners }] of this.monitors) {
      const where = `monitor "${name}"`;
      if (Object.hasOwn(entities, name)) {
        throw new ScenarioError('an entity has the same name', where, 'call it something else');
      }
      if (listeners.length === 0) {
        throw new ScenarioError('it has no listeners', where, 'name the entities that it hears');
      }
      const unknown = listeners.find((listener) => !Object.hasOwn(entities, listener));
      if (unknown !== undefined) {
        const known = Object.keys(entities).join(', ');
        throw new ScenarioError(`there is no entity "${unknown}"`, where, `there are ${known}`);
      }
    }
  }
}

/** An entity as an invariant sees it. */
export function viewOf(snapshot: AnyMachineSnapshot): EntityView {
  return {
    state: dotted(snapshot.value),
    context: snapshot.context as unknown,
    hasTag: (tag) => snapshot.hasTag(tag),
  };
}

export function asEntity(entity: Entity): {
  readonly machine: AnyStateMachine;
  readonly input: unknown;
} {
  return 'machine' in entity && 'input' in entity ? entity : { machine: entity, input: undefined };
}

interface Group {
  readonly listeners: Set<string>;
  readonly monitors: [string, Monitor][];
}

/** Monitors that share a listener, and their listeners. */
function grouped(monitors: readonly (readonly [string, Monitor])[]): readonly Group[] {
  let groups: Group[] = [];
  for (const [name, monitor] of monitors) {
    const touches = (group: Group) => monitor.listeners.some((each) => group.listeners.has(each));
    const joined = groups.filter(touches);
    groups = groups.filter((group) => !touches(group));
    groups.push({
      listeners: new Set([...joined.flatMap((g) => [...g.listeners]), ...monitor.listeners]),
      monitors: [...joined.flatMap((group) => group.monitors), [name, monitor]],
    });
  }
  return groups;
}

/** @param products those made so far: columns that are alike must have one machine */
function productColumn(
  scenario: Scenario,
  { listeners, monitors }: Group,
  products: { machine: AnyStateMachine; machines: readonly AnyStateMachine[] }[],
): Column {
  const entities = [
    ...Object.entries(scenario.entities).filter(([name]) => listeners.has(name)),
    ...monitors.map(([name, { machine }]) => [name, machine] as const),
  ].map(([name, entity]) => ({ name, ...asEntity(entity) }));
  const machines = [...new Set(entities.map(({ machine }) => machine))];
  let known = products.find(
    (each) =>
      each.machines.length === machines.length &&
      each.machines.every((machine, i) => machine === machines[i]),
  );
  if (known === undefined) {
    known = { machine: productMachine(machines), machines };
    products.push(known);
  }
  const input: ProductInput = Object.fromEntries(
    entities.map(({ name, machine, input }): [string, Part] => [
      name,
      { machine: machines.indexOf(machine), input },
    ]),
  );
  return {
    name: productName([...listeners]),
    machine: known.machine,
    input,
    product: {
      listeners: [...listeners],
      machines,
      parts: new Map(entities.map(({ name, machine }) => [name, machine])),
    },
  };
}

function productName(listeners: readonly string[]): string {
  return [...listeners].sort().join(BETWEEN);
}
