/** The matchers for vitest: what passes, what fails, and with which message. */

import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { EventFact } from '../../../events/event.js';
import { rule } from '../../../src/testing/own-rule.js';
import '../../../src/testing/vitest.js';
import { ROOT } from '../cli/command.js';
import { counting, LATE_DRIVER, patch } from './small.js';

const V3_6 = { generations: ['v3.6'] };
const FOLDER = join(import.meta.dirname, '.hotrace-failures');
const clear = () => rmSync(FOLDER, { recursive: true, force: true });
beforeAll(clear);
afterAll(clear);

function failure(assertion: () => void): string {
  try {
    assertion();
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('it did not fail');
}

describe('toBeRaceFree', () => {
  test('passes where every interleaving was covered', () => {
    expect(patch('under a second mutex')).toBeRaceFree(V3_6);
    expect(patch('as posted')).not.toBeRaceFree(V3_6);
    expect(existsSync(FOLDER)).toBe(false);
  });

  test('fails with the table, the seed, the file and the command', () => {
    const message = failure(() => expect(patch('as posted')).toBeRaceFree({ ...V3_6, seed: 8 }));
    expect(message).toContain('CPU0: add             CPU1: remove');
    expect(message).toContain('notify ADD_DEVICE d0 -> listener vfio');
    expect(message).toContain('seed: 8\n');
    const name = 'toBeRaceFree fails with the table, the seed, the file and the command';
    expect(message).toContain(
      `again: HOTRACE_SEED=8 npx vitest run test/src/testing/matchers.test.ts -t '${name}'`,
    );
    expect(readdirSync(FOLDER)).toHaveLength(1);
    // Tried first the next time.
    const again = failure(() => expect(patch('as posted')).toBeRaceFree({ ...V3_6, seed: 8 }));
    expect(again).toContain('kept, and fails again: test/src/testing/.hotrace-failures/');
  });

  test('fails either way where not every interleaving was covered', () => {
    const few = { budget: { states: 3, runs: 5 } };
    const incomplete = /^not every interleaving was covered/m;
    expect(failure(() => expect(counting(3, 'one')).toBeRaceFree(few))).toMatch(incomplete);
    expect(failure(() => expect(counting(3, 'one')).not.toBeRaceFree(few))).toMatch(incomplete);
  });

  test('tells of a program the smallest that fails', () => {
    const message = failure(() =>
      expect(LATE_DRIVER).toBeRaceFree({ budget: { states: 5000, runs: 100 } }),
    );
    expect(message).toMatch(/^T\d +device_add\(d0\)$/m);
    expect(message).toMatch(/^T\d +driver_register\(r\d\)$/m);
    expect(message).not.toContain('iommu_group_for_each_dev');
    expect(message).not.toContain('d1');
  });
});

describe('toViolate', () => {
  test('passes where the rule is broken', () => {
    expect(patch('as posted')).toViolate('INV-01', V3_6);
    expect(patch('as posted')).not.toViolate('deadlock', V3_6);
    expect(counting(2, 'two')).toViolate('count');
  });

  test('fails where it is not, and where it is not known', () => {
    const message = failure(() => expect(counting(2, 'one')).toViolate('count'));
    expect(message).toContain('count is not broken: clean.');
    const few = { budget: { states: 3, runs: 5 } };
    expect(failure(() => expect(counting(3, 'one')).not.toViolate('count', few))).toContain(
      'whether count is broken was not found out',
    );
  });
});

describe('toRespect', () => {
  const sample = join(ROOT, 'events/samples/vfio-nonviable/trace.txt.gz');
  const told = (...actions: readonly number[]): readonly EventFact[] =>
    actions.map((action) => ({ type: 'bus_notify', dev: '0000:01:00.0', bus: 'pci', action }));
  const V6_12 = { kernel: 'v6.12' };
  /** The numbers since v6.3. */
  const [ADD, DEL, BIND, BOUND, UNBIND, UNBOUND] = [0, 1, 3, 4, 5, 6];

  test('a recording is held against the rules of hotrace', async () => {
    await expect(sample).toRespect('INV-09');
    await expect(expect(sample).not.toRespect('INV-09')).rejects.toThrow('holds');
  });

  test('events are', async () => {
    await expect(told(ADD, BIND, BOUND, DEL)).toRespect('INV-07', V6_12);
    await expect(told(ADD, BIND, BOUND, DEL, BIND)).not.toRespect('INV-07', V6_12);
  });

  test('what the log does not tell is neither', async () => {
    await expect(expect(told(ADD)).toRespect('INV-01', V6_12)).rejects.toThrow('inconclusive');
    await expect(expect(told(ADD)).not.toRespect('INV-01', V6_12)).rejects.toThrow('inconclusive');
    await expect(expect(told(ADD)).toRespect('INV-99', V6_12)).rejects.toThrow('no rule INV-99');
  });

  test('rules of one’s own are', async () => {
    const balanced = rule({
      id: 'BALANCED',
      sentence: 'Nothing is unbound that was not bound.',
      source: 'this test',
      holds: (heard) => {
        const count = (action: string) => heard.filter((each) => each.action === action).length;
        return count('UNBOUND_DRIVER') <= count('BOUND_DRIVER');
      },
    });
    await expect(sample).toRespect(balanced);
    await expect(told(ADD, BIND, BOUND, UNBIND, UNBOUND)).toRespect(balanced, V6_12);
    await expect(told(ADD, UNBIND, UNBOUND)).not.toRespect(balanced, V6_12);
    await expect(expect(told(ADD, UNBOUND)).toRespect(balanced, V6_12)).rejects.toThrow(
      'events:2: UNBOUND_DRIVER 0000:01:00.0 on bus pci',
    );
    const never = rule({ ...balanced, chain: 'group', id: 'GROUPS', holds: () => false });
    await expect(expect(told(ADD)).not.toRespect(never, V6_12)).rejects.toThrow('inconclusive');
  });
});
