import { describe, expect, it } from 'vitest';
import { alarmMachine } from '../../machines/alarm.js';
import type { AlarmEvent } from '../../machines/alarm.js';
import { InternedMachine } from '../../machines/intern.js';

describe('an alarm', () => {
  const machine = new InternedMachine(alarmMachine(['INV-05', 'INV-13']));
  const alarm = (rule: string) => {
    const event: AlarmEvent = { type: 'alarm', rule, says: `${rule} fails` };
    return machine.event(event);
  };

  it.each(['INV-05', 'INV-13'])(
    'of %s breaks that rule, for good, and says what is said',
    (rule) => {
      const state = machine.next(machine.initial, alarm(rule));
      expect(machine.allBroken(state)).toEqual([rule]);
      const says = machine.says(state)!;
      const event = { type: 'alarm', rule, says: `${rule} fails` };
      expect(says({ entity: 'log', event, context: {} })).toBe(`${rule} fails`);
      expect(machine.accepts(state, alarm('INV-05'))).toBe(false);
    },
  );

  it('breaks nothing before, and nothing of a rule that it does not know', () => {
    expect(machine.broken(machine.initial)).toBeUndefined();
    expect(machine.accepts(machine.initial, alarm('INV-01'))).toBe(false);
  });
});
