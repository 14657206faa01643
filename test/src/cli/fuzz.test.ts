/** What comes out of replay for inputs that no kernel wrote: an answer or an InputError, in time. */

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FORMATS } from '../../../events/formats.js';
import { InputError } from '../../../events/input-error.js';
import { LogWriter } from '../../../events/log.js';
import { PROFILES } from '../../../machines/profiles/timeline.js';
import { replay } from '../../../src/replay/replay.js';
import type { ReplayOptions, ReplayResult } from '../../../src/replay/replay.js';
import { replayJson, stateJson } from '../../../src/report/replay-json.js';
import { replayText } from '../../../src/report/replay-text.js';
import {
  deviceHistoryText,
  diffText,
  groupText,
  stateText,
} from '../../../src/report/state-text.js';
import { FIXTURES, ROOT, SAMPLE } from './command.js';

/** One run must not take longer than this, however bad its input. ms */
const PATIENCE = 3000;
/** Lines that one input is made of, at most. */
const MOST_LINES = 400;

let temporary: string;
/** Lines of every fixture, each with its line feed. */
const sources: { readonly name: string; readonly lines: readonly Buffer[] }[] = [];

beforeAll(async () => {
  temporary = mkdtempSync(join(tmpdir(), 'hotrace-fuzz-'));
  const folders = [
    SAMPLE,
    ...readdirSync(join(ROOT, FIXTURES)).map((name) => `${FIXTURES}/${name}`),
  ];
  for (const folder of folders) {
    for (const name of readdirSync(join(ROOT, folder))) {
      const stored = readFileSync(join(ROOT, folder, name));
      add(`${folder}/${name}`, name.endsWith('.gz') ? gunzipSync(stored) : stored);
    }
  }
  const log = join(temporary, 'log.ndjson');
  let writer: LogWriter | undefined;
  await replay({
    files: [
      join(ROOT, SAMPLE, 'trace.txt.gz'),
      join(ROOT, SAMPLE, 'sysfs-before.txt'),
      join(ROOT, SAMPLE, 'udevadm-monitor.txt'),
    ],
    onBatch: (batch) =>
      (writer ??= new LogWriter(log, { sources: [...batch.sources] })).write(batch),
  });
  await writer!.close();
  add('log.ndjson', readFileSync(log));
});
afterAll(() => rmSync(temporary, { recursive: true, force: true }));

function add(name: string, bytes: Buffer): void {
  const lines: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = bytes.indexOf(10, at) + 1 || bytes.length;
    lines.push(bytes.subarray(at, end));
    at = end;
  }
  sources.push({ name, lines });
}

/** A run of lines of one file; numbers are folded into what the file has. */
interface Piece {
  readonly file: number;
  readonly start: number;
  readonly count: number;
}
type Change =
  | { readonly kind: 'flip' | 'insert' | 'remove'; readonly at: number; readonly byte: number }
  | { readonly kind: 'repeat' | 'shuffle' | 'drop'; readonly at: number; readonly count: number }
  | { readonly kind: 'splice'; readonly at: number; readonly from: number }
  | { readonly kind: 'number'; readonly at: number; readonly text: string }
  | { readonly kind: 'cut'; readonly at: number };

const big = fc.nat({ max: 0x7fffffff });
const small = fc.integer({ min: 1, max: 40 });
const piece: fc.Arbitrary<Piece> = fc.record({
  file: fc.nat({ max: 255 }),
  start: big,
  count: fc.integer({ min: 1, max: 200 }),
});
const change: fc.Arbitrary<Change> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom('flip' as const, 'insert' as const, 'remove' as const),
      at: big,
      byte: fc.nat({ max: 255 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom('repeat' as const, 'shuffle' as const, 'drop' as const),
      at: big,
      count: small,
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('splice' as const), at: big, from: big }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('number' as const),
      at: big,
      text: fc.constantFrom(
        '0',
        '-1',
        '4294967296',
        '2147483648',
        '99999999999999999999',
        '0xffffffffffffffff',
        '1e309',
        'NaN',
        '',
        '0x',
        '-2147483648',
        '(fault)',
        '(null)',
        '__proto__',
        'constructor',
      ),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('cut' as const), at: big }) },
);

interface Case {
  readonly pieces: readonly Piece[];
  readonly changes: readonly Change[];
  /** Start with the first lines of the first file, so that its format is seen. */
  readonly head: boolean;
}
const input: fc.Arbitrary<Case> = fc.record({
  pieces: fc.array(piece, { minLength: 1, maxLength: 4 }),
  changes: fc.array(change, { maxLength: 30 }),
  head: fc.boolean(),
});

const NUMBER = /0x[0-9a-f]+|\d+/g;

function build({ pieces, changes, head }: Case): Buffer {
  let lines: Buffer[] = [];
  for (const { file, start, count } of pieces) {
    const source = sources[file % sources.length].lines;
    if (head && lines.length === 0) lines.push(...source.slice(0, 15));
    const from = start % source.length;
    lines.push(...source.slice(from, from + count));
  }
  for (const step of changes) {
    if (lines.length === 0) break;
    const n = step.at % lines.length;
    const line = lines[n];
    switch (step.kind) {
      case 'flip': {
        const copy = Buffer.from(line);
        copy[step.at % copy.length] ^= step.byte;
        lines[n] = copy;
        break;
      }
      case 'insert':
      case 'remove': {
        const at = step.at % line.length;
        const middle = step.kind === 'insert' ? Buffer.of(step.byte) : Buffer.alloc(0);
        lines[n] = Buffer.concat([
          line.subarray(0, at),
          middle,
          line.subarray(at + (step.kind === 'insert' ? 0 : 1)),
        ]);
        if (lines[n].length === 0) lines.splice(n, 1);
        break;
      }
      case 'repeat':
        lines.splice(n, 0, ...lines.slice(n, n + step.count));
        break;
      case 'drop':
        lines.splice(n, step.count);
        break;
      case 'shuffle': {
        const block = lines.splice(n, step.count);
        lines.splice(n, 0, ...block.reverse());
        break;
      }
      case 'splice': {
        const other = lines[step.from % lines.length];
        lines[n] = Buffer.concat([
          line.subarray(0, step.at % line.length),
          other.subarray(step.from % other.length),
        ]);
        break;
      }
      case 'number': {
        const text = line.toString('latin1');
        const found = [...text.matchAll(NUMBER)];
        if (found.length === 0) break;
        const { index, 0: number } = found[step.at % found.length];
        lines[n] = Buffer.from(
          text.slice(0, index) + step.text + text.slice(index + number.length),
          'latin1',
        );
        break;
      }
      case 'cut':
        lines = [...lines.slice(0, n), line.subarray(0, step.at % line.length)].filter(
          (l) => l.length > 0,
        );
    }
    lines = lines.slice(0, MOST_LINES);
  }
  return Buffer.concat(lines);
}

let files = 0;
function file(bytes: Uint8Array): string {
  const path = join(temporary, `input-${files++ % 8}`);
  writeFileSync(path, bytes);
  return path;
}

/** Runs everything that looks at an input; undefined where it was refused. */
async function survives(options: ReplayOptions): Promise<ReplayResult | undefined> {
  const begin = performance.now();
  let result: ReplayResult;
  try {
    result = await replay(options);
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
  expect(result.events).toBeGreaterThanOrEqual(0);
  expect(Object.values(result.byType).reduce((a, b) => a + b, 0)).toBe(result.events);
  for (const { checks, violationCount, violations, status } of result.verdicts) {
    expect(Number.isInteger(checks) && Number.isInteger(violationCount)).toBe(true);
    expect(violations.length).toBeLessThanOrEqual(violationCount);
    expect(status === 'violated').toBe(violationCount > 0);
  }
  expect(typeof JSON.stringify(replayJson(result))).toBe('string');
  const text = await replayText(result, {
    colour: false,
    allRules: true,
    listUnparsed: true,
    violationsShown: 5,
    quotable: new Set(options.files),
  });
  const { history } = result;
  const shown = [text];
  if (history !== undefined && history.length > 0) {
    const end = history.stateAfter(history.length - 1);
    const middle = history.stateAfter(history.length >> 1);
    JSON.stringify([stateJson(end), stateJson(middle)]);
    shown.push(stateText(end), stateText(middle), diffText(middle, end));
    for (const key of [...end.devices.keys()].slice(0, 3))
      shown.push(deviceHistoryText(result, key) ?? '');
    for (const id of [...end.groups.keys()].slice(0, 3))
      shown.push(groupText(result, id, end) ?? '');
  }
  for (const part of shown) {
    expect(part).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e]/);
    expect(part).not.toMatch(/\bundefined\b|\[object /);
  }
  expect(performance.now() - begin).toBeLessThan(PATIENCE);
  return result;
}

/** HOTRACE_FUZZ=20 makes twenty times as many runs, of other inputs each time. */
const MORE = Number(process.env['HOTRACE_FUZZ'] ?? 1);
const runs = (numRuns: number) => ({
  numRuns: numRuns * MORE,
  ...(MORE === 1 ? { seed: 20260829, interruptAfterTimeLimit: 25_000 } : {}),
  markInterruptAsFailure: false,
});

describe('replay never throws anything but an InputError', () => {
  test('whatever format is detected', async () => {
    await fc.assert(
      fc.asyncProperty(input, async (made) => {
        await survives({ files: [file(build(made))] });
      }),
      runs(250),
    );
  });

  test('whatever format, kernel and history are told', async () => {
    await fc.assert(
      fc.asyncProperty(
        input,
        fc.constantFrom(...FORMATS.map((f) => f.name)),
        fc.option(fc.constantFrom(...PROFILES), { nil: undefined }),
        fc.boolean(),
        async (made, format, kernel, history) => {
          const bytes = build(made);
          fc.pre(bytes.length > 0);
          const result = await survives({ files: [file(bytes)], format, kernel, history });
          expect(result).toBeDefined();
        },
      ),
      runs(250),
    );
  });

  test('several inputs together, with snapshots of other machines around them', async () => {
    const snapshots = [
      undefined,
      ...[SAMPLE, `${FIXTURES}/5.10-add-del-native`].flatMap((f) => [
        join(ROOT, f, 'sysfs-before.txt'),
        join(ROOT, f, 'sysfs-after.txt'),
      ]),
    ];
    await fc.assert(
      fc.asyncProperty(
        input,
        input,
        fc.constantFrom(...snapshots),
        fc.constantFrom(...snapshots),
        async (one, other, sysfsBefore, sysfsAfter) => {
          await survives({
            files: [file(build(one)), file(build(other))],
            sysfsBefore,
            sysfsAfter,
          });
        },
      ),
      runs(100),
    );
  });

  test('every line of a file is an event, a header, or told', async () => {
    await fc.assert(
      fc.asyncProperty(input, async (made) => {
        const bytes = build(made);
        fc.pre(bytes.length > 0);
        const lines = bytes
          .toString('latin1')
          .split('\n')
          .filter((l) => l.trim() !== '').length;
        const result = await survives({ files: [file(bytes)], format: 'dmesg' });
        // A line of dmesg is one event at most; nothing is invented.
        expect(result!.events).toBeLessThanOrEqual(lines + 8);
      }),
      runs(60),
    );
  });
});

describe('compressed inputs that were damaged', () => {
  test('come to an answer or an InputError', async () => {
    const whole = readFileSync(join(ROOT, SAMPLE, 'trace.txt.gz'));
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat({ max: whole.length - 1 }), fc.nat({ max: 255 })), {
          maxLength: 4,
        }),
        fc.integer({ min: 2, max: whole.length }),
        async (flips, length) => {
          const bytes = Uint8Array.from(whole.subarray(0, length));
          for (const [at, byte] of flips) if (at > 1 && at < length) bytes[at] ^= byte;
          await survives({ files: [file(bytes)] });
        },
      ),
      runs(60),
    );
  });
});
