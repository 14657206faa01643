/** Columns that grow. */

/** @returns twice as long, with `fill` (0) where there was nothing */
export function doubled<T extends Int32Array | Float64Array>(array: T, fill = 0): T {
  const larger = new (array.constructor as new (length: number) => T)(array.length * 2);
  larger.set(array);
  if (fill !== 0) larger.fill(fill, array.length);
  return larger;
}
