/** `hotrace explore --list`. */

import { CATALOGUE } from '../../machines/races/catalogue.js';
import { CORPUS, variantName } from '../../machines/races/corpus.js';
import { wrap } from '../report/format.js';

/** For people. */
export function scenarioListText(): string {
  const indented = (text: string) => wrap(text, 76).map((line) => `    ${line}`);
  const label = (id: string) => Math.max(6, id.length + 2);
  return [
    ...CATALOGUE.flatMap(({ name, about, perKernel }) => [
      name,
      ...indented(perKernel === true ? `${about} [--kernel]` : about),
    ]),
    '',
    'races, see hotrace races',
    ...CORPUS.flatMap(({ id, variants }) =>
      // A name is not broken at its blanks.
      wrap(
        variants.map(({ name }) => name.replaceAll(' ', '\u00a0')).join(' | '),
        80 - label(id),
      ).map((line, n) => `${(n === 0 ? `${id}/` : '').padEnd(label(id))}${line}`),
    ),
    '',
  ].join('\n');
}

/** Scenarios, then races, each as `{ name, about }`. */
export function scenarioListJson(): string {
  const list = [
    ...CATALOGUE.map(({ name, about, perKernel = false }) => ({ name, about, perKernel })),
    ...CORPUS.flatMap((race) =>
      race.variants.map((variant) => ({
        name: variantName(race, variant),
        about: `${race.title}; ${variant.kernel}`,
        perKernel: false,
      })),
    ),
  ];
  return `${JSON.stringify(list, undefined, 2)}\n`;
}
