import { describe, expect, it } from 'vitest';
import { InternedMachine } from '../../machines/intern.js';
import { NULL, nullPointerMachine } from '../../machines/null-pointer.js';

describe('address NULL', () => {
  const machine = new InternedMachine(nullPointerMachine);

  it('is no violation by itself', () => {
    expect(machine.broken(machine.initial)).toBeUndefined();
  });

  it.each([
    [{ type: 'read', field: 'name' }, 'NULL pointer dereference: NULL->name'],
    [{ type: 'put' }, 'NULL pointer dereference: NULL'],
  ])('must not be accessed: %j', (event, text) => {
    const state = machine.next(machine.initial, machine.event(event));
    expect(machine.allBroken(state)).toEqual(['INV-24']);
    expect(machine.says(state)!({ entity: NULL, event, context: {} })).toBe(text);
  });
});
