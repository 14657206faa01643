/**
 * Whether a model can do what was recorded: threads of steps on machines, of which the recording
 * says in which order their observable steps came. The search looks for an order of the others.
 *
 * A `choose` with a label is observable: the recording says when it comes and what is chosen. All
 * other steps are free, as far as machines accept them.
 *
 * What is not searched, and why that loses nothing (Lipton, "Reduction", 1975): a step that moves
 * right (a lock is taken) may as well come later, next to the step of its thread that follows, and
 * one that moves left (a lock is let go of) earlier. So a thread goes in transactions: steps that
 * move right, one that does not move, steps that move left. Others act between transactions only.
 *
 * Nor does everybody go on from every state. Nothing more is observed before the thread whose turn
 * it is has gone on, so until then the others stay between two observable steps, and what they can
 * touch there, the model says (`touches`). Whose transactions nothing of that disturbs need not wait
 * for them: a persistent set (Godefroid, 1996), which begins with the thread whose turn it is.
 */

import type { AnyEventObject, AnyStateMachine } from 'xstate';
import { InternedMachine, stable } from '../../../machines/intern.js';
import type { Entity } from '../../../machines/scenario.js';
import { SELF } from '../../../machines/step.js';
import type { Step, Thread } from '../../../machines/step.js';

type Send = Extract<Step, { type: 'send' }>;

/**
 * How a step can be exchanged with those of other threads that come right after it (`right`), right
 * before it (`left`), `both`, `none`. `unseen`: it is sent to who only watches, and left out.
 */
export type Mover = 'right' | 'left' | 'both' | 'none' | 'unseen';

/** What threads do, by what it is called: the name says everything that it depends on. */
export interface GuidedModel {
  readonly entities: Readonly<Record<string, Entity>>;
  operation(name: string): Thread;
  /** @param held the locks that the thread has when it makes the step */
  mover(step: Send, held: ReadonlySet<string>): Mover;
  /** What a step reads or writes of which others may depend on one another. */
  uses(step: Send): readonly Use[];
  /**
   * How a thread may use `what` in a part of an operation that ends as it says. Too much only costs
   * time; with too little what was recorded would not be accepted.
   */
  touches(part: Part, what: string): Access;
}

export type Access = 'none' | 'read' | 'write';

export interface Use {
  readonly what: string;
  readonly access: 'read' | 'write';
}

/** What a thread does between two observable steps. */
export interface Part {
  readonly operation: string;
  /** The observable step before it, of the same thread; undefined: none. */
  readonly last: string | undefined;
  readonly next: string | undefined;
}

/** What a thread does after one another: operations by name. Each has something observable. */
export type Operations = Readonly<Record<string, readonly string[]>>;

/** An observable step. */
export interface Observed {
  readonly thread: string;
  /** The label of the `choose`. */
  readonly what: string;
  /** What it chose. */
  readonly reply: unknown;
}

export interface GuidedResult {
  /** How many of the observed steps the search could do at most; all: it is accepted. */
  readonly reached: number;
  readonly accepted: boolean;
  /** States from which the search went on. */
  readonly states: number;
  /** It gave up: neither accepted nor rejected. */
  readonly gaveUp: boolean;
}

/** A place in an operation: the replies that led there. */
interface Place {
  readonly operation: string;
  readonly parent: Place | undefined;
  readonly reply: unknown;
  /** Undefined: the operation is over here. */
  readonly step: Send | Extract<Step, { type: 'choose' }> | undefined;
  readonly mover: Mover;
  /** Where it sends to. */
  readonly entity: number;
  /** By thread, where the event names it; else one. */
  readonly events: number[];
  readonly held: ReadonlySet<string>;
  /** Numbers of what it uses, writes as their complements. */
  readonly uses: readonly number[];
  readonly after: Map<number, number>;
}

/** A model on which recordings are tried; what is known of its machines serves all of them. */
export class GuidedSearch {
  private readonly machines: readonly InternedMachine[];
  private readonly start: readonly number[];
  private readonly columns: ReadonlyMap<string, number>;
  private readonly places: Place[] = [];
  private readonly roots = new Map<string, number>();
  private readonly replies = new Map<string, number>();
  /** What is used, by name and by number. */
  private readonly numbers = new Map<string, number>();
  readonly used: string[] = [];
  private readonly replyIds = new WeakMap<AnyEventObject, number>();
  private live: { readonly place: Place; readonly thread: Thread } | undefined;

  constructor(private readonly model: GuidedModel) {
    const byMachine = new Map<AnyStateMachine, InternedMachine>();
    this.columns = new Map(Object.keys(model.entities).map((name, i) => [name, i]));
    const parts = Object.values(model.entities).map((entity) =>
      'machine' in entity ? entity : { machine: entity, input: undefined },
    );
    this.machines = parts.map(({ machine }) => {
      const interned = byMachine.get(machine) ?? new InternedMachine(machine);
      byMachine.set(machine, interned);
      return interned;
    });
    this.start = parts.map(({ input }, i) => this.machines[i].start(input));
  }

  /**
   * @param operations of each thread, in its order
   * @param observed in the order of the recording
   * @param maxStates where the search gives up
   */
  search(
    operations: Operations,
    observed: readonly Observed[],
    maxStates = Infinity,
  ): GuidedResult {
    return new Attempt(this, operations, observed).run(maxStates);
  }

  /** A row at the start: entities, then of each thread its place, then its operation's number. */
  row(threads: readonly (readonly string[])[]): Int32Array {
    const row = new Int32Array(this.start.length + 2 * threads.length);
    row.set(this.start);
    threads.forEach((operations, t) => this.enter(row, t, operations, 0));
    return row;
  }

  /** Sets a thread to the beginning of its nth operation, or of the first after it that has a step. */
  private enter(row: Int32Array, t: number, operations: readonly string[], nth: number): void {
    const at = this.start.length + 2 * t;
    let i = nth;
    while (i < operations.length && this.places[this.root(operations[i])].step === undefined) i++;
    row[at] = i < operations.length ? this.root(operations[i]) : -1;
    row[at + 1] = i;
  }

  /** Which of its operations a thread is at. */
  operationOf(row: Int32Array, t: number): number {
    return row[this.start.length + 2 * t + 1];
  }

  /** Where a thread is; undefined: it has done everything. */
  placeOf(row: Int32Array, t: number): Place | undefined {
    const place = row[this.start.length + 2 * t];
    return place < 0 ? undefined : this.places[place];
  }

  private root(operation: string): number {
    const known = this.roots.get(operation);
    if (known !== undefined) return known;
    const thread = this.model.operation(operation);
    const root = this.add(operation, undefined, undefined, thread, thread.next(), new Set());
    this.roots.set(operation, root);
    return root;
  }

  private add(
    operation: string,
    parent: Place | undefined,
    reply: unknown,
    thread: Thread,
    first: IteratorResult<Step, unknown>,
    held: ReadonlySet<string>,
  ): number {
    let result = first;
    while (result.done !== true && passes(result.value)) result = thread.next();
    const step = result.done === true ? undefined : result.value;
    if (step !== undefined && step.type !== 'send' && step.type !== 'choose') {
      throw new Error(`${operation}: a recorded thread does not ${step.type}`);
    }
    const entity = step?.type === 'send' ? this.columns.get(step.entity) : -1;
    if (entity === undefined) throw new Error(`${operation}: no entity for ${step?.label}`);
    const mover = step?.type === 'send' ? this.model.mover(step, held) : 'none';
    const uses = step?.type === 'send' && mover !== 'unseen' ? this.model.uses(step) : [];
    const place: Place = {
      operation,
      parent,
      reply,
      step,
      mover,
      entity,
      events: [],
      held,
      uses: uses.map(({ what, access }) => {
        const number = this.numberOf(what);
        return access === 'write' ? ~number : number;
      }),
      after: new Map(),
    };
    this.live = { place, thread };
    this.places.push(place);
    return this.places.length - 1;
  }

  private numberOf(what: string): number {
    const known = this.numbers.get(what);
    if (known !== undefined) return known;
    this.numbers.set(what, this.used.length);
    return this.used.push(what) - 1;
  }

  touches(part: Part, what: number): Access {
    return this.model.touches(part, this.used[what]);
  }

  private replyId(reply: AnyEventObject | undefined): number {
    if (reply === undefined) return 0;
    let id = this.replyIds.get(reply);
    if (id === undefined) {
      id = this.valueId(reply);
      this.replyIds.set(reply, id);
    }
    return id;
  }

  private valueId(value: unknown): number {
    const key = stable(value);
    const known = this.replies.get(key) ?? this.replies.size + 1;
    this.replies.set(key, known);
    return known;
  }

  /** Sends what the thread stands at. Returns false where it has to wait or a rule breaks. */
  send(row: Int32Array, t: number, operations: readonly string[]): boolean {
    const place = this.placeOf(row, t)!;
    if (place.mover === 'unseen') {
      this.goOn(row, t, place, undefined, 0, operations);
      return true;
    }
    const machine = this.machines[place.entity];
    const event = (place.events[t] ??= machine.event(addressed((place.step as Send).event, t)));
    const state = row[place.entity];
    if (!machine.accepts(state, event)) return false;
    const next = machine.next(state, event);
    if (machine.broken(next) !== undefined) return false;
    const reply = machine.replies(state, event).at(-1);
    row[place.entity] = next;
    this.goOn(row, t, place, reply, this.replyId(reply), operations);
    return true;
  }

  /** Goes on after an observable step. */
  observe(row: Int32Array, t: number, reply: unknown, operations: readonly string[]): void {
    this.goOn(row, t, this.placeOf(row, t)!, reply, this.valueId(reply), operations);
  }

  private goOn(
    row: Int32Array,
    t: number,
    place: Place,
    reply: unknown,
    id: number,
    operations: readonly string[],
  ): void {
    let after = place.after.get(id);
    if (after === undefined) {
      after = this.make(place, reply);
      place.after.set(id, after);
    }
    const at = this.start.length + 2 * t;
    if (this.places[after].step === undefined) this.enter(row, t, operations, row[at + 1] + 1);
    else row[at] = after;
  }

  private make(place: Place, reply: unknown): number {
    let { live } = this;
    if (live?.place !== place) {
      const path: unknown[] = [];
      for (let at = place; at.parent !== undefined; at = at.parent) path.push(at.reply);
      const thread = this.model.operation(place.operation);
      let result = thread.next();
      while (path.length > 0) {
        while (result.done !== true && passes(result.value)) result = thread.next();
        result = thread.next(path.pop());
      }
      while (result.done !== true && passes(result.value)) result = thread.next();
      live = { place, thread };
    }
    const result = live.thread.next(reply);
    return this.add(place.operation, place, reply, live.thread, result, heldAfter(place));
  }
}

function passes(step: Step): boolean {
  return step.type === 'note' || step.type === 'trace' || step.type === 'loop';
}

/** Locks are known by their movers: who takes one moves right, who lets go of it left. */
function heldAfter({ step, held }: Place): ReadonlySet<string> {
  if (step?.type !== 'send') return held;
  const { type } = step.event;
  if (type === 'lock' || type === 'down_read' || type === 'down_write') {
    return new Set([...held, step.entity]);
  }
  if (type === 'unlock' || type === 'up_read' || type === 'up_write') {
    return new Set([...held].filter((lock) => lock !== step.entity));
  }
  return held;
}

/** Threads are numbered alike in all recordings, so what is known of the machines is of use again. */
function addressed(event: AnyEventObject, t: number): AnyEventObject {
  return event.by === SELF ? { ...event, by: `T${t}` } : event;
}

/** A state to go on from. */
interface State {
  readonly row: Int32Array;
  readonly position: number;
}

/** What came of an attempt at a transaction. */
interface Tried {
  /** Undefined: it cannot be done, or the thread cannot go on from there as it was recorded. */
  readonly after: State | undefined;
  /** As in Place. */
  readonly uses: readonly number[];
}

const UNKNOWN = 0;
const ACCESS = ['none', 'read', 'write'] as const;

/** One recording, tried. */
class Attempt {
  private readonly threads: readonly string[];
  private readonly operations: readonly (readonly string[])[];
  private readonly observedBy: readonly number[];
  /** By thread the positions of what was observed of it. */
  private readonly positions: readonly (readonly number[])[];
  /** By thread and by what was observed of it: how it may use what, as far as was asked. */
  private readonly parts: Uint8Array[][];
  private readonly seen = new Set<string>();
  private reached = 0;

  constructor(
    private readonly model: GuidedSearch,
    operations: Operations,
    private readonly observed: readonly Observed[],
  ) {
    this.threads = Object.keys(operations);
    this.operations = Object.values(operations);
    this.observedBy = observed.map(({ thread }) => this.threads.indexOf(thread));
    this.positions = this.threads.map((_, t) =>
      this.observedBy.flatMap((by, position) => (by === t ? [position] : [])),
    );
    this.parts = this.threads.map(() => []);
  }

  run(maxStates: number): GuidedResult {
    const start = { row: this.model.row(this.operations), position: 0 };
    // What is left to try of each state on the way, the last first.
    const path: State[][] = [this.successors(start)];
    while (path.length > 0 && this.reached < this.observed.length) {
      if (this.seen.size > maxStates) break;
      const next = path.at(-1)!.pop();
      if (next === undefined) {
        path.pop();
        continue;
      }
      const key = `${next.position} ${Buffer.from(next.row.buffer).toString('latin1')}`;
      if (this.seen.has(key)) continue;
      this.seen.add(key);
      this.reached = Math.max(this.reached, next.position);
      if (next.position < this.observed.length) path.push(this.successors(next));
    }
    const accepted = this.reached === this.observed.length;
    const states = this.seen.size;
    return { reached: this.reached, accepted, states, gaveUp: !accepted && path.length > 0 };
  }

  /** Of a persistent set, that of the thread whose turn it is last: it is tried first. */
  private successors(state: State): State[] {
    const { row, position } = state;
    const set = [this.observedBy[position]];
    const others = new Set(this.threads.keys());
    others.delete(set[0]);
    const found: State[] = [];
    for (const t of set) {
      const { after, uses } = this.tryOut(state, t);
      if (after !== undefined) found.push(after);
      for (const u of others) {
        if (!uses.some((use) => this.mayDisturb(row, u, position, use))) continue;
        others.delete(u);
        set.push(u);
      }
    }
    return found.reverse();
  }

  private mayDisturb(row: Int32Array, t: number, position: number, use: number): boolean {
    if (this.model.placeOf(row, t) === undefined) return false;
    const access = this.touches(row, t, position, use < 0 ? ~use : use);
    return access === 'write' || (access === 'read' && use < 0);
  }

  /** How a thread may use `what` before it is observed again. */
  private touches(row: Int32Array, t: number, position: number, what: number): Access {
    const count = this.countOf(t, position);
    const part = (this.parts[t][count] ??= new Uint8Array(this.model.used.length + 64));
    if (part[what] !== UNKNOWN) return ACCESS[part[what] - 1];
    const told = (at: number | undefined) =>
      at === undefined ? undefined : this.observed[at].what;
    const access = this.model.touches(
      {
        operation: this.operations[t][this.model.operationOf(row, t)],
        last: told(this.positions[t][count - 1]),
        next: told(this.positions[t][count]),
      },
      what,
    );
    part[what] = ACCESS.indexOf(access) + 1;
    return access;
  }

  /** How much of what was observed of the thread is before `position`. */
  private countOf(t: number, position: number): number {
    const positions = this.positions[t];
    let low = 0;
    let high = positions.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (positions[middle] < position) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The next transaction of a thread. */
  private tryOut({ row: from, position: at }: State, t: number): Tried {
    const row = from.slice();
    const operations = this.operations[t];
    const uses: number[] = [];
    const failed = { after: undefined, uses };
    let position = at;
    let committed = false;
    for (;;) {
      const place = this.model.placeOf(row, t);
      if (place === undefined) break;
      if (place.step!.type === 'choose') {
        if (committed) break;
        if (this.observedBy[position] !== t || !this.is(place, position)) return failed;
        this.model.observe(row, t, this.observed[position].reply, operations);
        position++;
        committed = true;
        continue;
      }
      const { mover } = place;
      if (committed && (mover === 'right' || mover === 'none')) break;
      if (!place.uses.every((use) => this.maySo(row, t, position, use))) return failed;
      for (const use of place.uses) if (!uses.includes(use)) uses.push(use);
      if (!this.model.send(row, t, operations)) return failed;
      if (mover === 'left' || mover === 'none') committed = true;
    }
    if (!committed || !this.canGoOn(row, t, position)) return failed;
    return { after: { row, position }, uses };
  }

  /** What it must not use here, it uses on a way on which it will not be observed as it was. */
  private maySo(row: Int32Array, t: number, position: number, use: number): boolean {
    const access = this.touches(row, t, position, use < 0 ? ~use : use);
    return access === 'write' || (access === 'read' && use >= 0);
  }

  /** Whether a thread that is to be observed next is so in the way that was recorded. */
  private canGoOn(row: Int32Array, t: number, position: number): boolean {
    const place = this.model.placeOf(row, t);
    const next: number | undefined = this.positions[t][this.countOf(t, position)];
    if (place === undefined) return next === undefined;
    return place.step!.type !== 'choose' || (next !== undefined && this.is(place, next));
  }

  private is({ step }: Place, position: number): boolean {
    const { what, reply } = this.observed[position];
    return step?.type === 'choose' && step.label === what && step.options.includes(reply);
  }
}
