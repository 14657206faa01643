/** A PASID that is given to another domain while an auxiliary domain still uses it. Source: S9. */

import {
  iommu_aux_attach_device,
  iommu_aux_detach_device,
  VFIO_5_10,
} from '../kernel/aux-domain.js';
import { auxScenario, pasidsOwned } from '../kernel/aux-scenario.js';
import { VTD_5_10, VTD_5_11, VTD_REPAIRED } from '../kernel/vtd-aux.js';
import type { VtdCode } from '../kernel/vtd-aux.js';
import type { Scenario } from '../scenario.js';
import { race } from './race.js';
import type { Race } from './race.js';

/** default_pasid reset, and still freed before the entry is torn down. */
const RESET_5_10: VtdCode = { ...VTD_5_10, resetsPasid: true };

export const S9: Race = race({
  id: 'S9',
  title: 'PASID of an auxiliary domain reused after it was freed',
  story:
    'Two guests use subdevices of two parents. One detaches its domain and attaches it again, with the PASID that it has freed; the other attaches its own meanwhile and is given the same one. DMA of one guest goes through the tables of the other, and whoever detaches first takes the entry of both. In v5.10 the PASID is free even before its entry is torn down.',
  commits: [],
  source: 'D S9, D-A4-3, INV-31',
  variants: [
    {
      name: 'bug: v5.10',
      expected: 'violated',
      breaks: ['INV-31'],
      kernel: 'v5.10',
      make: () => scenarioOf(VTD_5_10),
    },
    {
      name: 'bug: v5.11',
      expected: 'violated',
      breaks: ['INV-31'],
      kernel: 'v5.11 to v5.17',
      make: () => scenarioOf(VTD_5_11),
    },
    {
      name: 'bug: reset, freed before its entry',
      expected: 'violated',
      breaks: ['INV-31'],
      kernel: 'v5.10 with default_pasid reset',
      make: () => scenarioOf(RESET_5_10),
    },
    {
      name: 'fixed: reset, freed after its entry',
      expected: 'clean',
      kernel: 'proposed in January 2022, on v5.11',
      make: () => scenarioOf(VTD_REPAIRED),
    },
  ],
});

function scenarioOf(vtd: VtdCode): Scenario {
  return auxScenario({
    name: 'S9',
    story: S9.story,
    api: VFIO_5_10,
    vtd,
    members: { m0: { group: 'g0', parent: 'p0' }, m1: { group: 'g1', parent: 'p1' } },
    parents: { p0: true, p1: true },
    attached: { D1: { group: 'g0', parent: 'p0' } },
    run: {
      'guest 1: detach, attach': function* (core) {
        yield* iommu_aux_detach_device(core, 'D1', 'p0');
        yield* iommu_aux_attach_device(core, 'D1', 'p0');
      },
      'guest 2: attach': (core) => iommu_aux_attach_device(core, 'D2', 'p1'),
    },
    invariants: [pasidsOwned(['p0', 'p1'], false)],
  });
}
