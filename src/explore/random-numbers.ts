/** Random numbers that a seed reproduces on every machine: mulberry32 (T. Ettinger). */
export class RandomNumbers {
  private state: number;

  constructor(seed: number) {
    this.state = seed | 0;
  }

  /** 0 <= x < 1 */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 0x100000000;
  }

  /** 0 <= n < limit */
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  /** 0 <= n < limit, each exactly alike. */
  belowBig(limit: bigint): bigint {
    const bits = (limit - 1n).toString(2).length;
    for (;;) {
      let n = 0n;
      for (let word = 0; word < bits; word += 32)
        n = (n << 32n) | BigInt(this.next() * 0x100000000);
      n &= (1n << BigInt(bits)) - 1n;
      if (n < limit) return n;
    }
  }
}
