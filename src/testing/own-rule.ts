/**
 * Rules of one's own over what a notifier chain tells: a machine or a predicate, the same in an
 * exploration, in a test and in a replay.
 */

import { assign, createActor, createMachine } from 'xstate';
import type { AnyEventObject, AnyMachineSnapshot, AnyStateMachine } from 'xstate';
import { lettingPass } from '../../machines/listener.js';
import type { Hotplug, ListenerSetup } from '../../machines/kernel/hotplug.js';
import type { Monitor, Scenario } from '../../machines/scenario.js';
import { membershipMonitors } from './hotplug-program.js';
import type { HotplugProgram, ProgramCode } from './hotplug-program.js';

/** A notification as a rule hears it. */
export interface Heard {
  /** `BIND_DRIVER` */
  readonly action: string;
  readonly dev: string;
}

/** What every rule of one's own says of itself. */
interface RuleHead {
  /** `MY-01`: by this name it is reported. */
  readonly id: string;
  /** The rule in one sentence. */
  readonly sentence: string;
  /** Where it comes from: a document, a function of a driver. */
  readonly source: string;
  /** The chains whose notifications it is about, each for itself: of a bus where left out. */
  readonly chain?: 'bus' | 'group';
  /**
   * Only of a scenario that is not made by hotplug(): the entities whose deliveries it hears
   * (Monitor.listeners).
   */
  readonly listeners?: readonly string[];
}

/** What `rule` is told. */
export type RuleDefinition = RuleHead &
  (
    | {
        /**
         * Hears `{ type: 'BIND_DRIVER', dev: 'd0' }` and the like; a state tagged `violation` breaks
         * the rule. What it has no transition for it lets pass.
         */
        readonly machine: AnyStateMachine;
      }
    | {
        /** Of all that was told on one chain so far, the newest last; it is asked after each. */
        readonly holds: (heard: readonly Heard[]) => boolean;
      }
  );

/** A rule of one's own: a definition, and the machine that judges. */
export interface OwnRule extends RuleHead {
  readonly chain: 'bus' | 'group';
  readonly machine: AnyStateMachine;
}

/**
 * A rule of one's own.
 *
 * @throws TypeError where neither a machine nor a predicate is given
 */
export function rule(definition: RuleDefinition): OwnRule {
  const { id, sentence, source, chain = 'bus', listeners } = definition;
  const machine =
    'machine' in definition
      ? judging(definition.machine, id, sentence)
      : remembering(id, sentence, definition.holds);
  const head = { id, sentence, source, chain, machine };
  return listeners === undefined ? head : { ...head, listeners };
}

/** Whether a value is a rule of one's own. */
export function isOwnRule(value: unknown): value is OwnRule {
  return value !== null && typeof value === 'object' && 'sentence' in value && 'machine' in value;
}

interface Node {
  readonly tags?: string | readonly string[];
  readonly states?: Readonly<Record<string, Node>>;
}

/** The machine, whose states that are tagged `violation` say which rule they break. */
function judging(machine: AnyStateMachine, id: string, sentence: string): AnyStateMachine {
  const config = told(machine.config as Node, id, sentence);
  const judge = createMachine(config as AnyStateMachine['config']);
  return lettingPass(judge.provide(machine.implementations as never));
}

function told(node: Node, rule: string, sentence: string): Node {
  const tags = typeof node.tags === 'string' ? [node.tags] : (node.tags ?? []);
  const says = () => sentence;
  return {
    ...node,
    ...(tags.includes('violation') ? { meta: { rule, says } } : {}),
    ...(node.states === undefined
      ? {}
      : {
          states: Object.fromEntries(
            Object.entries(node.states).map(([name, state]) => [name, told(state, rule, sentence)]),
          ),
        }),
  };
}

/** A machine that remembers all that it hears, for a predicate. */
function remembering(
  id: string,
  sentence: string,
  holds: (heard: readonly Heard[]) => boolean,
): AnyStateMachine {
  const context: { heard: readonly Heard[] } = { heard: [] };
  return createMachine({
    context,
    initial: 'holds',
    states: {
      holds: {
        always: {
          guard: ({ context }: { context: { heard: readonly Heard[] } }) => !holds(context.heard),
          target: 'broken',
        },
        on: {
          '*': {
            actions: assign(({ context, event }) => ({
              heard: [...(context as { heard: readonly Heard[] }).heard, heardOf(event)],
            })),
          },
        },
      },
      broken: { tags: ['violation'], meta: { rule: id, says: () => sentence } },
    },
  } as AnyStateMachine['config']);
}

function heardOf(event: AnyEventObject): Heard {
  return { action: event.type, dev: String(event.dev) };
}

/** Called before every other block of its chain, so that none keeps a notification from it. */
const FIRST = 2 ** 31 - 1;

/** The listeners that stand for rules, on each chain of their kind. */
function listenersFor(
  rules: readonly OwnRule[],
  buses: readonly string[],
  groups: readonly string[],
): Readonly<Record<string, ListenerSetup>> {
  return Object.fromEntries(
    rules.flatMap(({ id, chain, machine }) => {
      const chains =
        chain === 'bus'
          ? buses.map((bus) => `${bus}->bus_notifier`)
          : groups.map((group) => `${group}->notifier`);
      return chains.map((on) => [
        chains.length === 1 ? id : `${id} on ${on}`,
        { on, priority: FIRST, is: machine },
      ]);
    }),
  );
}

/** What hotplug() is told, with rules of one's own that hear what its chains tell. */
export function ruled(told: Hotplug, ...rules: readonly OwnRule[]): Hotplug {
  const { buses = { pci: {} }, devices = {}, groups = {} } = told;
  const named = Object.values(devices).flatMap(({ group }) => group ?? []);
  const known = [...new Set([...Object.keys(groups), ...named])];
  const own = listenersFor(rules, Object.keys(buses), known);
  const listeners = { ...told.listeners, ...own };
  return { ...told, listeners, monitors: { ...membershipMonitors(listeners), ...told.monitors } };
}

/** The code of a program, with rules of one's own. */
export function withRules(
  program: HotplugProgram,
  code: ProgramCode,
  rules: readonly OwnRule[],
): ProgramCode {
  if (rules.length === 0) return code;
  const named = Object.values(program.devices).flatMap(({ group }) => group ?? []);
  const groups = [...new Set([...program.groups, ...named])];
  return { ...code, listeners: { ...code.listeners, ...listenersFor(rules, ['pci'], groups) } };
}

/**
 * A scenario of any kind, with rules of one's own as monitors.
 *
 * @throws TypeError for a rule that does not say whose deliveries it hears
 */
export function withRulesOnScenario(scenario: Scenario, rules: readonly OwnRule[]): Scenario {
  if (rules.length === 0) return scenario;
  const monitors = rules.map(({ id, machine, listeners }): [string, Monitor] => {
    if (listeners === undefined) {
      throw new TypeError(
        `rule ${id} does not say whose deliveries it hears: give it listeners, or give the rule to ruled() with what hotplug() is told`,
      );
    }
    return [id, { machine, listeners }];
  });
  return { ...scenario, monitors: { ...scenario.monitors, ...Object.fromEntries(monitors) } };
}

/** Holds notifications against a rule, one after the other. */
export class RuleRun {
  private readonly actor;
  /** Notifications that it has heard. */
  heard = 0;

  constructor(readonly rule: OwnRule) {
    this.actor = createActor(lettingPass(rule.machine)).start();
  }

  /** The rule was broken by what was heard. */
  get broken(): boolean {
    return (this.actor.getSnapshot() as AnyMachineSnapshot).hasTag('violation');
  }

  /** Hears one more. Returns whether the rule still holds. */
  hear({ action, dev }: Heard): boolean {
    this.heard++;
    this.actor.send({ type: action, dev });
    return !this.broken;
  }
}
