import { describe, expect, it } from 'vitest';
import { driverBindingMachine } from '../../machines/driver-binding.js';
import { walk } from './walk.js';

describe('the binding of a driver', () => {
  it.each([
    ['', 'unknown'],
    ['probe', 'probing'],
    ['probe bind', 'binding'],
    ['probe bind bound', 'bound'],
    ['probe bind failed', 'unbound'],
    ['bound unbind', 'releasing'],
    ['bound unbind unbound', 'unbound'],
    ['bound removed', 'unbound'],
    ['bound lost', 'unknown'],
  ])('after "%s" is %s and breaks no rule', (events, end) => {
    expect(walk(driverBindingMachine, events)).toMatchObject({ end, broken: [] });
  });
});
