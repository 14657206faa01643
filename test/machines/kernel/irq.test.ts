import { expect, it } from 'vitest';
import { free_irq, handle_irq_event, irqEntities } from '../../../machines/kernel/irq.js';
import { load } from '../../../machines/kernel/memory.js';
import { Alone } from './run-alone.js';

const IRQ = 'irq 1';

function irq() {
  const alone = new Alone(irqEntities(IRQ));
  let handled = 0;
  const come = () =>
    handle_irq_event(IRQ, function* () {
      yield* load(IRQ, 'inprogress');
      handled++;
    });
  return { alone, come, handled: () => handled };
}

it('a handler runs whenever the interrupt comes, until it is freed', () => {
  const { alone, come, handled } = irq();
  alone.run(come());
  alone.run(come());
  expect(handled()).toBe(2);
  alone.run(free_irq(IRQ));
  alone.run(come());
  expect(handled()).toBe(2);
});

it('free_irq waits for a handler that runs', () => {
  const { alone } = irq();
  const fromHandler = handle_irq_event(IRQ, () => free_irq(IRQ));
  expect(() => alone.run(fromHandler)).toThrow(`it waits at wait for ${IRQ}->inprogress`);
});
