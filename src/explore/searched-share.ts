/**
 * How far a depth-first search is: the share of its tree that lies behind it, if the subtrees of a
 * state are taken to be alike. Source: Kilby, Slaney, Thiébaux, Walsh, "Estimating search tree size",
 * AAAI 2006.
 */

/** The frames of a search, by depth; threads are bits. */
export interface SearchFrames {
  readonly depth: number;
  /** Threads that are yet to be run. */
  readonly todo: ArrayLike<number>;
  /** Threads asleep, with those that were run already. */
  readonly asleep: ArrayLike<number>;
  /** The thread that is being run, -1 for none. */
  readonly thread: ArrayLike<number>;
  readonly state: ArrayLike<number>;
}

/** What lies deeper makes no difference that is shown. */
const LEAST = 1e-6;

/**
 * @param sleepOf by state: the threads that were asleep when its frame was pushed
 * @returns 0 to 1; outcomes of a choice count when all are done, so that it is rather too low
 */
export function searchedShare(frames: SearchFrames, sleepOf: ArrayLike<number>): number {
  const { depth, todo, asleep, thread, state } = frames;
  if (depth === 0) return 0;
  let share = 0;
  let width = 1;
  for (let at = 0; at < depth && width > LEAST; at++) {
    const running = thread[at] >= 0 && ((asleep[at] >>> thread[at]) & 1) === 0 ? 1 : 0;
    const done = bits(asleep[at] & ~sleepOf[state[at]]);
    const all = done + running + bits(todo[at]);
    if (all === 0) break;
    share += (width * done) / all;
    if (running === 0) break;
    width /= all;
  }
  return share;
}

function bits(set: number): number {
  let n = 0;
  for (let rest = set; rest !== 0; rest &= rest - 1) n++;
  return n;
}
