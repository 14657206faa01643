/**
 * Strings of one batch, each stored once and known by a small integer.
 *
 * A trace repeats the same few hundred names millions of times. Hashing the bytes where they stand
 * and comparing them with an arena makes no JavaScript string for a name that is already known.
 */

import { Buffer } from 'node:buffer';

/** Id of "the source does not say". */
export const ABSENT = 0;
/** Id of a NULL pointer: `(fault)` in ftrace, `""` in a trace-cmd report. */
export const NULL_POINTER = 1;

const RESERVED = 2;

export class ByteInterner {
  private slots = new Int32Array(1024);
  private hashes = new Int32Array(512);
  private starts = new Int32Array(512);
  private lengths = new Int32Array(512);
  private arena = new Uint8Array(16 * 1024);
  private used = 0;
  private count = RESERVED;
  private texts: (string | undefined)[] = [undefined, undefined];
  /** Counts the clears: an id is good for one generation. */
  generation = 0;

  /** Id of the bytes [start, end) of `bytes`. Ids count from 2; 0 and 1 are ABSENT and NULL_POINTER. */
  intern(bytes: Uint8Array, start: number, end: number): number {
    const hash = hashBytes(bytes, start, end);
    const mask = this.slots.length - 1;
    let slot = (hash ^ (hash >>> 15)) & mask;
    for (;;) {
      const id = this.slots[slot];
      if (id === 0) return this.insert(bytes, start, end, hash, slot);
      if (this.hashes[id] === hash && this.equals(id, bytes, start, end)) return id;
      slot = (slot + 1) & mask;
    }
  }

  /**
   * The id of the string that begins at `start` and ends before the first byte `stop`, when that
   * is the string `guess`; otherwise ABSENT. Neighbouring lines name the same device, so a
   * comparison with the last name spares most of the hashing. `guess` may be any id.
   */
  same(guess: number, bytes: Uint8Array, start: number, stop: number): number {
    if (guess < RESERVED || guess >= this.count) return ABSENT;
    const arena = this.arena;
    let from = this.starts[guess];
    const end = from + this.lengths[guess];
    let at = start;
    while (from < end) {
      if (arena[from] !== bytes[at]) return ABSENT;
      from++;
      at++;
    }
    return bytes[at] === stop ? guess : ABSENT;
  }

  /** Bytes of the string behind an id. */
  byteLength(id: number): number {
    return this.lengths[id];
  }

  internText(text: string): number {
    const bytes = Buffer.from(text, 'utf8');
    return this.intern(bytes, 0, bytes.length);
  }

  /** The text behind an id; undefined for ABSENT and NULL_POINTER. */
  text(id: number): string | undefined {
    const known = this.texts[id];
    if (known !== undefined || id < RESERVED) return known;
    const start = this.starts[id];
    return (this.texts[id] = Buffer.from(this.arena.buffer, start, this.lengths[id]).toString(
      'utf8',
    ));
  }

  /** Number of ids given, the two reserved ones included. */
  get size(): number {
    return this.count;
  }

  clear(): void {
    this.generation++;
    this.slots.fill(0);
    this.used = 0;
    this.count = RESERVED;
    this.texts = [undefined, undefined];
  }

  private equals(id: number, bytes: Uint8Array, start: number, end: number): boolean {
    if (this.lengths[id] !== end - start) return false;
    const arena = this.arena;
    for (let i = start, j = this.starts[id]; i < end; i++, j++) {
      if (arena[j] !== bytes[i]) return false;
    }
    return true;
  }

  private insert(
    bytes: Uint8Array,
    start: number,
    end: number,
    hash: number,
    slot: number,
  ): number {
    const length = end - start;
    if (this.used + length > this.arena.length) {
      const larger = new Uint8Array(Math.max(this.arena.length * 2, this.used + length));
      larger.set(this.arena.subarray(0, this.used));
      this.arena = larger;
    }
    if (this.count === this.hashes.length) {
      this.hashes = grown(this.hashes);
      this.starts = grown(this.starts);
      this.lengths = grown(this.lengths);
    }
    const id = this.count++;
    for (let i = 0; i < length; i++) this.arena[this.used + i] = bytes[start + i];
    this.starts[id] = this.used;
    this.lengths[id] = length;
    this.hashes[id] = hash;
    this.used += length;
    this.texts.push(undefined);
    this.slots[slot] = id;
    if (this.count * 2 > this.slots.length) this.rehash();
    return id;
  }

  private rehash(): void {
    this.slots = new Int32Array(this.slots.length * 2);
    const mask = this.slots.length - 1;
    for (let id = RESERVED; id < this.count; id++) {
      const hash = this.hashes[id];
      let slot = (hash ^ (hash >>> 15)) & mask;
      while (this.slots[slot] !== 0) slot = (slot + 1) & mask;
      this.slots[slot] = id;
    }
  }
}

/** Four bytes a round: the multiplications form one dependent chain, the loads do not. */
export function hashBytes(bytes: Uint8Array, start: number, end: number): number {
  let hash = end - start;
  let i = start;
  for (const whole = end - 3; i < whole; i += 4) {
    hash =
      (Math.imul(hash, 0x01000193) +
        (bytes[i] | (bytes[i + 1] << 8) | (bytes[i + 2] << 16) | (bytes[i + 3] << 24))) |
      0;
    hash ^= hash >>> 15;
  }
  for (; i < end; i++) hash = (Math.imul(hash, 0x01000193) + bytes[i]) | 0;
  return hash;
}

function grown(array: Int32Array): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(array.length * 2);
  larger.set(array);
  return larger;
}
