/**
 * An entry of the PASID table changed by the CPU while the IOMMU fetches it. Source: D K26, A2.3.
 */

import type { Entry, TableEntryReply } from '../table-entry.js';
import { tableEntryMachine } from '../table-entry.js';
import type { Scenario } from '../scenario.js';
import { choose, send } from '../step.js';
import type { Thread } from '../step.js';
import { race } from './race.js';
import type { Race } from './race.js';

const ENTRY = 'pasid_entry';
const OLD: Entry = { P: 1, a: 'old', b: 'old' };
const NEW: Entry = { P: 1, a: 'new', b: 'new' };

export const K26: Race = race({
  id: 'K26',
  title: 'Torn multi-word entry (hardware reader)',
  story:
    'A PASID entry has several words, and the IOMMU fetches them one after another, whenever a device uses the PASID. The CPU overwrites an entry that is present, or zeroes it word by word: the IOMMU gets half of what was and half of what is, and takes it for an entry, because it is present. The fix clears the present bit, has the entry invalidated, which waits for fetches in flight, and only then writes the rest; the present bit is set last.',
  commits: [
    {
      id: 'c3b1edea3791',
      subject: 'iommu/vt-d: Fix race condition during PASID entry replacement',
      since: 'v7.0',
      cve: 'CVE-2026-45945',
    },
    {
      id: '75ed00055c05',
      subject: 'iommu/vt-d: Clear Present bit before tearing down PASID entry',
      since: 'v7.0',
      cve: 'CVE-2026-45894',
    },
  ],
  source: 'D K26, A2.3, INV-28',
  variants: [
    {
      name: 'bug: replaced while present',
      expected: 'violated',
      breaks: ['INV-28'],
      kernel: 'v6.19',
      make: () => scenarioOf('CPU replaces', replaceInPlace),
    },
    {
      name: 'bug: zeroed while present',
      expected: 'violated',
      breaks: ['INV-28'],
      kernel: 'v6.19',
      make: () => scenarioOf('CPU tears down', zeroInPlace),
    },
    {
      name: 'fixed: replaced',
      expected: 'clean',
      kernel: 'c3b1edea3791 (v7.0)',
      make: () =>
        scenarioOf('CPU replaces', function* () {
          yield* clearPresent();
          yield* store('a', NEW.a);
          yield* store('b', NEW.b);
          yield* store('P', NEW.P);
        }),
    },
    {
      name: 'fixed: zeroed',
      expected: 'clean',
      kernel: '75ed00055c05 (v7.0)',
      make: () =>
        scenarioOf('CPU tears down', function* () {
          yield* clearPresent();
          yield* store('a', 0);
          yield* store('b', 0);
        }),
    },
  ],
});

/** *pte = new_pte */
function* replaceInPlace(): Thread<void> {
  yield* store('P', NEW.P);
  yield* store('a', NEW.a);
  yield* store('b', NEW.b);
  yield* invalidate();
}

/** pasid_clear_entry */
function* zeroInPlace(): Thread<void> {
  yield* store('P', 0);
  yield* store('a', 0);
  yield* store('b', 0);
  yield* invalidate();
}

function* clearPresent(): Thread<void> {
  yield* store('P', 0);
  yield* invalidate();
}

function* store(word: string, value: string | number): Thread<void> {
  yield* send(ENTRY, { type: 'store', word, value }, `${ENTRY}->${word} = ${value}`);
}

function* invalidate(): Thread<void> {
  yield* send(ENTRY, { type: 'invalidate' }, 'invalidate PASID cache, wait');
}

/** One walk. The word with the present bit comes first, the others in any order. */
function* fetches(): Thread<void> {
  if ((yield* fetch('P')) === 0) return;
  const order = yield* choose(['a, b', 'b, a'], 'next chunks');
  for (const word of order.split(', ')) yield* fetch(word);
}

function* fetch(word: string): Thread<string | number> {
  const reply = yield* send<TableEntryReply>(ENTRY, { type: 'fetch', word }, `fetch ${word}`);
  return reply.value;
}

function scenarioOf(what: string, cpu: () => Thread<void>): Scenario {
  return {
    name: 'K26',
    story: K26.story,
    entities: { [ENTRY]: { machine: tableEntryMachine, input: { entry: OLD, whole: [OLD, NEW] } } },
    threads: { [what]: cpu, 'IOMMU fetches': fetches },
  };
}
