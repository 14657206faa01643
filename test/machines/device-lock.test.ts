import { describe, expect, it } from 'vitest';
import { deviceLockMachine } from '../../machines/device-lock.js';
import { walk } from './walk.js';

describe('device_lock as the notifications show it: INV-47', () => {
  it.each([
    [
      'one task binds and unbinds',
      'locked.open.holder locked.close.holder locked.open.holder locked.close.holder',
    ],
    [
      'a section opened in the middle of the trace',
      'locked.close.holder locked.open.other locked.close.holder',
    ],
    [
      'ADD, DEL and REMOVED between sections',
      'bare.other locked.open.holder locked.close.holder bare.other',
    ],
    ['DEL by another task inside a section', 'locked.open.holder bare.other locked.close.holder'],
    [
      'another task afterwards',
      'locked.open.holder locked.close.holder locked.open.other locked.close.holder',
    ],
    ['a section that was forgotten', 'locked.open.holder resync locked.open.other'],
  ])('holds: %s', (_title, events) => {
    expect(walk(deviceLockMachine, events).broken).toEqual([]);
  });

  it.each([
    [
      'another task begins a section',
      'locked.open.holder locked.open.other',
      'locked.open.other INV-47',
    ],
    ['another task ends it', 'locked.open.holder locked.close.other', 'locked.close.other INV-47'],
    ['its own task sends DEL inside', 'locked.open.holder bare.holder', 'bare.holder INV-47'],
  ])('broken: %s', (_title, events, broken) => {
    expect(walk(deviceLockMachine, events).broken).toEqual([broken]);
  });

  it.each([
    ['the new holder goes on', 'locked.open.holder locked.open.other locked.close.holder', 'free'],
    [
      'the lock is free after a foreign end',
      'locked.open.holder locked.close.other locked.open.other',
      'held',
    ],
    ['a section is forgotten', 'locked.open.holder bare.holder resync', 'free'],
  ])('after a violation %s', (_title, events, end) => {
    expect(walk(deviceLockMachine, events)).toMatchObject({ end, broken: { length: 1 } });
  });
});
