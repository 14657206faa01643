/**
 * A counterexample in the Informal Trace Format, for tools that read traces of TLA+ and Quint.
 * Source: Apalache ADR-015, https://apalache-mc.org/docs/adr/015adr-trace.html
 */

import type { Scenario } from '../../machines/scenario.js';
import type { Counterexample } from '../explore/counterexample.js';
import type { Program } from '../explore/program.js';
import { nameOf } from '../explore/schedule.js';
import { statesAlong } from '../explore/states-along.js';
import { Kind } from '../explore/thread-trie.js';
import { brokenRules } from '../explore/verdict-rules.js';

/** An expression of ADR-015, as far as it is made here. */
export type ItfValue =
  | string
  | boolean
  | readonly ItfValue[]
  | { readonly '#bigint': string }
  | { readonly '#map': readonly (readonly [ItfValue, ItfValue])[] }
  | { readonly '#unserializable': string }
  | { readonly [field: string]: ItfValue };

export interface ItfState {
  /** `index`, and of all but the first state the `thread` and the `step` that led to it. */
  readonly '#meta': Readonly<Record<string, string | number>>;
  readonly [variable: string]: ItfValue | Readonly<Record<string, string | number>>;
}

export interface ItfTrace {
  readonly '#meta': Readonly<Record<string, string>>;
  /** `entity::group->mutex`, `thread::T0`: neither begins with `#`, and no two are the same. */
  readonly vars: readonly string[];
  readonly states: readonly ItfState[];
}

/**
 * The trace: the state at the start and after each step. A machine is a record of its `state` and
 * its `context`; a thread of its `status`, what it did `last` and does `next`. A state that breaks
 * rules names them in its `#meta` as `breaks`.
 */
export function scheduleItf(scenario: Scenario, found: Counterexample): ItfTrace {
  const { program, rows } = statesAlong(scenario, found.steps);
  const { entities, trie } = program;
  const names = [...Object.keys(scenario.entities), ...Object.keys(scenario.monitors ?? {})];
  const threads = trie.threads.map(({ name }) => name);
  const last = new Map<string, string>();
  const states = rows.map((row, index): ItfState => {
    const step = found.steps.at(index - 1);
    const made = index === 0 || step === undefined ? undefined : step;
    if (made !== undefined) last.set(made.thread, made.what);
    const final = threads.every((_, t) => !program.enabled(row, t));
    const broken = brokenRules(program, row, final);
    const values: [string, ItfValue][] = [
      ...names.map((name): [string, ItfValue] => {
        const { state, context } = program.view(name, row[program.columns.columnOf(name)!]);
        return [entityVariable(name), { state, context: record(context) }];
      }),
      ...threads.map((name, t): [string, ItfValue] => {
        const node = row[entities + t];
        return [
          threadVariable(name),
          {
            status: statusOf(program, row, t),
            last: last.get(name) ?? '',
            next: nextOf(program, node),
          },
        ];
      }),
    ];
    return {
      '#meta': {
        index,
        ...(made === undefined ? {} : { thread: made.thread, step: made.what }),
        ...(broken.length === 0 ? {} : { breaks: broken.join(', ') }),
      },
      ...Object.fromEntries(values),
    };
  });
  return {
    '#meta': {
      format: 'ITF',
      'format-description': 'https://apalache-mc.org/docs/adr/015adr-trace.html',
      source: scenario.name,
      status: 'violation',
      description: `Created by hotrace explore: ${found.rule}: ${found.says}`,
    },
    vars: [...names.map(entityVariable), ...threads.map(threadVariable)],
    states,
  };
}

function entityVariable(name: string): string {
  return `entity::${name}`;
}

function threadVariable(name: string): string {
  return `thread::${name}`;
}

function statusOf(program: Program, row: Int32Array, t: number): string {
  const node = row[program.entities + t];
  if (node === 0) return 'not started';
  switch (program.trie.kind[node]) {
    case Kind.Done:
      return 'over';
    case Kind.Threw:
      return 'threw';
    default:
      return program.enabled(row, t) ? 'ready' : 'waiting';
  }
}

function nextOf(program: Program, node: number): string {
  const { kind, options } = program.trie;
  switch (kind[node]) {
    case Kind.Done:
    case Kind.Threw:
    case Kind.Cut:
      return '';
    case Kind.Choose:
      return options[node].map((_, n) => nameOf(program, node, n)).join(' or ');
    default:
      return nameOf(program, node, 0);
  }
}

/** A context has the same fields in all states: a record. What is deeper is keyed by names: maps. */
function record(value: unknown): ItfValue {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return itfValue(value);
  const fields = Object.entries(value).filter(([, inner]) => inner !== undefined);
  // ADR-015 keeps names that begin with # for itself.
  if (fields.some(([name]) => name.startsWith('#'))) return itfValue(value);
  return Object.fromEntries(fields.map(([name, inner]) => [name, itfValue(inner)]));
}

/** A value of JSON as an expression. What ADR-015 has no word for is `#unserializable`, null a record. */
export function itfValue(value: unknown): ItfValue {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value;
    case 'bigint':
      return { '#bigint': String(value) };
    case 'number':
      return Number.isInteger(value)
        ? { '#bigint': BigInt(value).toString() }
        : { '#unserializable': String(value) };
    case 'object':
      if (value === null) return { tag: 'Null', value: {} };
      if (Array.isArray(value)) return value.map(itfValue);
      return {
        '#map': Object.entries(value)
          .filter(([, inner]) => inner !== undefined)
          .map(([key, inner]) => [key, itfValue(inner)] as const),
      };
    default:
      return { '#unserializable': String(value) };
  }
}
