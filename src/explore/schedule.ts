/**
 * One interleaving: which thread makes its step when, told by the steps' names.
 */

import type { EventFact } from '../../events/event.js';
import type { Step } from '../../machines/step.js';
import type { Program } from './program.js';

export interface ScheduledStep {
  readonly thread: string;
  /** Which step of its thread, from 1. */
  readonly number: number;
  /** `list_add_tail(d0)` */
  readonly what: string;
  /** The machine that it is sent to; undefined for a choice, a spawn, a join. */
  readonly entity: string | undefined;
  readonly event: Readonly<Record<string, unknown>> | undefined;
  readonly reply: unknown;
  /** It comes from another thread than the step before, which could have gone on. */
  readonly preempts: boolean;
  /** What a trace of a kernel would show of it, where the scenario says so. */
  readonly facts?: readonly EventFact[];
  /** A fault that might have come here, and did not: nothing to show. */
  readonly quiet?: true;
}

/** A move: a thread, and the outcome of its choice. */
export interface Move {
  readonly thread: number;
  readonly outcome: number;
}

export interface Schedule {
  readonly steps: readonly ScheduledStep[];
  /** Switches from a thread that could have gone on. */
  readonly preemptions: number;
  /** The state after it. */
  readonly row: Int32Array;
}

/**
 * Carries moves out from the start; a search must have met their threads. A move that cannot be made
 * ends it: `reached` tells which.
 */
export function carryOut(
  program: Program,
  moves: readonly Move[],
): Schedule & { readonly reached: number } {
  const { entities, trie, values } = program;
  const row = program.start(trie.threads.length);
  const steps: ScheduledStep[] = [];
  let last = -1;
  let preemptions = 0;
  for (const { thread, outcome } of moves) {
    if (!program.enabled(row, thread)) break;
    const node = row[entities + thread];
    const preempts = last >= 0 && last !== thread && program.enabled(row, last);
    if (preempts) preemptions++;
    const reply = values.value(program.reply(row, node, outcome));
    program.step(row, thread, outcome);
    const sent = program.sent(node);
    const step: Step = trie.step[node]!;
    steps.push({
      thread: trie.threads[thread].name,
      number: trie.depth[node] + 1,
      what: nameOf(program, node, outcome),
      entity: sent?.entity,
      event: sent?.event,
      reply,
      preempts,
      ...(step.type === 'send' && step.facts !== undefined ? { facts: step.facts } : {}),
      ...(isQuiet(step, reply) ? { quiet: true } : {}),
    });
    last = thread;
  }
  return { steps, preemptions, row, reached: steps.length };
}

/** Of `mayFail` only the fault is shown. */
function isQuiet(step: Step, reply: unknown): boolean {
  if ('hidden' in step && step.hidden === true) return true;
  if (!('fault' in step && step.fault === true)) return false;
  return (reply as { type?: unknown } | null)?.type !== 'fault';
}

/** Those that are shown in a table. */
export function shownSteps(steps: readonly ScheduledStep[]): readonly ScheduledStep[] {
  return steps.filter(({ quiet }) => quiet !== true);
}

/** What the step at a node is called: its label, or what it sends. */
export function nameOf(program: Program, node: number, outcome: number): string {
  const { trie, values } = program;
  const step: Step = trie.step[node]!;
  switch (step.type) {
    case 'send': {
      if (step.label !== undefined) return step.label;
      const { type, ...fields } = program.sent(node)!.event as Readonly<Record<string, unknown>>;
      const told = Object.values(fields).map((field) =>
        typeof field === 'string' ? field : JSON.stringify(field),
      );
      return `${step.entity}: ${String(type)}(${told.join(', ')})`;
    }
    case 'choose': {
      const option = JSON.stringify(values.value(trie.options[node][outcome]));
      if (step.fault === true && step.label !== undefined) {
        return option === 'true' ? step.label : `no fault: ${step.label}`;
      }
      return step.label === undefined ? `chooses ${option}` : `${step.label}: ${option}`;
    }
    case 'spawn':
      return step.label ?? `spawns ${trie.threads[trie.other[node]].name}`;
    case 'join':
      return step.label ?? `joins ${step.thread}`;
    default:
      return 'loops';
  }
}
