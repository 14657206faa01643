import { describe, expect, it } from 'vitest';
import { XA_ZERO_ENTRY, xarrayMachine } from '../../machines/xarray.js';
import type { XarrayEvent } from '../../machines/xarray.js';
import { sendEvents } from './send-events.js';

function after(...events: XarrayEvent[]) {
  return sendEvents(xarrayMachine, events);
}

const alloc = (entry: string, min = 1, max = 2): XarrayEvent => ({
  type: 'xa_alloc',
  entry,
  min,
  max,
});
const insert = (index: number, entry: string): XarrayEvent => ({ type: 'xa_insert', index, entry });
const load = (index: number): XarrayEvent => ({ type: 'xa_load', index });
const erase = (index: number): XarrayEvent => ({ type: 'xa_erase', index });

describe('an xarray', () => {
  it('gives the lowest free index, until none is left', () => {
    expect(after(alloc('a')).reply).toEqual({ type: 'index', index: 1 });
    expect(after(alloc('a'), alloc('b')).reply).toEqual({ type: 'index', index: 2 });
    expect(after(alloc('a'), alloc('b'), alloc('c')).reply).toEqual({ type: 'index', index: null });
    expect(after(alloc('a'), erase(1), alloc('b', 1, 1)).reply).toMatchObject({ index: 1 });
  });

  it('finds what was stored, and erases it once', () => {
    expect(after(alloc('a'), load(1)).reply).toEqual({ type: 'entry', entry: 'a' });
    expect(after(alloc('a'), erase(1)).reply).toEqual({ type: 'entry', entry: 'a' });
    expect(after(alloc('a'), erase(1), erase(1)).reply).toEqual({ type: 'entry', entry: null });
    expect(after({ type: 'xa_empty' }).reply).toEqual({ type: 'empty', empty: true });
    expect(after(alloc('a'), { type: 'xa_empty' }).reply).toEqual({ type: 'empty', empty: false });
  });

  it('hides what is reserved, and does not give it to others', () => {
    const reserved = insert(1, XA_ZERO_ENTRY);
    expect(after(reserved, load(1)).reply).toEqual({ type: 'entry', entry: null });
    expect(after(reserved, insert(1, 'a')).reply).toEqual({ type: 'index', index: null });
    const stored: XarrayEvent = { type: 'xa_store', index: 1, entry: 'a' };
    expect(after(reserved, stored, load(1)).reply).toEqual({ type: 'entry', entry: 'a' });
  });

  it('is not to be looked at after it was freed', () => {
    expect(after(alloc('a'), { type: 'free' }).broken).toBeUndefined();
    expect(after(alloc('a'), { type: 'free' }, load(1))).toMatchObject({
      broken: 'INV-24',
      says: 'xa_load of it after it was freed',
    });
  });
});
