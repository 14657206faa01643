/** IOASID and PASID allocators, 2023. Source: A5. */

import { D_A5_1 } from '../races/d-a5-1.js';
import { D_A5_2 } from '../races/d-a5-2.js';
import { D_A5_3 } from '../races/d-a5-3.js';
import { D_A5_3B } from '../races/d-a5-3b.js';
import { D_A5_4 } from '../races/d-a5-4.js';
import { D_A5_5 } from '../races/d-a5-5.js';
import { D_A5_6 } from '../races/d-a5-6.js';
import { D_A5_7 } from '../races/d-a5-7.js';
import { D_A5_8 } from '../races/d-a5-8.js';
import { D_A5_9 } from '../races/d-a5-9.js';
import { D_A5_10 } from '../races/d-a5-10.js';
import { K28 } from '../races/k28.js';
import { P_A5_5 } from '../races/p-a5-5.js';
import { P_A5_8 } from '../races/p-a5-8.js';
import { P_A5_9 } from '../races/p-a5-9.js';
import { PASID_ATTACH } from '../races/pasid-attach.js';
import type { Race } from '../races/race.js';
import { S6 } from '../races/s6.js';
import { S7 } from '../races/s7.js';
import type { System, SystemVariant } from '../system.js';

/** The defects of A5.3 that are in ioasid.c itself. */
const DEFECTS: readonly Race[] = [
  D_A5_1,
  D_A5_2,
  D_A5_3,
  D_A5_3B,
  D_A5_4,
  D_A5_5,
  D_A5_6,
  D_A5_7,
  D_A5_8,
  D_A5_9,
  S6,
];

/** Their variants whose names begin so. */
function tried(races: readonly Race[], ...begins: readonly string[]): SystemVariant['tried'] {
  return races.flatMap((race) =>
    race.variants
      .filter(({ name }) => begins.some((begin) => name.startsWith(begin)))
      .map(({ name }) => ({ race, variant: name })),
  );
}

export const IOASIDS: System = {
  id: 'ioasid',
  title: 'IOASID and PASID allocators',
  year: 2023,
  source: 'A5',
  variants: [
    {
      name: 'v5.5 to v6.3',
      about: 'ioasid.c: a default allocator, and custom ones that drivers register',
      tried: [
        ...tried(DEFECTS, 'bug', 'alone'),
        ...tried([K28, D_A5_10], 'bug'),
        ...tried([P_A5_5], 'fixed'),
      ],
    },
    {
      name: 'repaired',
      about: 'the same code without the defects: of the model, no kernel had it',
      tried: tried(DEFECTS, 'fixed'),
    },
    {
      name: 'simplified (posted in 2023)',
      about: 'one xarray, and no custom allocators',
      tried: tried([S7], 'bug', 'fixed'),
    },
    {
      name: 'v6.4 and later',
      about: 'one global PASID space, PASIDs attached per group',
      tried: [...tried([D_A5_10, P_A5_8], 'fixed'), ...tried([PASID_ATTACH], 'bug')],
    },
    {
      name: 'v7.2',
      about: 'what a page request finds is published after every device has it',
      tried: tried([PASID_ATTACH], 'fixed'),
    },
    {
      name: 'charged (left open)',
      about: 'shared PASIDs of userspace charged at allocation or at attach',
      tried: tried([P_A5_9], 'bug', 'fixed'),
    },
  ],
};
