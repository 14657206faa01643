/** The tables of the systems that are computed by searching, by the id of the system. */

import { auxAlternatives, auxAlternativesText } from './aux-alternatives.js';
import { invalidationCells, invalidationCellsText } from './invalidation-cells.js';
import { ioasidRules, ioasidRulesText } from './ioasid-rules.js';
import { apertureTable, apertureTableText, settersTable } from './msi-aperture-table.js';

/** A table: what it says as data, and as text of 80 columns. */
export interface ComputedTable {
  rows(): unknown;
  text(): string;
}

export const TABLES: Readonly<Record<string, readonly ComputedTable[]>> = {
  msi: [
    {
      rows: () => ({ readers: apertureTable(), setters: settersTable() }),
      text: () => apertureTableText(apertureTable(), settersTable()),
    },
  ],
  invalidate: [
    {
      rows: () => invalidationCells(),
      text: () => invalidationCellsText(invalidationCells()),
    },
  ],
  aux: [{ rows: () => auxAlternatives(), text: () => auxAlternativesText() }],
  ioasid: [{ rows: ioasidRules, text: () => ioasidRulesText() }],
};
