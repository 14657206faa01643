/** The number of classes of a scenario, as a sentence. */

import type { Uncounted } from '../explore/class-counts.js';
import { aboutText } from '../explore/class-words.js';
import type { ClassNumber } from '../explore/class-number.js';
import { count, printable, wrap } from './format.js';

const WHY: Readonly<Record<Uncounted, string>> = {
  pairs: 'too many states to be counted',
  time: 'the bound on time was too low to count them',
  memory: 'the bound on memory was too low to count them',
  endless: 'some interleaving never ends',
};

export function classNumberText(number: ClassNumber): string {
  const { scenario, exact, digits, pairs = 0, classes, plusMinus = 0, descents = 0 } = number;
  const up = number.truncated ? ', up to the bound on steps' : '';
  let says: string;
  if (exact) {
    const many = `${digits!.replace(/\B(?=(\d{3})+$)/g, ',')} ${digits === '1' ? 'class' : 'classes'}`;
    says = `${many} of interleavings${up} (exact; ${count(pairs)} states with their sleep sets).`;
  } else if (classes === undefined) {
    says = `classes of interleavings without end: ${WHY[number.cut!]}.`;
  } else {
    const told = `${WHY[number.cut!]}; ${count(descents)} random descents, seed ${number.seed}`;
    says = `${aboutText(classes, plusMinus)} classes of interleavings${up} (95 %; ${told}).`;
  }
  return `${wrap(`${printable(scenario)}: ${says}`, 80).join('\n')}\n`;
}
