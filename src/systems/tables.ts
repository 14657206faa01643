/** The tables of the systems that are computed by searching, by the id of the system. */

/** A table: what it says as data, and as text of 80 columns. */
export interface ComputedTable {
  rows(): unknown;
  text(): string;
}

export const TABLES: Readonly<Record<string, readonly ComputedTable[]>> = {};
