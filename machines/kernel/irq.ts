/**
 * An interrupt of a driver: its handler runs beside everything else, until free_irq has returned.
 * kernel/irq/manage.c, handle.c. Source: K02 (the driver's IRQ).
 */

import { mutexMachine } from '../mutex.js';
import { struct } from '../object.js';
import type { Entity } from '../scenario.js';
import { lock, unlock } from '../step.js';
import type { Thread } from '../step.js';
import { load, store, waitFor } from './memory.js';

/** A struct irq_desc called `irq`, whose handler is installed when the threads begin. */
export function irqEntities(irq: string): Readonly<Record<string, Entity>> {
  return {
    [irq]: struct({ fields: { action: 'handler', inprogress: false } }),
    [`${irq}->lock`]: mutexMachine,
  };
}

/** handle_irq_event: the interrupt comes. Without an action it is not for anybody. */
export function* handle_irq_event(irq: string, handler: () => Thread<void>): Thread<void> {
  yield* lock(`${irq}->lock`);
  const action = yield* load<string | null>(irq, 'action');
  if (action !== null) yield* store(irq, 'inprogress', true);
  yield* unlock(`${irq}->lock`);
  if (action === null) return;
  yield* handler();
  yield* store(irq, 'inprogress', false);
}

/** free_irq: once it returns the handler does not run any more, and will not. */
export function* free_irq(irq: string): Thread<void> {
  yield* lock(`${irq}->lock`);
  yield* store(irq, 'action', null);
  yield* unlock(`${irq}->lock`);
  yield* waitFor(irq, 'inprogress', false);
}
