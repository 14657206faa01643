import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  BUS_ACTIONS,
  busAction,
  busActionValue,
  GROUP_ACTIONS,
  groupAction,
} from '../../events/actions.js';
import type { ActionNumbering, BusAction } from '../../events/actions.js';

const NUMBERINGS: readonly ActionNumbering[] = ['v3.6', 'v3.18', 'v6.3'];

describe('bus actions (B.4)', () => {
  const TABLE: readonly [BusAction, ...(number | undefined)[]][] = [
    ['ADD_DEVICE', 1, 1, 0],
    ['DEL_DEVICE', 2, 2, 1],
    ['REMOVED_DEVICE', undefined, 3, 2],
    ['BIND_DRIVER', 3, 4, 3],
    ['BOUND_DRIVER', 4, 5, 4],
    ['UNBIND_DRIVER', 5, 6, 5],
    ['UNBOUND_DRIVER', 6, 7, 6],
    ['DRIVER_NOT_BOUND', undefined, 8, 7],
  ];

  it.each(TABLE)('%s has the numbers %s, %s, %s', (action, ...values) => {
    expect(NUMBERINGS.map((numbering) => busActionValue(numbering, action))).toEqual(values);
    NUMBERINGS.forEach((numbering, n) => {
      const value = values[n];
      if (value !== undefined) expect(busAction(numbering, value)).toBe(action);
    });
  });

  it('are all in the table', () => {
    expect(TABLE.map(([action]) => action)).toEqual([...BUS_ACTIONS]);
  });

  it.each<[ActionNumbering, number]>([
    ['v3.6', 0],
    ['v3.6', 7],
    ['v3.18', 0],
    ['v3.18', 9],
    ['v6.3', 8],
    ['v6.3', -1],
    ['v6.3', 1.5],
    ['v6.3', NaN],
    ['v6.3', 0x80000004],
  ])('%s has no action %d', (numbering, value) => {
    expect(busAction(numbering, value)).toBeUndefined();
  });

  it('have a number exactly where the number has them', () => {
    fc.assert(
      fc.property(fc.constantFrom(...NUMBERINGS), fc.integer(), (numbering, value) => {
        const action = busAction(numbering, value);
        if (action !== undefined) expect(busActionValue(numbering, action)).toBe(value);
      }),
    );
  });
});

describe('group actions (A1.1)', () => {
  it('are the values 1 to 6', () => {
    expect([1, 2, 3, 4, 5, 6].map(groupAction)).toEqual([...GROUP_ACTIONS]);
    expect([...GROUP_ACTIONS]).toEqual([
      'ADD_DEVICE',
      'DEL_DEVICE',
      'BIND_DRIVER',
      'BOUND_DRIVER',
      'UNBIND_DRIVER',
      'UNBOUND_DRIVER',
    ]);
  });

  it.each([0, 7, -1, NaN, 1.5])('%d is none', (value) => {
    expect(groupAction(value)).toBeUndefined();
  });

  it('have all the numbers of the bus only up to v3.17', () => {
    const same = (numbering: ActionNumbering) =>
      [1, 2, 3, 4, 5, 6].filter((value) => busAction(numbering, value) === groupAction(value));
    expect(same('v3.6')).toEqual([1, 2, 3, 4, 5, 6]);
    expect(same('v3.18')).toEqual([1, 2]);
    expect(same('v6.3')).toEqual([3, 4, 5, 6]);
  });
});
