/**
 * A search in a file, from which it can be taken up again after the process was killed.
 *
 * Layout: a line that names the format; a line of JSON; the arrays that it tells the lengths of, as
 * little-endian 32-bit integers; a CRC-32 of all before it. A file is written beside the last one
 * and takes its place when it is whole, so that one whole file is there at any moment.
 */

import { createHash } from 'node:crypto';
import {
  closeSync,
  fstatSync,
  fsyncSync,
  openSync,
  readSync,
  renameSync,
  writeSync,
} from 'node:fs';
import { crc32 } from 'node:zlib';
import { stable } from '../../machines/intern.js';
import type { Scenario } from '../../machines/scenario.js';
import type { Reductions } from './search-options.js';
import { messageOf } from './scenario-error.js';
import type { SavedSearch } from './saved-search.js';

/** A file that is no whole checkpoint, or one of another search: what, and what to do. */
export class CheckpointError extends Error {
  override readonly name = 'CheckpointError';
}

const FORMAT = 'hotrace checkpoint 2\n';
/** Bytes that are read or written at once. */
const CHUNK = 1 << 24;
/** Bytes of the line of JSON, at most. */
const MAX_JSON = 1 << 29;

/** What must be the same for a search to go on. */
export interface SearchIdentity {
  readonly scenario: Scenario;
  readonly reductions: Reductions;
  /** Steps of one thread. */
  readonly maxSteps: number;
}

interface Head {
  readonly identity: string;
  readonly scenario: string;
  readonly lengths: readonly number[];
  readonly search: unknown;
}

/**
 * Writes a checkpoint.
 *
 * @returns bytes written
 * @throws CheckpointError where the file cannot be written
 */
export function writeCheckpoint(file: string, of: SearchIdentity, search: SavedSearch): number {
  const { futures, round, ...rest } = search;
  const { at, most, ...futuresRest } = futures;
  const { rows, sleepOf, frames, ...roundRest } = round;
  const arrays = [at, most, rows, sleepOf, ...frames];
  const head: Head = {
    identity: identity(of),
    scenario: of.scenario.name,
    lengths: arrays.map(({ length }) => length),
    search: { ...rest, futures: futuresRest, round: roundRest },
  };
  const beside = `${file}.new`;
  try {
    const fd = openSync(beside, 'w');
    let bytes: number;
    try {
      const out = new Written(fd);
      out.write(Buffer.from(`${FORMAT}${JSON.stringify(head)}\n`));
      for (const { buffer, byteOffset, byteLength } of arrays) {
        out.write(Buffer.from(buffer, byteOffset, byteLength));
      }
      const sum = Buffer.alloc(4);
      sum.writeUInt32LE(out.sum);
      out.write(sum);
      fsyncSync(fd);
      bytes = out.bytes;
    } finally {
      closeSync(fd);
    }
    renameSync(beside, file);
    return bytes;
  } catch (error) {
    throw new CheckpointError(`${file}: cannot be written: ${messageOf(error)}`);
  }
}

class Written {
  sum = 0;
  bytes = 0;

  constructor(private readonly fd: number) {}

  write(data: Buffer): void {
    for (let from = 0; from < data.length; from += CHUNK) {
      const part = data.subarray(from, from + CHUNK);
      this.sum = crc32(part, this.sum);
      for (let done = 0; done < part.length;) done += writeSync(this.fd, part, done);
      this.bytes += part.length;
    }
  }
}

/**
 * Reads a checkpoint of this search.
 *
 * @throws CheckpointError for a file that cannot be read, is damaged, or is of another search
 */
export function readCheckpoint(file: string, of: SearchIdentity): SavedSearch {
  let fd: number;
  try {
    fd = openSync(file, 'r');
  } catch (error) {
    throw new CheckpointError(`${file}: cannot be read: ${messageOf(error)}`);
  }
  try {
    return read(fd, file, of);
  } finally {
    closeSync(fd);
  }
}

function read(fd: number, file: string, of: SearchIdentity): SavedSearch {
  const fail = (what: string): never => {
    throw new CheckpointError(`${file}: ${what}`);
  };
  const { size } = fstatSync(fd);
  let sum = 0;
  let at = 0;
  const take = (into: Buffer): void => {
    for (let from = 0; from < into.length;) {
      const got = readSync(fd, into, from, Math.min(CHUNK, into.length - from), at);
      if (got === 0) fail(`ends at byte ${at}, in the middle`);
      sum = crc32(into.subarray(from, from + got), sum);
      from += got;
      at += got;
    }
  };
  const format = Buffer.alloc(Math.min(FORMAT.length, size));
  take(format);
  if (format.toString() !== FORMAT) fail('is no checkpoint of hotrace explore');
  const head = parsed(lineOf(fd, at, Math.min(size, MAX_JSON)) ?? fail('its head does not end'));
  if (head === undefined) return fail('its head cannot be read');
  // Read again, for the sum.
  take(Buffer.alloc(head.bytes));
  const { lengths, search } = head.told;
  const total = lengths.reduce((n, length) => n + length, 0);
  if (at + 4 * total + 4 !== size) {
    fail(`has ${size} bytes and should have ${at + 4 * total + 4}: it is not whole`);
  }
  const arrays = lengths.map((length) => {
    const array = new Int32Array(length);
    take(Buffer.from(array.buffer));
    return array;
  });
  const expected = sum;
  const told = Buffer.alloc(4);
  take(told);
  if (told.readUInt32LE() !== expected) fail('is damaged: its sum is not right');
  // Whole and as it was written: by now the types are what they were.
  if (head.told.identity !== identity(of)) {
    fail(
      `is of a search of "${head.told.scenario}" that was another scenario, or had other options; explore it from the start`,
    );
  }
  const [atSets, most, rows, sleepOf, ...frames] = arrays;
  const rest = search as SavedSearch;
  return {
    ...rest,
    futures: { ...rest.futures, at: atSets, most },
    round: { ...rest.round, rows, sleepOf, frames },
  };
}

/** From a position to the end of its line; undefined where there is none within `limit`. */
function lineOf(fd: number, from: number, limit: number): Buffer | undefined {
  const parts: Buffer[] = [];
  for (let at = from; at < limit;) {
    const part = Buffer.alloc(Math.min(CHUNK, limit - at));
    const got = readSync(fd, part, 0, part.length, at);
    if (got === 0) return undefined;
    const end = part.subarray(0, got).indexOf(10);
    parts.push(part.subarray(0, end < 0 ? got : end + 1));
    if (end >= 0) return Buffer.concat(parts);
    at += got;
  }
  return undefined;
}

function parsed(line: Buffer): { readonly told: Head; readonly bytes: number } | undefined {
  let told: unknown;
  try {
    told = JSON.parse(line.toString());
  } catch {
    return undefined;
  }
  const head = told as Partial<Head> | null;
  const lengths: unknown = head?.lengths;
  const right =
    Array.isArray(lengths) &&
    lengths.length === 10 &&
    lengths.every((length) => Number.isSafeInteger(length) && (length as number) >= 0);
  return right ? { told: told as Head, bytes: line.length } : undefined;
}

/** A digest of what can be seen of a scenario; what its machines do is looked at on the way. */
function identity({ scenario, reductions, maxSteps }: SearchIdentity): string {
  const text = stable({
    name: scenario.name,
    entities: Object.keys(scenario.entities),
    threads: Object.entries(scenario.threads).map(([name, body]) => [name, String(body)]),
    invariants: (scenario.invariants ?? []).map((invariant) => [
      invariant.id,
      invariant.entities,
      invariant.when ?? 'always',
      String(Object.getOwnPropertyDescriptor(invariant, 'holds')?.value),
    ]),
    symmetry: scenario.symmetry ?? [],
    mayWait: scenario.mayWait ?? [],
    faults: scenario.faults,
    reductions,
    maxSteps,
  });
  return createHash('sha256').update(text).digest('hex');
}
