/**
 * A PASID freed with the address space, while the device that uses it is still bound. Source: D K28,
 * A5.
 */

import { access, add, get, kfree, load, put, store } from '../kernel/memory.js';
import { mutexMachine } from '../mutex.js';
import { struct } from '../object.js';
import type { ObjectMemory } from '../object.js';
import { pasidAllocatorMachine } from '../pasid-allocator.js';
import type { PasidMemory, PasidReply } from '../pasid-allocator.js';
import type { EntityView, Scenario } from '../scenario.js';
import { lock, send, unlock } from '../step.js';
import type { Thread } from '../step.js';
import { race } from './race.js';
import type { Race } from './race.js';

const IOASIDS = 'ioasids';
const TABLE = 'pasid_table';
const LOCK = 'iommu_sva_lock';
/** There are as many as two processes need. */
const LAST = 2;

/** Where a process gives up its PASID. */
type FreedIn = '__mmput' | '__mmdrop';

export const K28: Race = race({
  id: 'K28',
  title: 'PASID freed before devices stopped using it (A5)',
  story:
    "A process exits. First its address space goes, and with it, in __mmput, its PASID; its files are released later, and only then is the device told to stop using the PASID. In between a new process gets the same PASID, while the device's entry still leads to the old one. The fix frees the PASID in __mmdrop, which the binding of the device holds off.",
  commits: [{ id: '2667ed10d9f0', subject: 'mm: Fix PASID use-after-free issue', since: 'v5.18' }],
  source: 'D K28, A5, INV-31',
  variants: [
    {
      name: 'bug: freed in __mmput',
      expected: 'violated',
      breaks: ['INV-31'],
      kernel: 'v5.18-rc1',
      make: () => scenarioOf('__mmput', 'when allocated'),
    },
    {
      name: "bug: the new owner's entry is torn down",
      expected: 'violated',
      breaks: ['INV-31'],
      kernel: 'v5.18-rc1',
      make: () => scenarioOf('__mmput', 'when torn down'),
    },
    {
      name: 'fixed: freed in __mmdrop',
      expected: 'clean',
      kernel: '2667ed10d9f0 (v5.18)',
      make: () => scenarioOf('__mmdrop', 'when allocated'),
    },
    {
      name: 'fixed: its entry stays',
      expected: 'clean',
      kernel: '2667ed10d9f0 (v5.18)',
      make: () => scenarioOf('__mmdrop', 'when torn down'),
    },
  ],
});

/** @param harm what is looked for */
function scenarioOf(freedIn: FreedIn, harm: 'when allocated' | 'when torn down'): Scenario {
  function* mm_pasid_drop(mm: string): Thread<void> {
    const pasid = yield* load<number>(mm, 'pasid', 'pasid');
    yield* send(IOASIDS, { type: 'free', pasid }, `ioasid_free(${pasid})`);
  }
  function* mmdrop(mm: string): Thread<void> {
    if (!(yield* put(mm))) return;
    if (freedIn === '__mmdrop') yield* mm_pasid_drop(mm);
    yield* kfree(mm);
  }
  function* mmput(mm: string): Thread<void> {
    if ((yield* add(mm, 'mm_users', -1)) !== 1) return;
    if (freedIn === '__mmput') yield* mm_pasid_drop(mm);
    yield* mmdrop(mm);
  }
  /** iommu_sva_bind_device, the first of its mm. */
  function* bind(mm: string): Thread<void> {
    yield* lock(LOCK);
    const { pasid } = yield* send<PasidReply>(
      IOASIDS,
      { type: 'alloc', owner: mm },
      `pasid = ioasid_alloc(${mm})`,
    );
    yield* store(mm, 'pasid', pasid);
    yield* get(mm);
    yield* setEntry(pasid, mm);
    yield* unlock(LOCK);
  }
  /** The binding remembers its PASID: by the time of the release mm->pasid may be gone. */
  function* unbind(mm: string, pasid: number): Thread<void> {
    yield* lock(LOCK);
    yield* setEntry(pasid, null);
    yield* unlock(LOCK);
    yield* mmdrop(mm);
  }
  return {
    name: 'K28',
    story: K28.story,
    entities: {
      [LOCK]: mutexMachine,
      [IOASIDS]: { machine: pasidAllocatorMachine(LAST), input: { owners: { 1: 'mm_A' } } },
      // Bound: the references are that of the users, and that of the binding.
      mm_A: struct({ fields: { mm_users: 1, pasid: 1 }, refs: 2 }),
      mm_B: struct({ fields: { mm_users: 1, pasid: 0 }, refs: 1 }),
      [TABLE]: struct({ fields: { 1: 'mm_A' } }),
    },
    threads: {
      'A: exit': function* () {
        yield* mmput('mm_A');
        // exit_files, the driver's release
        yield* unbind('mm_A', 1);
      },
      'B: open, bind': () => bind('mm_B'),
    },
    invariants: [
      harm === 'when allocated'
        ? {
            id: 'INV-31',
            says: 'a PASID is given to mm_B, and the entry of the device still leads to mm_A',
            entities: [IOASIDS, TABLE],
            holds: (view) =>
              PASIDS.every((pasid) => {
                const owner = ownerOf(view[IOASIDS], pasid);
                const mm = entryOf(view[TABLE], pasid);
                return owner === undefined || mm === null || mm === owner;
              }),
          }
        : {
            id: 'INV-31',
            says: 'mm_B is bound, and the entry of its PASID is gone',
            entities: [IOASIDS, TABLE],
            when: 'end',
            holds: (view) =>
              PASIDS.every((pasid) => {
                const owner = ownerOf(view[IOASIDS], pasid);
                return owner === undefined || entryOf(view[TABLE], pasid) === owner;
              }),
          },
    ],
  };
}

function* setEntry(pasid: number, mm: string | null): Thread<void> {
  const label = `${TABLE}[${pasid}] = ${mm ?? '0'}`;
  yield* access(TABLE, { type: 'write', field: String(pasid), value: mm }, label);
}

const PASIDS = Array.from({ length: LAST }, (_, i) => i + 1);

function ownerOf(ioasids: EntityView, pasid: number): string | undefined {
  return (ioasids.context as PasidMemory).owners[pasid];
}

function entryOf(table: EntityView, pasid: number): unknown {
  return (table.context as ObjectMemory).fields[pasid] ?? null;
}
