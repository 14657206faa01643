import { describe, expect, it } from 'vitest';
import { notifierListMachine } from '../../machines/notifier-list.js';
import type { NotifierListBreaks, NotifierListEvent } from '../../machines/notifier-list.js';
import { profileByName } from '../../machines/profiles/timeline.js';
import { sendEvents } from './send-events.js';
import { words } from './walk.js';

/** `A` is inserted on chain c, `d:A` on d; `-A` removed from c, `~A` freed, `!A` called. */
function chains(text: string, breaks: NotifierListBreaks) {
  const events = words(text).map((word): NotifierListEvent => {
    const block = word.slice(1);
    if (word.startsWith('-')) return { type: 'remove', chain: 'c', block };
    if (word.startsWith('~')) return { type: 'free', block };
    if (word.startsWith('!')) return { type: 'call', block };
    if (word.startsWith('d:')) return { type: 'insert', chain: 'd', block: word.slice(2) };
    return { type: 'insert', chain: 'c', block: word };
  });
  return sendEvents(notifierListMachine(profileByName('v3.6')!, breaks), events);
}

describe('a block linked a second time', () => {
  it.each([
    ['A A', 'INV-14', 'A is linked to a chain that it is on'],
    ['A B A', 'INV-14', 'A is linked to a chain that it is on'],
    ['A d:A', 'INV-15', 'A is linked to a second chain'],
  ])('is a violation at once, or none: %s', (text, broken, says) => {
    expect(chains(text, 'when linked')).toMatchObject({ broken, says });
    expect(chains(text, 'when met').broken).toBeUndefined();
  });

  it.each([
    ['A A B', 'INV-14', 'register of B goes round for ever: the chain has no end'],
    ['A A !A', 'INV-14', 'call of A goes round for ever: the chain has no end'],
    ['A A -A -B', 'INV-14', 'unregister of B goes round for ever: the chain has no end'],
    ['A A -A ~A !A', 'INV-24', 'call of A after it was freed'],
  ])('is a violation when it does harm: %s', (text, broken, says) => {
    expect(chains(text.slice(0, text.lastIndexOf(' ')), 'when met').broken).toBeUndefined();
    expect(chains(text, 'when met')).toMatchObject({ broken, says });
  });

  it.each(['A B !A !B', 'A B A !A', 'A d:A !A', 'A B -B !A'])('goes on: %s', (text) => {
    expect(chains(text, 'when met').broken).toBeUndefined();
  });

  it('joins what is behind it on two chains', () => {
    expect(chains('A d:A B !A', 'when met').reply).toEqual({ type: 'block', block: 'B' });
    expect(chains('A B d:A !A', 'when met').reply).toEqual({ type: 'block', block: null });
  });
});
