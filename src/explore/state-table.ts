/** Rows of integers, each once: a typed array behind an open-addressing hash table. */

/** A hash of the first `width` integers of a row. */
export function hashOf(row: Int32Array, width: number): number {
  let hash = 0x9e3779b1;
  for (let i = 0; i < width; i++) {
    hash = Math.imul(hash ^ row[i], 0x85ebca6b);
    hash ^= hash >>> 15;
  }
  hash = Math.imul(hash, 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

export class StateTable {
  /** Number of rows. */
  count = 0;
  /** Whether the last `add` added. */
  added = false;
  private rows: Int32Array;
  private hashes: Int32Array;
  /** Index of a row plus 1; 0 for a free place. */
  private slots: Int32Array;

  /** @param width integers of a row */
  constructor(
    readonly width: number,
    capacity = 1024,
  ) {
    this.rows = new Int32Array(capacity * width);
    this.hashes = new Int32Array(capacity);
    this.slots = new Int32Array(capacity * 2);
  }

  get bytes(): number {
    return this.rows.byteLength + this.hashes.byteLength + this.slots.byteLength;
  }

  /** The index of `row`, which is copied where it is new. */
  add(row: Int32Array): number {
    const { width } = this;
    const hash = hashOf(row, width);
    const mask = this.slots.length - 1;
    let slot = hash & mask;
    for (let at = this.slots[slot]; at !== 0; at = this.slots[slot]) {
      if (this.hashes[at - 1] === hash && this.equals(at - 1, row)) {
        this.added = false;
        return at - 1;
      }
      slot = (slot + 1) & mask;
    }
    const index = this.count++;
    if (index === this.hashes.length) {
      this.grow();
      const larger = this.slots.length - 1;
      slot = hash & larger;
      while (this.slots[slot] !== 0) slot = (slot + 1) & larger;
    }
    this.slots[slot] = index + 1;
    this.hashes[index] = hash;
    this.rows.set(row.length === width ? row : row.subarray(0, width), index * width);
    this.added = true;
    return index;
  }

  /** The index of `row`, -1 where it was not added. */
  find(row: Int32Array): number {
    const hash = hashOf(row, this.width);
    const mask = this.slots.length - 1;
    let slot = hash & mask;
    for (let at = this.slots[slot]; at !== 0; at = this.slots[slot]) {
      if (this.hashes[at - 1] === hash && this.equals(at - 1, row)) return at - 1;
      slot = (slot + 1) & mask;
    }
    return -1;
  }

  /** All rows, one after the other: `count * width` integers, not to be written. */
  get all(): Int32Array {
    return this.rows.subarray(0, this.count * this.width);
  }

  /** Copies a row out. */
  load(index: number, into: Int32Array): void {
    const { rows, width } = this;
    const base = index * width;
    for (let i = 0; i < width; i++) into[i] = rows[base + i];
  }

  private equals(index: number, row: Int32Array): boolean {
    const { rows, width } = this;
    const base = index * width;
    for (let i = 0; i < width; i++) if (rows[base + i] !== row[i]) return false;
    return true;
  }

  private grow(): void {
    const { width, hashes } = this;
    const capacity = hashes.length * 2;
    const rows = new Int32Array(capacity * width);
    rows.set(this.rows);
    this.rows = rows;
    this.hashes = new Int32Array(capacity);
    this.hashes.set(hashes);
    const slots = new Int32Array(capacity * 2);
    const mask = slots.length - 1;
    for (let index = 0; index < hashes.length; index++) {
      let slot = hashes[index] & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = index + 1;
    }
    this.slots = slots;
  }
}
