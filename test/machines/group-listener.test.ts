import { describe, expect, it } from 'vitest';
import { groupListenerMachine } from '../../machines/group-listener.js';
import { walk } from './walk.js';

describe('what a listener on a group hears of one device: INV-01', () => {
  it.each([
    ['ADD, then DEL', 'born ADD_DEVICE DEL_DEVICE', 'outside'],
    ['one membership after the other', 'ADD_DEVICE DEL_DEVICE ADD_DEVICE', 'member'],
    ['a membership older than the trace', 'DEL_DEVICE ADD_DEVICE', 'member'],
    ['a new device of the name', 'ADD_DEVICE born ADD_DEVICE', 'member'],
    ['something was lost', 'ADD_DEVICE lost ADD_DEVICE lost DEL_DEVICE', 'outside'],
  ])('holds: %s', (_title, events, end) => {
    expect(walk(groupListenerMachine, events)).toMatchObject({ end, broken: [] });
  });

  it.each([
    ['DEL before ADD (P-A1-1)', 'born DEL_DEVICE ADD_DEVICE', 'DEL_DEVICE INV-01', 'member'],
    ['DEL twice', 'ADD_DEVICE DEL_DEVICE DEL_DEVICE', 'DEL_DEVICE INV-01', undefined],
    ['ADD twice', 'ADD_DEVICE ADD_DEVICE DEL_DEVICE', 'ADD_DEVICE INV-01', 'outside'],
  ])('broken: %s', (_title, events, broken, end) => {
    const found = walk(groupListenerMachine, events);
    expect(found.broken).toEqual([broken]);
    if (end !== undefined) expect(found.end).toBe(end);
  });

  it.each([
    ['born DEL_DEVICE lost', 'unknown'],
    ['born DEL_DEVICE born', 'outside'],
    ['ADD_DEVICE ADD_DEVICE lost', 'unknown'],
    ['ADD_DEVICE ADD_DEVICE born', 'outside'],
  ])('forgets a violation with the device: %s', (events, end) => {
    expect(walk(groupListenerMachine, events).end).toBe(end);
  });
});
