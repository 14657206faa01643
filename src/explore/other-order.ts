/**
 * The other order of a race: what happens when the later of two steps is made before the earlier
 * one. As little as possible of the schedule is changed for it.
 */

import { continuation, padded } from './continuation.js';
import type { Budget } from './continuation.js';
import type { Program } from './program.js';
import { carryOut, nameOf } from './schedule.js';
import type { Move, ScheduledStep } from './schedule.js';
import { Kind } from './thread-trie.js';
import { brokenAtEnd, brokenRules } from './verdict-rules.js';

export interface OtherOrder {
  /**
   * `holds`: these steps break no rule, to the end. `broken`: the last of them breaks one, whatever
   * could have been done after the schedule's own steps. `impossible`: no schedule that breaks no
   * rule before has this order. `unknown`: there are too many states.
   */
  readonly outcome: 'holds' | 'broken' | 'impossible' | 'unknown';
  /** The rules that are broken, of `broken`. */
  readonly broken: readonly string[];
  readonly steps: readonly ScheduledStep[];
  /**
   * Which of the steps are those of the race, in their new order. Without the second: it is not made
   * any more. Undefined: a rule is broken before the first, or there are no steps.
   */
  readonly race: readonly [now: number, later: number | undefined] | undefined;
  /** Of `holds`: the threads go round for ever after the last step. */
  readonly endless: boolean;
  /** Of `impossible`: what is in the way. */
  readonly why: string | undefined;
}

/** States that are looked at. */
const MAX_STATES = 20_000;

/** The nth time that a thread sends an event to a machine. */
interface Occurrence {
  readonly thread: number;
  readonly entity: number;
  readonly event: number;
  readonly nth: number;
}

interface Reached {
  readonly row: Int32Array;
  readonly moves: readonly Move[];
}

/**
 * @param race indexes of the two steps in `moves`
 * @param before for each of the moves the earlier ones that it depends on
 */
export function otherOrder(
  program: Program,
  moves: readonly Move[],
  [first, second]: readonly [first: number, second: number],
  before: readonly (readonly number[])[],
): OtherOrder {
  return new Exchange(program, moves, first, second, before).run();
}

class Exchange {
  private readonly budget: Budget = { left: MAX_STATES };
  private readonly first: Occurrence;
  private readonly second: Occurrence;
  /** The schedule's choices, by thread and step. */
  private readonly chosen = new Map<string, number>();
  /** The first way met on which a rule is broken before the second step is made. */
  private brokenBefore: Reached | undefined;

  constructor(
    private readonly program: Program,
    private readonly moves: readonly Move[],
    private readonly firstAt: number,
    secondAt: number,
    private readonly before: readonly (readonly number[])[],
  ) {
    const { entities, trie } = program;
    const row = padded(program, program.start(program.declaredThreads));
    const sent: { thread: number; entity: number; event: number }[] = [];
    for (const { thread, outcome } of moves) {
      const node = row[entities + thread];
      sent.push({ thread, entity: trie.entity[node], event: trie.event[node] });
      this.chosen.set(`${thread} ${trie.depth[node]}`, outcome);
      program.enabled(row, thread);
      program.step(row, thread, outcome);
    }
    const occurrence = (at: number): Occurrence => {
      const { thread, entity, event } = sent[at];
      const same = sent
        .slice(0, at + 1)
        .filter((s) => s.thread === thread && s.entity === entity && s.event === event);
      return { ...sent[at], nth: same.length };
    };
    this.first = occurrence(firstAt);
    this.second = occurrence(secondAt);
  }

  run(): OtherOrder {
    /** With nothing of the schedule changed but the race: a rule is broken before its second step. */
    let brokenBefore: Reached | undefined;
    let tries = 0;
    for (const prefix of this.prefixes()) {
      const reached = this.reach(prefix);
      if (tries++ === 0) brokenBefore = this.brokenBefore;
      if (reached === 'too many states') return this.told('unknown', []);
      if (reached === undefined) continue;
      return this.goOn(reached);
    }
    if (brokenBefore !== undefined) return this.ended(brokenBefore.moves);
    return this.told('impossible', [], { why: this.obstacle() });
  }

  /**
   * From where the other order is looked for: the steps before the first one of the race; then the
   * same without one step of its thread more and more, and what depends on it, so that a lock is not
   * taken yet; at last the start.
   */
  private *prefixes(): Generator<readonly Move[]> {
    const { moves, firstAt, before } = this;
    for (let from = firstAt; from >= 0; from--) {
      if (moves[from].thread !== this.first.thread) continue;
      const future = new Set([from]);
      for (let i = from + 1; i < firstAt; i++) {
        if (before[i].some((j) => future.has(j))) future.add(i);
      }
      const kept = moves.slice(0, firstAt).filter((_, i) => !future.has(i));
      if (carryOut(this.program, kept).reached === kept.length) yield kept;
    }
    yield [];
  }

  private isOccurrence(row: Int32Array, thread: number, of: Occurrence): boolean {
    if (thread !== of.thread) return false;
    const { entities, trie } = this.program;
    const node = row[entities + thread];
    return trie.entity[node] === of.entity && trie.event[node] === of.event;
  }

  /** The outcomes of a thread's step: the schedule's choice first. */
  private readonly outcomes = (row: Int32Array, thread: number): readonly number[] => {
    const { program } = this;
    const all = Array.from({ length: program.outcomes(row, thread) }, (_, n) => n);
    if (all.length === 1) return all;
    const { depth } = program.trie;
    const own = this.chosen.get(`${thread} ${depth[row[program.entities + thread]]}`);
    return own === undefined ? all : [own, ...all.filter((n) => n !== own && n < all.length)];
  };

  /** Makes the second step before the first one; its thread goes on before all others. */
  private reach(prefix: readonly Move[]): Reached | 'too many states' | undefined {
    const { program, first, second } = this;
    interface Node {
      readonly row: Int32Array;
      readonly seconds: number;
      readonly firsts: number;
      readonly from: Node | undefined;
      readonly move: Move | undefined;
    }
    const counted = (row: Int32Array, move: Move, { seconds, firsts }: Node) => ({
      seconds: seconds + Number(this.isOccurrence(row, move.thread, second)),
      firsts: firsts + Number(this.isOccurrence(row, move.thread, first)),
    });
    const movesTo = (node: Node) => {
      const made: Move[] = [];
      for (let at: Node | undefined = node; at?.move !== undefined; at = at.from) {
        made.push(at.move);
      }
      return made.reverse();
    };
    const row = padded(program, program.start(program.declaredThreads));
    let start: Node = { row, seconds: 0, firsts: 0, from: undefined, move: undefined };
    const isBroken = () => {
      if (brokenRules(program, start.row, false).length === 0) return false;
      this.brokenBefore ??= { row: start.row, moves: movesTo(start) };
      return true;
    };
    if (isBroken()) return undefined;
    for (const move of prefix) {
      program.enabled(start.row, move.thread);
      const next = start.row.slice();
      program.step(next, move.thread, move.outcome);
      start = { row: next, ...counted(start.row, move, start), from: start, move };
      if (isBroken()) return undefined;
    }
    const known = new Set<string>();
    const stack = [start];
    const order = Array.from({ length: row.length - program.entities }, (_, t) => t);
    const rank = (t: number) => (t === second.thread ? 0 : t === first.thread ? 2 : 1);
    order.sort((a, b) => rank(a) - rank(b) || a - b);
    while (stack.length > 0) {
      const at = stack.pop()!;
      const next: Node[] = [];
      for (const thread of order) {
        if (!program.enabled(at.row, thread)) continue;
        const isFirst = this.isOccurrence(at.row, thread, first) && at.firsts + 1 === first.nth;
        if (isFirst) continue;
        for (const outcome of this.outcomes(at.row, thread)) {
          const row = at.row.slice();
          const move = { thread, outcome };
          program.step(row, thread, outcome);
          const node: Node = { row, ...counted(at.row, move, at), from: at, move };
          const made = this.isOccurrence(at.row, thread, second) && node.seconds === second.nth;
          if (made) return { row, moves: movesTo(node) };
          if (brokenRules(program, row, false).length > 0) {
            this.brokenBefore ??= { row, moves: movesTo(node) };
            continue;
          }
          const key = `${row.join(' ')} ${node.seconds} ${node.firsts}`;
          if (known.has(key)) continue;
          if (this.budget.left-- <= 0) return 'too many states';
          known.add(key);
          next.push(node);
        }
      }
      stack.push(...next.reverse());
    }
    return undefined;
  }

  /** First what the schedule has left, in its order; then whatever breaks no rule. */
  private goOn({ row, moves: made }: Reached): OtherOrder {
    const { program, moves } = this;
    const all = [...made];
    let at = row;
    const done = new Map<number, number>();
    for (const { thread } of made) done.set(thread, (done.get(thread) ?? 0) + 1);
    let left = moves.filter(({ thread }) => {
      const before = done.get(thread) ?? 0;
      done.set(thread, before - 1);
      return before <= 0;
    });
    while (brokenRules(program, at, false).length === 0) {
      const met = new Set<number>();
      const n = left.findIndex(({ thread }) => {
        if (met.has(thread)) return false;
        met.add(thread);
        return program.enabled(at, thread);
      });
      if (n < 0) break;
      const { thread, outcome } = left[n];
      left = left.filter((_, i) => i !== n);
      const move = { thread, outcome: Math.min(outcome, program.outcomes(at, thread) - 1) };
      at = at.slice();
      program.step(at, thread, move.outcome);
      all.push(move);
    }
    const further = continuation(program, at, this.budget, new Set(), this.outcomes);
    if (further === undefined) return this.told('unknown', all);
    all.push(...further.moves);
    return further.escapes ? this.told('holds', all, further) : this.ended(all);
  }

  /** The steps end in a state that breaks a rule. */
  private ended(moves: readonly Move[]): OtherOrder {
    const { row } = carryOut(this.program, moves);
    const now = brokenRules(this.program, row, false);
    const broken = now.length > 0 ? now : brokenAtEnd(this.program, row);
    return this.told('broken', moves, { broken });
  }

  private told(
    outcome: OtherOrder['outcome'],
    moves: readonly Move[],
    more: { broken?: readonly string[]; endless?: boolean; why?: string } = {},
  ): OtherOrder {
    const { broken = [], endless = false, why } = more;
    const { steps } = carryOut(this.program, moves);
    const find = (of: Occurrence) => {
      let nth = 0;
      const { program } = this;
      const entity = program.entityNames[of.entity];
      const event = program.tables[of.entity].interned.eventOf(of.event);
      const { name } = program.trie.threads[of.thread];
      const at = steps.findIndex(
        (step) =>
          step.thread === name &&
          step.entity === entity &&
          step.event === event &&
          ++nth === of.nth,
      );
      return at < 0 ? undefined : at;
    };
    const now = find(this.second);
    return {
      outcome,
      broken,
      steps,
      race: now === undefined ? undefined : [now, find(this.first)],
      endless,
      why,
    };
  }

  /** What keeps the second step's thread from it while the first one is not made. */
  private obstacle(): string {
    const { program, second } = this;
    const { entities, trie } = program;
    const prefix = this.moves.slice(0, this.firstAt);
    const row = padded(program, carryOut(program, prefix).row);
    const { thread } = second;
    for (let n = 0; n < MAX_STATES && program.enabled(row, thread); n++) {
      program.step(row, thread, this.outcomes(row, thread)[0]);
    }
    const node = row[entities + thread];
    const { name } = trie.threads[thread];
    switch (trie.kind[node]) {
      case Kind.Done:
      case Kind.Threw:
      case Kind.Cut:
        return node === 0 ? `${name} has not begun` : `${name} does not come to it`;
      default:
        return program.enabled(row, thread)
          ? `${name} does not come to it`
          : `${nameOf(program, node, 0)} has to wait`;
    }
  }
}
