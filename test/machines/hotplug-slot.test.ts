import { describe, expect, it } from 'vitest';
import { hotplugSlotMachine } from '../../machines/hotplug-slot.js';
import { walk } from './walk.js';

describe('a hotplug slot', () => {
  it.each([
    ['', 'unknown'],
    ['CARD_PRESENT', 'present'],
    ['CARD_PRESENT LINK_UP', 'linkUp'],
    ['CARD_PRESENT LINK_UP LINK_DOWN', 'linkDown'],
    ['LINK_DOWN CARD_NOT_PRESENT', 'empty'],
    ['CARD_NOT_PRESENT LINK_UP', 'linkUp'],
    ['LINK_UP lost', 'unknown'],
  ])('after "%s" is %s and breaks no rule', (events, end) => {
    expect(walk(hotplugSlotMachine, events)).toMatchObject({ end, broken: [] });
  });
});
