/**
 * The five rules of the comment in drivers/iommu/ioasid.c, held against the code with custom
 * allocators as it shipped, the same code repaired, and the xarray that was posted in their place.
 * Each cell is a search of every interleaving of drivers that behave. Source: A5.1, A5.3, A5.4.
 */

import { AS_SHIPPED, INVALID_IOASID, REPAIRED } from '../../machines/kernel/ioasid.js';
import type { IoasidCode } from '../../machines/kernel/ioasid.js';
import {
  allocates,
  frees,
  ioasidScenario,
  registers,
  unregisters,
} from '../../machines/kernel/ioasid-scenario.js';
import type { IoasidSetup } from '../../machines/kernel/ioasid-scenario.js';
import type { IoasidCheck } from '../../machines/kernel/ioasid-invariants.js';
import { ioasid_alloc, ioasid_free } from '../../machines/kernel/ioasid-xarray.js';
import { ioasidXarrayScenario } from '../../machines/kernel/ioasid-xarray-scenario.js';
import { store } from '../../machines/kernel/memory.js';
import { struct } from '../../machines/object.js';
import type { ObjectMemory } from '../../machines/object.js';
import type { Scenario } from '../../machines/scenario.js';
import type { Thread } from '../../machines/step.js';
import { explore } from '../explore/explore.js';
import { table } from '../report/format.js';

export type IoasidVersion = 'as shipped' | 'repaired' | 'simplified';

export interface RuleCell {
  readonly version: IoasidVersion;
  /** `no allocators`: there is nothing that the rule speaks of. */
  readonly verdict: 'holds' | 'broken' | 'no allocators';
  /** The defects of A5.3 by which it is broken. */
  readonly by: readonly string[];
}

export interface RuleRow {
  readonly rule: 1 | 2 | 3 | 4 | 5;
  /** One line. */
  readonly says: string;
  readonly cells: readonly RuleCell[];
}

/** What drivers and those who allocate do, and the defect that it meets where it breaks the rule. */
interface Program {
  readonly defect: string;
  readonly setup: Omit<IoasidSetup, 'name' | 'code' | 'checks'>;
}

const SHARED = { opsA: { pdata: 'iommu0' }, opsB: { pdata: 'iommu1' } };
const APART = { opsA: { pdata: 'iommu0' }, opsB: { helpers: 'smc', pdata: 'iommu1' } };

/** Somebody allocates and gives back what it gets. */
const USES: IoasidSetup['run'] = {
  *'ioasid_alloc, ioasid_free'(a): Thread<void> {
    const id = yield* allocates(a);
    if (id !== INVALID_IOASID) yield* frees(a, id);
  },
};

const COMES_AND_GOES: Program = {
  defect: 'D-A5-5',
  setup: {
    ops: APART,
    registered: [],
    run: {
      *'driver A: probe, remove'(a) {
        if ((yield* registers(a, 'opsA')) === 0) yield* unregisters(a, 'opsA');
      },
      ...USES,
    },
  },
};

/** The next allocator has helpers of its own. */
const NEXT_TAKES_OVER: Program = {
  defect: 'D-A5-8',
  setup: {
    ops: APART,
    registered: [['opsA'], ['opsB']],
    run: { 'driver A: remove': (a) => unregisters(a, 'opsA'), ...USES },
  },
};

/** The last one goes while an IOASID is outstanding. */
const LAST_GOES: Program = {
  defect: 'D-A5-6',
  setup: {
    ops: { opsA: { pdata: 'iommu0' } },
    registered: [['opsA']],
    held: [1],
    run: {
      'driver A: remove': (a) => unregisters(a, 'opsA'),
      ioasid_free: (a) => frees(a, 1),
    },
  },
};

/** The first comes while an IOASID of the default allocator is outstanding. */
const FIRST_COMES: Program = {
  defect: 'D-A5-3b',
  setup: {
    ops: { opsA: { pdata: 'iommu0' } },
    held: [1],
    run: {
      'driver A: probe': (a) => registers(a, 'opsA'),
      ioasid_free: (a) => frees(a, 1),
    },
  },
};

/** One of two sharers goes, with its memory, while IOASIDs are outstanding. */
const SHARER_GOES: Program = {
  defect: 'D-A5-3',
  setup: {
    ops: SHARED,
    registered: [['opsA', 'opsB']],
    held: [1],
    run: {
      'driver A: remove': (a) => unregisters(a, 'opsA', 'opsA'),
      ioasid_free: (a) => frees(a, 1),
    },
  },
};

interface RuleOf {
  readonly rule: RuleRow['rule'];
  readonly says: string;
  readonly checks: readonly IoasidCheck[];
  readonly programs: readonly Program[];
}

const RULES: readonly RuleOf[] = [
  {
    rule: 1,
    says: 'the default allocator is always available',
    checks: ['rule 1'],
    programs: [COMES_AND_GOES, NEXT_TAKES_OVER],
  },
  {
    rule: 2,
    says: 'custom allocators take precedence',
    checks: ['rule 2'],
    programs: [COMES_AND_GOES, NEXT_TAKES_OVER, FIRST_COMES],
  },
  {
    rule: 3,
    says: 'none is outstanding when the last sharer goes',
    checks: ['rule 3'],
    programs: [LAST_GOES],
  },
  {
    rule: 4,
    says: 'a switch between sharers preserves IOASIDs',
    checks: ['rule 3', 'rule 4'],
    programs: [SHARER_GOES],
  },
  {
    rule: 5,
    says: 'custom and default are switched when empty',
    checks: ['rule 5'],
    programs: [FIRST_COMES, LAST_GOES],
  },
];

function custom(code: IoasidCode, { checks, programs, rule }: RuleOf): readonly string[] {
  return programs
    .filter(({ setup }) => {
      return isBroken(ioasidScenario({ name: `rule ${rule}`, ...setup, code, checks }));
    })
    .map(({ defect }) => defect);
}

/** Rule 1 of the xarray: whoever asks for an id while there is one is given it. */
function alwaysAvailable(): Scenario {
  const x = { idIsSet: 'after xa_alloc' } as const;
  const uses = (caller: string) =>
    function* (): Thread<void> {
      const id = yield* ioasid_alloc(x, null, 1, 2, null);
      yield* store(caller, 'id', id);
      if (id !== INVALID_IOASID) yield* ioasid_free(x, id);
    };
  const callers = ['a', 'b'];
  return ioasidXarrayScenario({
    name: 'rule 1',
    entities: Object.fromEntries(callers.map((each) => [each, struct({ fields: { id: 0 } })])),
    threads: Object.fromEntries(callers.map((each) => [`${each}: ioasid_alloc`, uses(each)])),
    invariants: [
      {
        id: 'INV-38',
        entities: callers,
        holds: (view) =>
          callers.every(
            (each) => (view[each].context as ObjectMemory).fields.id !== INVALID_IOASID,
          ),
      },
    ],
  });
}

function isBroken(scenario: Scenario): boolean {
  const { verdict, cut } = explore(scenario);
  if (verdict === 'incomplete') throw new Error(`${scenario.name}: the search was cut: ${cut}`);
  return verdict === 'violated';
}

/** Each rule held against each version. */
export function ioasidRules(): readonly RuleRow[] {
  return RULES.map((rule) => {
    const cell = (version: IoasidVersion, by: readonly string[]): RuleCell => ({
      version,
      verdict: by.length === 0 ? 'holds' : 'broken',
      by,
    });
    const simplified: RuleCell =
      rule.rule === 1
        ? cell('simplified', isBroken(alwaysAvailable()) ? ['A5.4'] : [])
        : { version: 'simplified', verdict: 'no allocators', by: [] };
    return {
      rule: rule.rule,
      says: rule.says,
      cells: [
        cell('as shipped', custom(AS_SHIPPED, rule)),
        cell('repaired', custom(REPAIRED, rule)),
        simplified,
      ],
    };
  });
}

const WIDTH = 80;

/** The table. */
export function ioasidRulesText(rows: readonly RuleRow[] = ioasidRules()): string {
  const heads = rows[0].cells.map(({ version }) => version);
  const shown = ({ verdict, by }: RuleCell) =>
    verdict === 'broken' ? `broken by ${by.join(', ')}` : verdict;
  const lines = table(
    [
      ['rule', ...heads, ''],
      ...rows.map(({ rule, says, cells }) => [String(rule), ...cells.map(shown), says]),
    ],
    WIDTH,
  );
  return `${lines.join('\n')}\n`;
}
