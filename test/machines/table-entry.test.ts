import { describe, expect, it } from 'vitest';
import { tableEntryMachine } from '../../machines/table-entry.js';
import { sendEvents } from './send-events.js';
import { words } from './walk.js';

const OLD = { P: 1, a: 'old', b: 'old' };
const NEW = { P: 1, a: 'new', b: 'new' };

/** `P=0` is a store, `?P` a fetch, `wait` the invalidation. */
function entry(text: string) {
  const events = words(text).map((word) => {
    if (word === 'wait') return { type: 'invalidate' };
    if (word.startsWith('?')) return { type: 'fetch', word: word.slice(1) };
    const [name, value] = word.split('=');
    return { type: 'store', word: name, value: name === 'P' ? Number(value) : value };
  });
  return sendEvents(
    { machine: tableEntryMachine, input: { entry: OLD, whole: [OLD, NEW] } },
    events,
  );
}

describe('an entry that hardware fetches: INV-28', () => {
  it.each([
    ['what was there', '?P ?a ?b'],
    ['what is there now', 'a=new b=new ?P ?b ?a'],
    ['what was there, changed since', '?P ?a ?b a=new b=new'],
    ['not present', 'P=0 a=new ?P'],
    ['not present, the rest of it fetched too', 'P=0 a=new ?P ?a ?b'],
    ['half of one walk, another as a whole', '?P ?a P=0 ?P a=new b=new P=1 ?P ?a ?b'],
  ])('holds: %s', (_title, text) => {
    expect(entry(text)).toMatchObject({ broken: undefined, waits: undefined });
  });

  it.each([
    ['half old, half new', 'a=new ?P ?a ?b', 'P=1 a=new b=old'],
    ['the other half', '?P ?b a=new b=new ?a', 'P=1 b=old a=new'],
    ['present, and zeroed since', '?P P=0 a=0 b=0 ?a ?b', 'P=1 a=0 b=0'],
  ])('broken: %s', (_title, text, got) => {
    expect(entry(text)).toMatchObject({
      broken: 'INV-28',
      says: `the hardware has got ${got} of it, which never was an entry`,
    });
  });

  it('is invalidated when no walk is in flight that found it present', () => {
    expect(entry('P=0 wait').waits).toBeUndefined();
    expect(entry('P=0 ?P wait').waits).toBeUndefined();
    expect(entry('?P ?a ?b P=0 wait').waits).toBeUndefined();
    expect(entry('?P P=0 wait').waits).toEqual({ type: 'invalidate' });
    expect(entry('?P ?a P=0 wait').waits).toEqual({ type: 'invalidate' });
  });
});
