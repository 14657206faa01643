/** Which rules a state breaks. */

import type { Program } from './program.js';
import { Kind } from './thread-trie.js';

/** Nobody can go on, and somebody waits. */
export const DEADLOCK = 'deadlock';
/** Somebody waits for ever while others go on for ever. */
export const PARTIAL_DEADLOCK = 'partial-deadlock';
/** A thread threw. */
export const EXCEPTION = 'exception';

/** Whether some machine is in a state that breaks a rule: who waits for it is not deadlocked. */
export function brokenMachine(program: Program, row: Int32Array): boolean {
  for (let e = 0; e < program.entities; e++) {
    if (program.tables[e].rule(row[e]) !== undefined) return true;
  }
  return false;
}

/**
 * All rules that a state breaks.
 *
 * @param final whether no thread can go on
 */
export function brokenRules(program: Program, row: Int32Array, final: boolean): string[] {
  const rules: string[] = [];
  const { entities, trie } = program;
  for (let e = 0; e < entities; e++) {
    rules.push(...program.tables[e].rules(row[e]));
  }
  for (let c = entities; c < row.length; c++) {
    if (trie.kind[row[c]] === Kind.Threw) rules.push(EXCEPTION);
  }
  for (const compiled of program.invariants) {
    if (!program.holds(compiled, row)) rules.push(compiled.invariant.id);
  }
  if (final) rules.push(...brokenAtEnd(program, row));
  return [...new Set(rules)];
}

/**
 * The rules that a state breaks in which no thread can go on, for that reason. None where a thread
 * could go on and is not looked at any further: that is no end.
 */
export function brokenAtEnd(program: Program, row: Int32Array): string[] {
  for (let c = program.entities; c < row.length; c++) {
    if (program.trie.kind[row[c]] === Kind.Cut) return [];
  }
  if (program.stuck(row).length > 0) return brokenMachine(program, row) ? [] : [DEADLOCK];
  return program.atEnd
    .filter((compiled) => !program.holds(compiled, row))
    .map(({ invariant }) => invariant.id);
}
