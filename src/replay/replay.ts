/**
 * Replay: inputs to verdicts, state and history in one pass.
 */

import type { Observable } from 'rxjs';
import type { EventBatch } from '../../events/batch.js';
import type { Source } from '../../events/batch.js';
import { EVENT_TYPES } from '../../events/event.js';
import type { SysfsDevice, SysfsGroup } from '../../events/event.js';
import { InputError } from '../../events/input-error.js';
import { mergeByTime } from '../../events/merge.js';
import { openInput } from '../../events/open.js';
import type { Input } from '../../events/open.js';
import { BUILT_IN_PROBES } from '../../events/probes.js';
import type { ProbeTable } from '../../events/probes.js';
import type { KernelProfile } from '../../machines/profiles/profile.js';
import type { Bus } from '../bus/bus.js';
import type { HotplugNotification } from '../bus/hotplug-notification.js';
import { Context } from './context.js';
import { chooseProfile, Evidence } from './evidence.js';
import type { ProfileChoice } from './evidence.js';
import { Fold } from './fold.js';
import type { LossNote, UnparsedNote } from './fold.js';
import { History } from './history.js';
import type { Fault } from './iova.js';
import { ReplayedBuses } from './replayed-buses.js';
import { roleOf } from './roles.js';
import { compareWithSysfs } from './sysfs-agreement.js';
import type { SysfsAgreement } from './sysfs-agreement.js';
import type { Change } from './state.js';
import { Verdicts } from './verdicts.js';
import type { Verdict } from './verdicts.js';
import { Machines, World } from './world.js';

export interface ReplayOptions {
  /** Files, gzip files, sysfs trees, `-` for standard input. */
  readonly files: readonly string[];
  /** Format of all files; detected for each when absent. */
  readonly format?: string | undefined;
  /** Kernel profile; concluded from the input when absent. */
  readonly kernel?: KernelProfile | undefined;
  readonly probes?: ProbeTable;
  /** Snapshot of the machine before the recording: where state begins. */
  readonly sysfsBefore?: string | undefined;
  /** Snapshot of the machine after it: what the end is compared with. */
  readonly sysfsAfter?: string | undefined;
  /** Keep the events and the states for time travel (default), or check in constant memory. */
  readonly history?: boolean;
  /** Keep the text of events that the model does not look at. */
  readonly keepText?: boolean;
  /** How far uevent and trace clocks may disagree, ns. */
  readonly ueventTolerance?: number;
  /** Called about every 100 ms of work. Bytes as stored; `size` undefined when not known. */
  readonly onProgress?: (progress: {
    readonly events: number;
    readonly taken: number;
    readonly size: number | undefined;
  }) => void;
  /** Called with each batch after it was folded, before it is reused. */
  readonly onBatch?: (batch: EventBatch, log: LogContext) => void | Promise<void>;
}

/** What a log of the events should say about them. */
export interface LogContext {
  /** Name of the profile; undefined where the input contradicts it. */
  readonly kernel: string | undefined;
  readonly sources: readonly Source[];
}

export interface InputSummary {
  readonly file: string;
  /** undefined: it could not be opened. */
  readonly format: string | undefined;
  readonly detected: boolean;
  /** Why the input could not be opened or ended early, if so. */
  readonly problem: string | undefined;
}

export interface ReplayResult {
  readonly inputs: readonly InputSummary[];
  readonly kernel: ProfileChoice;
  readonly events: number;
  /** Events by type; types without one are left out. */
  readonly byType: Readonly<Record<string, number>>;
  /** Bus notifications by action. */
  readonly notifications: number;
  readonly firstTime: number;
  readonly lastTime: number;
  /** Inputs had clocks of one kind, so that they could be merged by time. */
  readonly clocksAligned: boolean;
  readonly clockSteps: number;
  readonly devices: number;
  readonly groups: number;
  readonly unparsedCount: number;
  readonly unparsed: readonly UnparsedNote[];
  readonly lossCount: number;
  readonly losses: readonly LossNote[];
  readonly faultCount: number;
  readonly faults: readonly Fault[];
  readonly complaints: readonly {
    readonly what: string;
    readonly file: string;
    readonly line: number;
    readonly text: string;
  }[];
  readonly verdicts: readonly Verdict[];
  readonly sysfs: SysfsAgreement | undefined;
  /** Only with `history`. */
  readonly history: History | undefined;
}

/** Batches looked at before the kernel is chosen: about 32,000 events. */
const LOOK_AHEAD = 8;
const UEVENT_TOLERANCE = 50e6;

export class Replay {
  private readonly buses = new ReplayedBuses();
  /** The recorded notifications of all buses and groups, as if live: subscribe before `run`. */
  readonly notifications$: Observable<HotplugNotification> = this.buses.notifications$;
  /**
   * Each bus of the trace, before its first notification: register blocks on it, or subscribe to
   * what it notifies. Its devices and groups are those of the trace; ask `history` about them.
   */
  readonly buses$: Observable<Bus> = this.buses.buses$;

  constructor(private readonly options: ReplayOptions) {}

  /**
   * Reads and folds all inputs. One that cannot be opened or breaks off is reported in its summary;
   * throws InputError when none can be opened, or a snapshot cannot, and for two copies of a trace;
   * and what a block that was registered on one of `buses$` threw.
   */
  async run(): Promise<ReplayResult> {
    const { options } = this;
    const keepHistory = options.history ?? true;
    const sources: Source[] = [];
    const open = (file: string, format?: string) =>
      openInput(file, {
        format,
        probes: options.probes ?? BUILT_IN_PROBES,
        keepText: options.keepText ?? keepHistory,
        sources,
      });
    const before =
      options.sysfsBefore === undefined ? undefined : await openSnapshot(options.sysfsBefore);
    const after =
      options.sysfsAfter === undefined ? undefined : await openSnapshot(options.sysfsAfter);
    const inputs: Input[] = [];
    const unopened: InputError[] = [];
    for (const file of options.files) {
      try {
        inputs.push(await open(file, options.format));
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        unopened.push(error);
      }
    }
    if (inputs.length === 0 && unopened.length > 0) throw unopened[0];

    const report = { aligned: true };
    const mode = { reuse: false };
    const stream =
      inputs.length === 1
        ? inputs[0].batches(mode)
        : mergeByTime(
            inputs.map((input) => input.batches({ reuse: true })),
            sources,
            mode,
            report,
          );
    const evidence = new Evidence();
    if (before !== undefined) for (const batch of before) evidence.look(batch);
    const ahead: EventBatch[] = [];
    const iterator = stream[Symbol.asyncIterator]();
    while (ahead.length < LOOK_AHEAD) {
      const next = await iterator.next();
      if (next.done === true) break;
      ahead.push(next.value);
      evidence.look(next.value);
    }
    for (const { kernel, file, format } of inputs) {
      if (kernel !== undefined) evidence.release(kernel, { format, file, line: 1 });
    }
    if (inputs.length > 1) {
      try {
        refuseCopies(ahead);
      } catch (error) {
        for (const input of inputs) await input.close();
        throw error;
      }
    }
    const choice = chooseProfile(evidence.bounds, options.kernel);
    const { profile } = choice;

    const verdicts = new Verdicts();
    const world = new World(new Machines(profile), roleOf, keepHistory, profile);
    for (const fn of evidence.returning) world.function(fn).hasReturn = true;
    const ctx = new Context(profile, world, verdicts, this.buses, evidence.recorded, {
      uevents: options.ueventTolerance ?? UEVENT_TOLERANCE,
    });
    const fold = new Fold(ctx);
    const history = keepHistory ? new History() : undefined;
    const changes: Change[] = [];
    const behind =
      history === undefined
        ? undefined
        : (seq: number) => {
            if (world.changed) world.takeChanges(seq, changes);
          };
    let seq = 0;
    let lastReport = performance.now();
    const context: LogContext = {
      kernel: choice.contradictions.length === 0 ? profile.name : undefined,
      sources: [...(before?.[0]?.sources ?? []), ...sources],
    };
    const take = async (batch: EventBatch) => {
      batch.firstSeq = seq;
      seq += batch.length;
      fold.fold(batch, behind);
      if (history !== undefined) {
        history.add(batch, changes);
        changes.length = 0;
      }
      const done = options.onBatch?.(batch, context);
      if (done !== undefined) await done;
      if (options.onProgress !== undefined && performance.now() - lastReport > 100) {
        lastReport = performance.now();
        options.onProgress(progressOf(inputs, seq));
      }
    };
    if (before !== undefined) for (const batch of before) await take(batch);
    // Events of a snapshot before the recording are where it begins, not part of it.
    const startingEvents = seq;
    ctx.startsAt = ctx.newest;
    fold.byType.fill(0);
    fold.firstTime = NaN;
    for (const batch of ahead) await take(batch);
    ahead.length = 0;
    mode.reuse = !keepHistory;
    for (;;) {
      const next = await iterator.next();
      if (next.done === true) break;
      await take(next.value);
    }
    fold.finish();
    await this.buses.complete();
    const sysfs =
      after === undefined ? undefined : compareWithSysfs(world, snapshotFacts(after), ctx.newest);
    if (sysfs !== undefined) judgeSysfs(verdicts, sysfs);
    if (choice.contradictions.length > 0 || fold.notifications.strangers.size > 0) {
      distrust(verdicts, choice, fold);
    }

    return {
      inputs: [
        ...inputs.map(({ file, format, detected, problem }) => ({
          file,
          format,
          detected,
          problem: problem?.message,
        })),
        ...unopened.map(({ file, message }) => ({
          file,
          format: undefined,
          detected: false,
          problem: message,
        })),
      ],
      kernel: choice,
      events: seq - startingEvents,
      byType: Object.fromEntries(
        EVENT_TYPES.map((type, code) => [type, fold.byType[code]] as const).filter(
          ([, n]) => n > 0,
        ),
      ),
      notifications: fold.notifications.notifications,
      firstTime: fold.firstTime,
      lastTime: ctx.newest,
      clocksAligned: report.aligned,
      clockSteps: fold.clockSteps,
      devices: [...world.devices.values()].filter((d) => d.present).length,
      groups: [...world.groups.values()].filter((g) => g.members.size > 0).length,
      unparsedCount: fold.unparsedCount,
      unparsed: fold.unparsed,
      lossCount: fold.lossCount,
      losses: fold.losses,
      faultCount: fold.iova.faultCount,
      faults: fold.iova.faults,
      complaints: fold.complaints,
      verdicts: verdicts.settle(profile),
      sysfs,
      history,
    };
  }
}

/** Replays `options.files` and returns the result. See `Replay`. */
export function replay(options: ReplayOptions): Promise<ReplayResult> {
  return new Replay(options).run();
}

/**
 * Two views of one recording (trace.txt and the report of the same buffer) tell every event twice,
 * and every rule would seem broken. Throws InputError when the first events show that.
 */
function refuseCopies(ahead: readonly EventBatch[]): void {
  const told = new Map<string, number>();
  const events = new Map<number, number>();
  const copies = new Map<string, number>();
  for (const batch of ahead) {
    for (let i = 0; i < batch.length; i++) {
      if (batch.pid[i] < 0 || Number.isNaN(batch.time[i])) continue;
      const source = batch.source[i];
      events.set(source, (events.get(source) ?? 0) + 1);
      const key = `${batch.time[i]} ${batch.cpu[i]} ${batch.pid[i]} ${batch.type[i]}`;
      const other = told.get(key);
      if (other === undefined) told.set(key, source);
      else if (other !== source) {
        const pair = `${other} ${source}`;
        copies.set(pair, (copies.get(pair) ?? 0) + 1);
      }
    }
  }
  for (const [pair, count] of copies) {
    const [a, b] = pair.split(' ').map(Number);
    if (count < 10 || count * 2 < Math.min(events.get(a) ?? 0, events.get(b) ?? 0)) continue;
    const { sources } = ahead[0];
    throw new InputError(
      sources[b].file,
      undefined,
      `tells the same events as ${sources[a].file}: give one of the two`,
    );
  }
}

function progressOf(inputs: readonly Input[], events: number) {
  let taken = 0;
  let size: number | undefined = 0;
  for (const { position } of inputs) {
    taken += position.taken;
    size = size === undefined || position.size === undefined ? undefined : size + position.size;
  }
  return { events, taken, size };
}

async function openSnapshot(file: string): Promise<EventBatch[]> {
  const input = await openInput(file, { sources: [] });
  if (input.format !== 'sysfs-snapshot' && input.format !== 'sysfs-tree') {
    await input.close();
    throw new InputError(file, undefined, `is ${input.format}, not a sysfs snapshot or tree`);
  }
  const batches: EventBatch[] = [];
  for await (const batch of input.batches({ reuse: false })) batches.push(batch);
  if (input.problem !== undefined) throw input.problem;
  return batches;
}

function snapshotFacts(batches: readonly EventBatch[]): (SysfsDevice | SysfsGroup)[] {
  const facts: (SysfsDevice | SysfsGroup)[] = [];
  for (const batch of batches) {
    for (let i = 0; i < batch.length; i++) {
      const event = batch.event(i);
      if (event.type === 'sysfs_device' || event.type === 'sysfs_group') facts.push(event);
    }
  }
  return facts;
}

function judgeSysfs(verdicts: Verdicts, sysfs: SysfsAgreement): void {
  verdicts.check('SYSFS', sysfs.compared);
  for (const { what, file, line, undecided } of sysfs.differences) {
    if (undecided) {
      verdicts.doubt('SYSFS', 'not recorded', what);
      continue;
    }
    const at = { seq: -1, time: NaN, origin: { format: 'sysfs-snapshot', file, line } };
    verdicts.violate({
      rule: 'SYSFS',
      message: what,
      at,
      event: { type: 'mark', text: what, ...at },
      related: [],
    });
  }
}

/** The input contradicts the profile: no rule that depends on the kernel can be believed. */
function distrust(verdicts: Verdicts, choice: ProfileChoice, fold: Fold): void {
  const bound = choice.contradictions[0];
  const stranger = fold.notifications.strangers.entries().next().value;
  const detail =
    bound !== undefined
      ? `${bound.origin.file}:${bound.origin.line}: ${bound.because}, which ${choice.profile.name} is not`
      : stranger === undefined
        ? ''
        : `${stranger[1].file}:${stranger[1].line}: action ${stranger[0]} does not exist on ${choice.profile.name}`;
  verdicts.distrust(detail);
}
