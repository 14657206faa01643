/**
 * A scenario of drivers that register IOASID allocators, and of those who allocate. Source: A5.
 */

import { kernelLogMachine } from '../kernel-log.js';
import { linkedListMachine } from '../linked-list.js';
import type { LinkedListOptions } from '../linked-list.js';
import { mutexMachine } from '../mutex.js';
import { struct } from '../object.js';
import { pasidAllocatorMachine } from '../pasid-allocator.js';
import type { PasidReply } from '../pasid-allocator.js';
import { rcuMachine } from '../rcu.js';
import type { Entity, Invariant, Scenario } from '../scenario.js';
import { send } from '../step.js';
import type { Thread } from '../step.js';
import { xarrayMachine } from '../xarray.js';
import {
  ALLOCATORS,
  AS_SHIPPED,
  DEFAULT_ALLOCATOR,
  INVALID_IOASID,
  IOASID,
  ioasid_alloc,
  ioasid_free,
  ioasid_register_allocator,
  ioasid_unregister_allocator,
  IOASID_LISTS,
  IOASID_LOCK,
  IOASID_LOG,
  IOASID_RCU,
  spaceOf,
} from './ioasid.js';
import type { Ioasid, IoasidCode, IoasidHelpers } from './ioasid.js';
import { CALLERS, ioasidInvariants } from './ioasid-invariants.js';
import type { IoasidCheck } from './ioasid-invariants.js';
import { RCU_HEADS } from './kfree-rcu.js';
import { kfree_nodes } from './list.js';
import { add, kfree, load, store } from './memory.js';

/** The greatest id that a backend gives. */
const LAST = 2;

export interface OpsSetup {
  /** Which functions it points to: those of the same name are the same; `vcmd` where left out. */
  readonly helpers?: string;
  /** The IOMMU that the functions are called for. */
  readonly pdata: string;
}

export interface IoasidSetup {
  readonly name: string;
  readonly story?: string;
  readonly code?: Partial<IoasidCode>;
  readonly ops?: Readonly<Record<string, OpsSetup>>;
  /** Registered when the threads begin: a list for each allocator, in the order of registration. */
  readonly registered?: readonly (readonly string[])[];
  /** Ids that are held when the threads begin, of the allocator that is active then. */
  readonly held?: readonly number[];
  /** Private data of those: the memory that it points to. */
  readonly priv?: string;
  /** Allocators and ids that may be made. */
  readonly spares?: number;
  /** A space for each pdata, or one for all who share helpers. */
  readonly spaces?: 'one' | 'each pdata';
  /** Functions that do otherwise than to ask their backend. */
  readonly helpers?: Readonly<Record<string, IoasidHelpers>>;
  readonly checks?: readonly IoasidCheck[];
  readonly breaks?: LinkedListOptions['breaks'];
  readonly warns?: string;
  readonly cpu?: string;
  readonly entities?: Readonly<Record<string, Entity>>;
  readonly invariants?: readonly Invariant[];
  readonly run: Readonly<Record<string, (a: Ioasid) => Thread>>;
}

/** The scenario, for the explorer. */
export function ioasidScenario(told: IoasidSetup): Scenario {
  const { name, story, run, checks = [], invariants = [] } = told;
  const { entities, ioasid, allocators } = ioasidSystem(told);
  return {
    name,
    ...(story === undefined ? {} : { story }),
    entities: { ...entities, ...told.entities },
    threads: Object.fromEntries(
      Object.entries(run).map(([thread, body]) => [thread, () => body(ioasid)]),
    ),
    invariants: [...ioasidInvariants(checks, allocators), ...invariants],
  };
}

/** What the operations act on, and what they are given. */
export function ioasidSystem(told: Omit<IoasidSetup, 'name' | 'run'>): {
  readonly entities: Readonly<Record<string, Entity>>;
  readonly ioasid: Ioasid;
  /** Beside the default one. */
  readonly allocators: readonly string[];
} {
  const { ops = {}, registered = [], held = [], spares = 2, spaces = 'one' } = told;
  const first = registered.map((_, i) => `ia${i}`);
  const spare = numbered('ia', first.length, spares);
  const active = first[0] ?? DEFAULT_ALLOCATOR;
  const names = Object.keys(ops);
  const pdatas = [...new Set(names.map((each) => ops[each].pdata))];
  const backendOf = (pdata: string) => (spaces === 'one' ? 'backend' : `backend(${pdata})`);
  const backends = [...new Set(pdatas.map(backendOf))];
  const own = (ia: string) =>
    ia === active ? Object.fromEntries(held.map((id, i) => [id, `data${i}`])) : {};
  const owners = Object.fromEntries(held.map((id) => [id, 'guest']));
  const givesHeld = backendOf(ops[registered[0]?.[0] ?? '']?.pdata ?? '');
  const given = (backend: string) =>
    active !== DEFAULT_ALLOCATOR && backend === givesHeld ? owners : {};
  const lists = {
    [ALLOCATORS]: first.map((ia) => `${ia}->list`),
    ...Object.fromEntries(
      first.map((ia, i) => [`${ia}->slist`, registered[i].map((each) => `${each}->list`)]),
    ),
    // kzalloc and INIT_LIST_HEAD of what may be allocated.
    ...Object.fromEntries(spare.map((ia) => [`${ia}->slist`, []])),
  };
  const entities: Record<string, Entity> = {
    [IOASID_LOCK]: mutexMachine,
    [IOASID_RCU]: rcuMachine,
    [RCU_HEADS]: struct({ fields: { heads: [] } }),
    [IOASID_LOG]: kernelLogMachine(['INV-39']),
    [IOASID_LISTS]: {
      machine: linkedListMachine({ breaks: told.breaks ?? 'when met' }),
      input: lists,
    },
    [IOASID]: struct({
      fields: {
        active_allocator: active,
        'spare allocators': spare,
        'spare data': numbered('data', held.length, 2 * spares),
      },
    }),
    [spaceOf(DEFAULT_ALLOCATOR)]: {
      machine: xarrayMachine,
      input: { entries: own(DEFAULT_ALLOCATOR) },
    },
    [CALLERS]: struct({
      fields: {
        ...Object.fromEntries(registered.flat().map((each) => [`registered ${each}`, true])),
        ...Object.fromEntries(held.map((id) => [`holders of ${id}`, 1])),
      },
    }),
  };
  for (const [i, ia] of first.entries()) {
    entities[ia] = struct({ fields: { ops: registered[i][0], custom: true } });
    entities[spaceOf(ia)] = { machine: xarrayMachine, input: { entries: own(ia) } };
  }
  for (const ia of spare) {
    entities[ia] = struct();
    entities[spaceOf(ia)] = xarrayMachine;
  }
  for (const [i, id] of held.entries()) {
    entities[`data${i}`] = struct({ fields: { id, set: null, private: told.priv ?? null } });
  }
  for (const data of numbered('data', held.length, 2 * spares)) entities[data] = struct();
  for (const each of names) {
    const { helpers = 'vcmd', pdata } = ops[each];
    const fields = { alloc: `${helpers}_alloc`, free: `${helpers}_free`, pdata };
    entities[each] = struct({ fields });
  }
  for (const pdata of pdatas) entities[pdata] = struct({ fields: { reg: 'vcmd register' } });
  for (const backend of backends) {
    entities[backend] = {
      machine: pasidAllocatorMachine(LAST, 'INV-37'),
      input: { owners: given(backend) },
    };
  }
  const known = vcmd(backendOf);
  const kinds = [...new Set(names.map((each) => ops[each].helpers ?? 'vcmd'))];
  const helpers = Object.fromEntries(
    kinds.flatMap((kind) => {
      const does = told.helpers?.[kind] ?? known;
      return [
        [`${kind}_alloc`, does],
        [`${kind}_free`, does],
      ];
    }),
  );
  const ioasid: Ioasid = {
    code: { ...AS_SHIPPED, ...told.code },
    helpers,
    ...(told.warns === undefined ? {} : { warns: told.warns }),
    ...(told.cpu === undefined ? {} : { cpu: told.cpu }),
  };
  if (told.cpu !== undefined) entities[told.cpu] = struct({ fields: { irqs_off: false } });
  return { entities, ioasid, allocators: [...first, ...spare] };
}

/**
 * What VT-d did with virtual commands: intel_vcmd_ioasid_alloc, intel_vcmd_ioasid_free. The command
 * goes through a register of the IOMMU to the host, which gives the ids.
 */
function vcmd(backendOf: (pdata: string) => string): IoasidHelpers {
  return {
    *alloc(min, max, pdata) {
      yield* load(pdata, 'reg');
      const { pasid } = yield* send<PasidReply>(
        backendOf(pdata),
        { type: 'alloc', owner: 'guest', min, max },
        `vcmd_alloc_pasid(${pdata})`,
      );
      return pasid === 0 ? INVALID_IOASID : pasid;
    },
    *free(pasid, pdata) {
      yield* load(pdata, 'reg');
      yield* send(backendOf(pdata), { type: 'free', pasid }, `vcmd_free_pasid(${pdata}, ${pasid})`);
    },
  };
}

/** A driver registers its ops, and knows that they are. Returns what the call does. */
export function* registers(a: Ioasid, ops: string): Thread<number> {
  const ret = yield* ioasid_register_allocator(a, ops);
  if (ret === 0) yield* store(CALLERS, `registered ${ops}`, true);
  return ret;
}

/**
 * A driver unregisters its ops.
 *
 * @param frees what is freed then, where it is not refused: the ops, the IOMMU that they are for
 */
export function* unregisters(a: Ioasid, ops: string, ...frees: readonly string[]): Thread<number> {
  yield* store(CALLERS, `registered ${ops}`, false);
  const ret = yield* ioasid_unregister_allocator(a, ops);
  if (ret !== 0) {
    yield* store(CALLERS, `registered ${ops}`, true);
    return ret;
  }
  for (const each of frees) {
    if (each === ops) yield* kfree_nodes(IOASID_LISTS, ops, `kfree(${ops}): its list_head`);
    yield* kfree(each);
  }
  return ret;
}

/** Somebody allocates an id of min … max, and holds it. */
export function* allocates(
  a: Ioasid,
  min = 1,
  max = LAST,
  priv: string | null = null,
): Thread<number> {
  const id = yield* ioasid_alloc(a, null, min, max, priv);
  if (id === INVALID_IOASID) return id;
  yield* add(CALLERS, `holders of ${id}`, 1);
  if (id < min || id > max) yield* store(CALLERS, 'out of range', id);
  return id;
}

/** The holder of an id frees it. */
export function* frees(a: Ioasid, id: number): Thread<void> {
  yield* add(CALLERS, `holders of ${id}`, -1);
  yield* ioasid_free(a, id);
}

function numbered(prefix: string, first: number, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${prefix}${first + i}`);
}
