/** Addresses as C writes them: dma_addr_t and phys_addr_t, which numbers of JSON cannot hold. */

/** `0x8000000`: 64 bits, lower-case, without leading zeros. */
export type DmaAddr = `0x${string}`;

/** The greatest: ~(dma_addr_t)0. */
export const MAX_ADDR: DmaAddr = '0xffffffffffffffff';

/** a < b */
export function isBelow(a: DmaAddr, b: DmaAddr): boolean {
  return BigInt(a) < BigInt(b);
}

/** addr + by, within 64 bits. */
export function plus(addr: DmaAddr, by: number | bigint): DmaAddr {
  return hex(BigInt.asUintN(64, BigInt(addr) + BigInt(by)));
}

/** upper_32_bits, lower_32_bits: what a 32-bit CPU stores one after the other. */
export function high(addr: DmaAddr): DmaAddr {
  return hex(BigInt(addr) >> 32n);
}

export function low(addr: DmaAddr): DmaAddr {
  return hex(BigInt.asUintN(32, BigInt(addr)));
}

/** The address of two halves. */
export function joined(upper: DmaAddr, lower: DmaAddr): DmaAddr {
  return hex((BigInt(upper) << 32n) | BigInt(lower));
}

export function hex(value: number | bigint): DmaAddr {
  return `0x${value.toString(16)}`;
}
