import { describe, expect, it } from 'vitest';
import { groupMachine } from '../../machines/group.js';
import { walk } from './walk.js';

describe('a group from alloc to release: INV-19', () => {
  it.each([
    ['its beginning was not seen', 'add remove release', 'released'],
    ['more members than were seen may leave', 'remove remove release', 'released'],
    ['its id is used again', 'release add remove release', 'released'],
    ['two members come and go', 'release add add remove remove release', 'released'],
    ['it is filled again', 'release add remove add remove release', 'released'],
    ['something was lost', 'release add lost release', 'released'],
  ])('holds: %s', (_title, events, end) => {
    expect(walk(groupMachine, events)).toMatchObject({ end, broken: [] });
  });

  it.each([
    ['one member', 'release add release'],
    ['one of two members', 'release add add remove release'],
    ['a member again', 'release add remove add release'],
  ])('broken: released with %s', (_title, events) => {
    expect(walk(groupMachine, events).broken).toEqual(['release INV-19']);
  });

  // Members that were seen to join are in it, whoever else may be.
  it.each(['add release', 'add add remove release'])(
    'broken: released with a member that was seen to join, its beginning not seen: %s',
    (events) => {
      expect(walk(groupMachine, events).broken).toEqual(['release INV-19']);
    },
  );

  it('counts its members', () => {
    expect(walk(groupMachine, 'release add add remove add').context).toEqual({ members: 2 });
    expect(walk(groupMachine, 'remove remove').context).toEqual({ members: 0 });
    expect(walk(groupMachine, 'release add release').context).toEqual({ members: 0 });
  });

  it('begins a new life after a violation', () => {
    expect(walk(groupMachine, 'release add release add remove release')).toMatchObject({
      end: 'released',
      broken: ['release INV-19'],
    });
  });
});
