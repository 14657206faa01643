/**
 * xstate at the speed of an array lookup.
 *
 * A machine has few distinct snapshots, and an event from one of them always leads to the same
 * next one. Each (snapshot, event) pair is computed by xstate once and remembered as an integer;
 * xstate stays the only semantics. Design section 3.
 */

import { createActor, initialTransition } from 'xstate';
import type {
  AnyEventObject,
  AnyMachineSnapshot,
  AnyStateMachine,
  EventObject,
  SnapshotFrom,
  StateValue,
} from 'xstate';

/** A machine that answered twice differently from the same snapshot and event: it is not pure. */
export class ImpureMachineError extends Error {
  override readonly name = 'ImpureMachineError';
  constructor(
    readonly machine: string,
    readonly event: EventObject,
  ) {
    super(
      `machine "${machine}" is not pure: event ${JSON.stringify(event)} had two different results`,
    );
  }
}

/**
 * Gives a number to what has none yet; replaced where several threads of a process must give the
 * same numbers.
 *
 * @param known the number, where it has got one meanwhile
 * @param told what is numbered, as plain JSON
 * @param give numbers it
 */
export type Numbering = (
  known: () => number | undefined,
  told: () => unknown,
  give: () => number,
) => number;

/** Of one thread. */
export const numberedHere: Numbering = (_known, _told, give) => give();

interface Known {
  readonly snapshot: SnapshotFrom<AnyStateMachine>;
  /** Status and value as text: the part of its key that goes before the context. */
  readonly state: string;
  /** Rules that this snapshot breaks: the ids in the `meta` of states tagged `violation`. */
  readonly broken: readonly string[];
  /** Next snapshot by event id, -1 where not computed yet. */
  readonly next: number[];
  /** Whether the machine accepted the event, by event id. */
  readonly accepted: boolean[];
  readonly replies: (readonly AnyEventObject[])[];
}

/** What tells a snapshot from others. */
export interface ToldSnapshot {
  readonly value: StateValue;
  readonly context: unknown;
  readonly status: 'active' | 'done' | 'error' | 'stopped';
}

/** What a violation's `meta` says beside its rule, of the event that led there. */
export type Says = (told: {
  readonly entity: string;
  readonly event: AnyEventObject;
  /** Before the event. */
  readonly context: unknown;
}) => string;

/** What transition() returns for `emit`; xstate's type leaves this action out. */
interface EmitAction {
  readonly type: string;
  readonly params: { readonly event: AnyEventObject };
}

const NONE: readonly AnyEventObject[] = [];
const NONE_BROKEN: readonly string[] = [];

/**
 * xstate's `transition`, which makes an actor in its first state for every step, with one actor for
 * all steps.
 */
class PureSteps {
  private actions: unknown[] = [];
  private readonly scope: Parameters<AnyStateMachine['transition']>[2];

  constructor(private readonly machine: AnyStateMachine) {
    const self = createActor(machine);
    this.scope = {
      self,
      id: '',
      sessionId: '',
      logger: () => undefined,
      defer: () => undefined,
      emit: () => undefined,
      system: self.system,
      stopChild: () => undefined,
      actionExecutor: (action) => void this.actions.push(action),
    };
  }

  /** The snapshot after an event, and what the machine would do on the way. */
  make(
    snapshot: SnapshotFrom<AnyStateMachine>,
    event: EventObject,
  ): readonly [SnapshotFrom<AnyStateMachine>, readonly unknown[]] {
    this.actions = [];
    const next = this.machine.transition(snapshot, event, this.scope);
    return [next, this.actions];
  }
}

export class InternedMachine {
  private readonly steps: PureSteps;
  private readonly ids = new Map<string, number>();
  private readonly known: Known[] = [];
  private readonly events: EventObject[] = [];
  private readonly eventIds = new Map<string, number>();

  /** How snapshots and events get their numbers. */
  numberSnapshot: Numbering = numberedHere;
  numberEvent: Numbering = numberedHere;

  /** Snapshots are numbered from 0, the initial one. */
  readonly initial = 0;

  /** @param alphabet event types that get the ids 0, 1, … in this order */
  constructor(
    readonly machine: AnyStateMachine,
    alphabet: readonly string[] = [],
  ) {
    this.steps = new PureSteps(machine);
    this.begin(undefined);
    for (const type of alphabet) this.event({ type });
  }

  /** The snapshot in which the machine starts when it is given `input`. */
  start(input: unknown): number {
    return input === undefined ? this.initial : this.begin(input);
  }

  private begin(input: unknown): number {
    const [snapshot, actions] = initialTransition(this.machine, input);
    const [again] = initialTransition(this.machine, input);
    // xstate keeps what the context threw.
    if (snapshot.status === 'error') throw (snapshot as { error: unknown }).error;
    checkActions(this.machine, actions);
    const id = this.intern(snapshot);
    if (id !== this.intern(again)) throw new ImpureMachineError(this.machine.id, START);
    return id;
  }

  /** The snapshot in the same state with another context. */
  withContext(snapshot: number, context: unknown): number {
    const from = this.known[snapshot];
    const id = this.ids.get(from.state + stable(context));
    return id ?? this.intern({ ...from.snapshot, context } as SnapshotFrom<AnyStateMachine>);
  }

  /** The event behind a number. */
  eventOf(event: number): EventObject {
    return this.events[event];
  }

  /** The id of an event; equal events (by type and payload) have one id. */
  event(event: EventObject): number {
    const key = stable(event);
    return this.eventIds.get(key) ?? this.newEvent(key, event);
  }

  private newEvent(key: string, event: EventObject): number {
    return this.numberEvent(
      () => this.eventIds.get(key),
      () => event,
      () => {
        const id = this.events.length;
        this.events.push(event);
        this.eventIds.set(key, id);
        return id;
      },
    );
  }

  /**
   * The snapshot after `event` in `snapshot`; the same one where the machine does not accept it.
   * Throws ImpureMachineError when two computations of a new pair disagree.
   */
  next(snapshot: number, event: number): number {
    const next = this.known[snapshot].next[event];
    return next !== undefined && next >= 0 ? next : this.compute(snapshot, event);
  }

  /** Whether the machine takes `event` in `snapshot`; where not, the sender blocks. */
  accepts(snapshot: number, event: number): boolean {
    this.next(snapshot, event);
    return this.known[snapshot].accepted[event];
  }

  /** What the machine emitted on the way. */
  replies(snapshot: number, event: number): readonly AnyEventObject[] {
    this.next(snapshot, event);
    return this.known[snapshot].replies[event];
  }

  /** The rule that taking `event` in `snapshot` breaks; undefined where it is legal or not taken. */
  breaks(snapshot: number, event: number): string | undefined {
    const next = this.next(snapshot, event);
    return this.known[snapshot].accepted[event] ? this.known[next].broken[0] : undefined;
  }

  /** The id of the rule that `snapshot` breaks, if it is a violation. */
  broken(snapshot: number): string | undefined {
    return this.known[snapshot].broken[0];
  }

  /** All of them: of a machine with parallel states several may be broken. */
  allBroken(snapshot: number): readonly string[] {
    return this.known[snapshot].broken;
  }

  /** What the violated state has to say, where it does. */
  says(snapshot: number): Says | undefined {
    return saysOf(this.known[snapshot].snapshot as AnyMachineSnapshot);
  }

  /** The state's name as dotted text, the context left out: `bound`, `violated.bound`. */
  stateName(snapshot: number): string {
    return dotted(this.known[snapshot].snapshot.value);
  }

  context(snapshot: number): unknown {
    return this.known[snapshot].snapshot.context;
  }

  /** The plain xstate snapshot behind a number. */
  snapshot(snapshot: number): SnapshotFrom<AnyStateMachine> {
    return this.known[snapshot].snapshot;
  }

  /** Number of distinct snapshots met. */
  get size(): number {
    return this.known.length;
  }

  /** Number of distinct events met. */
  get alphabet(): number {
    return this.events.length;
  }

  /** A snapshot as plain data, for `resolve`. */
  told(snapshot: number): ToldSnapshot {
    return tellSnapshot(this.known[snapshot].snapshot);
  }

  /** The number of a snapshot that was told. Throws where the machine has no such state. */
  resolve(told: ToldSnapshot): number {
    const resolved: unknown = this.machine.resolveState(told);
    return this.intern(resolved as SnapshotFrom<AnyStateMachine>);
  }

  private compute(snapshot: number, event: number): number {
    const from = this.known[snapshot];
    const sent = this.events[event];
    const [to, actions] = this.steps.make(from.snapshot, sent);
    const [again, actionsAgain] = this.steps.make(from.snapshot, sent);
    const id = this.intern(to);
    const replies = emitted(actions);
    const repliesAgain = emitted(actionsAgain);
    const alike =
      id === this.intern(again) &&
      replies.length === repliesAgain.length &&
      (replies.length === 0 || stable(replies) === stable(repliesAgain));
    if (!alike) {
      throw new ImpureMachineError(this.machine.id, sent);
    }
    checkActions(this.machine, actions);
    if (this.ids.get(from.state + stable(from.snapshot.context)) !== snapshot) {
      throw new Error(
        `machine "${this.machine.id}" changes its context in place; assign() a new one`,
      );
    }
    while (from.next.length <= event) from.next.push(-1);
    from.next[event] = id;
    // What leads elsewhere was accepted; what does not may have been.
    from.accepted[event] = id !== snapshot || from.snapshot.can(sent);
    from.replies[event] = replies.length === 0 ? NONE : replies;
    return id;
  }

  private intern(snapshot: SnapshotFrom<AnyStateMachine>): number {
    const state = `${snapshot.status} ${stable(snapshot.value)} `;
    const key = state + stable(snapshot.context);
    return this.ids.get(key) ?? this.newSnapshot(key, state, snapshot);
  }

  private newSnapshot(key: string, state: string, snapshot: SnapshotFrom<AnyStateMachine>): number {
    return this.numberSnapshot(
      () => this.ids.get(key),
      () => tellSnapshot(snapshot),
      () => {
        const id = this.known.length;
        this.ids.set(key, id);
        this.known.push({
          snapshot,
          state,
          broken: brokenRules(snapshot),
          next: [],
          accepted: [],
          replies: [],
        });
        return id;
      },
    );
  }
}

/** What a machine starts with, where an event is told. */
const START = { type: 'xstate.init' };

/** What needs more than events: time, other actors, an action that nobody wrote. */
function checkActions(machine: AnyStateMachine, actions: readonly unknown[]): void {
  for (const { type, params, exec } of actions as readonly {
    readonly type: string;
    readonly params?: { readonly delay?: unknown };
    readonly exec?: unknown;
  }[]) {
    if (params?.delay !== undefined && type.startsWith('xstate.')) {
      throw new Error(`machine "${machine.id}" waits for time, which is not modelled`);
    }
    if (type === 'xstate.spawnChild' || type === 'xstate.sendTo') {
      throw new Error(`machine "${machine.id}" has actors of its own; make them entities`);
    }
    if (exec === undefined && !type.startsWith('xstate.')) {
      throw new Error(`machine "${machine.id}" has no action "${type}"`);
    }
  }
}

function tellSnapshot(snapshot: SnapshotFrom<AnyStateMachine>): ToldSnapshot {
  const { value, context, status } = snapshot as ToldSnapshot;
  return { value, context, status };
}

/** What a violated state has to say, where it does. */
export function saysOf(snapshot: AnyMachineSnapshot): Says | undefined {
  const metas = snapshot.getMeta() as Record<string, { says?: Says } | undefined>;
  return Object.values(metas).find((meta) => typeof meta?.says === 'function')?.says;
}

/** What a transition emitted. */
export function emitted(actions: readonly unknown[]): readonly AnyEventObject[] {
  return (actions as readonly EmitAction[])
    .filter((action) => action.type === 'xstate.emit')
    .map((action) => action.params.event);
}

/** The rules that a snapshot breaks: the ids in the `meta` of its states, where it is a violation. */
export function brokenRules(snapshot: AnyMachineSnapshot): readonly string[] {
  if (!snapshot.hasTag('violation')) return NONE_BROKEN;
  const metas = Object.values(snapshot.getMeta() as Record<string, { rule?: string } | undefined>);
  const rules = metas.flatMap((meta) => (typeof meta?.rule === 'string' ? [meta.rule] : []));
  return rules.length === 0 ? [UNNAMED_RULE] : [...new Set(rules)];
}

/** Of a violation whose state names none. */
export const UNNAMED_RULE = 'unnamed rule';

/** A state's value as dotted text. */
export function dotted(value: unknown): string {
  if (typeof value === 'string') return value;
  return Object.entries(value as Record<string, unknown>)
    .map(([key, inner]) => `${key}.${dotted(inner)}`)
    .join(' ');
}

/** JSON with sorted keys: equal values give equal text. `undefined` for what JSON cannot say. */
export function stable(value: unknown): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map((inner) => stable(inner) ?? 'null').join()}]`;
  const { toJSON } = value as { toJSON?: unknown };
  if (typeof toJSON === 'function') return stable(toJSON.call(value));
  if (value instanceof Map || value instanceof Set) {
    throw new TypeError(`a ${value.constructor.name} is no plain JSON`);
  }
  let text = '';
  for (const key of Object.keys(value).sort()) {
    const inner = stable((value as Readonly<Record<string, unknown>>)[key]);
    if (inner !== undefined) text += `${text === '' ? '' : ','}${JSON.stringify(key)}:${inner}`;
  }
  return `{${text}}`;
}
