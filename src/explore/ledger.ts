/**
 * Numbers that several threads of a process give alike: what is new is written down, one at a time,
 * before it has a number, and everybody reads all of it in the same order.
 */

import type { EventObject } from 'xstate';
import type { Numbering, ToldSnapshot } from '../../machines/intern.js';
import type { LocalTable } from './local-table.js';
import type { Program } from './program.js';

/** Bytes that can be written down; a search that meets more is cut by its memory. */
const CAPACITY = 1 << 28;
/** Indexes into `head`. */
const LOCK = 0;
const WRITTEN = 1;

export interface LedgerMemory {
  readonly head: Int32Array;
  readonly data: Uint8Array;
}

export function ledgerMemory(): LedgerMemory {
  return {
    head: new Int32Array(new SharedArrayBuffer(8)),
    data: new Uint8Array(new SharedArrayBuffer(CAPACITY)),
  };
}

/** There is more to write down than there is room for. */
export class LedgerFull extends Error {}

type Entry =
  | { readonly value: unknown }
  | { readonly node: readonly [node: number, reply: number] }
  | { readonly machine: number; readonly event: EventObject }
  | { readonly machine: number; readonly snapshot: ToldSnapshot };

/** One thread's view. */
export class Ledger {
  private readonly tables: readonly LocalTable[];
  private read = 0;
  private held = false;
  private reading = false;

  /** @param program fresh; from now on its numbers are those of all */
  constructor(
    private readonly memory: LedgerMemory,
    private readonly program: Program,
  ) {
    this.tables = [...new Set(program.tables)];
    program.values.number = this.numbering((value) => ({ value }));
    program.trie.number = this.numbering((told) => ({ node: told as [number, number] }));
    this.tables.forEach(({ interned }, machine) => {
      interned.numberEvent = this.numbering((event) => ({ machine, event: event as EventObject }));
      interned.numberSnapshot = this.numbering((snapshot) => ({
        machine,
        snapshot: snapshot as ToldSnapshot,
      }));
    });
  }

  /** Bytes written down by all so far. */
  get written(): number {
    return Atomics.load(this.memory.head, WRITTEN);
  }

  /** Takes in what others have written down. */
  sync(): void {
    this.alone(() => undefined);
  }

  private numbering(entry: (told: unknown) => Entry): Numbering {
    return (known, told, give) => {
      if (this.reading) return known() ?? give();
      return this.alone(() => {
        const id = known();
        if (id !== undefined) return id;
        // What it is made of is given its numbers, and written down, before it.
        const given = give();
        this.write(entry(told()));
        return given;
      });
    };
  }

  private alone<T>(act: () => T): T {
    if (this.held) return act();
    const { head } = this.memory;
    while (Atomics.compareExchange(head, LOCK, 0, 1) !== 0) Atomics.wait(head, LOCK, 1, 10);
    this.held = true;
    try {
      this.readOn();
      return act();
    } finally {
      this.held = false;
      Atomics.store(head, LOCK, 0);
      Atomics.notify(head, LOCK, 1);
    }
  }

  private write(entry: Entry): void {
    const { head, data } = this.memory;
    const text = Buffer.from(JSON.stringify(entry));
    const end = this.read + 4 + text.length;
    if (end > data.length) throw new LedgerFull();
    new DataView(data.buffer).setUint32(this.read, text.length);
    data.set(text, this.read + 4);
    this.read = end;
    Atomics.store(head, WRITTEN, end);
  }

  private readOn(): void {
    const { data } = this.memory;
    const { written } = this;
    const view = new DataView(data.buffer);
    this.reading = true;
    try {
      while (this.read < written) {
        const from = this.read + 4;
        const to = from + view.getUint32(this.read);
        this.read = to;
        this.take(JSON.parse(Buffer.from(data.buffer, from, to - from).toString()) as Entry);
      }
    } finally {
      this.reading = false;
    }
  }

  private take(entry: Entry): void {
    const { trie, values } = this.program;
    if ('value' in entry) {
      values.intern(entry.value);
    } else if ('node' in entry) {
      const [node, reply] = entry.node;
      if (node < 0) trie.startedBy(-node);
      else if (node === 0) trie.root(reply);
      else trie.child(node, reply);
    } else {
      const table = this.tables[entry.machine];
      if ('event' in entry) table.event(entry.event);
      else {
        table.interned.resolve(entry.snapshot);
        table.grow();
      }
    }
  }
}
