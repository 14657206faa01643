/** The MSI API of 2016 and what was merged instead. Source: A2. */

import { D_A2_1 } from '../races/d-a2-1.js';
import { D_A2_2 } from '../races/d-a2-2.js';
import { D_A2_3 } from '../races/d-a2-3.js';
import { K25 } from '../races/k25.js';
import { S4 } from '../races/s4.js';
import { S5 } from '../races/s5.js';
import type { System } from '../system.js';

export const MSI: System = {
  id: 'msi',
  title: 'MSI aperture and doorbells',
  year: 2016,
  source: 'A2',
  variants: [
    {
      name: 'as posted (v8)',
      about: 'start and end stay 0; a private flag says that the aperture is set',
      tried: [
        { race: D_A2_1, variant: 'bug' },
        { race: D_A2_2, variant: 'bug' },
        { race: D_A2_3, variant: 'bug' },
        { race: S5, variant: 'bug' },
      ],
    },
    {
      name: 'v9 and later',
      about: 'the aperture is in the geometry, start >= end is invalid, it is set once',
      tried: [
        { race: S4, variant: 'bug: start first, and loaded first' },
        { race: S4, variant: 'bug: a struct copy' },
        { race: S4, variant: 'bug: two callers' },
        { race: D_A2_1, variant: 'bug: last posting' },
        { race: D_A2_2, variant: 'bug: v9' },
        { race: D_A2_2, variant: 'fixed' },
        { race: D_A2_3, variant: 'bug: last posting' },
        { race: D_A2_3, variant: 'right: put_doorbell_iova' },
        { race: S5, variant: 'bug: last posting' },
        { race: K25, variant: 'bug: iommu_msi_domain of 2016' },
      ],
    },
    {
      name: 'the right order, proposed in review',
      about: 'which orders, encodings and locks make an aperture valid or invalid, never wrong',
      tried: [
        { race: S4, variant: 'bug: end first' },
        { race: S4, variant: 'bug: words in halves' },
        { race: S4, variant: 'fixed: end is loaded first' },
        { race: S4, variant: 'fixed: (MAX, 0) is not set' },
        { race: S4, variant: 'fixed: seqcount' },
        { race: S4, variant: 'fixed: callers serialise' },
      ],
    },
    {
      name: 'repaired',
      about: 'the last posting without the defects that it still has',
      tried: [
        { race: D_A2_1, variant: 'fixed: the error is looked at' },
        { race: D_A2_3, variant: 'fixed: unmapped first' },
        { race: S5, variant: 'fixed: unmapped first' },
      ],
    },
    {
      name: 'successor (v4.11)',
      about: 'one base for the cookie of an UNMANAGED domain; pages from there on',
      tried: [
        { race: K25, variant: 'bug' },
        { race: K25, variant: 'half fixed' },
      ],
    },
    {
      name: 'successor (v6.15)',
      about: 'the IOVA is in the descriptor, prepared under group->mutex',
      tried: [{ race: K25, variant: 'fixed' }],
    },
  ],
};
