/** Memory that a search may take. */

import { totalmem } from 'node:os';
import { getHeapStatistics } from 'node:v8';

/** Of the machine, and of what V8 gives to objects, at most this part. */
const PART = 0.75;

/**
 * Whether the process has taken more than it may: `limit` bytes, or, where none is given, so much
 * that it would soon be ended by the system or by V8.
 */
export function memoryExceeded(limit: number | undefined): boolean {
  const { rss, heapUsed } = process.memoryUsage();
  if (heapUsed > PART * getHeapStatistics().heap_size_limit) return true;
  return rss > (limit ?? PART * totalmem());
}
