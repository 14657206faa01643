import { describe, expect, it } from 'vitest';
import { chainCallMachine } from '../../machines/chain-call.js';
import { walk } from './walk.js';

describe('one run of notifier_call_chain: B.1', () => {
  it.each([
    ['no callback', 'return.unknown'],
    ['callbacks in order', 'enter.ordered go enter.ordered go return.same'],
    ['a STOP ends it', 'enter.ordered go enter.ordered stop return.same'],
    ['callbacks without return probes', 'enter.ordered enter.ordered return.unknown'],
  ])('holds: %s', (_title, events) => {
    expect(walk(chainCallMachine, events)).toMatchObject({ end: 'done', broken: [] });
  });

  it.each([
    ['a higher priority after a lower one', 'enter.ordered go enter.higher', 'enter.higher B.1'],
    ['a callback after a STOP', 'enter.ordered stop enter.ordered', 'enter.ordered B.1'],
    ['a higher one after a STOP', 'enter.ordered stop enter.higher', 'enter.higher B.1'],
    ["another value than the last one's", 'enter.ordered go return.other', 'return.other B.1'],
    ['another value after a STOP', 'enter.ordered stop return.other', 'return.other B.1'],
  ])('broken: %s', (_title, events, broken) => {
    expect(walk(chainCallMachine, events).broken).toEqual([broken]);
  });

  it('goes on after a violation when the callback returns', () => {
    expect(walk(chainCallMachine, 'enter.higher go enter.ordered go return.same')).toMatchObject({
      end: 'done',
      broken: ['enter.higher B.1'],
    });
  });

  // wrongOrder and calledAfterStop wait for a return that a trace without return probes lacks.
  it.each([
    ['the next callback in order', 'enter.higher enter.ordered', 'running'],
    ['the chain returns', 'enter.higher return.unknown', 'done'],
    ['the callback after a STOP stops too', 'stop enter.ordered stop', 'stopped'],
    [
      'the chain returns after a callback after a STOP',
      'stop enter.ordered return.unknown',
      'done',
    ],
  ])('leaves the violation when %s', (_title, events, end) => {
    expect(walk(chainCallMachine, events).end).toBe(end);
  });
});
