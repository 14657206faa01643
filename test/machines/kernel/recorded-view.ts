/** The events of an operation as they are compared with what the model says. */

import type { EventFact } from '../../../events/event.js';
import { GROUP_LISTENER, LISTENERS } from './recorded-events.js';
import type { Shown } from './recorded-events.js';

/** Entries of operations of the driver core on a device. */
const OF_DEVICES: ReadonlySet<string> = new Set([
  'device_add',
  'device_del',
  'really_probe',
  'device_release_driver_internal',
  '__device_release_driver',
]);

/** Events from one on, with devices by the order in which they come: `d0`, `d1`, … */
export class View {
  looked = 0;
  private readonly names = new Names();
  private readonly named: Shown[] = [];

  constructor(
    readonly events: readonly Shown[],
    readonly from: number,
  ) {}

  at(i: number): Shown | undefined {
    this.saw(i + 1);
    while (this.named.length <= i && this.from + this.named.length < this.events.length) {
      this.named.push(this.names.named(this.events[this.from + this.named.length]));
    }
    return this.named[i];
  }

  saw(looked: number): void {
    this.looked = Math.max(this.looked, looked);
  }

  /** Drivers that probe the device until the operation returns. */
  driversUntilReturn(): string[] {
    const { fn } = this.at(0)!;
    const drivers = new Set<string>();
    let depth = 0;
    for (let i = 0; ; i++) {
      const event = this.at(i);
      if (event === undefined) break;
      if (event.fn === 'really_probe' && event.dev === 'd0' && event.drv) drivers.add(event.drv);
      if (event.fn !== fn) continue;
      if (event.type === 'function_call') depth++;
      else if (--depth === 0) break;
    }
    return [...drivers];
  }

  /** Drivers that are unbound while the device is deleted. */
  driversUntilRemoved(): string[] {
    const drivers = new Set<string>();
    for (let i = 1; ; i++) {
      const event = this.at(i);
      if (event === undefined) break;
      const releases = event.fn?.includes('release_driver') === true;
      if (!releases && event.type === 'function_call' && !inNotification(event)) break;
      if (event.dev !== 'd0' && event.dev !== undefined) break;
      if (releases) {
        if (event.drv) drivers.add(event.drv);
        break;
      }
    }
    return [...drivers];
  }

  /**
   * Where, from `at` on, an operation of the driver core begins on the very device: a callback does
   * not call one, since its caller holds the device's lock or has let it go.
   */
  ownAgain(at: number): number {
    const { dev } = this.events[this.from];
    if (typeof dev !== 'string') return Infinity;
    for (let i = this.from + at; i < this.events.length; i++) {
      const event = this.events[i];
      if (event.dev !== dev || event.type !== 'function_call') continue;
      if (event.fn !== undefined && OF_DEVICES.has(event.fn)) return i - this.from;
    }
    return Infinity;
  }

  /** Drivers of the device by what follows, null for none among them. */
  driversAhead(): (string | null)[] {
    const drivers = new Set<string | null>([null]);
    for (let i = 1; i < 300; i++) {
      const event = this.at(i);
      if (event === undefined) break;
      if (event.dev !== 'd0' || event.drv === undefined) continue;
      drivers.add(event.drv);
      if (event.type === 'function_call') break;
    }
    return [...drivers];
  }

  /** The devices that are attached one after another, by nothing but the operation. */
  attached(): string[] {
    const devices = new Set<string>();
    for (let i = 1; ; i++) {
      const event = this.at(i);
      if (event === undefined) break;
      if (event.type === 'attach_device_to_domain' && event.dev) devices.add(event.dev);
      const own = event.fn?.startsWith('__iommu') === true;
      if (!own && event.type !== 'attach_device_to_domain') break;
      if (event.fn === '__iommu_attach_device' && event.dev) devices.add(event.dev);
    }
    return [...devices];
  }
}

function inNotification({ fn = '' }: Shown): boolean {
  return LISTENERS.includes(fn) || fn === GROUP_LISTENER;
}

/** Names by the order in which they come. */
export class Names {
  private readonly devices = new Map<string, string>();
  private readonly others = new Map<string, string>();

  named(event: Shown): Shown {
    const { dev, group, devGroup, domain } = event;
    return {
      ...event,
      ...(dev ? { dev: numbered(this.devices, dev, 'd') } : {}),
      ...(group === undefined ? {} : { group: this.groupOf(group) }),
      ...(typeof devGroup === 'number' ? { devGroup: this.groupOf(devGroup) } : {}),
      ...(domain === undefined ? {} : { domain: numbered(this.others, domain, 'x') }),
    };
  }

  token(event: Shown): string {
    return JSON.stringify({ ...this.named(event), line: 0 });
  }

  private groupOf(id: number): number {
    return Number(numbered(this.others, `group ${id}`, '').slice(0));
  }
}

function numbered(names: Map<string, string>, name: string, prefix: string): string {
  const known = names.get(name);
  if (known !== undefined) return known;
  const given = `${prefix}${names.size}`;
  names.set(name, given);
  return given;
}

/** What a probe reads of a struct device. */
export interface DeviceMemory {
  readonly fields: { readonly iommu_group: string | null; readonly driver: string | null };
}

type Name = string | number | undefined;

/** What stands for what, of groups and domains. */
export class Bijections {
  private readonly to = new Map<string, string>();
  private readonly from = new Map<string, string>();

  same(fact: EventFact, event: Shown): boolean {
    if (fact.type !== event.type) return false;
    const told = fact as Partial<Omit<Shown, 'chain'>> & { readonly chain?: string };
    if (told.fn !== event.fn) return false;
    // The peer that a device finds is not said by name.
    if (told.dev !== undefined && event.dev !== undefined && told.dev !== event.dev) return false;
    if (told.drv !== undefined && event.drv !== undefined && told.drv !== event.drv) return false;
    if (told.action !== undefined && event.action !== undefined && told.action !== event.action) {
      return false;
    }
    if (event.chain !== undefined) {
      if ((told.chain?.endsWith('->bus_notifier') === true ? 'bus' : 'group') !== event.chain) {
        return false;
      }
    }
    if (!sameReturn(event.fn, told.ret, event.ret)) return false;
    return (
      this.pair('group', told.group, event.group) && this.pair('domain', told.domain, event.domain)
    );
  }

  /** dev->iommu_group, by name and by id. */
  group(name: string | null, id: number | null): boolean {
    if (name === null || id === null) return name === id;
    return this.pair('group', Number(name.slice(1)), id);
  }

  private pair(kind: string, told: Name, shown: Name): boolean {
    if (told === undefined || shown === undefined) return true;
    const [a, b] = [`${kind} ${told}`, `${kind} ${shown}`];
    if ((this.to.get(a) ?? b) !== b || (this.from.get(b) ?? a) !== a) return false;
    this.to.set(a, b);
    this.from.set(b, a);
    return true;
  }
}

/** Which errno it is, the driver says; of a pointer nothing is said. */
function sameReturn(fn: string | undefined, told: unknown, shown: number | undefined): boolean {
  if (shown === undefined || typeof told !== 'number' || fn === 'iommu_group_alloc_device') {
    return true;
  }
  return told < 0 ? shown < 0 : told > 1 ? shown > 1 : told === shown;
}
