/** The data of an IOASID that can be found before it is whole. Source: S7, A5.4. */

import { idOf, ioasid_alloc, ioasid_free } from '../kernel/ioasid-xarray.js';
import type { IoasidXarray } from '../kernel/ioasid-xarray.js';
import { ioasidXarrayScenario } from '../kernel/ioasid-xarray-scenario.js';
import { store } from '../kernel/memory.js';
import { struct } from '../object.js';
import type { ObjectMemory } from '../object.js';
import type { Scenario } from '../scenario.js';
import { race } from './race.js';
import type { Race } from './race.js';

export const S7: Race = race({
  id: 'S7',
  title: 'IOASID published before it is initialised',
  story:
    'Without the spinlock of the custom allocators xa_alloc publishes the data of an IOASID, and data->id is set after it. Who guesses the id, which is the lowest one that is free, finds data without an id in between; and who frees what it does not own lets the data be freed after a grace period, and the id is then written to freed memory.',
  commits: [],
  source: 'D S7, A5.4 P-A5-w, INV-23, INV-24',
  variants: [
    {
      name: 'bug: freed in between',
      expected: 'violated',
      breaks: ['INV-24'],
      kernel: 'posted in 2023',
      make: () => scenarioOf('after xa_alloc', 'free'),
    },
    {
      name: 'bug: found in between',
      expected: 'violated',
      breaks: ['INV-23'],
      kernel: 'posted in 2023',
      make: () => scenarioOf('after xa_alloc', 'find'),
    },
    {
      name: 'fixed: freed, set under xa_lock',
      expected: 'clean',
      kernel: 'none: repaired in the model',
      make: () => scenarioOf('under xa_lock', 'free'),
    },
    {
      name: 'bug: found in between, under xa_lock',
      expected: 'violated',
      breaks: ['INV-23'],
      kernel: 'posted in 2023, its free repaired',
      make: () => scenarioOf('under xa_lock', 'find'),
    },
    {
      name: 'fixed: freed, the id reserved first',
      expected: 'clean',
      kernel: 'none: repaired in the model',
      make: () => scenarioOf('before xa_store', 'free'),
    },
    {
      name: 'fixed: found, the id reserved first',
      expected: 'clean',
      kernel: 'none: repaired in the model',
      make: () => scenarioOf('before xa_store', 'find'),
    },
  ],
});

function scenarioOf(idIsSet: IoasidXarray['idIsSet'], other: 'free' | 'find'): Scenario {
  const x = { idIsSet };
  return ioasidXarrayScenario({
    name: 'S7',
    story: S7.story,
    entities: { reader: struct({ fields: { id: null } }) },
    threads: {
      ioasid_alloc: () => ioasid_alloc(x, null, 1, 2, null),
      ...(other === 'free'
        ? { 'ioasid_free(1), not its own': () => ioasid_free(x, 1) }
        : {
            *'ioasid_find(1)'() {
              yield* store('reader', 'id', yield* idOf(1));
            },
          }),
    },
    invariants: [
      {
        id: 'INV-23',
        says: 'the data of IOASID 1 was found, and its id was not set',
        entities: ['reader'],
        holds: ({ reader }) => {
          const { id } = (reader.context as ObjectMemory).fields;
          return id === null || id === 1;
        },
      },
    ],
  });
}
