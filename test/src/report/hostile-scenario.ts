/** A scenario whose names try to be something else. */

import { send } from '../../../machines/step.js';
import type { Scenario } from '../../../machines/scenario.js';
import { variableMachine } from '../../../machines/variable.js';

export const HOSTILE_NAMES = [
  '__proto__',
  'constructor',
  '#meta',
  'a\nb\r\u0000\u001b[31m\u202e"\\',
  'x'.repeat(10_240),
  '',
];

/** Each name is an entity, a thread, a value, a key of a value and a label; the last write breaks it. */
export function hostileScenario(): Scenario {
  const first = HOSTILE_NAMES[0];
  return {
    name: HOSTILE_NAMES.join(' '),
    entities: Object.fromEntries(HOSTILE_NAMES.map((name) => [name, variableMachine(null)])),
    threads: Object.fromEntries(
      HOSTILE_NAMES.map((name) => [
        name,
        function* () {
          const value = Object.fromEntries(HOSTILE_NAMES.map((key) => [key, name]));
          yield* send(name, { type: 'write', value }, name);
          yield* send(name, { type: 'read' }, name, [
            { type: 'function_call', fn: name, dev: name, bus: name },
            { type: 'chain_call', chain: name, dev: name, bus: name, action: 1 },
            { type: 'mark', text: name },
          ]);
        },
      ]),
    ),
    invariants: [
      { id: first, entities: HOSTILE_NAMES, when: 'end', holds: () => false },
      {
        id: '../../../etc/passwd',
        entities: [first],
        holds: (view) => (view[first].context as { value: unknown }).value === null,
      },
    ],
    log: { kernel: first, before: HOSTILE_NAMES.map((text) => ({ type: 'mark', text })) },
  };
}
