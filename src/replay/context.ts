/** What every part of the fold shares: the row being folded, the world, and the verdicts. */

import type { HotplugEvent } from '../../events/event.js';
import type { EventBatch } from '../../events/batch.js';
import { ABSENT, NULL_POINTER } from '../../events/intern.js';
import type { KernelProfile } from '../../machines/profiles/profile.js';

import type { ReplayedBuses } from './replayed-buses.js';
import { Place } from './world.js';
import type { Device, FunctionInfo, Machines, Task, World } from './world.js';
import type { EventRef, Verdicts } from './verdicts.js';

/** Which kinds of events the input holds, so that the absence of one means something. */
export interface Recorded {
  busNotify: boolean;
  chainCalls: boolean;
  notifierRuns: boolean;
  registrations: boolean;
  /** Symbols of notifier_run cannot be relied on (trace-cmd report). */
  doubtfulSymbols: boolean;
  attachTracepoint: boolean;
  membership: boolean;
  /** remove_device_from_group was seen: its absence means something. */
  removals: boolean;
  /** The callback that stands for a notification where neither the chain nor bus_notify is probed. */
  primaryCallback: string | undefined;
}

/** How far the clocks of two sources may disagree about one moment. ns. */
export interface ClockTolerance {
  /** Uevents against the trace. */
  readonly uevents: number;
}

export class Context {
  batch!: EventBatch;
  i = 0;
  task: Task | undefined;
  readonly machines: Machines;
  /** Time of the newest event of the log, ns. */
  newest = NaN;

  /** Newest event that tells of a loss; what a task did before it is not known any more. */
  lossSeq = -1;
  /** Time of the first event of a trace, ns; NaN before it. */
  traceStart = NaN;
  /** Time of the snapshot that the state begins with, ns; NaN without one. */
  startsAt = NaN;

  private devices: (Device | undefined)[] = [];
  private functions: (FunctionInfo | undefined)[] = [];

  constructor(
    readonly profile: KernelProfile,
    readonly world: World,
    readonly verdicts: Verdicts,
    readonly buses: ReplayedBuses,
    readonly recorded: Recorded,
    readonly tolerance: ClockTolerance,
  ) {
    this.machines = world.machines;
  }

  open(batch: EventBatch): void {
    this.batch = batch;
    this.devices = [];
    this.functions = [];
  }

  get seq(): number {
    return this.batch.firstSeq + this.i;
  }

  get time(): number {
    return this.batch.time[this.i];
  }

  text(id: number): string | undefined {
    return id <= NULL_POINTER ? undefined : this.batch.strings.text(id);
  }

  /** The device of the row's `dev` and `bus` columns, undefined where the name is absent or NULL. */
  device(): Device | undefined {
    const { batch, i } = this;
    const id = batch.dev[i];
    if (id <= NULL_POINTER) return undefined;
    const known = this.devices[id];
    const busId = batch.bus[i];
    if (known !== undefined && (busId <= NULL_POINTER || known.bus === batch.strings.text(busId))) {
      return known;
    }
    const device = this.world.device(batch.strings.text(id)!, this.text(busId));
    this.devices[id] = device;
    return device;
  }

  /** The function of the row's `fn` column. */
  function(fallback: string): FunctionInfo {
    const id = this.batch.fn[this.i];
    let info = this.functions[id];
    if (info === undefined) {
      info = this.world.function(id === ABSENT ? fallback : (this.text(id) ?? fallback));
      this.functions[id] = info;
    }
    return info;
  }

  place(): Place {
    const place = new Place();
    place.set(this.batch, this.i);
    return place;
  }

  ref(): EventRef {
    return this.place().ref();
  }

  violate(
    rule: string,
    message: string,
    about: {
      dev?: Device | undefined;
      group?: number;
      related?: readonly (Place | EventRef)[];
      /** Where it happened, when that is not the row being folded. */
      at?: EventRef;
      event?: HotplugEvent;
    } = {},
  ): void {
    this.verdicts.violate({
      rule,
      message,
      at: about.at ?? this.ref(),
      event: about.event ?? this.batch.event(this.i),
      related: (about.related ?? [])
        .map((place) => (place instanceof Place ? place.ref() : place))
        .filter((ref) => ref.seq >= 0 && ref.seq !== (about.at?.seq ?? this.seq)),
      ...(about.dev === undefined ? {} : { dev: about.dev.name }),
      ...(about.group === undefined ? {} : { group: about.group }),
    });
  }
}
