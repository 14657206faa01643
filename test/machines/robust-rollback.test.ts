import { describe, expect, it } from 'vitest';
import { robustRollbackMachine, rolledBackWhole } from '../../machines/robust-rollback.js';
import type { RollbackMemory } from '../../machines/robust-rollback.js';
import { sendEvents } from './send-events.js';
import { words } from './walk.js';

/** `+A` is UP delivered to A, `-A` DOWN. */
function heard(text: string) {
  const events = words(text).map((word) => ({
    type: word.startsWith('+') ? 'UP' : 'DOWN',
    block: word.slice(1),
  }));
  return sendEvents(robustRollbackMachine('UP', 'DOWN'), events);
}

const whole = (text: string) => rolledBackWhole(heard(text).context as RollbackMemory);

describe('a rollback: INV-18', () => {
  it.each(['+A +B +C', '+A +B +C -A -B', '+A', '+A +B -A +A +B +C -A -B'])('holds: %s', (text) => {
    expect(heard(text).broken).toBeUndefined();
    expect(whole(text)).toBe(true);
  });

  it.each([
    ['+A +B +C -Z', 'DOWN is delivered to Z, which had not heard UP'],
    ['+A +B +C -A -B -C', 'DOWN is delivered to C, which had failed in UP'],
    ['+A -A', 'DOWN is delivered to A, which had failed in UP'],
    ['+A +B +C -A -A', 'DOWN is delivered to A, for the second time after UP'],
    ['+A +B +C -B -A', 'DOWN is delivered to A, later than one that came after it in UP'],
    ['+A +B -A +B +C -A', 'DOWN is delivered to A, which had not heard UP'],
  ])('broken: %s', (text, says) => {
    expect(heard(text.slice(0, text.lastIndexOf(' '))).broken).toBeUndefined();
    expect(heard(text)).toMatchObject({ broken: 'INV-18', says });
  });

  it('is not whole where one is left out', () => {
    expect(heard('+A +B +C -B').broken).toBeUndefined();
    expect(whole('+A +B +C -B')).toBe(false);
    expect(whole('+A +B +C -A')).toBe(false);
  });
});
