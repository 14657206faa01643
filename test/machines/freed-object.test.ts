import { describe, expect, it } from 'vitest';
import { struct } from '../../machines/object.js';
import { sendEvents } from './send-events.js';

/** A thread reads the reply of the step that breaks the rule, and is not to fail on that too. */
describe('an access that breaks a rule', () => {
  const freed = [{ type: 'free' }];
  const nothing = { type: 'value', value: null };
  const uses = [
    { use: { type: 'read', field: 'f' }, reply: nothing },
    { use: { type: 'put' }, reply: nothing },
    { use: { type: 'get_unless_zero' }, reply: { type: 'got', ok: false } },
  ];

  it.each(uses)('is answered after the free: $use.type', ({ use, reply }) => {
    expect(sendEvents(struct({ fields: { f: 1 } }), [...freed, use])).toMatchObject({
      state: 'violated.afterFree',
      reply,
    });
  });

  it.each(uses)('is answered before the allocation: $use.type', ({ use, reply }) => {
    expect(sendEvents(struct(), [use])).toMatchObject({
      state: 'violated.wild',
      reply,
    });
  });

  it('is answered where the count is zero', () => {
    expect(sendEvents(struct({ refs: 0 }), [{ type: 'put' }])).toMatchObject({
      state: 'violated.underflow',
      reply: { type: 'value' },
    });
  });
});
