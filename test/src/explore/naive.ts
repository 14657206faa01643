/**
 * The plainest search there is: xstate snapshots and generators, every interleaving, states compared
 * as text. It shares nothing with src/explore but the scenario's type.
 */

import { initialTransition, transition } from 'xstate';
import type { AnyMachineSnapshot, AnyStateMachine } from 'xstate';
import type { EntityView, Scenario } from '../../../machines/scenario.js';
import { SELF } from '../../../machines/step.js';
import type { Step, ThreadBody } from '../../../machines/step.js';

interface State {
  readonly snapshots: Readonly<Record<string, AnyMachineSnapshot>>;
  /** Replies so far of each thread that has begun. */
  readonly replies: Readonly<Record<string, readonly unknown[]>>;
}

export interface NaiveResult {
  readonly states: number;
  readonly finals: ReadonlySet<string>;
  readonly violated: ReadonlySet<string>;
  /** The cost of the cheapest schedule that breaks each rule: preemptions, then steps. */
  cheapest(): ReadonlyMap<string, readonly [preemptions: number, steps: number]>;
}

type Pending = Step | 'done' | 'threw';

interface Ran {
  readonly pending: Pending;
  /** Of the loop head that it stands at; '' elsewhere. */
  readonly loop: string;
  /** Of the last head that it came by, and the replies since. */
  readonly since: readonly [head: string, replies: readonly unknown[]];
}

export function naive(scenario: Scenario, maxStates: number): NaiveResult | undefined {
  const bodies = new Map<string, ThreadBody>(Object.entries(scenario.threads));
  const monitors = Object.entries(scenario.monitors ?? {});
  const machines = Object.fromEntries(
    [
      ...Object.entries(scenario.entities),
      ...monitors.map(([name, { machine }]) => [name, machine] as const),
    ].map(([name, entity]) => [name, entity as AnyStateMachine]),
  );
  const pendingOf = new Map<string, Ran>();
  const pending = (name: string, replies: readonly unknown[]) => {
    const key = JSON.stringify([name, replies]);
    let known = pendingOf.get(key);
    if (known === undefined) {
      known = runAgain(bodies.get(name)!, name, replies, bodies);
      pendingOf.set(key, known);
    }
    return known;
  };
  /** A thread at the head of a loop it was at before is where it was then. */
  const atHead = new Map<string, readonly unknown[]>();
  const settled = (name: string, replies: readonly unknown[]): readonly unknown[] => {
    const { loop } = pending(name, replies);
    if (loop === '') return replies;
    const key = `${name} ${loop}`;
    const head = atHead.get(key);
    if (head === undefined) atHead.set(key, replies);
    return head ?? replies;
  };
  const snapshotText = new Map<AnyMachineSnapshot, string>();
  const text = (snapshot: AnyMachineSnapshot) => {
    let known = snapshotText.get(snapshot);
    if (known === undefined) {
      known = sorted([snapshot.value, snapshot.context]);
      snapshotText.set(snapshot, known);
    }
    return known;
  };
  const key = ({ snapshots, replies }: State) =>
    JSON.stringify([
      Object.entries(snapshots).map(([name, s]) => [name, text(s)]),
      Object.entries(replies)
        .map(([name, list]) => [name, sorted(pending(name, list).since)])
        .sort((a, b) => (a[0] < b[0] ? -1 : 1)),
    ]);
  const view = (state: State): Record<string, EntityView> =>
    Object.fromEntries(
      Object.entries(state.snapshots).map(([name, s]) => [
        name,
        {
          state: dotted(s.value),
          context: s.context as unknown,
          hasTag: (tag: string) => s.hasTag(tag),
        },
      ]),
    );

  let violated = new Set<string>();
  const finals = new Set<string>();
  const check = (state: State) => {
    for (const s of Object.values(state.snapshots)) {
      if (s.hasTag('violation')) violated.add(ruleOf(s));
    }
    for (const invariant of scenario.invariants ?? []) {
      if (invariant.when !== 'end' && !invariant.holds(view(state))) violated.add(invariant.id);
    }
  };
  const successors = (state: State): { thread: string; state: State }[] => {
    const next: { thread: string; state: State }[] = [];
    for (const [name, replies] of Object.entries(state.replies)) {
      const step = pending(name, replies).pending;
      if (step === 'done' || step === 'threw') continue;
      const answered = (reply: unknown, change: Partial<State> = {}) => {
        const mine = settled(name, [...replies, reply]);
        next.push({
          thread: name,
          state: {
            snapshots: change.snapshots ?? state.snapshots,
            replies: { ...state.replies, ...change.replies, [name]: mine },
          },
        });
      };
      if (step.type === 'send') {
        const event = Object.fromEntries(
          Object.entries(step.event).map(([k, v]) => [k, v === SELF ? name : (v as unknown)]),
        ) as { type: string };
        const from = state.snapshots[step.entity];
        if (!from.can(event)) continue;
        const [to, actions] = transition(machines[step.entity], from, event);
        const emitted = (actions as { type: string; params: { event: unknown } }[])
          .filter(({ type }) => type === 'xstate.emit')
          .map(({ params }) => params.event);
        const snapshots = { ...state.snapshots, [step.entity]: to as AnyMachineSnapshot };
        const { delivery } = step;
        for (const [monitor, { hears }] of delivery === undefined ? [] : monitors) {
          const { chain, block, dev } = hears ?? {};
          if (chain !== undefined && chain !== delivery!.chain) continue;
          if (block !== undefined && block !== delivery!.block) continue;
          if (dev !== undefined && dev !== delivery!.payload.dev) continue;
          const { action, payload } = delivery!;
          const heard = {
            ...payload,
            type: action,
            chain: delivery!.chain,
            block: delivery!.block,
          };
          const [then] = transition(machines[monitor], snapshots[monitor], heard);
          snapshots[monitor] = then as AnyMachineSnapshot;
        }
        answered(emitted.at(-1), { snapshots });
      } else if (step.type === 'choose') {
        for (const option of step.options) answered(option);
      } else if (step.type === 'spawn') {
        const n = countSpawns(bodies.get(name)!, name, replies);
        const child = `${name}.${n}`;
        bodies.set(child, step.body);
        answered(child, { replies: { [child]: settled(child, []) } });
      } else if (step.type === 'join') {
        const other = state.replies[step.thread];
        if (other !== undefined && pending(step.thread, other).pending === 'done') {
          answered(undefined);
        }
      }
    }
    return next;
  };

  const start: State = {
    snapshots: Object.fromEntries(
      Object.entries(machines).map(([name, machine]) => [name, initialTransition(machine)[0]]),
    ),
    replies: Object.fromEntries(
      Object.keys(scenario.threads).map((name) => [name, settled(name, [])]),
    ),
  };
  const met = new Set<string>([key(start)]);
  const queue = [start];
  const checkAll = (state: State, next: readonly unknown[]) => {
    check(state);
    for (const [name, replies] of Object.entries(state.replies)) {
      if (pending(name, replies).pending === 'threw') violated.add('exception');
    }
    if (next.length > 0) return;
    const waiting = Object.entries(state.replies).some(([name, replies]) => {
      const step = pending(name, replies).pending;
      return step !== 'done' && step !== 'threw';
    });
    const broken = Object.values(state.snapshots).some((s) => s.hasTag('violation'));
    if (waiting && !broken) violated.add('deadlock');
    if (waiting) return;
    for (const invariant of scenario.invariants ?? []) {
      if (invariant.when === 'end' && !invariant.holds(view(state))) violated.add(invariant.id);
    }
  };
  for (const state of queue) {
    if (met.size > maxStates) return undefined;
    const next = successors(state);
    checkAll(state, next);
    if (next.length === 0) finals.add(key(state));
    for (const { state: successor } of next) {
      const k = key(successor);
      if (met.has(k)) continue;
      met.add(k);
      queue.push(successor);
    }
  }
  /** Every state with the thread that ran last, cheapest first. */
  const cheapest = () => {
    const found = new Map<string, readonly [number, number]>();
    const done = new Set<string>();
    let level: { state: State; last: string; steps: number }[] = [
      { state: start, last: '', steps: 0 },
    ];
    for (let preemptions = 0; level.length > 0; preemptions++) {
      const dearer: typeof level = [];
      // Few enough to be sorted again and again.
      while (level.length > 0) {
        level.sort((a, b) => b.steps - a.steps);
        const { state, last, steps } = level.pop()!;
        const k = `${last} ${key(state)}`;
        if (done.has(k)) continue;
        done.add(k);
        const next = successors(state);
        violated = new Set();
        checkAll(state, next);
        for (const rule of violated) if (!found.has(rule)) found.set(rule, [preemptions, steps]);
        const goesOn = next.some(({ thread }) => thread === last);
        for (const { thread, state: to } of next) {
          const arrival = { state: to, last: thread, steps: steps + 1 };
          (goesOn && thread !== last ? dearer : level).push(arrival);
        }
      }
      level = dearer;
    }
    return found;
  };
  return { states: met.size, finals, violated, cheapest: () => cheapest() };
}

function runAgain(
  body: ThreadBody,
  name: string,
  replies: readonly unknown[],
  bodies: Map<string, ThreadBody>,
): Ran {
  let loop = '';
  let head = '';
  let at = 0;
  let given = 0;
  const since = () => [head, replies.slice(at)] as const;
  try {
    const generator = body(name);
    let result = generator.next();
    let spawned = 0;
    const pass = () => {
      loop = '';
      while (
        result.done !== true &&
        (result.value.type === 'loop' ||
          result.value.type === 'note' ||
          result.value.type === 'trace')
      ) {
        if (result.value.type === 'loop') {
          loop = head = JSON.stringify(result.value.state);
          at = given;
        }
        result = generator.next();
      }
    };
    pass();
    for (const reply of replies) {
      if (result.done === true) throw new Error('more replies than steps');
      if (result.value.type === 'spawn') bodies.set(`${name}.${spawned++}`, result.value.body);
      given++;
      result = generator.next(reply);
      pass();
    }
    return { pending: result.done === true ? 'done' : result.value, loop, since: since() };
  } catch {
    return { pending: 'threw', loop, since: since() };
  }
}

function countSpawns(body: ThreadBody, name: string, replies: readonly unknown[]): number {
  const generator = body(name);
  let result = generator.next();
  let count = 0;
  const pass = () => {
    while (result.done !== true && /^(loop|note)$/.test(result.value.type)) {
      result = generator.next();
    }
  };
  pass();
  for (const reply of replies) {
    if (result.done !== true && result.value.type === 'spawn') count++;
    result = generator.next(reply);
    pass();
  }
  return count;
}

function ruleOf(snapshot: AnyMachineSnapshot): string {
  const metas = Object.values(snapshot.getMeta() as Record<string, { rule?: string } | undefined>);
  return metas.find((meta) => meta?.rule !== undefined)?.rule ?? 'unnamed rule';
}

function dotted(value: unknown): string {
  if (typeof value === 'string') return value;
  return Object.entries(value as Record<string, unknown>)
    .map(([key, inner]) => `${key}.${dotted(inner)}`)
    .join(' ');
}

export function sorted(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    inner !== null && typeof inner === 'object' && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
