/** How a run can go on from a state: without breaking a rule, if that is possible. */

import { MAX_THREADS } from './program.js';
import type { Program } from './program.js';
import type { Move } from './schedule.js';
import { brokenAtEnd, brokenRules } from './verdict-rules.js';

/** How many states may be looked at yet. */
export interface Budget {
  left: number;
}

export interface Continuation {
  readonly moves: readonly Move[];
  readonly row: Int32Array;
  /** Where it ends nothing is over: the threads go round for ever, each of them now and then. */
  readonly endless: boolean;
  /** It breaks no rule. */
  readonly escapes: boolean;
  /** What its last state breaks; of a way that fails none where only `hopeless` tells that it does. */
  readonly broken: readonly string[];
}

/** A row that has a column for every thread that may be spawned. */
export function padded(program: Program, row: Int32Array): Int32Array {
  const wide = new Int32Array(program.entities + MAX_THREADS);
  wide.set(row);
  return wide;
}

interface Node {
  readonly row: Int32Array;
  readonly from: Node | undefined;
  readonly move: Move | undefined;
  /** Where its moves lead, as far as no rule is broken there; undefined: not looked at yet. */
  next: { readonly to: Node; readonly thread: number }[] | undefined;
  /** For Tarjan's algorithm. */
  index: number;
  low: number;
  onStack: boolean;
}

/**
 * Goes on, depth first, until all is over, and turns back where a rule is broken. Where a rule is
 * broken whatever is done, the first such way is the answer. A run that never ends breaks nothing
 * when it is fair: a thread that could always go on does now and then.
 *
 * @param hopeless states from which a rule is broken whatever is done; added to
 * @returns undefined when the budget did not suffice
 */
export function continuation(
  program: Program,
  start: Int32Array,
  budget: Budget,
  hopeless: Set<string> = new Set(),
  outcomesOf: (row: Int32Array, thread: number) => readonly number[] = (row, t) =>
    Array.from({ length: program.outcomes(row, t) }, (_, n) => n),
): Continuation | undefined {
  const node = (row: Int32Array, from?: Node, move?: Move): Node => ({
    row,
    from,
    move,
    next: undefined,
    index: -1,
    low: -1,
    onStack: false,
  });
  const first = node(padded(program, start));
  const known = new Map<string, Node>([[first.row.join(' '), first]]);
  let failed: Continuation | undefined;
  const fail = (at: Node, broken: readonly string[]) => {
    failed ??= { moves: movesTo(at), row: at.row, endless: false, escapes: false, broken };
  };
  const before = brokenRules(program, first.row, false);
  if (before.length > 0) {
    fail(first, before);
    return failed;
  }
  const stack = [first];
  while (stack.length > 0) {
    const at = stack.pop()!;
    if (at.next !== undefined) continue;
    const next: NonNullable<Node['next']> = (at.next = []);
    const enabled: number[] = [];
    for (let t = 0; t < MAX_THREADS; t++) if (program.enabled(at.row, t)) enabled.push(t);
    if (enabled.length === 0) {
      const broken = brokenAtEnd(program, at.row);
      if (broken.length === 0) {
        return { moves: movesTo(at), row: at.row, endless: false, escapes: true, broken };
      }
      fail(at, broken);
      continue;
    }
    // Who went last goes on first: fewer switches.
    const last = at.move?.thread ?? -1;
    enabled.sort((a, b) => Number(b === last) - Number(a === last) || a - b);
    const found: Node[] = [];
    for (const thread of enabled) {
      for (const outcome of outcomesOf(at.row, thread)) {
        const row = at.row.slice();
        program.step(row, thread, outcome);
        const key = row.join(' ');
        if (hopeless.has(key)) continue;
        let to = known.get(key);
        if (to === undefined) {
          if (budget.left-- <= 0) return undefined;
          to = node(row, at, { thread, outcome });
          const broken = brokenRules(program, row, false);
          if (broken.length > 0) {
            fail(to, broken);
            continue;
          }
          known.set(key, to);
          found.push(to);
        }
        next.push({ to, thread });
      }
    }
    stack.push(...found.reverse());
  }
  const round = fairRound(program, first);
  if (round !== undefined) {
    return { moves: movesTo(round), row: round.row, endless: true, escapes: true, broken: [] };
  }
  for (const key of known.keys()) hopeless.add(key);
  return failed ?? { moves: [], row: first.row, endless: false, escapes: false, broken: [] };
}

function movesTo(node: Node): Move[] {
  const moves: Move[] = [];
  for (let at: Node | undefined = node; at?.move !== undefined; at = at.from) moves.push(at.move);
  return moves.reverse();
}

/**
 * A state of a round that a fair run can stay in: of the strongly connected parts one in which every
 * thread makes a step or is somewhere unable to. Tarjan's algorithm, without recursion.
 */
function fairRound(program: Program, first: Node): Node | undefined {
  let count = 0;
  const open: Node[] = [];
  const calls: { readonly node: Node; at: number }[] = [];
  const enter = (node: Node) => {
    node.index = node.low = count++;
    node.onStack = true;
    open.push(node);
    calls.push({ node, at: 0 });
  };
  enter(first);
  while (calls.length > 0) {
    const call = calls[calls.length - 1];
    const { node } = call;
    const edges = node.next ?? [];
    if (call.at < edges.length) {
      const { to } = edges[call.at++];
      if (to.index < 0) enter(to);
      else if (to.onStack) node.low = Math.min(node.low, to.index);
      continue;
    }
    calls.pop();
    const caller = calls.at(-1)?.node;
    if (caller !== undefined) caller.low = Math.min(caller.low, node.low);
    if (node.low !== node.index) continue;
    const part = new Set(open.splice(open.lastIndexOf(node)));
    for (const member of part) member.onStack = false;
    if (isFair(program, part)) return node;
  }
  return undefined;
}

function isFair(program: Program, part: ReadonlySet<Node>): boolean {
  const steps = new Set<number>();
  for (const { next } of part) {
    for (const { to, thread } of next ?? []) if (part.has(to)) steps.add(thread);
  }
  if (steps.size === 0) return false;
  for (let t = 0; t < MAX_THREADS; t++) {
    if (steps.has(t)) continue;
    if ([...part].every(({ row }) => program.enabled(row, t))) return false;
  }
  return true;
}
