/** What a search is told, and what it tells. */

import type { SavedSearch } from './saved-search.js';

export interface Reductions {
  /** Sleep sets: an order that only exchanges steps that commute is not tried again. */
  readonly sleep: boolean;
  /** A step that commutes with all that others may still do runs at once. */
  readonly alone: boolean;
  /** What a mutex protects runs at once while it is held; states on the way are not stored. */
  readonly sections: boolean;
  /** One representative of what the scenario declares interchangeable. */
  readonly symmetry: boolean;
}

export const ALL_REDUCTIONS: Reductions = {
  sleep: true,
  alone: true,
  sections: true,
  symmetry: true,
};
export const NO_REDUCTION: Reductions = {
  sleep: false,
  alone: false,
  sections: false,
  symmetry: false,
};

export interface Bounds {
  /** Stored states. */
  readonly states?: number;
  /** Steps from the start. */
  readonly depth?: number;
  /** ms */
  readonly time?: number;
  /** Bytes of the process; three quarters of the machine's where left out. */
  readonly memory?: number;
}

/** Which bound cut the search; `steps`: a thread made more steps than are looked at. */
export type Cut = 'states' | 'depth' | 'time' | 'memory' | 'steps';

export interface SearchStats {
  /** Stored states, of the last round. */
  states: number;
  /** Steps made, of the last round. */
  transitions: number;
  /** How often the whole was searched until the learned futures stood. */
  rounds: number;
  /** Steps made in all rounds. */
  allTransitions: number;
  /** Bytes of the table of states. */
  bytes: number;
  /** Nodes of all threads. */
  nodes: number;
  /** Calls of xstate. */
  computed: number;
  /** Steps of the longest path. */
  longest: number;
}

export interface SearchResult {
  /** Rules that some state breaks, with one such row each, as the search met them. */
  readonly violated: ReadonlyMap<string, Int32Array>;
  /** Undefined: every interleaving was covered. */
  readonly cut: Cut | undefined;
  readonly stats: SearchStats;
}

export interface SearchOptions {
  readonly reductions?: Partial<Reductions>;
  readonly bounds?: Bounds;
  /** Ends the search at the first violation. */
  readonly stopAtFirst?: boolean;
  /** Random walks before the first round, from which it learns futures; 64 where left out. */
  readonly walks?: number;
  /** Hears every state in which no thread can go on; called in every round. */
  readonly onFinal?: (row: Int32Array) => void;
  /**
   * Hears every step between stored states, those that run alone on the way included: threads that
   * moved, as bits. `from` is -1 for the start. Before onFinal.
   */
  readonly onEdge?: (from: number, to: number, moved: number, row: Int32Array) => void;
  readonly onRound?: () => void;
  /** Steps between two glances at clock, memory and pause; 1,024 where left out. */
  readonly glance?: number;
  /**
   * Called about every `glance` steps, between two of them; `save` gives the search as it stands,
   * its arrays not copied: to be written before it returns.
   */
  readonly onPause?: (save: () => SavedSearch) => void;
  /** `share`: of the present round, from 0 to 1, as `searchedShare` tells. */
  readonly onProgress?: (stats: SearchStats, share: number) => void;
}

/** All 0. */
export function newStats(): SearchStats {
  return {
    states: 0,
    transitions: 0,
    rounds: 0,
    allTransitions: 0,
    bytes: 0,
    nodes: 0,
    computed: 0,
    longest: 0,
  };
}
