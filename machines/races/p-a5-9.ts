/** How many PASIDs userspace is charged for. Source: P-A5-9, A5.4. */

import { GLOBAL_PASIDS } from '../kernel/global-pasid.js';
import { add } from '../kernel/memory.js';
import {
  alloc_pasid,
  ATTACH_LOCK,
  ATTACHED,
  attach_pasid,
  CGROUP,
  detach_pasid,
  free_pasid,
} from '../kernel/pasid-charge.js';
import type { ChargeCode } from '../kernel/pasid-charge.js';
import { mutexMachine } from '../mutex.js';
import { struct } from '../object.js';
import type { ObjectMemory } from '../object.js';
import { pasidAllocatorMachine } from '../pasid-allocator.js';
import type { EntityView, Scenario } from '../scenario.js';
import type { Thread } from '../step.js';
import { race } from './race.js';
import type { Race } from './race.js';

export const P_A5_9: Race = race({
  id: 'P-A5-9',
  title: 'Shared PASIDs charged to a limit',
  story:
    "PASIDs are few, and one process could take all. So the shared ones that userspace holds are to be charged, those of the kernel's own DMA not. The review of 2023 left open where: at the allocation, or at the calls that attach a PASID, where it is easy to audit. At the attaches a PASID counts as often as it is attached, or, counted once, those that are held and attached nowhere escape the limit.",
  commits: [],
  source: 'A5.4, A5.5 P-A5-9, INV-45',
  variants: [
    {
      name: 'bug: at each attach',
      expected: 'violated',
      breaks: ['INV-45'],
      kernel: 'proposed in 2023',
      make: () => scenarioOf({ charged: 'at each attach', unwinds: true }, attachesTwice, 2),
    },
    {
      name: 'bug: at the first attach, held unattached',
      expected: 'violated',
      breaks: ['INV-45'],
      kernel: 'proposed in 2023',
      make: () => scenarioOf({ charged: 'at the first attach', unwinds: true }, hoards, 2),
    },
    {
      name: 'bug: at allocation, kept where none is left',
      expected: 'violated',
      breaks: ['INV-45'],
      kernel: 'none: what the way back is for',
      make: () => scenarioOf({ charged: 'at allocation', unwinds: false }, attachesTwice, 1),
    },
    {
      name: 'fixed: at the first attach, held attached',
      expected: 'clean',
      kernel: 'proposed in 2023',
      make: () => scenarioOf({ charged: 'at the first attach', unwinds: true }, attachesTwice, 2),
    },
    {
      name: 'fixed: at allocation',
      expected: 'clean',
      kernel: 'proposed in 2023',
      make: () => scenarioOf({ charged: 'at allocation', unwinds: true }, attachesTwice, 1),
    },
    {
      name: 'fixed: at allocation, held unattached',
      expected: 'clean',
      kernel: 'proposed in 2023',
      make: () => scenarioOf({ charged: 'at allocation', unwinds: true }, hoards, 2),
    },
  ],
});

/** What a process does with what it is given. */
type Uses = (code: ChargeCode) => Thread<void>;

/** Attaches the PASID to two devices. */
function* attachesTwice(code: ChargeCode): Thread<void> {
  const pasid = yield* allocates(code);
  if (pasid <= 0) return;
  if ((yield* attach_pasid(code, 'user', pasid)) !== 0) {
    yield* frees(code, pasid);
    return;
  }
  yield* attach_pasid(code, 'user', pasid);
}

/** Keeps it, and attaches it nowhere. */
function* hoards(code: ChargeCode): Thread<void> {
  yield* allocates(code);
}

/** Attaches the kernel's own, and gives it back. */
function* kernelDma(code: ChargeCode): Thread<void> {
  const pasid = yield* alloc_pasid(code, 'kernel');
  if (pasid <= 0) return;
  yield* attach_pasid(code, 'kernel', pasid);
  yield* detach_pasid(code, 'kernel', pasid);
  yield* free_pasid(code, 'kernel', pasid);
}

function* allocates(code: ChargeCode): Thread<number> {
  const pasid = yield* alloc_pasid(code, 'user');
  if (pasid > 0) yield* add('userspace', 'held', 1);
  return pasid;
}

function* frees(code: ChargeCode, pasid: number): Thread<void> {
  yield* add('userspace', 'held', -1);
  yield* free_pasid(code, 'user', pasid);
}

/** @param last the greatest PASID */
function scenarioOf(code: ChargeCode, uses: Uses, last: number): Scenario {
  return {
    name: 'P-A5-9',
    story: P_A5_9.story,
    entities: {
      [GLOBAL_PASIDS]: pasidAllocatorMachine(last, 'INV-37'),
      [CGROUP]: struct({ fields: { usage: 0, limit: 2 } }),
      [ATTACHED]: struct({ fields: { 1: 0, 2: 0 } }),
      [ATTACH_LOCK]: mutexMachine,
      userspace: struct({ fields: { held: 0 } }),
    },
    threads: { process: () => uses(code), 'in-kernel DMA': () => kernelDma(code) },
    invariants: [
      {
        id: 'INV-45',
        says: (view) =>
          `userspace holds ${field(view.userspace, 'held')} and is charged for ${field(view[CGROUP], 'usage')}`,
        entities: [CGROUP, 'userspace'],
        when: 'end',
        holds: (view) => field(view[CGROUP], 'usage') === field(view.userspace, 'held'),
      },
    ],
  };
}

function field(view: EntityView, name: string): number {
  return Number((view.context as ObjectMemory).fields[name]);
}
