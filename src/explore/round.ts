/** One depth-first search with frozen futures: exploration.md section 2. */

import type { Futures } from './futures.js';
import { ENDLESS } from './independence.js';
import { memoryExceeded } from './memory.js';
import type { Program } from './program.js';
import { Frames } from './frames.js';
import { saveProgram } from './saved-search.js';
import type { SavedRound, SavedSearch } from './saved-search.js';
import type { Cut, Reductions, SearchOptions, SearchStats } from './search-options.js';
import { searchedShare } from './searched-share.js';
import type { Sections } from './sections.js';
import type { SymmetryGroup } from './symmetry.js';
import { Kind } from './thread-trie.js';
import type { LocalVisited, Visited } from './visited.js';
import { brokenAtEnd, EXCEPTION } from './verdict-rules.js';

/** A thread was met that the columns have no place for, or a section that is not one step. */
export class Restart extends Error {}

/** Steps between two glances at clock and memory. */
const GLANCE = 1024;

const YES = 1;
const NO = 2;

function resized(array: Int8Array, index: number): Int8Array {
  const larger = new Int8Array(2 * (index + 1));
  larger.set(array);
  return larger;
}

/** Accesses of a collapsed section; a longer one is not collapsed. */
const MAX_INSIDE = 64;

/** What a step sends, in its order: the entities, the events, and in which snapshots they arrive. */
class Access {
  count = 0;
  /** Of a collapsed section: the node after it. */
  end = 0;
  readonly entity = new Int32Array(MAX_INSIDE);
  readonly event = new Int32Array(MAX_INSIDE);
  readonly local = new Int32Array(MAX_INSIDE);
}

/** What a round works with; nothing of it changes while it runs but `stats`. */
export interface RoundSetting {
  readonly program: Program;
  readonly futures: Futures;
  readonly sections: Sections;
  readonly group: SymmetryGroup | undefined;
  readonly reductions: Reductions;
  readonly options: SearchOptions;
  readonly stats: SearchStats;
  /** As performance.now() tells. */
  readonly deadline: number;
}

/** Others who search the same states at the same time. */
export interface Crew {
  /** Gives work away where somebody waits for it. Returns false when the search is to end. */
  lend(frames: Frames): boolean;
  /** Waits for work. Returns false where there is none left, or the search is to end. */
  borrow(frames: Frames): boolean;
}

/** One search with frozen futures. */
export class Round {
  readonly violated = new Map<string, Int32Array>();
  cut: Cut | undefined;
  /** It ended before all was searched. */
  stopped = false;
  private readonly program: Program;
  private readonly futures: Futures;
  private readonly sections: Sections;
  private readonly group: SymmetryGroup | undefined;
  private readonly reductions: Reductions;
  private readonly options: SearchOptions;
  private readonly threads: number;
  private readonly frames = new Frames();
  private readonly row: Int32Array;
  /** Where the last step began, and the threads that have moved since. */
  private from = -1;
  private moved = 0;
  private transitions = 0;
  private longest = 0;
  private knownNodes = 0;
  private glance: number;
  /** Between two steps it is time for a pause. */
  private due = false;
  private glances = 0;
  private readonly maxStates: number;
  private readonly entities: number;
  private readonly applied: number[] = [];
  /** By node: whether a collapsed section begins there, where that was asked. */
  private sectionAt: Int8Array = new Int8Array(1024);
  /** By thread: another, beside which it could not run alone the last time. */
  private readonly hinderedBy: Int32Array;
  private readonly first = new Access();
  private readonly second = new Access();

  constructor(
    private readonly setting: RoundSetting,
    private readonly visited: Visited,
    private readonly crew?: Crew,
  ) {
    const { program, futures, sections, group, reductions, options } = setting;
    this.program = program;
    this.futures = futures;
    this.sections = sections;
    this.group = group;
    this.reductions = reductions;
    this.options = options;
    this.threads = program.trie.threads.length;
    this.entities = program.entities;
    this.glance = options.glance ?? GLANCE;
    this.maxStates = options.bounds?.states ?? Infinity;
    this.hinderedBy = new Int32Array(this.threads);
    this.row = program.start(this.threads);
  }

  /**
   * Searches to the end, or to a bound. Throws Restart.
   *
   * @param begins whether it has the start; else it waits for work of others
   */
  run(begins: boolean): void {
    try {
      if (begins) this.begin();
      this.search();
    } finally {
      this.count();
    }
  }

  /** Goes on where a round was when it was saved. */
  resume(saved: SavedRound, visited: LocalVisited): void {
    visited.restore(saved.rows, saved.sleepOf);
    this.frames.restore(saved.frames);
    for (const [rule, broken] of saved.violated) this.violated.set(rule, Int32Array.from(broken));
    this.cut = saved.cut;
    this.transitions = saved.transitions;
    this.longest = saved.longest;
    this.knownNodes = saved.knownNodes;
    this.run(false);
  }

  private count(): void {
    const { visited } = this;
    const { stats } = this.setting;
    stats.states = visited.count;
    stats.transitions = this.transitions;
    stats.bytes = visited.bytes;
    stats.longest = this.longest;
  }

  private save(): SavedSearch {
    const { program, futures, sections, frames, visited } = this;
    // Who searches with others does not pause.
    const { rows, sleepOf } = (visited as LocalVisited).save();
    return {
      program: saveProgram(program),
      futures: futures.save(),
      sections: sections.save(),
      round: {
        rows,
        sleepOf,
        frames: frames.save(),
        violated: [...this.violated].map(([rule, broken]) => [rule, [...broken]]),
        cut: this.cut,
        transitions: this.transitions,
        longest: this.longest,
        knownNodes: this.knownNodes,
      },
      stats: this.setting.stats,
    };
  }

  private begin(): void {
    const { program, row, entities } = this;
    for (let e = 0; e < entities; e++) {
      for (const rule of program.tables[e].rules(row[e])) this.violate(rule);
    }
    for (const compiled of program.invariants) {
      if (!program.holds(compiled, row)) this.violate(compiled.invariant.id);
    }
    for (let c = entities; c < row.length; c++) this.standsAt(row[c]);
    this.goOn(0, 0);
  }

  private search(): void {
    const { program, frames, row, visited, crew } = this;
    const { onPause } = this.options;
    const { sleep } = this.reductions;
    while (!this.stopped) {
      if (this.due) {
        this.due = false;
        onPause?.(() => this.save());
        if (crew?.lend(frames) === false) this.stopped = true;
      }
      if (frames.depth === 0) {
        if (crew?.borrow(frames) !== true) break;
        continue;
      }
      const top = frames.depth - 1;
      let t = frames.thread[top];
      if (t >= 0) {
        const outcome = ++frames.outcome[top];
        visited.load(frames.state[top], row);
        if (outcome >= program.outcomes(row, t)) {
          frames.asleep[top] |= 1 << t;
          t = -1;
        }
      }
      if (t < 0) {
        const todo = frames.todo[top];
        if (todo === 0) {
          frames.depth--;
          continue;
        }
        t = 31 - Math.clz32(todo & -todo);
        frames.todo[top] = todo & (todo - 1);
        frames.thread[top] = t;
        frames.outcome[top] = 0;
        visited.load(frames.state[top], row);
      }
      // In work of others nobody has asked here yet whether it can be done.
      if (crew !== undefined) program.enabled(row, t);
      const asleep = sleep ? this.stillAsleep(row, frames.asleep[top] & ~(1 << t), t) : 0;
      this.from = frames.state[top];
      this.moved = 1 << t;
      const steps = this.step(t, frames.outcome[top], frames.steps[top] + 1);
      if (!this.stopped) this.goOn(asleep, steps);
    }
  }

  /** Those of `asleep` whose step commutes with that of `t`. */
  private stillAsleep(row: Int32Array, asleep: number, t: number): number {
    if (asleep === 0) return 0;
    const { entities } = this;
    const node = row[entities + t];
    const section = this.collapsed(node);
    if (section) this.access(row, node, this.second);
    let still = 0;
    for (let rest = asleep; rest !== 0; rest &= rest - 1) {
      const z = 31 - Math.clz32(rest & -rest);
      const other = row[entities + z];
      const independent =
        section || this.collapsed(other)
          ? this.sectionsIndependent(row, other, node, section)
          : this.independent(row, other, node);
      if (independent) still |= 1 << z;
    }
    return still;
  }

  /** Of single steps at two nodes. */
  private independent(row: Int32Array, a: number, b: number): boolean {
    const { trie, visible } = this.program;
    const entity = trie.entity[a];
    const other = trie.entity[b];
    if (entity < 0 || other < 0) return true;
    if (entity !== other) return !(visible[entity] && visible[other]);
    if (visible[entity]) return false;
    const { independence } = this.futures;
    return independence[entity].commute(row[entity], trie.event[a], trie.event[b]);
  }

  /**
   * Where one of them, or both, are sections.
   *
   * @param known what `second` would send is there already
   */
  private sectionsIndependent(
    row: Int32Array,
    first: number,
    second: number,
    known: boolean,
  ): boolean {
    const a = this.access(row, first, this.first);
    const b = known ? this.second : this.access(row, second, this.second);
    const { visible } = this.program;
    for (let i = 0; i < a.count; i++) {
      for (let j = 0; j < b.count; j++) {
        const entity = a.entity[i];
        if (entity !== b.entity[j]) {
          if (visible[entity] && visible[b.entity[j]]) return false;
        } else if (visible[entity] || !this.sequencesCommute(a, b, entity)) {
          return false;
        }
      }
    }
    return true;
  }

  /** Whether what `a` sends to `entity` commutes with what `b` sends to it. */
  private sequencesCommute(a: Access, b: Access, entity: number): boolean {
    const table = this.program.tables[entity];
    const independence = this.futures.independence[entity];
    // Every event of b must commute with every one of a, wherever the others have led.
    for (let i = 0; i < a.count; i++) {
      if (a.entity[i] !== entity) continue;
      let local = a.local[i];
      for (let j = 0; j < b.count; j++) {
        if (b.entity[j] !== entity) continue;
        if (!independence.commute(local, a.event[i], b.event[j])) return false;
        local = table.step(local, b.event[j]);
      }
    }
    return true;
  }

  /** What the step at `node` would send: of a collapsed section all that is inside. */
  private access(row: Int32Array, node: number, into: Access): Access {
    const { trie } = this.program;
    into.count = 0;
    const entity = trie.entity[node];
    if (entity < 0) return into;
    if (!this.collapsed(node)) {
      into.entity[0] = entity;
      into.event[0] = trie.event[node];
      into.local[0] = row[entity];
      into.count = 1;
      return into;
    }
    return this.accessInside(row, node, entity, into);
  }

  private accessInside(row: Int32Array, lock: number, mutex: number, into: Access): Access {
    const { trie, tables } = this.program;
    let node = this.program.nodeAfter(row, lock, 0);
    while (trie.entity[node] !== mutex) {
      const entity = trie.entity[node];
      if (!this.sections.inside(mutex, node) || into.count === MAX_INSIDE) this.divide(mutex);
      let local = row[entity];
      for (let i = into.count - 1; i >= 0; i--) {
        if (into.entity[i] !== entity) continue;
        local = tables[entity].step(into.local[i], into.event[i]);
        break;
      }
      const event = trie.event[node];
      if (tables[entity].step(local, event) < 0) this.divide(mutex);
      into.entity[into.count] = entity;
      into.event[into.count] = event;
      into.local[into.count++] = local;
      node = trie.child(node, tables[entity].reply[local * tables[entity].stride + event]);
    }
    // An unlock is not answered.
    into.end = trie.child(node, 0);
    return into;
  }

  private collapsed(node: number): boolean {
    if (node >= this.sectionAt.length) this.sectionAt = resized(this.sectionAt, node);
    const known = this.sectionAt[node];
    if (known !== 0) return known === YES;
    const { sections, alone } = this.reductions;
    const collapsed = sections && alone && this.sections.collapses(node);
    this.sectionAt[node] = collapsed ? YES : NO;
    return collapsed;
  }

  private divide(mutex: number): never {
    this.sections.divide(mutex);
    throw new Restart();
  }

  /** Makes the step of a thread; of a collapsed section all that is inside. Returns the depth. */
  private step(t: number, outcome: number, steps: number): number {
    const { row, entities, program } = this;
    const node = row[entities + t];
    if (!this.collapsed(node)) {
      this.microStep(t, outcome, steps);
      return steps;
    }
    const mutex = program.trie.entity[node];
    this.microStep(t, 0, steps);
    for (;;) {
      const at = row[entities + t];
      const last = program.trie.entity[at] === mutex;
      const ready = program.enabled(row, t);
      if (!ready || !(last || this.sections.inside(mutex, at))) this.divide(mutex);
      this.microStep(t, 0, ++steps);
      if (last || this.stopped) return steps;
    }
  }

  private microStep(t: number, outcome: number, steps: number): void {
    const { program, row, entities } = this;
    const from = row[entities + t];
    const entity = program.trie.entity[from];
    const node = program.step(row, t, outcome);
    this.transitions++;
    if (--this.glance === 0) this.look();
    if (steps > this.longest) this.longest = steps;
    if (program.trie.size !== this.knownNodes) this.meetNodes();
    if (entity >= 0) {
      for (const rule of program.tables[entity].rules(row[entity])) this.violate(rule);
      if (program.visible[entity]) this.checkInvariants(entity);
    }
    this.standsAt(node);
    if (program.trie.kind[from] === Kind.Spawn) {
      this.standsAt(program.trie.startedBy(from));
    }
    const bound = this.options.bounds?.depth;
    if (bound !== undefined && steps >= bound) this.stop('depth');
  }

  /** A thread has come to a node: its first one too. */
  private standsAt(node: number): void {
    const kind = this.program.trie.kind[node];
    if (kind === Kind.Threw) this.violate(EXCEPTION);
    else if (kind === Kind.Cut) this.cut ??= 'steps';
  }

  private meetNodes(): void {
    const { trie } = this.program;
    this.knownNodes = trie.size;
    if (trie.threads.length !== this.threads) throw new Restart();
    if (this.reductions.alone) this.futures.extend();
  }

  private checkInvariants(entity: number): void {
    const { program, row } = this;
    for (const compiled of program.invariants) {
      if (compiled.columns.includes(entity) && !program.holds(compiled, row)) {
        this.violate(compiled.invariant.id);
      }
    }
  }

  private violate(rule: string): void {
    if (!this.violated.has(rule)) this.violated.set(rule, this.row.slice());
    if (this.options.stopAtFirst === true) this.stopped = true;
  }

  private stop(cut: Cut): void {
    this.cut = cut;
    this.stopped = true;
  }

  /** From the present row: steps that run alone, then the state is stored, or met again. */
  private goOn(asleep: number, steps: number): void {
    const { program, reductions, row, visited, frames, group } = this;
    let alone = -1;
    if (reductions.alone) {
      for (;;) {
        alone = this.aloneThread(row);
        if (alone < 0 || !reductions.sections || program.outcomes(row, alone) > 1) break;
        if (((asleep >>> alone) & 1) !== 0) return;
        if (asleep !== 0) asleep = this.stillAsleep(row, asleep, alone);
        this.moved |= 1 << alone;
        steps = this.step(alone, 0, steps + 1);
        if (this.stopped) return;
      }
    }
    if (group !== undefined) {
      const applied: number[] | undefined = alone < 0 ? undefined : this.applied;
      if (applied !== undefined) applied.length = 0;
      asleep = group.canonicalize(row, asleep, applied);
      if (applied !== undefined) for (const swap of applied) alone = group.threadAfter(swap, alone);
      if (program.trie.size !== this.knownNodes) this.meetNodes();
    }
    if (!reductions.sleep) asleep = 0;
    visited.arrive(row, asleep);
    this.options.onEdge?.(this.from, visited.state, this.moved, row);
    if (visited.first) {
      if (visited.count > this.maxStates) this.stop('states');
      let todo: number;
      if (alone >= 0) {
        // Among states of one orbit the first visit decides.
        todo = 1 << alone;
      } else {
        todo = this.enabledThreads(row);
        if (todo === 0) {
          this.final();
          return;
        }
      }
      frames.push(visited.state, todo & ~asleep, asleep, steps);
    } else {
      const again = visited.before & ~asleep;
      if (again !== 0) frames.push(visited.state, again, visited.before & asleep, steps);
    }
  }

  private enabledThreads(row: Int32Array): number {
    let enabled = 0;
    for (let t = 0; t < this.threads; t++) if (this.program.enabled(row, t)) enabled |= 1 << t;
    return enabled;
  }

  /** A thread whose step may be the only one that is tried here, or -1. */
  private aloneThread(row: Int32Array): number {
    for (let t = 0; t < this.threads; t++) {
      if (this.program.enabled(row, t) && this.alone(row, t)) return t;
    }
    return -1;
  }

  private alone(row: Int32Array, t: number): boolean {
    const { program, entities } = this;
    const { trie, visible } = program;
    const node = row[entities + t];
    // A step that closes a loop never runs alone: the others would never run.
    if (trie.hasLoops && this.closesLoop(row, t, node)) return false;
    const entity = trie.entity[node];
    if (entity < 0) return true;
    if (this.collapsed(node)) {
      const access = this.access(row, node, this.first);
      for (let i = 0; i < access.count; i++) {
        const { entity, event, local } = access;
        if (!this.aloneAt(row, t, entity[i], event[i], local[i], true)) return false;
      }
      return true;
    }
    if (visible[entity]) return !this.othersSeen(row, t);
    if (this.reductions.sections && this.sections.protects(entity, node)) return true;
    return this.aloneAt(row, t, entity, trie.event[node], row[entity], false);
  }

  /** Whether a thread but `t` may still send to an entity that an invariant looks at. */
  private othersSeen(row: Int32Array, t: number): boolean {
    const { entities, threads, futures } = this;
    const { visible } = this.program;
    for (let u = 0; u < threads; u++) {
      const other = row[entities + u];
      if (u === t || other === 0) continue;
      for (let e = 0; e < entities; e++) {
        if (visible[e] && futures.at[other * entities + e] !== 0) return true;
      }
    }
    return false;
  }

  /** Whether `event`, sent by `t` in snapshot `local`, commutes with all that others may still send. */
  private aloneAt(
    row: Int32Array,
    t: number,
    entity: number,
    event: number,
    local: number,
    inSection: boolean,
  ): boolean {
    const { entities, threads } = this;
    const { at, most, independence } = this.futures;
    const { sets } = independence[entity];
    // What fails beside one thread fails beside all, and mostly beside the same as the last time.
    const before = this.hinderedBy[t];
    if (before !== t) {
      const other = row[entities + before] * entities + entity;
      const set = at[other];
      if (set !== 0 && !independence[entity].alone(local, event, set, most[other], inSection)) {
        return false;
      }
    }
    let others = 0;
    let count = 0;
    for (let u = 0; u < threads; u++) {
      if (u === t) continue;
      const other = row[entities + u];
      const set = at[other * entities + entity];
      if (set === 0) continue;
      const more = most[other * entities + entity];
      if (!independence[entity].alone(local, event, set, more, inSection)) {
        this.hinderedBy[t] = u;
        return false;
      }
      others = sets.union(others, set);
      count = more === ENDLESS || count === ENDLESS ? ENDLESS : count + more;
    }
    return independence[entity].alone(local, event, others, count, inSection);
  }

  private closesLoop(row: Int32Array, t: number, node: number): boolean {
    const { program } = this;
    const { trie } = program;
    if (this.collapsed(node)) return trie.loopHead[this.access(row, node, this.first).end];
    for (let outcome = program.outcomes(row, t) - 1; outcome >= 0; outcome--) {
      if (trie.loopHead[program.nodeAfter(row, node, outcome)]) return true;
    }
    return false;
  }

  private final(): void {
    this.options.onFinal?.(this.row);
    for (const rule of brokenAtEnd(this.program, this.row)) this.violate(rule);
  }

  /** Bounds and progress. */
  private look(): void {
    this.glance = this.options.glance ?? GLANCE;
    this.due = true;
    const { bounds, onProgress } = this.options;
    const { stats, deadline } = this.setting;
    if (onProgress !== undefined) {
      this.count();
      onProgress(stats, searchedShare(this.frames, this.visited.sleepOf));
    }
    if (performance.now() > deadline) this.stop('time');
    else if (++this.glances % 16 === 0 && memoryExceeded(bounds?.memory)) this.stop('memory');
  }
}
