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

/**
 * Bytes of a text with a view on them that loads four at a time. The view reaches at least
 * `TEXT_SLACK` bytes beyond what is read, so that the last word of a string can be loaded whole.
 */
export interface TextBytes {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

export const TEXT_SLACK = 4;

/** `bytes` with a view, for reading up to `end`; copied when less than TEXT_SLACK bytes follow it. */
export function textBytes(bytes: Uint8Array, end: number): TextBytes {
  const { buffer, byteOffset } = bytes;
  if (buffer.byteLength - byteOffset - end >= TEXT_SLACK) {
    return { bytes, view: new DataView(buffer, byteOffset) };
  }
  const copy = new Uint8Array(end + TEXT_SLACK);
  copy.set(bytes.subarray(0, end));
  return { bytes: copy, view: new DataView(copy.buffer) };
}

/** What of a string's last, incomplete word counts, by the number of its bytes. */
const TAIL = Int32Array.of(0, 0xff, 0xffff, 0xffffff);

export class ByteInterner {
  private slots = new Int32Array(1024);
  private hashes = new Int32Array(512);
  /** Where a string begins in `arena`, in words: each begins on a word and is padded with zeros. */
  private starts = new Int32Array(512);
  private lengths = new Int32Array(512);
  private arena = new Int32Array(4 * 1024);
  private used = 0;
  private count = RESERVED;
  private texts: (string | undefined)[] = [undefined, undefined];
  /** Counts the clears: an id is good for one generation. */
  generation = 0;

  /** Id of the bytes [start, end) of `text`. Ids count from 2; 0 and 1 are ABSENT and NULL_POINTER. */
  intern(text: TextBytes, start: number, end: number): number {
    const { view } = text;
    const hash = hashWords(view, start, end);
    const mask = this.slots.length - 1;
    let slot = (hash ^ (hash >>> 15)) & mask;
    for (;;) {
      const id = this.slots[slot];
      if (id === 0) return this.insert(view, start, end, hash, slot);
      if (this.hashes[id] === hash && this.equals(id, view, start, end - start)) return id;
      slot = (slot + 1) & mask;
    }
  }

  /**
   * `guess` when the string at `start` is that one and a byte `stop` follows it; otherwise ABSENT.
   * Neighbouring lines name the same device, so a comparison with the last name spares the search
   * for the end and the hashing. `guess` may be any id.
   */
  same(guess: number, text: TextBytes, start: number, stop: number): number {
    if (guess < RESERVED || guess >= this.count) return ABSENT;
    const length = this.lengths[guess];
    if (text.bytes[start + length] !== stop) return ABSENT;
    return this.equals(guess, text.view, start, length) ? guess : ABSENT;
  }

  /** Bytes of the string behind an id. */
  byteLength(id: number): number {
    return this.lengths[id];
  }

  internText(text: string): number {
    const bytes = Buffer.from(text, 'utf8');
    return this.intern(textBytes(bytes, bytes.length), 0, bytes.length);
  }

  /** The text behind an id; undefined for ABSENT and NULL_POINTER. */
  text(id: number): string | undefined {
    const known = this.texts[id];
    if (known !== undefined || id < RESERVED) return known;
    const start = this.starts[id] * 4;
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

  private equals(id: number, view: DataView, start: number, length: number): boolean {
    if (this.lengths[id] !== length) return false;
    const arena = this.arena;
    let word = this.starts[id];
    let at = start;
    for (const whole = start + (length & ~3); at < whole; at += 4, word++) {
      if (arena[word] !== view.getInt32(at, true)) return false;
    }
    const tail = length & 3;
    return tail === 0 || arena[word] === (view.getInt32(at, true) & TAIL[tail]);
  }

  private insert(view: DataView, start: number, end: number, hash: number, slot: number): number {
    const length = end - start;
    const words = (length + 3) >> 2;
    if (this.used + words > this.arena.length) {
      const larger = new Int32Array(Math.max(this.arena.length * 2, this.used + words));
      larger.set(this.arena.subarray(0, this.used));
      this.arena = larger;
    }
    if (this.count === this.hashes.length) {
      this.hashes = grown(this.hashes);
      this.starts = grown(this.starts);
      this.lengths = grown(this.lengths);
    }
    const id = this.count++;
    for (let w = 0; w < words; w++) this.arena[this.used + w] = view.getInt32(start + w * 4, true);
    if ((length & 3) !== 0) this.arena[this.used + words - 1] &= TAIL[length & 3];
    this.starts[id] = this.used;
    this.lengths[id] = length;
    this.hashes[id] = hash;
    this.used += words;
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

/** Hash of [start, end), a word at a time. */
export function hashWords(view: DataView, start: number, end: number): number {
  const length = end - start;
  let hash = length;
  let at = start;
  for (const whole = start + (length & ~3); at < whole; at += 4) {
    hash = (Math.imul(hash, 0x01000193) + view.getInt32(at, true)) | 0;
    hash ^= hash >>> 15;
  }
  const tail = length & 3;
  if (tail !== 0) hash = (Math.imul(hash, 0x01000193) + (view.getInt32(at, true) & TAIL[tail])) | 0;
  return hash ^ (hash >>> 13);
}

function grown(array: Int32Array): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(array.length * 2);
  larger.set(array);
  return larger;
}
