/** A counterexample as a Mermaid sequence diagram: threads as participants, machines as receivers. */

import type { Counterexample } from '../explore/counterexample.js';
import { shownSteps } from '../explore/schedule.js';

/** The diagram's text, with a line feed at its end. */
export function scheduleMermaid(found: Counterexample): string {
  const steps = shownSteps(found.steps);
  const threads = [...new Set(steps.map(({ thread }) => thread))];
  const entities = [...new Set(steps.flatMap(({ entity }) => entity ?? []))];
  const out = ['sequenceDiagram'];
  threads.forEach((name, i) => out.push(`  participant T${i} as CPU${i}: ${safe(name)}`));
  entities.forEach((name, i) => out.push(`  participant E${i} as ${safe(name)}`));
  for (const { thread, entity, what } of steps) {
    const from = `T${threads.indexOf(thread)}`;
    const to = entity === undefined ? from : `E${entities.indexOf(entity)}`;
    out.push(`  ${from}->>${to}: ${safe(what)}`);
  }
  if (threads.length > 0) {
    const over = threads.length === 1 ? 'T0' : `T0,T${threads.length - 1}`;
    out.push(`  Note over ${over}: ${safe(`${found.rule}: ${found.says}`)}`);
  }
  return `${out.join('\n')}\n`;
}

/** Without what Mermaid would take for its own: entities of its form are `#35;`. */
function safe(text: string): string {
  return text
    .replace(/\s+/g, ' ')
    .replace(/[#;<>:"\\]|[^\x20-\x7e]/g, (c) => `#${c.codePointAt(0)!};`);
}
