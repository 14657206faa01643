/** IOMMU groups, their notifier chain and the republish of bus notifications. Source: A1. */

import { K01 } from '../races/k01.js';
import { K02 } from '../races/k02.js';
import { S1 } from '../races/s1.js';
import { S2 } from '../races/s2.js';
import type { System } from '../system.js';

export const GROUPS: System = {
  id: 'groups',
  title: 'IOMMU groups, group notifier, bus-notifier republish',
  year: 2012,
  source: 'A1',
  variants: [
    {
      name: 'as posted',
      about: 'list_add under group->mutex, then ADD_DEVICE; one block on every bus',
      tried: [
        { race: S1, variant: 'bug' },
        { race: K01, variant: 'bug: one block on two chains' },
        { race: K02, variant: 'bug: interrupt' },
      ],
    },
    {
      name: 'ALT-A1-a',
      about: 'ADD_DEVICE before list_add',
      tried: [{ race: S2, variant: 'bug' }],
    },
    {
      name: 'ALT-A1-b1',
      about: 'group->mutex around both, and a listener that walks the group',
      tried: [{ race: S1, variant: 'bug: group mutex' }],
    },
    {
      name: 'ALT-A1-b2',
      about: 'a second mutex around both, and the same listener',
      tried: [
        { race: S1, variant: 'fixed: second mutex' },
        { race: S2, variant: 'fixed: second mutex' },
      ],
    },
    {
      name: 'P-A1-2',
      about: 'callers serialise adding and removing a device',
      tried: [{ race: S1, variant: 'fixed: callers serialise' }],
    },
  ],
};
