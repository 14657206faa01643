import { describe, expect, it } from 'vitest';
import { membershipMachine } from '../../machines/membership.js';
import { walk } from './walk.js';

describe('a device in the groups: INV-02, INV-03', () => {
  it.each([
    ['joins, leaves, joins', 'born add remove.same add', 'member'],
    ['was a member before the trace began', 'remove.same', 'none'],
    ['left another group than the one known', 'remove.other', 'none'],
    ['joins without its beginning seen', 'add', 'member'],
    ['a new device of the name, its predecessor not seen leaving', 'add born add', 'member'],
    ['its group was released', 'add released add', 'member'],
    ['something was lost in between', 'add lost add lost remove.other', 'none'],
  ])('holds: %s', (_title, events, end) => {
    expect(walk(membershipMachine, events)).toMatchObject({ end, broken: [] });
  });

  it.each([
    ['joins twice', 'add add', 'add INV-02'],
    ['leaves without having joined', 'born remove.same', 'remove.same INV-03'],
    ['leaves twice', 'add remove.same remove.same', 'remove.same INV-03'],
    ['leaves another group after leaving', 'add remove.same remove.other', 'remove.other INV-03'],
    ['leaves a group that it is not in', 'add remove.other', 'remove.other INV-03'],
  ])('broken: %s', (_title, events, broken) => {
    expect(walk(membershipMachine, events).broken).toEqual([broken]);
  });

  it.each([
    ['add add remove.same add', 'member'],
    ['born remove.same add remove.same', 'none'],
    ['add remove.other add', 'member'],
    ['add add lost', 'unknown'],
    ['add add born add', 'member'],
  ])('breaks once and goes on: %s', (events, end) => {
    expect(walk(membershipMachine, events)).toMatchObject({ end, broken: { length: 1 } });
  });

  // removedWithoutAdd and removedFromOther accept neither: the state stays a violation.
  it.each([
    ['born remove.same born', 'none'],
    ['born remove.same released', 'none'],
    ['add remove.other born', 'none'],
  ])('forgets a violation when the device is new: %s', (events, end) => {
    expect(walk(membershipMachine, events).end).toBe(end);
  });
});
