/** Auxiliary domains of groups, 2020. Source: A4. */

import { AUX_K27 } from '../races/aux-k27.js';
import { D_A4_1 } from '../races/d-a4-1.js';
import { D_A4_2 } from '../races/d-a4-2.js';
import { D_A4_3 } from '../races/d-a4-3.js';
import { K27 } from '../races/k27.js';
import { S9 } from '../races/s9.js';
import type { System } from '../system.js';

export const AUX: System = {
  id: 'aux',
  title: 'Auxiliary domains attached to groups of mediated devices',
  year: 2020,
  source: 'A4',
  variants: [
    {
      name: 'v5.10',
      about: 'VFIO walks the group and attaches each parent; group->domain stays NULL',
      tried: [
        { race: K27, variant: 'bug: one node added twice' },
        { race: AUX_K27, variant: 'bug: v5.10, one group' },
        { race: D_A4_3, variant: 'bug: attached again, v5.10' },
        { race: S9, variant: 'bug: v5.10' },
        { race: S9, variant: 'bug: reset, freed before its entry' },
      ],
    },
    {
      name: 'v5.11',
      about: 'the driver counts how often a domain is attached to a parent',
      tried: [
        { race: K27, variant: 'fixed: users of a pair are counted' },
        { race: AUX_K27, variant: 'fixed: v5.10, one group' },
        { race: D_A4_3, variant: 'bug: attached again, v5.11' },
        { race: S9, variant: 'bug: v5.11' },
      ],
    },
    {
      name: 'as posted (v3)',
      about: 'iommu_aux_attach_group(domain, group, dev): one parent for all members',
      tried: [
        { race: D_A4_1, variant: 'bug: v3' },
        { race: D_A4_1, variant: 'refused by the driver: members behind no IOMMU' },
        { race: AUX_K27, variant: 'v3: one group' },
        { race: AUX_K27, variant: 'bug: v3, two groups' },
        { race: AUX_K27, variant: 'fixed: v3, two groups' },
      ],
    },
    {
      name: 'as posted (v2)',
      about: 'the guard of iommu_attach_group, on the call of v3',
      tried: [{ race: D_A4_1, variant: 'fixed: the guard of v2' }],
    },
    {
      name: 'ALT-1 lookup callback',
      about: 'the caller tells how the parent of a member is found',
      tried: [
        { race: AUX_K27, variant: 'bug: ALT-1, one group' },
        { race: AUX_K27, variant: 'bug: ALT-1, two parents' },
        { race: AUX_K27, variant: 'fixed: ALT-1, one group' },
        { race: AUX_K27, variant: 'fixed: ALT-1, two parents' },
      ],
    },
    {
      name: 'ALT-2 iommu_attach_group_with_lookup',
      about: 'the same, and a parent without FEAT_AUX is attached as any device',
      tried: [
        { race: AUX_K27, variant: 'bug: ALT-2, one group' },
        { race: AUX_K27, variant: 'fixed: ALT-2, one group' },
        { race: AUX_K27, variant: 'bug: ALT-2, whole, one group' },
        { race: AUX_K27, variant: 'fixed: ALT-2, whole, one group' },
      ],
    },
    {
      name: 'ALT-3 dma_alias in group_device',
      about: 'the parent is told when a member joins its group',
      tried: [
        { race: D_A4_2, variant: 'bug: as quoted' },
        { race: D_A4_2, variant: 'fixed: the field of group_device, and its errors' },
        { race: AUX_K27, variant: 'bug: ALT-3, one group' },
        { race: AUX_K27, variant: 'fixed: ALT-3, one group' },
      ],
    },
    {
      name: 'proposed in January 2022',
      about: 'default_pasid is reset when the PASID is freed',
      tried: [
        { race: D_A4_3, variant: 'fixed: default_pasid is reset' },
        { race: S9, variant: 'fixed: reset, freed after its entry' },
      ],
    },
  ],
};
