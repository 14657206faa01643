/**
 * The ways to attach an auxiliary domain to a group, held against what the review of 2020 asked for.
 * Each cell is a search of every interleaving. Source: A4.3.
 */

import { EBUSY } from '../../machines/errno.js';
import {
  ALT_1,
  ALT_2,
  ALT_2_WHOLE,
  ALT_3,
  ALT_3_QUOTED,
  AUX_APIS,
  iommu_attach_group,
  iommu_get_domain_for_dev,
} from '../../machines/kernel/aux-domain.js';
import type { AuxApi, AuxCore } from '../../machines/kernel/aux-domain.js';
import {
  auxScenario,
  CALLER,
  fieldOf,
  tableOf,
  USERS,
  usersOf,
} from '../../machines/kernel/aux-scenario.js';
import type { AuxSetup, MemberSetup } from '../../machines/kernel/aux-scenario.js';
import { store } from '../../machines/kernel/memory.js';
import { VTD_5_10, VTD_5_11 } from '../../machines/kernel/vtd-aux.js';
import { auxK27 } from '../../machines/races/aux-k27.js';
import type { EntityView, Invariant, Scenario } from '../../machines/scenario.js';
import type { Thread } from '../../machines/step.js';
import { explore } from '../explore/explore.js';
import { table } from '../report/format.js';

/** One alternative held against one property. */
export interface AuxCell {
  /** `v3`, `ALT-1` */
  readonly alternative: string;
  readonly verdict: 'holds' | 'broken';
  /** Of a broken one: the rules, by id. */
  readonly by: readonly string[];
}

export interface AuxRow {
  /** `P-A4-1`; `K27` */
  readonly property: string;
  /** One line. */
  readonly asks: string;
  readonly cells: readonly AuxCell[];
}

type View = Readonly<Record<string, EntityView>>;

interface Property {
  readonly property: string;
  readonly asks: string;
  /** The rules that the alternative breaks, by search. */
  readonly broken: (api: AuxApi) => readonly string[];
}

/** Names that the PCI core has for something else: struct pci_dev's dma_alias_mask. */
const TAKEN_NAMES: readonly string[] = ['dma_alias'];

function searched(make: (api: AuxApi) => Scenario): Property['broken'] {
  return (api) => {
    const { verdict, counterexamples, withoutSchedule, cut } = explore(make(api));
    if (verdict === 'incomplete') throw new Error(`${api.name}: the search was cut: ${cut}`);
    return [...counterexamples.map(({ rule }) => rule), ...withoutSchedule];
  };
}

/** D1 is attached to g0, and what must hold at the end is looked at. */
function attaches(
  property: string,
  setup: Pick<AuxSetup, 'members' | 'parents'> & { readonly faults?: number },
  holds: (view: View) => boolean,
  then: (api: AuxApi, core: AuxCore) => Thread<void> = nothing,
) {
  return (api: AuxApi): Scenario => {
    const entities = [CALLER, 'g0', ...USERS];
    entities.push(...Object.keys(setup.parents), ...Object.keys(setup.members));
    const invariant: Invariant = { id: property, entities, when: 'end', holds };
    return auxScenario({
      name: `${property}, ${api.name}`,
      api,
      ...setup,
      caller: { ret: null },
      run: {
        'iommu_aux_attach_group(D1, g0)': function* (core) {
          yield* store(CALLER, 'ret', yield* api.attach(core, 'D1', 'g0'));
          yield* then(api, core);
        },
      },
      invariants: [invariant],
    });
  };
}

function* nothing(): Thread<void> {
  // Only the attach is looked at.
}

const ret = (view: View) => fieldOf(view, CALLER, 'ret');
const has = (view: View, parent: string) => Object.values(tableOf(view, parent)).includes('D1');
const in_g0 = (parent: string | null, iommu = false): MemberSetup => ({
  group: 'g0',
  parent,
  iommu,
});

const ALONE = { members: { m0: in_g0('p0') }, parents: { p0: true } };
const SUBDEVICE = { members: { m0: in_g0('p0', true) }, parents: { p0: true } };
const ONE_PARENT = { members: { m0: in_g0('p0'), m1: in_g0('p0') }, parents: { p0: true } };
const TWO_PARENTS = {
  members: { m0: in_g0('p0'), m1: in_g0('p1') },
  parents: { p0: true, p1: true },
};
const WRAPPED = { ...TWO_PARENTS, parents: { p0: true, p1: false } };
const PARENTLESS = { members: { m0: in_g0('p0'), m1: in_g0(null) }, parents: { p0: true } };

const PROPERTIES: readonly Property[] = [
  {
    property: 'P-A4-1',
    asks: 'every member is attached, and counts',
    broken: searched(
      attaches('P-A4-1', ONE_PARENT, (view) => ret(view) === 0 && usersOf(view, 'p0') === 2),
    ),
  },
  {
    property: 'P-A4-2',
    asks: 'members may have different parents',
    broken: searched(
      attaches(
        'P-A4-2',
        TWO_PARENTS,
        (view) => ret(view) === 0 && has(view, 'p0') && has(view, 'p1'),
      ),
    ),
  },
  {
    property: 'P-A4-2 wrapped',
    asks: 'a parent may be a PF or VF without FEAT_AUX',
    broken: searched(
      attaches(
        'P-A4-2',
        WRAPPED,
        (view) => ret(view) === 0 && has(view, 'p0') && fieldOf(view, 'p1', 'domain') === 'D1',
      ),
    ),
  },
  {
    property: 'P-A4-3',
    asks: 'iommu_get_domain_for_dev answers the domain',
    broken: searched(
      attaches(
        'P-A4-3',
        ALONE,
        (view) => ret(view) === 0 && fieldOf(view, CALLER, 'found') === 'D1',
        function* () {
          yield* store(CALLER, 'found', yield* iommu_get_domain_for_dev('m0'));
        },
      ),
    ),
  },
  {
    property: 'P-A4-4',
    asks: 'a second attach is answered -EBUSY',
    broken: searched(
      attaches(
        'P-A4-4',
        ALONE,
        (view) => ret(view) === 0 && fieldOf(view, CALLER, 'second') === -EBUSY,
        function* (api, core) {
          yield* store(CALLER, 'second', yield* api.attach(core, 'D2', 'g0'));
        },
      ),
    ),
  },
  {
    property: 'INV-36',
    asks: 'iommu_attach_group is refused then (D-A4-1)',
    broken: searched(
      attaches(
        'INV-36',
        SUBDEVICE,
        (view) => fieldOf(view, CALLER, 'second') !== 0,
        function* (_api, core) {
          yield* store(CALLER, 'second', yield* iommu_attach_group(core, 'D2', 'g0'));
        },
      ),
    ),
  },
  {
    property: 'P-A4-5',
    asks: 'a member without a parent is not ignored',
    broken: searched(attaches('P-A4-5', PARENTLESS, (view) => ret(view) !== 0)),
  },
  {
    property: 'P-A4-6',
    asks: 'a detach leaves nothing',
    broken: searched(
      attaches(
        'P-A4-6',
        TWO_PARENTS,
        (view) => !has(view, 'p0') && !has(view, 'p1') && fieldOf(view, 'g0', 'domain') === null,
        (api, core) => api.detach(core, 'D1', 'g0'),
      ),
    ),
  },
  {
    property: 'P-A4-7',
    asks: 'a failure undoes what was done',
    broken: searched(
      attaches(
        'P-A4-7',
        { ...TWO_PARENTS, faults: 1 },
        (view) => ret(view) === 0 || (!has(view, 'p0') && !has(view, 'p1')),
      ),
    ),
  },
  {
    property: 'P-A4-8',
    asks: 'dma_alias stays a word of PCI',
    broken: (api) => (api.adds.some((name) => TAKEN_NAMES.includes(name)) ? ['P-A4-8'] : []),
  },
  {
    property: 'K27',
    asks: 'members that share a parent, v5.10',
    broken: searched((api) => auxK27(api, 'one group', VTD_5_10)),
  },
  {
    property: 'K27 groups',
    asks: 'groups that share a parent, v5.10',
    broken: searched((api) => auxK27(api, 'two groups', VTD_5_10)),
  },
  {
    property: 'K27 parents',
    asks: 'members with different parents, v5.10',
    broken: searched((api) => auxK27(api, 'two parents', VTD_5_10)),
  },
  {
    property: 'K27 v5.11',
    asks: 'members that share a parent, v5.11',
    broken: searched((api) => auxK27(api, 'one group', VTD_5_11)),
  },
];

/** Every alternative held against every property. */
export function auxAlternatives(apis: readonly AuxApi[] = AUX_APIS): readonly AuxRow[] {
  return PROPERTIES.map(({ property, asks, broken }) => ({
    property,
    asks,
    cells: apis.map((api): AuxCell => {
      const by = broken(api);
      return { alternative: api.name, verdict: by.length === 0 ? 'holds' : 'broken', by };
    }),
  }));
}

const WIDTH = 80;

/** What an alternative is called above its column. */
const HEADS: Readonly<Record<string, string>> = {
  [ALT_1.name]: 'A1',
  [ALT_2.name]: 'A2',
  [ALT_3_QUOTED.name]: 'A3q',
  [ALT_3.name]: 'A3',
  [ALT_2_WHOLE.name]: 'A2w',
};

/** The table, with `-` where a property does not hold, and how the columns are to be read. */
export function auxAlternativesText(rows: readonly AuxRow[] = auxAlternatives()): string {
  const names = rows[0].cells.map(({ alternative }) => alternative);
  const lines = table(
    [
      ['', ...names.map((name) => HEADS[name] ?? name), ''],
      ...rows.map(({ property, asks, cells }) => [
        property,
        ...cells.map(({ verdict, by }) =>
          verdict === 'holds' ? '+' : by.includes('deadlock') ? 'dead' : '-',
        ),
        asks,
      ]),
    ],
    WIDTH,
  );
  const read = names.filter((name) => name in HEADS).map((name) => `${HEADS[name]} ${name}`);
  return `${[...lines, '', '+ holds, - broken, dead: deadlock', read.join(', ')].join('\n')}\n`;
}
