import { describe, expect, it } from 'vitest';
import { ueventsMachine } from '../../machines/uevents.js';
import { walk } from './walk.js';

describe('uevents of one device: INV-46', () => {
  it.each([
    ['a whole life', 'add bind unbind remove add bind'],
    ['never bound', 'add remove'],
    ['udevadm trigger', 'add add bind add unbind add remove'],
    ['bound before the monitor began', 'unbind remove'],
    ['gone before it began', 'remove add'],
    ['something was lost', 'add bind lost remove lost unbind'],
    ['bound to one driver after the other', 'add bind unbind bind unbind remove'],
  ])('holds: %s', (_title, events) => {
    expect(walk(ueventsMachine, events).broken).toEqual([]);
  });

  it.each([
    ['unbind without bind', 'add unbind', 'unbind INV-46'],
    ['unbind twice', 'add bind unbind unbind', 'unbind INV-46'],
    ['remove while bound', 'add bind remove', 'remove INV-46'],
    ['bind after remove', 'add remove bind', 'bind INV-46'],
    ['unbind after remove', 'add remove unbind', 'unbind INV-46'],
    ['remove twice', 'add remove remove', 'remove INV-46'],
  ])('broken: %s', (_title, events, broken) => {
    expect(walk(ueventsMachine, events).broken).toEqual([broken]);
  });

  it.each([
    ['add unbind bind unbind remove', 'removed'],
    ['add bind remove add bind', 'bound'],
    ['add remove bind unbind remove', 'removed'],
  ])('breaks once and goes on: %s', (events, end) => {
    expect(walk(ueventsMachine, events)).toMatchObject({ end, broken: { length: 1 } });
  });
});
