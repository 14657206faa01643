/** Private data of an IOASID that is replaced while somebody looks at it. Source: P-A5-5, INV-40. */

import { ioasid_find, ioasid_set_data } from '../kernel/ioasid.js';
import { ioasidScenario } from '../kernel/ioasid-scenario.js';
import { kfree, load } from '../kernel/memory.js';
import { struct } from '../object.js';
import type { Scenario } from '../scenario.js';
import { race } from './race.js';
import type { Race } from './race.js';

export const P_A5_5: Race = race({
  id: 'P-A5-5',
  title: 'Private data of an IOASID freed under a reader',
  story:
    'ioasid_find hands the private data to its getter inside a read section. ioasid_set_data replaces the pointer and waits for a grace period before it returns, so that its caller may free what was there: two callers each wait for their own. Without the wait a getter looks at freed memory.',
  commits: [],
  source: 'A5.2 ioasid_set_data, A5.5 P-A5-5, INV-40',
  variants: [
    {
      name: 'bug: without synchronize_rcu',
      expected: 'violated',
      breaks: ['INV-40'],
      kernel: 'none: what the wait is for',
      make: () => scenarioOf(false),
    },
    {
      name: 'fixed: waits for a grace period',
      expected: 'clean',
      kernel: 'v5.5 to v6.3',
      make: () => scenarioOf(true),
    },
  ],
});

function scenarioOf(setDataWaits: boolean): Scenario {
  return ioasidScenario({
    name: 'P-A5-5',
    story: P_A5_5.story,
    held: [1],
    priv: 'priv0',
    code: { setDataWaits },
    entities: {
      priv0: struct({ fields: { users: 1 } }, 'INV-40'),
      priv1: struct({ fields: { users: 1 } }, 'INV-40'),
      priv2: struct({ fields: { users: 1 } }, 'INV-40'),
    },
    run: {
      ioasid_find: (a) =>
        ioasid_find(a, null, 1, function* (priv) {
          return (yield* load<number>(priv, 'users')) > 0;
        }),
      'ioasid_set_data(priv1)': function* (a) {
        yield* ioasid_set_data(a, 1, 'priv1');
        // It was there first, whoever else replaces it.
        yield* kfree('priv0');
      },
      'ioasid_set_data(priv2)': (a) => ioasid_set_data(a, 1, 'priv2'),
    },
  });
}
