/**
 * What an entry of the corpus is: a race that a kernel really had, as scenarios with the bug and
 * with its fix. Source: kernel-semantics.md D.
 */

import type { Scenario } from '../scenario.js';

/** A commit as the kernel's log has it. */
export interface Commit {
  /** Twelve hexadecimal digits. */
  readonly id: string;
  readonly subject: string;
  /** The first version with it: `v5.15`. */
  readonly since?: string;
  /** `CVE-2023-54095` */
  readonly cve?: string;
}

/** One kernel's way of doing what races. */
export interface RaceVariant {
  /** `bug`, `fixed`, or what tells several apart: `bug: reg A, A, B`. Unique in its race. */
  readonly name: string;
  /** Whether a schedule is expected that breaks `breaks`, or none that breaks anything. */
  readonly expected: 'violated' | 'clean';
  /** Rules of which at least one is broken, by id, `deadlock` among them; of a clean one none. */
  readonly breaks?: readonly string[];
  /** Which kernel this is, in a few words: `v5.14`, `211ff31b3d33 (v5.15)`. */
  readonly kernel: string;
  make(): Scenario;
}

export interface Race {
  /** `K11`, `S1` */
  readonly id: string;
  /** As kernel-semantics.md D heads it. */
  readonly title: string;
  /** What happens, in a few sentences. */
  readonly story: string;
  readonly commits: readonly Commit[];
  /** Sections and rules: `D K11, INV-10, INV-11`. */
  readonly source: string;
  /** At least one that is violated and one that is clean. */
  readonly variants: readonly RaceVariant[];
}

/** The race as it is; for its type. */
export function race(definition: Race): Race {
  return definition;
}
