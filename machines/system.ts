/** What one of the modelled systems is, for people: its variants, and what is explored of each. */

import type { Race } from './races/race.js';

/** One way in which the system was built, posted or proposed. */
export interface SystemVariant {
  /** `as posted (v3)`, `ALT-1 lookup callback`, `v5.10` */
  readonly name: string;
  /** One line. */
  readonly about: string;
  /** The races and defects that are tried on it, each by the name of a variant of the race. */
  readonly tried: readonly { readonly race: Race; readonly variant: string }[];
}

export interface System {
  /** `msi`, `invalidate`, `aux`, `ioasid` */
  readonly id: string;
  readonly title: string;
  /** The year of the thread. */
  readonly year: number;
  /** Section of kernel-semantics.md. */
  readonly source: string;
  readonly variants: readonly SystemVariant[];
}
