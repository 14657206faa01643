import { describe, expect, it } from 'vitest';
import type { AnyEventObject } from 'xstate';
import { InternedMachine } from '../../machines/intern.js';
import { kernfsNodeMachine } from '../../machines/kernfs-node.js';
import type { KernfsReply } from '../../machines/kernfs-node.js';

/** What each event came to: its reply, `waits`, or the rule that it breaks. */
function run(events: readonly string[]): unknown[] {
  const machine = new InternedMachine(kernfsNodeMachine);
  let state = machine.initial;
  return events.map((text) => {
    const [type, by] = text.split(' ');
    const sent: AnyEventObject = by === undefined ? { type } : { type, by };
    const event = machine.event(sent);
    if (!machine.accepts(state, event)) return 'waits';
    const reply = machine.replies(state, event).at(-1) as KernfsReply | undefined;
    state = machine.next(state, event);
    return machine.broken(state) ?? (reply === undefined ? 'done' : reply.ok);
  });
}

describe('an attribute', () => {
  it('lets handlers in beside each other', () => {
    expect(run(['get_active A', 'get_active B', 'put_active A', 'put_active B'])).toEqual([
      true,
      true,
      'done',
      'done',
    ]);
  });

  it('that is deactivated lets nobody in and waits for who is in', () => {
    expect(
      run(['get_active A', 'deactivate', 'get_active B', 'drain', 'put_active A', 'drain']),
    ).toEqual([true, 'done', false, 'waits', 'done', 'done']);
  });

  it('that is removed lets nobody in', () => {
    expect(run(['deactivate', 'drain', 'get_active A'])).toEqual(['done', 'done', false]);
  });

  it('waits for a thread that is in its own handler, for ever', () => {
    expect(run(['get_active A', 'deactivate', 'drain'])).toEqual([true, 'done', 'waits']);
  });

  it.each([
    ['active', ['put_active A']],
    ['active, by another', ['get_active B', 'put_active A']],
    ['deactivated', ['get_active B', 'deactivate', 'put_active A']],
  ])('is not put by who has no reference: %s', (_title, events) => {
    expect(run(events).at(-1)).toBe('unlock-not-owner');
  });
});
