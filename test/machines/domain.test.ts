import { describe, expect, it } from 'vitest';
import { domainMachine } from '../../machines/domain.js';
import { walk } from './walk.js';

describe('an iommu_domain: INV-20', () => {
  it.each([
    ['attached, left, freed', 'attach left free', 'freed'],
    ['freed without ever being attached', 'free', 'freed'],
    ['its address given to a new domain', 'attach left free alloc attach', 'attached'],
    ["the new domain's alloc not seen", 'free attach left free', 'freed'],
    ['something was lost', 'attach lost free', 'freed'],
  ])('holds: %s', (_title, events, end) => {
    expect(walk(domainMachine, events)).toMatchObject({ end, broken: [] });
  });

  it.each([
    ['freed with a device on it', 'attach free'],
    ['the new domain of the address freed with a device on it', 'free alloc attach free'],
  ])('broken: %s', (_title, events) => {
    expect(walk(domainMachine, events).broken).toEqual(['free INV-20']);
    expect(walk(domainMachine, `${events} alloc attach left free`)).toMatchObject({
      end: 'freed',
      broken: ['free INV-20'],
    });
  });
});
