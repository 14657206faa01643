/**
 * From a path to batches: plain files, gzip, standard input, sysfs trees.
 *
 * Bytes go through one buffer; a line that is longer than LONGEST_LINE is cut there, so neither a
 * file without line feeds nor a compression bomb takes more memory than that.
 */

import { Buffer } from 'node:buffer';
import { accessSync, constants, statSync } from 'node:fs';
import { open as openFile } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { createGunzip } from 'node:zlib';
import { BATCH_CAPACITY, EventBatch } from './batch.js';
import type { Source } from './batch.js';
import { detectFormat, formatByName, FORMATS } from './formats.js';
import type { KnownFormat } from './formats.js';
import { InputError } from './input-error.js';
import { BUILT_IN_PROBES } from './probes.js';
import type { ProbeTable } from './probes.js';
import { LONGEST_LINE, ROWS_PER_LINE, decode } from './reader.js';
import type { FormatReader } from './reader.js';
import { isSysfsTree, readSysfsTree } from './sysfs-tree.js';

export interface OpenOptions {
  /** Name of the format; detected from the first 64 KiB when absent. */
  readonly format?: string | undefined;
  readonly probes?: ProbeTable;
  /** Keep the text of events that the model does not look at. */
  readonly keepText?: boolean;
  /** Number of this source among `sources`. */
  readonly source?: number;
  /** The sources of the batches; the list may still grow while files are opened. */
  readonly sources?: Source[];
}

/** How much of a file its format is guessed from. Bytes. */
const HEAD = 64 * 1024;
/** Read at a time. Bytes. */
const CHUNK = 1024 * 1024;

/** Somewhere to read bytes from. `read` fills `into` from `offset` and returns 0 at the end. */
interface ByteSource {
  read(into: Uint8Array, offset: number): Promise<number>;
  close(): Promise<void>;
  /** Size of the input where known, for progress. Bytes as stored (compressed for gzip). */
  readonly size: number | undefined;
  /** Bytes taken from the file so far, as stored. */
  readonly taken: number;
}

/** Whether batches are filled again once their events were taken; may change on the way. */
export interface ReuseMode {
  reuse: boolean;
}

/** Gives the batch to fill next; `done` is the one that the reader of the batches has finished with. */
type Renew = (done?: EventBatch) => EventBatch;

/** One opened input: its format and its events. */
export class Input {
  /** What ended the input before its time, if anything did (truncated gzip, read error). */
  problem: InputError | undefined;
  /** Closes an input whose batches nobody will ask for; they close it themselves at their end. */
  close: () => Promise<void> = () => Promise.resolve();

  constructor(
    readonly file: string,
    readonly format: string,
    /** Format guessed (false: given by the user). */
    readonly detected: boolean,
    private readonly produce: (input: Input, renew: Renew) => AsyncGenerator<EventBatch>,
    private readonly progress: () => { taken: number; size: number | undefined },
    private readonly batchSources: readonly Source[],
    private readonly reader?: FormatReader,
  ) {}

  /**
   * The events in the order of the file. While `mode.reuse` is set the same batch is filled again
   * and again: whoever asks for the next one is done with the last.
   */
  async *batches(mode: ReuseMode): AsyncGenerator<EventBatch> {
    const renew: Renew = (done) => {
      if (!mode.reuse || done === undefined)
        return new EventBatch(this.batchSources, BATCH_CAPACITY);
      done.clear();
      return done;
    };
    let seq = 0;
    for await (const batch of this.produce(this, renew)) {
      batch.firstSeq = seq;
      seq += batch.length;
      yield batch;
    }
  }

  /** The kernel that the input says it is of, as far as it was read. */
  get kernel(): string | undefined {
    return this.reader?.kernel;
  }

  /** Bytes read and bytes there are (undefined: not known), both as stored on disk. */
  get position(): { taken: number; size: number | undefined } {
    return this.progress();
  }
}

/**
 * Opens a file, a gzip file, a sysfs tree, or `-` for standard input. Throws InputError when it
 * cannot be opened, is empty, or has a format that nothing reads.
 */
export async function openInput(file: string, options: OpenOptions = {}): Promise<Input> {
  const sources = options.sources ?? [];
  const source = options.source ?? sources.length;
  const register = (format: string) => {
    sources[source] = { format, file };
  };
  if (file !== '-' && isDirectory(file)) {
    if (!isSysfsTree(file)) {
      try {
        accessSync(file, constants.R_OK | constants.X_OK);
      } catch (error) {
        throw cannotOpen(file, error);
      }
      throw new InputError(
        file,
        undefined,
        'is a directory without kernel/iommu_groups or bus in it: give /sys, a copy of it, or a file',
      );
    }
    register('sysfs-tree');
    return sysfsInput(file, source, sources);
  }
  const bytes = await openBytes(file);
  const work = new Uint8Array(CHUNK + LONGEST_LINE + 16);
  let have = 0;
  let ended = false;
  let problem: InputError | undefined;
  while (have < HEAD && !ended) {
    try {
      const n = await bytes.read(work, have);
      if (n === 0) ended = true;
      have += n;
    } catch (error) {
      problem = readProblem(file, error, bytes.taken);
      ended = true;
    }
  }
  if (have === 0) {
    await bytes.close();
    throw problem ?? new InputError(file, undefined, 'is empty');
  }
  let format: KnownFormat;
  try {
    format = chooseFormat(file, options.format, work.subarray(0, Math.min(have, HEAD)));
  } catch (error) {
    await bytes.close();
    throw error;
  }
  register(format.name);
  const reader = ('open' in format ? format : await format.load()).open({
    probes: options.probes ?? BUILT_IN_PROBES,
    source,
    keepText: options.keepText ?? false,
  });
  const input: Input = new Input(
    file,
    format.name,
    options.format === undefined,
    (self, renew) => pump(self, bytes, reader, work, have, ended, renew),
    () => ({ taken: bytes.taken, size: bytes.size }),
    sources,
    reader,
  );
  input.problem = problem;
  input.close = () => bytes.close();
  return input;
}

function isDirectory(file: string): boolean {
  try {
    return statSync(file).isDirectory();
  } catch {
    return false;
  }
}

function chooseFormat(file: string, name: string | undefined, head: Uint8Array): KnownFormat {
  if (name !== undefined) {
    const format = formatByName(name);
    if (format === undefined) {
      throw new InputError(
        file,
        undefined,
        `no format is called "${name}"; known: ${FORMATS.map((f) => f.name).join(', ')}`,
      );
    }
    return format;
  }
  const format = detectFormat(head);
  if (format === undefined) {
    throw new InputError(
      file,
      'byte 0',
      `not a format that hotrace reads (${FORMATS.map((f) => f.name).join(', ')}); --format NAME reads it all the same`,
    );
  }
  return format;
}

async function* pump(
  input: Input,
  bytes: ByteSource,
  reader: FormatReader,
  work: Uint8Array,
  already: number,
  endedAlready: boolean,
  renew: Renew,
): AsyncGenerator<EventBatch> {
  let batch = renew();
  let have = already;
  let ended = endedAlready;
  let skipping = false;
  try {
    for (;;) {
      let end = work.subarray(0, have).lastIndexOf(10) + 1;
      if (ended && end < have) {
        work[have++] = 10;
        end = have;
      }
      let at = 0;
      if (skipping && end > 0) {
        at = work.indexOf(10) + 1;
        skipping = false;
      }
      while (at < end) {
        at = reader.read(work, at, end, batch);
        if (batch.capacity - batch.length < ROWS_PER_LINE) {
          yield batch;
          batch = renew(batch);
        }
      }
      if (ended && end === have) break;
      work.copyWithin(0, end, have);
      have -= end;
      if (have > LONGEST_LINE) {
        if (!skipping) reader.overlong(decode(work, 0, 400), batch);
        skipping = true;
        have = 0;
      }
      try {
        const n = await bytes.read(work, have);
        if (n === 0) ended = true;
        have += n;
        if (n === 0 && have === 0) break;
        if (n === 0 && skipping) break;
      } catch (error) {
        input.problem = readProblem(input.file, error, bytes.taken);
        ended = true;
        if (have === 0 || skipping) break;
      }
    }
    if (batch.capacity - batch.length < ROWS_PER_LINE) {
      yield batch;
      batch = renew(batch);
    }
    reader.finish(batch);
    if (batch.length > 0) yield batch;
  } finally {
    await bytes.close();
  }
}

function readProblem(file: string, error: unknown, at: number): InputError {
  if (error instanceof InputError) return error;
  return new InputError(file, `byte ${at}`, `cannot be read on: ${(error as Error).message}`);
}

/** Whatever `file` is: a file, a pipe, a file of tracefs. Nothing is read twice and nothing sought. */
async function openBytes(file: string): Promise<ByteSource> {
  if (file === '-') {
    const { stdin } = process;
    return chunkedBytes(file, stdin as AsyncIterable<Buffer>, undefined, () => {
      stdin.destroy();
      return Promise.resolve();
    });
  }
  let handle: FileHandle;
  let size: number | undefined;
  try {
    handle = await openFile(file, 'r');
    const stats = await handle.stat();
    // Files of procfs, sysfs and tracefs say that they are empty.
    if (stats.isFile() && stats.size > 0) size = stats.size;
  } catch (error) {
    throw cannotOpen(file, error);
  }
  async function* chunks(): AsyncGenerator<Buffer> {
    // Two buffers for all chunks: one is filled while the other is looked at.
    let chunk = Buffer.allocUnsafeSlow(CHUNK);
    let other = Buffer.allocUnsafeSlow(CHUNK);
    const fetch = (into: Buffer) => {
      const reading = handle.read(into, 0, CHUNK, null);
      // A failure belongs to whoever asks for these bytes, and that may come later.
      reading.catch(() => {});
      return reading;
    };
    let pending = fetch(chunk);
    try {
      for (;;) {
        const { bytesRead } = await pending;
        if (bytesRead === 0) return;
        pending = fetch(other);
        yield chunk.subarray(0, bytesRead);
        [chunk, other] = [other, chunk];
      }
    } finally {
      // The file may be closed only when nothing is being read from it.
      await pending.catch(() => {});
    }
  }
  return chunkedBytes(file, chunks(), size, () => handle.close());
}

function cannotOpen(file: string, error: unknown): InputError {
  const { code, message } = error as NodeJS.ErrnoException;
  return new InputError(
    file,
    undefined,
    code === 'ENOENT'
      ? 'there is no such file'
      : code === 'EACCES'
        ? 'permission denied: read it as a user who may'
        : `cannot be opened: ${message}`,
  );
}

/** Bytes that come in chunks, through gunzip when the first two say so. */
async function chunkedBytes(
  file: string,
  source: AsyncIterable<Buffer>,
  size: number | undefined,
  close: () => Promise<void>,
): Promise<ByteSource> {
  let taken = 0;
  async function* counted(): AsyncGenerator<Buffer> {
    for await (const chunk of source) {
      taken += chunk.length;
      yield chunk;
    }
  }
  const raw = counted();
  let head: Buffer = Buffer.alloc(0);
  let failure: Error | undefined;
  try {
    while (head.length < 2) {
      const next = await raw.next();
      if (next.done === true) break;
      head = head.length === 0 ? next.value : Buffer.concat([head, next.value]);
    }
  } catch (error) {
    failure = error as Error;
  }
  async function* whole(): AsyncGenerator<Buffer> {
    if (head.length > 0) yield head;
    if (failure !== undefined) throw failure;
    yield* raw;
  }
  const zipped = head[0] === 0x1f && head[1] === 0x8b;
  const chunks = zipped ? gunzip(file, whole()) : whole();
  let rest: Buffer | undefined;
  return {
    size,
    get taken() {
      return taken;
    },
    async read(into, offset) {
      while (rest === undefined || rest.length === 0) {
        const next = await chunks.next();
        if (next.done === true) return 0;
        rest = next.value;
      }
      const n = Math.min(rest.length, into.length - offset - 16);
      into.set(rest.subarray(0, n), offset);
      rest = rest.subarray(n);
      return n;
    },
    async close() {
      await chunks.return(undefined);
      await close();
    },
  };
}

/**
 * Compressed bytes that are inflated at once: an error destroys what its slice had yielded so far.
 * Smaller at the beginning, where a short file would be lost whole.
 */
const SLICE = 4096;
const FIRST_SLICE = 256;

/**
 * Chunks of a gzip stream; what was inflated before an error comes out before the error does.
 * Throws InputError with the place in the stored file.
 */
async function* gunzip(file: string, chunks: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  const unzip = createGunzip({ chunkSize: 256 * 1024 });
  const pieces: Buffer[] = [];
  let failure: NodeJS.ErrnoException | undefined;
  let given = 0;
  let some = false;
  unzip.on('data', (piece: Buffer) => pieces.push(piece));
  unzip.on('error', (error) => (failure = error));
  // One promise at a time: racing each slice against one for the end would pile up on that one.
  let wake: (() => void) | undefined;
  unzip.once('close', () => wake?.());
  const inflated = (): Buffer[] => {
    some ||= pieces.length > 0;
    return pieces.splice(0);
  };
  const problem = (at: string, why: string) =>
    new InputError(
      file,
      at,
      `${why}; ${some ? 'what came before was read' : 'nothing could be read'}`,
    );
  try {
    for await (const chunk of chunks) {
      for (let at = 0; at < chunk.length;) {
        const slice = chunk.subarray(at, at + (given < SLICE * 8 ? FIRST_SLICE : SLICE));
        await new Promise<void>((resolve) => {
          wake = resolve;
          unzip.write(slice, () => resolve());
        });
        yield* inflated();
        if (failure !== undefined)
          throw problem(`byte ${given}`, `damaged gzip data (${failure.message})`);
        at += slice.length;
        given += slice.length;
      }
    }
    await new Promise<void>((resolve) => {
      wake = resolve;
      unzip.end();
    });
    yield* inflated();
    if (failure !== undefined) throw problem(`byte ${given}`, 'the gzip data end early');
  } finally {
    unzip.destroy();
    await chunks.return(undefined);
  }
}

function sysfsInput(file: string, source: number, sources: Source[]): Input {
  return new Input(
    file,
    'sysfs-tree',
    true,
    async function* (_input, renew) {
      let batch = renew();
      for (const event of readSysfsTree(file)) {
        batch.append(event, source);
        if (batch.full) {
          yield batch;
          batch = renew(batch);
        }
      }
      if (batch.length > 0) yield batch;
      await Promise.resolve();
    },
    () => ({ taken: 0, size: undefined }),
    sources,
  );
}
