/** K27 through every call that attaches an auxiliary domain to a group. Source: A4.3, K27. */

import { ALT_1, ALT_2, ALT_2_WHOLE, ALT_3, V3, VFIO_5_10 } from '../kernel/aux-domain.js';
import type { AuxApi } from '../kernel/aux-domain.js';
import { auxScenario } from '../kernel/aux-scenario.js';
import type { AuxSetup } from '../kernel/aux-scenario.js';
import { VTD_5_10, VTD_5_11 } from '../kernel/vtd-aux.js';
import type { VtdCode } from '../kernel/vtd-aux.js';
import type { Scenario } from '../scenario.js';
import { race } from './race.js';
import type { Race, RaceVariant } from './race.js';

/** Two members of one group share a parent; of two groups; of one group have a parent each. */
export type Sharing = 'one group' | 'two groups' | 'two parents';

export const SHARING: Readonly<Record<Sharing, Pick<AuxSetup, 'members' | 'parents'>>> = {
  'one group': {
    members: { m0: { group: 'g0', parent: 'p0' }, m1: { group: 'g0', parent: 'p0' } },
    parents: { p0: true },
  },
  'two groups': {
    members: { m0: { group: 'g0', parent: 'p0' }, m1: { group: 'g1', parent: 'p0' } },
    parents: { p0: true },
  },
  'two parents': {
    members: { m0: { group: 'g0', parent: 'p0' }, m1: { group: 'g0', parent: 'p1' } },
    parents: { p0: true, p1: true },
  },
};

const WALKERS: readonly AuxApi[] = [VFIO_5_10, ALT_1, ALT_2, ALT_3, ALT_2_WHOLE];

export const AUX_K27: Race = race({
  id: 'A4.3',
  title: 'K27 through the calls for a group',
  story:
    'Each alternative that goes over the members of a group attaches the domain to a parent once for each of them. Two members with one parent attach it twice, which the driver of v5.10 does not bear; nor does it bear two members with a parent each, because a domain has one node for all lists. The call that was posted attaches once for a group, and meets the same as soon as a parent has subdevices in two groups.',
  commits: [
    {
      id: '18abda7a2d55',
      subject: 'iommu/vt-d: Fix general protection fault in aux_detach_device()',
      since: 'v5.11',
    },
  ],
  source: 'A4.3, D K27, INV-30',
  variants: [
    ...WALKERS.map((api) => variant(api, 'one group', VTD_5_10)),
    variant(ALT_1, 'two parents', VTD_5_10),
    variant(V3, 'two groups', VTD_5_10),
    { ...variant(V3, 'one group', VTD_5_10), expected: 'clean', breaks: [], name: 'v3: one group' },
    ...WALKERS.map((api) => variant(api, 'one group', VTD_5_11)),
    variant(ALT_1, 'two parents', VTD_5_11),
    variant(V3, 'two groups', VTD_5_11),
  ],
});

function variant(api: AuxApi, sharing: Sharing, vtd: VtdCode): RaceVariant {
  const counted = vtd.links === 'counted';
  return {
    name: `${counted ? 'fixed' : 'bug'}: ${api.name}, ${sharing}`,
    expected: counted ? 'clean' : 'violated',
    ...(counted ? {} : { breaks: ['INV-30'] }),
    kernel: counted ? '18abda7a2d55 (v5.11)' : 'v5.10',
    make: () => auxK27(api, sharing, vtd),
  };
}

/** Attaches one domain to each group, and detaches it. */
export function auxK27(api: AuxApi, sharing: Sharing, vtd: VtdCode): Scenario {
  const groups = sharing === 'two groups' ? ['g0', 'g1'] : ['g0'];
  return auxScenario({
    name: 'A4.3',
    story: AUX_K27.story,
    api,
    vtd,
    ...SHARING[sharing],
    run: {
      'attach, detach': function* (core) {
        for (const group of groups) yield* api.attach(core, 'D1', group);
        for (const group of groups) yield* api.detach(core, 'D1', group);
      },
    },
  });
}
