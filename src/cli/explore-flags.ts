/** The flags of `hotrace explore`, and what they ask of a search. */

import type { ClassNumberOptions } from '../explore/class-number.js';
import { STRATEGIES } from '../explore/explore.js';
import type { ExploreOptions, Strategy } from '../explore/explore.js';
import { UsageError } from './usage-error.js';

export interface ExploreFlags {
  readonly kernel?: string;
  readonly strategy?: string;
  readonly maxStates?: string;
  readonly maxDepth?: string;
  readonly maxSteps?: string;
  readonly maxFaults?: string;
  readonly maxTime?: string;
  readonly maxMemory?: string;
  readonly maxPreemptions?: string;
  readonly seed?: string;
  readonly runs?: string;
  readonly bugDepth?: string;
  readonly sleep?: boolean;
  readonly alone?: boolean;
  readonly sections?: boolean;
  readonly symmetry?: boolean;
  readonly count?: boolean;
  readonly stats?: boolean;
  readonly json?: boolean;
  readonly list?: boolean;
  readonly jobs?: string;
  readonly checkpoint?: string;
  readonly checkpointEvery?: string;
  readonly resume?: string;
  readonly schedule?: string;
  readonly mermaid?: boolean;
  readonly itf?: string;
  readonly log?: string;
}

/** What the search is told. Throws UsageError. */
export function exploreOptions(flags: ExploreFlags): ExploreOptions {
  const strategy = flags.strategy ?? 'exhaustive';
  if (!isStrategy(strategy)) {
    throw new UsageError(`--strategy ${strategy}: there are ${STRATEGIES.join(', ')}`);
  }
  const bounds = {
    states: whole('--max-states', flags.maxStates),
    depth: whole('--max-depth', flags.maxDepth),
    steps: whole('--max-steps', flags.maxSteps),
    preemptions: whole('--max-preemptions', flags.maxPreemptions),
    faults: whole('--max-faults', flags.maxFaults),
    time: scaled('--max-time', flags.maxTime, 1000),
    memory: scaled('--max-memory', flags.maxMemory, 1e6),
  };
  if (bounds.preemptions !== undefined && strategy !== 'bounded') {
    throw new UsageError('--max-preemptions goes with --strategy bounded');
  }
  const every = scaled('--checkpoint-every', flags.checkpointEvery, 1000);
  if (strategy !== 'exhaustive' && (flags.checkpoint ?? flags.resume) !== undefined) {
    throw new UsageError('--checkpoint and --resume go with --strategy exhaustive');
  }
  const drawn = {
    seed: whole('--seed', flags.seed),
    runs: whole('--runs', flags.runs),
    bugDepth: whole('--bug-depth', flags.bugDepth),
  };
  return {
    strategy,
    ...given(drawn),
    reductions: {
      sleep: flags.sleep ?? true,
      alone: flags.alone ?? true,
      sections: flags.sections ?? true,
      symmetry: flags.symmetry ?? true,
    },
    bounds: given(bounds),
    ...(flags.checkpoint === undefined
      ? {}
      : { checkpoint: { file: flags.checkpoint, ...(every === undefined ? {} : { every }) } }),
    ...(flags.resume === undefined ? {} : { resume: flags.resume }),
  };
}

/** What counting is told. Throws UsageError. */
export function countOptions(flags: ExploreFlags): ClassNumberOptions {
  const { bounds: { states, time, memory, steps } = {}, seed } = exploreOptions(flags);
  const limits = given({ pairs: states, time, memory });
  return { limits, ...given({ seed, steps }) };
}

function isStrategy(name: string): name is Strategy {
  return (STRATEGIES as readonly string[]).includes(name);
}

/** Without what was not given. */
function given(flags: Readonly<Record<string, number | undefined>>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(flags).filter((entry): entry is [string, number] => entry[1] !== undefined),
  );
}

/** The whole number of a flag; undefined where it was not given. Throws UsageError. */
export function whole(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,12}$/.test(text)) throw new UsageError(`${flag} ${text}: give a whole number`);
  return Number(text);
}

function scaled(flag: string, text: string | undefined, scale: number): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,9}(\.\d{1,6})?$/.test(text)) throw new UsageError(`${flag} ${text}: give a number`);
  return Number(text) * scale;
}
