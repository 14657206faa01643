/**
 * A search as plain data, so that it can be taken up again: everything that was given a number, in
 * the order of the numbers, and the rows that speak in these numbers. What can be computed again is
 * left out.
 */

import type { EventObject } from 'xstate';
import type { ToldSnapshot } from '../../machines/intern.js';
import type { Cut, SearchStats } from './search-options.js';
import type { SavedFutures } from './futures.js';
import type { LocalTable } from './local-table.js';
import type { Program } from './program.js';
import { messageOf, ScenarioError } from './scenario-error.js';
import type { SavedSections } from './sections.js';

/** What a program has met: values, events and snapshots per machine, nodes of threads. */
export interface SavedProgram {
  /** From 1: 0 is undefined. */
  readonly values: readonly unknown[];
  readonly machines: readonly SavedMachine[];
  /** By node, from 1: as `ThreadTrie.number` is told. */
  readonly nodes: readonly (readonly [parent: number, reply: number])[];
  /** By node, from 1: what it does, to see that it does so still. */
  readonly does: readonly (readonly [kind: number, entity: number, event: number])[];
  readonly loopEdges: readonly (readonly [node: number, reply: number])[];
}

interface SavedMachine {
  readonly events: readonly EventObject[];
  readonly snapshots: readonly ToldSnapshot[];
  /** Snapshot, event, next snapshot (-1: not accepted), reply. */
  readonly known: readonly (readonly [number, number, number, number])[];
}

export interface SavedRound {
  readonly rows: Int32Array;
  readonly sleepOf: Int32Array;
  readonly frames: readonly Int32Array[];
  readonly violated: readonly (readonly [rule: string, row: readonly number[]])[];
  readonly cut: Cut | undefined;
  readonly transitions: number;
  readonly longest: number;
  /** Nodes that the round has looked at. */
  readonly knownNodes: number;
}

export interface SavedSearch {
  readonly program: SavedProgram;
  readonly futures: SavedFutures;
  readonly sections: SavedSections;
  readonly round: SavedRound;
  readonly stats: SearchStats;
}

export function saveProgram(program: Program): SavedProgram {
  const { trie, values } = program;
  const nodes: [number, number][] = [];
  const does: [number, number, number][] = [];
  for (let node = 1; node < trie.size; node++) {
    const parent = trie.parent[node];
    const spawner = trie.spawner[node];
    if (parent === 0 && spawner !== 0) nodes.push([-spawner, 0]);
    else nodes.push([parent, parent === 0 ? trie.thread[node] : trie.reply[node]]);
    does.push([trie.kind[node], trie.entity[node], trie.event[node]]);
  }
  return {
    values: values.all.slice(1),
    machines: machinesOf(program).map(saveMachine),
    nodes,
    does,
    loopEdges: [...trie.loopEdges()].map(([node, reply]) => [node, reply]),
  };
}

function saveMachine(table: LocalTable): SavedMachine {
  const { interned } = table;
  return {
    events: Array.from({ length: interned.alphabet }, (_, event) => interned.eventOf(event)),
    snapshots: Array.from({ length: interned.size }, (_, snapshot) => interned.told(snapshot)),
    known: [...table.known()],
  };
}

/**
 * Gives everything the number that it had. Throws ScenarioError where the scenario is no longer the
 * one that was saved.
 *
 * @param program fresh
 */
export function restoreProgram(program: Program, saved: SavedProgram): void {
  const { trie, values } = program;
  const must = (so: boolean, what: string, where: string) => {
    if (!so) {
      throw new ScenarioError(what, where, 'explore it from the start: it has changed since');
    }
  };
  saved.values.forEach((value, i) => {
    must(values.intern(value) === i + 1, 'a value got another number', 'the saved search');
  });
  const machines = machinesOf(program);
  must(machines.length === saved.machines.length, 'it had other machines', 'entities');
  machines.forEach(({ interned }, i) => {
    const where = `machine "${interned.machine.id}"`;
    saved.machines[i].events.forEach((event, id) => {
      must(machines[i].event(event) === id, 'an event got another number', where);
    });
    saved.machines[i].snapshots.forEach((told, id) => {
      let resolved: number;
      try {
        resolved = interned.resolve(told);
      } catch (error) {
        throw new ScenarioError(messageOf(error), where, 'explore it from the start', {
          cause: error,
        });
      }
      must(resolved === id, `it came to ${JSON.stringify(told.value)} in another way`, where);
    });
    machines[i].grow();
  });
  saved.nodes.forEach(([parent, reply], i) => {
    const node =
      parent < 0
        ? trie.startedBy(-parent)
        : parent === 0
          ? trie.root(reply)
          : trie.child(parent, reply);
    const [kind, entity, event] = saved.does[i];
    const same =
      node === i + 1 &&
      trie.kind[node] === kind &&
      trie.entity[node] === entity &&
      trie.event[node] === event;
    must(same, 'it does something else', trie.where(node));
  });
  for (const [node, reply] of saved.loopEdges) trie.child(node, reply);
}

/**
 * Whether machines still do what they did. After a symmetry has been declared: what it tells need
 * not be asked. Throws ScenarioError.
 */
export function checkMachines(program: Program, saved: SavedProgram): void {
  machinesOf(program).forEach((table, i) => {
    const { interned } = table;
    for (const [snapshot, event, next, reply] of saved.machines[i].known) {
      const same =
        table.step(snapshot, event) === next &&
        (next < 0 || table.reply[snapshot * table.stride + event] === reply);
      if (same) continue;
      throw new ScenarioError(
        `it does something else at ${JSON.stringify(interned.eventOf(event))}`,
        `machine "${interned.machine.id}"`,
        'explore it from the start: it has changed since',
      );
    }
  });
}

/** Each once; entities of one machine share a table. */
function machinesOf(program: Program): LocalTable[] {
  return [...new Set(program.tables)];
}
