import { describe, expect, it } from 'vitest';
import { pasidAllocatorMachine } from '../../machines/pasid-allocator.js';
import { sendEvents } from './send-events.js';

const alloc = (owner: string) => ({ type: 'alloc', owner });
const free = (pasid: number) => ({ type: 'free', pasid });

function after(...events: ({ type: string } & Record<string, unknown>)[]) {
  return sendEvents(pasidAllocatorMachine(2), events);
}

describe('PASIDs', () => {
  it('are given lowest first, and to one owner each', () => {
    expect(after(alloc('a')).reply).toEqual({ type: 'pasid', pasid: 1 });
    expect(after(alloc('a'), alloc('b'))).toMatchObject({
      reply: { pasid: 2 },
      context: { owners: { 1: 'a', 2: 'b' } },
    });
  });

  it('run out', () => {
    expect(after(alloc('a'), alloc('b'), alloc('c'))).toMatchObject({
      reply: { pasid: 0 },
      context: { owners: { 1: 'a', 2: 'b' } },
    });
  });

  it('come back when they are freed', () => {
    expect(after(alloc('a'), alloc('b'), free(1)).context).toEqual({ owners: { 2: 'b' } });
    expect(after(alloc('a'), alloc('b'), free(1), alloc('c')).reply).toMatchObject({ pasid: 1 });
  });

  it('are of the range that is asked for', () => {
    const within = (min: number, max: number) => ({ ...alloc('a'), min, max });
    expect(after(within(2, 2)).reply).toMatchObject({ pasid: 2 });
    expect(after(within(2, 2), within(2, 9)).reply).toMatchObject({ pasid: 0 });
  });

  it('are freed by who has them, where that is a rule', () => {
    const strict = (...events: Parameters<typeof after>) =>
      sendEvents(pasidAllocatorMachine(2, 'INV-37'), events);
    expect(strict(alloc('a'), free(1)).broken).toBeUndefined();
    expect(strict(alloc('a'), free(1), free(1))).toMatchObject({
      broken: 'INV-37',
      says: 'PASID 1 of it is freed though it is not given out',
    });
    expect(after(free(1)).broken).toBeUndefined();
  });
});
