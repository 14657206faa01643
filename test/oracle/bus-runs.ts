/** The recorded runs of a bus under threads that add and delete at random: oracle/README.md. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

export interface Notification {
  readonly k: 'N';
  readonly pid: number;
  readonly cb: number;
  readonly prio: number;
  readonly action: number;
  readonly dev: string;
  readonly drv: string | null;
  readonly ret: number;
}
export interface Step {
  readonly k: 'B' | 'E';
  readonly pid: number;
  readonly op: string;
  readonly obj: string;
  readonly ret: number;
}
export type Recorded =
  | Notification
  | Step
  | {
      readonly k: 'P' | 'X';
      readonly pid: number;
      readonly dev: string;
      readonly drv: string;
      readonly ret: number | null;
    }
  | { readonly k: 'F'; readonly pid: number; readonly obj: string };
/** One run of the module: what it did and what its listeners heard, in one global order. */
export interface Run {
  readonly run: number;
  readonly params: { readonly drvs: number };
  readonly events: readonly Recorded[];
}

const SHARED = new URL('../../../shared/oracle/', import.meta.url);
const FIXTURES = new URL('./', import.meta.url);

export function runs(file: URL): readonly Run[] {
  const lines = gunzipSync(readFileSync(file)).toString('utf8').trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line) as Run);
}

/** Kernel, where from, file. */
export const BUS_RUNS: readonly (readonly [string, string, URL])[] = [
  ...['5.10', '7.2'].map((k) => [k, 'fixture', new URL(`bus-${k}.jsonl.gz`, FIXTURES)] as const),
  ...(existsSync(SHARED) ? readdirSync(SHARED) : [])
    .map((k) => [k, 'oracle', new URL(`${k}/bus-notifier-oracle.jsonl.gz`, SHARED)] as const)
    .filter(([, , file]) => existsSync(file)),
];

/** Of the module's blocks. */
export const PRIORITY: Readonly<Record<string, number>> = { 0: 10, 1: 0, 2: -5, 3: 5 };
