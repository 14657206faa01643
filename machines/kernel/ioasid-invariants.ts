/**
 * What must hold of IOASID allocators: the five rules of the comment in drivers/iommu/ioasid.c and
 * what E says of IOASIDs, over what callers know and what the code has. Source: A5.1, A5.5 P-A5-1 to
 * P-A5-7, E INV-37 to INV-39.
 */

import type { LinkedListMemory } from '../linked-list.js';
import type { ObjectMemory } from '../object.js';
import type { EntityView, Invariant } from '../scenario.js';
import type { XarrayMemory } from '../xarray.js';
import {
  ALLOCATORS,
  DEFAULT_ALLOCATOR,
  IOASID,
  IOASID_LISTS,
  IOASID_LOCK,
  spaceOf,
} from './ioasid.js';
import { container_of } from './list.js';

type View = Readonly<Record<string, EntityView>>;

/** What the callers know: which ops are registered, and how many hold an id. */
export const CALLERS = 'callers';

/** A check by what it is called in A5.1 or E. */
export type IoasidCheck =
  | 'rule 1'
  | 'rule 2'
  | 'rule 3'
  | 'rule 4'
  | 'rule 5'
  /** INV-37 */
  | 'unique'
  /** INV-38: who is registered is found on the lists. */
  | 'registered'
  /** INV-38: no node leads to memory that was freed. */
  | 'no dangling node';

export const IOASID_CHECKS: readonly IoasidCheck[] = [
  'rule 1',
  'rule 2',
  'rule 3',
  'rule 4',
  'rule 5',
  'unique',
  'registered',
  'no dangling node',
];

const RULES: Readonly<Record<IoasidCheck, string>> = {
  'rule 1': 'INV-38',
  'rule 2': 'INV-38',
  'rule 3': 'INV-39',
  'rule 4': 'INV-38',
  'rule 5': 'INV-38',
  unique: 'INV-37',
  registered: 'INV-38',
  'no dangling node': 'INV-38',
};

/**
 * The checks as invariants: of the moments in which nobody is inside ioasid_allocator_lock.
 *
 * @param allocators those that there may be beside the default one
 */
export function ioasidInvariants(
  checks: readonly IoasidCheck[],
  allocators: readonly string[],
): readonly Invariant[] {
  const spaces = [DEFAULT_ALLOCATOR, ...allocators].map(spaceOf);
  const entities = [IOASID_LOCK, IOASID, IOASID_LISTS, CALLERS, ...allocators, ...spaces];
  return checks.map((check) => {
    const finds = (view: View) =>
      view[IOASID_LOCK].state === 'locked' ? undefined : broken(check, view, allocators);
    return {
      id: RULES[check],
      entities,
      says: (view: View) => finds(view) ?? '',
      holds: (view: View) => finds(view) === undefined,
    };
  });
}

/** What is wrong, as a sentence; undefined: nothing. */
function broken(check: IoasidCheck, view: View, allocators: readonly string[]): string | undefined {
  const lists = view[IOASID_LISTS].context as LinkedListMemory;
  const active = fields(view[IOASID]).active_allocator as string;
  const registered = walk(lists, ALLOCATORS).map(container_of);
  const callers = fields(view[CALLERS]);
  switch (check) {
    case 'rule 1':
      if (active === DEFAULT_ALLOCATOR || registered.includes(active)) return undefined;
      return `${active} is active and is not registered`;
    case 'rule 2':
      if (registered.length === 0 || active !== DEFAULT_ALLOCATOR) return undefined;
      return `${registered[0]} is registered and the default allocator is active`;
    case 'rule 3': {
      const lost = held(callers).find((id) => !isIn(view, active, id));
      return lost === undefined
        ? undefined
        : `IOASID ${lost} is outstanding and neither found nor freed any more`;
    }
    case 'rule 4': {
      const astray = registered.find((ia) => !sharers(lists, ia).includes(opsOf(view, ia)));
      return astray === undefined
        ? undefined
        : `${astray} turns to ${opsOf(view, astray)}, which is not registered`;
    }
    case 'rule 5': {
      const others = [DEFAULT_ALLOCATOR, ...allocators].filter((ia) => ia !== active);
      const full = others.find(
        (ia) =>
          (active === DEFAULT_ALLOCATOR || ia === DEFAULT_ALLOCATOR) &&
          held(callers).some((id) => isIn(view, ia, id)),
      );
      return full === undefined
        ? undefined
        : `${active} is active and IOASIDs of ${full} are outstanding`;
    }
    case 'unique': {
      const twice = held(callers).find((id) => Number(callers[`holders of ${id}`]) > 1);
      if (twice !== undefined) return `IOASID ${twice} has two holders`;
      const outside = callers['out of range'] ?? null;
      return outside === null ? undefined : `IOASID ${shown(outside)} is not of the range`;
    }
    case 'registered': {
      const known = new Set(registered.flatMap((ia) => sharers(lists, ia)));
      const missing = named(callers, 'registered').find((ops) => !known.has(ops));
      return missing === undefined
        ? undefined
        : `${missing} is registered and on no list of an allocator`;
    }
    case 'no dangling node': {
      const { freed, nodes } = lists;
      const [node] =
        Object.entries(nodes).find(
          ([each, { next }]) =>
            !(container_of(each) in freed) && next !== null && container_of(next) in freed,
        ) ?? [];
      return node === undefined ? undefined : `${node} leads to memory that was freed`;
    }
  }
}

/** The nodes of a list, as far as they can be followed. */
function walk({ nodes, freed }: LinkedListMemory, head: string): readonly string[] {
  const found: string[] = [];
  let at = nodes[head]?.next ?? head;
  while (at !== head && !found.includes(at) && nodes[at] !== undefined) {
    if (container_of(at) in freed) break;
    found.push(at);
    at = nodes[at].next ?? head;
  }
  return found;
}

function sharers(lists: LinkedListMemory, ia: string): readonly string[] {
  return walk(lists, `${ia}->slist`).map(container_of);
}

function opsOf(view: View, ia: string): string {
  return String(fields(view[ia]).ops);
}

/** Ids that somebody holds. */
function held(callers: Readonly<Record<string, unknown>>): readonly number[] {
  return named(callers, 'holders of').map(Number);
}

/** Of `registered opsA` what is behind the word, where the field is neither false nor zero. */
function named(callers: Readonly<Record<string, unknown>>, word: string): readonly string[] {
  return Object.entries(callers)
    .filter(([field, value]) => field.startsWith(`${word} `) && Boolean(value))
    .map(([field]) => field.slice(word.length + 1));
}

function isIn(view: View, ia: string, id: number): boolean {
  return id in (view[spaceOf(ia)].context as XarrayMemory).entries;
}

function fields(view: EntityView): Readonly<Record<string, unknown>> {
  return (view.context as ObjectMemory).fields;
}

function shown(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
