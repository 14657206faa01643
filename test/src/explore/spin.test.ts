/**
 * The Promela models that the benchmark gives to SPIN are the storm: without reduction as many
 * states and transitions, always as many final states that break a rule. Skipped without SPIN.
 */

import { describe, expect, test } from 'vitest';
import { searchStorm, wrongFinals } from '../../bench/spin/hotrace-storm.js';
import { runPan, spinIsThere } from '../../bench/spin/pan.js';
import type { StormModel } from '../../bench/spin/pan.js';

const limit = 60;
const optimise = '-O0';
/** Final states of a device: 4 in which somebody heard something wrong, 1 in which nobody did. */
const finals = (devices: number) => 5 ** devices;

describe.skipIf(!spinIsThere())('the storm in Promela', () => {
  const models: readonly StormModel[] = [
    [],
    ['SPLIT_COUNT'],
    ['COLLAPSED'],
    ['COLLAPSED', 'SPLIT_COUNT'],
  ];
  test.each([1, 2])('of %i: all models have the final states of hotrace', (devices) => {
    const wrong = wrongFinals(devices, 'remembers');
    expect(wrong).toBe(finals(devices) - 1);
    for (const model of models) {
      for (const unreduced of [true, false]) {
        const run = runPan({ model, devices, unreduced, limit, optimise });
        expect(run).toMatchObject({ cut: undefined, wrongFinals: wrong });
      }
    }
  });

  test.each([1, 2])('of %i: step for step, the same states and transitions', (devices) => {
    const { states, transitions } = searchStorm(devices, 'remembers', false).stats;
    for (const model of models.filter((model) => !model.includes('COLLAPSED'))) {
      const run = runPan({ model, devices, unreduced: true, limit, optimise });
      expect(run.states).toBe(states);
      // SPIN counts the first state, and a step of the monitor in every final state.
      expect(run.transitions).toBe(transitions + 1 + finals(devices));
    }
  });
});
