/**
 * From a path to batches: plain files, gzip, standard input, sysfs trees.
 *
 * Bytes go through one buffer; a line that is longer than LONGEST_LINE is cut there, so neither a
 * file without line feeds nor a compression bomb takes more memory than that.
 */

import { createReadStream, statSync } from 'node:fs';
import { open as openFile } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { BATCH_CAPACITY, EventBatch } from './batch.js';
import type { Source } from './batch.js';
import { detectFormat, formatByName, FORMATS } from './formats.js';
import { InputError } from './input-error.js';
import { BUILT_IN_PROBES } from './probes.js';
import type { ProbeTable } from './probes.js';
import { LONGEST_LINE, ROWS_PER_LINE, decode } from './reader.js';
import type { Format, FormatReader } from './reader.js';
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
  constructor(
    readonly file: string,
    readonly format: string,
    /** Format guessed (false: given by the user). */
    readonly detected: boolean,
    private readonly produce: (input: Input, renew: Renew) => AsyncGenerator<EventBatch>,
    private readonly progress: () => { taken: number; size: number | undefined },
    private readonly batchSources: readonly Source[],
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
      throw new InputError(
        file,
        undefined,
        'is a directory without kernel/iommu_groups or bus in it',
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
      problem = readProblem(file, error, have);
      ended = true;
    }
  }
  if (have === 0) {
    await bytes.close();
    throw problem ?? new InputError(file, undefined, 'is empty');
  }
  let format: Format;
  try {
    format = chooseFormat(file, options.format, work.subarray(0, Math.min(have, HEAD)));
  } catch (error) {
    await bytes.close();
    throw error;
  }
  register(format.name);
  const reader = format.open({
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
  );
  input.problem = problem;
  return input;
}

function isDirectory(file: string): boolean {
  try {
    return statSync(file).isDirectory();
  } catch {
    return false;
  }
}

function chooseFormat(file: string, name: string | undefined, head: Uint8Array): Format {
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
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'Z_BUF_ERROR') {
    return new InputError(file, `byte ${at}`, 'the gzip data end early; what came before was read');
  }
  if (code?.startsWith('Z_') === true) {
    return new InputError(
      file,
      `byte ${at}`,
      `damaged gzip data (${message}); what came before was read`,
    );
  }
  return new InputError(file, `byte ${at}`, `cannot be read on: ${message}`);
}

async function openBytes(file: string): Promise<ByteSource> {
  if (file === '-') return streamBytes(process.stdin, undefined, true);
  let handle: FileHandle;
  try {
    handle = await openFile(file, 'r');
    const magic = new Uint8Array(2);
    const { bytesRead } = await handle.read(magic, 0, 2, 0);
    if (bytesRead === 2 && magic[0] === 0x1f && magic[1] === 0x8b) {
      await handle.close();
      return streamBytes(
        createReadStream(file, { highWaterMark: CHUNK }),
        statSync(file).size,
        true,
      );
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new InputError(
      file,
      undefined,
      code === 'ENOENT'
        ? 'there is no such file'
        : code === 'EACCES'
          ? 'permission denied'
          : `cannot be opened: ${message}`,
    );
  }
  const { size } = await handle.stat();
  let taken = 0;
  return {
    size,
    get taken() {
      return taken;
    },
    async read(into, offset) {
      const { bytesRead } = await handle.read(
        into,
        offset,
        Math.min(CHUNK, into.length - offset - 16),
        null,
      );
      taken += bytesRead;
      return bytesRead;
    },
    close: () => handle.close(),
  };
}

/** Bytes of a stream, through gunzip when the first two say so and `maybeGzip`. */
async function streamBytes(
  stream: Readable,
  size: number | undefined,
  maybeGzip: boolean,
): Promise<ByteSource> {
  let taken = 0;
  async function* counted(): AsyncGenerator<Buffer> {
    for await (const chunk of stream) {
      taken += (chunk as Buffer).length;
      yield chunk as Buffer;
    }
  }
  const raw = counted();
  const first = await raw.next();
  async function* whole(): AsyncGenerator<Buffer> {
    if (first.done !== true) yield first.value;
    yield* raw;
  }
  const zipped =
    maybeGzip && first.done !== true && first.value[0] === 0x1f && first.value[1] === 0x8b;
  const chunks: AsyncIterator<Buffer> = zipped ? gunzip(whole()) : whole();
  let rest: Buffer | undefined;
  return {
    size,
    get taken() {
      return taken;
    },
    async read(into, offset) {
      if (rest === undefined || rest.length === 0) {
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
      await chunks.return?.();
      stream.destroy();
    },
  };
}

/** Chunks of a gzip stream; what was inflated before an error comes out before the error does. */
async function* gunzip(chunks: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  const unzip = createGunzip({ chunkSize: 256 * 1024 });
  const feed = (async () => {
    for await (const chunk of chunks) {
      if (unzip.destroyed) return;
      if (!unzip.write(chunk)) {
        await new Promise<void>((resolve) => {
          unzip.once('drain', resolve);
          unzip.once('close', resolve);
        });
      }
    }
    unzip.end();
  })();
  feed.catch((error: unknown) => unzip.destroy(error as Error));
  try {
    for await (const chunk of unzip) yield chunk as Buffer;
  } finally {
    unzip.destroy();
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
