/**
 * Threads as tries: a thread's local state is the sequence of replies that it was given, a node. A
 * new node is made by running the generator over its replies; a known one is a lookup. Design
 * section 3.
 */

import type { AnyEventObject } from 'xstate';
import { numberedHere, stable } from '../../machines/intern.js';
import type { Numbering } from '../../machines/intern.js';
import { SELF } from '../../machines/step.js';
import type { Delivery, Step, ThreadBody } from '../../machines/step.js';
import type { Values } from './local-table.js';
import { ThreadRun } from './thread-run.js';
import { knownNames, messageOf, ScenarioError } from './scenario-error.js';

/** What a thread does next at a node. */
export const enum Kind {
  Send,
  Choose,
  Spawn,
  Join,
  /** It is over. */
  Done,
  /** It threw. */
  Threw,
  /** It has made as many steps as are looked at. */
  Cut,
}

/** What the trie asks of the program about a send. */
export interface SendTarget {
  readonly entity: number;
  readonly event: number;
}

export interface ProgramThread {
  readonly name: string;
  readonly body: ThreadBody;
}

export class ThreadTrie {
  /** Declared threads, then those that are spawned, as they are met. */
  readonly threads: ProgramThread[] = [];
  private readonly indexes = new Map<string, number>();

  // Columns by node. Node 0 is no node: a thread that has not begun.
  readonly kind: number[] = [Kind.Done];
  /** Of a send: entity and event; else -1. */
  readonly entity: number[] = [-1];
  readonly event: number[] = [-1];
  readonly thread: number[] = [-1];
  readonly parent: number[] = [0];
  /** The reply that led here. */
  readonly reply: number[] = [0];
  readonly depth: number[] = [0];
  readonly step: (Step | undefined)[] = [undefined];
  /** Of a choose: value ids of its options. */
  readonly options: (readonly number[])[] = [[]];
  /** Of a spawn or a join: the other thread; else -1. */
  readonly other: number[] = [-1];
  readonly error: unknown[] = [undefined];
  /** The head of a loop: a step that leads to it may close a loop. */
  readonly loopHead: boolean[] = [false];
  /** The child by the first reply that was met, and the others. */
  private readonly firstReply: number[] = [-1];
  private readonly firstChild: number[] = [0];
  private readonly moreChildren: (Map<number, number> | undefined)[] = [undefined];
  private readonly roots: number[] = [];
  /** The node of the spawn that started the thread; 0 of one that is declared. */
  readonly spawner: number[] = [0];
  /** First nodes by the node of the spawn. */
  private readonly started = new Map<number, number>();
  private readonly loopHeads = new Map<string, number>();
  /** A thread that stands at a node: mostly the next node that is made follows it. */
  private live: { readonly node: number; readonly run: ThreadRun } | undefined;
  /**
   * How nodes get their numbers: told as node and reply; the first of a declared thread as 0 and the
   * thread, of one that is spawned as the node of the spawn, negative, and 0.
   */
  number: Numbering = numberedHere;
  /** Some thread has marked the head of a loop. */
  hasLoops = false;

  constructor(
    private readonly values: Values,
    private readonly target: (
      entity: string,
      event: AnyEventObject,
      delivery: Delivery | undefined,
      where: string,
    ) => SendTarget,
    /** Steps of one thread that are looked at. */
    private readonly maxSteps: number,
  ) {}

  /** Number of nodes, the one that is none included. */
  get size(): number {
    return this.kind.length;
  }

  addThread(name: string, body: ThreadBody): number {
    const known = this.indexes.get(name);
    if (known !== undefined) return known;
    const index = this.threads.length;
    this.indexes.set(name, index);
    this.threads.push({ name, body });
    return index;
  }

  indexOf(name: string): number | undefined {
    return this.indexes.get(name);
  }

  root(thread: number): number {
    return this.roots[thread] ?? this.newRoot(thread);
  }

  private newRoot(thread: number): number {
    return this.number(
      () => this.roots[thread],
      () => [0, thread],
      () => (this.roots[thread] = this.make(thread, 0, 0, 0)),
    );
  }

  /**
   * The first node of the thread that the spawn at `node` starts. Each spawn has one of its own: what
   * is spawned may depend on the way there.
   */
  startedBy(node: number): number {
    return this.started.get(node) ?? this.newStart(node);
  }

  private newStart(node: number): number {
    return this.number(
      () => this.started.get(node),
      () => [-node, 0],
      () => {
        const made = this.make(this.other[node], 0, 0, node);
        this.started.set(node, made);
        return made;
      },
    );
  }

  /** The node after `reply` at `node`. */
  child(node: number, reply: number): number {
    if (this.firstReply[node] === reply) return this.firstChild[node];
    return this.moreChildren[node]?.get(reply) ?? this.newChild(node, reply);
  }

  private newChild(node: number, reply: number): number {
    return this.number(
      () =>
        this.firstReply[node] === reply
          ? this.firstChild[node]
          : this.moreChildren[node]?.get(reply),
      () => [node, reply],
      () => this.makeChild(node, reply),
    );
  }

  private makeChild(node: number, reply: number): number {
    const made = this.make(this.thread[node], node, reply, this.spawner[node]);
    if (this.firstReply[node] < 0) {
      this.firstReply[node] = reply;
      this.firstChild[node] = made;
    } else {
      (this.moreChildren[node] ??= new Map<number, number>()).set(reply, made);
    }
    return made;
  }

  /** The state that a loop's head was marked with, as text. */
  headOf(node: number): string {
    return [...this.loopHeads].find(([, head]) => head === node)![0].replace(/^\d+ \d+ /, '');
  }

  /** The children that were met. */
  *children(node: number): Generator<number> {
    if (this.firstReply[node] < 0) return;
    yield this.firstChild[node];
    const more = this.moreChildren[node];
    if (more !== undefined) yield* more.values();
  }

  /** Node, reply and child of what leads back to a node that was met before: to the head of a loop. */
  *loopEdges(): Generator<readonly [node: number, reply: number, head: number]> {
    for (let node = 1; node < this.size; node++) {
      const edges = this.moreChildren[node] ?? new Map<number, number>();
      const first = [this.firstReply[node], this.firstChild[node]] as const;
      for (const [reply, child] of this.firstReply[node] < 0 ? [] : [first, ...edges]) {
        if (this.parent[child] !== node || this.reply[child] !== reply) yield [node, reply, child];
      }
    }
  }

  /** `thread "T0", step 3`; steps are counted from 1. */
  where(node: number): string {
    return `thread "${this.threads[this.thread[node]].name}", step ${this.depth[node] + 1}`;
  }

  /** @param spawner the node of the spawn that started the thread, 0 for none */
  private make(thread: number, parent: number, reply: number, spawner: number): number {
    const { name } = this.threads[thread];
    const depth = parent === 0 ? 0 : this.depth[parent] + 1;
    const where = `thread "${name}", step ${depth + 1}`;
    const run = this.runTo(thread, parent, reply, spawner);
    const { loop } = run;
    if (loop !== undefined) {
      const key = `${thread} ${spawner} ${loop}`;
      const head = this.loopHeads.get(key);
      if (head !== undefined) return head;
      this.loopHeads.set(key, this.size);
      this.hasLoops = true;
    }
    try {
      const node = this.add(thread, parent, reply, depth, run, where, spawner);
      this.live = { node, run };
      return node;
    } catch (thrown) {
      // What is no plain JSON: without end, a BigInt, a Map.
      const fault =
        thrown instanceof TypeError || thrown instanceof RangeError
          ? new ScenarioError(
              `its step cannot be written down: ${messageOf(thrown)}`,
              where,
              'events, options and states of loops are plain JSON',
              { cause: thrown },
            )
          : thrown;
      if (fault instanceof ScenarioError) fault.generator = run.generator;
      throw fault;
    }
  }

  /** The thread at the node after `reply` at `parent`: the one that stands there, or a new one. */
  private runTo(thread: number, parent: number, reply: number, spawner: number): ThreadRun {
    const { name } = this.threads[thread];
    const body = this.bodyOf(thread, spawner);
    if (parent === 0) return new ThreadRun(body, name);
    const { live } = this;
    this.live = undefined;
    let run = live?.node === parent ? live.run : undefined;
    if (run === undefined) {
      run = new ThreadRun(body, name);
      for (const { node, reply } of this.pathTo(parent)) {
        this.check(run, node, node === parent);
        run.goOn(this.values.value(reply));
      }
      this.check(run, parent, true);
    }
    run.goOn(this.values.value(reply));
    return run;
  }

  /** Whether a thread that is run again does at `node` what it did there. */
  private check(run: ThreadRun, node: number, exactly: boolean): void {
    const before = this.step[node]!;
    const { step } = run;
    if (step !== undefined && (exactly ? same(step, before) : step.type === before.type)) return;
    const error = new ScenarioError(
      'the thread did something else when it was run again with the same replies',
      this.where(node),
      'a thread may depend on nothing but the replies to its steps',
    );
    error.generator = run.generator;
    throw error;
  }

  private add(
    thread: number,
    parent: number,
    reply: number,
    depth: number,
    { step, failure, fault, spawned, loop }: ThreadRun,
    where: string,
    spawner: number,
  ): number {
    if (fault !== undefined) {
      const { what, advice, ...cause } = fault;
      throw new ScenarioError(what, where, advice, cause);
    }
    if (step !== undefined) checkStep(step, where);
    let kind = step === undefined ? (failure === undefined ? Kind.Done : Kind.Threw) : Kind.Cut;
    let sent: SendTarget | undefined;
    let options: readonly number[] = [];
    let other = -1;
    if (step !== undefined && depth < this.maxSteps) {
      switch (step.type) {
        case 'send':
          kind = Kind.Send;
          sent = this.target(step.entity, this.addressed(step.event, thread), step.delivery, where);
          break;
        case 'choose':
          kind = Kind.Choose;
          if (step.options.length === 0) {
            throw new ScenarioError('a choice among nothing', where, 'give it options');
          }
          options = step.options.map((option) => this.values.intern(option));
          break;
        case 'spawn':
          kind = Kind.Spawn;
          other = this.addThread(`${this.threads[thread].name}.${spawned}`, step.body);
          break;
        case 'join': {
          kind = Kind.Join;
          const joined = this.indexes.get(step.thread);
          if (joined === undefined) {
            const known = knownNames(this.threads.map(({ name }) => name));
            const advice = `there are ${known}; of the nth that T spawns the name is T.n`;
            throw new ScenarioError(`there is no thread "${step.thread}"`, where, advice);
          }
          other = joined;
          break;
        }
        default:
          throw new ScenarioError(`it yields ${step.type} where a step is to be`, where, '');
      }
    }
    const node = this.size;
    this.kind.push(kind);
    this.entity.push(sent?.entity ?? -1);
    this.event.push(sent?.event ?? -1);
    this.thread.push(thread);
    this.parent.push(parent);
    this.spawner.push(spawner);
    this.reply.push(reply);
    this.depth.push(depth);
    this.step.push(step);
    this.options.push(options);
    this.other.push(other);
    this.error.push(failure?.error);
    this.loopHead.push(loop !== undefined);
    this.firstReply.push(-1);
    this.firstChild.push(0);
    this.moreChildren.push(undefined);
    return node;
  }

  private addressed(event: AnyEventObject, thread: number): AnyEventObject {
    const { name } = this.threads[thread];
    const fields = Object.entries(event);
    return fields.some(([, value]) => value === SELF)
      ? (Object.fromEntries(
          fields.map(([key, value]) => [key, value === SELF ? name : (value as unknown)]),
        ) as AnyEventObject)
      : event;
  }

  /** A generator that stands at a node, for its place in the file. */
  standing(node: number): object | undefined {
    const thread = this.thread[node];
    const { name } = this.threads[thread];
    const run = new ThreadRun(this.bodyOf(thread, this.spawner[node]), name);
    for (const { reply } of this.pathTo(node)) run.goOn(this.values.value(reply));
    return run.generator;
  }

  private bodyOf(thread: number, spawner: number): ThreadBody {
    const step = this.step[spawner];
    return step?.type === 'spawn' ? step.body : this.threads[thread].body;
  }

  /** Nodes and the replies that led on from them, to `node`. */
  private pathTo(node: number): { readonly node: number; readonly reply: number }[] {
    const path: { readonly node: number; readonly reply: number }[] = [];
    for (let at = node; this.parent[at] !== 0; at = this.parent[at]) {
      path.push({ node: this.parent[at], reply: this.reply[at] });
    }
    return path.reverse();
  }
}

/** What types would have told. */
function checkStep(step: Step, where: string): void {
  const { type, label } = step as { readonly type: string; readonly label?: unknown };
  if (label !== undefined && typeof label !== 'string') {
    throw new ScenarioError('its label is no text', where, 'labels are strings');
  }
  if (type === 'send' && typeof (step as { event?: { type?: unknown } }).event?.type !== 'string') {
    throw new ScenarioError('an event without a type', where, 'events are { type: … }');
  }
  if (type === 'choose' && !Array.isArray((step as { options?: unknown }).options)) {
    throw new ScenarioError('a choice among nothing', where, 'give it options, in a list');
  }
}

function same(a: Step, b: Step): boolean {
  if (a.type !== b.type) return false;
  switch (a.type) {
    case 'send':
      return (
        b.type === 'send' &&
        a.entity === b.entity &&
        stable([a.event, a.delivery]) === stable([b.event, b.delivery])
      );
    case 'choose':
      return b.type === 'choose' && stable(a.options) === stable(b.options);
    case 'join':
      return b.type === 'join' && a.thread === b.thread;
    default:
      return true;
  }
}
