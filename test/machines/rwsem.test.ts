import { describe, expect, it } from 'vitest';
import { rwsemMachine } from '../../machines/rwsem.js';
import { sendEvents } from './send-events.js';

const by = (thread: string) => (type: string) => ({ type, by: thread });
const A = by('A');
const B = by('B');

describe('down_read_trylock', () => {
  it.each([
    ['free', []],
    ['with a reader', [A('down_read')]],
    ['after a writer', [A('queue_write'), A('down_write'), A('up_write')]],
  ])('gets it: %s', (_title, before) => {
    const got = sendEvents(rwsemMachine, [...before, B('try_down_read')]);
    expect(got.reply).toEqual({ type: 'got', ok: true });
    expect(sendEvents(rwsemMachine, [...before, B('try_down_read'), B('up_read')]).broken).toBe(
      undefined,
    );
    // A writer waits for it.
    const write = [B('try_down_read'), B('queue_write'), B('down_write')];
    expect(sendEvents(rwsemMachine, [...before, ...write]).waits).toEqual(B('down_write'));
  });

  it.each([
    ['a writer has it', [A('queue_write'), A('down_write')]],
    ['a writer queues', [B('down_read'), A('queue_write')]],
  ])('does not wait: %s', (_title, before) => {
    const sent = sendEvents(rwsemMachine, [...before, by('C')('try_down_read')]);
    expect(sent).toMatchObject({ reply: { type: 'got', ok: false }, waits: undefined });
    const after = [...before, by('C')('try_down_read'), by('C')('up_read')];
    expect(sendEvents(rwsemMachine, after).broken).toBe('unlock-not-owner');
  });
});
