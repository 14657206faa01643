/** What the systems of 2016 and 2017 say of themselves is there. */

import { describe, expect, test } from 'vitest';
import { CORPUS, variantByName } from '../../../machines/races/corpus.js';
import { INVALIDATE } from '../../../machines/systems/invalidate.js';
import { MSI } from '../../../machines/systems/msi.js';

describe.each([MSI, INVALIDATE].map((system) => [system.id, system] as const))(
  '%s',
  (_, system) => {
    const tried = system.variants.flatMap((variant) => variant.tried);

    test('tries variants that there are', () => {
      for (const { race, variant } of tried) {
        expect(CORPUS).toContain(race);
        expect([race.id, variant, variantByName(race, variant)?.name]).toEqual([
          race.id,
          variant,
          variant,
        ]);
      }
    });

    test('tries every variant of its races, once', () => {
      const names = tried.map(({ race, variant }) => `${race.id}/${variant}`);
      const races = new Set(tried.map(({ race }) => race));
      const all = [...races].flatMap((race) =>
        race.variants.map(({ name }) => `${race.id}/${name}`),
      );
      expect(names.toSorted()).toEqual(all.toSorted());
    });

    test('has variants with names of their own, and lines', () => {
      const names = system.variants.map(({ name }) => name);
      expect(new Set(names).size).toBe(names.length);
      for (const { about, tried: some } of system.variants) {
        expect(about).not.toContain('\n');
        expect(some.length).toBeGreaterThan(0);
      }
    });
  },
);
