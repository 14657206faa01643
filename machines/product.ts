/**
 * Several machines as one: each part has its own snapshot, an event goes to one part, and others
 * overhear it in the same step. Its snapshots are those of its parts together, so it breaks the
 * rules that they break, and two events commute where they commute for every part.
 */

import { assign, enqueueActions, initialTransition, setup, transition } from 'xstate';
import type { AnyEventObject, AnyMachineSnapshot, AnyStateMachine, StateValue } from 'xstate';
import { brokenRules, emitted, UNNAMED_RULE } from './intern.js';

/** Plain JSON; the keys are names, so that a symmetry renames them. */
export type ProductContext = Readonly<Record<string, PartState>>;

interface PartState {
  /** Which of the machines. */
  readonly machine: number;
  /** Value and status as JSON text: a state may be called as an entity is, and is not renamed with it. */
  readonly state: string;
  readonly context: unknown;
}

type Resolvable = readonly [value: StateValue, status: 'active' | 'done' | 'error' | 'stopped'];

/** The only event. It is accepted where the part `to` accepts its own. */
export interface ProductEvent {
  readonly type: 'to';
  readonly to: string;
  readonly event: AnyEventObject;
  /** What each part that overhears it gets; it lets pass what it does not accept. */
  readonly heard: Readonly<Record<string, AnyEventObject>>;
}

export interface Part {
  /** Which of the machines. */
  readonly machine: number;
  readonly input: unknown;
}

/** What the machine of `productMachine` starts from: its parts by name. */
export type ProductInput = Readonly<Record<string, Part>>;

interface MachineTypes {
  context: ProductContext;
  events: ProductEvent;
  input: ProductInput;
  emitted: AnyEventObject;
}
const TYPES = {} as MachineTypes;

/** @param machines those of which parts may be */
export function productMachine(machines: readonly AnyStateMachine[]): AnyStateMachine {
  const rules = [...new Set(machines.flatMap(rulesOf))];
  const stepped = ({ context, event }: { context: ProductContext; event: ProductEvent }) =>
    step(machines, context, event);
  const breaks = (rule: string) =>
    function breaksRule({ context }: { context: ProductContext }) {
      return Object.keys(context).some((name) =>
        brokenRules(partSnapshot(machines, context, name)).includes(rule),
      );
    };
  return setup({ types: TYPES }).createMachine({
    id: 'product',
    context: ({ input }) => started(machines, input ?? {}),
    on: {
      to: {
        guard: ({ context, event }) =>
          partSnapshot(machines, context, event.to).can(event.event as never),
        actions: [
          enqueueActions(({ context, event, enqueue }) => {
            for (const reply of stepped({ context, event }).emitted) enqueue.emit(reply);
          }),
          assign((heard) => stepped(heard).context),
        ],
      },
    },
    // One region a rule: several may be broken at once.
    type: 'parallel',
    states: Object.fromEntries(
      rules.map((rule, n) => [
        `rule${n}`,
        {
          initial: 'holds',
          states: {
            holds: { always: { guard: breaks(rule), target: 'broken' } },
            broken: {
              tags: ['violation'],
              meta: { rule },
              always: {
                guard: (heard: { context: ProductContext }) => !breaks(rule)(heard),
                target: 'holds',
              },
            },
          },
        },
      ]),
    ),
  });
}

/** The snapshot of a part, as its own machine has it. */
export function partSnapshot(
  machines: readonly AnyStateMachine[],
  context: ProductContext,
  name: string,
): AnyMachineSnapshot {
  const { machine, state, context: own } = context[name];
  const [value, status] = JSON.parse(state) as Resolvable;
  return machines[machine].resolveState({ value, status, context: own }) as AnyMachineSnapshot;
}

function started(machines: readonly AnyStateMachine[], input: ProductInput): ProductContext {
  return Object.fromEntries(
    Object.entries(input).map(([name, part]) => {
      const [snapshot] = initialTransition(machines[part.machine], part.input);
      return [name, stateOf(part.machine, snapshot as AnyMachineSnapshot)];
    }),
  );
}

function stateOf(machine: number, snapshot: AnyMachineSnapshot): PartState {
  const { value, status } = snapshot as { value: Resolvable[0]; status: Resolvable[1] };
  const state = JSON.stringify([value, status] satisfies Resolvable);
  return { machine, state, context: snapshot.context as unknown };
}

function step(
  machines: readonly AnyStateMachine[],
  context: ProductContext,
  { to, event, heard }: ProductEvent,
): { readonly context: ProductContext; readonly emitted: readonly AnyEventObject[] } {
  const after: Record<string, PartState> = { ...context };
  const { machine } = context[to];
  const [next, actions] = transition(
    machines[machine],
    partSnapshot(machines, context, to) as never,
    event,
  );
  after[to] = stateOf(machine, next as AnyMachineSnapshot);
  for (const [name, overheard] of Object.entries(heard)) {
    const of = context[name].machine;
    const before = partSnapshot(machines, context, name);
    const [then] = transition(machines[of], before as never, overheard);
    after[name] = stateOf(of, then as AnyMachineSnapshot);
  }
  return { context: after, emitted: emitted(actions) };
}

function rulesOf(machine: AnyStateMachine): string[] {
  const rules: string[] = [];
  const visit = (node: AnyStateMachine['root']) => {
    const meta = node.meta as { rule?: unknown } | undefined;
    if (typeof meta?.rule === 'string') rules.push(meta.rule);
    else if (node.tags.includes('violation')) rules.push(UNNAMED_RULE);
    for (const child of Object.values(node.states)) visit(child);
  };
  visit(machine.root);
  return rules;
}
