/**
 * What became of each rule: it holds, it was violated, or the input cannot tell.
 *
 * A verdict never rests on a gap. A loss turns every rule that reads the lossy source inconclusive,
 * and violations found inside the gap with it (design section 1, "Loss is an event").
 */

import type { HotplugEvent, Origin } from '../../events/event.js';
import { REPLAY_RULES } from '../../machines/rules.js';
import type { ReplayRule, Rule } from '../../machines/rules.js';
import type { KernelProfile } from '../../machines/profiles/profile.js';

export type VerdictStatus = 'holds' | 'violated' | 'inconclusive';

/** Why a rule could not be decided. */
export type InconclusiveCause =
  /** Events are missing from the input. */
  | 'lost events'
  /** The trace begins (or ends) in the middle of what the rule looks at. */
  | 'starts in the middle'
  /** The input holds no event that the rule is about. */
  | 'not recorded'
  /** The rule has nothing to say about this generation. */
  | 'not in this kernel'
  /** Two sources whose clocks do not allow the order to be told. */
  | 'clocks'
  /** The input contradicts the kernel profile. */
  | 'wrong kernel';

/** A place in the input, small enough to be kept for as long as it may be needed. */
export interface EventRef {
  readonly seq: number;
  /** ns, NaN where the event has no time. */
  readonly time: number;
  readonly origin: Origin;
}

export interface Violation {
  readonly rule: string;
  /** What happened, in one sentence, in the kernel's words. */
  readonly message: string;
  /** The event that broke the rule. */
  readonly at: EventRef;
  readonly event: HotplugEvent;
  /** Earlier events that the sentence speaks of, oldest first. */
  readonly related: readonly EventRef[];
  readonly dev?: string;
  readonly group?: number;
}

export interface Inconclusive {
  readonly cause: InconclusiveCause;
  readonly detail: string;
  readonly count: number;
}

export interface Verdict {
  readonly rule: Rule;
  readonly status: VerdictStatus;
  /** How often the rule was put to the test. */
  readonly checks: number;
  /** Violations found; `violations` holds the first of them. */
  readonly violationCount: number;
  readonly violations: readonly Violation[];
  readonly inconclusive: readonly Inconclusive[];
}

/** Violations kept per rule; the rest are counted. */
const KEPT = 200;

/** How often a rule was put to the test. */
export interface CheckCounter {
  checks: number;
}

class Tally implements CheckCounter {
  checks = 0;
  count = 0;
  kept: Violation[] = [];
  readonly doubts = new Map<string, Inconclusive>();

  constructor(readonly rule: ReplayRule) {}

  doubt(cause: InconclusiveCause, detail: string): void {
    const known = this.doubts.get(cause);
    this.doubts.set(cause, {
      cause,
      detail: known?.detail ?? detail,
      count: (known?.count ?? 0) + 1,
    });
  }
}

/** Collects checks and findings while a log is folded. */
export class Verdicts {
  private readonly tallies = new Map<string, Tally>();
  private readonly observers: ((violation: Violation) => void)[] = [];

  constructor() {
    for (const rule of REPLAY_RULES) this.tallies.set(rule.id, new Tally(rule));
  }

  /** Calls `observer` with each violation as it is found; a later loss may still take it back. */
  onViolation(observer: (violation: Violation) => void): void {
    this.observers.push(observer);
  }

  /** The rule `id` was put to the test `times` times. */
  check(id: string, times = 1): void {
    this.tally(id).checks += times;
  }

  /** The counter of a rule that is put to the test for every event. */
  counter(id: string): CheckCounter {
    return this.tally(id);
  }

  violate(violation: Violation): void {
    const tally = this.tally(violation.rule);
    tally.count++;
    if (tally.kept.length < KEPT) tally.kept.push(violation);
    for (const observer of this.observers) observer(violation);
  }

  doubt(id: string, cause: InconclusiveCause, detail: string): void {
    this.tally(id).doubt(cause, detail);
  }

  /**
   * Events are missing between `since` and `until` (ns; NaN: unknown end of the interval). Every
   * rule in `rules` becomes inconclusive, and violations from within the gap become doubts.
   */
  lose(rules: readonly string[], since: number, until: number, detail: string): void {
    for (const id of rules) {
      const tally = this.tally(id);
      tally.doubt('lost events', detail);
      const outside = tally.kept.filter(
        ({ at }) =>
          !((Number.isNaN(since) || at.time > since) && (Number.isNaN(until) || at.time <= until)),
      );
      tally.count -= tally.kept.length - outside.length;
      tally.kept = outside;
    }
  }

  /** The kernel profile is wrong for this input: every finding is a doubt. */
  distrust(detail: string): void {
    for (const tally of this.tallies.values()) {
      if (tally.checks === 0 && tally.count === 0) continue;
      tally.doubt('wrong kernel', detail);
      tally.count = 0;
      tally.kept = [];
    }
  }

  get violationCount(): number {
    let count = 0;
    for (const tally of this.tallies.values()) count += tally.count;
    return count;
  }

  /** The verdict of every rule, in the order of the catalogue. */
  settle(profile: KernelProfile): Verdict[] {
    return [...this.tallies.values()].map((tally) => {
      const applies = tally.rule.under(profile) !== undefined;
      // Missing events put nothing in doubt that this kernel cannot send.
      const doubts = applies || tally.count > 0 ? [...tally.doubts.values()] : [];
      const { checks } = tally;
      if (tally.count === 0 && doubts.length === 0 && checks === 0) {
        doubts.push(
          !applies
            ? { cause: 'not in this kernel', detail: `${profile.name} has no such thing`, count: 0 }
            : { cause: 'not recorded', detail: `needs ${tally.rule.needs}`, count: 0 },
        );
      }
      return {
        rule: tally.rule,
        status: tally.count > 0 ? 'violated' : doubts.length > 0 ? 'inconclusive' : 'holds',
        checks,
        violationCount: tally.count,
        violations: tally.kept,
        inconclusive: doubts,
      };
    });
  }

  private tally(id: string): Tally {
    const tally = this.tallies.get(id);
    if (tally === undefined) throw new Error(`no rule is called ${id}`);
    return tally;
  }
}

/** Causes that say nothing against the input: the rule had nothing to look at. */
const SILENT = new Set<InconclusiveCause>(['not recorded', 'not in this kernel']);

/** Whether the input kept this rule from being decided (a reason for exit code 3). */
export function undecided(verdict: Verdict): boolean {
  return (
    verdict.status === 'inconclusive' && verdict.inconclusive.some((d) => !SILENT.has(d.cause))
  );
}
