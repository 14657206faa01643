/** The table of an interleaving: any names, any number of threads. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { ScheduledStep } from '../../../src/explore/schedule.js';
import { printable } from '../../../src/report/format.js';
import { interleavingTable } from '../../../src/report/interleaving-table.js';

function step(thread: string, what: string): ScheduledStep {
  const rest = { number: 1, entity: 'e', event: { type: 'x' }, reply: undefined };
  return { thread, what, preempts: false, ...rest };
}

const dense = (text: string) => text.replace(/\s+/g, '');

/** What stands in each column of the head, without blanks: `CPU0:name`. */
function heads(lines: readonly string[], ruled: number): string[] {
  const starts = [...lines[0].matchAll(/CPU\d+:/g)].map(({ index }) => index);
  return starts.map((start, n) =>
    dense(
      lines
        .slice(0, ruled)
        .map((line) => line.slice(start, starts[n + 1]))
        .join(''),
    ),
  );
}

const word = fc.oneof(
  fc.stringMatching(/^[a-z]{1,12}(_[a-z]{1,9}){0,9}$/),
  fc.stringMatching(/^[a-z]{30,120}$/),
  fc.string({ minLength: 1, maxLength: 12, unit: 'binary' }),
);
const name = fc
  .array(word, { minLength: 1, maxLength: 6 })
  .map((words) => words.join(' '))
  // A head or a rule within a name could not be told from the table's own.
  .filter((text) => !/CPU\d|^-+$/.test(text) && dense(printable(text)) !== '');

test('no line is longer than an e-mail has room for, and nothing is lost', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(name, { minLength: 1, maxLength: 6, selector: (t) => dense(printable(t)) }),
      fc.array(fc.tuple(fc.nat(), name), { maxLength: 8 }),
      (threads, made) => {
        const steps = [
          ...threads.map((thread) => step(thread, 'begins')),
          ...made.map(([n, what]) => step(threads[n % threads.length], what)),
        ];
        const lines = interleavingTable(steps);
        for (const line of lines) {
          expect(line.length).toBeLessThanOrEqual(72);
          expect(line).toBe(line.trimEnd());
        }
        const ruled = lines.findIndex((line) => /^-[- ]*$/.test(line));
        const wanted = threads.map((thread, cpu) => `CPU${cpu}:${dense(printable(thread))}`);
        const columns = heads(lines, ruled);
        if (threads.length < 4) expect(columns).toEqual(wanted);
        else expect(dense(lines.slice(0, ruled).join(''))).toBe(wanted.join(''));
        const body = lines.slice(ruled + 1).map((line) => line.replace(/^CPU\d+ +/, ''));
        expect(dense(body.join(''))).toBe(dense(steps.map(({ what }) => printable(what)).join('')));
      },
    ),
  );
});

test('names are broken between their parts', () => {
  const threads = [
    'iommu_group_add_device(g0, d0)',
    'iommu_group_remove_device(d0)',
    'vfio_group_fops_open(g0)',
  ];
  const steps = threads.map((thread) => step(thread, 'notify ADD_DEVICE d0  -> listener l0'));
  expect(interleavingTable(steps).join('\n')).toBe(`\
CPU0: iommu_group_    CPU1: iommu_group_    CPU2: vfio_group_fops_open(
  add_device(g0, d0)    remove_device(d0)     g0)
--------------------  -------------------   ---------------------------
notify ADD_DEVICE d0  -> listener l0
                      notify ADD_DEVICE d0  -> listener l0
                                            notify ADD_DEVICE d0  ->
                                              listener l0`);
});
