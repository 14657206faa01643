/**
 * The module that recorded the runs of oracle/README.md, as threads of the modelled kernel: it asks
 * the driver core for the same, and what its callbacks and drivers see and return is observable.
 */

import { busActionValue } from '../../../events/actions.js';
import type { BusAction } from '../../../events/actions.js';
import {
  device_add,
  device_attach,
  device_del,
  device_release_driver,
  driver_register,
  driver_unregister,
} from '../../../machines/kernel/driver-core.js';
import { Kernel } from '../../../machines/kernel/kernel.js';
import { load, store } from '../../../machines/kernel/memory.js';
import {
  notifier_chain_register,
  notifier_chain_unregister,
} from '../../../machines/kernel/notifier-chain.js';
import type { Chain, NotifierCall } from '../../../machines/kernel/notifier-chain.js';
import { mutexMachine } from '../../../machines/mutex.js';
import { notifierListMachine } from '../../../machines/notifier-list.js';
import { struct } from '../../../machines/object.js';
import type { KernelProfile } from '../../../machines/profiles/profile.js';
import { rwsemMachine } from '../../../machines/rwsem.js';
import type { Entity } from '../../../machines/scenario.js';
import { choose, lock, unlock } from '../../../machines/step.js';
import type { Thread } from '../../../machines/step.js';
import { PRIORITY } from '../../oracle/bus-runs.js';
import type { Recorded, Run, Step } from '../../oracle/bus-runs.js';
import { GuidedSearch } from './guided-search.js';
import type {
  Access,
  GuidedModel,
  GuidedResult,
  Mover,
  Observed,
  Operations,
  Use,
} from './guided-search.js';

const BUS = 'lab';
const DEVICES = 8;
/** The module found that the device is there already, or is not. */
const EALREADY = 114;
/** NOTIFY_DONE, NOTIFY_OK, NOTIFY_BAD, NOTIFY_STOP_MASK | NOTIFY_OK. */
const RETURNS = [0, 1, 0x8002, 0x8001];
/** Of the module's probe. */
const PROBED = [0, -19, -5, -22];

/** Structs that one device of the module may be, as lives overlap while somebody is at an old one. */
function structOf(dev: string, life: number): string {
  return `${dev}${"'".repeat(life)}`;
}

function nameOf(struct: string): string {
  return struct.replace(/'*$/, '');
}

/** bus->match of the module: device i goes with two drivers, i and i + 1 modulo their number. */
function matchedBy(drivers: number, driver: string, devices: readonly string[]): string[] {
  const d = Number(driver.slice(4));
  return devices.filter((dev) => {
    const i = Number(nameOf(dev).slice(3));
    return d === i % drivers || d === (i + 1) % drivers;
  });
}

/** Something that is seen of a thread, and what was chosen then. */
function observe(what: string, options: readonly number[] = [0]): Thread<number> {
  return choose(options, what);
}

/** The kernel with the module in it. */
export class LabModel implements GuidedModel {
  readonly entities: Readonly<Record<string, Entity>>;
  private readonly kernel: Kernel;
  private readonly chain: Chain;

  /**
   * @param drivers of the module
   * @param structs that a device may be
   */
  constructor(profile: KernelProfile, drivers: number, structs: number) {
    const slots = Array.from({ length: DEVICES }, (_, i) => `lab${i}`);
    const devices = slots.flatMap((dev) =>
      Array.from({ length: structs }, (_, life) => structOf(dev, life)),
    );
    const names = Array.from({ length: drivers }, (_, i) => `ldrv${i}`);
    this.chain = {
      name: `${BUS}->bus_notifier`,
      kind: 'blocking',
      profile,
      list: 'blocks',
      rwsem: 'rwsem',
      callbacks: Object.fromEntries(
        Object.keys(PRIORITY).map((block) => [block, this.callback(profile, block)]),
      ),
    };
    this.kernel = new Kernel({
      profile,
      buses: { [BUS]: { iommu: false } },
      devices: Object.fromEntries(
        devices.map((dev) => [dev, { bus: BUS, named: nameOf(dev), returns: true }]),
      ),
      drivers: Object.fromEntries(
        names.map((driver) => [
          driver,
          {
            bus: BUS,
            registered: false,
            matches: matchedBy(drivers, driver, devices),
            // The bus has no dma_configure.
            managesDma: true,
            probe: (dev: string) => observe(`P ${nameOf(dev)} ${driver}`, PROBED),
            *remove(dev: string) {
              yield* observe(`X ${nameOf(dev)} ${driver}`);
            },
          },
        ]),
      ),
      chains: [this.chain],
      driversLeave: true,
      spareGroups: 0,
      spareDomains: 0,
    });
    const list = { [this.chain.name]: ['0', '1', '2'].map(listed) };
    this.entities = {
      ...this.kernel.entities,
      blocks: { machine: notifierListMachine(profile), input: list },
      rwsem: rwsemMachine,
      ...Object.fromEntries(
        slots.flatMap((dev) => [
          [slotOf(dev), struct({ fields: { dev: null } })],
          [mutexOf(dev), mutexMachine],
        ]),
      ),
      ...Object.fromEntries([...names, '3'].map((name) => [mutexOf(name), mutexMachine])),
    };
  }

  private callback(profile: KernelProfile, block: string): NotifierCall {
    return function* ({ action, payload }) {
      const dev = String(payload.dev);
      const drv = yield* load<string | null>(dev, 'driver');
      const value = busActionValue(profile.numbering, action as BusAction);
      return yield* observe(`N ${block} ${value} ${nameOf(dev)} ${drv}`, RETURNS);
    };
  }

  /** By the name that `operationsOf` gives it. */
  *operation(name: string): Thread {
    const { kernel } = this;
    const [op, obj, life] = name.split(' ');
    const said = `${op} ${obj}`;
    if (op === 'attach' || op === 'detach') {
      const dev = yield* this.take(obj);
      yield* observe(`B ${said}`);
      let ret = 0;
      if (op === 'attach') ret = yield* device_attach(kernel, dev);
      else yield* device_release_driver(kernel, dev);
      yield* observe(`E ${said} ${ret}`);
      return;
    }
    yield* lock(mutexOf(obj));
    if (op === 'leave') yield* notifier_chain_unregister(this.chain, obj);
    else {
      yield* observe(`B ${said}`);
      yield* observe(`E ${said} ${yield* this.alone(op, obj, life)}`);
    }
    yield* unlock(mutexOf(obj));
  }

  /** It takes a reference, and lets others at the slot again. */
  private *take(obj: string): Thread<string> {
    yield* lock(mutexOf(obj));
    const dev = yield* load<string | null>(slotOf(obj), 'dev');
    yield* unlock(mutexOf(obj));
    if (dev !== null) return dev;
    // The module takes another one then, of which the recording would tell.
    yield* observe(`no ${obj}`);
    return obj;
  }

  /** What no two threads do to one object at a time. */
  private *alone(op: string, obj: string, life: string): Thread<number> {
    const { kernel } = this;
    switch (op) {
      case 'add': {
        if ((yield* load(slotOf(obj), 'dev')) !== null) return -EALREADY;
        const ret = yield* device_add(kernel, life);
        if (ret === 0) yield* store(slotOf(obj), 'dev', life);
        return ret;
      }
      case 'del': {
        const dev = yield* load<string | null>(slotOf(obj), 'dev');
        if (dev === null) return -EALREADY;
        yield* store(slotOf(obj), 'dev', null);
        return yield* device_del(kernel, dev);
      }
      case 'drvreg':
        return yield* driver_register(kernel, obj);
      case 'drvunreg':
        return yield* driver_unregister(kernel, obj);
      case 'nbreg':
        return yield* notifier_chain_register(this.chain, obj, PRIORITY[obj]);
      case 'nbunreg':
        return yield* notifier_chain_unregister(this.chain, obj);
      default:
        throw new Error(op);
    }
  }

  /** Says of each step what the locks allow it. Everything that is not known to move does not. */
  mover: GuidedModel['mover'] = ({ entity, event }, held): Mover => {
    // From queue_write on readers wait: where it comes late, more of them get in before. A driver
    // that is off the klist, which await_left waits for, is not met by new walks.
    switch (event.type) {
      case 'lock':
      case 'down_read':
      case 'queue_write':
      case 'down_write':
      case 'await_left':
        return 'right';
      case 'unlock':
      case 'up_read':
      case 'up_write':
        return 'left';
    }
    // It judges, and nothing depends on it.
    if (entity.includes(' of ')) return 'unseen';
    // Nothing is deferred: no probe of the module asks for it.
    if (entity === 'drivers/base') return 'both';
    if (entity === 'blocks') {
      // Without the lock only the head is read, which is block 0 all the time.
      return held.has('rwsem') || event.type === 'head' ? 'both' : 'none';
    }
    if (entity.startsWith('slot ')) return held.has(mutexOf(entity.slice(5))) ? 'both' : 'none';
    if (entity.startsWith('lab') && entity !== BUS) {
      // Nobody is at a struct that is not added yet.
      if (event.type === 'alloc') return 'both';
      // The module's callbacks read the driver without the lock.
      if (!held.has(`${entity}->mutex`)) return 'none';
      return event.type === 'write' && event.field === 'driver' ? 'none' : 'both';
    }
    if (entity === BUS) {
      if (event.field === 'names') return 'both';
      // Somebody who walks lets go.
      if (event.field === 'walked') return 'left';
    }
    return 'none';
  };

  uses: GuidedModel['uses'] = ({ entity, event }): readonly Use[] => {
    const use = (access: Use['access'], field = '') => [{ what: `${entity}${field}`, access }];
    switch (event.type) {
      case 'read':
      case 'list_last':
        return use('read', `.${event.field}`);
      case 'list_next':
        return [
          ...use('read', `.${event.field}`),
          // Those who walk are in nobody's way but of who waits until they are gone.
          ...(event.held === undefined ? [] : use('read', `.${event.held}`)),
        ];
      case 'list_del':
        // Nothing is deferred, so nothing is taken off that list.
        return use(
          event.field === 'walked' || entity === 'drivers/base' ? 'read' : 'write',
          `.${event.field}`,
        );
      case 'await_left':
        return use('write', `.${event.held}`);
      case 'alloc':
        return ['driver', 'dead', 'ready_to_probe', 'state_in_sysfs'].flatMap((field) =>
          use('write', `.${field}`),
        );
      case 'head':
      case 'call':
      case 'return':
      case 'down_read':
      case 'up_read':
        return use('read');
      default:
        return use('write', event.field === undefined ? '' : `.${event.field}`);
    }
  };

  touches: GuidedModel['touches'] = ({ operation, last, next }, what): Access => {
    const [op, obj, life] = operation.split(' ');
    const began = last === `B ${op} ${obj}`;
    // Not begun: it comes to its object.
    if (op !== 'leave' && (last === undefined || last.startsWith('E '))) {
      return isOf(what, obj) ? 'write' : 'none';
    }
    const ofChain = op === 'leave' || op.startsWith('nb');
    if (what === 'rwsem' || what === 'blocks') return ofChain ? 'write' : 'read';
    if (isOf(what, obj)) return op === 'attach' || op === 'detach' ? 'none' : 'write';
    if (ofChain || isOfModule(what)) return 'none';
    const walks = op === 'add' || op === 'attach';
    switch (what) {
      case 'drivers/base.deferred':
        return 'read';
      case `${BUS}.names`:
        return op === 'add' || op === 'del' ? 'write' : 'none';
      case `${BUS}.devices`:
        if (op === 'drvreg') return 'read';
        return (op === 'add' && began) || op === 'del' ? 'write' : 'none';
      case `${BUS}.drivers`:
        if (op.startsWith('drv')) return began ? 'write' : 'none';
        return walks ? 'read' : 'none';
      case `${BUS}.walked`:
        if (op === 'drvunreg') return began ? 'write' : 'none';
        return walks ? 'read' : 'none';
    }
    const entity = what.replace(/\..*$|->.*$/, '');
    if (entity.startsWith('ldrv')) {
      if (op.startsWith('drv') && entity !== obj) return 'none';
      if (this.tellsBound(next)) return 'write';
      return op === 'drvunreg' ? 'read' : 'none';
    }
    if (op.startsWith('drv')) return 'write';
    return (op === 'add' ? entity === life : nameOf(entity) === obj) ? 'write' : 'none';
  };

  /** BOUND_DRIVER and UNBOUND_DRIVER come right after the device joins or leaves its driver. */
  private tellsBound(next: string | undefined): boolean {
    const [k, cb, action] = (next ?? '').split(' ');
    const { numbering } = this.kernel.profile;
    const told = (['BOUND_DRIVER', 'UNBOUND_DRIVER'] as const).map((name) =>
      String(busActionValue(numbering, name)),
    );
    return k === 'N' && cb === '0' && told.includes(action);
  }
}

function isOf(what: string, obj: string): boolean {
  return what === mutexOf(obj) || what === `${slotOf(obj)}.dev`;
}

function isOfModule(what: string): boolean {
  return what.startsWith('slot ') || what.startsWith('module');
}

function slotOf(dev: string): string {
  return `slot ${dev}`;
}

/** The module's, of a device, a driver or block 3. */
function mutexOf(obj: string): string {
  return `module's mutex of ${obj}`;
}

function listed(block: string) {
  return { block, priority: PRIORITY[block] };
}

/** A run as the search takes it. */
export interface Guide {
  readonly operations: Operations;
  readonly observed: readonly Observed[];
  /** Where each of them is in the recording. */
  readonly at: readonly number[];
  /** Structs that one device needs at most. */
  readonly structs: number;
}

export function guideOf({ events }: Pick<Run, 'events'>): Guide {
  const operations: Record<string, string[]> = {};
  const observed: Observed[] = [];
  const at: number[] = [];
  const lives = new Lives(events);
  let owner: string | undefined;
  events.forEach((event, i) => {
    // Who lets go of the last reference is not modelled.
    if (event.k === 'F') return;
    const thread = `T${event.pid}`;
    const mine = (operations[thread] ??= []);
    if (event.k === 'B') {
      mine.push(
        [event.op, event.obj, ...(event.op === 'add' ? [lives.at(i, event.obj)] : [])].join(' '),
      );
      if (event.op === 'nbreg') owner = thread;
      if (event.op === 'nbunreg') owner = undefined;
    }
    observed.push({ thread, ...observedOf(event) });
    at.push(i);
  });
  // A thread that ends takes block 3 off, without a record.
  if (owner !== undefined) operations[owner].push('leave 3');
  return { operations, observed, at, structs: lives.structs };
}

function observedOf(event: Recorded): Pick<Observed, 'what' | 'reply'> {
  switch (event.k) {
    case 'N': {
      const { cb, action, dev, drv, ret } = event;
      return { what: `N ${cb} ${action} ${dev} ${drv}`, reply: ret };
    }
    case 'B':
      return { what: `B ${event.op} ${event.obj}`, reply: 0 };
    case 'E':
      return { what: `E ${event.op} ${event.obj} ${event.ret}`, reply: 0 };
    case 'P':
    case 'X':
      return { what: `${event.k} ${event.dev} ${event.drv}`, reply: event.ret ?? 0 };
    case 'F':
      throw new Error('F');
  }
}

/** Which struct a device is in which of its lives: none that somebody may still be at. */
class Lives {
  structs = 1;
  private readonly structAt = new Map<number, string>();

  constructor(events: readonly Recorded[]) {
    const spans = spansOf(events);
    const busy = new Map<string, number[]>();
    spans.forEach(({ op, obj, begin, ret }) => {
      if (op !== 'add') return;
      let until = -1;
      if (ret === 0) {
        const del = spans.find(
          (s) => s.op === 'del' && s.obj === obj && s.ret === 0 && s.begin > begin,
        );
        until = del === undefined ? Infinity : del.end;
        for (const other of del === undefined ? [] : spans) {
          if (other.end > until && mayBeAt(other, obj, del!.begin, del!.end)) until = other.end;
        }
      }
      const taken = busy.get(obj) ?? [];
      busy.set(obj, taken);
      let life = 0;
      while ((taken[life] ?? -1) > begin) life++;
      if (ret === 0) {
        taken[life] = until;
        this.structs = Math.max(this.structs, life + 1);
      } else life = 0;
      this.structAt.set(begin, structOf(obj, life));
    });
  }

  /** The struct of the `add` that begins there. */
  at(begin: number, dev: string): string {
    return this.structAt.get(begin) ?? structOf(dev, 0);
  }
}

/** An operation in a recording. */
interface Span {
  readonly op: string;
  readonly obj: string;
  /** What its thread did before was over here. */
  readonly from: number;
  readonly begin: number;
  readonly end: number;
  readonly ret: number;
}

/** Whether somebody may be at a device that is deleted from `begin` to `end`. */
function mayBeAt(other: Span, obj: string, begin: number, end: number): boolean {
  // It walks the bus's devices, or those of its driver.
  if (other.op.startsWith('drv')) return other.begin < end;
  // It took a reference, at any time since its thread was done with what it did before.
  return (
    (other.op === 'attach' || other.op === 'detach') && other.obj === obj && other.from < begin
  );
}

function spansOf(events: readonly Recorded[]): readonly Span[] {
  const spans: Span[] = [];
  const last = new Map<number, number>();
  const open = new Map<number, { readonly step: Step; readonly begin: number }>();
  events.forEach((event, i) => {
    if (event.k === 'B') open.set(event.pid, { step: event, begin: i });
    const begun = open.get(event.pid);
    if (event.k === 'E' && begun !== undefined) {
      const { step, begin } = begun;
      const from = last.get(event.pid) ?? -1;
      spans.push({ op: step.op, obj: step.obj, from, begin, end: i, ret: event.ret });
      last.set(event.pid, i);
    }
  });
  return spans.sort((a, b) => a.begin - b.begin);
}

/** The recorded runs of one kernel, tried on the model. */
export class Lab {
  private readonly models = new Map<string, GuidedSearch>();

  constructor(private readonly profile: KernelProfile) {}

  /** As GuidedSearch; `at` is the event that was not reached, in the run. */
  try(
    run: Pick<Run, 'params' | 'events'>,
    maxStates?: number,
  ): GuidedResult & { readonly at: number } {
    const { operations, observed, at, structs } = guideOf(run);
    const { drvs } = run.params;
    const key = `${drvs} ${structs}`;
    const model =
      this.models.get(key) ?? new GuidedSearch(new LabModel(this.profile, drvs, structs));
    this.models.set(key, model);
    const result = model.search(operations, observed, maxStates);
    return { ...result, at: at[result.reached] ?? run.events.length };
  }
}
