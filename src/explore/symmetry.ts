/**
 * Symmetry: what the scenario declares interchangeable is stored once per orbit. Everything is built
 * of exchanges of two members, remembered per snapshot, event, reply and node, so that a permutation
 * costs lookups. Source: exploration.md section 2 "Symmetry".
 */

import type { EventSets } from './independence.js';
import type { Futures } from './futures.js';
import type { Derived, LocalTable } from './local-table.js';
import type { Program } from './program.js';
import { ScenarioError } from './scenario-error.js';
import type { Symmetry } from '../../machines/scenario.js';
import { Kind } from './thread-trie.js';

interface Member {
  readonly set: number;
  readonly family: string;
  readonly index: number;
}

/** Exchanges members i and j of a set, in all of its families. */
interface Swap {
  readonly set: number;
  readonly i: number;
  readonly j: number;
  readonly names: ReadonlyMap<string, string>;
  /** By column: where it goes. */
  entities: readonly number[];
  threads: number[];
  readonly snapshots: Map<LocalTable, Int32Array>;
  readonly events: Map<LocalTable, number[]>;
  readonly replies: number[];
  nodes: Int32Array;
}

/** Of a tie that is not a symmetry of the state, at most so many orders are tried: 5!. */
const MAX_TIED = 5;

export class SymmetryGroup {
  private readonly members = new Map<string, Member>();
  private readonly sizes: readonly number[];
  private readonly swaps: Swap[] = [];
  /** By set, i, j. */
  private readonly swapOf: number[][][] = [];
  /** By table, set and index: projections of snapshots. */
  private readonly projections = new Map<LocalTable, Int32Array[][]>();
  /** By table, set, index, event. */
  private readonly eventProjections = new Map<LocalTable, number[][][]>();
  private readonly nodeProjections: Int32Array[][];
  /** By set, then index: the columns of that index; and the columns of no index. */
  private ownColumns: number[][][] = [];
  private sharedColumns: number[][] = [];
  private readonly order: Int32Array;
  private readonly sortedBy: number[] = [];
  private scratch = new Int32Array(0);
  private best = new Int32Array(0);
  private threadCount = 0;

  constructor(
    private readonly program: Program,
    declared: readonly Symmetry[],
  ) {
    this.sizes = declared.map((families, set) => {
      const sizes = new Set(Object.values(families).map((names) => names.length));
      const where = `symmetry ${set + 1}`;
      if (sizes.size !== 1) {
        throw new ScenarioError('its lists are not equally long', where, 'pair them by position');
      }
      for (const [family, names] of Object.entries(families)) {
        names.forEach((name, index) => {
          if (this.members.has(name)) {
            throw new ScenarioError(`"${name}" stands there twice`, where, '');
          }
          this.members.set(name, { set, family, index });
        });
      }
      return [...sizes][0];
    });
    this.order = new Int32Array(Math.max(0, ...this.sizes));
    this.nodeProjections = this.sizes.map((size) =>
      Array.from({ length: size }, () => new Int32Array(0)),
    );
    declared.forEach((families, set) => {
      this.swapOf[set] = Array.from({ length: this.sizes[set] }, () => []);
      for (let i = 0; i < this.sizes[set]; i++) {
        for (let j = i + 1; j < this.sizes[set]; j++) {
          const names = new Map<string, string>();
          for (const list of Object.values(families)) {
            names.set(list[i], list[j]);
            names.set(list[j], list[i]);
          }
          this.swapOf[set][i][j] = this.swapOf[set][j][i] = this.swaps.length;
          this.swaps.push({
            set,
            i,
            j,
            names,
            entities: [],
            threads: [],
            snapshots: new Map(),
            events: new Map(),
            replies: [],
            nodes: new Int32Array(0),
          });
        }
      }
    });
    const columns = new Map(program.entityNames.map((name, column) => [name, column]));
    for (const swap of this.swaps) {
      swap.entities = program.entityNames.map((name, column) => {
        const image = program.columns.renamed(column, (each) => this.renamed(each, swap));
        return columns.get(image) ?? missing(name, image);
      });
    }
    this.layOut();
    this.checkInitial();
    for (const table of new Set(program.tables)) {
      table.deriveBy((snapshot, event) => this.derive(table, snapshot, event));
    }
  }

  /**
   * What `event` does in `snapshot`, by what its image does where the members stand in the order of
   * what the machine knows of them; undefined where they stand so already.
   */
  private derive(table: LocalTable, snapshot: number, event: number): Derived | undefined {
    const { order } = this;
    const made: Swap[] = [];
    for (let set = 0; set < this.sizes.length; set++) {
      const size = this.sizes[set];
      for (let i = 0; i < size; i++) order[i] = i;
      for (let i = 1; i < size; i++) {
        for (let at = i; at > 0; at--) {
          const before = order[at - 1];
          const after = order[at];
          // Among those that look alike, the one that is spoken of stands first.
          const difference =
            this.snapshotProjection(table, snapshot, set, before) -
              this.snapshotProjection(table, snapshot, set, after) ||
            this.eventProjection(table, event, set, before) -
              this.eventProjection(table, event, set, after);
          if (difference <= 0) break;
          order[at - 1] = after;
          order[at] = before;
          made.push(this.swaps[this.swapOf[set][at - 1][at]]);
        }
      }
    }
    let at = snapshot;
    let sent = event;
    for (const swap of made) {
      at = this.snapshotImage(table, at, swap);
      sent = this.eventImage(table, sent, swap);
    }
    if (at === snapshot && sent === event) return undefined;
    let next = table.step(at, sent);
    if (next < 0) return { next, reply: 0 };
    let reply = table.reply[at * table.stride + sent];
    for (const swap of made.reverse()) {
      next = this.snapshotImage(table, next, swap);
      reply = this.replyImage(reply, swap);
    }
    return { next, reply };
  }

  /** Looks at threads that were met since. */
  layOut(): void {
    const { program } = this;
    const { trie, entities } = program;
    this.close();
    this.threadCount = trie.threads.length;
    for (const swap of this.swaps) {
      swap.threads = trie.threads.map(({ name }) => {
        const image = this.renamedThread(name, swap);
        return trie.indexOf(image) ?? missing(name, image);
      });
    }
    const names = [...program.entityNames, ...trie.threads.map(({ name }) => name)];
    this.ownColumns = this.sizes.map((size) => Array.from({ length: size }, () => []));
    this.sharedColumns = this.sizes.map(() => []);
    this.sizes.forEach((_, set) => {
      const order = names.map((name, column) => {
        const declared = column < entities ? name : this.declaredThread(name);
        const member = this.members.get(declared);
        return { column, member, key: `${member?.family} ${name.slice(declared.length)}` };
      });
      for (const { column, member } of order.sort((a, b) => (a.key < b.key ? -1 : 1))) {
        if (member?.set === set) this.ownColumns[set][member.index].push(column);
        else this.sharedColumns[set].push(column);
      }
      this.sharedColumns[set].sort((a, b) => a - b);
    });
    this.scratch = new Int32Array(names.length);
    this.best = new Int32Array(names.length);
  }

  /**
   * Turns `row` into the representative of its orbit.
   *
   * @param mask threads, as bits
   * @param applied where given, takes the exchanges that were made, in their order
   * @returns the same threads in the new row
   */
  canonicalize(row: Int32Array, mask: number, applied?: number[]): number {
    for (let set = 0; set < this.sizes.length; set++) {
      const size = this.sizes[set];
      const { order, sortedBy } = this;
      sortedBy.length = 0;
      // Insertion sort by what distinguishes the members in this state: of their numbers first,
      // because what is said of the images on the way need not be known.
      for (let i = 0; i < size; i++) order[i] = i;
      let tied = 0;
      for (let i = 1; i < size; i++) {
        for (let at = i; at > 0; at--) {
          const difference = this.compare(row, set, order[at - 1], order[at]);
          if (difference === 0) tied++;
          if (difference <= 0) break;
          const before = order[at - 1];
          order[at - 1] = order[at];
          order[at] = before;
          sortedBy.push(this.swapOf[set][at - 1][at]);
        }
      }
      for (const swap of sortedBy) {
        mask = this.apply(row, swap, mask);
        applied?.push(swap);
      }
      // Who looks like another was compared with it, and nothing has come between.
      for (let first = 0; tied > 0 && first < size - 1;) {
        let last = first;
        let fixed = true;
        while (last + 1 < size && this.compare(row, set, last, last + 1) === 0) {
          fixed &&= this.fixes(row, this.swapOf[set][last][last + 1]);
          last++;
        }
        if (!fixed && last - first < MAX_TIED) {
          mask = this.least(row, set, first, last, mask, applied);
        }
        first = last + 1;
      }
    }
    return mask;
  }

  /** Exchanges two members in `row`. Returns the threads of `mask` as they are called then. */
  apply(row: Int32Array, swapIndex: number, mask: number): number {
    const { scratch, program } = this;
    const { entities } = program;
    const swap = this.swaps[swapIndex];
    for (let e = 0; e < entities; e++) {
      scratch[swap.entities[e]] = this.snapshot(e, row[e], swap);
    }
    let swapped = 0;
    for (let t = 0; t < this.threadCount; t++) {
      const to = swap.threads[t];
      const node = row[entities + t];
      scratch[entities + to] = node === 0 ? 0 : this.node(node, swap);
      swapped |= ((mask >>> t) & 1) << to;
    }
    const width = entities + this.threadCount;
    for (let c = 0; c < width; c++) row[c] = scratch[c];
    return swapped;
  }

  /** What thread `t` is called after an exchange. */
  threadAfter(swap: number, t: number): number {
    return this.swaps[swap].threads[t];
  }

  /** Makes the images of all nodes. */
  close(): void {
    const { trie } = this.program;
    for (let node = 1; node < trie.size; node++) {
      for (const swap of this.swaps) this.node(node, swap);
    }
  }

  /** Futures of images. Returns whether any grew. */
  closeFutures(futures: Futures): boolean {
    const { program } = this;
    const { entities, trie } = program;
    futures.extend();
    let grown = false;
    for (let node = 1; node < trie.size; node++) {
      for (const swap of this.swaps) {
        const image = this.node(node, swap);
        if (image === node && trie.kind[node] === Kind.Done) continue;
        for (let e = 0; e < entities; e++) {
          const set = futures.at[node * entities + e];
          if (set === 0) continue;
          const to = swap.entities[e];
          const renamed = this.eventSet(futures.independence[e].sets, e, set, swap);
          if (futures.add(image, to, renamed, futures.most[node * entities + e])) grown = true;
        }
      }
    }
    return grown;
  }

  private compare(row: Int32Array, set: number, i: number, j: number): number {
    const own = this.ownColumns[set];
    const mine = own[i];
    const others = own[j];
    for (let c = 0; c < mine.length; c++) {
      const difference =
        this.projection(row, mine[c], set, i) - this.projection(row, others[c], set, j);
      if (difference !== 0) return difference;
    }
    for (const column of this.sharedColumns[set]) {
      const difference =
        this.projection(row, column, set, i) - this.projection(row, column, set, j);
      if (difference !== 0) return difference;
    }
    return 0;
  }

  /** Whether an exchange leaves the row as it is. */
  private fixes(row: Int32Array, swapIndex: number): boolean {
    const { entities } = this.program;
    const swap = this.swaps[swapIndex];
    for (let e = 0; e < entities; e++) {
      if (row[swap.entities[e]] !== this.snapshot(e, row[e], swap)) return false;
    }
    for (let t = 0; t < this.threadCount; t++) {
      const node = row[entities + t];
      const image = node === 0 ? 0 : this.node(node, swap);
      if (row[entities + swap.threads[t]] !== image) return false;
    }
    return true;
  }

  /** The least row of all orders of the members first…last, which look alike each by itself. */
  private least(
    row: Int32Array,
    set: number,
    first: number,
    last: number,
    mask: number,
    applied: number[] | undefined,
  ): number {
    const width = this.program.entities + this.threadCount;
    const { best } = this;
    best.set(row.subarray(0, width));
    let bestMask = mask;
    let made: number[] = [];
    let bestMade: readonly number[] = [];
    // Heap's algorithm: every order is one exchange from the one before.
    const counters = new Array<number>(last - first + 1).fill(0);
    for (let n = 1; n < counters.length;) {
      if (counters[n] >= n) {
        counters[n++] = 0;
        continue;
      }
      const swap = this.swapOf[set][first + (n % 2 === 0 ? 0 : counters[n])][first + n];
      mask = this.apply(row, swap, mask);
      made = [...made, swap];
      if (precedes(row, best, width)) {
        best.set(row.subarray(0, width));
        bestMask = mask;
        bestMade = made;
      }
      counters[n]++;
      n = 1;
    }
    row.set(best.subarray(0, width));
    applied?.push(...bestMade);
    return bestMask;
  }

  private snapshot(entity: number, snapshot: number, swap: Swap): number {
    return this.snapshotImage(this.program.tables[entity], snapshot, swap);
  }

  private snapshotImage(table: LocalTable, snapshot: number, swap: Swap): number {
    let images = swap.snapshots.get(table);
    if (images === undefined || snapshot >= images.length) {
      images = larger(images, snapshot);
      swap.snapshots.set(table, images);
    }
    let image = images[snapshot];
    if (image < 0) {
      const { interned } = table;
      image = interned.withContext(snapshot, this.rename(interned.context(snapshot), swap));
      table.grow();
      if (image >= images.length) {
        images = larger(images, image);
        swap.snapshots.set(table, images);
      }
      images[snapshot] = image;
      // Exchanged twice they are as they were.
      images[image] = snapshot;
    }
    return image;
  }

  private event(entity: number, event: number, swap: Swap): number {
    return this.eventImage(this.program.tables[entity], event, swap);
  }

  private eventImage(table: LocalTable, event: number, swap: Swap): number {
    let images = swap.events.get(table);
    if (images === undefined) {
      images = [];
      swap.events.set(table, images);
    }
    return (images[event] ??= table.event(
      this.rename(table.interned.eventOf(event), swap) as { type: string },
    ));
  }

  private eventSet(sets: EventSets, entity: number, set: number, swap: Swap): number {
    return sets.of(sets.events(set).map((event) => this.event(entity, event, swap)));
  }

  private node(node: number, swap: Swap): number {
    if (node >= swap.nodes.length) swap.nodes = larger(swap.nodes, node);
    if (swap.nodes[node] < 0) {
      const image = this.makeNode(node, swap);
      if (image >= swap.nodes.length) swap.nodes = larger(swap.nodes, image);
      swap.nodes[node] = image;
      swap.nodes[image] = node;
    }
    return swap.nodes[node];
  }

  private makeNode(node: number, swap: Swap): number {
    const { trie } = this.program;
    const parent = trie.parent[node];
    const spawner = trie.spawner[node];
    if (parent === 0 && spawner !== 0) {
      const start = trie.startedBy(this.node(spawner, swap));
      this.checkImage(node, start, swap);
      return start;
    }
    if (parent === 0) {
      const { name } = trie.threads[trie.thread[node]];
      const image = trie.indexOf(this.renamedThread(name, swap));
      if (image === undefined) return missing(name, this.renamedThread(name, swap));
      const root = trie.root(image);
      this.checkImage(node, root, swap);
      return root;
    }
    const image = trie.child(this.node(parent, swap), this.replyImage(trie.reply[node], swap));
    this.checkImage(node, image, swap);
    return image;
  }

  private replyImage(reply: number, swap: Swap): number {
    const { values } = this.program;
    return (swap.replies[reply] ??= values.intern(this.rename(values.value(reply), swap)));
  }

  private checkImage(node: number, image: number, swap: Swap): void {
    const { trie } = this.program;
    const alike =
      trie.kind[node] === trie.kind[image] &&
      (trie.kind[node] !== Kind.Send ||
        (swap.entities[trie.entity[node]] === trie.entity[image] &&
          this.event(trie.entity[node], trie.event[node], swap) === trie.event[image]));
    if (!alike) {
      const other = trie.threads[trie.thread[image]].name;
      throw new ScenarioError(
        `it is not what thread "${other}" does there with names exchanged`,
        trie.where(node),
        'take it out of the symmetry, or let both do the same',
      );
    }
  }

  private checkInitial(): void {
    const { program } = this;
    for (const swap of this.swaps) {
      program.initial.forEach((snapshot, e) => {
        const to = swap.entities[e];
        const alike =
          program.tables[e] === program.tables[to] &&
          this.snapshot(e, snapshot, swap) === program.initial[to];
        if (alike) return;
        throw new ScenarioError(
          `it does not start as "${program.entityNames[to]}" does with names exchanged`,
          `entity "${program.entityNames[e]}"`,
          'give both the same machine object',
        );
      });
    }
  }

  /** What the value of a column says about member `index` of a set, whatever the others are called. */
  private projection(row: Int32Array, column: number, set: number, index: number): number {
    const { entities, tables, trie } = this.program;
    const value = row[column];
    if (column < entities) return this.snapshotProjection(tables[column], value, set, index);
    if (value === 0) return -1;
    let known = this.nodeProjections[set][index];
    if (value >= known.length) known = this.nodeProjections[set][index] = larger(known, value);
    if (known[value] < 0) {
      const replies: string[] = [];
      for (let node = value; trie.parent[node] !== 0; node = trie.parent[node]) {
        replies.push(this.anonymous(this.program.values.value(trie.reply[node]), set, index));
      }
      known[value] = this.projectionId(replies.join(' '));
    }
    return known[value];
  }

  private snapshotProjection(
    table: LocalTable,
    snapshot: number,
    set: number,
    index: number,
  ): number {
    let of = this.projections.get(table);
    if (of === undefined) {
      of = this.sizes.map((size) => Array.from({ length: size }, () => new Int32Array(0)));
      this.projections.set(table, of);
    }
    let known = of[set][index];
    if (snapshot >= known.length) known = of[set][index] = larger(known, snapshot);
    if (known[snapshot] < 0) {
      const { interned } = table;
      const told = this.anonymous(interned.context(snapshot), set, index);
      known[snapshot] = this.projectionId(`${interned.stateName(snapshot)} ${told}`);
    }
    return known[snapshot];
  }

  /** 0: the event speaks of this member, 1: of none or of others. */
  private eventProjection(table: LocalTable, event: number, set: number, index: number): number {
    let of = this.eventProjections.get(table);
    if (of === undefined) this.eventProjections.set(table, (of = []));
    const known = ((of[set] ??= [])[index] ??= []);
    return (known[event] ??= this.speaksOf(table.interned.eventOf(event), set, index) ? 0 : 1);
  }

  private speaksOf(value: unknown, set: number, index: number): boolean {
    if (typeof value === 'string') {
      const member = this.members.get(this.declaredThread(value));
      return member?.set === set && member.index === index;
    }
    if (value === null || typeof value !== 'object') return false;
    return Object.entries(value).some(
      ([key, inner]) => this.speaksOf(key, set, index) || this.speaksOf(inner, set, index),
    );
  }

  /** Numbered among the values: their order decides between equal claims to be the representative. */
  private projectionId(key: string): number {
    return this.program.values.intern(`projection ${key}`);
  }

  /** A value as text in which a member of the set is `this` or `another`: equal for images. */
  private anonymous(value: unknown, set: number, index: number): string {
    if (typeof value === 'string') {
      const member = this.members.get(value);
      if (member === undefined) return JSON.stringify(value);
      const who = member.set !== set ? '' : member.index === index ? 'this' : 'another';
      return `@${member.set} ${member.family} ${who}`;
    }
    if (value === undefined) return 'undefined';
    if (value === null || typeof value !== 'object') return JSON.stringify(value);
    if (Array.isArray(value)) {
      return `[${value.map((inner) => this.anonymous(inner, set, index)).join()}]`;
    }
    const fields = Object.entries(value).map(
      ([key, inner]) => `${this.anonymous(key, set, index)}:${this.anonymous(inner, set, index)}`,
    );
    return `{${fields.sort().join()}}`;
  }

  private renamed(name: string, swap: Swap): string {
    return swap.names.get(name) ?? name;
  }

  private renamedThread(name: string, swap: Swap): string {
    const declared = this.declaredThread(name);
    return this.renamed(declared, swap) + name.slice(declared.length);
  }

  /** The declared thread from which thread `name` came: of `T0.1.0` it is T0. */
  private declaredThread(name: string): string {
    let declared = name;
    while (!this.members.has(declared)) {
      const dot = /\.\d+$/.exec(declared);
      if (dot === null) return name;
      declared = declared.slice(0, dot.index);
    }
    const index = this.program.trie.indexOf(declared);
    return declared === name || (index !== undefined && index < this.program.declaredThreads)
      ? declared
      : name;
  }

  private rename(value: unknown, swap: Swap): unknown {
    const of = (inner: unknown): unknown => {
      if (typeof inner === 'string') return this.renamedThread(inner, swap);
      if (inner === null || typeof inner !== 'object') return inner;
      if (Array.isArray(inner)) return inner.map(of);
      return Object.fromEntries(
        Object.entries(inner).map(([key, field]) => [this.renamedThread(key, swap), of(field)]),
      );
    };
    return of(value);
  }
}

function precedes(a: Int32Array, b: Int32Array, width: number): boolean {
  for (let i = 0; i < width; i++) if (a[i] !== b[i]) return a[i] < b[i];
  return false;
}

function larger(array: Int32Array | undefined, index: number): Int32Array {
  const length = array?.length ?? 0;
  const more = new Int32Array(Math.max(64, 2 * (index + 1))).fill(-1, length);
  if (array !== undefined) more.set(array);
  return more;
}

function missing(name: string, image: string): never {
  throw new ScenarioError(
    `"${name}" has no counterpart "${image}"`,
    'symmetry',
    'a family of entities or threads must be whole',
  );
}
