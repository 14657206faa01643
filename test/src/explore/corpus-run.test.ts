/** The judgement of a variant: it must be able to go wrong. */

import { describe, expect, test } from 'vitest';
import { raceById, variantByName } from '../../../machines/races/corpus.js';
import type { RaceVariant } from '../../../machines/races/race.js';
import { send } from '../../../machines/step.js';
import { judge, runVariant } from '../../../src/explore/corpus-run.js';

const S1 = raceById('S1')!;
const bug = variantByName(S1, 'bug')!;
const fixed = variantByName(S1, 'fixed: second mutex')!;
/** One that is expected to be what another is. */
const as = (variant: RaceVariant, other: Partial<RaceVariant>): RaceVariant => ({
  ...variant,
  ...other,
});

describe('judge', () => {
  test('a bug that is found, with what else was found', () => {
    const run = runVariant(S1, bug);
    expect(run).toMatchObject({
      asExpected: true,
      why: undefined,
      found: ['INV-01', 'INV-03'],
      others: ['INV-03'],
    });
    expect(run.exploration.scenario).toBe('S1/bug');
  });

  test.each([
    ['a bug with other rules', as(bug, { breaks: ['INV-24'] }), {}, 'INV-01, INV-03 broken'],
    [
      'a fix that does not hold',
      as(fixed, { make: () => bug.make() }),
      {},
      'INV-01, INV-03 broken',
    ],
    ['a bug that is not there', as(bug, { make: () => fixed.make() }), {}, 'no rule is broken'],
    [
      'a fix that was not searched to the end',
      fixed,
      { bounds: { states: 2 } },
      'the search was cut by its bound on states',
    ],
    [
      'a bug that was not found before the bound',
      bug,
      { bounds: { states: 2 } },
      'the search was cut by its bound on states',
    ],
  ])('%s is not as expected', (_, variant, options, why) => {
    const run = runVariant(S1, variant, options);
    expect([run.asExpected, run.why]).toEqual([false, why]);
  });

  test('a schedule that plain xstate does not confirm proves nothing', () => {
    const { exploration } = runVariant(S1, bug);
    const counterexamples = exploration.counterexamples.map((each) => ({
      ...each,
      confirmed: false,
    }));
    expect(judge(bug, { ...exploration, counterexamples })).toMatchObject({
      asExpected: false,
      why: 'the schedule is not confirmed by a run through plain xstate',
    });
  });

  test('an error names the variant', () => {
    function* astray() {
      yield* send('nowhere', { type: 'read' });
    }
    const faulty = as(bug, { make: () => ({ ...bug.make(), threads: { astray } }) });
    expect(() => runVariant(S1, faulty)).toThrow(/^S1\/bug: .*nowhere/);
  });
});
